"""The directory of a run: a new one, or the one to go on with, and what is recorded in it."""

import importlib.metadata
from pathlib import Path
from typing import Any

import yaml
from hydra.core.hydra_config import HydraConfig

from gantrain import __version__, schema
from gantrain.engine.checkpoint import misfits
from gantrain.engine.trainer import Trainer
from gantrain.errors import ConfigError
from gantrain.gans.base import GAN
from gantrain.schema import RunConfig
from gantrain.tracking.run_directory import RunDirectory, environment
from gantrain.tracking.tracker import Tracker

PACKAGES = ("torch", "hydra-core", "omegaconf", "numpy", "pillow", "tensorboard", "rich")


def find_existing(config: RunConfig) -> RunDirectory | None:
    """The run to continue: `resume` itself, or <out>/<name> for resume=auto if it has begun."""
    if config.resume is None:
        return None
    path = Path(config.resume)
    if config.resume == "auto":
        path = Path(config.out) / str(config.name)
        if not (path / "config.yaml").exists():
            return None
    if not (path / "config.yaml").exists():
        raise ConfigError(f"resume={path}: no run is there (config.yaml is missing).")
    return RunDirectory(path)


def compare(directory: RunDirectory, settings: dict[str, Any], force: bool) -> None:
    """Refuse to continue with another model, other data or another kind of optimizer."""
    before = yaml.safe_load(directory.config.read_text())
    changes = schema.differences(before, settings)
    optimizers = before["optimizer"]["_target_"], settings["optimizer"]["_target_"]
    if optimizers[0] != optimizers[1]:
        changes.append(f"optimizer: {optimizers[0]} -> {optimizers[1]}")
    if changes and not force:
        raise ConfigError(
            f"resume={directory.path} was made with other settings: {'; '.join(changes)}. "
            "Take them back, start a new run (init_from= takes its weights), or add "
            "resume_force=true to continue all the same."
        )


def check_fit(directory: RunDirectory, state: dict[str, Any], gan: GAN) -> None:
    """Refuse a checkpoint that `resume_force` cannot load, before anything is written."""
    if found := misfits(state, gan):
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise ConfigError(
            f"resume={directory.path} cannot go on with this model, forced or not: "
            f"{'; '.join(found[:3])}{more}. Take the model's settings back, or start a new run "
            "(init_from= takes the networks that are the same)."
        )


def restore(trainer: Trainer, state: dict[str, Any], config: RunConfig, tracker: Tracker) -> None:
    """Go on from a checkpoint; another kind of optimizer begins anew, it has other moments."""
    before = state["note"]["settings"]["optimizer"]["_target_"]
    if before != config.optimizer["_target_"]:
        fresh = {name: o.state_dict() for name, o in trainer.optimizers.items()}
        state = {**state, "optimizers": fresh}
        tracker.say(f"The moments of {before} are left behind.")
    trainer.load_state_dict(state)


def create(config: RunConfig) -> RunDirectory:
    model, data = config.model["_target_"].split(".")[-2], data_name(config)
    return RunDirectory.create(Path(config.out), config.name, f"{model}-{data}")


def data_name(config: RunConfig) -> str:
    choice = HydraConfig.get().runtime.choices.get("data") if HydraConfig.initialized() else None
    return str(choice or config.data["_target_"].split(".")[-2])


def record(directory: RunDirectory, content: dict[str, Any], overrides: list[str]) -> None:
    """Settings, overrides and versions as they are now; those of before a change get a number."""
    config = yaml.safe_dump(content, sort_keys=False)
    if directory.config.exists() and directory.config.read_text() != config:
        number = len(list(directory.path.glob("config.*.yaml"))) + 1
        for path in (directory.config, directory.overrides):
            earlier = path.with_name(f"{path.stem}.{number}{path.suffix}")
            directory.write_text(earlier, path.read_text())
    directory.write_text(directory.overrides, yaml.safe_dump(overrides))
    directory.write_text(directory.config, config)
    directory.write_json(directory.path / "environment.json", environment(versions()))


def versions() -> dict[str, str]:
    """Of gantrain and what it stands on."""
    return {"gantrain": __version__} | {p: importlib.metadata.version(p) for p in PACKAGES}
