"""Small picture folders for the tests."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantrain.data.folder import UnpairedFolder


def picture(number: int, height: int = 40, width: int = 48) -> Image.Image:
    """A smooth RGB picture that differs from every other number's."""
    rng = np.random.default_rng(number)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    return coarse.resize((width, height), Image.Resampling.BICUBIC)


def array(image: Image.Image) -> np.ndarray:
    """uint8 [H, W, C]."""
    found = np.asarray(image)
    return found if found.ndim == 3 else found[..., None]


def write_set(root: Path, train: int = 5, test: int = 3, **size: int) -> Path:
    """trainA (`train` pictures), trainB (`train` + 2), testA, testB (`test` each) below `root`."""
    number = 0
    counts = {"trainA": train, "trainB": train + 2, "testA": test, "testB": test}
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True)
        for index in range(count):
            picture(number, **size).save(root / folder / f"p{index:02d}.png")
            number += 1
    return root


def folder(root: Path | None, **settings: Any) -> UnpairedFolder:
    """An UnpairedFolder of 32 px crops without a cache, unless `settings` say otherwise."""
    values: dict[str, Any] = {"seed": 7, "resolution": 32, "cache": "none", **settings}
    return UnpairedFolder(root=None if root is None else str(root), **values)


def prepared(data: UnpairedFolder, batch: int = 1, multiple: int = 4) -> list[str]:
    """Prepare `data`; the lines it logged."""
    lines: list[str] = []
    data.prepare(batch=batch, multiple=multiple, log=lines.append)
    return lines
