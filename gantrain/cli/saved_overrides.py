"""`resume=DIR`: put the saved overrides of a run before the ones on the command line.

The file is data: a run may come from somebody else. Only settings of gantrain's own config are
taken from it, never Hydra's, and nothing that says where to write.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gantrain.config import renamed
from gantrain.config.overrides import hydra_quote, key_of, plain_text
from gantrain.errors import ConfigError
from gantrain.io.plain_files import load_yaml

if TYPE_CHECKING:
    from gantrain.config import compose

SAVED = "overrides.yaml"
ONE_START_ONLY = {"resume", "resume_force", "init_from"}  # they concern one start, not the run
PLACE = ("out", "name")  # the run is where it is
ELSEWHERE = ("data.cache_dir", "tracking.uri")  # where else a run writes
_KEY = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_-]+)*"
_CHOICE = re.compile(r"[\w-]+(\.[\w-]+)*")  # of a group: the name of a YAML, never a path to one
_OWN_INTERPOLATION = re.compile(rf"\$\{{{_KEY}\}}")


def prepend_saved(overrides: list[str], config_dir: str | None = None) -> list[str]:
    """Return the overrides, preceded by the saved ones of the run that `resume=DIR` names.

    Overrides on the command line come last and therefore win. `resume=auto` and no `resume` change
    nothing: there, the user repeats the whole command. The run's name and folder are those of DIR,
    and a folder outside that the file names is left out, with a message.

    Args:
        overrides: as typed.
        config_dir: the typed folder of --config-dir, whose groups the file may choose from.

    Raises:
        ConfigError: DIR is not a run directory, or its overrides.yaml is damaged or holds anything
            but settings of gantrain.
    """
    values = [text.partition("=")[2] for text in overrides if key_of(text) == "resume"]
    text = values[-1].strip("'\"") if values else ""
    if text in ("", "auto", "null"):
        return overrides
    from gantrain.config import compose

    folder = Path(text)
    saved = _saved(folder)
    kept = [text for text in saved if key_of(text) not in ONE_START_ONLY]
    file, source = folder / SAVED, compose.config_loader(config_dir)
    if _chooses_foreign(kept, source):
        file, kept = folder / "config.yaml", [*_recorded_values(folder)]
    kept = renamed.admit(kept)
    if problems := [*_problems(kept, file, source)]:
        raise ConfigError(*problems)
    typed = {key_of(text) for text in overrides}
    return [*_placed(kept, folder, typed), *overrides]


def _saved(folder: Path) -> list[str]:
    file = folder / SAVED
    if not file.exists():
        raise ConfigError(f"resume={folder} is not a run directory. {_runs_near(folder)}")
    try:
        saved = load_yaml(file) or []
    except (OSError, ValueError):
        saved = None
    if not isinstance(saved, list) or not all(isinstance(text, str) for text in saved):
        raise ConfigError(f"{file} is damaged: it must hold a list of key=value lines.")
    return saved


def _placed(saved: list[str], folder: Path, typed: set[str]) -> Iterator[str]:
    """Yield the saved overrides with the actual place of the run, and none outside of it."""
    place = folder.resolve()
    parent = folder.parent if folder.name not in ("", "..") else place.parent  # resume=.
    actual = {"out": str(parent), "name": place.name}
    for text in saved:
        key, _, value = text.lstrip("+").partition("=")
        if key in PLACE:
            value = value.strip("'\"")
            same = Path(value).resolve() == place.parent if key == "out" else value == actual[key]
            if key == "out" and not same:
                _say(f"{folder / SAVED} says {text}: the run stays where it is, in {folder}.")
            yield text if same else f"{key}={hydra_quote(actual[key])}"
        elif key not in ELSEWHERE:
            yield text
        elif key not in typed and value not in ("null", ""):
            _say(
                f"{folder / SAVED} says {text}, a place outside of the run: it is not taken over. "
                f"To use it, add {text} to the command."
            )


def _say(text: str) -> None:
    if os.environ.get("RANK", "0") == "0":
        print(text, file=sys.stderr)


def _problems(saved: list[str], file: Path, source: compose.Loader) -> Iterator[str]:
    """Yield a sentence for each saved override that is not a setting of gantrain's own config."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    from gantrain.config.train import settings_names

    groups = _groups(source)
    parser = OverridesParser.create(config_loader=source)
    for text in saved:
        if why := _refusal(text, groups, settings_names(), parser):
            yield (
                f"{file}: {text[:200]!r} is not taken over: {why}. If the run is yours, remove the "
                "line and type the setting on the command line; if it is somebody else's, "
                f"init_from={file.parent} takes its weights and nothing else."
            )


def _groups(source: compose.Loader) -> set[str]:
    return {name for name in source.list_groups("") if name != "hydra"}


def _chooses_foreign(saved: list[str], source: compose.Loader) -> bool:
    """Return whether a choice needs a folder of configs that is not given, as of a plug-in GAN."""
    groups = _groups(source)
    pairs = (text.lstrip("+").partition("=") for text in saved)
    return any(
        group in groups
        and choice != "null"
        and _CHOICE.fullmatch(choice) is not None
        and choice not in source.get_group_options(group)
        for group, _, choice in pairs
    )


def _recorded_values(folder: Path) -> Iterator[str]:
    """Yield overrides that restore the run's config.yaml, whatever was chosen then.

    They are plain values, checked like those that are typed. No YAML but that of the run is read.
    Defaults are left out: nobody typed them, so nobody is told that one of them has no effect.
    """
    from gantrain.config import compose
    from gantrain.config.check import flatten, to_plain
    from gantrain.config.choices import BUILT
    from gantrain.config.train import settings_names
    from gantrain.runs.directory import RunDirectory

    without_classes = [f"~{name}" for name in BUILT]
    yield from without_classes
    default = compose.task_config(compose.config_loader(None), "train", without_classes)
    defaults = list(flatten(to_plain(default)))
    recorded = RunDirectory(folder).read_config()
    settings = {key: recorded[key] for key in sorted(settings_names() & recorded.keys())}
    for key, value in flatten(settings):
        if key in PLACE:
            yield f"{key}={plain_text(value)}"
        elif key not in (*ONE_START_ONLY, "warnings") and (key, value) not in defaults:
            yield f"++{key}={plain_text(value)}"


def _refusal(text: str, groups: set[str], settings: set[str], parser: object) -> str | None:
    """Return why a saved override is not a plain setting of gantrain, or None if it is one."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    assert isinstance(parser, OverridesParser)
    match = re.match(rf"(?P<sign>\+\+|\+|~|)(?P<key>{_KEY})(=|$)", text)
    if match is None or not text.isprintable():
        return "it is no key=value of gantrain"
    key = match["key"]
    root = key.partition(".")[0]
    if root not in groups | settings:
        return f"{key} is no setting of gantrain"
    try:
        override = parser.parse_override(text)
        if override.is_sweep_override():
            return "a run has one value of each setting"
        value = override.value()
        parts = [(key, text), *_parts(key, value)]
    except (HydraException, RecursionError):
        return "it cannot be read"
    if any(_is_computed(part) for _, part in parts):
        return "a value that is computed (${...:...}) is for the command line"
    if found := [name for name, _ in parts[1:] if name in ELSEWHERE and name != key]:
        return f"{found[0]} is for the command line"
    if key in groups and not isinstance(value, dict) and not override.is_delete():
        names = value if isinstance(value, list) else [value]
        if not all(name is None or _CHOICE.fullmatch(str(name)) for name in names):
            return f"{key} is chosen by a name, not by a path"
    return None


def _parts(key: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield (dotted key, text) for the keys and values in a value, as Hydra has unescaped them."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield f"{key}.{name}", str(name)
            yield from _parts(f"{key}.{name}", part)
    elif isinstance(value, list):
        for part in value:
            yield from _parts(key, part)
    else:
        yield key, str(getattr(value, "text", value))


def _is_computed(text: str) -> bool:
    return "${" in _OWN_INTERPOLATION.sub("", text) or "${hydra" in text


def _runs_near(folder: Path) -> str:
    """List the runs next to `folder` (or in runs/), newest first."""
    for home in dict.fromkeys((folder.parent, Path("runs"))):
        runs = [file.parent for file in home.glob(f"*/{SAVED}")]
        if runs:
            runs.sort(key=lambda run: (run / SAVED).stat().st_mtime, reverse=True)
            suffix = f" and {len(runs) - 10} more" if len(runs) > 10 else ""
            return f"Runs in {home}: {', '.join(run.name for run in runs[:10])}{suffix}."
    return "There are no runs in runs/ either: start one with name=NAME."
