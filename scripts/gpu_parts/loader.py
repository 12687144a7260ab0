"""The throughput of the data loader: JPEGs of 512 px, resized on the fly or cached."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

from gantrain.data.image_folder import ImageFolder
from gantrain.data.loader import batches

from . import program
from .rigs import tiny
from .task import Task

BATCH = 32
SECONDS = 1.5  # for measuring, after the first batches


def make_jpegs(folder: Path, count: int, side: int) -> Path:
    """Write JPEGs with about the file size of photographs: smooth shapes and some noise."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        coarse = rng.integers(0, 256, (side // 16, side // 16, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        noise = rng.normal(0, 6, (side, side, 3))
        pixels = (np.asarray(smooth) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.jpg", quality=90)
    return folder


def run(task: Task) -> None:
    """Run the part."""
    count, side = task.pick((256, 512), (6, 32))
    images = make_jpegs(Path(task.scratch, "images"), count, side)
    size = sum(file.stat().st_size for file in images.iterdir()) / count
    task.figure("a JPEG", size / 1e3, "kB", f"{count} of {side} px")
    for cache in ("none", "memory"):
        for workers in task.pick((0, 4, 8, 16), (0, 2)):
            with task.attempt(f"{cache}, {workers} workers"):
                measure_speed(task, images, cache, workers)
    with task.attempt("a run on these images"):
        measure_run(task, images)


def measure_speed(task: Task, images: Path, cache: str, workers: int) -> None:
    """Measure the images per second that `batches` yields, without a run that uses them."""
    data = ImageFolder(
        seed=0,
        root=str(images),
        resolution=task.pick(256, 16),
        cache=cache,  # pyright: ignore[reportArgumentType]
    )
    data.prepare(batch=BATCH, multiple=1, log=print)
    batch = task.pick(BATCH, 2)
    stream = batches(data, start=0, batch=batch, workers=workers, pin_memory=task.on_cuda)
    for _ in range(2 + 4 * workers):  # batches that were prefetched while the workers started
        next(stream)
    begin, seen = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - begin) < task.pick(SECONDS, 0.05):
        next(stream)
        seen += batch
    stream.close()  # pyright: ignore[reportAttributeAccessIssue]
    name = {"none": "decoded and resized each time", "memory": "cached"}[cache]
    task.figure(name, seen / elapsed, "img/s", of=f"{workers} workers")


def measure_run(task: Task, images: Path) -> None:
    """Measure the share of time that a StyleGAN run waits for such images."""
    overrides = [
        "model=stylegan",
        "data=folder",
        f"data.root={images}",
        "data.cache=none",
        f"data.resolution={task.pick(256, 16)}",
        f"train.batch={task.pick(BATCH, 2)}",
        f"train.kimg={task.pick(1.28, 0.008)}",
        f"tracking.every_kimg={task.pick(0.32, 0.004)}",
        f"runtime.precision={'bf16' if task.on_cuda else 'fp32'}",
        f"runtime.workers={task.pick(8, 1)}",
        "name=run",
        *program.PLAIN,
        *(tiny("stylegan") if task.quick else []),
    ]
    folder = task.folder("real")
    program.run(task, folder, *overrides)
    for row in program.rows(folder / "runs/run"):
        of = f"a run with {task.pick(8, 1)} workers, at {row['nimg']} images"
        task.figure("speed", row["progress/img_per_sec"], "img/s", of=of)
        task.figure("waiting for data", 100 * row["progress/data_wait"], "%", of=of)
