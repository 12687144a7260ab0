"""Complete commands, runs, paths and choices in the shell. Hydra completes groups and keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args, get_origin

from gantrain.cli.arguments import POSITIONAL, Arguments
from gantrain.config import paths
from gantrain.config.addresses import PATH_KEYS, RUN_KEYS
from gantrain.errors import format_value


def answer(arguments: Arguments) -> bool:
    """Print what may follow the command line in COMP_LINE; return whether that is all.

    If it is not, Hydra adds what it knows: COMP_LINE and `arguments` are then prepared for it.
    """
    if not any(text.startswith("query=") for text in arguments.overrides):
        return False  # -sc install=bash
    program, _, rest = os.environ.get("COMP_LINE", "").partition(" ")
    command, space, overrides = rest.lstrip().partition(" ")
    named = bool(space) and command in paths.commands()
    if named:
        arguments.command = command
        os.environ["COMP_LINE"] = f"{program} {overrides}"
    word = rest.rpartition(" ")[2]
    found = sorted(set(_candidates(arguments.command, word)))
    if not space:
        found += [name for name in paths.commands() if name.startswith(word)]
    print("".join(f"{text}\n" for text in found), end="")
    return bool(found) and "=" in word


def _candidates(command: str, word: str) -> Iterator[str]:
    key, equals, value = word.partition("=")
    if not equals:
        if command in POSITIONAL:
            yield from _runs(word) if POSITIONAL[command] in RUN_KEYS else _paths(word)
        return
    if key in RUN_KEYS:
        yield from (f"{key}={path}" for path in _runs(value))
    if key == "resume" and "auto".startswith(value):
        yield "resume=auto"
    if key in PATH_KEYS:
        yield from (f"{key}={path}" for path in _paths(value))
    yield from (f"{key}={choice}" for choice in _choices(command, key) if choice.startswith(value))


def _runs(start: str) -> Iterator[str]:
    """Yield the runs in runs/ and sweeps/, by path or by name, and what else the path begins."""
    for folder in ("runs", "sweeps"):
        for file in [*Path(folder).glob("*/config.yaml"), *Path(folder).glob("*/sweep.json")]:
            run = file.parent.as_posix()
            if run.startswith(start) or file.parent.name.startswith(start):
                yield run
    if "/" in start:
        yield from _paths(start)


def _paths(start: str) -> Iterator[str]:
    folder, name = os.path.split(start)
    try:
        entries = sorted(Path(os.path.expanduser(folder) or ".").iterdir())
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            yield os.path.join(folder, entry.name) + "/" * entry.is_dir()


def _choices(command: str, key: str) -> list[str]:
    from gantrain.config import keys  # reads the sources of all choices

    found = [
        choice
        for annotation in keys.annotations_of_key(command, key)
        for kind in keys.kinds(annotation) | {annotation}
        for choice in (get_args(kind) if get_origin(kind) is Literal else (True, False))
        if get_origin(kind) is Literal or kind is bool
    ]
    return sorted({format_value(choice) for choice in found})
