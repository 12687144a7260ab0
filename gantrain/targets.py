"""Resolve `_target_` paths: the only code that a config can reach."""

import importlib
import os
from typing import Any

from gantrain.errors import ConfigError


def is_plugin(path: str) -> bool:
    """Return whether the dotted path is in a package that GANTRAIN_PLUGINS names."""
    plugins = [name.strip() for name in os.environ.get("GANTRAIN_PLUGINS", "").split(",")]
    return path.startswith(tuple(f"{name}." for name in plugins if name))


def is_allowed(path: str) -> bool:
    """Return whether a config may name this `_target_`, whose code would run."""
    return path.startswith(("gantrain.", "torch.optim.")) or is_plugin(path)


def resolve(section: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Import what the `_target_` of a section names.

    Returns:
        (the class or function, the other settings of the section).

    Raises:
        ConfigError: the `_target_` is not allowed.
    """
    path: str = section["_target_"]
    if not is_allowed(path):
        raise ConfigError(f"_target_={path} is not allowed; see GANTRAIN_PLUGINS.")
    module, _, name = path.rpartition(".")
    target = getattr(importlib.import_module(module), name)
    return target, {key: value for key, value in section.items() if key != "_target_"}
