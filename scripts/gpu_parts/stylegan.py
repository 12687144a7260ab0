"""StyleGAN2 at 256 px with augmentation at p = 0.3: every phase, in all floating-point formats."""

from .rigs import Variant, run_variant
from .task import Task

FIXED = ["model.augment=fixed", "model.augment_p=0.3"]
SECONDS = 10.0  # for measuring one variant, on a GPU
GRAPHS = "runtime.cuda_graphs=true"
COMPILED = {
    "b32 bf16 compiled": ["runtime.precision=bf16"],
    "b32 tf32 compiled": ["runtime.precision=tf32"],
    "b32 bf16 compiled, graphs": ["runtime.precision=bf16", GRAPHS],
}


def variants(task: Task) -> list[Variant]:
    """Return what this process measures, in order of value."""

    def variant(name: str, batch: int, *overrides: str) -> Variant:
        return Variant(name, task.pick(batch, batch // 16), [*FIXED, *overrides])

    tf32, bf16 = "runtime.precision=tf32", "runtime.precision=bf16"
    nhwc = "runtime.channels_last=true"
    plain = "model.augment=none"  # shows what the padded sizes of the augmentation cost
    full = [
        variant("b32 bf16", 32, bf16),
        variant("b32 tf32", 32, tf32),
        *([variant("b32 bf16 graphs", 32, bf16, GRAPHS)] if task.on_cuda else []),
        variant("b32 bf16 channels_last", 32, bf16, nhwc),
        variant("b32 bf16 without augmentation", 32, bf16, plain),
        variant("b64 bf16", 64, bf16),
        variant("b64 tf32", 64, tf32),
        variant("b64 bf16 channels_last", 64, bf16, nhwc),
    ]
    return task.pick(full, [full[0], full[2], full[4]])


def run(task: Task) -> None:
    """Run the part."""
    side = task.pick(256, 16)
    if task.variant:
        overrides = [*FIXED, "runtime.compile=true", *COMPILED[task.variant]]
        compiled = Variant(task.variant, task.pick(32, 2), overrides)
        run_variant(task, "stylegan", side, compiled, 5.0, top=True)
        return
    for variant in variants(task):
        if variant.name == "b64 bf16":
            # In its own process: a compiler that hangs or crashes costs a minute, and nothing else.
            for name in COMPILED if task.on_cuda else [*COMPILED][:1]:
                task.child(name, 120.0)
        if task.left() < 1.5 * SECONDS:
            task.skip(f"{variant.name}: no time left")
            continue
        run_variant(task, "stylegan", side, variant, SECONDS, top=variant.name == "b32 bf16")
