"""The directory of a run: a new one, or the one to go on with, and what is recorded in it."""

import importlib.metadata
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.core.hydra_config import HydraConfig

from gantrain import __version__
from gantrain.config.train import RunConfig
from gantrain.engine.checkpoint import shape_mismatches
from gantrain.engine.distributed.environment import ProcessInfo
from gantrain.engine.trainer import Trainer
from gantrain.errors import ConfigError
from gantrain.gans.base import GAN
from gantrain.io.files import remove_leftovers
from gantrain.runs import resume
from gantrain.runs.directory import RunDirectory, environment
from gantrain.runs.resume import ExistingRun
from gantrain.tracking.tracker import Tracker

PACKAGES = ("torch", "hydra-core", "omegaconf", "numpy", "pillow", "tensorboard", "rich")


def find(config: RunConfig) -> ExistingRun | None:
    """The run to go on with, locked unless it is finished; None: a new one begins.

    Raises ConfigError when it is not to be gone on with, or another process trains it.
    """
    past = resume.find_resumable(config)
    if past and not past.result:
        past.directory.lock()
        if past.repeated:
            print(f"{past.directory.path} was begun with these settings: going on with it.")
    return past


def recorded_config(config: RunConfig, past: ExistingRun | None) -> RunConfig:
    """The config to be recorded: `init_from` says how the run began, the rest how it goes on.

    `resume` is about one start, not about the run.
    """
    if past:
        config = replace(config, init_from=past.init_from)
    return replace(config, resume=None, resume_force=False)


def check_ranks(config: RunConfig, own: ProcessInfo | None) -> None:
    """Raise ConfigError when each of several processes would start ranks of its own."""
    devices = config.runtime.devices
    if own is None or devices in (1, own.local_size):
        return
    raise ConfigError(
        f"{own.source} started {own.size} ranks, {own.local_size} of them here, and "
        f"runtime.devices={devices} would start others: leave runtime.devices at 1."
    )


def check_same_checkpoint(counts: list[int], directory: RunDirectory) -> None:
    """Raise ConfigError unless all ranks found the same checkpoint (images: one per rank)."""
    if len(set(counts)) > 1:
        raise ConfigError(
            f"The ranks see different checkpoints in {directory.path} (at "
            f"{', '.join(f'{count / 1000:g}' for count in counts)} kimg): the run directory must "
            "lie on storage that all nodes share; give out=."
        )


def check_shapes(directory: RunDirectory, state: dict[str, Any], gan: GAN) -> None:
    """Refuse a checkpoint that `resume_force` cannot load, before anything is written."""
    if found := shape_mismatches(state, gan):
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
    if resume.config_diff(state["note"]["settings"], asdict(config), ["evaluation"]):
        state = {**state, "enough": False}  # by other rules
    trainer.load_state_dict(state)
    before, now = len(state["ranks"]), trainer.world.size
    if before != now:
        tracker.say(_dealt_anew(state["ranks"], before, trainer.plan.microbatch, now))


def _dealt_anew(ranks: list[dict[str, Any]], before: int, microbatch: int, now: int) -> str:
    pools = [pool.get("images", []) for rank in ranks for pool in rank["local"].values()]
    images = sum(map(len, pools))
    pooled = f"the {images} images of its pools are dealt out anew, " if images else ""
    return (
        f"Saved by {before} rank{'s' * (before > 1)}, going on with {now}: {pooled}every rank "
        f"takes its part of the same batches in microbatches of {microbatch}; where that is as "
        "before, so are all random draws."
    )


def create(config: RunConfig, data: str) -> RunDirectory:
    """The directory of a new run, locked; `data` (see `data_name`) names it if nobody else did.

    Raises ConfigError when another process was faster.
    """
    model = config.model["_target_"].split(".")[-2]
    directory = RunDirectory.create(Path(config.out), config.name, f"{model}-{data}")
    directory.lock()
    if not directory.is_unused():
        directory.unlock()
        raise ConfigError(
            f"{directory.path} was begun by another process just now: the same command once more "
            "goes on with it, another name= starts a new run."
        )
    remove_leftovers(directory.path)
    return directory


def data_name(config: RunConfig) -> str:
    """The data set as the user chose it; only the process that composed the config knows."""
    choice = HydraConfig.get().runtime.choices.get("data") if HydraConfig.initialized() else None
    return str(choice or config.data["_target_"].split(".")[-2])


def record_config(directory: RunDirectory, content: dict[str, Any], overrides: list[str]) -> None:
    """Settings, overrides and versions as they are now; those of before a change get a number.

    What was typed stays as it is while it comes to the same.
    """
    config = yaml.safe_dump(content, sort_keys=False)
    before = directory.read_config() if directory.config.exists() else None
    directory.write_json(directory.path / "environment.json", environment(versions()))
    if before is not None and _run_settings(before) == _run_settings(yaml.safe_load(config)):
        return
    if before is not None:
        number = len(list(directory.path.glob("config.*.yaml"))) + 1
        for path in (directory.config, directory.overrides):
            earlier = path.with_name(f"{path.stem}.{number}{path.suffix}")
            directory.write_text(earlier, path.read_text())
    directory.write_text(directory.overrides, yaml.safe_dump(overrides))
    directory.write_text(directory.config, config)  # last: with it the run has begun


def _run_settings(content: dict[str, Any]) -> dict[str, Any]:
    """Without what was said about one start: an earlier version wrote that down, too."""
    return {key: value for key, value in content.items() if key not in ("resume", "resume_force")}


def versions() -> dict[str, str]:
    """Of gantrain and what it stands on; torch's with its build, such as 2.11.0+cu130."""
    others = {p: importlib.metadata.version(p) for p in PACKAGES}
    return {"gantrain": __version__} | others | {"torch": str(torch.__version__)}
