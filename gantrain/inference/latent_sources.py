"""Sources of latents: seeds, real images through the encoder, stored ws."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from gantrain.data.bit_depth import ImageFault
from gantrain.data.image_files import list_images, load_image
from gantrain.data.transforms import FitResize
from gantrain.errors import ConfigError
from gantrain.inference.labels import Label, label_text
from gantrain.inference.model import Model
from gantrain.inference.truncation import Center
from gantrain.ops.value_range import to_float


@dataclass(frozen=True)
class LatentBatch:
    """Latents of N images.

    Args:
        names: of the images, such as "seed0007".
        descriptions: of the images for people, such as "seed 7".
        values: ws [N, num_ws, w_dim]; of a generator without w, z and labels
            [N, z_dim + label_dim].
        seeds: of each image's noise, for noise=random.
        inputs: the real images that were encoded, uint8 [N, C, H, W], or None.
    """

    names: list[str]
    descriptions: list[str]
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
    center: Center = "global",
) -> Iterator[LatentBatch]:
    """Yield the latents of seeds; names sort by seed.

    Args:
        model: a model with latents.
        seeds: one per image.
        label: see `Model.sample`.
        psi: see `Model.sample`.
        cutoff: see `Model.sample`.
        batch: latents per batch.
        center: see `Model.sample`.
    """
    digits = max(4, len(str(max(seeds))))
    for start in range(0, len(seeds), batch):
        part = list(seeds[start : start + batch])
        c = model.label_batch(part, label)
        values = model.latent_inputs(part, c, psi=psi, cutoff=cutoff, center=center)
        names = [f"seed{seed:0{digits}d}" for seed in part]
        texts = [f"seed {seed}" for seed in part]
        if c is not None:
            labels = [label_text(row, model.labels) for row in c]
            texts = [f"{text}: {label}" for text, label in zip(texts, labels, strict=True)]
        yield LatentBatch(names, texts, values, part)


def read_images(model: Model, path: Path, key: str = "images") -> tuple[list[Path], Tensor]:
    """Read an image file, or all images below a folder.

    Images are center-cropped to the generator's aspect ratio and resized to its resolution.

    Args:
        model: sets channels and resolution.
        path: the file or the folder.
        key: the setting that names it.

    Returns:
        The files and their images, uint8 [N, C, H, W].

    Raises:
        ConfigError: there are no images, or some cannot be read or have other channels.
    """
    files = [path] if path.is_file() else list_images(path)
    if not files:
        raise ConfigError(f"{key}={path} contains no images.")
    G = model.networks["G"]
    channels, (h, w) = cast(int, G.channels), cast(tuple[int, int], G.resolution)
    fit = FitResize("crop", "lanczos", (h, w))
    pixels, faults = [], []
    for file in files:
        try:
            image = load_image(file, channels)
            pixels.append(torch.from_numpy(fit.resize(image.pixels, alpha=image.alpha).copy()))
        except ImageFault as fault:
            faults.append(f"{file} {fault}.")
    if faults:
        raise ConfigError(*faults)
    return files, torch.stack(pixels).permute(0, 3, 1, 2).contiguous()


def read_examples(model: Model, folders: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Read two folders of examples, float [N, C, H, W] in [-1, 1] each, see `read_images`.

    Raises:
        ConfigError: as `read_images`, or a folder holds only one image.
    """
    images = []
    for folder in folders:
        _, pixels = read_images(model, Path(folder), "examples")
        if len(pixels) < 2:
            raise ConfigError(f"examples: {folder} holds one image; two are the least.")
        images.append(to_float(pixels))
    first, second = images
    return first, second


def from_images(
    model: Model, files: Sequence[Path], pixels: Tensor, batch: int
) -> Iterator[LatentBatch]:
    """Yield the latents of real images, `batch` at a time.

    Args:
        model: a model with an encoder.
        files: N files, for the descriptions.
        pixels: uint8 [N, C, H, W] from `read_images`.
        batch: latents per batch.
    """
    for start in range(0, len(files), batch):
        part, indices = pixels[start : start + batch], _indices(start, len(files), batch)
        names = [f"image{i:04d}" for i in indices]
        descriptions = [str(files[i]) for i in indices]
        yield LatentBatch(names, descriptions, model.encode(to_float(part)), indices, part)


def read_w(model: Model, path: Path, name: str = "w") -> Tensor:
    """Read latents from an .npz file.

    Args:
        model: sets the shape.
        path: an .npz with the array "w", [num_ws, w_dim] or [N, num_ws, w_dim]; for a generator
            without w with "z", [z_dim + label_dim] or [N, z_dim + label_dim].
        name: the setting that names it.

    Returns:
        float32 [N, num_ws, w_dim] or [N, z_dim + label_dim].

    Raises:
        ConfigError: the file has another format or shape, or values that are not finite.
    """
    if model.has_w:
        key, shape = "w", (model.style.num_ws, model.style.w_dim)
    else:
        key, shape = "z", (model.generator.z_dim + model.label_dim,)
    try:
        with np.load(path, allow_pickle=False) as content:
            latents = torch.from_numpy(np.asarray(content[key], dtype=np.float32))
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile):
        raise ConfigError(
            f"{name}={path} is not an .npz file with an array {key}, as gantrain project"
            f"{' and save_w=true write' if model.has_w else ' writes'} it."
        ) from None
    if latents.ndim == len(shape):
        latents = latents[None]
    if latents.shape[1:] != shape or not len(latents):
        raise ConfigError(
            f"{name}={path} has the shape {list(latents.shape)}, and this generator needs "
            f"[N, {', '.join(map(str, shape))}]."
        )
    if not torch.isfinite(latents).all():
        raise ConfigError(f"{name}={path} has values that are not finite.")
    return latents


def from_w(model: Model, path: Path, ws: Tensor, batch: int) -> Iterator[LatentBatch]:
    """Yield stored latents, `batch` at a time.

    Args:
        model: sets the device.
        path: their file, for the descriptions.
        ws: from `read_w`.
        batch: latents per batch.
    """
    for start in range(0, len(ws), batch):
        indices = _indices(start, len(ws), batch)
        values = ws[start : start + batch].to(model.precision.device)
        descriptions = [f"{path} [{i}]" for i in indices]
        yield LatentBatch([f"w{i:04d}" for i in indices], descriptions, values, indices)


def concat(batches: Iterable[LatentBatch]) -> LatentBatch:
    """Concatenate batches of latents."""
    parts = list(batches)
    inputs = [part.inputs for part in parts if part.inputs is not None]
    return LatentBatch(
        names=[name for part in parts for name in part.names],
        descriptions=[text for part in parts for text in part.descriptions],
        values=torch.cat([part.values for part in parts]),
        seeds=[seed for part in parts for seed in part.seeds],
        inputs=torch.cat(inputs) if inputs else None,
    )


def split(latents: LatentBatch, batch: int) -> Iterator[LatentBatch]:
    """Split latents into batches of at most `batch`; the inverse of `concat`.

    Args:
        latents: all latents.
        batch: latents per batch; the last batch may be smaller.
    """
    for start in range(0, len(latents.names), batch):
        part = slice(start, start + batch)
        yield LatentBatch(
            names=latents.names[part],
            descriptions=latents.descriptions[part],
            values=latents.values[part],
            seeds=latents.seeds[part],
            inputs=None if latents.inputs is None else latents.inputs[part],
        )


def _indices(start: int, total: int, batch: int) -> list[int]:
    return list(range(start, min(start + batch, total)))
