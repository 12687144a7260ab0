"""Turn Hydra's and OmegaConf's errors into sentences that name the nearest valid choice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from types import NoneType

from hydra.core.default_element import GroupDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gantrain.config import compose, load
from gantrain.config.annotations import describe
from gantrain.config.key_problems import dotted, find_problems, plain_config, typed_value
from gantrain.config.keys import annotations_of_key
from gantrain.config.overrides import hydra_quote, is_path, parse
from gantrain.config.suggestions import CHOICES
from gantrain.errors import ConfigError, format_value, listed, nearest, shown

# Package name in Hydra's message -> the extra of gantrain that installs it
EXTRAS = {"submitit": "slurm", "optuna": "sweep"}
LONGEST_VALUE = 1000  # that an answer repeats
UNKNOWN = " is not a key. "  # see suggestions.unknown_key


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
    found = examine(command, overrides, config_dir, sweep)
    return merged(sentence for _, sentence in found) or _first_line(error)


def examine(
    command: str, overrides: list[str], config_dir: str | None, sweep: bool
) -> list[tuple[str, str]]:
    """Return (override, what is wrong with it) for each override that cannot be used.

    Values that only the config's checks refuse are added, unless they follow from something else.

    Args:
        command: the gantrain command.
        overrides: the overrides as typed.
        config_dir: the folder of --config-dir, if any.
        sweep: whether -m was given.
    """
    source = compose.config_loader(config_dir)
    unfinished = source.unfinished
    parser = OverridesParser.create(config_loader=source)
    problems: list[tuple[str, str]] = []
    groups: list[str] = []
    swept_groups: list[str] = []  # the first choice of each sweep over a group
    keys: list[Override] = []
    for text in overrides:
        override = _parsed(parser, command, text, config_dir)
        if override is None:
            problems.append((text, _unreadable(command, text, config_dir)))
        elif not _options(source, override.key_or_group):
            keys.append(override)
        elif override.is_sweep_override() and not sweep:
            problems.append((text, _sweep_without_m(text)))
        elif found := _group_problems(source, command, override):
            problems += [(text, sentence) for sentence in found]
        elif override.is_sweep_override():
            swept_groups.append(f"{override.key_or_group}={_first_choice(override)}")
        else:
            groups.append(text)
    if sweep and (found := _swept_key_problems(source, command, groups, swept_groups, keys)):
        said = {text for text, _ in found}
        problems += found
        keys = [key for key in keys if str(key.input_line) not in said]
    reusable = unfinished is not None and unfinished[0] == overrides and not sweep
    if reusable and unfinished and all(_only_changes(key) for key in keys):
        problems += find_problems(unfinished[1], source, command, groups, keys)
    else:
        problems += _key_problems(source, command, [*groups, *swept_groups], keys)
    wrong = {text for text, _ in problems}
    if not sweep:  # of a key that there is not, this is not the problem
        lists = [str(key.input_line) for key in keys if key.is_sweep_override()]
        problems += [(text, _sweep_without_m(text)) for text in lists if text not in wrong]
    wrong = {text for text, _ in problems}
    problems += [
        (text, _unreadable(command, text, config_dir))
        for text in (str(key.input_line) for key in keys)
        if text not in wrong and parse(text) is None
    ]
    wrong = {text for text, _ in problems}
    if not sweep:
        rest = [text for text in overrides if text not in wrong]
        problems += _refused_values(source, command, rest, [str(key.input_line) for key in keys])
    return problems


def _parsed(
    parser: OverridesParser, command: str, text: str, config_dir: str | None
) -> Override | None:
    """Parse an override; None: it cannot be read. The value of an unknown key may be any text."""
    key, equals, value = text.partition("=")
    try:
        override = parser.parse_override(text)
        override.config_loader = parser.config_loader  # glob() needs it
        return override
    except (HydraException, ValueError, RecursionError):  # the latter: beyond Python's limits
        if not equals or annotations_of_key(command, key.lstrip("+"), config_dir):
            return None
    try:
        override = parser.parse_override(f"{key}={hydra_quote(value)}")
    except (HydraException, ValueError, RecursionError):
        return None
    override.input_line = text
    return override


def merged(sentences: Iterable[str]) -> list[str]:
    """Join sentences that give the same advice about several keys, and drop repetitions."""
    names: dict[str, list[str]] = {}  # the keys that get some advice
    for sentence in dict.fromkeys(sentences):
        key, unknown, advice = sentence.partition(UNKNOWN)
        if unknown and advice.startswith("Did you mean"):
            names.setdefault(advice, []).append(key)
        else:
            names[sentence] = []
    return [
        f"{listed(keys)} are not keys. {advice}" if len(keys) > 1 else UNKNOWN.join([*keys, advice])
        for advice, keys in names.items()
    ]


def _refused_values(
    source: compose.Loader, command: str, overrides: list[str], keys: list[str]
) -> list[tuple[str, str]]:
    """Return what the checks say about single values among the overrides that compose."""
    if not set(keys) & set(overrides):
        return []
    try:
        load(command, compose.task_config(source, command, overrides), typed_keys=())
    except ConfigError as error:
        return [
            (text, problem)
            for text in keys
            for problem in error.problems
            if text in overrides and problem.startswith(f"{text.lstrip('+').partition('=')[0]}=")
        ]
    except (HydraException, OmegaConfBaseException):
        pass
    return []


def _group_problems(source: compose.Loader, command: str, override: Override) -> list[str]:
    """Return what is wrong with the choice of a config group."""
    if not _has_group(source, command, override):
        return [
            f"{override.key_or_group} is a config group of gantrain train. gantrain {command} "
            "has its own keys: list them with --help."
        ]
    if override.is_delete() and not isinstance(override.value(), (str, NoneType)):
        return [f"{override.input_line} cannot be read: write ~{override.key_or_group}."]
    return _choice_problems(source, override)


def _options(source: compose.Loader, group: str) -> list[str]:
    return source.get_group_options(group, ObjectType.CONFIG)


def _has_group(source: compose.Loader, command: str, override: Override) -> bool:
    """Return whether the command has the config group of the override, as prepare has data."""
    group = override.key_or_group
    if command == "train" or group.split("/")[0] == "hydra":
        return True
    config = source.repository.load_config(command)
    return any(
        isinstance(entry, GroupDefault) and entry.group == group
        for entry in (config.defaults_list if config else None) or ()
    )


def _choice_problems(source: compose.Loader, override: Override) -> list[str]:
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
    source: compose.Loader,
    command: str,
    groups: list[str],
    swept_groups: list[str],
    keys: list[Override],
) -> list[tuple[str, str]]:
    """Report keys that only a swept choice has: Hydra first composes without the sweeps."""
    try:
        before, after = (
            set(dotted(plain_config(compose.compose(source, command, chosen))))
            for chosen in (groups, [*groups, *swept_groups])
        )
    except (HydraException, OmegaConfBaseException):
        return []
    swept = " and ".join(text.partition("=")[0] for text in swept_groups)
    return [
        (
            str(override.input_line),
            f"{key}={typed_value(override)} in a sweep over {swept}: write "
            f"'{key}=choice({typed_value(override)})'.",
        )
        for override in keys
        if (key := override.key_or_group) in after - before
        and not (override.is_sweep_override() or override.is_force_add() or override.is_delete())
    ]


def _not_a_choice(group: str, choice: str, options: list[str]) -> str:
    close = CHOICES.get(group, {}).get(choice) or nearest(choice, options)
    hint = f"Did you mean {group}={close}? " if close else ""
    if group == "data" and (is_path(choice) or "/" in choice or choice.endswith((".zip", ".tar"))):
        hint = f"For images of your own, write data=folder {shown(f'data.root={choice}')}. "
    return f"{group}={choice} is not a choice. {hint}Choices: {', '.join(options)}."


def _key_problems(
    source: compose.Loader, command: str, groups: list[str], keys: list[Override]
) -> list[tuple[str, str]]:
    try:
        cfg = compose.compose(source, command, groups)
    except (HydraException, OmegaConfBaseException):
        return []
    return find_problems(cfg, source, command, groups, keys)


def _only_changes(override: Override) -> bool:
    """Return whether a config has the same keys before and after the override."""
    return not (override.is_add() or override.is_force_add() or override.is_delete())


def _unreadable(command: str, text: str, config_dir: str | None) -> str:
    key, _, value = text.partition("=")
    shown = text if len(text) <= 100 else f"{text[:90]}..."
    if any(value.count(a) != value.count(b) for a, b in ("[]", "{}", "()")):
        return f"{shown} cannot be read: a bracket is not closed (or not opened)."
    if value.count('"') % 2 or value.count("'") % 2:
        return f"{shown} cannot be read: a quote is not closed."
    name = key.lstrip("+~")
    if not name:
        return f"{shown} cannot be read: there is no key before the =."
    if kinds := annotations_of_key(command, name, config_dir):
        return f"{shown} cannot be read: {name} must be {describe(kinds[0])}."
    if not re.fullmatch(r"[\w./@:$-]+", name):
        return f"{shown} cannot be read: {name} is not a key."
    if len(value) > LONGEST_VALUE:
        return f"{shown} cannot be read: the value is too long."
    return f"{shown} cannot be read: quote the value, '{key}=\"{value}\"'."


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
    error: HydraException, source: compose.Loader, typed: Sequence[str]
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
