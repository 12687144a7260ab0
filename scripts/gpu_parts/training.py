"""Real trainings through the command line, for the time that is left; pictures that one can see."""

import shutil
import signal
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

from gantrain.data.image_files import is_image
from tests.helpers.command_line import Running

from . import program
from .rigs import tiny
from .task import Task

STOPPED = 75  # gantrain's exit code after SIGTERM, with a good checkpoint
CLOSING = 7.0  # seconds for a last report and the checkpoint
SHOWN = 6  # points of a curve


def run(task: Task) -> None:
    pack = unpacked(task)
    names = ["StyleGAN", "CycleGAN"]
    for number, name in enumerate(names):
        seconds = (task.left() - 3) / (len(names) - number) - CLOSING
        if seconds < task.pick(15, 2):
            task.skip(f"{name}: no time left")
            continue
        with task.attempt(name):
            train(task, name, task.pick(seconds, 4.0), pack)


def unpacked(task: Task) -> Path | None:
    """The pack as a folder; None: there is none."""
    if task.pack is None or Path(task.pack).is_dir():
        return Path(task.pack) if task.pack else None
    folder = task.folder("pack")
    with zipfile.ZipFile(task.pack) as archive:
        archive.extractall(folder)
    return folder


def two_domains(pack: Path) -> tuple[Path, Path] | None:
    """The folders of two sets of pictures, (A, B); None: there are none."""
    for folder in [pack, *(path for path in sorted(pack.rglob("*")) if path.is_dir())]:
        for a, b in (("trainA", "trainB"), ("A", "B")):
            if (folder / a).is_dir() and (folder / b).is_dir():
                return folder / a, folder / b
    return None


def one_set(pack: Path) -> Path | None:
    """A folder of pictures that are one set: the pack, if there are no two domains in it, else the
    folder with the most pictures that belong to neither, else that of B."""
    files = [path for path in pack.rglob("*") if is_image(path.name)]
    pair = two_domains(pack)
    if not pair:
        return pack if files else None
    both = {pair[0].parent / name for name in ("trainA", "trainB", "testA", "testB", "A", "B")}
    beside = Counter(file.parent for file in files if not both & {*file.parents})
    return beside.most_common(1)[0][0] if beside else pair[1]


def pictures(name: str, pack: Path | None) -> list[str]:
    """Overrides for what a model is trained on: the pack if it suits, else shapes."""
    found: list[str] = []
    if pack and name == "CycleGAN" and (pair := two_domains(pack)):
        found = [f"data.root_{domain}={folder}" for domain, folder in zip("ab", pair, strict=True)]
    elif pack and name == "StyleGAN" and (folder := one_set(pack)):
        found = [f"data.root={folder}"]
    return ["data=folder", *found, "data.held_out=8"] if found else ["data=shapes"]


def command(task: Task, name: str, pack: Path | None) -> list[str]:
    """A run without an end that is measured as it goes."""
    model = name.lower()
    batch, every = (32, 2.0) if name == "StyleGAN" else (1, 0.2)
    if task.quick:
        batch, every = 2, 0.016
    return [
        f"model={model}",
        *pictures(name, pack),
        f"data.resolution={task.pick(128, 16)}",
        f"train.batch={batch}",
        "train.kimg=1000",
        "train.epochs=null",
        "lr.unit=image",
        f"tracking.every_kimg={every / 4}",
        f"tracking.grid_every_kimg={every}",
        f"evaluation.every_kimg={every}",
        "evaluation.metrics=[kid]",
        "evaluation.extractor=random",
        f"evaluation.num_images={task.pick(1000, 8)}",
        "evaluation.test_images=0",
        "checkpoint.every_kimg=100",
        "runtime.precision=bf16",
        f"runtime.workers={task.pick(8, 1)}",
        "name=run",
        *(tiny(model) if task.quick else []),
    ]


def train(task: Task, name: str, seconds: float, pack: Path | None) -> None:
    """Train for so long, ask it to stop, and show what it has learned."""
    folder = task.folder(name)
    given = command(task, name, pack)
    process: Running = program.start(task, folder, *given)
    end = task.left() - seconds
    if program.wait_until(task, process, lambda: task.left() < end):
        process.send_signal(signal.SIGTERM)
    said = program.finish(task, process, STOPPED)
    run_folder = folder / "runs/run"
    stopped = "the state is saved" in said
    task.check(f"{name}: trains until it is asked to stop", stopped, said.splitlines()[-1])
    source = " ".join(pictures(name, pack)).replace(str(pack), "PACK")
    curve(task, name, program.rows(run_folder), source)
    if grids := sorted((run_folder / "grids").glob("grid-*.png")):
        shutil.copy(grids[-1], Path(task.out, f"{name.lower()}.png"))


def curve(task: Task, name: str, rows: list[dict[str, Any]], source: str) -> None:
    """Losses, KID and speed at a few points from the first report to the last."""
    if len(rows) < 2:
        task.check(f"{name}: reports", False, f"there are {len(rows)}, and a curve needs 2")
        return
    task.figure(f"{name}: images seen", rows[-1]["nimg"], "", source)
    losses = [key for key in rows[0] if key.startswith(("loss/", "score/"))]
    chosen = sorted({round(i * (len(rows) - 1) / (SHOWN - 1)) for i in range(SHOWN)})
    for place in chosen:
        row = rows[place]
        for key in (*losses, "progress/img_per_sec", "progress/data_wait"):
            if key in row:
                task.figure(key, row[key], of=f"{name} at {row['nimg'] / 1000:g} kimg")
    if not any(key.startswith("metric/") for row in rows for key in row):
        task.skip(f"{name}: it was stopped before its first KID")
    for key in sorted({key for row in rows for key in row if key.startswith("metric/")}):
        measured = [row for row in rows if key in row]
        for when, row in (("first", measured[0]), ("last", measured[-1])):
            task.figure(when, row[key], "", f"{when} at {row['nimg']} images", of=f"{name}: {key}")
    finite = all(value == value for row in rows for value in row.values())
    task.check(f"{name}: every reported number is finite", finite)
