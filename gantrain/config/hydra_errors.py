"""Hydra's and OmegaConf's errors, said again as sentences that name the nearest valid choice."""

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

EXTRAS = {"submitit": "slurm", "optuna": "sweep"}  # part of a choice's name: the extra it needs


def to_sentences(
    error: Exception, command: str, overrides: list[str], config_dir: str | None, sweep: bool
) -> list[str]:
    """Sentences about what is wrong with the command line, [] when `error` is not about it.

    All overrides are looked at, so that several mistakes are told at once.
    """
    source = compose.config_loader(config_dir)
    parser = OverridesParser.create(config_loader=source)
    problems: list[str] = []
    groups: list[str] = []
    swept: list[str] = []  # the first choice of each sweep over a group
    keys: list[Override] = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException:  # or its subclass OverrideParseException
            problems.append(_unreadable(text))
            continue
        if override.is_sweep_override() and not sweep:
            problems.append(_sweep_without_m(text))
        elif _options(source, override.key_or_group) and not _belongs(command, override):
            problems.append(
                f"{override.key_or_group} is a choice of gantrain train; gantrain {command} has "
                "keys of its own, shown by --cfg job."
            )
        elif _options(source, override.key_or_group):
            wrong = _choice_problems(source, override)
            problems += wrong
            if override.is_sweep_override():
                swept += [] if wrong else [f"{override.key_or_group}={_first(override)}"]
            else:
                groups += [] if wrong else [text]
        else:
            keys.append(override)
    problems += _key_problems(source, command, [*groups, *swept], keys)
    problems = problems or _as_choices(source, command, groups, swept, keys)
    return problems or _own_words(error)


def _options(source: ConfigLoaderImpl, group: str) -> list[str]:
    return source.get_group_options(group, ObjectType.CONFIG)


def _belongs(command: str, override: Override) -> bool:
    """Whether the command has config groups like this one."""
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


def _first(override: Override) -> str:
    return next(iter(override.sweep_string_iterator())).strip("'\"")


def _as_choices(
    source: ConfigLoaderImpl,
    command: str,
    groups: list[str],
    swept: list[str],
    keys: list[Override],
) -> list[str]:
    """Keys that only the choices of a sweep have: Hydra reads the command without its sweeps."""
    try:
        there = set(_dotted(_plain(compose.compose(source, command, groups))))
    except (HydraException, OmegaConfBaseException):
        return []
    sections = {text.partition("=")[0] for text in swept}
    return [
        f"{key}={_value(override)} in a sweep over {key.partition('.')[0]}: write "
        f"'{key}=choice({_value(override)})'."
        for override in keys
        if (key := override.key_or_group).partition(".")[0] in sections
        and key not in there
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
    plain = _plain(cfg)
    there = set(_dotted(plain))
    known = there | set(source.list_groups("")) - {"hydra"}
    known |= set(train.known_keys(plain)) if command == "train" else set()
    return [text for key in keys if (text := _key_problem(key, there, known))]


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


def _key_problem(override: Override, there: set[str], known: set[str]) -> str | None:
    key = override.key_or_group
    if key.split(".")[0].split("/")[0] == "hydra" or override.is_force_add():
        return None
    if override.is_delete():
        return None if key in there else f"~{key}: there is no {key} to remove."
    value = _value(override)
    if override.is_add():
        exists = f"+{key}: {key} is already there, write {key}={value} without the +."
        return exists if key in there else None
    if key in there:
        return None
    if key in known and "." in key:
        return f"{key} is left at its default in the YAML: write +{key}={value} to set it."
    return _other_choice(key, value, known) or suggestions.unknown_key(key, value, sorted(known))


def _other_choice(key: str, value: str, known: set[str]) -> str | None:
    """data.root with data=shapes: a key that only other choices of the group have."""
    meant = suggestions.ALIASES.get(key.rpartition(".")[2], key)
    group, _, name = meant.partition(".")
    if meant in known or not name:
        return None
    files = sorted((paths.config_dir() / group).glob("*.yaml"))
    line = re.compile(rf"^ *{re.escape(name)}:", re.MULTILINE)
    owners = [file.stem for file in files if line.search(file.read_text(encoding="utf-8"))]
    if not owners:
        return None
    owners.sort(key=lambda owner: owner != "folder")  # the one that serves every model
    return f"{meant} is a key of {group}={owners[0]}: add {group}={owners[0]} {meant}={value}."


def _value(override: Override) -> str:
    """The value as typed."""
    return str(override.input_line).partition("=")[2]


def _unreadable(text: str) -> str:
    key, _, value = text.partition("=")
    if any(value.count(a) != value.count(b) for a, b in ("[]", "{}", "()")):
        return f"{text} cannot be read: a bracket is not closed (or not opened)."
    if value.count('"') % 2 or value.count("'") % 2:
        return f"{text} cannot be read: a quote is not closed."
    if not key.strip("+~"):
        return f"{text} cannot be read: there is no key before the =."
    return f"{text} cannot be read: put its value into quotes, '{key}=\"{value}\"'."


def _sweep_without_m(text: str) -> str:
    key, _, value = text.partition("=")
    return (
        f"{text} asks for several runs: add -m to make one for each value, or write "
        f"'{key}=[{value}]' for one list."
    )


def _own_words(error: Exception) -> list[str]:
    """The first line of an error that is not about a single override: of a YAML file, say."""
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
    return _unknown_sweep_option(cfg, node, kind, key, given)


def _unknown_sweep_option(
    cfg: DictConfig, node: str, kind: str, key: str, given: dict[str, str]
) -> str:
    options = [name for name in OmegaConf.select(cfg, node) if name != "_target_"]
    group = {"launcher": "launcher", "sweeper": "sweep"}[kind]
    if group not in given:
        example = {"launcher": "launcher=local or launcher=slurm", "sweeper": "sweep=optuna"}[kind]
        return f"{node}.{key} is an option of a {kind}, and none is chosen: add {example}."
    close = nearest(key, options)
    hint = f"Did you mean {node}.{close}? " if close else ""
    return f"{node}.{key} is not an option of {given[group]}. {hint}Options: {', '.join(options)}."
