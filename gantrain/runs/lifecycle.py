"""Start and resume runs: find or create the directory, check and restore, record the settings."""

import importlib.metadata
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from hydra.core.hydra_config import HydraConfig

from gantrain import __version__
from gantrain.config.data_kind import keep_reading
from gantrain.config.train import RunConfig
from gantrain.engine.checkpoint import shape_mismatches
from gantrain.engine.distributed import slurm
from gantrain.engine.distributed.environment import ProcessInfo
from gantrain.engine.trainer import Trainer
from gantrain.errors import ConfigError, agreed, counted
from gantrain.gans.base import GAN
from gantrain.io.files import folder_as_config_error, read_json, write_json, write_text
from gantrain.runs import resume
from gantrain.runs.directory import RunDirectory, environment
from gantrain.runs.resume import ExistingRun
from gantrain.tracking.tracker import Tracker

PACKAGES = ("torch", "hydra-core", "omegaconf", "numpy", "pillow", "tensorboard", "rich")


def find(config: RunConfig) -> ExistingRun | None:
    """Return the existing run of a config, locked unless it is finished; None: a new run starts.

    Raises:
        ConfigError: the run cannot be resumed, or another process trains it.
    """
    existing = resume.find_resumable(config)
    if existing and not existing.result:
        lock(existing.directory, config)
        existing.directory.remove_leftovers()
        if existing.is_repeated:
            print(f"{existing.directory.path} was started with these settings: resuming it.")
    return existing


def lock(directory: RunDirectory, config: RunConfig) -> None:
    """Lock a run directory, waiting for a process that is just ending there.

    Args:
        directory: that of the run.
        config: how long to wait; inside a Slurm job at least as long as Slurm waits before it kills
            a job.

    Raises:
        ConfigError: another process trains there.
    """

    def patience() -> float:
        return max(config.runtime.lock_timeout, slurm.kill_wait() if slurm.in_slurm_job() else 0)

    directory.lock(patience, slurm.is_gone)


def recorded_config(config: RunConfig, existing: ExistingRun | None) -> RunConfig:
    """Return the config to record, which describes the run and not a single start of it.

    `init_from` says how the run started; `resume` is dropped. An existing run keeps the rules by
    which it found its files.

    Args:
        config: the checked config.
        existing: the run to resume; None: it is a new run.
    """
    if existing:
        data = keep_reading(config.data, existing.directory.read_config())
        config = replace(config, init_from=existing.init_from, data=data)
    return replace(config, resume=None, resume_force=False)


def check_ranks(config: RunConfig, process: ProcessInfo | None) -> None:
    """Raise ConfigError if each of several ranks would start ranks of its own.

    Args:
        config: the checked config, with runtime.devices.
        process: this process among ranks that torchrun or srun started; None: it is alone.
    """
    devices = config.runtime.devices
    if process is None or devices in (1, process.local_size):
        return
    raise ConfigError(
        f"{process.source} started {process.size} ranks, {process.local_size} of them on this "
        f"machine, but runtime.devices={devices} would start others: keep runtime.devices=1."
    )


def check_same_checkpoint(nimgs: list[int], directory: RunDirectory) -> None:
    """Raise ConfigError unless all ranks found the same checkpoint.

    Args:
        nimgs: the images of each rank's newest checkpoint.
        directory: that of the run.
    """
    if len(set(nimgs)) > 1:
        raise ConfigError(
            f"The ranks see different checkpoints in {directory.path} (at "
            f"{', '.join(f'{nimg / 1000:g}' for nimg in nimgs)} kimg): the run directory must "
            "be on storage that all nodes share; give out=."
        )


def check_shapes(directory: RunDirectory, state: dict[str, Any], gan: GAN) -> None:
    """Raise ConfigError if a checkpoint does not fit the model, before anything is written.

    Args:
        directory: named in the message.
        state: the content of the checkpoint.
        gan: the model as configured.
    """
    if fault := _state_fault(state):
        raise ConfigError(
            f"resume={directory.path}: its newest checkpoint holds no state of a training run "
            f"({fault} is missing or of the wrong type): start a new run."
        )
    try:
        mismatches = shape_mismatches(state, gan)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"resume={directory.path}: its newest checkpoint holds no state of a training run "
            f"({error}): start a new run."
        ) from None
    if mismatches:
        suffix = f" and {len(mismatches) - 3} more" if len(mismatches) > 3 else ""
        raise ConfigError(
            f"resume={directory.path} cannot continue with this model, even if forced: "
            f"{'; '.join(mismatches[:3])}{suffix}. Restore the model settings, or start a new run "
            "(init_from= loads the networks that are the same)."
        )


def _state_fault(state: dict[str, Any]) -> str | None:
    """Return the first part of a checkpoint that is missing or of the wrong type, or None."""
    kinds = {"gan": dict, "optimizers": dict, "note": dict, "nimg": int, "index": int}
    kinds["ranks"] = list
    for key, kind in kinds.items():
        if not isinstance(state.get(key), kind):
            return key
    if not isinstance(state["note"].get("settings"), dict):
        return "note"
    ranks = state["ranks"]
    is_rank = all(isinstance(rank, dict) and isinstance(rank.get("local"), dict) for rank in ranks)
    return None if ranks and is_rank else "ranks"


def restore(trainer: Trainer, state: dict[str, Any], config: RunConfig, tracker: Tracker) -> None:
    """Load a checkpoint into the trainer.

    Another kind of optimizer starts without moments. Changed evaluation settings lift an early
    stop.

    Args:
        trainer: the trainer.
        state: the content of the checkpoint.
        config: the current config.
        tracker: receives messages about what was not restored.
    """
    settings = state["note"]["settings"]
    old_optimizer = (settings.get("optimizer") or {}).get("_target_")
    if old_optimizer != config.optimizer["_target_"]:
        fresh = {name: o.state_dict() for name, o in trainer.optimizers.items()}
        state = {**state, "optimizers": fresh}
        tracker.say(f"The moments of {old_optimizer} are discarded.")
    if resume.config_diff(settings, asdict(config), ["evaluation"]):
        state = {**state, "enough": False}
    try:
        trainer.load_state_dict(state)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"The newest checkpoint of the run does not hold the state of its training "
            f"({type(error).__name__}: {error}): start a new run from its weights (init_from=)."
        ) from error
    if len(state["ranks"]) != trainer.world.size:
        tracker.say(_rank_message(state["ranks"], trainer.world.size, trainer.plan.microbatch))


def _rank_message(rank_states: list[dict[str, Any]], size: int, microbatch: int) -> str:
    """Return a message about a run that is resumed with another number of ranks."""
    old_size = len(rank_states)
    pools = [pool.get("images", []) for state in rank_states for pool in state["local"].values()]
    count = sum(map(len, pools))
    images = f"{counted(count, 'image')} of its pools {agreed(count)}"
    pooled = f"The {images} redistributed. " if count else ""
    return (
        f"Saved by {old_size} rank{'s' * (old_size > 1)}, resumed with {size}. {pooled}Every rank "
        f"processes its part of the same batches in microbatches of {microbatch}. If that number "
        "is unchanged, so are all random draws."
    )


def create(config: RunConfig, data: str) -> RunDirectory:
    """Create and lock the directory of a new run.

    Args:
        config: the checked config.
        data: the name of the data set (`data_name`), for the name of the directory.

    Raises:
        ConfigError: another process has just created it.
    """
    model = config.model["_target_"].split(".")[-2]
    with folder_as_config_error(Path(config.out, config.name or "")):
        directory = RunDirectory.create(Path(config.out), config.name, f"{model}-{data}")
        lock(directory, config)
    if not directory.is_unused():
        directory.unlock()
        raise ConfigError(
            f"{directory.path} was just started by another process: repeat the command to resume "
            "it, or give another name= to start a new run."
        )
    if directory.config.exists():
        print(f"{directory.path}: replacing a run that ended before its first checkpoint.")
    directory.clear()
    return directory


def data_name(config: RunConfig) -> str:
    """Return the choice of data=. Only the process that composed the config knows it."""
    choice = HydraConfig.get().runtime.choices.get("data") if HydraConfig.initialized() else None
    return str(choice or config.data["_target_"].split(".")[-2])


def record_config(directory: RunDirectory, content: dict[str, Any], overrides: list[str]) -> None:
    """Write config.yaml, overrides.yaml and environment.json.

    If the settings have changed, the previous files are kept under numbered names; if they have
    not, only environment.json is written.

    Args:
        directory: that of the run.
        content: the settings, and "derived".
        overrides: as typed.
    """
    config = yaml.safe_dump(content, sort_keys=False)
    recorded = directory.read_config() if directory.config.exists() else None
    file = directory.path / "environment.json"
    content = environment(versions())
    if recorded is not None and isinstance(before := read_json(file), dict):
        content["started"] = before.get("started", "")  # of the run, not of this start
    write_json(file, content)
    if recorded is not None and _run_settings(recorded) == _run_settings(yaml.safe_load(config)):
        return
    if recorded is not None:
        number = len(list(directory.path.glob("config.*.yaml"))) + 1
        for path in (directory.config, directory.overrides):
            numbered = path.with_name(f"{path.stem}.{number}{path.suffix}")
            write_text(numbered, path.read_text("utf-8"))
    write_text(directory.overrides, yaml.safe_dump(overrides))
    write_text(directory.config, config)  # last: with this file, the run exists


def _run_settings(content: dict[str, Any]) -> dict[str, Any]:
    """Return settings without those of a single start, which an earlier version recorded too."""
    return {key: value for key, value in content.items() if key not in ("resume", "resume_force")}


def versions() -> dict[str, str]:
    """Return the versions of gantrain and its dependencies; torch's with its build (+cu130)."""
    dependencies = {p: importlib.metadata.version(p) for p in PACKAGES}
    return {"gantrain": __version__} | dependencies | {"torch": str(torch.__version__)}
