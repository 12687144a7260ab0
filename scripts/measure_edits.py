"""Measure what directions change in drawings of data=shapes, whose colours name their shapes.

python scripts/measure_edits.py draw OUT [--side 32] [--count 200]
python scripts/measure_edits.py table RUN DIRECTIONS.npz ... [--strength 2] [--seeds 100]
python scripts/measure_edits.py random RUN PHOTOS [--seeds 100] [--lpips FILE]

`draw` writes folders of examples: OUT/without-circle and OUT/circle (red), and the same of squares
(blue) and triangles (yellow), from the test scenes, which nothing is trained on. `table` moves the
w of seeds along each direction, and along random ones by the same length, and prints by how many
percent of the image the area of each colour changes (mean and standard deviation over the seeds),
and in how many images there is a shape of it before and after. Of the random directions, it is that
over seeds and 20 directions, and the largest mean of one of them. `random` prints the distance of
photos to images of random seeds, the baseline of projections.
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import gantrain
from gantrain.data.shapes import CLASSES, COLORS, draw_labelled
from gantrain.inference import latent_sources
from gantrain.inference.editing import Direction, read_directions
from gantrain.inference.model import Model
from gantrain.inference.projection import for_lpips
from gantrain.metrics import weights
from gantrain.metrics.extractor import load_lpips
from gantrain.metrics.paired import psnr
from gantrain.ops.value_range import to_float, to_uint8

NEAR = 80  # largest distance in RGB, of 255, of a pixel from the colour that it is counted as
LEAST = 1.0  # percent of an image that a shape covers at least
FIRST = 1000  # random seed, none of those that are projected
RANDOM = 20  # directions
BATCH = 50


def areas(images: Tensor) -> np.ndarray:
    """Return the percentages of pixels in the colours of CLASSES, [N, 3]; images: uint8."""
    pixels = images.permute(0, 2, 3, 1).numpy().astype(np.float64)
    distance = np.linalg.norm(pixels[:, :, :, None] - COLORS, axis=-1)  # [N, H, W, 3]
    nearest = distance.argmin(-1)[..., None] == np.arange(len(COLORS))
    return 100 * (nearest & (distance < NEAR)).mean((1, 2))


def draw(out: Path, side: int, count: int) -> None:
    """Write `count` test scenes with and without each shape."""
    images, labels = draw_labelled("test", 8 * count, side)
    for kind, name in enumerate(CLASSES):
        for has_it, folder in ((0, f"without-{name}"), (1, name)):
            (out / folder).mkdir(parents=True)
            for i in np.flatnonzero(labels[:, kind] == has_it)[:count]:
                Image.fromarray(images[i].transpose(1, 2, 0)).save(out / folder / f"{i:04}.png")


def random_directions(like: Direction, count: int) -> Iterator[Direction]:
    """Yield directions of the same scale, and so of the same length at the same strength."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        vector = torch.randn(like.vector.shape, generator=generator)
        yield Direction("random", vector / vector.norm(), like.scale, like.layers)


@torch.no_grad()
def measured(model: Model, ws: Tensor) -> np.ndarray:
    """Return the areas in the images of ws, [N, 3]."""
    parts = ws.split(BATCH)
    return np.concatenate([areas(to_uint8(model.synthesis(part)).cpu()) for part in parts])


def texts(before: np.ndarray, after: np.ndarray) -> list[str]:
    """Return the mean change of each column, its deviation, and how many images show the colour."""
    change = after - before
    rows = (change.mean(0), change.std(0, ddof=1), *(shown(x).mean(0) for x in (before, after)))
    return [f"{m:+.2f} +- {d:.2f}; {a:.0%} to {b:.0%}" for m, d, a, b in zip(*rows, strict=True)]


def shown(areas_in_images: np.ndarray) -> np.ndarray:
    """Return whether an image shows a shape of the colour, from its area in percent."""
    return areas_in_images > LEAST


def show(name: str, cells: Iterable[str]) -> None:
    """Print a row of a Markdown table."""
    print(f"| {name} | {' | '.join(cells)} |")


def table(run: str, files: list[str], strength: float, seeds: int) -> None:
    """Print a row for each direction, and two for random ones of its length."""
    model = gantrain.load(run)
    with torch.no_grad():
        ws = model.latent_inputs(range(seeds), None)
    before = measured(model, ws)
    show("direction, length", ("red", "blue", "yellow"))
    show("---", ["---"] * 3)
    show("area before", (f"{x:.2f}" for x in before.mean(0)))
    for file in files:
        found = read_directions(file)
        for i, name in enumerate(found.names):
            direction = found.pick(i)
            length = strength * direction.scale
            after = measured(model, model.edit(ws, direction, strength))
            show(f"{name}, {length:+.2f}", texts(before, after))
            others = [
                measured(model, model.edit(ws, d, strength))
                for d in random_directions(direction, RANDOM)
            ]
            show("random", texts(np.tile(before, (RANDOM, 1)), np.concatenate(others)))
            means = np.stack(others).mean(1) - before.mean(0)
            largest = means[np.abs(means).argmax(0), range(len(COLORS))]
            show(f"largest mean of {RANDOM} random", (f"{x:+.2f}" for x in largest))


@torch.no_grad()
def random_distance(run: str, photos: Path, seeds: int, file: str | None) -> None:
    """Print the mean distance of each photo to the images of seeds, and to the nearest of them."""
    model = gantrain.load(run)
    lpips = load_lpips(weights.find("lpips", file, print), model.precision.device)
    _, pixels = latent_sources.read_images(model, photos)
    images = to_uint8(model.sample([*range(FIRST, FIRST + seeds)]))
    ratios, distances = [], []
    for photo in pixels:
        pair = (for_lpips(to_float(x)) for x in (photo[None].repeat(seeds, 1, 1, 1), images))
        distances.append(lpips(*pair))
        ratios.append([float(psnr(photo[None], image[None])) for image in images])
    distance, ratio = torch.stack(distances), torch.tensor(ratios)
    print(f"any seed: LPIPS {float(distance.mean()):.4f}  PSNR {float(ratio.mean()):.2f} dB")
    nearest, best = distance.min(1)[0].mean(), ratio.max(1)[0].mean()
    print(f"best of {seeds}: LPIPS {float(nearest):.4f}  PSNR {float(best):.2f} dB")


def main() -> None:
    """Draw examples, print a table, or print the distance of random seeds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    actions = parser.add_subparsers(dest="action", required=True)
    drawing = actions.add_parser("draw")
    drawing.add_argument("out", type=Path)
    drawing.add_argument("--side", type=int, default=32)
    drawing.add_argument("--count", type=int, default=200)
    measuring = actions.add_parser("table")
    measuring.add_argument("run")
    measuring.add_argument("directions", nargs="+")
    measuring.add_argument("--strength", type=float, default=2.0)
    measuring.add_argument("--seeds", type=int, default=100)
    baseline = actions.add_parser("random")
    baseline.add_argument("run")
    baseline.add_argument("photos", type=Path)
    baseline.add_argument("--seeds", type=int, default=100)
    baseline.add_argument("--lpips", help="weights; the published ones are downloaded otherwise")
    asked = parser.parse_args()
    if asked.action == "draw":
        draw(asked.out, asked.side, asked.count)
    elif asked.action == "table":
        table(asked.run, asked.directions, asked.strength, asked.seeds)
    else:
        random_distance(asked.run, asked.photos, asked.seeds, asked.lpips)


if __name__ == "__main__":
    main()
