"""Decode every image once before the first step, and report all faults together."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gantrain.data import cache
from gantrain.data.bit_depth import ImageFault, is_grey, to_channels
from gantrain.data.decode import decode, image_size
from gantrain.data.findings import ImageSource, Job, Log, reading_pool, report
from gantrain.data.halves import half_fault, half_of
from gantrain.data.image_files import reload_image
from gantrain.data.transforms import Preprocess, Size
from gantrain.data.views import AnyFile, bytes_of
from gantrain.errors import counted
from gantrain.io.plain_files import is_count
from gantrain.io.remote.blocks import DEFAULT_GB, BlockSettings

_CHUNK = 64  # images decoded at once
_LOG_SECONDS = 5.0
_MAX_SIDE = 2**31 - 1  # pixels of an image


@dataclass(frozen=True)
class CacheSettings:
    """The settings data.cache*.

    Args:
        mode: see `gantrain.data.cache.choose_mode`.
        gb: 1e9 bytes, see there.
        folder: of disk caches.
        remote_gb: 1e9 bytes of the parts of remote files that are kept there.
    """

    mode: cache.CacheMode
    gb: float
    folder: Path
    remote_gb: float = DEFAULT_GB

    @property
    def blocks(self) -> BlockSettings:
        """Where parts of remote files are kept."""
        return BlockSettings.of(self.folder, self.remote_gb)


@dataclass(frozen=True)
class ValidatedSource:
    """The usable files of a source and, with a cache, their images after the resize.

    Args:
        source: all files, usable or not, and how they are read.
        numbers: indices of the usable ones in `source.files`.
        sizes: (height, width) after the resize, of each usable file.
        file_sizes: (height, width) before it.
        store: the resized images of the usable files; None for test sources and without a cache.
    """

    source: ImageSource
    numbers: list[int]
    sizes: list[Size]
    file_sizes: list[Size]
    store: cache.Store | None

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def names(self) -> list[str]:
        """Paths of the usable files below their folder."""
        return [self.source.names[i] for i in self.numbers]

    @property
    def files(self) -> list[AnyFile]:
        """The usable files."""
        return [self.source.files[i] for i in self.numbers]

    def only(self, indices: list[int]) -> "ValidatedSource":
        """Return some of the usable files, by index."""
        return replace(
            self,
            numbers=[self.numbers[i] for i in indices],
            sizes=[self.sizes[i] for i in indices],
            file_sizes=[self.file_sizes[i] for i in indices],
            store=self.store.only(indices) if self.store is not None else None,
        )

    def resized(self, index: int) -> np.ndarray:
        """Return the resized image [h, w, C] of usable file `index`, from the cache if any.

        Raises:
            ConfigError: the file was usable at the start and no longer is.
        """
        return self.store[index] if self.store is not None else self._read(index, self.source.test)

    def resized_for_test(self, index: int) -> np.ndarray:
        """Return usable image `index`, resized as a test image, [h, w, C]."""
        return self._read(index, test=True)

    def _read(self, index: int, test: bool) -> np.ndarray:
        source, file = self.source, self.source.files[self.numbers[index]]
        image = reload_image(file, source.channels, source.pixels)
        pixels = half_of(image.pixels, source.half)
        return source.resize.resize(pixels, test, image.alpha)

    def names_and_sizes(self) -> list[tuple[str, int]]:
        """Return the name and the size in bytes of each usable file, to identify the set."""
        pairs = zip(self.names, self.files, strict=True)
        return [(name, bytes_of(file)) for name, file in pairs]


def preflight(
    sources: dict[str, ImageSource],
    settings: CacheSettings,
    skip: bool,
    log: Log,
) -> dict[str, ValidatedSource]:
    """Decode every file once, cache the resized training images, and return the usable files.

    If there is a disk cache of the same files and settings, it is used and nothing is decoded.

    Args:
        sources: the files, by split.
        settings: of the cache.
        skip: whether to leave out files that cannot be used, and log them.
        log: receives one line of text at a time.

    Returns:
        The usable files, by split.

    Raises:
        ConfigError: lists all files that cannot be used; or the cache does not fit or cannot be
            written.
    """
    key = _key(sources)
    index = cache.read_index(settings.folder, key) if settings.mode in ("auto", "disk") else None
    if index is not None and (jobs := _cached_jobs(index, sources)) is not None:
        log(f"data: images checked and resized on an earlier start, kept in {settings.folder}")
        report(jobs, sources, skip, log)
        return _validated(sources, jobs, settings.folder / f"{key}.bin")
    jobs = _read_headers(sources)
    total = jobs[-1].offset + _stored_bytes(jobs[-1], sources) if jobs else 0
    mode = cache.choose_mode(settings.mode, total, settings.gb, settings.folder)
    if mode == "none":
        jobs = _decode_all(jobs, sources, None, log)
        report(jobs, sources, skip, log)
        return _validated(sources, jobs, None)
    writer = (
        cache.MemoryWriter(total)
        if mode == "memory"
        else cache.DiskWriter(settings.folder, key, total)
    )
    try:
        jobs = _decode_all(jobs, sources, writer, log)
        report(jobs, sources, skip, log)
        writer.finish({"jobs": [{**job.as_dict(), "path": str(job.path)} for job in jobs]})
    except BaseException:
        writer.abandon()
        raise
    where = f"on disk in {settings.folder}" if mode == "disk" else "in memory"
    log(f"data: resized images cached {where}, {total / 1e6:.0f} MB")
    return _validated(sources, jobs, writer.source)


def _cached_jobs(index: dict[str, Any], sources: dict[str, ImageSource]) -> list[Job] | None:
    """Return the files of a cache's index, or None if it is not of these files."""
    # The order of the files is part of the key. The stored paths may be relative to the working
    # directory of an earlier start, so the current ones are used.
    files = [(name, path) for name, source in sources.items() for path in source.files]
    jobs = index.get("jobs")
    if not isinstance(jobs, list) or len(jobs) != len(files):
        return None
    for job, (name, _) in zip(jobs, files, strict=True):
        if not _is_job(job, name, sources[name], index["bytes"]):
            return None
    return [
        Job(**{**job, "path": path, "shape": tuple(job["shape"]), "size": tuple(job["size"])})
        for job, (_, path) in zip(jobs, files, strict=True)
    ]


def _is_job(job: Any, split: str, source: ImageSource, total: int) -> bool:
    """Return whether a value in an index is what this program would have written for a file.

    Args:
        job: the value.
        split: that the file is in.
        source: the files of the split. Images of test sources are not in the cache.
        total: bytes of the cache.
    """
    if not isinstance(job, dict) or job.keys() != Job.__dataclass_fields__.keys():
        return False
    shape, offset, size = job["shape"], job["offset"], job["size"]
    is_record = (
        job["source"] == split
        and isinstance(shape, list)
        and len(shape) == 3
        and isinstance(size, list)
        and len(size) == 2
        and all(map(is_count, (*shape, *size, offset, job["highest"], job["clipped"])))
        and all(isinstance(job[key], str) for key in ("fault", "note"))
        and all(isinstance(job[key], bool) for key in ("alpha", "grey"))
    )
    if not is_record or job["fault"]:
        return is_record
    if not all(0 < side <= _MAX_SIDE for side in size):
        return False
    expected = (*source.resize.resized((size[0], size[1]), source.test), source.channels)
    stored = math.prod(expected) * source.pixels.dtype.itemsize
    return tuple(shape) == expected and (source.test or offset + stored <= total)


def _key(sources: dict[str, ImageSource]) -> str:
    settings: list[object] = []
    for name, source in sources.items():
        resize: dict[str, Any] = {**source.resize.__dict__, "load_size": source.resize.load}
        del resize["flip"]
        if resize.get("interpolation") == "bicubic":  # not in the keys of earlier versions
            del resize["interpolation"]
        pixels = source.pixels.__dict__
        settings.append([name, source.channels, source.test, len(source.files), resize, pixels])
        settings += [source.half] if source.half else []
        settings += ["colors"] if source.teaches_colors else []
    files = [path for source in sources.values() for path in source.files]
    return cache.cache_key(settings, files)


def _read_headers(sources: dict[str, ImageSource]) -> list[Job]:
    """Return one job per file, with the resized shape and the offset in the cache."""
    jobs = [Job(name, path) for name, source in sources.items() for path in source.files]
    with reading_pool(sources) as pool:
        jobs = list(pool.map(lambda job: _read_header(job, sources[job.source]), jobs))
    offset = 0
    for i, job in enumerate(jobs):
        jobs[i] = replace(job, offset=offset)
        offset += _stored_bytes(job, sources)
    return jobs


def _read_header(job: Job, source: ImageSource) -> Job:
    try:
        size = image_size(job.path)
    except ImageFault as fault:
        return replace(job, fault=str(fault))
    if source.half:
        if fault := half_fault(size):
            return replace(job, size=size, fault=fault)
        size = size[0], size[1] // 2
    job = replace(job, size=size)
    if fault := source.resize.size_fault(size, source.test):
        return replace(job, fault=fault)
    height, width = source.resize.resized(size, source.test)
    return replace(job, shape=(height, width, source.channels))


def _decode_all(
    jobs: list[Job],
    sources: dict[str, ImageSource],
    writer: cache.MemoryWriter | cache.DiskWriter | None,
    log: Log,
) -> list[Job]:
    """Decode all files, write the usable training images, and return the jobs with all faults."""
    done: list[Job] = []
    last_log = time.monotonic()
    for job, image in _decode_in_threads(jobs, sources):
        done.append(job)
        if writer is not None and image is not None:
            writer.write(job.offset, image)
        if time.monotonic() - last_log > _LOG_SECONDS:
            last_log = time.monotonic()
            log(f"data: checked {len(done)} of {len(jobs)} images")
    return done


def _decode_in_threads(
    jobs: list[Job], sources: dict[str, ImageSource]
) -> Iterator[tuple[Job, np.ndarray | None]]:
    # Pillow decodes and resizes without the GIL.
    with reading_pool(sources) as pool:
        for start in range(0, len(jobs), _CHUNK):
            chunk = jobs[start : start + _CHUNK]
            yield from pool.map(lambda job: _decode(job, sources[job.source]), chunk)


def _decode(job: Job, source: ImageSource) -> tuple[Job, np.ndarray | None]:
    """Return the job with the result of decoding, and the resized image to be cached."""
    try:
        picture = decode(job.path)
        numbers = source.pixels.convert(half_of(picture.pixels, source.half))
        image = to_channels(picture._replace(pixels=numbers), source.channels)
    except ImageFault as fault:
        # A fault of the content is more important than one of the size.
        return replace(job, fault=str(fault)), None
    array = picture.pixels
    job = replace(
        job,
        note=picture.note,
        highest=int(array.max()) if array.dtype == np.uint16 and not source.pixels.ranged else 0,
        clipped=source.pixels.outside(array),
        alpha=image.alpha,
        grey=source.teaches_colors and is_grey(image.pixels),
    )
    if job.fault or source.test:
        return job, None
    resized = source.resize.resize(image.pixels, alpha=image.alpha)
    if resized.shape != job.shape:
        return replace(job, fault="has another size than its header says: save it again"), None
    return job, resized


def _validated(
    sources: dict[str, ImageSource], jobs: list[Job], cached: np.ndarray | Path | None
) -> dict[str, ValidatedSource]:
    result = {}
    for name, source in sources.items():
        source_jobs = [job for job in jobs if job.source == name]
        numbers = [i for i, job in enumerate(source_jobs) if not job.fault]
        usable = [source_jobs[i] for i in numbers]
        store = None
        if cached is not None and not source.test:
            offsets, shapes = [job.offset for job in usable], [job.shape for job in usable]
            store = cache.Store(cached, offsets, shapes, source.pixels.dtype)
        sizes = [(job.shape[0], job.shape[1]) for job in usable]
        alpha = any(job.alpha for job in usable)
        file_sizes = [job.size for job in usable]
        result[name] = ValidatedSource(
            replace(source, alpha=alpha), numbers, sizes, file_sizes, store
        )
    return result


def _stored_bytes(job: Job, sources: dict[str, ImageSource]) -> int:
    source = sources[job.source]
    height, width, channels = job.shape
    return 0 if source.test else height * width * channels * source.pixels.dtype.itemsize


def count_faults(checked: dict[str, ValidatedSource]) -> list[str]:
    """Return a sentence for each split with too few images after skipping bad files."""
    return [
        f"Only {counted(len(usable), 'usable image')} left in {name}: repair the files listed "
        "above."
        for name, usable in checked.items()
        if len(usable) < (2 if name.startswith("train") else 1)
    ]


def size_faults(checked: dict[str, ValidatedSource], batch: int) -> list[str]:
    """Return a sentence for each split whose training images cannot be stacked to a batch.

    Args:
        checked: the usable files, by split.
        batch: images per batch.
    """
    faults = []
    for name, usable in checked.items():
        settings, sizes = usable.source.resize, Counter(usable.sizes)
        if not isinstance(settings, Preprocess) or settings.crops or name.startswith("test"):
            continue
        if batch > 1 and len(sizes) > 1:
            rarest = min(sizes, key=lambda size: sizes[size])
            example = usable.files[usable.sizes.index(rarest)]
            faults.append(
                f"data.preprocess={settings.name} leaves {len(sizes)} different sizes in {name} "
                f"(such as {rarest[1]} x {rarest[0]} of {example}), which train.batch={batch} "
                "cannot stack: use train.batch=1 or data.preprocess=resize_and_crop."
            )
    return faults
