"""The run that lies where this one would: may the command go on with it, is anything left to do?

Answers without importing torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantrain.config import constructors
from gantrain.errors import ConfigError, format_value
from gantrain.runs.directory import RunDirectory, occupied

if TYPE_CHECKING:
    from gantrain.config.train import RunConfig

NEUTRAL = ("data.cache", "data.cache_gb", "data.cache_dir", "data.hint", "model.mode")
# Where, on what machine and how closely watched: the same run all the same.
FREE = {"name", "out", "resume", "resume_force", "objective", "runtime", "tracking", "warnings"}
SHOWN = 8  # differences that a sentence lists


@dataclass(frozen=True)
class ExistingRun:
    """A run to go on with.

    Attributes:
        repeated: the command that began it was given once more, without `resume`.
        init_from: what its first weights came from.
        result: content of result.json if nothing is left to train, else None.
    """

    directory: RunDirectory
    repeated: bool
    init_from: str | None
    result: dict[str, Any] | None


def find_resumable(config: RunConfig) -> ExistingRun | None:
    """The run that `config` goes on with: `resume` itself, or <out>/<name>. None: a new one begins.

    Raises ConfigError when there is none where `resume` says, or it is not to be gone on with:
    without `resume` all settings but FREE and NEUTRAL ones must be those it was last gone on with,
    or earlier ones whose budget has been reached; with it those of the model and the data and the
    kind of optimizer, unless forced.
    """
    directory = _place(config)
    if directory is None:
        return None
    before = directory.read_config()
    changes = _changes(config, before)
    if changes and config.resume is None:
        if earlier := _earlier(config, directory):
            if result := _finished(config, earlier, directory):
                return ExistingRun(directory, True, earlier.get("init_from"), result)
            raise ConfigError(
                f"{directory.path} was begun with these settings, and has been gone on with since "
                f"under others: {_few(changes)}. gantrain resume={directory.path} goes on with "
                f"those; this command and resume={directory.path} takes back what it changes of "
                "the budget and the rate; another name= starts a new run."
            )
        raise ConfigError(
            f"{directory.path} is there already, with other settings: {_few(changes)}. The command "
            f"that began it goes on with it, so does resume={directory.path}, which may change the "
            "budget and the rate; another name= starts a new run."
        )
    if changes and not config.resume_force:
        raise ConfigError(
            f"resume={directory.path} was made with other settings: {'; '.join(changes)}. "
            "Take them back, start a new run (init_from= takes its weights), or add "
            "resume_force=true to continue all the same."
        )
    result = None if changes else _finished(config, before, directory)
    return ExistingRun(directory, config.resume is None, before.get("init_from"), result)


def config_diff(
    old: dict[str, Any], new: dict[str, Any], sections: Collection[str] = ("model", "data")
) -> list[str]:
    """What changed between two plain configs, as "model.ngf: 64 -> 32".

    Settings that change neither the networks nor the pictures are left out; so are keys that came
    after the old config was written, where they have the default that keeps what was before.
    """
    before = {
        key: value
        for name in sections
        for key, value in _flat(name, _with_defaults(old.get(name), new.get(name)))
    }
    after = {key: value for name in sections for key, value in _flat(name, new.get(name))}
    return [
        f"{key}: {_shown(before, key)} -> {_shown(after, key)}"
        for key in dict.fromkeys([*before, *after])
        if key not in NEUTRAL and _shown(before, key) != _shown(after, key)
    ]


def _with_defaults(old: Any, new: Any) -> Any:
    """`old` with the keys of `new` that it lacks at their constructor's default, if it has one."""
    target = new.get("_target_") if isinstance(new, dict) else None
    if not isinstance(old, dict) or old.get("_target_") != target or not isinstance(target, str):
        return old
    try:
        known = constructors.read_signature(target).parameters
    except ConfigError:  # a plug-in that is gone: said elsewhere
        return old
    later = {key: known[key].default for key in new if key not in old and key in known}
    return {**old, **{key: value for key, value in later.items() if value is not ...}}


def _place(config: RunConfig) -> RunDirectory | None:
    given = config.resume not in (None, "auto")
    if not given and config.name is None:
        return None
    path = Path(str(config.resume)) if given else Path(config.out) / str(config.name)
    directory = RunDirectory(path)
    if directory.config.is_file():
        return directory
    if given:
        raise ConfigError(f"resume={path}: no run is there (config.yaml is missing).")
    if not directory.is_unused():
        raise ConfigError(occupied(path))
    return None


def _changes(config: RunConfig, before: dict[str, Any]) -> list[str]:
    now = dataclasses.asdict(config)
    if config.resume is None:
        return config_diff(before, now, [name for name in now if name not in FREE])
    changes = config_diff(before, now)
    kinds = [(settings.get("optimizer") or {}).get("_target_") for settings in (before, now)]
    if kinds[0] != kinds[1]:
        changes.append(f"optimizer: {kinds[0]} -> {kinds[1]}")
    if config.init_from is not None:  # with resume=auto: it says how the run begins
        changes += config_diff(before, now, ["init_from"])
    return changes


def _earlier(config: RunConfig, directory: RunDirectory) -> dict[str, Any] | None:
    """The newest settings of before a change that are those of the command."""
    numbers = [path.suffixes[0][1:] for path in directory.path.glob("config.*.yaml")]
    for number in sorted((int(n) for n in numbers if n.isdigit()), reverse=True):
        settings = directory.read_config(number)
        if not _changes(config, settings):
            return settings
    return None


def _finished(
    config: RunConfig, before: dict[str, Any], directory: RunDirectory
) -> dict[str, Any] | None:
    """The recorded result if it is that of the whole budget and of the same measurement."""
    result = directory.read_result()
    if result is None or config_diff(before, dataclasses.asdict(config), ["evaluation"]):
        return None
    images = budget_images(config, before)
    done = result.get("enough") or (images is not None and result["nimg"] >= images)
    return result if done else None


def budget_images(config: RunConfig, before: dict[str, Any]) -> int | None:
    """The config's budget in images, by what was recorded of the run; None: ask the data."""
    if config.train.kimg is not None:
        return round(config.train.kimg * 1000)
    epochs, total = before["train"]["epochs"], before["derived"]["plan"]["total"]
    return round(total * ((config.train.epochs or 0) / epochs)) if epochs else None


def _few(changes: list[str]) -> str:
    more = f"; and {len(changes) - SHOWN} more" if len(changes) > SHOWN else ""
    return "; ".join(changes[:SHOWN]) + more


def _flat(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        yield prefix, node
        return
    for key, value in node.items():
        yield from _flat(f"{prefix}.{key}", value)


def _shown(flat: dict[str, Any], key: str) -> str:
    return format_value(flat[key]) if key in flat else "(not there)"
