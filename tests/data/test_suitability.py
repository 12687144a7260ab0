"""Warnings of images that hardly suit the settings, each with the key that changes it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gantrain.data.suitability import LEAST_SIDE, Facts, small_images, warnings
from gantrain.data.transforms import FitResize, Preprocess
from gantrain.networks.patchgan import PatchDiscriminator
from tests.helpers import deep_pictures
from tests.helpers.picture_sets import folder, prepared


def told(resize: Any, *sizes: tuple[int, int], highest: int = 0, split: str = "train_a") -> str:
    names = [f"{i}.png" for i in range(len(sizes))]
    return " ".join(warnings(split, Facts(names, sizes, highest), resize))


def unpaired(name: Any, side: int) -> Preprocess:
    return Preprocess(name, (side, side))


FIT = FitResize("crop", "lanczos", (256, 256))


@pytest.mark.parametrize("resize", [FIT, unpaired("resize_and_crop", 256)])
def test_enlarged_images(resize: Any) -> None:
    said = told(resize, (300, 300), (20, 25), (127, 400), (128, 128))
    assert said.startswith("2 of 4 images of train_a are enlarged more than 2 times, such as 1.png")
    assert "(25 x 20)" in said and "a smaller data.resolution than 256" in said
    assert not told(resize, (128, 128), (4000, 6000))
    assert not told(resize, (20, 25), split="test_a")


def test_images_that_keep_their_size_are_not_enlarged() -> None:
    assert not told(unpaired("none", 256), (20, 20), (2000, 2000))
    assert not told(FitResize("none", "lanczos", (256, 256)), (256, 256))


@pytest.mark.parametrize("name", ["resize_and_crop", "crop"])
def test_small_networks_and_large_images(name: Any) -> None:
    said = told(unpaired(name, 32), (348, 348), (200, 200))
    how = "cropped" if name == "crop" else "reduced"
    assert said.startswith(f"1 of 2 images of train_a is {how} to less than 1/8 of the sides")
    assert "data.resolution=32" in said and "0.png (348 x 348)" in said
    assert not told(unpaired(name, 128), (2000, 2000))


@pytest.mark.parametrize(("highest", "bits"), [(1400, 12), (4095, 12), (4096, 14), (16383, 14)])
def test_numbers_of_fewer_bits(highest: int, bits: int) -> None:
    said = told(unpaired("none", 32), (40, 40), highest=highest)
    assert f"exceeds {highest} of 65535" in said and f"hold {bits}-bit numbers" in said
    assert f"set data.value_range=[0,{2**bits - 1}]" in said
    assert not told(unpaired("none", 32), (40, 40), highest=16384)


@pytest.mark.parametrize("cache", ["none", "memory", "disk"])
def test_every_start_says_it(tmp_path: Path, cache: str) -> None:
    for split, top in (("trainA", 4000), ("trainB", 65535)):
        (tmp_path / "set" / split).mkdir(parents=True)
        for number in range(2):
            x = np.minimum(deep_pictures.random_pixels(number, (12, 12, 1), np.uint16), top)
            x[0, 0] = top
            deep_pictures.write(tmp_path / "set" / split / f"{number}.tif", x)
    for _ in range(2):  # the second time from the cache on disk
        data = folder(
            tmp_path / "set", depth=16, channels_a=1, channels_b=1, cache=cache,
            cache_dir=str(tmp_path / "cache"),
        )  # fmt: skip
        lines = [line for line in prepared(data) if "warning" in line]
        assert len(lines) == 3
        assert "2 of 2 images of train_a are enlarged" in lines[0] and "12-bit" in lines[1]
        assert "2 of 2 images of train_b are enlarged" in lines[2]


def test_sides_below_those_of_the_default_networks() -> None:
    assert PatchDiscriminator(3, 2).least_side == LEAST_SIDE
    facts = Facts(["a.png", "b.png", "c.png"], [(48, 64), (18, 60), (24, 22)], 0)
    (said,) = small_images("train_a", facts, unpaired("none", 256))
    assert said.startswith("2 of 3 images of train_a have sides below 24 after data.preprocess=no")
    assert "b.png (60 x 18)" in said and "data.preprocess=resize_and_crop" in said
    assert not [*small_images("train_a", facts, unpaired("resize_and_crop", 16))]
    narrow = Preprocess("scale_width", (16, 16), (16, 16))
    (said,) = small_images("test_b", facts, narrow)
    assert said.startswith("3 of 3 images of test_b")
    assert not [*small_images("train", facts, FIT)]
