"""Turn composed YAML into checked, typed settings without importing torch."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig

# The commands whose settings are not in `tools`
OWN_MODULES = ("directions", "generate", "project", "push", "studio")


def load(command: str, cfg: DictConfig, typed_keys: Iterable[str] | None = None) -> Any:
    """Check a composed config and return it as the settings of `command`.

    Args:
        command: the name of a gantrain command, such as "train".
        cfg: the composed config, without the `hydra` node.
        typed_keys: for train, the dotted keys on the command line (None: read them from Hydra).

    Raises:
        ConfigError: lists every problem found.
    """
    # Each branch imports only what its command needs: an answer to a typing error is quick.
    if command == "train":
        from gantrain.config import train

        return train.load(cfg, typed_keys)
    from gantrain.config import check, tools

    if command == "prepare":
        return tools.load_prepare(cfg)
    return check.load_settings(settings_class(command), cfg)


def settings_class(command: str) -> type[Any]:
    """Return the dataclass of a command's settings."""
    if command == "train":
        from gantrain.config.train import RunConfig

        return RunConfig
    module = command if command in OWN_MODULES else "tools"
    imported = importlib.import_module(f"gantrain.config.{module}")
    return getattr(imported, f"{command.capitalize()}Config")
