"""data=shapes for translation: a small procedural unpaired set with known ground truth.

Domain a: circles (red), squares (blue) and triangles (yellow), one to three per image, on textured
ground. Domain b: the same scenes with stripes: in rows with y % 4 < 2 a shape keeps its colour, in
the other rows it is white. Colours follow from shapes and stripes from pixel rows, so the
translation is deterministic: it can be learnt without pairs and checked exactly.
"""

from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from gantrain.data.sampler import AUGMENT_A, AUGMENT_B, UnpairedSampler, counter_random
from gantrain.errors import ConfigError

CLASSES = ("circle", "square", "triangle")
COLORS = np.array([[214, 54, 48], [44, 92, 206], [238, 184, 36]], np.uint8)  # by shape class
WHITE = 245
_SCENE_SEED = 20170330  # of the images, which must not depend on the user's seed
_TRAIN_A, _TRAIN_B, _TEST = range(3)

Stack = np.ndarray


class UnpairedShapes:
    """Procedural images of two domains with paired test images.

    An image depends on its split, its index and the resolution only.

    Args:
        seed: of order and mirroring.
        resolution: side in pixels, a multiple of 4 from 16 on.
        train_images: number of training images per domain.
        test_images: number of test pairs.
        max_images: upper bound of the training images; None: none.
        flip: whether training images are mirrored at random.

    Raises:
        ConfigError: a number is out of range.
    """

    kind: ClassVar[Literal["unpaired", "paired", "images"]] = "unpaired"
    label_dim = 0

    def __init__(
        self,
        *,
        seed: int,
        resolution: int = 64,
        train_images: int = 800,
        test_images: int = 100,
        max_images: int | None = None,
        flip: bool = True,
    ) -> None:
        if resolution < 16 or resolution % 4:
            raise ConfigError(
                f"data.resolution={resolution} does not suit data=shapes: "
                "use a multiple of 4 from 16 on, such as 64."
            )
        if train_images < 2 or test_images < 1:
            raise ConfigError(
                f"data.train_images={train_images}, data.test_images={test_images}: data=shapes "
                "needs at least 2 training images and 1 test image."
            )
        self.seed, self.flip = seed, flip
        self.resolution = (resolution, resolution)
        self.channels = {"a": 3, "b": 3}
        self.images_per_epoch = min(train_images, max_images or train_images)
        self.has_pairs = True
        self._test_images = test_images
        self._sampler = UnpairedSampler(seed, self.images_per_epoch, self.images_per_epoch)
        self._images: dict[str, np.ndarray] = {}

    def prepare(self, *, batch: int, multiple: int, log: Callable[[str], None]) -> None:
        """Draw all images.

        Raises:
            ConfigError: the model needs another resolution.
        """
        side, train, test = self.resolution[0], self.images_per_epoch, self._test_images
        if side % multiple:
            raise ConfigError(
                f"data.resolution={side} does not suit this model, whose images need sides that "
                f"are multiples of {multiple}: use {-(-side // multiple) * multiple}."
            )
        scenes_b = _TRAIN_A if self.kind == "paired" else _TRAIN_B
        self._images = {
            "train_a": draw("a", _TRAIN_A, train, side),
            "train_b": draw("b", scenes_b, train, side),
            "test_a": draw("a", _TEST, test, side),
            "test_b": draw("b", _TEST, test, side),
        }
        log(f"data: drew {train} + {train} training and {test} paired test images, {side} px")

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return the images of "a" and "b" at a position, uint8 [3, H, W], mirrored at random."""
        a, b = self._sampler(position)
        return {
            "a": self._mirror_at_random("train_a", a, AUGMENT_A, position),
            "b": self._mirror_at_random("train_b", b, AUGMENT_B, position),
        }

    def train_count(self, stream: str) -> int:
        """Return the number of training images, the same for "a" and "b"."""
        return self.images_per_epoch

    def train_item(self, stream: str, index: int) -> np.ndarray:
        """Return training image `index` of "a" or "b", uint8 [3, H, W], not mirrored."""
        return self._images[f"train_{stream}"][index]

    def held_count(self, stream: str) -> int:
        """Return the number of test images, none of which is trained on."""
        return self._test_images

    def test_count(self, stream: str) -> int:
        """Return the number of test images, the same for "a" and "b"."""
        return self._test_images

    def test_item(self, stream: str, index: int) -> np.ndarray:
        """Return test scene `index` in domain "a" or "b", uint8 [3, H, W]."""
        return self._images[f"test_{stream}"][index]

    def test_name(self, stream: str, index: int) -> str:
        """Return a name for test scene `index`, the same in both domains."""
        return f"scene{index:04d}"

    def describe(self) -> dict[str, Any]:
        """Return a description in plain values."""
        train, test = self.images_per_epoch, self._test_images
        return {
            "kind": "shapes",
            "resolution": list(self.resolution),
            "channels": dict(self.channels),
            "flip": self.flip,
            "train": {"a": train, "b": train},
            "test": {"a": test, "b": test},
            "test_pairs": True,
        }

    def _mirror_at_random(self, split: str, index: int, stream: int, position: int) -> np.ndarray:
        image = self._images[split][index]
        if self.flip and counter_random(self.seed, stream, position, 1)[0] >> np.uint64(63):
            return np.ascontiguousarray(image[:, :, ::-1])
        return image


class PairedShapes(UnpairedShapes):
    """The same images in pairs: training images of equal index show the same scene, too."""

    kind: ClassVar[Literal["unpaired", "paired", "images"]] = "paired"

    def item(self, position: int) -> dict[str, np.ndarray]:
        """Return a pair, uint8 [3, H, W] of "a" and "b", mirrored at random together."""
        index, _ = self._sampler(position)
        return {
            domain: self._mirror_at_random(f"train_{domain}", index, AUGMENT_A, position)
            for domain in "ab"
        }


def draw(domain: str, split: int, count: int, side: int) -> np.ndarray:
    """Return the scenes of a split in domain "a" or "b", uint8 [count, 3, side, side].

    Args:
        domain: "a" or "b": how the scenes are painted.
        split: number of the split: different splits have different scenes.
        count: number of scenes.
        side: in pixels.
    """
    images = np.empty((count, 3, side, side), np.uint8)
    for start, ground, classes in _scenes(split, count, side):
        images[start : start + 64] = _paint(domain, ground, classes)
    return images


def draw_labelled(split: Literal["train", "test"], count: int, side: int) -> tuple[Stack, Stack]:
    """Return the scenes of a split in domain a, and their labels.

    Args:
        split: "train" or "test".
        count: number of scenes.
        side: in pixels.

    Returns:
        Images, uint8 [count, 3, side, side], and labels, float32 [count, 3]: 1 for each of CLASSES
        that the scene contains, else 0.
    """
    images = np.empty((count, 3, side, side), np.uint8)
    labels = np.empty((count, len(CLASSES)), np.float32)
    split_number = _TRAIN_A if split == "train" else _TEST
    for start, ground, classes in _scenes(split_number, count, side):
        images[start : start + 64] = _paint("a", ground, classes)
        for kind in range(len(CLASSES)):
            labels[start : start + 64, kind] = (classes == kind).any((1, 2))
    return images, labels


def _scenes(split: int, count: int, side: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield (index of the first, ground, classes) of up to 64 scenes; small blocks fit the cache.

    Whole blocks are drawn, so that a scene does not depend on `count`.
    """
    for start in range(0, count, 64):
        philox = np.random.Philox(key=[_SCENE_SEED, split], counter=[0, 0, start, 0])
        rng = np.random.Generator(philox)
        ground, classes = _ground(rng, 64, side), _shape_map(rng, 64, side)
        yield start, ground[: count - start], classes[: count - start]


def _paint(domain: str, ground: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Return images, uint8 [N, 3, S, S], of ground [N, 3, S, S] and classes [N, S, S]."""
    palette = np.concatenate([COLORS, np.zeros((1, 3), np.uint8)])  # the last is for -1, ground
    shapes = palette[classes].transpose(0, 3, 1, 2).copy()
    if domain == "b":
        shapes[:, :, np.arange(shapes.shape[2]) % 4 >= 2] = WHITE
    return np.where(classes[:, None] < 0, ground, shapes)


def _ground(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Draw textured ground, uint8 [count, 3, side, side]: two tones mixed by noise and a weave."""
    noise = _smooth(rng.random((count, 9, 9), np.float32), side)
    axis = np.arange(side, dtype=np.float32) * (2 * np.pi / 16)
    phase = rng.random((2, count, 1, 1), np.float32) * 2 * np.pi
    weave = np.sin(axis[:, None] + axis + phase[0]) * np.sin(axis[:, None] - axis + phase[1])
    mix = np.clip(noise + 0.18 * weave, 0, 1)[:, None]
    tones = rng.random((2, count, 1), np.float32) * 24 + np.array(
        [[[70, 96, 78]], [[128, 138, 112]]], np.float32
    )
    dark, light = tones[0][..., None, None], tones[1][..., None, None]
    return np.rint(dark + (light - dark) * mix).astype(np.uint8)


def _smooth(knots: np.ndarray, side: int) -> np.ndarray:
    """Interpolate knots [N, K, K] bilinearly, [N, side, side]."""
    position = np.linspace(0, knots.shape[-1] - 1, side, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(knots.shape[-1])))
    weights = weights.astype(np.float32)
    return weights @ knots @ weights.T


def _shape_map(rng: np.random.Generator, count: int, side: int) -> np.ndarray:
    """Draw the classes of pixels, int64 [count, side, side]; -1: ground.

    Each shape has a quarter of the image to itself, so shapes never overlap or leave it.
    """
    is_present = rng.random((count, 4)).argsort(1) < rng.integers(1, 4, (count, 1))
    kinds = rng.integers(0, 3, (count, 4))
    radius = side * rng.uniform(0.15, 0.22, (count, 4))
    centre = radius + 1 + rng.random((2, count, 4)) * (side / 2 - 2 - 2 * radius)
    y, x = np.mgrid[:side, :side] + 0.5
    classes = np.full((count, side, side), -1)
    for slot in range(4):
        r = radius[:, slot, None, None]
        dy = y - (centre[0, :, slot, None, None] + (slot // 2) * side / 2)
        dx = x - (centre[1, :, slot, None, None] + (slot % 2) * side / 2)
        kind = kinds[:, slot, None, None]
        inside = np.where(
            kind == 0,
            dx * dx + dy * dy < r * r,
            np.where(
                kind == 1,
                np.maximum(np.abs(dx), np.abs(dy)) < 0.88 * r,
                (np.abs(dx) < (dy + r) / 2) & (dy < r),
            ),
        )
        classes = np.where(inside & is_present[:, slot, None, None], kind, classes)
    return classes
