import numpy as np
import pytest
from PIL import Image

from gantrain.inference.contact_sheet import (
    MAX_PIXELS,
    best_columns,
    image_grid,
    image_table,
    max_images,
    side_by_side,
)
from gantrain.tracking.grids import GAP, HEADER


def picture(shade: int, mode: str = "RGB", size: tuple[int, int] = (100, 100)) -> Image.Image:
    return Image.new(mode, size, {"L": shade, "RGB": (shade,) * 3, "RGBA": (shade,) * 4}[mode])


@pytest.mark.parametrize(
    ("count", "columns"),
    [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 3), (7, 4), (9, 3), (12, 4), (31, 8), (32, 8)],
)
def test_near_square_and_full(count: int, columns: int) -> None:
    assert best_columns(count, (64, 64)) == columns


def test_shape_of_the_pictures_counts() -> None:
    assert best_columns(16, (128, 64)) == 4  # 4:2, of the wide ones 2 columns are 1:2 too
    assert best_columns(16, (256, 64)) == 2
    assert best_columns(16, (64, 256)) == 8
    assert best_columns(3, (10, 1000)) == 3


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pictures_lie_line_by_line(mode: str) -> None:
    sheet = image_grid([picture(10 * i, mode) for i in range(1, 6)])
    assert sheet.mode == mode and sheet.size == (3 * 102 - 2, 2 * 102 - 2)
    pixels = np.asarray(sheet).reshape(202, 304, -1)[..., 0]
    centres = [[pixels[50 + 102 * i, 50 + 102 * j] for j in range(3)] for i in range(2)]
    assert centres == [[10, 20, 30], [40, 50, 255]]
    assert (pixels[:, 100:102] == 255).all()


def test_small_pictures_are_enlarged_without_blur() -> None:
    small = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    sheet = np.asarray(image_grid([small]))
    assert sheet.shape == (96, 128)
    assert (sheet == np.kron(np.asarray(small), np.ones((32, 32)))).all()


def test_a_table_may_have_empty_places() -> None:
    sheet = np.asarray(image_table([[None, picture(1)], [picture(2), picture(3)]]))[..., 0]
    assert (sheet[50, 50], sheet[50, 150], sheet[150, 50], sheet[150, 150]) == (255, 1, 2, 3)


def test_beside() -> None:
    pair = np.asarray(side_by_side(picture(1), picture(2)))[..., 0]
    assert pair.shape == (100, 200) and (pair[:, :100] == 1).all() and (pair[:, 100:] == 2).all()


def test_a_sheet_has_a_limit() -> None:
    assert max_images((1022, 1022)) == MAX_PIXELS // (1024 * (1024 + HEADER))
    assert max_images((10**5, 10**5)) == 1


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_captions_stand_below_their_images(mode: str) -> None:
    images = [Image.new(mode, (96, 96), shade) for shade in ("white", "grey")]
    sheet = np.asarray(image_grid(images, ["seed 0: cat", "seed 1: " + "long name " * 20]))
    assert sheet.shape[:2] == (96 + HEADER, 2 * 96 + GAP)
    colors = sheet.reshape(*sheet.shape[:2], -1)[..., 0]
    assert (colors[:96, :96] == 255).all() and (colors[:96, 96 + GAP :] == 128).all()
    for left in (0, 96 + GAP):
        assert (colors[96:, left : left + 96] < 100).any()
    assert (colors[:, 96 : 96 + GAP] == 255).all()  # nothing runs into the gap
