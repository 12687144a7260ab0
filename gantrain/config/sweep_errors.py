"""Errors about launchers and sweepers, said so that the way out is in them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.config import compose
from gantrain.errors import nearest

EXTRAS = {"submitit": "slurm", "optuna": "sweep"}  # part of a choice's name: the extra it needs


def explain(error: HydraException, source: ConfigLoaderImpl, typed: Sequence[str]) -> str | None:
    """A sentence about `error` if it is about hydra.launcher or hydra.sweeper, else None."""
    given = {text.lstrip("+").partition("=")[0]: text for text in typed}
    for package, extra in EXTRAS.items():
        if re.search(rf"hydra/(launcher|sweeper)\W+{package}", str(error)):
            choice = next((given[key] for key in ("launcher", "sweep") if key in given), package)
            return (
                f"{choice} needs packages that are not installed: pip install 'gantrain[{extra}]'."
            )
    if not (
        found := re.search(
            r"Could not override '(hydra\.(launcher|sweeper))\.([\w.-]+)'", str(error)
        )
    ):
        return None
    node, kind, key = found.groups()
    rest = [text for text in typed if not text.lstrip("+").startswith(f"{node}.")]
    cfg = compose.compose(source, "train", rest, RunMode.MULTIRUN)
    return _unknown(cfg, node, kind, key, given)


def _unknown(cfg: DictConfig, node: str, kind: str, key: str, given: dict[str, str]) -> str:
    options = [name for name in OmegaConf.select(cfg, node) if name != "_target_"]
    group = {"launcher": "launcher", "sweeper": "sweep"}[kind]
    if group not in given:
        example = {"launcher": "launcher=local or launcher=slurm", "sweeper": "sweep=optuna"}[kind]
        return f"{node}.{key} is an option of a {kind}, and none is chosen: add {example}."
    close = nearest(key, options)
    hint = f"Did you mean {node}.{close}? " if close else ""
    return f"{node}.{key} is not an option of {given[group]}. {hint}Options: {', '.join(options)}."
