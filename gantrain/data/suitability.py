"""Warn of images that can be used but hardly suit the settings: too small, too large, too dark."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gantrain.data.transforms import FitResize, Preprocess, Size, format_size
from gantrain.errors import agreed

ENLARGED = 2  # factor beyond which images are blurred by the resize
REDUCED = 8  # factor beyond which a small network sees little of the images
LEAST_SIDE = 24  # of images of CycleGAN's default networks
SMALL = 64  # side of a network whose images would be seen reduced
_DEPTHS = (12, 14)  # bits of cameras and scanners that are stored in 16


@dataclass(frozen=True)
class Facts:
    """What is known of the usable images of one split.

    Args:
        names: for examples.
        sizes: (height, width) of the files.
        highest: the largest value of the 16-bit files; 0: there are none.
        grey: names of those that lack the colours that they should teach.
    """

    names: Sequence[str]
    sizes: Sequence[Size]
    highest: int
    grey: Sequence[str] = ()


def warnings(split: str, facts: Facts, resize: Preprocess | FitResize) -> Iterator[str]:
    """Yield sentences, without a period, about the images of a split.

    Args:
        split: such as "train_a".
        facts: see there.
        resize: their resize.
    """
    if not split.startswith("train"):
        return
    scales = [_scale(size, resize) for size in facts.sizes]
    enlarged = [i for i, scale in enumerate(scales) if scale > ENLARGED]
    if enlarged:
        i = max(enlarged, key=lambda index: scales[index])
        yield (
            f"{len(enlarged)} of {len(scales)} images of {split} {agreed(len(enlarged))} enlarged "
            f"more than {ENLARGED} times, such as {facts.names[i]} ({_pixels(facts.sizes[i])}), "
            f"and {agreed(len(enlarged), 'stay')} blurred: use a smaller data.resolution than "
            f"{format_size(resize.resolution)}, or larger images"
        )
    reduced = [i for i, scale in enumerate(scales) if scale < 1 / REDUCED]
    if reduced and max(resize.resolution) <= SMALL:
        i = reduced[0]
        seen = f"{agreed(len(reduced))} {'cropped' if _only_crops(resize) else 'reduced'}"
        yield (
            f"{len(reduced)} of {len(scales)} images of {split} {seen} to less than 1/{REDUCED} of "
            f"the sides by data.resolution={format_size(resize.resolution)}, such as "
            f"{facts.names[i]} "
            f"({_pixels(facts.sizes[i])}): a larger data.resolution shows more of them"
        )
    if 0 < facts.highest < 1 << max(_DEPTHS):
        yield _depth_warning(split, facts.highest)
    if facts.grey:
        yield (
            f"{len(facts.grey)} of {len(facts.sizes)} images of {split} {agreed(len(facts.grey))} "
            f"grey, such as {facts.grey[0]}: such images teach that things have no colour; remove "
            "them"
        )


def small_images(split: str, facts: Facts, resize: Preprocess | FitResize) -> Iterator[str]:
    """Yield a sentence about uncropped images too small for CycleGAN's default networks.

    For `gantrain prepare`, which knows no networks; a run checks its own.

    Args:
        split: such as "train_a".
        facts: see there.
        resize: their resize.
    """
    if not isinstance(resize, Preprocess) or resize.crops:
        return
    sizes = [resize.resized(size) for size in facts.sizes]
    small = [i for i, size in enumerate(sizes) if min(size) < LEAST_SIDE]
    if small:
        i = min(small, key=lambda index: min(sizes[index]))
        yield (
            f"{len(small)} of {len(sizes)} images of {split} {agreed(len(small), 'have')} sides "
            f"below {LEAST_SIDE} after data.preprocess={resize.name}, such as {facts.names[i]} "
            f"({_pixels(sizes[i])}), and CycleGAN's default discriminator cannot judge them: "
            "remove them, or use data.preprocess=resize_and_crop or fewer model.d_layers"
        )


def _depth_warning(split: str, highest: int) -> str:
    bits = next(bits for bits in _DEPTHS if highest < 1 << bits)
    top = 2 * highest / 65535 - 1
    return (
        f"no value of the 16-bit images of {split} exceeds {highest} of 65535, so the networks see "
        f"only [-1,{top:.3g}] of [-1,1]: if they hold {bits}-bit numbers, set "
        f"data.value_range=[0,{(1 << bits) - 1}]"
    )


def _scale(size: Size, resize: Preprocess | FitResize) -> float:
    """Return the factor of a resize, or the part of the sides that a crop shows; 1: unchanged."""
    target = resize.resolution if _only_crops(resize) else resize.resized(size, test=True)
    factors = target[0] / size[0], target[1] / size[1]
    return min(max(factors), 1.0) if _only_crops(resize) else max(factors)


def _only_crops(resize: Preprocess | FitResize) -> bool:
    return isinstance(resize, Preprocess) and resize.name == "crop"


def _pixels(size: Size) -> str:
    return f"{size[1]} x {size[0]}"
