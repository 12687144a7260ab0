"""What is known of each image file once it was decoded, and what is said about it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gantrain.data import cache, suitability
from gantrain.data.bit_depth import PixelFormat
from gantrain.data.claims import MAIN_VIEW
from gantrain.data.halves import Half
from gantrain.data.transforms import FitResize, Preprocess, Size
from gantrain.data.views import AnyFile, is_remote
from gantrain.errors import ConfigError, counted
from gantrain.io.cores import MAX_THREADS, image_threads
from gantrain.io.remote.attempts import stop_waiting

Log = Callable[[str], None]


@dataclass(frozen=True)
class ImageSource:
    """The files of one split, and how they are read and resized.

    Args:
        names: paths of the files below their folder.
        files: the files.
        channels: channels of the images.
        resize: resizes the images.
        pixels: format of the images.
        test: whether they are test images, which are not cached.
        alpha: whether their last channel is alpha, once this is known.
        half: the half of each picture that is the image; None: all of it.
        teaches_colors: whether colours are learned from them, so that grey images are counted.
    """

    names: Sequence[str]
    files: Sequence[AnyFile]
    channels: int
    resize: Preprocess | FitResize
    pixels: PixelFormat
    test: bool = False
    alpha: bool = False
    half: Half | None = None
    teaches_colors: bool = False


@dataclass(frozen=True, slots=True)  # there may be a million
class Job:
    """One file; the fields are stored in the index of disk caches."""

    source: str
    path: AnyFile
    shape: cache.Shape = (0, 0, 0)  # after the resize
    offset: int = 0  # in the cache
    fault: str = ""  # "": usable
    note: str = ""  # see `decode`
    size: Size = (0, 0)  # of the file
    highest: int = 0  # value of a 16-bit file
    clipped: int = 0  # values
    alpha: bool = False  # whether the last channel is alpha
    grey: bool = False  # whether it lacks the colours that it should teach

    def as_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}


@contextmanager
def reading_pool(sources: Mapping[str, ImageSource]) -> Iterator[ThreadPoolExecutor]:
    """Yield threads that read images: more of them if they wait for a network.

    If one fails, or Ctrl-C ends the block, the others do not wait for a network any longer.
    """
    remote = any(is_remote(file) for source in sources.values() for file in source.files[:1])
    with ThreadPoolExecutor(MAX_THREADS if remote else image_threads()) as pool:
        try:
            yield pool
        except BaseException:
            stop_waiting()
            raise


def report(jobs: list[Job], sources: dict[str, ImageSource], skip: bool, log: Log) -> None:
    """Log what the images lose or lack, and raise or log the faults.

    Args:
        jobs: all files, checked.
        sources: how they are read, by split.
        skip: whether files that cannot be used are left out.
        log: receives one line of text at a time.

    Raises:
        ConfigError: lists the files that cannot be used, or says that bands are mixed.
    """
    if cmyk := [job.path for job in jobs if job.note == "CMYK" and not job.fault]:
        log(
            f"data: warning: {counted(len(cmyk), 'image')} in CMYK, such as {cmyk[0]}: colours are "
            "converted to RGB by a simple formula, without a colour profile"
        )
    if views := [job.path for job in jobs if job.note == MAIN_VIEW and not job.fault]:
        log(
            f"data: warning: {counted(len(views), 'photo')} with other views inside, such as "
            f"{views[0]}: only the main one is used"
        )
    colorless: list[str] = []
    for split, source in sources.items():
        usable = [job for job in jobs if job.source == split and not job.fault]
        highest = max((job.highest for job in usable), default=0)
        names, sizes = [str(job.path) for job in usable], [job.size for job in usable]
        grey = [str(job.path) for job in usable if job.grey]
        if grey and len(grey) == len(usable) and split.startswith("train"):
            colorless.append(
                f"{split} holds {counted(len(grey), 'grey image')}, such as {grey[0]}, and none in "
                "colour: there is nothing to learn; give data.root=, a folder of colour pictures."
            )
        facts = suitability.Facts(names, sizes, highest, grey)
        for warning in suitability.warnings(split, facts, source.resize):
            log(f"data: warning: {warning}")
        if clipped := [job for job in usable if job.clipped]:
            total = sum(job.clipped for job in usable)
            values = sum(job.size[0] * job.size[1] * source.channels for job in usable)
            log(
                f"data: {total} of {values} values of {split} ({total / values:.2g} of all, in "
                f"{counted(len(clipped), 'image')}) lie outside of "
                f"[{source.pixels.low:g},{source.pixels.high:g}] and are clipped"
            )
    mixed = alpha_faults((job.source, job.path, job.alpha) for job in jobs if not job.fault)
    problems = [*colorless, *mixed]
    lines = [f"  {job.path} {job.fault}" for job in jobs if job.fault]
    if lines and not skip:
        problems.append(
            f"{len(lines)} of {len(jobs)} images cannot be used; repair or remove them, or leave "
            "them out with data.on_bad_file=skip:"
        )
        problems += lines
    if problems:
        raise ConfigError(*problems)
    if not lines:
        return
    log(f"data: left out {len(lines)} of {len(jobs)} images (data.on_bad_file=skip):")
    for line in lines:
        log(line)


def alpha_faults(usable: Iterable[tuple[str, AnyFile, bool]]) -> list[str]:
    """Return a sentence for each domain in which a channel is alpha in some images only.

    Args:
        usable: split and file of each usable image, and whether its last channel is alpha.
    """
    kinds: dict[str, dict[bool, AnyFile]] = {}
    for split, file, alpha in usable:
        kinds.setdefault(split.rpartition("_")[2], {}).setdefault(alpha, file)
    return [
        f"The last channel of {found[True]} is alpha, and that of {found[False]} another band: "
        "save all images of a domain with the same bands."
        for found in kinds.values()
        if len(found) > 1
    ]
