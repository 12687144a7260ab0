"""R3GAN, StyleGAN3, CUT, FastCUT and pix2pix: every phase, in bf16 and tf32."""

from .rigs import Variant, run_variant
from .task import Task

SECONDS = 6.0  # for measuring one variant, on a GPU
# Published networks: R3GAN's for FFHQ at 64 px, all others at 256 px. Two penalties and large maps
# make the batches smaller than StyleGAN2's.
MODELS = {
    "R3GAN 64 px b64": ("r3gan", 64, 64, ["model.augment_p=0.3"]),
    "StyleGAN3-T 256 px b16": (
        "stylegan3",
        256,
        16,
        ["model.augment=fixed", "model.augment_p=0.3", "model.channel_base=16384"],
    ),
    "CUT 256 px b1": ("cut", 256, 1, []),
    "FastCUT 256 px b1": (
        "cut",
        256,
        1,
        ["model.nce_identity=false", "model.flip_equivariance=true", "model.lambda_nce=10"],
    ),
    "pix2pix 256 px b1": ("pix2pix", 256, 1, []),
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
