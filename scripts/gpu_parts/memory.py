"""Too large a batch is one sentence that names the way out, and the way out works."""

import re

from . import program
from .rigs import tiny
from .task import Task

SENTENCE = re.compile(r"^Error: .*train\.microbatch", re.MULTILINE)
# A narrow network, so that 64 microbatches of 64 are soon done; and the real one with a batch whose
# tensors have fewer than 2^31 numbers each, which some kernels cannot count beyond.
CASES = {
    "batch 4096 of a narrow StyleGAN": (4096, ["model.channel_base=2048", "model.channel_max=64"]),
    "batch 448 of StyleGAN": (448, []),
}
MICROBATCH = 64


def command(batch: int, *others: str) -> list[str]:
    """One step at 256 px."""
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
    root = task.folder("runs")
    if not task.on_cuda:
        task.skip("only CUDA runs out of memory here: the smaller microbatch was tried alone")
        others = [*tiny("stylegan"), "data.resolution=16", "runtime.precision=fp32"]
        smaller(task, [*command(8, *others), "train.microbatch=4"], 8)
        return
    for number, (name, (batch, others)) in enumerate(CASES.items()):
        with task.attempt(name):  # one at a time: beside another it might not even begin
            process = program.start(task, root / f"large{number}", *command(batch, *others))
            said = program.finish(task, process, None)
            judge(task, name, process.returncode, said)
    batch, others = next(iter(CASES.values()))
    smaller(task, [*command(batch, *others), f"train.microbatch={MICROBATCH}"], batch)


def judge(task: Task, name: str, code: int | None, said: str) -> None:
    """One sentence and exit code 2."""
    task.check(f"{name}: exit code 2", code == 2, f"it was {code}")
    task.check(f"{name}: no traceback", "Traceback" not in said)
    found = SENTENCE.search(said)
    last = (said.strip().splitlines() or [""])[-1]
    told = next((line for line in said.splitlines() if line.startswith("Error:")), last)
    task.check(f"{name}: a sentence that names train.microbatch", bool(found), told[:400])


def smaller(task: Task, given: list[str], batch: int) -> None:
    """The same batch in small portions trains."""
    name = f"batch {batch} trains in microbatches"
    with task.attempt(name):
        folder = task.folder("smaller")
        program.run(task, folder, *given)
        rows = program.rows(folder / "runs/run")
        seen = rows[-1]["nimg"] if rows and "nimg" in rows[-1] else None
        task.check(name, bool(rows), f"{len(rows)} reports, the last at {seen} images")
