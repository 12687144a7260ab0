"""Real trainings through the command line, in the remaining time, with images to look at."""

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

STOPPED = 75  # gantrain's exit code after SIGTERM, with an intact checkpoint
CLOSING = 7.0  # seconds for a last report and the checkpoint
CURVE_POINTS = 6


def run(task: Task) -> None:
    """Run the part."""
    pack = unpack(task)
    names = ["StyleGAN", "CycleGAN"]
    for number, name in enumerate(names):
        seconds = (task.left() - 3) / (len(names) - number) - CLOSING
        if seconds < task.pick(15, 2):
            task.skip(f"{name}: no time left")
            continue
        with task.attempt(name):
            train(task, name, task.pick(seconds, 4.0), pack)


def unpack(task: Task) -> Path | None:
    """Return the pack as a folder, or None if there is none."""
    if task.pack is None or Path(task.pack).is_dir():
        return Path(task.pack) if task.pack else None
    folder = task.folder("pack")
    with zipfile.ZipFile(task.pack) as archive:
        archive.extractall(folder)
    return folder


def two_domains(pack: Path) -> tuple[Path, Path] | None:
    """Return the folders of two sets of images, (A, B), or None if there are none."""
    for folder in [pack, *(path for path in sorted(pack.rglob("*")) if path.is_dir())]:
        for a, b in (("trainA", "trainB"), ("A", "B")):
            if (folder / a).is_dir() and (folder / b).is_dir():
                return folder / a, folder / b
    return None


def one_set(pack: Path) -> Path | None:
    """Return a folder of images that form one set.

    Returns:
        The pack if it has no two domains, else the folder with the most images that belong to
        neither, else the folder of domain B; None: there are no images.
    """
    files = [path for path in pack.rglob("*") if is_image(path.name)]
    pair = two_domains(pack)
    if not pair:
        return pack if files else None
    domains = {pair[0].parent / name for name in ("trainA", "trainB", "testA", "testB", "A", "B")}
    others = Counter(file.parent for file in files if not domains & {*file.parents})
    return others.most_common(1)[0][0] if others else pair[1]


def data_overrides(name: str, pack: Path | None) -> list[str]:
    """Return overrides for the data of a model: the pack if it fits, else shapes."""
    roots: list[str] = []
    if pack and name == "CycleGAN" and (pair := two_domains(pack)):
        roots = [f"data.root_{domain}={folder}" for domain, folder in zip("ab", pair, strict=True)]
    elif pack and name == "StyleGAN" and (folder := one_set(pack)):
        roots = [f"data.root={folder}"]
    return ["data=folder", *roots, "data.held_out=8"] if roots else ["data=shapes"]


def command(task: Task, name: str, pack: Path | None) -> list[str]:
    """Return the overrides of an endless run that is evaluated regularly."""
    model = name.lower()
    batch, every = (32, 2.0) if name == "StyleGAN" else (1, 0.2)
    if task.quick:
        batch, every = 2, 0.016
    return [
        f"model={model}",
        *data_overrides(name, pack),
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
    """Train for `seconds`, stop the run, and report its curves."""
    folder = task.folder(name)
    process: Running = program.start(task, folder, *command(task, name, pack))
    end = task.left() - seconds
    if program.wait_until(task, process, lambda: task.left() < end):
        process.send_signal(signal.SIGTERM)
    output = program.finish(task, process, STOPPED)
    run_folder = folder / "runs/run"
    stopped = "the state is saved" in output
    task.check(f"{name}: trains until it is asked to stop", stopped, output.splitlines()[-1])
    source = " ".join(data_overrides(name, pack)).replace(str(pack), "PACK")
    report_curve(task, name, program.rows(run_folder), source)
    if grids := sorted((run_folder / "grids").glob("grid-*.png")):
        shutil.copy(grids[-1], Path(task.out, f"{name.lower()}.png"))


def report_curve(task: Task, name: str, rows: list[dict[str, Any]], source: str) -> None:
    """Report losses, KID and speed at a few points from the first report to the last."""
    if len(rows) < 2:
        task.check(f"{name}: reports", False, f"there are {len(rows)}, but a curve needs 2")
        return
    task.figure(f"{name}: images seen", rows[-1]["nimg"], "", source)
    losses = [key for key in rows[0] if key.startswith(("loss/", "score/"))]
    last = len(rows) - 1
    indices = sorted({round(i * last / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)})
    for index in indices:
        row = rows[index]
        for key in (*losses, "progress/img_per_sec", "progress/data_wait"):
            if key in row:
                task.figure(key, row[key], of=f"{name} at {row['nimg'] / 1000:g} kimg")
    if not any(key.startswith("metric/") for row in rows for key in row):
        task.skip(f"{name}: it was stopped before its first KID")
    for key in sorted({key for row in rows for key in row if key.startswith("metric/")}):
        evaluated = [row for row in rows if key in row]
        for when, row in (("first", evaluated[0]), ("last", evaluated[-1])):
            task.figure(when, row[key], "", f"{when} at {row['nimg']} images", of=f"{name}: {key}")
    finite = all(value == value for row in rows for value in row.values())
    task.check(f"{name}: every reported number is finite", finite)
