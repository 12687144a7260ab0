"""A cache of resized images: one block of bytes, in memory or in a memory-mapped file."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL

from gantrain.data.views import AnyFile, identity
from gantrain.errors import ConfigError
from gantrain.io.cache import cache_home
from gantrain.io.files import replace_file
from gantrain.io.system_memory import available_bytes

CacheMode = Literal["auto", "memory", "disk", "none"]
Shape = tuple[int, int, int]  # (height, width, channels)

DISK_FACTOR = 8  # a disk cache may have this many times data.cache_gb
_VERSION = 3  # of the layout of the files, and of what is checked in images; part of the key


@dataclass
class Store:
    """Images by index, as read-only views of one block of bytes.

    Args:
        source: the bytes, or the file that holds them.
        offsets: first byte of each image.
        shapes: of the images.
        dtype: of the images.
    """

    source: np.ndarray | Path
    offsets: list[int]
    shapes: list[Shape]
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))
    _bytes: np.ndarray | None = field(default=None, repr=False)

    def __getitem__(self, index: int) -> np.ndarray:
        """Return image `index`, [H, W, C]."""
        if self._bytes is None:
            source = self.source
            self._bytes = _map_file(source) if isinstance(source, Path) else source
        shape, start = self.shapes[index], self.offsets[index]
        size = shape[0] * shape[1] * shape[2] * self.dtype.itemsize
        return self._bytes[start : start + size].view(self.dtype).reshape(shape)

    def only(self, indices: list[int]) -> "Store":
        """Return some of the images, by index."""
        offsets, shapes = ([values[i] for i in indices] for values in (self.offsets, self.shapes))
        return replace(self, offsets=offsets, shapes=shapes)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the bytes: a spawned worker maps the file itself."""
        return {**self.__dict__, "_bytes": None}


class MemoryWriter:
    """Collects images in one array of `total` bytes.

    Args:
        total: bytes.
    """

    def __init__(self, total: int) -> None:
        self.source = np.empty(total, np.uint8)

    def write(self, offset: int, image: np.ndarray) -> None:
        """Write an image at byte `offset`.

        Args:
            offset: where the image begins, in bytes.
            image: its bytes are copied.
        """
        content = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
        self.source[offset : offset + content.size] = content

    def finish(self, index: dict[str, Any]) -> None:
        """Do nothing; memory needs no index."""

    def abandon(self) -> None:
        """Do nothing."""


class DiskWriter:
    """Collects images in `<folder>/<key>.bin`, which appears when it is finished.

    Args:
        folder: of the cache; created if it is missing.
        key: name of the cache.
        total: bytes.

    Raises:
        ConfigError: the folder cannot be written.
    """

    def __init__(self, folder: Path, key: str, total: int) -> None:
        self.source, self._index = folder / f"{key}.bin", folder / f"{key}.json"
        self._total = total
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle, self._partial = tempfile.mkstemp(suffix=".partial", dir=folder)
        except OSError as error:
            raise _cannot_write(folder, error) from error
        self._file = os.fdopen(handle, "wb")

    def write(self, offset: int, image: np.ndarray) -> None:
        """Write an image at byte `offset`.

        Args:
            offset: where the image begins, in bytes.
            image: its bytes are written.

        Raises:
            ConfigError: the disk is full or fails.
        """
        try:
            self._file.seek(offset)
            self._file.write(np.ascontiguousarray(image).data)
        except OSError as error:
            raise _cannot_write(self.source.parent, error) from error

    def finish(self, index: dict[str, Any]) -> None:
        """Move the images and then their index to their final names.

        Args:
            index: plain values that `read_index` returns later.

        Raises:
            ConfigError: the disk is full or fails.
        """
        try:
            self._file.truncate(self._total)
            _move_into_place(self._file, self._partial, self.source)
            handle, partial = tempfile.mkstemp(suffix=".partial", dir=self.source.parent)
            with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
                json.dump({"bytes": self._total, **index}, file)
                _move_into_place(file, partial, self._index)
        except OSError as error:
            raise _cannot_write(self.source.parent, error) from error

    def abandon(self) -> None:
        """Remove the unfinished file."""
        with contextlib.suppress(OSError):
            self._file.close()
        Path(self._partial).unlink(missing_ok=True)


def cache_folder(cache_dir: str | None) -> Path:
    """Return `cache_dir`, or $GANTRAIN_CACHE, or ~/.cache/gantrain, without creating it."""
    return Path(cache_dir).expanduser() if cache_dir else cache_home()


def cache_key(settings: list[object], files: Sequence[AnyFile]) -> str:
    """Return a key that changes with the settings, the files and the version of Pillow.

    Args:
        settings: plain values.
        files: of which path, size and time of change count.
    """
    values = [_VERSION, PIL.__version__, settings, [identity(path) for path in files]]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:24]


def read_index(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the index of a complete disk cache, or None.

    Args:
        folder: that of the cache.
        key: see `cache_key`.
    """
    try:
        index = json.loads((folder / f"{key}.json").read_text("utf-8"))
        complete = (folder / f"{key}.bin").stat().st_size == index["bytes"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return index if complete else None


def choose_mode(mode: CacheMode, total: int, cache_gb: float, folder: Path) -> CacheMode:
    """Return where to cache images: "memory", "disk" or "none".

    Memory may hold `cache_gb` and at most half of the free memory, a disk 8 times `cache_gb` and at
    most half of its free space.

    Args:
        mode: the user's choice; "auto": memory if the images fit, else disk, else none.
        total: bytes of the images.
        cache_gb: 1e9 bytes.
        folder: of a disk cache.

    Raises:
        ConfigError: the images do not fit where the user wants them.
    """
    limits: dict[CacheMode, float] = {
        "memory": min(cache_gb * 1e9, available_bytes() / 2),
        "disk": min(cache_gb * 1e9 * DISK_FACTOR, _free_disk(folder) / 2),
    }
    if mode == "none":
        return "none"
    if mode == "auto":
        fitting: list[CacheMode] = [name for name in limits if total <= limits[name]]
        return fitting[0] if fitting else "none"
    if total > limits[mode]:
        raise ConfigError(
            f"The resized images take {total / 1e9:.2f} GB, but data.cache={mode} may take "
            f"{limits[mode] / 1e9:.2f} GB here (data.cache_gb={cache_gb:g}, and half of what is "
            "free): raise data.cache_gb, free some space, or set data.cache=auto."
        )
    return mode


def _map_file(path: Path) -> np.ndarray:
    if os.path.getsize(path) == 0:  # an empty file cannot be mapped
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, mode="r"))  # a plain array slices much faster


def _move_into_place(file: Any, partial: str, final: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    replace_file(Path(partial), final)


def _free_disk(folder: Path) -> float:
    """Return the free bytes where `folder` is or would be; 0 without write permission."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return float(shutil.disk_usage(existing).free) if os.access(existing, os.W_OK) else 0.0


def _cannot_write(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"The image cache in {folder} cannot be written ({error.strerror or error}): "
        "set data.cache_dir to a folder with enough space, or data.cache=memory or none."
    )
