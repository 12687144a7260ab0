"""Turn Hydra's errors about launchers and sweepers into sentences that contain the fix."""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gantrain.config import compose
from gantrain.errors import nearest

# Package name in Hydra's message -> the extra of gantrain that installs it
EXTRAS = {"submitit": "slurm", "optuna": "sweep"}


def explain(error: HydraException, source: ConfigLoaderImpl, typed: Sequence[str]) -> str | None:
    """Return a sentence about `error` if it is about hydra.launcher or hydra.sweeper, else None.

    Args:
        error: what Hydra raised while composing.
        source: the config loader, to list the options of the chosen launcher or sweeper.
        typed: the overrides as typed.
    """
    by_key = {text.lstrip("+").partition("=")[0]: text for text in typed}
    for package, extra in EXTRAS.items():
        if re.search(rf"hydra/(launcher|sweeper)\W+{package}", str(error)):
            choice = next((by_key[key] for key in ("launcher", "sweep") if key in by_key), package)
            return (
                f"{choice} needs packages that are not installed: pip install 'gantrain[{extra}]'."
            )
    match = re.search(r"Could not override '(hydra\.(launcher|sweeper))\.([\w.-]+)'", str(error))
    if not match:
        return None
    node, kind, key = match.groups()
    other_overrides = [text for text in typed if not text.lstrip("+").startswith(f"{node}.")]
    cfg = compose.compose(source, "train", other_overrides, RunMode.MULTIRUN)
    return _unknown_option(cfg, node, kind, key, by_key)


def _unknown_option(cfg: DictConfig, node: str, kind: str, key: str, by_key: dict[str, str]) -> str:
    options = [name for name in OmegaConf.select(cfg, node) if name != "_target_"]
    group = {"launcher": "launcher", "sweeper": "sweep"}[kind]
    if group not in by_key:
        example = {"launcher": "launcher=local or launcher=slurm", "sweeper": "sweep=optuna"}[kind]
        return f"{node}.{key} is an option of a {kind}, but none is chosen: add {example}."
    close = nearest(key, options)
    hint = f"Did you mean {node}.{close}? " if close else ""
    return f"{node}.{key} is not an option of {by_key[group]}. {hint}Options: {', '.join(options)}."
