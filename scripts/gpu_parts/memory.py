"""A batch that is too large gives one sentence with a fix, and the fix works."""

import re

from . import program
from .rigs import tiny
from .task import Task

SENTENCE = re.compile(r"^Error: .*train\.microbatch", re.MULTILINE)
# A narrow network, so that 64 microbatches of 64 take little time; and the full one with a batch
# whose tensors have fewer than 2^31 elements, the limit of some kernels.
CASES = {
    "batch 4096 of a narrow StyleGAN": (4096, ["model.channel_base=2048", "model.channel_max=64"]),
    "batch 448 of StyleGAN": (448, []),
}
MICROBATCH = 64


def command(batch: int, *others: str) -> list[str]:
    """Return the overrides of a run of one step at 256 px."""
    return [
        "model=stylegan",
        "data=shapes",
        "data.resolution=256",
        "data.train_images=64",
        "data.test_images=2",
        f"train.batch={batch}",
        f"train.kimg={batch / 1000}",
        "runtime.precision=tf32",
        "runtime.workers=0",
        "name=run",
        *program.PLAIN,
        *others,
    ]


def run(task: Task) -> None:
    """Run the part."""
    root = task.folder("runs")
    if not task.on_cuda:
        task.skip("only CUDA runs out of memory here: tried only the smaller microbatch")
        others = [*tiny("stylegan"), "data.resolution=16", "runtime.precision=fp32"]
        check_microbatches(task, [*command(8, *others), "train.microbatch=4"], 8)
        return
    for number, (name, (batch, others)) in enumerate(CASES.items()):
        with task.attempt(name):  # one at a time: two might fail earlier, in another way
            process = program.start(task, root / f"large{number}", *command(batch, *others))
            output = program.finish(task, process, None)
            check_message(task, name, process.returncode, output)
    batch, others = next(iter(CASES.values()))
    check_microbatches(task, [*command(batch, *others), f"train.microbatch={MICROBATCH}"], batch)


def check_message(task: Task, name: str, code: int | None, output: str) -> None:
    """Check for one sentence and exit code 2."""
    task.check(f"{name}: exit code 2", code == 2, f"it was {code}")
    task.check(f"{name}: no traceback", "Traceback" not in output)
    match = SENTENCE.search(output)
    last = (output.strip().splitlines() or [""])[-1]
    message = next((line for line in output.splitlines() if line.startswith("Error:")), last)
    task.check(f"{name}: a sentence that names train.microbatch", bool(match), message[:400])


def check_microbatches(task: Task, overrides: list[str], batch: int) -> None:
    """Check that the same batch trains in microbatches."""
    name = f"batch {batch} trains in microbatches"
    with task.attempt(name):
        folder = task.folder("smaller")
        program.run(task, folder, *overrides)
        rows = program.rows(folder / "runs/run")
        seen = rows[-1]["nimg"] if rows and "nimg" in rows[-1] else None
        task.check(name, bool(rows), f"{len(rows)} reports, the last at {seen} images")
