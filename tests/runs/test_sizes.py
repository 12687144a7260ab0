"""Images too small for the networks are named before the first step, with what would work."""

import re
from pathlib import Path

import pytest
import torch

from gantrain.errors import ConfigError
from gantrain.gans.base import ImageSpec
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.networks.patchgan import PatchDiscriminator
from gantrain.runs.sizes import check_images, check_resolution
from tests.helpers.picture_sets import folder, picture, prepared, write_set


def cyclegan(**settings) -> CycleGAN:
    images = ImageSpec({"a": 3, "b": 3}, (64, 64))
    return CycleGAN(images, ngf=2, ndf=2, blocks=1, **settings)


@pytest.mark.parametrize("layers", range(1, 7))
def test_the_least_side_of_a_discriminator_is_the_least_that_works(layers: int) -> None:
    net = PatchDiscriminator(3, 2, layers)
    side = net.least_side
    assert net(torch.zeros(1, 3, side, side)).shape == (1, 1, 1, 1)
    for size in ((side - 1, 2 * side), (2 * side, side - 1)):
        with pytest.raises((RuntimeError, ValueError)):
            net(torch.zeros(1, 3, *size))


@pytest.mark.parametrize(
    ("resolution", "layers", "least"),
    [(16, 3, 24), (8, 3, 24), (20, 3, 24), ([16, 64], 3, 24), (64, 5, 96), (20, 1, 0), (24, 3, 0)],
)
def test_a_small_resolution(tmp_path: Path, resolution, layers: int, least: int) -> None:
    gan = cyclegan(d_layers=layers)
    data = folder(write_set(tmp_path / "set"), resolution=resolution)
    if not least:
        check_resolution(gan, data)
        return
    with pytest.raises(ConfigError, match=f"use a data.resolution of at least {least}") as caught:
        check_resolution(gan, data)
    advice = re.search(r"model\.d_layers=(\d)", str(caught.value))
    assert advice
    check_resolution(cyclegan(d_layers=int(advice.group(1))), data)


def test_one_small_image_under_preprocess_none(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set")
    picture(1, 18, 60).save(root / "trainB" / "p03.png")
    picture(2, 60, 20).save(root / "testA" / "p01.png")
    data = folder(root, preprocess="none", resolution=16)
    prepared(data)
    check_resolution(cyclegan(), data)
    with pytest.raises(ConfigError) as caught:
        check_images(cyclegan(), data)
    told = str(caught.value)
    assert "2 images are too small" in told and "at least 24" in told
    assert "trainB/p03.png is 60 x 16 pixels" in told and "testA/p01.png is 20 x 60" in told
    assert "resize_and_crop, or model.d_layers=2" in told
    check_images(cyclegan(d_layers=2), data)
    (root / "testA" / "p01.png").unlink()
    fewer = folder(root, preprocess="none", resolution=16)
    prepared(fewer)
    with pytest.raises(ConfigError, match="1 image is too small for these networks"):
        check_images(cyclegan(), fewer)


def test_of_many_small_images_some_are_named(tmp_path: Path) -> None:
    data = folder(write_set(tmp_path / "set", 10, height=20, width=40), preprocess="none")
    prepared(data)
    with pytest.raises(ConfigError, match=r"28 images are too small") as caught:
        check_images(cyclegan(), data)
    assert "and 18 more" in str(caught.value)


def test_crops_are_as_large_as_the_resolution(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", height=20, width=20)
    data = folder(root, resolution=32)
    prepared(data)
    check_images(cyclegan(), data)


def test_dcgan_cannot_normalize_one_value() -> None:
    for resolution, batch in (((8, 8), 2), ((8, 16), 1), ((16, 16), 1)):
        DCGAN(ImageSpec({"image": 3}, resolution, 0, batch), g_width=4, d_width=2)
    with pytest.raises(ConfigError, match=r"2 or more images .* or data\.resolution=16"):
        DCGAN(ImageSpec({"image": 3}, (8, 8), 0, 1), g_width=4, d_width=2)
