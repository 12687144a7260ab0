"""Find an existing run: can the command resume it, and is there anything left to train?

Does not import torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantrain.config import constructors
from gantrain.config.check import flatten
from gantrain.config.choices import BUILT
from gantrain.errors import ConfigError, format_value, shown
from gantrain.runs.directory import RunDirectory, occupied_message

if TYPE_CHECKING:
    from gantrain.config.train import RunConfig

# Keys that affect neither the networks nor the images
NEUTRAL_KEYS = ("data.cache", "data.cache_gb", "data.cache_dir", "data.hint", "model.mode")
NEUTRAL_KEYS += ("data.remote_cache_gb",)
NEUTRAL_KEYS += ("data.reading",)  # the run keeps its own
# Sections about where and how a run is trained: it stays the same run if they differ
NOT_COMPARED = {"name", "out", "resume", "resume_force", "stop_on_failure", "objective"}
NOT_COMPARED |= {"runtime", "tracking", "checkpoint", "warnings"}
ONCE = {"model.augment_p": 0.0}  # what null stands for where it once was the value
MAX_CHANGES = 8  # that a sentence lists


@dataclass(frozen=True)
class ExistingRun:
    """A run that can be resumed, or is finished.

    Attributes:
        directory: its directory.
        is_repeated: whether its command was repeated, without `resume`.
        init_from: where its initial weights came from.
        result: the content of result.json if nothing is left to train, else None.
        is_forced: whether changed settings and classes are accepted.
    """

    directory: RunDirectory
    is_repeated: bool
    init_from: str | None
    result: dict[str, Any] | None
    is_forced: bool = False


def find_resumable(config: RunConfig) -> ExistingRun | None:
    """Return the existing run of a config: that of `resume`, or <out>/<name>.

    Without `resume`, all settings must match the latest ones of the run, except NOT_COMPARED and
    NEUTRAL_KEYS; or match earlier ones whose budget has been reached. With `resume`, only the
    model, the data and the kind of optimizer must match, unless forced.

    Args:
        config: the checked config.

    Returns:
        None if the config starts a new run.

    Raises:
        ConfigError: `resume` is not a run, or the existing run cannot be resumed.
    """
    directory = _existing_directory(config)
    if directory is None:
        return None
    recorded = directory.read_config()
    changes = _changed_settings(config, recorded)
    resuming = shown(f"resume={directory.path}")
    if changes and config.resume is None:
        if directory.is_unused():  # its run was stopped before the first checkpoint
            return None
        if earlier := _matching_earlier_config(config, directory):
            if result := _final_result(config, earlier, directory):
                return ExistingRun(directory, True, earlier.get("init_from"), result)
            raise ConfigError(
                f"{directory.path} was started with these settings but later resumed with "
                f"different ones: {_list_changes(changes)}. To continue with those: gantrain "
                f"{resuming}. To restore the budget and the learning rate of this "
                f"command, add {resuming} to it. To start a new run, give another "
                "name=."
            )
        raise ConfigError(
            f"{directory.path} already exists, with other settings: {_list_changes(changes)}. To "
            f"resume it, repeat the command that started it, or use {resuming}, which "
            "may change the budget and the learning rate. To start a new run, give another name=."
        )
    if changes and not config.resume_force:
        raise ConfigError(
            f"resume={directory.path} was trained with other settings: {'; '.join(changes)}. "
            "Restore them, start a new run (init_from= loads its weights), or add "
            "resume_force=true to continue anyway."
        )
    result = None if changes else _final_result(config, recorded, directory)
    return ExistingRun(
        directory, config.resume is None, recorded.get("init_from"), result, config.resume_force
    )


def config_diff(
    old: dict[str, Any], new: dict[str, Any], sections: Collection[str] = ("model", "data")
) -> list[str]:
    """Return the differences between two plain configs, such as "model.ngf: 64 -> 32".

    NEUTRAL_KEYS are ignored. A key that the old config lacks, because it was written before the key
    existed, has the default of its constructor.

    Args:
        old: the recorded config.
        new: the current config.
        sections: the top-level keys to compare.
    """
    before = {
        key: value
        for name in sections
        for key, value in flatten(_with_defaults(old.get(name), new.get(name)), name)
    }
    after = {key: value for name in sections for key, value in flatten(new.get(name), name)}
    return [
        f"{key}: {_format(before, key)} -> {_format(after, key)}"
        for key in dict.fromkeys([*before, *after])
        if key not in NEUTRAL_KEYS
        and _local(_format(before, key)) != _local(_format(after, key))
        # A key of gantrain's own sections that did not exist then: null is as it was without it.
        # (Those of constructors have got their defaults above.)
        and (key in before or after[key] is not None or key.partition(".")[0] in BUILT)
    ]


def _with_defaults(old: Any, new: Any) -> Any:
    """Return `old` with constructor defaults for the keys that only `new` has."""
    target = new.get("_target_") if isinstance(new, dict) else None
    if not isinstance(old, dict) or old.get("_target_") != target or not isinstance(target, str):
        return old
    try:
        parameters = constructors.read_signature(target).parameters
    except ConfigError:  # a plug-in that is gone is reported elsewhere
        return old
    new_keys = [key for key in new if key not in old and key in parameters]
    defaults = {key: parameters[key].default for key in new_keys}
    return {**old, **{key: value for key, value in defaults.items() if value is not ...}}


def _existing_directory(config: RunConfig) -> RunDirectory | None:
    is_path = config.resume not in (None, "auto")
    if not is_path and config.name is None:
        return None
    path = Path(str(config.resume)) if is_path else Path(config.out) / str(config.name)
    directory = RunDirectory(path)
    if directory.config.is_file():
        directory.refuse_special_files()
        return directory
    if is_path:
        raise ConfigError(f"resume={path} is not a run (config.yaml is missing).")
    if not directory.is_unused():
        raise ConfigError(occupied_message(path))
    return None


def _changed_settings(config: RunConfig, recorded: dict[str, Any]) -> list[str]:
    """Return the differences that prevent a run from being resumed; see `find_resumable`."""
    current = dataclasses.asdict(config)
    if config.resume is None:
        return config_diff(recorded, current, [x for x in current if x not in NOT_COMPARED])
    changes = config_diff(recorded, current)
    old_optimizer = (recorded.get("optimizer") or {}).get("_target_")
    new_optimizer = (current.get("optimizer") or {}).get("_target_")
    if old_optimizer != new_optimizer:
        changes.append(f"optimizer: {old_optimizer} -> {new_optimizer}")
    if config.init_from is not None:  # resume=auto, where init_from says how the run starts
        changes += config_diff(recorded, current, ["init_from"])
    return changes


def _matching_earlier_config(config: RunConfig, directory: RunDirectory) -> dict[str, Any] | None:
    """Return the newest earlier settings of the run that match the config, or None."""
    numbers = [path.suffixes[0][1:] for path in directory.path.glob("config.*.yaml")]
    for number in sorted((int(n) for n in numbers if n.isdigit()), reverse=True):
        settings = directory.read_config(number)
        if not _changed_settings(config, settings):
            return settings
    return None


def _final_result(
    config: RunConfig, recorded: dict[str, Any], directory: RunDirectory
) -> dict[str, Any] | None:
    """Return the result if it covers the whole budget and has the same evaluation settings."""
    result = directory.read_result()
    if result is None or config_diff(recorded, dataclasses.asdict(config), ["evaluation"]):
        return None
    budget = budget_images(config, recorded)
    is_done = result.get("enough") or (budget is not None and result["nimg"] >= budget)
    return result if is_done else None


def budget_images(config: RunConfig, recorded: dict[str, Any]) -> int | None:
    """Return the budget of a config in images.

    Args:
        config: the current config.
        recorded: the recorded config of the run, which knows the images of an epoch.

    Returns:
        None if only the data set knows it.
    """
    if config.train.kimg is not None:
        return round(config.train.kimg * 1000)
    epochs = recorded.get("train", {}).get("epochs")
    total = recorded.get("derived", {}).get("plan", {}).get("total", 0)
    return round(total * ((config.train.epochs or 0) / epochs)) if epochs else None


def _list_changes(changes: list[str]) -> str:
    count = len(changes) - MAX_CHANGES
    suffix = f"; and {count} more" if count > 0 else ""
    return "; ".join(changes[:MAX_CHANGES]) + suffix


def _local(text: str) -> str:
    """Return a value with slashes as here: the run may have begun on another system."""
    return text.replace("\\", "/")


def _format(flat: dict[str, Any], key: str) -> str:
    if key not in flat:
        return "(not set)"
    return format_value(ONCE.get(key, flat[key]) if flat[key] is None else flat[key])
