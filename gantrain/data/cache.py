"""Resized pictures kept as one run of bytes, in memory or in a memory-mapped file."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import PIL

from gantrain.data.archive import Picture
from gantrain.errors import ConfigError

CacheMode = Literal["auto", "memory", "disk", "none"]
Shape = tuple[int, int, int]  # (height, width, channels)

DISK_FACTOR = 8  # a disk cache may take so many times data.cache_gb
_VERSION = 1  # of the files' layout; part of the key


@dataclass
class Store:
    """Pictures by number, read-only views into one block of bytes."""

    source: np.ndarray | Path
    offsets: list[int]
    shapes: list[Shape]
    dtype: np.dtype = field(default_factory=lambda: np.dtype(np.uint8))
    _bytes: np.ndarray | None = field(default=None, repr=False)

    def __getitem__(self, index: int) -> np.ndarray:
        """[H, W, C] of picture `index`."""
        if self._bytes is None:
            source = self.source
            self._bytes = _mapped(source) if isinstance(source, Path) else source
        shape, start = self.shapes[index], self.offsets[index]
        size = shape[0] * shape[1] * shape[2] * self.dtype.itemsize
        return self._bytes[start : start + size].view(self.dtype).reshape(shape)

    def __getstate__(self) -> dict[str, Any]:
        """A spawned worker maps the file itself instead of receiving its bytes."""
        return {**self.__dict__, "_bytes": None}


class MemoryWriter:
    """Collects pictures in one array of `total` bytes."""

    def __init__(self, total: int) -> None:
        self.source = np.empty(total, np.uint8)

    def write(self, offset: int, image: np.ndarray) -> None:
        """Place `image` at byte `offset`."""
        content = np.ascontiguousarray(image).reshape(-1).view(np.uint8)
        self.source[offset : offset + content.size] = content

    def finish(self, index: dict[str, Any]) -> None:
        """Nothing to do: memory is lost at the end anyway."""

    def abandon(self) -> None:
        """Nothing to do."""


class DiskWriter:
    """Collects pictures in `<folder>/<key>.bin`, which appears, complete, with `finish`."""

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
        """Place `image` at byte `offset`. Raises ConfigError when the disk refuses."""
        try:
            self._file.seek(offset)
            self._file.write(np.ascontiguousarray(image).data)
        except OSError as error:
            raise _cannot_write(self.source.parent, error) from error

    def finish(self, index: dict[str, Any]) -> None:
        """Make the pictures and then their index appear under their names."""
        try:
            self._file.truncate(self._total)
            _settle(self._file, self._partial, self.source)
            handle, partial = tempfile.mkstemp(suffix=".partial", dir=self.source.parent)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump({"bytes": self._total, **index}, file)
                _settle(file, partial, self._index)
        except OSError as error:
            raise _cannot_write(self.source.parent, error) from error

    def abandon(self) -> None:
        """Remove what was written so far."""
        with contextlib.suppress(OSError):
            self._file.close()
        Path(self._partial).unlink(missing_ok=True)


def cache_folder(cache_dir: str | None) -> Path:
    """`cache_dir`, else $GANTRAIN_CACHE, else ~/.cache/gantrain; not created."""
    return Path(cache_dir or os.environ.get("GANTRAIN_CACHE") or "~/.cache/gantrain").expanduser()


def cache_key(settings: list[object], files: Sequence[Picture]) -> str:
    """A name that changes with the settings, the files' paths, sizes and times, and Pillow."""
    facts = [_VERSION, PIL.__version__, settings, [_file_facts(path) for path in files]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:24]


def read_index(folder: Path, key: str) -> dict[str, Any] | None:
    """The index of a complete disk cache, or None."""
    try:
        index = json.loads((folder / f"{key}.json").read_text("utf-8"))
        complete = (folder / f"{key}.bin").stat().st_size == index["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return index if complete else None


def choose_mode(mode: CacheMode, total: int, cache_gb: float, folder: Path) -> CacheMode:
    """Where `total` bytes go: "memory", "disk" or "none".

    Memory takes up to `cache_gb` (1e9 bytes) and half of the memory that is free; disk up to
    8 times `cache_gb` and half of the free space. Raises ConfigError when the one asked for
    by name does not fit.
    """
    limits: dict[CacheMode, float] = {
        "memory": min(cache_gb * 1e9, _free_memory() / 2),
        "disk": min(cache_gb * 1e9 * DISK_FACTOR, _free_disk(folder) / 2),
    }
    if mode == "none":
        return "none"
    if mode == "auto":
        fitting: list[CacheMode] = [place for place in limits if total <= limits[place]]
        return fitting[0] if fitting else "none"
    if total > limits[mode]:
        raise ConfigError(
            f"The resized pictures take {total / 1e9:.2f} GB, but data.cache={mode} may take "
            f"{limits[mode] / 1e9:.2f} GB here (data.cache_gb={cache_gb:g}, and half of what is "
            "free): raise data.cache_gb, make room, or set data.cache=auto."
        )
    return mode


def _file_facts(path: Picture) -> list[object]:
    try:
        facts = path.stat()
    except OSError:
        return [str(path.absolute()), -1, -1]
    return [str(path.absolute()), facts.st_size, facts.st_mtime_ns]


def _mapped(path: Path) -> np.ndarray:
    if os.path.getsize(path) == 0:  # an empty file cannot be mapped
        return np.empty(0, np.uint8)
    return np.asarray(np.memmap(path, np.uint8, mode="r"))  # a plain array slices much faster


def _settle(file: Any, partial: str, final: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
    os.replace(partial, final)


def _free_memory() -> float:
    """Bytes that could be had without swapping; endless where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if "MemAvailable" in line)
    except (OSError, StopIteration):
        return float("inf")


def _free_disk(folder: Path) -> float:
    """Free bytes where `folder` is or would be; 0 where nothing may be written."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    return float(shutil.disk_usage(existing).free) if os.access(existing, os.W_OK) else 0.0


def _cannot_write(folder: Path, error: OSError) -> ConfigError:
    return ConfigError(
        f"The image cache in {folder} cannot be written ({error.strerror or error}): "
        "set data.cache_dir to a folder with room, or data.cache=memory or none."
    )
