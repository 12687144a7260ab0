"""Editing: latents moved along directions in w, and the files that hold directions."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantrain.errors import ConfigError, nearest
from gantrain.io.files import atomic_write

_UNSOUND = (ValueError, TypeError, LookupError, RuntimeError, zipfile.BadZipFile)  # its arrays
QUALITIES = ("explained", "accuracy", "consistency")


@dataclass(frozen=True)
class Direction:
    """A direction in w.

    Attributes:
        name: such as "pca3" or the name of a class.
        vector: float32 [w_dim], of length 1.
        scale: the standard deviation of w along it, which is a strength of 1.
        layers: the indices of ws that it is meant for.
    """

    name: str
    vector: Tensor
    scale: float
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Directions:
    """K directions in w.

    Attributes:
        method: "pca", "sefa", "labels" or "pairs".
        names: of the directions.
        vectors: float32 [K, w_dim], each of length 1.
        scale: float32 [K], see `Direction`.
        layers: the indices of ws that they are meant for.
        quality: by name, float64 [K]: "explained" (share of the variance, pca, or of the squared
            singular values, sefa), "accuracy" (balanced, held out: labels) or "consistency" (mean
            cosine between the differences of two pairs: pairs).
    """

    method: str
    names: list[str]
    vectors: Tensor
    scale: Tensor
    layers: tuple[int, ...]
    quality: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names)

    def pick(self, key: int | str) -> Direction:
        """Return a direction by its index from 0, or, of a text, rather by its name.

        Raises:
            ConfigError: there is none.
        """
        if isinstance(key, str) and key in self.names:
            i = self.names.index(key)
        elif str(key).isdecimal() and int(key) < len(self):
            i = int(key)
        else:
            close = nearest(str(key), self.names)
            hint = f" Did you mean {close}?" if close else ""
            names = ", ".join(self.names[:20]) + ", ..." * (len(self) > 20)
            raise ConfigError(
                f"{key} is not a direction: there are 0 to {len(self) - 1}, named {names}.{hint}"
            )
        return Direction(self.names[i], self.vectors[i], float(self.scale[i]), self.layers)

    def save(self, path: Path) -> None:
        """Write an .npz file without pickles."""
        arrays = {
            "directions": self.vectors.numpy(),
            "scale": self.scale.numpy(),
            "layers": np.asarray(self.layers, dtype=np.int64),
            "method": np.asarray(self.method),
            "names": np.asarray(self.names),
            **{name: values.numpy() for name, values in self.quality.items()},
        }
        with atomic_write(path) as file:
            np.savez(file, allow_pickle=False, **arrays)


def read_directions(path: str | Path) -> Directions:
    """Read a file that gantrain directions wrote.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = {name: content[name] for name in content.files}
        found = Directions(
            method=str(arrays["method"]),
            names=[str(name) for name in arrays["names"]],
            vectors=torch.from_numpy(arrays["directions"].astype(np.float32)),
            scale=torch.from_numpy(arrays["scale"].astype(np.float32)),
            layers=tuple(int(layer) for layer in arrays["layers"]),
            quality={k: torch.from_numpy(arrays[k]) for k in QUALITIES if k in arrays},
        )
        length = found.vectors.norm(dim=1)
        is_sound = (
            found.vectors.shape[0] == len(found.names) == len(found.scale) > 0
            and bool((length - 1).abs().max() < 1e-3)
            and bool(torch.isfinite(found.scale).all())
            and min(found.layers) >= 0
        )
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file of directions.") from None
    except (OSError, EOFError, *_UNSOUND):
        is_sound = False
    if not is_sound:
        raise ConfigError(
            f"{path} is no .npz file of directions, as gantrain directions writes it."
        )
    return found


def find_direction(text: str) -> Direction:
    """Return the direction that FILE:NAME or FILE:INDEX names, or the only one of FILE.

    Raises:
        ConfigError: there is none.
    """
    path, colon, key = text.rpartition(":")
    if not colon or Path(text).is_file():
        found = read_directions(text)
        if len(found) > 1:
            names = ", ".join(found.names[:20]) + ", ..." * (len(found) > 20)
            raise ConfigError(
                f"{text} holds {len(found)} directions: choose one, such as {text}:0. They are "
                f"named {names}."
            )
        return found.pick(0)
    try:
        return read_directions(path).pick(key)
    except ConfigError as error:
        raise ConfigError(*(f"{text}: {problem}" for problem in error.problems)) from None


def explain_misfit(
    direction: Direction, w_dim: int, num_ws: int, layers: Sequence[int] | None = None
) -> list[str]:
    """Return a sentence for each reason why a direction cannot edit a generator's ws.

    Args:
        direction: the direction.
        w_dim: entries of the generator's w.
        num_ws: its number of ws.
        layers: the layers to edit; None: those of the direction.
    """
    if len(direction.vector) != w_dim:
        return [
            f"The direction {direction.name} has {len(direction.vector)} entries, and this "
            f"generator's w has {w_dim}: make directions of this generator."
        ]
    if layers is None and (highest := max(direction.layers)) >= num_ws:
        return [
            f"The direction {direction.name} is meant for layers up to {highest}, and this "
            f"generator has the layers 0 to {num_ws - 1}: say which, such as edit.layers=0-1, or "
            "make directions of this generator."
        ]
    if layers is not None and max(layers) >= num_ws:
        return [
            f"layers goes up to {max(layers)}, but this generator has the layers 0 to {num_ws - 1}."
        ]
    return []


def edit(
    ws: Tensor, direction: Direction, strength: float, layers: Sequence[int] | None = None
) -> Tensor:
    """Return ws + strength * scale * vector, in some layers.

    Args:
        ws: [N, num_ws, w_dim].
        direction: where to.
        strength: in standard deviations of w along the direction; 0 leaves ws unchanged.
        layers: indices of the ws to move; None: those of the direction.

    Raises:
        ConfigError: the direction or the layers do not fit ws.
    """
    if problems := explain_misfit(direction, ws.shape[2], ws.shape[1], layers):
        raise ConfigError(*problems)
    chosen = list(direction.layers if layers is None else layers)
    moved = ws.clone()
    moved[:, chosen] += strength * direction.scale * direction.vector.to(ws)
    return moved
