"""Translations of the page, compared with what its commands write."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gantrain.errors import ConfigError
from gantrain.studio import translating
from gantrain.studio.open_run import OpenRun
from tests.helpers import generators
from tests.helpers.open_runs import open_run, typed

pytestmark = pytest.mark.multi
SAID: list[str] = []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> OpenRun:
    return open_run(generators.cyclegan(tmp_path_factory.mktemp("studio") / "both"))


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("direction", ["ab", "ba"])
def test_the_commands_make_the_same(
    run: OpenRun, direction: str, dtype: type, tmp_path: Path
) -> None:
    source = tmp_path / "upload/a photo.png"
    source.parent.mkdir()
    levels = np.arange(20 * 28).reshape(20, 28) * (1 if dtype == np.uint8 else 100)
    Image.fromarray(levels.astype(dtype)).save(source)
    made = translating.translate(run, source, direction, SAID.append)
    assert f"direction={direction}" in made.after.call.text
    typed(made.after.call, tmp_path)
    result = tmp_path / f"translated_{direction}/a photo.png"
    assert pixels(result).dtype == dtype and np.array_equal(pixels(result), pixels(made.after.file))
    assert made.back is not None
    typed(made.back.call, tmp_path)
    back = tmp_path / f"back_{direction[::-1]}/a photo.png"
    assert np.array_equal(pixels(back), pixels(made.back.file))
    shown = pixels(made.before).astype(int)
    assert np.abs(shown - levels * (1 if dtype == np.uint8 else 255 / 65535)).max() % 256 <= 1
    assert SAID == []


def test_one_direction_has_no_way_back(tmp_path: Path) -> None:
    network = generators.ResnetGenerator(3, 3, ngf=2, blocks=1)
    one = open_run(generators.write(tmp_path / "one", "gantrain.gans.cut.CUT", {"ab": network}))
    assert translating.choices_of_direction(one.model) == [("a to b", "ab")]
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    assert translating.translate(one, tmp_path / "x.png", "ab", SAID.append).back is None


def test_what_is_no_image_is_a_sentence(run: OpenRun, tmp_path: Path) -> None:
    for name, words in (("bad.png", "is unreadable"), ("text.txt", "is unreadable")):
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(ConfigError, match=f"{name}.*{words}"):
            translating.translate(run, tmp_path / name, "ab", SAID.append)


def test_changes_are_said(tmp_path: Path) -> None:
    network = generators.ResnetGenerator(3, 3, ngf=2, blocks=1)
    one = open_run(generators.write(tmp_path / "one", "gantrain.gans.cut.CUT", {"ab": network}))
    Image.new("CMYK", (16, 16)).save(tmp_path / "print.jpg")
    said: list[str] = []
    translating.translate(one, tmp_path / "print.jpg", "ab", said.append)
    assert len(said) == 1 and "is in CMYK" in said[0]
