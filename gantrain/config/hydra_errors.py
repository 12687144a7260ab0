"""Turn Hydra's and OmegaConf's errors into sentences that name the nearest valid choice."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain.config import compose, paths, suggestions, train
from gantrain.errors import format_value, nearest

# Package name in Hydra's message -> the extra of gantrain that installs it
EXTRAS = {"submitit": "slurm", "optuna": "sweep"}


def to_sentences(
    error: Exception, command: str, overrides: list[str], config_dir: str | None, sweep: bool
) -> list[str]:
    """Return sentences about what is wrong with the command line.

    All overrides are examined, so that several mistakes are reported at once.

    Args:
        error: what Hydra or OmegaConf raised.
        command: the gantrain command.
        overrides: the overrides as typed.
        config_dir: the folder of --config-dir, if any.
        sweep: whether -m was given.

    Returns:
        [] if `error` is not about the command line.
    """
    source = compose.config_loader(config_dir)
    unfinished = source.unfinished
    parser = OverridesParser.create(config_loader=source)
    problems: list[str] = []
    groups: list[str] = []
    swept_groups: list[str] = []  # the first choice of each sweep over a group
    keys: list[Override] = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException:  # or its subclass OverrideParseException
            problems.append(_unreadable(text))
            continue
        if override.is_sweep_override() and not sweep:
            problems.append(_sweep_without_m(text))
        elif _options(source, override.key_or_group) and not _has_group(command, override):
            problems.append(
                f"{override.key_or_group} is a config group of gantrain train. gantrain {command} "
                "has its own keys: list them with --cfg job."
            )
        elif _options(source, override.key_or_group):
            choice_problems = _choice_problems(source, override)
            problems += choice_problems
            if choice_problems:
                continue
            if override.is_sweep_override():
                swept_groups.append(f"{override.key_or_group}={_first_choice(override)}")
            else:
                groups.append(text)
        else:
            keys.append(override)
    if (
        unfinished
        and not sweep
        and unfinished[0] == overrides
        and all(_only_changes(key) for key in keys)
    ):
        problems += _problems_of(unfinished[1], source, command, keys)
    else:
        problems += _key_problems(source, command, [*groups, *swept_groups], keys)
    problems = problems or _swept_key_problems(source, command, groups, swept_groups, keys)
    return problems or _first_line(error)


def _options(source: ConfigLoaderImpl, group: str) -> list[str]:
    return source.get_group_options(group, ObjectType.CONFIG)


def _has_group(command: str, override: Override) -> bool:
    """Return whether the command has the config group of the override."""
    return command == "train" or override.key_or_group.split("/")[0] == "hydra"


def _choice_problems(source: ConfigLoaderImpl, override: Override) -> list[str]:
    group, options = override.key_or_group, _options(source, override.key_or_group)
    if override.is_delete():
        return []
    if override.is_sweep_override():
        chosen = [text.strip("'\"") for text in override.sweep_string_iterator()]
    else:
        value = override.value()
        chosen = value if isinstance(value, list) else [value]
    return [
        _not_a_choice(group, format_value(choice), options)
        for choice in chosen
        if str(choice) not in options
    ]


def _first_choice(override: Override) -> str:
    return next(iter(override.sweep_string_iterator())).strip("'\"")


def _swept_key_problems(
    source: ConfigLoaderImpl,
    command: str,
    groups: list[str],
    swept_groups: list[str],
    keys: list[Override],
) -> list[str]:
    """Report keys that only a swept choice has: Hydra first composes without the sweeps."""
    try:
        existing = set(_dotted(_plain(compose.compose(source, command, groups))))
    except (HydraException, OmegaConfBaseException):
        return []
    sections = {text.partition("=")[0] for text in swept_groups}
    return [
        f"{key}={_value(override)} in a sweep over {key.partition('.')[0]}: write "
        f"'{key}=choice({_value(override)})'."
        for override in keys
        if (key := override.key_or_group).partition(".")[0] in sections
        and key not in existing
        and not override.is_sweep_override()
    ]


def _not_a_choice(group: str, choice: str, options: list[str]) -> str:
    close = nearest(choice, options)
    hint = f"Did you mean {group}={close}? " if close else ""
    return f"{group}={choice} is not a choice. {hint}Choices: {', '.join(options)}."


def _key_problems(
    source: ConfigLoaderImpl, command: str, groups: list[str], keys: list[Override]
) -> list[str]:
    try:
        cfg = compose.compose(source, command, groups)
    except (HydraException, OmegaConfBaseException):
        return []
    return _problems_of(cfg, source, command, keys)


def _only_changes(override: Override) -> bool:
    """Return whether a config has the same keys before and after the override."""
    return not (override.is_add() or override.is_force_add() or override.is_delete())


def _problems_of(
    cfg: DictConfig, source: ConfigLoaderImpl, command: str, keys: list[Override]
) -> list[str]:
    plain = _plain(cfg)
    existing = set(_dotted(plain))
    known = existing | set(source.list_groups("")) - {"hydra"}
    known |= set(train.known_keys(plain)) if command == "train" else set()
    return [text for key in keys if (text := _key_problem(key, existing, known))]


def _plain(cfg: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "hydra"}


def _dotted(node: dict[Any, Any], prefix: str = "") -> list[str]:
    keys = []
    for key, value in node.items():
        keys.append(f"{prefix}{key}")
        keys += _dotted(value, f"{prefix}{key}.") if isinstance(value, dict) else []
    return keys


def _key_problem(override: Override, existing: set[str], known: set[str]) -> str | None:
    """Return a sentence about an override of a key, or None if it is fine.

    Args:
        override: the parsed override.
        existing: the dotted keys of the composed config.
        known: `existing` and the keys that +key=value may add.
    """
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] == "hydra" or override.is_force_add():
        return None
    if override.is_delete():
        return None if key in existing else f"~{key}: there is no {key} to remove."
    value = _value(override)
    if override.is_add():
        if key not in existing:
            return None
        return f"+{key}: {key} already exists: write {key}={value} without the +."
    if key in existing:
        return None
    if key in known and "." in key:
        return f"{key} is not in the YAML, so its default applies: write +{key}={value} to set it."
    return _other_choice(key, value, known) or suggestions.unknown_key(key, value, sorted(known))


def _other_choice(key: str, value: str, known: set[str]) -> str | None:
    """Explain a key that only other choices of its group have, such as data.root of data=shapes."""
    intended = suggestions.ALIASES.get(key.rpartition(".")[2], key)
    group, _, name = intended.partition(".")
    if intended in known or not name:
        return None
    files = sorted((paths.config_dir() / group).glob("*.yaml"))
    line = re.compile(rf"^ *{re.escape(name)}:", re.MULTILINE)
    owners = [file.stem for file in files if line.search(file.read_text(encoding="utf-8"))]
    if not owners:
        return None
    owners.sort(key=lambda owner: owner != "folder")  # data=folder serves every model
    choice = f"{group}={owners[0]}"
    return f"{intended} is a key of {choice}: add {choice} {intended}={value}."


def _value(override: Override) -> str:
    """Return the value as typed."""
    return str(override.input_line).partition("=")[2]


def _unreadable(text: str) -> str:
    key, _, value = text.partition("=")
    if any(value.count(a) != value.count(b) for a, b in ("[]", "{}", "()")):
        return f"{text} cannot be read: a bracket is not closed (or not opened)."
    if value.count('"') % 2 or value.count("'") % 2:
        return f"{text} cannot be read: a quote is not closed."
    if not key.strip("+~"):
        return f"{text} cannot be read: there is no key before the =."
    return f"{text} cannot be read: quote the value, '{key}=\"{value}\"'."


def _sweep_without_m(text: str) -> str:
    key, _, value = text.partition("=")
    return (
        f"{text} asks for several runs: add -m to start one for each value, or write "
        f"'{key}=[{value}]' for a single list."
    )


def _first_line(error: Exception) -> list[str]:
    """Return the first line of an error about something else, such as a YAML file."""
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.strip("/").rpartition("/")
        if group and error.options:
            return [_not_a_choice(group, choice, list(error.options))]
    if isinstance(error, (HydraException, OmegaConfBaseException)):
        lines = [*str(error).splitlines(), *str(error.__cause__ or "").splitlines()[:1]]
        return [" ".join(dict.fromkeys(line.strip() for line in lines if line.strip()))]
    return []


def explain_sweep_error(
    error: HydraException, source: ConfigLoaderImpl, typed: Sequence[str]
) -> str | None:
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
    return _unknown_sweep_option(cfg, node, kind, key, by_key)


def _unknown_sweep_option(
    cfg: DictConfig, node: str, kind: str, key: str, by_key: dict[str, str]
) -> str:
    options = [name for name in OmegaConf.select(cfg, node) if name != "_target_"]
    group = {"launcher": "launcher", "sweeper": "sweep"}[kind]
    if group not in by_key:
        example = {"launcher": "launcher=local or launcher=slurm", "sweeper": "sweep=optuna"}[kind]
        return f"{node}.{key} is an option of a {kind}, but none is chosen: add {example}."
    close = nearest(key, options)
    hint = f"Did you mean {node}.{close}? " if close else ""
    return f"{node}.{key} is not an option of {by_key[group]}. {hint}Options: {', '.join(options)}."
