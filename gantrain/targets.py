"""Resolve `_target_` paths: the only code that a config can reach."""

import importlib
import os
import sys
from typing import Any

from gantrain.errors import ConfigError

OWN = ("gantrain.gans.", "gantrain.data.", "torch.optim.")
OWN_PARTS = ("gantrain", "torch", "numpy", "hydra", "omegaconf", "yaml", "PIL", "builtins")


def is_plugin(path: str) -> bool:
    """Return whether the dotted path is in a package that GANTRAIN_PLUGINS names."""
    plugins = [name.strip() for name in os.environ.get("GANTRAIN_PLUGINS", "").split(",")]
    return path.startswith(tuple(f"{name}." for name in plugins if name))


def is_allowed(path: str) -> bool:
    """Return whether a config may name this `_target_`, whose code would run."""
    return path.startswith(OWN) or is_plugin(path)


def advice(path: str) -> str:
    """Return how to allow a class that is not allowed, as a sentence; "": nothing would.

    Nothing would where the path leads into Python itself or into a library of this program, which
    hold no class of a GAN.
    """
    top = path.partition(".")[0]
    if "." not in path or not top.isidentifier():
        return ""
    if top in sys.stdlib_module_names or top in OWN_PARTS:
        return ""
    return f" If {top} is a package of yours, or one that you trust, set GANTRAIN_PLUGINS={top}."


def resolve(section: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Import what the `_target_` of a section names.

    Returns:
        (the class or function, the other settings of the section).

    Raises:
        ConfigError: the `_target_` is not allowed, or no class.
    """
    path: str = section["_target_"]
    if not is_allowed(path):
        raise ConfigError(f"_target_={path} is not allowed.{advice(path)}")
    module, _, name = path.rpartition(".")
    target = getattr(importlib.import_module(module), name)
    if not isinstance(target, type) and not is_plugin(path):
        raise ConfigError(f"_target_={path} is not a class.")
    return target, {key: value for key, value in section.items() if key != "_target_"}
