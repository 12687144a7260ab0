"""CycleGAN at 256 px: reference mode against fast mode, in all floating-point formats."""

from .rigs import Variant, run_variant
from .task import Task

SECONDS = 2.0  # for measuring one variant, on a GPU
GRAPHS = "runtime.cuda_graphs=true"
COMPILED = {
    "b1 bf16 compiled": [],
    "b1 bf16 compiled, graphs": [GRAPHS],
}


def variants(task: Task) -> list[Variant]:
    """Return what this process measures, in order of value."""
    kinds = [
        ("reference fp32", "fp32", "reference", []),
        ("reference tf32", "tf32", "reference", []),
        ("fast fp32", "fp32", "fast", []),
        ("fast tf32", "tf32", "fast", []),
        ("fast bf16", "bf16", "fast", []),
        ("fast bf16 channels_last", "bf16", "fast", ["runtime.channels_last=true"]),
    ]
    if task.on_cuda:
        kinds += [("fast tf32 graphs", "tf32", "fast", [GRAPHS])]
        kinds += [("fast bf16 graphs", "bf16", "fast", [GRAPHS])]
    full = [
        Variant(
            f"b{batch} {name}",
            task.pick(batch, min(batch, 2)),
            [f"runtime.precision={precision}", f"model.mode={mode}", *others],
        )
        for batch in (1, 8)
        for name, precision, mode, others in kinds
    ]
    return task.pick(full, [*full[1:3], full[4], full[6]])


def run(task: Task) -> None:
    """Run the part."""
    side = task.pick(256, 16)
    if task.variant:
        overrides = ["runtime.precision=bf16", "runtime.compile=true", *COMPILED[task.variant]]
        compiled = Variant(task.variant, 1, overrides)
        run_variant(task, "cyclegan", side, compiled, SECONDS)
        return
    for variant in variants(task):
        if variant.name == "b8 reference fp32":
            for name, overrides in COMPILED.items():
                if task.on_cuda or not overrides:
                    task.child(name, 60.0)
        if task.left() < 3 * SECONDS:
            task.skip(f"{variant.name}: no time left")
            continue
        top = variant.name == "b1 fast bf16"
        run_variant(task, "cyclegan", side, variant, SECONDS, top)
