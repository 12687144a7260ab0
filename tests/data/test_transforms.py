import re

import numpy as np
import pytest
from PIL import Image

from gantrain.data.transforms import FILTERS, FitResize, Preprocess, setting_faults
from tests.helpers.picture_sets import array, picture

MIRROR = 2**63


def bits(top=0, left=0, flip=0):
    return np.array([top, left, flip], np.uint64)


def result(name, size, test=False, **settings):
    """(height, width) of a training or test image from a picture of `size`."""
    preprocess = Preprocess(name, **{"resolution": (32, 32), "multiple": 4, **settings})
    image = preprocess.resize(array(picture(0, *size)), test)
    assert image.shape[:2] == preprocess.resized(size, test)
    out = preprocess.center_crop(image) if test else preprocess.augment(image, bits())
    assert out.dtype == np.uint8 and out.flags.c_contiguous
    return out.shape


@pytest.mark.parametrize("test", [False, True])
@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("resize_and_crop", {}, (3, 32, 32)),
        ("resize_and_crop", {"resolution": (16, 24)}, (3, 16, 24)),
        ("crop", {}, (3, 32, 32)),
        ("crop", {"resolution": (24, 40)}, (3, 24, 40)),
        ("scale_width", {}, (3, 40, 32)),  # 57 x 43 scales to 42.4 x 32; 42 is no multiple of 4
        ("scale_width", {"load_size": (9, 60)}, (3, 80, 60)),
        ("scale_width", {"resolution": (64, 32)}, (3, 64, 32)),  # at least the crop's height
        ("scale_width_and_crop", {}, (3, 32, 32)),
        ("scale_width_and_crop", {"resolution": (16, 24)}, (3, 16, 24)),
        ("none", {}, (3, 56, 44)),
        ("none", {"multiple": 1}, (3, 57, 43)),
    ],
)
def test_sizes_by_name(name, settings, expected, test):
    assert result(name, (57, 43), test, **settings) == expected


def test_resize_and_crop_is_pillows_bicubic_and_a_window_of_it():
    preprocess = Preprocess("resize_and_crop", (32, 32), (40, 36))
    image = picture(1, 57, 43)
    whole = np.asarray(image.resize((36, 40), Image.Resampling.BICUBIC))
    assert (preprocess.resize(array(image)) == whole).all()
    window = preprocess.augment(
        preprocess.resize(array(image)), bits(top=9 + 5, left=5 + 2)
    )  # modulo
    assert (window == whole[5:37, 2:34].transpose(2, 0, 1)).all()
    tested = preprocess.center_crop(preprocess.resize(array(image), test=True))
    straight = np.asarray(image.resize((32, 32), Image.Resampling.BICUBIC))
    assert (tested == straight.transpose(2, 0, 1)).all()  # the whole picture, not a crop of 40 x 36


def test_every_window_can_come():
    preprocess = Preprocess("crop", (32, 32))
    image = preprocess.resize(array(picture(1, 34, 33)))
    windows = {
        preprocess.augment(image, bits(top, left)).tobytes()
        for top in range(8)
        for left in range(8)
    }
    assert len(windows) == 3 * 2


def test_flip_mirrors_left_and_right():
    image = picture(2, 32, 32)
    plain = np.asarray(image).transpose(2, 0, 1)
    assert (Preprocess("none", (32, 32)).augment(np.asarray(image), bits()) == plain).all()
    flipped = Preprocess("none", (32, 32)).augment(np.asarray(image), bits(flip=MIRROR))
    assert (flipped == plain[:, :, ::-1]).all()
    unflipped = Preprocess("none", (32, 32), flip=False).augment(
        np.asarray(image), bits(flip=MIRROR)
    )
    assert (unflipped == plain).all()


def test_test_crops_are_central():
    image = picture(3, 40, 36)
    window = Preprocess("crop", (32, 32)).center_crop(np.asarray(image))
    assert (window == np.asarray(image)[4:36, 2:34].transpose(2, 0, 1)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_results_are_copies_that_torch_may_write_to(channels):
    image = np.zeros((8, 8, channels), np.uint8)
    image.setflags(write=False)  # as Pillow's arrays and those of a cache are
    settings = Preprocess("none", (8, 8), None, False)
    for x in (settings.center_crop(image), settings.augment(image, bits())):
        assert x.flags.writeable and x.flags.c_contiguous


def test_gray_has_one_channel():
    preprocess = Preprocess("resize_and_crop", (32, 32))
    gray = preprocess.resize(array(picture(3).convert("L")))
    assert preprocess.augment(gray, bits()).shape == (1, 32, 32)


@pytest.mark.parametrize(
    ("name", "resolution", "load"),
    [
        ("resize_and_crop", (256, 256), (286, 286)),
        ("scale_width_and_crop", (128, 256), (143, 286)),
        ("scale_width", (128, 256), (128, 256)),
    ],
)
def test_the_usual_load_size(name, resolution, load):
    assert Preprocess(name, resolution).load == load


@pytest.mark.parametrize(
    ("preprocess", "told"),
    [
        (Preprocess("crop", (30, 32), multiple=4), r"use \[32,32\]|use 32"),
        (Preprocess("scale_width", (32, 30), multiple=4), "use 32"),
        (Preprocess("resize_and_crop", (32, 32), (32, 31)), "load_size"),
        (Preprocess("resize_and_crop", (32, 32), (31, 32)), "load_size"),
        (Preprocess("scale_width_and_crop", (32, 32), (64, 31)), "load_size"),
    ],
)
def test_sizes_that_do_not_go_together(preprocess, told):
    (fault,) = setting_faults(preprocess)
    assert re.search(told, fault)


def test_sizes_that_do():
    assert not setting_faults(Preprocess("none", (30, 30), multiple=4))
    assert not setting_faults(Preprocess("scale_width_and_crop", (32, 32), (1, 32), multiple=4))
    assert not setting_faults(Preprocess("scale_width", (30, 64), multiple=4))


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
