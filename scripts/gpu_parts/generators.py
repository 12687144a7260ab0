"""R3GAN at 64 px and StyleGAN3 at 256 px: every phase, in tf32 and bf16, one step after another."""

from .rigs import Variant, run_variant
from .task import Task

SECONDS = 8.0  # for measuring one variant, on a GPU
# Published networks: R3GAN's for FFHQ at 64 px, StyleGAN3-T at 256 px. Both need two penalties or
# large maps, so the batches are smaller than StyleGAN2's.
MODELS = {
    "R3GAN 64 px b64": ("r3gan", 64, 64, ["model.augment_p=0.3"]),
    "StyleGAN3-T 256 px b16": (
        "stylegan3",
        256,
        16,
        ["model.augment=fixed", "model.augment_p=0.3", "model.channel_base=16384"],
    ),
}


def run(task: Task) -> None:
    """Run the part."""
    for name, (model, side, batch, overrides) in MODELS.items():
        for precision in task.pick(("bf16", "tf32"), ("bf16",)):
            title = f"{name} {precision}"
            if task.left() < 1.5 * SECONDS:
                task.skip(f"{title}: no time left")
                continue
            settings = [*overrides, f"runtime.precision={precision}"]
            variant = Variant(title, task.pick(batch, 2), settings)
            top = precision == "bf16"
            run_variant(task, model, task.pick(side, 16), variant, SECONDS, top=top)
