"""Every picture is decoded once before the first step, and all faults are told at once."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gantrain.data import cache
from gantrain.data.archive import Picture, file_size
from gantrain.data.bit_depth import ImageFault, PixelFormat, to_channels
from gantrain.data.decode import decode, image_size
from gantrain.data.image_files import reload_image
from gantrain.data.transforms import FitResize, Preprocess, Size
from gantrain.errors import ConfigError

Log = Callable[[str], None]

_CHUNK = 64  # pictures decoded ahead of the one that is being stored
_LOG_SECONDS = 5.0


@dataclass(frozen=True)
class ImageSource:
    """The files of one domain's training or test images, and how they are resized.

    names: the files' paths below their folder.
    """

    names: Sequence[str]
    files: Sequence[Picture]
    channels: int
    resize: Preprocess | FitResize
    pixels: PixelFormat
    test: bool = False


@dataclass(frozen=True)
class CacheSettings:
    """The data.cache* keys."""

    mode: cache.CacheMode
    gb: float
    folder: Path


@dataclass(frozen=True)
class ValidatedSource:
    """The usable files of a source and, with a cache, their images after the resize.

    Args:
        source: all files, usable or not, and how they are read.
        numbers: the usable ones, as positions in `source.files`.
        sizes: (height, width) after the resize, of each usable file.
        store: the resized images of the usable files; None for test sources and without a cache.
    """

    source: ImageSource
    numbers: list[int]
    sizes: list[Size]
    store: cache.Store | None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def names(self) -> list[str]:
        """Paths of the usable files below their folder."""
        return [self.source.names[number] for number in self.numbers]

    @property
    def files(self) -> list[Picture]:
        """The usable files."""
        return [self.source.files[number] for number in self.numbers]

    def only(self, kept: list[int]) -> "ValidatedSource":
        """Return some files of a source without a store, by their position among the usable."""
        assert self.store is None
        numbers, sizes = [self.numbers[n] for n in kept], [self.sizes[n] for n in kept]
        return replace(self, numbers=numbers, sizes=sizes)

    def resized(self, index: int) -> np.ndarray:
        """Return the resized image [h, w, C] of usable file `index`, from the cache if any.

        Raises:
            ConfigError: the file was usable at the start and no longer is.
        """
        return self.store[index] if self.store is not None else self._read(index, self.source.test)

    def resized_for_test(self, index: int) -> np.ndarray:
        """Return the same image [h, w, C] with the resize of test images, which may be another."""
        return self._read(index, test=True)

    def _read(self, index: int, test: bool) -> np.ndarray:
        source, file = self.source, self.source.files[self.numbers[index]]
        return source.resize.resize(reload_image(file, source.channels, source.pixels), test)

    def facts(self) -> list[tuple[str, int]]:
        """Return path and size in bytes of each usable file: they tell one set from another."""
        pairs = zip(self.names, self.files, strict=True)
        return [(name, file_size(file)) for name, file in pairs]


@dataclass(frozen=True)
class _Job:
    source: str
    path: Picture
    shape: cache.Shape = (0, 0, 0)  # after the resize
    offset: int = 0  # in the cache
    fault: str = ""  # empty: usable
    note: str = ""  # what had to be changed


def preflight(
    sources: dict[str, ImageSource],
    settings: CacheSettings,
    skip: bool,
    log: Log,
) -> dict[str, ValidatedSource]:
    """Decode every file once, cache the resized training pictures; the usable files by source.

    A disk cache of exactly these files and settings answers instead, without decoding. Raises
    ConfigError listing all faulty files unless `skip`, which leaves them out and logs them; also
    when a cache asked for by name does not fit or cannot be written.
    """
    key = _key(sources)
    index = cache.read_index(settings.folder, key) if settings.mode in ("auto", "disk") else None
    if index is not None:
        log(f"data: pictures checked and resized on an earlier start, kept in {settings.folder}")
        jobs = _remembered(index["jobs"], sources)
        _report(jobs, skip, log)
        return _checked(sources, jobs, settings.folder / f"{key}.bin")
    jobs = _read_headers(sources)
    total = jobs[-1].offset + _stored_bytes(jobs[-1], sources) if jobs else 0
    mode = cache.choose_mode(settings.mode, total, settings.gb, settings.folder)
    if mode == "none":
        jobs = _decode_all(jobs, sources, None, log)
        _report(jobs, skip, log)
        return _checked(sources, jobs, None)
    writer = (
        cache.MemoryWriter(total)
        if mode == "memory"
        else cache.DiskWriter(settings.folder, key, total)
    )
    try:
        jobs = _decode_all(jobs, sources, writer, log)
        _report(jobs, skip, log)
        writer.finish({"jobs": [{**job.__dict__, "path": str(job.path)} for job in jobs]})
    except BaseException:
        writer.abandon()
        raise
    where = f"on disk in {settings.folder}" if mode == "disk" else "in memory"
    log(f"data: resized pictures cached {where}, {total / 1e6:.0f} MB")
    return _checked(sources, jobs, writer.source)


def _remembered(values: list[dict[str, Any]], sources: dict[str, ImageSource]) -> list[_Job]:
    # The files' order is part of the key. Their paths are today's: an earlier start may have named
    # them relative to another folder.
    paths = [path for source in sources.values() for path in source.files]
    return [
        _Job(**{**job, "path": path, "shape": tuple(job["shape"])})
        for job, path in zip(values, paths, strict=True)
    ]


def _key(sources: dict[str, ImageSource]) -> str:
    settings: list[object] = []
    for name, source in sources.items():
        wanted: dict[str, Any] = {**source.resize.__dict__, "load_size": source.resize.load}
        del wanted["flip"]
        pixels = source.pixels.__dict__
        settings.append([name, source.channels, source.test, len(source.files), wanted, pixels])
    files = [path for source in sources.values() for path in source.files]
    return cache.cache_key(settings, files)


def _read_headers(sources: dict[str, ImageSource]) -> list[_Job]:
    """One job a file, with the size it will have and its place in the cache."""
    jobs = [_Job(name, path) for name, source in sources.items() for path in source.files]
    with ThreadPoolExecutor(_threads()) as pool:
        jobs = list(pool.map(lambda job: _measured(job, sources[job.source]), jobs))
    offset = 0
    for number, job in enumerate(jobs):
        jobs[number] = replace(job, offset=offset)
        offset += _stored_bytes(job, sources)
    return jobs


def _measured(job: _Job, source: ImageSource) -> _Job:
    try:
        size = image_size(job.path)
    except ImageFault as fault:
        return replace(job, fault=str(fault))
    if fault := source.resize.size_fault(size, source.test):
        return replace(job, fault=fault)
    height, width = source.resize.resized(size, source.test)
    return replace(job, shape=(height, width, source.channels))


def _decode_all(
    jobs: list[_Job],
    sources: dict[str, ImageSource],
    writer: cache.MemoryWriter | cache.DiskWriter | None,
    log: Log,
) -> list[_Job]:
    """The jobs with the faults that only decoding shows; usable training pictures are written."""
    done: list[_Job] = []
    told = time.monotonic()
    for job, image in _decoded(jobs, sources):
        done.append(job)
        if writer is not None and image is not None:
            writer.write(job.offset, image)
        if time.monotonic() - told > _LOG_SECONDS:
            told = time.monotonic()
            log(f"data: checked {len(done)} of {len(jobs)} pictures")
    return done


def _decoded(
    jobs: list[_Job], sources: dict[str, ImageSource]
) -> Iterator[tuple[_Job, np.ndarray | None]]:
    with ThreadPoolExecutor(_threads()) as pool:  # Pillow decodes and resizes without the GIL
        for start in range(0, len(jobs), _CHUNK):
            chunk = jobs[start : start + _CHUNK]
            yield from pool.map(lambda job: _decode(job, sources[job.source]), chunk)


def _decode(job: _Job, source: ImageSource) -> tuple[_Job, np.ndarray | None]:
    """The job with what decoding shows, and what is to be stored of it."""
    try:
        array, note = decode(job.path)
        picture = to_channels(source.pixels.convert(array), source.channels)
    except ImageFault as fault:
        # What is wrong inside a file matters more than its size.
        return replace(job, fault=str(fault)), None
    job = replace(job, note=note)
    if job.fault or source.test:
        return job, None
    image = source.resize.resize(picture)
    if image.shape != job.shape:
        return replace(job, fault="is not as large as its header says: save it anew"), None
    return job, image


def _report(jobs: list[_Job], skip: bool, log: Log) -> None:
    if printed := [job.path for job in jobs if job.note == "CMYK" and not job.fault]:
        log(
            f"data: warning: {len(printed)} pictures are in CMYK, such as {printed[0]}: their "
            "colours became RGB by a plain formula, without a colour profile"
        )
    lines = [f"  {job.path} {job.fault}" for job in jobs if job.fault]
    if not lines:
        return
    if not skip:
        raise ConfigError(
            f"{len(lines)} of {len(jobs)} pictures cannot be used; repair or remove them, or leave "
            "them out with data.on_bad_file=skip:",
            *lines,
        )
    log(f"data: left out {len(lines)} of {len(jobs)} pictures (data.on_bad_file=skip):")
    for line in lines:
        log(line)


def _checked(
    sources: dict[str, ImageSource], jobs: list[_Job], kept: np.ndarray | Path | None
) -> dict[str, ValidatedSource]:
    result = {}
    for name, source in sources.items():
        own = [job for job in jobs if job.source == name]
        numbers = [number for number, job in enumerate(own) if not job.fault]
        good = [own[number] for number in numbers]
        store = None
        if kept is not None and not source.test:
            places, shapes = [j.offset for j in good], [j.shape for j in good]
            store = cache.Store(kept, places, shapes, source.pixels.dtype)
        sizes = [(job.shape[0], job.shape[1]) for job in good]
        result[name] = ValidatedSource(source, numbers, sizes, store)
    return result


def _stored_bytes(job: _Job, sources: dict[str, ImageSource]) -> int:
    source = sources[job.source]
    height, width, channels = job.shape
    return 0 if source.test else height * width * channels * source.pixels.dtype.itemsize


def _threads() -> int:
    return min(os.cpu_count() or 1, 16)
