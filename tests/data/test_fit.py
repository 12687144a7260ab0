import numpy as np
import pytest
from PIL import Image

from gantrain.data.fit import FILTERS, FitResize
from tests.helpers.picture_sets import array, picture

SIZES = [(40, 48), (48, 40), (7, 90), (33, 32), (32, 32), (1, 500), (300, 2)]  # height, width


def restated(image, mode, name, height, width):
    """Fit's docstring with Pillow's own crop and resize."""
    if mode == "crop":
        w, h = image.size
        if w * height > h * width:  # too wide
            cut = max(round(h * width / height), 1)
            image = image.crop(((w - cut) // 2, 0, (w - cut) // 2 + cut, h))
        else:
            cut = max(round(w * height / width), 1)
            image = image.crop((0, (h - cut) // 2, w, (h - cut) // 2 + cut))
    return np.asarray(image.resize((width, height), FILTERS[name]))


@pytest.mark.parametrize("resolution", [(32, 32), (24, 40), (50, 20)])
@pytest.mark.parametrize("filter", ["lanczos", "box", "bicubic"])
@pytest.mark.parametrize("mode", ["crop", "stretch"])
def test_fit_is_pillows_crop_and_resize(mode, filter, resolution):
    fit = FitResize(mode, filter, resolution)
    for number, (height, width) in enumerate(SIZES):
        image = picture(number, height, width)
        found = fit.resize(array(image))
        assert found.dtype == np.uint8 and found.shape == (*resolution, 3)
        assert (found == restated(image, mode, filter, *resolution)).all(), (height, width)
        assert fit.resized((height, width)) == resolution
        assert not fit.size_fault((height, width))


def test_the_filters_and_modes_differ():
    found = {
        FitResize(mode, filter, (20, 20)).resize(array(picture(0, 90, 61))).tobytes()
        for mode in ("crop", "stretch")
        for filter in ("lanczos", "box", "bicubic")
    }
    assert len(found) == 6


def test_the_crop_is_central():
    wide = Image.new("L", (30, 10), 50)
    wide.paste(200, (10, 0, 20, 10))
    assert (FitResize("crop", "box", (10, 10)).resize(array(wide)) == 200).all()
    assert (
        FitResize("crop", "box", (5, 5)).resize(array(wide.rotate(90, expand=True))) == 200
    ).all()


def test_shrinking_averages():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8))
    blocks = np.asarray(noise, float).reshape(8, 8, 8, 8).mean((1, 3))
    found = FitResize("crop", "box", (8, 8)).resize(array(noise))[:, :, 0]
    assert np.abs(found - blocks).max() <= 1


def test_none_changes_nothing_and_refuses_other_sizes():
    fit = FitResize("none", "lanczos", (40, 48))
    image = picture(1, 40, 48)
    assert (fit.resize(array(image)) == np.asarray(image)).all()
    assert not fit.size_fault((40, 48))
    fault = fit.size_fault((48, 40))
    assert "is 40 x 48 pixels, not 48 x 40" in fault and "data.resize=crop" in fault


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("RGBA", 4)])
@pytest.mark.parametrize("resize", ["crop", "stretch", "none"])
def test_channels_come_last(mode, channels, resize):
    image = picture(2, 16, 16).convert(mode)
    assert FitResize(resize, "lanczos", (16, 16)).resize(array(image)).shape == (16, 16, channels)
