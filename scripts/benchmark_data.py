"""Measure how many training images one core loads in a second, by format, cache and setting.

python scripts/benchmark.py --data [--root FOLDER] [--sizes 64 256]

The images are those of --root, or drawn ones that compress about as photographs do. A row is one
way to keep them; all rows of a size take turns. "img/s" is that of `item`, which is what a data
worker does; "with a worker" adds the way to the training process, for batches of 8.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image

from gantrain.data.image_folder import ImageFolder
from gantrain.data.loader import batches

IMAGES = 64  # of every row, read once a turn
BATCH = 8
ROWS: dict[str, tuple[str, dict[str, Any]]] = {  # name: folder, settings
    "JPEG": ("jpg", {"cache": "none"}),
    "JPEG, twice the size": ("large", {"cache": "none"}),
    "PNG": ("png", {"cache": "none"}),
    "JPEG in a zip": ("jpg.zip", {"cache": "none"}),
    "cache in memory": ("jpg", {"cache": "memory"}),
    "cache in memory, no mirror": ("jpg", {"cache": "memory", "flip": False}),
    "cache in memory, labels": ("jpg", {"cache": "memory", "labels": True}),
    "cache on disk": ("jpg", {"cache": "disk"}),
}


def run(sizes: list[int], turns: int, root: Path | None) -> None:
    """Print a table for every size."""
    torch.set_num_threads(1)
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_images(Path(folder), size, root)
            sets = {
                name: load(Path(folder) / kind, size, Path(folder) / "cache", settings)
                for name, (kind, settings) in ROWS.items()
            }
            rates: dict[str, list[list[float]]] = {name: [[], []] for name in ROWS}
            for _ in range(turns):
                for name, data in sets.items():
                    rates[name][0].append(items_per_second(data))
                    rates[name][1].append(batches_per_second(data) * BATCH)
        print(f"| {size} px | img/s | with a worker |\n|---|---|---|")
        for name, both in rates.items():
            alone, worker = (statistics.median(values) for values in both)
            print(f"| {name} | {alone:.0f} | {worker:.0f} |")
        print()


def load(root: Path, size: int, cache: Path, settings: dict[str, Any]) -> ImageFolder:
    """Return a data set that is ready to train on."""
    data = ImageFolder(
        seed=0, root=str(root), resolution=size, cache_dir=str(cache), **settings
    )  # fmt: skip
    data.prepare(batch=1, multiple=1, log=lambda _: None)
    return data


def items_per_second(data: ImageFolder) -> float:
    """Return the images that this process loads in a second."""
    return IMAGES / seconds(lambda: [data.item(position) for position in range(IMAGES)])


def batches_per_second(data: ImageFolder) -> float:
    """Return the batches that one worker hands over in a second."""
    stream = batches(data, start=0, batch=BATCH, workers=1)
    count = 3 * IMAGES // BATCH
    for _ in range(8):  # what was loaded ahead
        next(stream)
    rate = count / seconds(lambda: [next(stream) for _ in range(count)])
    stream.close()
    return rate


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def write_images(folder: Path, size: int, root: Path | None) -> None:
    """Write the same images as JPEG, larger JPEG, PNG and zip, in two folders (labels) each."""
    originals = sorted(p for p in root.rglob("*") if p.suffix in (".jpg", ".png")) if root else []
    for kind in ("jpg", "large", "png"):
        for label in range(2):
            (folder / kind / str(label)).mkdir(parents=True)
    for index in range(IMAGES):
        image = Image.open(originals[index % len(originals)]) if originals else draw(index)
        name = f"{index % 2}/{index}"
        small = image.convert("RGB").resize((size, size))
        small.save(folder / "jpg" / f"{name}.jpg", quality=90)
        small.save(folder / "png" / f"{name}.png")
        large = image.convert("RGB").resize((2 * size, 2 * size))
        large.save(folder / "large" / f"{name}.jpg", quality=90)
    with ZipFile(folder / "jpg.zip", "w") as archive:
        for path in sorted((folder / "jpg").rglob("*.jpg")):
            archive.write(path, str(path.relative_to(folder / "jpg")))


def draw(seed: int) -> Image.Image:
    """Return smooth noise with some grain, which compresses about as photographs do."""
    generator = np.random.default_rng(seed)
    coarse = Image.fromarray(generator.integers(0, 256, (24, 24, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((512, 512), Image.Resampling.BICUBIC), dtype=np.float64)
    grain = generator.normal(0, 8, smooth.shape)
    return Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of this benchmark."""
    parser.add_argument("--data", action="store_true", help="load images instead of training")
    parser.add_argument("--root", type=Path, help="a folder of images for --data; default: drawn")
