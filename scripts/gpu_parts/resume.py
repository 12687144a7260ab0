"""A killed run resumes exactly: bit for bit if it is deterministic."""

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
    "StyleGAN3": "model=stylegan3 model.augment_p=0.3 train.ema_kimg=0.1",
    "R3GAN": "model=r3gan model.augment_p=0.3",
    "CUT": "model=cut model.flip_equivariance=true",
    "pix2pix": "model=pix2pix model.pool_size=6",
}


def command(name: str, *others: str) -> list[str]:
    """Return the overrides of a tiny run of 12 steps under the name "run"."""
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
    """Run the part."""
    exact = ["runtime.deterministic=true", f"tracking.every_kimg={BATCH / 1000}"]
    never = ["tracking.every_kimg=1000"]  # a single report, so that means are pending when killed
    root = task.folder("runs")
    straight: dict[str, Running] = {}
    killed: dict[str, tuple[Running, list[str]]] = {}
    for number, name in enumerate(MODELS):
        straight[name] = program.start(task, root / f"straight{number}", *command(name, *exact))
        killed[f"killed{number}"] = begin(task, root / f"killed{number}", command(name, *exact))
    pending = [*command("StyleGAN with ADA", *never), "model.pl_interval=16"]
    killed["pending"] = begin(task, root / "pending", pending)
    for folder, (process, overrides) in killed.items():
        with task.attempt(f"{folder}: killed after its first checkpoint"):
            interrupt(task, root / folder, process, overrides)
    resumed = {f: program.start(task, root / f, *others) for f, (_, others) in killed.items()}
    for number, name in enumerate(MODELS):
        with task.attempt(f"{name}: a killed run ends like an uninterrupted one"):
            program.finish(task, straight[name])
            output = program.finish(task, resumed[f"killed{number}"])
            compare(task, name, root / f"straight{number}", root / f"killed{number}", output)
    name = "StyleGAN: resumes between two reports, path length and R1 not reported yet"
    with task.attempt(name):
        output = program.finish(task, resumed["pending"])
        end = final_state(root / "pending/runs/run")["nimg"]
        last = program.rows(root / "pending/runs/run")[-1]
        ok = end == BATCH * STEPS and "loss/G_pl/path_length" in last and "Resuming at" in output
        task.check(name, ok, f"{end} images, {len(last)} values reported")


def begin(task: Task, folder: Path, overrides: list[str]) -> tuple[Running, list[str]]:
    """Start a run, and return it with its overrides."""
    return program.start(task, folder, *overrides), overrides


def count_checkpoints(folder: Path) -> int:
    """Return the number of checkpoints of the run in `folder`."""
    return len([*folder.glob("runs/run/checkpoints/checkpoint-*.pt")])


def interrupt(task: Task, folder: Path, process: Running, overrides: list[str]) -> None:
    """Kill a run once it has a checkpoint; start it again if it finished before that."""
    for _ in range(TRIES):
        has_checkpoint = program.wait_until(task, process, lambda: count_checkpoints(folder) > 0)
        if has_checkpoint:
            program.kill(process)
        output = program.finish(task, process, None)
        if process.returncode == -9 and not (folder / "runs/run/result.json").exists():
            return
        if process.returncode not in (0, -9):
            raise RuntimeError(f"it failed by itself: {output.strip().splitlines()[-1:]}")
        (folder / "runs/run").rename(folder / f"runs/fast-{process.pid}")
        process = program.start(task, folder, *overrides)
    raise RuntimeError(f"it finished before it could be killed, {TRIES} times")


def compare(task: Task, name: str, straight: Path, killed: Path, output: str) -> None:
    """Compare the final states bit for bit."""
    resumed_state = final_state(killed / "runs/run")
    keys = differences(final_state(straight / "runs/run"), resumed_state)
    title = f"{name}: 12 steps = killed + the same command again, bit for bit"
    resumed = "Resuming at" in output and "Resuming at 0 kimg" not in output
    detail = f"{len(keys)} tensors or values differ: {', '.join(sorted(keys)[:4])}"
    task.check(title, not keys, detail if keys else "")
    total = f"{resumed_state['nimg']} images at the end"
    task.check(f"{name}: resumed from a checkpoint", resumed, total)
