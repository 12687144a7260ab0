"""From composed YAML to checked, typed settings, without importing torch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omegaconf import DictConfig


def load(command: str, cfg: DictConfig, given: Iterable[str] | None = None) -> Any:
    """Check a composed config and return it as the settings of `command`.

    Args:
        command: a command of gantrain, "train" or another.
        cfg: the composed config, without the `hydra` node.
        given: of train: the keys the user typed (default: asked of Hydra).

    Raises:
        ConfigError: with every problem found.
    """
    from gantrain.config import check, generate, tools, train

    if command == "train":
        return train.load(cfg, given)
    if command == "prepare":
        return tools.load_prepare(cfg)
    name = f"{command.capitalize()}Config"
    return check.load_settings(getattr(tools, name, None) or getattr(generate, name), cfg)
