"""Signatures read from source text, never by importing."""

import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Annotated, Any, Literal

import pytest

from gantrain.config import constructors
from gantrain.errors import ConfigError
from gantrain.types import Range, Schedule

FILES = {
    "plug/__init__.py": "from .nets import Net as Offered\nfrom plug.nets import *\n",
    "plug/kinds.py": "from typing import Literal\nNorm = Literal['a', 'b']\n",
    "plug/nets.py": """
        raise RuntimeError("imported")
        from dataclasses import dataclass
        from typing import Annotated, Optional
        from gantrain.types import Range, Schedule
        from plug.kinds import Norm

        class Net:
            def __init__(self, images: "ImageSpec", *, width: Annotated[int, Range(1, high=8)],
                         norm: Norm = "a", weight: Annotated[Schedule, Range(0)] = 1.0,
                         size: int | list[int] | None = None, betas: tuple[float, ...] = (),
                         name: Optional[str] = None, other: Colour = None,
                         odd: Annotated[int, Range(LOW)] = 3, lazy: "int | None" = None): ...

        class Child(Net):
            pass

        @dataclass
        class Record:
            a: int
            b: float = 1.0

        class Loose:
            def __init__(self, **kwargs): ...

        def make(depth: int): ...
    """,
}


@pytest.fixture(autouse=True)
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))


def test_annotations_become_typing_objects() -> None:
    found = constructors.read_signature("plug.nets.Net")
    assert {name: p.annotation for name, p in found.parameters.items()} == {
        "images": Any,
        "width": Annotated[int, Range(1, 8)],
        "norm": Literal["a", "b"],
        "weight": Annotated[Schedule, Range(0)],
        "size": int | list[int] | None,
        "betas": tuple[float, ...],
        "name": str | None,
        "other": Any,
        "odd": Any,
        "lazy": int | None,
    }
    assert [p.name for p in found.parameters.values() if p.required] == ["images", "width"]
    assert not found.open


@pytest.mark.parametrize("target", ["plug.Offered", "plug.Net", "plug.nets.Child", "plug.Child"])
def test_re_exports_and_inheritance_are_followed(target: str) -> None:
    assert constructors.read_signature(target) == constructors.read_signature("plug.nets.Net")


def test_dataclasses_functions_and_open_constructors() -> None:
    record = constructors.read_signature("plug.nets.Record").parameters
    assert [(p.name, p.annotation, p.required) for p in record.values()] == [
        ("a", int, True),
        ("b", float, False),
    ]
    assert constructors.read_signature("plug.nets.make").parameters["depth"].annotation is int
    assert constructors.read_signature("plug.nets.Loose").open


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("plug.nets.Nett", "plug.nets has no class Nett. Did you mean plug.nets.Net?"),
        ("plug.missing.Net", "there is no module plug.missing"),
        ("nowhere.at.All", "there is no module nowhere.at"),
        ("Net", "there is no module Net"),
    ],
)
def test_missing_targets(target: str, said: str) -> None:
    with pytest.raises(ConfigError, match="_target_=" + target) as caught:
        constructors.read_signature(target)
    assert said in str(caught.value)


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "plug" / "broken.py").write_text("x = 1\ndef f(:\n")
    with pytest.raises(ConfigError, match=r"broken\.py, line 2"):
        constructors.read_signature("plug.broken.Net")


def test_optimizers_of_torch_without_torch() -> None:
    program = (
        "import sys; from gantrain.config import constructors\n"
        "found = constructors.read_signature('torch.optim.Adam').parameters\n"
        "print(found['lr'].annotation, found['betas'].annotation, 'torch' in sys.modules)"
    )
    root = Path(constructors.__file__).parents[2]
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert "float" in done.stdout and done.stdout.split()[-1] == "False"


def test_class_constants_are_read_through_bases() -> None:
    target = "gantrain.gans.stylegan.StyleGAN"
    assert constructors.class_constant(target, "takes") == "images"
    assert constructors.class_constant("gantrain.gans.cyclegan.CycleGAN", "takes") == "unpaired"
    assert constructors.class_constant(target, "nothing") is None
    with pytest.raises(ConfigError, match="no class"):
        constructors.class_constant("gantrain.gans.stylegan.StileGAN", "takes")
