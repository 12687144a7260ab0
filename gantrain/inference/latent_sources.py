"""Where pictures come from: seeds, real pictures through the encoder, stored points of w."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantrain.data.bit_depth import ImageFault
from gantrain.data.image_files import list_images, load_image
from gantrain.data.transforms import FitResize
from gantrain.errors import ConfigError
from gantrain.inference.labels import Label
from gantrain.inference.model import Model
from gantrain.ops.value_range import to_float


@dataclass(frozen=True)
class LatentBatch:
    """What a generator renders some pictures from.

    names: of the pictures, "seed0007"; told: what each is, "seed 7".
    values: ws [N, num_ws, w_dim], or [N, z_dim + label_dim] of a generator without w.
    seeds: of each picture's own noise, for noise=random.
    inputs: the real pictures, uint8 [N, C, H, W], if the points are of such.
    """

    names: list[str]
    told: list[str]
    values: Tensor
    seeds: list[int]
    inputs: Tensor | None = None


def from_seeds(
    model: Model,
    seeds: Sequence[int],
    label: Label | None,
    psi: float,
    cutoff: int | None,
    batch: int,
) -> Iterator[LatentBatch]:
    """In portions of `batch`; names sort by seed."""
    digits = max(4, len(str(max(seeds))))
    for start in range(0, len(seeds), batch):
        part = list(seeds[start : start + batch])
        values = model.points(part, model.label_batch(part, label), psi=psi, cutoff=cutoff)
        names = [f"seed{seed:0{digits}d}" for seed in part]
        yield LatentBatch(names, [f"seed {seed}" for seed in part], values, part)


def read_images(model: Model, path: Path) -> tuple[list[Path], Tensor]:
    """The picture file `path`, or all below the folder: files and uint8 [N, C, H, W].

    Pictures are cut to the generator's shape about their centre and brought to its size.

    Raises:
        ConfigError: no pictures, or some that cannot be read or have other channels.
    """
    files = [path] if path.is_file() else list_images(path)
    if not files:
        raise ConfigError(f"images={path} has no pictures in it.")
    channels, (h, w) = model.generator.channels, model.generator.resolution
    fit = FitResize("crop", "lanczos", (h, w))
    pixels, faults = [], []
    for file in files:
        try:
            pixels.append(torch.from_numpy(fit.resize(load_image(file, channels)).copy()))
        except ImageFault as fault:
            faults.append(f"{file} {fault}.")
    if faults:
        raise ConfigError(*faults)
    return files, torch.stack(pixels).permute(0, 3, 1, 2).contiguous()


def from_images(
    model: Model, files: Sequence[Path], pixels: Tensor, batch: int
) -> Iterator[LatentBatch]:
    """In portions of `batch`."""
    for start in range(0, len(files), batch):
        part, numbers = pixels[start : start + batch], _numbers(start, len(files), batch)
        names = [f"image{i:04d}" for i in numbers]
        told = [str(files[i]) for i in numbers]
        yield LatentBatch(names, told, model.encode(to_float(part)), numbers, part)


def read_w(model: Model, path: Path) -> Tensor:
    """float32 [N, num_ws, w_dim] of an .npz with the array "w". Raises ConfigError."""
    shape = (model.style.num_ws, model.style.w_dim)
    try:
        with np.load(path, allow_pickle=False) as content:
            stored = torch.from_numpy(np.asarray(content["w"], dtype=np.float32))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        raise ConfigError(
            f"w={path} is not an .npz file with an array w, as save_w=true writes it."
        ) from None
    if stored.ndim == 2:
        stored = stored[None]
    if stored.ndim != 3 or tuple(stored.shape[1:]) != shape or not len(stored):
        raise ConfigError(
            f"w={path} has the shape {list(stored.shape)}, and this generator takes "
            f"[N, {shape[0]}, {shape[1]}]."
        )
    if not torch.isfinite(stored).all():
        raise ConfigError(f"w={path} has values that are not finite.")
    return stored


def from_w(model: Model, path: Path, stored: Tensor, batch: int) -> Iterator[LatentBatch]:
    """In portions of `batch`."""
    for start in range(0, len(stored), batch):
        numbers = _numbers(start, len(stored), batch)
        values = stored[start : start + batch].to(model.precision.device)
        told = [f"{path} [{i}]" for i in numbers]
        yield LatentBatch([f"w{i:04d}" for i in numbers], told, values, numbers)


def concat(portions: Iterable[LatentBatch]) -> LatentBatch:
    """All portions as one."""
    parts = list(portions)
    inputs = [part.inputs for part in parts if part.inputs is not None]
    return LatentBatch(
        [name for part in parts for name in part.names],
        [text for part in parts for text in part.told],
        torch.cat([part.values for part in parts]),
        [seed for part in parts for seed in part.seeds],
        torch.cat(inputs) if inputs else None,
    )


def split(points: LatentBatch, batch: int) -> Iterator[LatentBatch]:
    """The reverse of `concat`: portions of at most `batch`."""
    for start in range(0, len(points.names), batch):
        part = slice(start, start + batch)
        inputs = None if points.inputs is None else points.inputs[part]
        names, told = points.names[part], points.told[part]
        yield LatentBatch(names, told, points.values[part], points.seeds[part], inputs)


def _numbers(start: int, total: int, batch: int) -> list[int]:
    return list(range(start, min(start + batch, total)))
