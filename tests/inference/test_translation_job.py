"""What cannot be stored is known before an image is translated."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gantrain.data.bit_depth import Depth
from gantrain.data.views import PLAIN
from gantrain.inference import image_io
from gantrain.inference.image_io import RunPixels
from gantrain.inference.inputs import TranslationTask
from gantrain.inference.translation_job import TranslationJob


def job(
    run: Depth = 8, channels: int = 3, depth: Depth | None = None, **own: Any
) -> TranslationJob:
    pixels = RunPixels(run, **own)
    return TranslationJob(pixels, pixels, channels, channels, PLAIN, depth, "same")


@pytest.mark.parametrize(
    ("name", "made", "told"),
    [
        ("x.jpg", job(), ""),
        ("x.png", job(run=16), ""),
        ("x.tif", job(run="float", channels=7), ""),
        ("x.jpg", job(run=16), "more than 8 bits per channel, which JPEG cannot store"),
        ("x.png", job(depth="float"), "more than 8 bits per channel, which PNG cannot store"),
        ("x.gif", job(), "has more than one channel, which GIF cannot store"),
        ("x.jpg", job(channels=4, alpha=True), "gets transparency, which JPEG cannot store"),
        ("x.png", job(channels=4, alpha=False), "has 4 bands, which PNG cannot store"),
        ("x.dcm", job(), "is a .dcm file, which is read but not written"),
        ("x.png", job(8, 3, 8, value_range=(-1024.0, 3071.0), ranged=True), "8 bits cannot hold"),
    ],
)
def test_what_a_format_cannot_hold(
    tmp_path: Path, name: str, made: TranslationJob, told: str
) -> None:
    fault = made.storage_fault(TranslationTask(tmp_path / name, name))
    assert told in fault and bool(fault) == bool(told)


def test_it_is_what_writing_says(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "x.jpg")
    made = job(run=16)
    fault = made.storage_fault(TranslationTask(tmp_path / "x.jpg", "x.jpg"))
    loaded = image_io.read(tmp_path / "x.jpg", 3, made.source)
    dtype = made.target.result_dtype(loaded.dtype)
    assert dtype == np.uint16
    with pytest.raises(image_io.ImageFault, match=fault):
        image_io.write(tmp_path / "y.jpg", loaded.x, dtype, made.target)
