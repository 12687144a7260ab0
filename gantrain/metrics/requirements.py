"""What metrics need of a GAN, its images and their number: a wrong wish is refused early."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gantrain.errors import agreed, counted
from gantrain.metrics.protocol import EQUIVARIANCE, FEATURES, LATENT, PAIRED

# Statistics of fewer images are meaningless; other metrics are means over single images.
MIN_IMAGES: dict[str, int] = dict.fromkeys((*FEATURES, *LATENT), 6)
LEAST_SIDES = {"lpips": 16, "ssim": 11}  # VGG halves the sides four times; the window of SSIM
RGB_METRICS = (*FEATURES, "lpips", "path_length")  # their networks see 1 or 3 channels


@dataclass(frozen=True)
class Subject:
    """What is to be measured.

    Args:
        algorithm: name of the GAN, for the sentences.
        translates: whether the GAN translates images.
        pairs: whether the data set's test images are paired.
        has_w: whether the generator has StyleGAN's w.
        channels: of the images that are compared; one number for each domain.
        side: the shorter side of the images; None: it differs between images.
        real: how many real images there are to compare with.
        hint: what to do if these are too few, as a sentence after a space.
        moves_canvas: whether the generator's canvas can be moved and turned, as StyleGAN3's.
        has_classes: whether it is asked for images of classes.
        examples: whether examples of an attribute are given.
    """

    algorithm: str
    translates: bool
    pairs: bool
    has_w: bool
    channels: tuple[int, ...]
    side: int | None
    real: int
    hint: str = ""
    moves_canvas: bool = False
    has_classes: bool = False
    examples: bool = False


def problems(
    metrics: Iterable[str], subject: Subject, num_images: int | None, section: str = ""
) -> Iterator[str]:
    """Yield a sentence for each reason why metrics cannot be measured.

    Args:
        metrics: names of metrics.
        subject: what is to be measured.
        num_images: how many images to generate; None: as many as there are real ones.
        section: what the names of the settings begin with, such as "evaluation.".
    """
    metrics = [*metrics]
    for name in metrics:
        yield from (f"{section}metrics: {sentence}" for sentence in _of_metric(name, subject))
    # The metric that needs the most, and that which needs the most to compare with; each or "".
    compared = [name for name in metrics if name in (*FEATURES, *PAIRED)]
    made, real = (max(names, key=_least_images, default="") for names in (metrics, compared))
    if num_images is None:  # as many are made as there are real ones
        real = made
    if subject.real < (least := _least_images(real)):
        yield (
            f"There {agreed(subject.real)} only {counted(subject.real, 'real image')} to compare "
            f"with: {real} needs at least {_recommended(least)}.{subject.hint}"
        )
    if num_images is not None and num_images < (least := _least_images(made)):
        yield (
            f"{section}num_images={num_images} is too small: {made} needs at least "
            f"{_recommended(least)}."
        )


def _least_images(name: str) -> int:
    return MIN_IMAGES.get(name, 1) if name else 0


def _recommended(least: int) -> str:
    return f"{least}, and hundreds are recommended" if least > 1 else str(least)


def _of_metric(name: str, subject: Subject) -> Iterator[str]:
    if name in PAIRED and not subject.translates:
        yield (
            f"{name} compares images with their ground truth, but {subject.algorithm} generates "
            "images from noise: leave it out."
        )
    elif name in PAIRED and not subject.pairs:
        yield (
            f"{name} compares images with their ground truth, but this data set has no test "
            "pairs: set data.test_pairs=true if the test images are paired, or leave it out."
        )
    if name == "separability":
        yield from explain_no_separability(subject)
    elif name in LATENT and not subject.has_w:
        yield f"{name} needs StyleGAN's w, which {subject.algorithm} does not have: leave it out."
    if name in EQUIVARIANCE and not subject.moves_canvas:
        yield (
            f"{name} compares moved images with those of a moved canvas, and {subject.algorithm} "
            "has none that could be moved, unlike StyleGAN3: leave it out."
        )
    unusual = [count for count in subject.channels if count not in (1, 3)]
    if name in RGB_METRICS and unusual:
        yield (
            f"{name} needs grey or RGB images, and these have {unusual[0]} channels: leave it out."
        )
    least = LEAST_SIDES.get(name, 0)
    if subject.side is not None and subject.side < least:
        yield f"{name} needs images of at least {least} pixels a side: leave it out."


def explain_no_separability(subject: Subject) -> Iterator[str]:
    """Yield a sentence for each reason why linear separability cannot be measured."""
    if subject.translates:
        yield f"separability is of latents, and {subject.algorithm} translates: leave it out."
    elif not subject.examples and not subject.has_classes:
        yield (
            f"separability needs labels, and this {subject.algorithm} was trained without classes: "
            "give two folders of examples, examples=[DIR_A,DIR_B], or leave it out."
        )
    elif not subject.examples and not subject.has_w:
        yield (
            f"separability of {subject.algorithm}, which has no w, can only be that of z, and z "
            "has nothing to do with the class that is asked for: give two folders of examples, "
            "examples=[DIR_A,DIR_B], or leave it out."
        )
