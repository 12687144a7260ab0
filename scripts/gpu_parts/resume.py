"""A run that was killed goes on exactly where it was: bit for bit where that is asked for."""

from pathlib import Path

from tests.helpers.command_line import Running, differences, final_state

from . import program
from .rigs import TINY
from .task import Task

BATCH, STEPS, SAVED_EVERY = 4, 12, 4  # steps
TRIES = 3
MODELS = {
    "CycleGAN": "model=cyclegan model.pool_size=6",
    "StyleGAN with ADA": "model=stylegan model.augment_p=0.3 train.ema_kimg=0.1",
}


def command(name: str, *others: str) -> list[str]:
    """A tiny run of 12 steps under the name "run"."""
    settings = MODELS[name].split()
    tiny = [f"model.{setting}" for setting in TINY[settings[0].removeprefix("model=")]]
    return [
        *settings,
        *tiny,
        "data=shapes",
        "data.resolution=16",
        "data.train_images=40",
        "data.test_images=2",
        f"train.batch={BATCH}",
        f"train.kimg={BATCH * STEPS / 1000}",
        f"checkpoint.every_kimg={BATCH * SAVED_EVERY / 1000}",
        "runtime.precision=fp32",
        "runtime.workers=1",
        "name=run",
        *program.PLAIN,
        *others,
    ]


def run(task: Task) -> None:
    exact = ["runtime.deterministic=true", f"tracking.every_kimg={BATCH / 1000}"]
    never = ["tracking.every_kimg=1000"]  # reported at the end: the first steps' means wait for it
    root = task.folder("runs")
    straight: dict[str, Running] = {}
    killed: dict[str, tuple[Running, list[str]]] = {}
    for number, name in enumerate(MODELS):
        straight[name] = program.start(task, root / f"straight{number}", *command(name, *exact))
        killed[f"killed{number}"] = begin(task, root / f"killed{number}", command(name, *exact))
    pending = [*command("StyleGAN with ADA", *never), "model.pl_interval=16"]
    killed["pending"] = begin(task, root / "pending", pending)
    for folder, (process, given) in killed.items():
        with task.attempt(f"{folder}: killed after its first checkpoint"):
            interrupt(task, root / folder, process, given)
    again = {f: program.start(task, root / f, *given) for f, (_, given) in killed.items()}
    for number, name in enumerate(MODELS):
        with task.attempt(f"{name}: a killed run ends as one that ran straight on"):
            program.finish(task, straight[name])
            said = program.finish(task, again[f"killed{number}"])
            compare(task, name, root / f"straight{number}", root / f"killed{number}", said)
    name = "StyleGAN: goes on between two reports, path length and R1 not reported yet"
    with task.attempt(name):
        said = program.finish(task, again["pending"])
        end = final_state(root / "pending/runs/run")["nimg"]
        last = program.rows(root / "pending/runs/run")[-1]
        ok = end == BATCH * STEPS and "loss/G_pl/path_length" in last and "Resuming at" in said
        task.check(name, ok, f"{end} images, {len(last)} values reported")


def begin(task: Task, folder: Path, given: list[str]) -> tuple[Running, list[str]]:
    return program.start(task, folder, *given), given


def checkpoints(folder: Path) -> int:
    return len([*folder.glob("runs/run/checkpoints/checkpoint-*.pt")])


def interrupt(task: Task, folder: Path, process: Running, given: list[str]) -> None:
    """SIGKILL once there is a checkpoint; anew if the run was faster than that."""
    for _ in range(TRIES):
        seen = program.wait_until(task, process, lambda: checkpoints(folder) > 0)
        if seen:
            program.kill(process)
        said = program.finish(task, process, None)
        if process.returncode == -9:
            return
        if process.returncode:
            raise RuntimeError(f"it failed by itself: {said.strip().splitlines()[-1:]}")
        (folder / "runs/run").rename(folder / f"runs/fast-{process.pid}")
        process = program.start(task, folder, *given)
    raise RuntimeError(f"it was done before it could be killed, {TRIES} times")


def compare(task: Task, name: str, straight: Path, killed: Path, said: str) -> None:
    """The final states, bit for bit."""
    ours, theirs = final_state(killed / "runs/run"), final_state(straight / "runs/run")
    found = differences(theirs, ours)
    title = f"{name}: 12 steps = killed + the same command again, bit for bit"
    goes_on = "Resuming at" in said and "Resuming at 0 kimg" not in said
    detail = f"{len(found)} tensors or values differ: {', '.join(sorted(found)[:4])}"
    task.check(title, not found, detail if found else "")
    task.check(f"{name}: went on from a checkpoint", goes_on, f"{ours['nimg']} images at the end")
