"""The page of a Space: what it makes, and its interface with gradio or with one that stands in."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from packaging.requirements import Requirement
from PIL import Image

import gantrain
from gantrain import __version__
from gantrain.commands import space_folder
from gantrain.config.machine import is_installed
from gantrain.errors import ConfigError
from gantrain.inference.model import Model
from gantrain.studio import space
from gantrain.tracking.grids import to_image
from tests.helpers import generators
from tests.helpers.picture_sets import picture
from tests.io.test_hub_folder import write


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of a generator and of a translator, as a Space has them."""
    home = tmp_path_factory.mktemp("spaces")
    made = {
        "generator": generators.r3gan(home / "r", generators.ANIMALS),
        "translator": generators.cyclegan(home / "c"),
    }
    for name, run in made.items():
        model = gantrain.load(write(gantrain.load(run), home / f"{name}-hub"))
        space_folder.write(home / name, model, None, "mit")
    return {name: home / name for name in made}


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, Model]:
    return {name: gantrain.load(folder) for name, folder in folders.items()}


def test_the_picture_of_a_seed(models: dict[str, Model]) -> None:
    model = models["generator"]
    for label, expected in (("dog", "dog"), (2, 2), ("", None), (None, None)):
        image = space.picture_of_seed(model, 4, 0.5, label)  # it has no w to truncate
        pixels = (model.sample(4, label=expected)[0] / 2 + 0.5).mul(255).round().byte()
        assert np.array_equal(np.asarray(image), np.asarray(to_image(pixels.numpy())))
    with pytest.raises(ConfigError, match="bird"):
        space.picture_of_seed(model, 4, 1, "bird")


def test_the_translation_of_a_photo(models: dict[str, Model], tmp_path: Path) -> None:
    model = models["translator"]
    picture(1, 20, 30).convert("L").save(tmp_path / "x.png")
    image = space.translated(model, str(tmp_path / "x.png"), "ba")
    x = torch.tensor(np.array(Image.open(tmp_path / "x.png"))).float() / 127.5 - 1
    pixels = (model.translate(x[None, None], "ba")[0] / 2 + 0.5).mul(255).round().byte()
    assert image.size == (30, 20)
    assert np.array_equal(np.asarray(image), np.asarray(to_image(pixels.numpy())))


def test_photos_that_are_refused(
    models: dict[str, Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.png").write_text("no picture")
    with pytest.raises(ConfigError, match=r"^x\.png "):
        space.translated(models["translator"], tmp_path / "x.png", "ab")
    picture(1, 20, 30).convert("L").save(tmp_path / "y.png")
    monkeypatch.setattr(space, "MOST_PIXELS", 599)
    with pytest.raises(ConfigError, match=r"^y\.png has more than 599 pixels"):
        space.translated(models["translator"], tmp_path / "y.png", "ab")


def test_the_files(folders: dict[str, Path]) -> None:
    for name, folder in folders.items():
        names = {"README.md", "app.py", "config.json", "model.safetensors", "requirements.txt"}
        assert {path.name for path in folder.iterdir()} == names
        front = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
        assert front["sdk"] == "gradio" and front["app_file"] == "app.py"
        assert front["license"] == "mit" and "models" not in front, name
        wanted = (folder / "requirements.txt").read_text()
        assert f"gantrain[hub]=={__version__}\n" in wanted
        assert "--extra-index-url https://download.pytorch.org/whl/cpu\n" in wanted


def test_the_version_of_gradio_is_one_of_the_studio_s() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    found = re.search(r'studio = \["(.+)"\]', text)
    assert found and Requirement(found[1]).specifier.contains(space_folder.GRADIO)


def test_the_model_may_be_elsewhere(models: dict[str, Model], tmp_path: Path) -> None:
    space_folder.write(tmp_path / "s", models["generator"], "hub:anna/faces@v1", None)
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names == {"README.md", "app.py", "requirements.txt"}
    scope: dict[str, Any] = {}
    [line] = [x for x in (tmp_path / "s/app.py").read_text().splitlines() if x.startswith("MODEL")]
    exec(line, {"Path": Path}, scope)
    assert scope["MODEL"] == "hub:anna/faces@v1"
    card = (tmp_path / "s/README.md").read_text()
    assert yaml.safe_load(card.split("---")[1])["models"] == ["anna/faces"]
    assert "https://huggingface.co/anna/faces." in card and "Licence: not stated." in card


class Part:
    """A component that remembers how it was made; also a context, as a row is."""

    made: list["Part"]

    def __init__(self, kind: str, args: tuple[Any, ...], settings: dict[str, Any]) -> None:
        self.kind, self.args, self.settings = kind, args, settings
        self.clicked: tuple[Any, ...] = ()

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def click(self, *args: Any) -> None:
        self.clicked = args


class Gradio(ModuleType):
    """Stands in for gradio: every component is a Part."""

    Error = type("Error", (Exception,), {})

    def __init__(self) -> None:
        super().__init__("gradio")
        self.parts: list[Part] = []

    def __getattr__(self, kind: str) -> Any:
        if kind.startswith("__"):
            raise AttributeError(kind)

        def make(*args: Any, **settings: Any) -> Part:
            self.parts.append(Part(kind, args, settings))
            return self.parts[-1]

        return make


def imported(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location("app", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def gradio(monkeypatch: pytest.MonkeyPatch) -> Gradio:
    stand_in = Gradio()
    monkeypatch.setitem(sys.modules, "gradio", stand_in)
    return stand_in


def test_the_interface_of_a_generator(folders: dict[str, Path], gradio: Gradio) -> None:
    app = imported(folders["generator"] / "app.py")
    assert folders["generator"] == app.MODEL
    app.build(gantrain.load(app.MODEL))
    kinds = [part.kind for part in gradio.parts]
    assert kinds == ["Blocks", "Markdown", "Number", "Slider", "Dropdown", "Button", "Image"]
    assert not gradio.parts[3].settings["visible"]  # it has no w
    choices = gradio.parts[4].args[0]
    assert [value for _, value in choices] == ["", "cat", "dog", "fox"]
    make, inputs, output = gradio.parts[5].clicked
    assert inputs == gradio.parts[2:5] and output == gradio.parts[6]
    assert make(3, 0.7, "fox").size == (12, 8)
    with pytest.raises(Gradio.Error, match="bird"):
        make(3, 0.7, "bird")


def test_the_interface_of_a_translator(
    folders: dict[str, Path], gradio: Gradio, tmp_path: Path
) -> None:
    app = imported(folders["translator"] / "app.py")
    app.build(gantrain.load(app.MODEL))
    photo, result, direction, button = gradio.parts[3:]
    assert direction.args[0] == [("a to b", "ab"), ("b to a", "ba")]
    make, inputs, output = button.clicked
    assert inputs == [photo, direction] and output == result
    picture(1, 16, 16).convert("L").save(tmp_path / "x.png")
    assert make(str(tmp_path / "x.png"), "ab").size == (16, 16)
    for file in (None, str(tmp_path / "missing.png")):
        with pytest.raises(Gradio.Error):
            make(file, "ab")


@pytest.mark.skipif(
    not is_installed("gradio"), reason="the page needs gradio: pip install 'gantrain[studio]'"
)
@pytest.mark.parametrize("name", ["generator", "translator"])
def test_the_interface_with_gradio_itself(name: str, folders: dict[str, Path]) -> None:
    app = imported(folders[name] / "app.py")
    page = app.build(gantrain.load(app.MODEL))
    [made] = page.fns.values()
    if name == "generator":
        assert made.fn(3, 0.7, "fox").size == (12, 8)
