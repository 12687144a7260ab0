"""Features of images for metrics, cached on disk for later evaluations."""

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

Tick = Callable[[int], None]  # called with the number of images that were processed
_VERSION = 2  # of the cache files
_PREFETCH = 4  # batches


@dataclass(frozen=True)
class RealImages:
    """Real images by index.

    Args:
        name: identifies the set and its settings in the cache.
        count: number of images.
        get: returns an image [C, H, W] as the data set stores it.
    """

    name: str
    count: int
    get: Callable[[int], np.ndarray]

    def batches(self, size: int) -> Iterator[Tensor]:
        """Yield batches uint8 [n, C, H, W] with n <= `size`, prefetched by threads.

        A batch ends early where the next image has another size.
        """
        yield from map(to_uint8, self.stored(size))

    def stored(self, size: int) -> Iterator[Tensor]:
        """Yield the batches of `batches` as the data set stores them, which networks take."""
        with ThreadPoolExecutor(8) as pool:
            indices = iter(range(self.count))
            futures = [pool.submit(self.get, i) for i in islice(indices, _PREFETCH * size)]
            batch: list[Tensor] = []
            while futures:
                image = torch.from_numpy(futures.pop(0).result())
                futures += [pool.submit(self.get, i) for i in islice(indices, 1)]
                if batch and (len(batch) == size or batch[0].shape != image.shape):
                    yield torch.stack(batch)
                    batch = []
                batch.append(image)
            if batch:
                yield torch.stack(batch)


class FeatureCache:
    """The metrics' networks, with a cache of the features of real images.

    Args:
        extractor: the feature network, if a metric needs it.
        lpips: the LPIPS network, if a metric needs it.
        folder: of the cache files; None: features are cached in memory only.
    """

    def __init__(
        self, extractor: Extractor | None, lpips: LPIPS | None, folder: Path | None
    ) -> None:
        self._extractor, self._lpips, self._folder = extractor, lpips, folder
        self._in_memory: dict[str, tuple[Tensor, str]] = {}

    @property
    def extractor(self) -> Extractor:
        """The feature network; only for metrics that need it."""
        assert self._extractor is not None
        return self._extractor

    @property
    def lpips(self) -> LPIPS:
        """The LPIPS network; only for metrics that need it."""
        assert self._lpips is not None
        return self._lpips

    def real_features(self, images: RealImages, batch: int, tick: Tick) -> tuple[Tensor, str]:
        """Return the features of real images; cached ones are used if the pixels are unchanged.

        Args:
            images: the images.
            batch: images at once.
            tick: called with the number of images that were processed.

        Returns:
            Features [N, dim] on the CPU, and a digest of the pixels.
        """
        if images.name in self._in_memory:
            return self._in_memory[images.name]
        file = self._file(images)
        cached = _read(file)
        if cached and cached[1] == _pixel_digest(images, batch, tick):
            result = cached
        else:
            result = self._compute(images, batch, tick)
            _write(file, *result)
        self._in_memory[images.name] = result
        return result

    def _compute(self, images: RealImages, batch: int, tick: Tick) -> tuple[Tensor, str]:
        parts, hasher = [], hashlib.sha256()
        for pixels in images.batches(batch):
            update_digest(hasher, pixels)
            parts.append(self.extractor(pixels).cpu())
            tick(len(pixels))
        return torch.cat(parts), hasher.hexdigest()[:16]

    def fake_features(self, batches: Iterator[Tensor], tick: Tick) -> Tensor:
        """Return the features [N, dim] of generated images, on the CPU.

        Args:
            batches: uint8 [n, C, H, W].
            tick: called with the number of images that were processed.
        """
        parts = []
        for images in batches:
            parts.append(self.extractor(images).cpu())
            tick(len(images))
        return torch.cat(parts)

    def _file(self, images: RealImages) -> Path | None:
        """Return the cache file, whose name is a digest of everything that sets the features."""
        if self._folder is None:
            return None
        e = self.extractor
        # Features are float32 everywhere, but devices add in different orders.
        arithmetic = f"float32 on {e.device.type}"
        key = [_VERSION, images.name, images.count, e.name, e.digest, e.resize, arithmetic]
        digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
        return self._folder / f"{digest}.npz"


def update_digest(hasher: Any, images: Tensor) -> None:
    """Add images [N, C, H, W] on the CPU to a hasher of hashlib, one by one with their shapes.

    Args:
        hasher: an object of hashlib, changed in place.
        images: of a dtype that numpy has.
    """
    for image in images.numpy():
        hasher.update(str(image.shape).encode() + image.tobytes())


def _pixel_digest(images: RealImages, batch: int, tick: Tick) -> str:
    hasher = hashlib.sha256()
    for pixels in images.batches(batch):
        update_digest(hasher, pixels)
        tick(len(pixels))
    return hasher.hexdigest()[:16]


def _read(file: Path | None) -> tuple[Tensor, str] | None:
    if file is None or not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as content:
            return torch.from_numpy(content["features"]), str(content["pixels"])
    except Exception:  # a damaged or foreign file is written again
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
        return  # on a full or read-only disk the next evaluation computes them again
