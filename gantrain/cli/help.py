"""The texts of `gantrain [command] --help`, built from the config files without importing Hydra."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gantrain import __version__
from gantrain.config import paths

LINE = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_]\w*): *(?P<value>.*?)(?: +# (?P<meaning>.*))?$")
DEFAULT = re.compile(
    r"^  - (?P<override>override )?/?(?P<group>\w+): (?P<choice>\w+)", re.MULTILINE
)
BASE = re.compile(r"^  - (?!_self_)(\w+)$", re.MULTILINE)  # a choice of the same group
SECTIONS = ("data", "optimizer", "runtime", "tracking", "model")  # groups with keys of their own
WIDTH = 100
WIDEST_NAME = 44

HEAD = """\
gantrain {version}: train, resume and measure image GANs.

Usage: gantrain [command] [key=value ...] [flags]
"""

TAIL = """\
Examples:
  gantrain                                          a demo: a few minutes on two CPU cores
  gantrain data=folder data.root=my_photos          trainA/ trainB/ in my_photos, default settings
  gantrain experiment=cyclegan_reference data=horse2zebra
  gantrain data=folder data.root=my_photos train.batch=4 optimizer.lr=4e-4 name=first
  gantrain resume=runs/first                        continue a stopped run
  gantrain -m seed=0,1,2 data=shapes                a sweep: one run after another, then a table
  gantrain -m seed=0,1,2 model.lambda_cycle=5,10 name=first launcher=local     parallel runs
  gantrain compare sweeps/first                     the table of a sweep, even while it runs
  gantrain generate run=runs/first seeds=0-31       images from its newest snapshot
  gantrain translate run=runs/first input=photos output=results      images of any size
  gantrain generate --help                          every key of generate, with its meaning

Flags:
  --cfg job              print the whole config, with every key, instead of running
  -p, --package train    with --cfg: print only this section
  -m, --multirun         a sweep: one run for each combination of key=value1,value2
  --config-dir DIR       add your own YAML files: DIR/experiment/mine.yaml, ...
  --info defaults-tree   where the config comes from (also: searchpath, plugins, config)
  -sc install=bash       shell completion: eval "$(gantrain -sc install=bash)" (also zsh, fish)
  --hydra-help           Hydra's own help
  --version              the version

Exit codes: 0 done, 2 configuration error, 75 stopped early with a good checkpoint, 130 interrupted
by Ctrl-C before training; any other code is a failure (of a sweep: 0 all done, 1 some runs failed,
75 stopped).
"""


def text(config_dir: str | None = None) -> str:
    """Return the help text; `config_dir` is the user's own folder of YAML files, if any."""
    folders = [paths.config_dir()] + ([Path(config_dir)] if config_dir else [])
    commands = {name: summary(folders[0] / f"{name}.yaml") for name in paths.commands()}
    commands = {name: line + " (default)" * (name == "train") for name, line in commands.items()}
    return "\n".join(
        [
            HEAD.format(version=__version__),
            "Commands:\n" + _table(commands),
            "Config groups, as group=choice:\n"
            + _table({name: ", ".join(choices) for name, choices in groups(folders).items()}),
            TAIL,
        ]
    ).rstrip()


def summary(file: Path) -> str:
    """Return the first comment line of a YAML file that is not an @package directive."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").rstrip()
    return ""


@dataclass(frozen=True)
class Entry:
    """A key of a YAML file: dotted name, default as written, the comment behind it."""

    key: str
    value: str
    meaning: str


def read_entries(file: Path, prefix: str = "") -> list[Entry]:
    """Return the keys of a YAML file that have a value, in order, without `hydra` and defaults."""
    entries: list[Entry] = []
    stack: list[tuple[int, str]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        indent = len(match["indent"])
        stack = [(depth, key) for depth, key in stack if depth < indent]
        key = ".".join([*(key for _, key in stack), match["key"]])
        if key.split(".")[0] in ("defaults", "hydra") or "_target_" in key:
            stack.append((indent, match["key"]))
            continue
        value = match["value"].partition(" #")[0].strip()
        if not value or value.startswith("#"):
            stack.append((indent, match["key"]))
            continue
        entries.append(Entry(f"{prefix}{key}", value, (match["meaning"] or "").strip()))
    return entries


def command_text(command: str, chosen: dict[str, str], config_dir: str | None = None) -> str:
    """Return the help text of a command: its purpose, examples, and every key with its default.

    Args:
        command: the name of the command.
        chosen: the choices of config groups on the command line, which have keys of their own.
        config_dir: the user's own folder of YAML files, if any.
    """
    folders = [paths.config_dir()] + ([Path(config_dir)] if config_dir else [])
    file = folders[0] / f"{command}.yaml"
    entries = {entry.key: entry for entry in read_entries(file)}
    choices = _choices(file, chosen, folders)
    for group, choice in choices.items():
        entries |= {entry.key: entry for entry in _group_entries(folders, group, choice)}
    lines = [f"gantrain {command}: {_introduction(file)}", "", "Keys, as key=value:"]
    lines += _key_table(list(entries.values()))
    if choices:
        shown = ", ".join(f"{group}={choice}" for group, choice in choices.items())
        lines += ["", *textwrap.wrap(f"These are the keys of {shown}.", WIDTH)]
        lines += ["Other choices: see gantrain --help; their keys: add the choice to this command."]
    lines += ["", f"gantrain {command} ... --cfg job prints the values of your own command."]
    return "\n".join(lines)


def _choices(file: Path, chosen: dict[str, str], folders: list[Path]) -> dict[str, str]:
    """Return the choice of each config group that has keys of its own."""
    choices = {m["group"]: m["choice"] for m in DEFAULT.finditer(file.read_text("utf-8"))}
    order = [group for group in (*SECTIONS, "experiment", "debug") if group in choices]
    for group in [name for name in ("experiment", "model") if name in choices]:
        choice = chosen.get(group, choices[group])
        choices |= _chosen_by(folders, group, choice)
    choices |= {group: choice for group, choice in chosen.items() if group in choices}
    return {group: choices[group] for group in order if choices[group] != "null"}


def _chosen_by(folders: list[Path], group: str, choice: str) -> dict[str, str]:
    """Return what a choice, and those that its own defaults are made of, choose in other groups."""
    chosen: dict[str, str] = {}
    for file in _files(folders, group, choice):
        text = file.read_text("utf-8")
        for base in BASE.findall(text):
            chosen |= _chosen_by(folders, group, base)
        chosen |= {match["group"]: match["choice"] for match in DEFAULT.finditer(text)}
    return chosen


def _files(folders: list[Path], group: str, choice: str) -> list[Path]:
    """Return the YAML file of a choice, in a list; [] if there is none."""
    files = [folder / group / f"{Path(choice).name}.yaml" for folder in folders]
    return [file for file in files if file.is_file()][-1:]


def _group_entries(folders: list[Path], group: str, choice: str) -> Iterator[Entry]:
    """Yield the keys of a choice, and of the choices that its own defaults are made of."""
    for file in _files(folders, group, choice):
        text = file.read_text("utf-8")
        for base in BASE.findall(text):
            yield from _group_entries(folders, group, base)
        yield from read_entries(file, "" if "@package _global_" in text else f"{group}.")


def _introduction(file: Path) -> str:
    """Return the comment at the head of a YAML file."""
    lines: list[str] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            lines.append(line.removeprefix("#").removeprefix(" "))
    return "\n".join(lines).strip()


def _key_table(entries: list[Entry]) -> Iterator[str]:
    """Yield the lines of a table of keys, each with its default and its meaning."""
    names = [f"{e.key}={'' if e.value == '???' else e.value}" for e in entries]
    width = min(max(map(len, names), default=0), WIDEST_NAME) + 2
    for entry, name in zip(entries, names, strict=True):
        meaning = ("required: " if entry.value == "???" else "") + entry.meaning
        rest = textwrap.wrap(meaning, WIDTH - width - 2) or [""]
        if len(name) > width - 2:
            yield f"  {name}"
            yield from (f"  {' ' * width}{line}" for line in rest if line)
            continue
        yield f"  {name:<{width}}{rest[0]}".rstrip()
        yield from (f"  {' ' * width}{line}" for line in rest[1:])


def groups(folders: list[Path]) -> dict[str, list[str]]:
    """Return the config groups of all folders and their choices, both sorted."""
    choices: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.glob("*/*.yaml"):
            choices.setdefault(file.parent.name, set()).add(file.stem)
    return {name: sorted(choices[name]) for name in sorted(choices)}


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows), default=0) + 2
    fill = textwrap.TextWrapper(96, subsequent_indent=" " * (width + 2))
    return "".join(fill.fill(f"  {name:<{width}}{line}") + "\n" for name, line in rows.items())
