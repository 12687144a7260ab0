"""The text of a command is that command, whatever its settings are."""

import shlex
from pathlib import Path
from typing import Any

import pytest

from gantrain.cli.arguments import parse
from gantrain.config import compose, load
from gantrain.config.overrides import as_typed
from gantrain.errors import ConfigError
from gantrain.studio.calls import Call, OwnFile
from tests.helpers import generators


def as_command_line(text: str) -> Any:
    """What the command line makes of a text."""
    _, *words = shlex.split(text)
    arguments = parse(words)
    assert not arguments.problems
    overrides = [as_typed(arguments.command, one, None, False) for one in arguments.overrides]
    cfg = compose.task_config(compose.config_loader(None), arguments.command, overrides)
    return load(arguments.command, cfg)


@pytest.mark.parametrize(
    "settings",
    [
        {"seeds": 7},
        {"seeds": [1, 2, 9], "truncation_psi": 0.7},
        {"seeds": 0, "class": "cat"},
        {"seeds": 0, "class": "a 'cat', or two"},
        {"seeds": 0, "class": "007"},
        {"seeds": 0, "class": 2, "noise": "none", "grid": False},
        {"seeds": 0, "edit.direction": "a/directions.npz:3", "edit.strength": -2.5},
        {"seeds": 0, "edit.direction": ["a b.npz:3", "c.npz:0"], "edit.strength": [1.0, 2.0]},
        {"style_mixing.rows": 1, "style_mixing.columns": 2, "style_mixing.layers": "0-3"},
        {"style_mixing.rows": 1, "style_mixing.columns": 2, "style_mixing.layers": ["0-1", 5]},
    ],
)
@pytest.mark.parametrize("name", ["run", "a run"])
def test_text_and_settings_agree(
    name: str, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generators.stylegan(tmp_path / name)
    call = Call("generate", {"run": name, **settings})
    assert call.check() == as_command_line(call.text)
    assert call.check().run == name
    for key in ("seeds", "class_", "truncation_psi"):
        if (value := settings.get(key.rstrip("_"))) is not None:
            assert getattr(call.check(), key) == value


def test_a_file_of_the_user_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(generators.stylegan(tmp_path / "run"))
    file = tmp_path / "a b.npz"
    file.touch()
    call = Call("generate", {"run": str(tmp_path / "run"), "w": OwnFile(file, "a b.npz")})
    assert call.check().w == str(file)
    assert shlex.split(call.text)[-1] == 'w="a b.npz"'


def test_wrong_settings_are_sentences(tmp_path: Path) -> None:
    generators.stylegan(tmp_path / "run")
    call = Call("generate", {"run": str(tmp_path / "run"), "truncation_psi": 9})
    with pytest.raises(ConfigError, match="truncation_psi=9"):
        call.check()
