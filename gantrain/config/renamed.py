"""Keys that have other names now. The old ones work for two minor versions, with a sentence."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Renamed:
    """What became of a key of train.

    Attributes:
        key: its new name.
        since: the version that renamed it.
        until: the version that no longer knows the old name.
        convert: (old value, present value under the new name) -> value under the new name.
    """

    key: str
    since: str
    until: str
    convert: Callable[[Any, Any], Any]


def _with_tensorboard(wanted: Any, trackers: Any) -> Any:
    others = [name for name in trackers or () if name != "tensorboard"]
    return ["tensorboard", *others] if wanted else others


RENAMED = {"tracking.tensorboard": Renamed("tracking.to", "0.2", "0.4", _with_tensorboard)}


def admit(overrides: Sequence[str], say: Callable[[str], None] | None = None) -> list[str]:
    """Return overrides of train in which old keys are added to the config, which lacks them.

    Args:
        overrides: key=value.
        say: shows a sentence about each old key; None: nothing is said, of a run that was recorded.
    """
    admitted = list(overrides)
    for i, text in enumerate(overrides):
        key = text.lstrip("+").partition("=")[0]
        if old := RENAMED.get(key):
            admitted[i] = f"++{text.lstrip('+')}"
            if say:
                say(_sentence(key, old))
    return admitted


def rename(plain: dict[str, Any], said: Container[str] = ()) -> list[str]:
    """Give the old keys of a composed config their new names.

    Args:
        plain: the config as nested plain values, changed in place.
        said: the old keys that the user was told about. The others are from a YAML.

    Returns:
        A sentence about each other old key.
    """
    sentences = []
    for key, old in RENAMED.items():
        section, _, name = key.rpartition(".")
        node = plain.get(section)
        if isinstance(node, dict) and name in node:
            new = old.key.rpartition(".")[2]
            node[new] = old.convert(node.pop(name), node.get(new))
            sentences += [] if key in said else [_sentence(key, old)]
    return sentences


def _sentence(key: str, old: Renamed) -> str:
    return f"{key} is called {old.key} since {old.since}; the old name is read until {old.until}."
