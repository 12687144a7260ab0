"""Files that become inputs of a run's network, and results with the depth of the run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import decode
from gantrain.inference import image_io
from gantrain.inference.image_io import run_pixels
from gantrain.inference.model import Model
from gantrain.inference.rendering import ImageWriter
from tests.helpers import deep_pictures

HU = {"depth": "float", "value_range": [-1024, 3071]}


@pytest.mark.parametrize(
    ("data", "dtype", "expected"),
    [
        ({}, np.uint8, np.uint8),  # imported weights: as the file
        ({}, np.uint16, np.uint16),
        ({"depth": 8}, np.uint8, np.uint8),
        ({"depth": 8}, np.uint16, np.uint16),
        ({"depth": 16}, np.uint8, np.uint16),
        ({"depth": 16}, np.float32, np.float32),
        ({"depth": "float", "value_range": [0, 1]}, np.uint8, np.float32),
        ({"depth": "7"}, np.uint8, np.uint8),
    ],
)
def test_a_result_has_the_deeper_of_the_run_and_the_file(
    tmp_path: Path, data: dict, dtype: type, expected: type
) -> None:
    file = tmp_path / ("x.tif" if dtype is np.float32 else "x.png")
    deep_pictures.write(file, deep_pictures.random_pixels(0, (4, 5, 3), dtype))
    run = run_pixels(data)
    assert run.result_dtype(image_io.read(file, 3, run).dtype) == expected


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_refused_as_in_training(tmp_path: Path, dtype: type) -> None:
    deep_pictures.write(tmp_path / "x.png", deep_pictures.random_pixels(0, (4, 5, 1), dtype))
    with pytest.raises(ImageFault, match=r"holds integers, which value_range=\[-1024,3071\]"):
        image_io.read(tmp_path / "x.png", 1, run_pixels(HU))
    image_io.read(tmp_path / "x.png", 1, run_pixels({**HU, "depth": 16}))


def test_values_outside_of_the_range_are_to_be_clipped(tmp_path: Path) -> None:
    """A wider range would rescale all other values, for the same network."""
    Image.fromarray(np.full((4, 4), 9000, np.float32)).save(tmp_path / "x.tif")
    with pytest.raises(ImageFault, match="clip the image to it") as caught:
        image_io.read(tmp_path / "x.tif", 1, run_pixels(HU))
    assert "widen" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "name", "dtype", "white"),
    [({}, "x.png", np.uint8, 255), ({"depth": 8}, "x.png", np.uint8, 255),
     ({"depth": 16}, "x.png", np.uint16, 65535), (HU, "x.tiff", np.float32, 3071.0)],
)  # fmt: skip
def test_generated_images_have_the_depth_of_the_run(
    tmp_path: Path, data: dict, name: str, dtype: type, white: float
) -> None:
    class Latents:
        names, descriptions, values, seeds, inputs = ["x"], ["white"], torch.zeros(1, 1), [0], None

    model = Model(tmp_path / "s.pt", {}, {"data": data}, None)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Model, "synthesize", lambda *_: torch.full((1, 1, 4, 4), 1.5))
        ImageWriter(model, tmp_path, "const", 1, keep_values=False).write_images([Latents()], True)  # type: ignore[list-item]
    found = decode(tmp_path / name).pixels
    assert found.dtype == dtype and (found == white).all()
    assert Image.open(tmp_path / "grid.png").mode == "L"


def test_no_format_that_runs_a_program_is_opened(tmp_path: Path) -> None:
    """Pillow goes by the content, and EPS starts Ghostscript."""
    Image.new("RGB", (4, 4)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(ImageFault, match="unreadable"):
        decode(tmp_path / "x.png")
