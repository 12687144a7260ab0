"""Commands of gantrain as values: their text for a shell, and their checked settings."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.utils import setup_globals

from gantrain import config
from gantrain.config import compose
from gantrain.config.overrides import quote
from gantrain.errors import shell_quote

_UNQUOTED = re.compile(r"\d+-\d+|[A-Za-z0-9_./-]+:\d+")  # a range of layers, FILE:NUMBER
_composing = threading.Lock()  # Hydra's state is one for the process


@dataclass(frozen=True)
class OwnFile:
    """A file that the user has, or can save.

    Attributes:
        path: where it is here.
        name: what the text of a command calls it.
    """

    path: Path
    name: str


@dataclass(frozen=True)
class Call:
    """A command with its settings.

    Attributes:
        command: its name, such as "generate".
        settings: values by dotted key.
    """

    command: str
    settings: dict[str, Any]

    @property
    def text(self) -> str:
        """What to type in a shell, in a folder with the files that the settings name."""
        words = (
            f"{key}={_written(value.name if isinstance(value, OwnFile) else value)}"
            for key, value in self.settings.items()
        )
        return " ".join(["gantrain", self.command, *map(shell_quote, words)])

    def but(self, **settings: Any) -> Call:
        """Return the command with other settings."""
        return replace(self, settings=self.settings | settings)

    def check(self) -> Any:
        """Return the settings as the command line makes them of the same words.

        Raises:
            ConfigError: they are wrong.
        """
        overrides = [f"{key}={_written(value)}" for key, value in self.settings.items()]
        with _composing:
            composed = _variants(self.command).config(overrides)
        return config.load(self.command, composed)


@cache
def _variants(command: str) -> compose.Variants:
    setup_globals()  # the ${hydra:...} resolver
    return compose.Variants(compose.config_loader(None), command, [])


def _written(value: Any) -> str:
    """Return a value in the grammar of overrides."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, int) or (isinstance(value, str) and _UNQUOTED.fullmatch(value)):
        return str(value)
    return quote(str(value.path if isinstance(value, OwnFile) else value))
