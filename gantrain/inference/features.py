"""Features of images for metrics: read, computed once, kept on disk for the next evaluation."""

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.io.files import atomic_write
from gantrain.metrics.extractor import Extractor
from gantrain.metrics.lpips import LPIPS
from gantrain.ops.value_range import to_uint8

Tick = Callable[[int], None]  # so many more pictures are done
_VERSION = 2  # of the files of kept features
_AHEAD = 4  # batches that are read before they are asked for


@dataclass(frozen=True)
class RealImages:
    """`count` real pictures by number, [C, H, W] as a data set has them; `name` names the set."""

    name: str
    count: int
    get: Callable[[int], np.ndarray]

    def batches(self, size: int) -> Iterator[Tensor]:
        """uint8 [n, C, H, W], n at most `size`, of one size each; read ahead by other threads."""
        with ThreadPoolExecutor(8) as pool:
            numbers = iter(range(self.count))
            waiting = [pool.submit(self.get, n) for n in islice(numbers, _AHEAD * size)]
            batch: list[Tensor] = []
            while waiting:
                image = torch.from_numpy(waiting.pop(0).result())
                waiting += [pool.submit(self.get, n) for n in islice(numbers, 1)]
                if batch and (len(batch) == size or batch[0].shape != image.shape):
                    yield torch.stack(batch)
                    batch = []
                batch.append(to_uint8(image))
            if batch:
                yield torch.stack(batch)


class FeatureCache:
    """The networks that judge, and what is known of real pictures.

    Args:
        kept: folder for the features of real pictures; None: they are not kept.
    """

    def __init__(self, extractor: Extractor | None, lpips: LPIPS | None, kept: Path | None) -> None:
        self._extractor, self._lpips, self._kept = extractor, lpips, kept
        self._known: dict[str, tuple[Tensor, str]] = {}  # of this process

    @property
    def extractor(self) -> Extractor:
        assert self._extractor is not None
        return self._extractor

    @property
    def lpips(self) -> LPIPS:
        assert self._lpips is not None
        return self._lpips

    def real(self, pictures: RealImages, batch: int, tick: Tick) -> tuple[Tensor, str]:
        """Features [N, dim] of real pictures and a hash of their pixels.

        Kept features serve again when the pixels are still the same.
        """
        if pictures.name in self._known:
            return self._known[pictures.name]
        file = self._file(pictures)
        kept = _read(file)
        if kept and kept[1] == _hashed(pictures, batch, tick):
            found = kept
        else:
            found = self._features(pictures, batch, tick)
            _write(file, *found)
        self._known[pictures.name] = found
        return found

    def _features(self, pictures: RealImages, batch: int, tick: Tick) -> tuple[Tensor, str]:
        parts, mark = [], hashlib.sha256()
        for images in pictures.batches(batch):
            update_digest(mark, images)
            parts.append(self.extractor(images).cpu())
            tick(len(images))
        return torch.cat(parts), mark.hexdigest()[:16]

    def fake(self, batches: Iterator[Tensor], tick: Tick) -> Tensor:
        """Features [N, dim] of generated pictures, uint8 batches."""
        parts = []
        for images in batches:
            parts.append(self.extractor(images).cpu())
            tick(len(images))
        return torch.cat(parts)

    def _file(self, pictures: RealImages) -> Path | None:
        if self._kept is None:
            return None
        e = self.extractor
        # In float32 everywhere, but other devices add up in another order.
        computed = f"float32 on {e.device.type}"
        facts = [_VERSION, pictures.name, pictures.count, e.name, e.digest, e.resize, computed]
        mark = hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]
        return self._kept / f"{mark}.npz"


def update_digest(mark: Any, images: Tensor) -> None:
    for image in images.numpy():
        mark.update(str(image.shape).encode() + image.tobytes())


def _hashed(pictures: RealImages, batch: int, tick: Tick) -> str:
    mark = hashlib.sha256()
    for images in pictures.batches(batch):
        update_digest(mark, images)
        tick(len(images))
    return mark.hexdigest()[:16]


def _read(file: Path | None) -> tuple[Tensor, str] | None:
    if file is None or not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as content:
            return torch.from_numpy(content["features"]), str(content["pixels"])
    except Exception:  # a torn or foreign file is made anew
        return None


def _write(file: Path | None, features: Tensor, pixels: str) -> None:
    if file is None:
        return
    buffer = io.BytesIO()
    np.savez(buffer, features=features.numpy(), pixels=np.array(pixels))
    try:
        with atomic_write(file) as target:
            target.write(buffer.getvalue())
    except OSError:
        return  # a full or read-only disk costs the next evaluation some time, nothing else
