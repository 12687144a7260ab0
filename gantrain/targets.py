"""What a `_target_` names: the only code a config can reach."""

import importlib
import os
from typing import Any

from gantrain.errors import ConfigError


def is_plugin(path: str) -> bool:
    """Whether the dotted path lies in a package that the user named in GANTRAIN_PLUGINS."""
    plugins = [name.strip() for name in os.environ.get("GANTRAIN_PLUGINS", "").split(",")]
    return path.startswith(tuple(f"{name}." for name in plugins if name))


def is_allowed(path: str) -> bool:
    """Whether a config may name this `_target_`: its code would run."""
    return path.startswith(("gantrain.", "torch.optim.")) or is_plugin(path)


def resolve(section: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """(what the section's `_target_` names, its other settings). Imports the module it is in."""
    path: str = section["_target_"]
    if not is_allowed(path):
        raise ConfigError(f"_target_={path} is not allowed; see GANTRAIN_PLUGINS.")
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    return found, {key: value for key, value in section.items() if key != "_target_"}
