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
from gantrain.data.archive import Picture
from gantrain.data.fit import Fit
from gantrain.data.images import ImageFault, image_size, load_image
from gantrain.data.transforms import Preprocess, Size
from gantrain.errors import ConfigError

Log = Callable[[str], None]

_CHUNK = 64  # pictures decoded ahead of the one that is being stored
_LOG_SECONDS = 5.0


@dataclass(frozen=True)
class Source:
    """The files of one domain's training or test images."""

    files: Sequence[Picture]
    channels: int
    test: bool = False


@dataclass(frozen=True)
class CacheSettings:
    """The data.cache* keys."""

    mode: cache.CacheMode
    gb: float
    folder: Path


@dataclass(frozen=True)
class Checked:
    """The usable files of a source, and their sizes (h, w) and pictures after the resize.

    `store` is None for test sources and without a cache; its numbers are those of `files`.
    """

    files: list[Any]  # Path or Member, as in the source
    sizes: list[Size]
    store: cache.Store | None


@dataclass(frozen=True)
class _Job:
    source: str
    path: Picture
    channels: int
    test: bool
    shape: cache.Shape = (0, 0, 0)  # after the resize
    offset: int = 0  # in the cache
    fault: str = ""  # empty: usable


def preflight(
    sources: dict[str, Source],
    preprocess: Preprocess | Fit,
    settings: CacheSettings,
    skip: bool,
    log: Log,
) -> dict[str, Checked]:
    """Decode every file once, cache the resized training pictures; the usable files by source.

    A disk cache of exactly these files and settings answers instead, without decoding. Raises
    ConfigError listing all faulty files unless `skip`, which leaves them out and logs them; also
    when a cache asked for by name does not fit or cannot be written.
    """
    key = _key(sources, preprocess)
    index = cache.read_index(settings.folder, key) if settings.mode in ("auto", "disk") else None
    if index is not None:
        log(f"data: pictures checked and resized on an earlier start, kept in {settings.folder}")
        jobs = _remembered(index["jobs"], sources)
        _report(jobs, skip, log)
        return _checked(sources, jobs, settings.folder / f"{key}.bin")
    jobs = _read_headers(sources, preprocess)
    total = jobs[-1].offset + _stored_bytes(jobs[-1]) if jobs else 0
    mode = cache.choose_mode(settings.mode, total, settings.gb, settings.folder)
    if mode == "none":
        jobs = _decode_all(jobs, preprocess, None, log)
        _report(jobs, skip, log)
        return _checked(sources, jobs, None)
    writer = (
        cache.MemoryWriter(total)
        if mode == "memory"
        else cache.DiskWriter(settings.folder, key, total)
    )
    try:
        jobs = _decode_all(jobs, preprocess, writer, log)
        _report(jobs, skip, log)
        writer.finish({"jobs": [{**job.__dict__, "path": str(job.path)} for job in jobs]})
    except BaseException:
        writer.abandon()
        raise
    where = f"on disk in {settings.folder}" if mode == "disk" else "in memory"
    log(f"data: resized pictures cached {where}, {total / 1e6:.0f} MB")
    return _checked(sources, jobs, writer.source)


def _remembered(values: list[dict[str, Any]], sources: dict[str, Source]) -> list[_Job]:
    # The files' order is part of the key. Their paths are today's: an earlier start may have named
    # them relative to another folder.
    paths = [path for source in sources.values() for path in source.files]
    return [
        _Job(**{**job, "path": path, "shape": tuple(job["shape"])})
        for job, path in zip(values, paths, strict=True)
    ]


def _key(sources: dict[str, Source], preprocess: Preprocess | Fit) -> str:
    layout = {name: [s.channels, s.test, len(s.files)] for name, s in sources.items()}
    wanted: dict[str, Any] = {**preprocess.__dict__, "load_size": preprocess.load}
    del wanted["flip"]
    files = [path for source in sources.values() for path in source.files]
    return cache.cache_key([layout, wanted], files)


def _read_headers(sources: dict[str, Source], preprocess: Preprocess | Fit) -> list[_Job]:
    """One job a file, with the size it will have and its place in the cache."""
    jobs = [
        _Job(name, path, source.channels, source.test)
        for name, source in sources.items()
        for path in source.files
    ]
    with ThreadPoolExecutor(_threads()) as pool:
        jobs = list(pool.map(lambda job: _measured(job, preprocess), jobs))
    offset = 0
    for number, job in enumerate(jobs):
        jobs[number] = replace(job, offset=offset)
        offset += _stored_bytes(job)
    return jobs


def _measured(job: _Job, preprocess: Preprocess | Fit) -> _Job:
    try:
        size = image_size(job.path)
    except ImageFault as fault:
        return replace(job, fault=str(fault))
    if fault := preprocess.size_fault(size, job.test):
        return replace(job, fault=fault)
    height, width = preprocess.resized(size, job.test)
    return replace(job, shape=(height, width, job.channels))


def _decode_all(
    jobs: list[_Job],
    preprocess: Preprocess | Fit,
    writer: cache.MemoryWriter | cache.DiskWriter | None,
    log: Log,
) -> list[_Job]:
    """The jobs with the faults that only decoding shows; usable training pictures are written."""
    done: list[_Job] = []
    told = time.monotonic()
    for job, image in _decoded(jobs, preprocess):
        done.append(job)
        if writer is not None and image is not None and not job.test:
            writer.write(job.offset, image)
        if time.monotonic() - told > _LOG_SECONDS:
            told = time.monotonic()
            log(f"data: checked {len(done)} of {len(jobs)} pictures")
    return done


def _decoded(
    jobs: list[_Job], preprocess: Preprocess | Fit
) -> Iterator[tuple[_Job, np.ndarray | None]]:
    with ThreadPoolExecutor(_threads()) as pool:  # Pillow decodes and resizes without the GIL
        for start in range(0, len(jobs), _CHUNK):
            chunk = jobs[start : start + _CHUNK]
            yield from pool.map(lambda job: _decode(job, preprocess), chunk)


def _decode(job: _Job, preprocess: Preprocess | Fit) -> tuple[_Job, np.ndarray | None]:
    try:
        picture = load_image(job.path, job.channels)
    except ImageFault as fault:
        # What is wrong inside a file matters more than its size.
        return replace(job, fault=str(fault)), None
    if job.fault or job.test:
        return job, None
    image = preprocess.resize(picture)
    if image.shape != job.shape:
        return replace(job, fault="is not as large as its header says: save it anew"), None
    return job, image


def _report(jobs: list[_Job], skip: bool, log: Log) -> None:
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
    sources: dict[str, Source], jobs: list[_Job], kept: np.ndarray | Path | None
) -> dict[str, Checked]:
    result = {}
    for name, source in sources.items():
        good = [job for job in jobs if job.source == name and not job.fault]
        store = None
        if kept is not None and not source.test:
            store = cache.Store(kept, [j.offset for j in good], [j.shape for j in good])
        result[name] = Checked(
            [j.path for j in good], [(j.shape[0], j.shape[1]) for j in good], store
        )
    return result


def _stored_bytes(job: _Job) -> int:
    return 0 if job.test else job.shape[0] * job.shape[1] * job.shape[2]


def _threads() -> int:
    return min(os.cpu_count() or 1, 16)
