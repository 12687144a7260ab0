"""The text of `gantrain --help`, from the files that are there; Hydra is not needed for it."""

from __future__ import annotations

import textwrap
from pathlib import Path

from gantrain import __version__
from gantrain.config import paths

HEAD = """\
gantrain {version}: train, resume and measure image GANs.

Usage: gantrain [command] [key=value ...] [flags]
"""

TAIL = """\
Examples:
  gantrain                                          a demonstration, minutes on two CPU cores
  gantrain data=folder data.root=my_photos          trainA/ trainB/ in my_photos, default settings
  gantrain experiment=cyclegan_reference data=horse2zebra
  gantrain data=folder data.root=my_photos train.batch=4 optimizer.lr=4e-4 name=first
  gantrain resume=runs/first                        go on where it stopped
  gantrain -m seed=0,1,2 data=shapes                one run after the other, then a table
  gantrain -m seed=0,1,2 model.lambda_cycle=5,10 name=first launcher=local     runs side by side
  gantrain compare sweeps/first                     the table of a sweep, also while it runs
  gantrain generate run=runs/first seeds=0-31       pictures of its newest snapshot
  gantrain translate run=runs/first input=photos output=results      pictures of any size
  gantrain generate run=runs/first --cfg job        what else it can make: every key

Flags:
  --cfg job              show the whole config, with every key, instead of running
  -p, --package train    with --cfg: only this section
  -m, --multirun         a sweep: one run for each combination of key=value1,value2
  --config-dir DIR       your own YAML files beside these: DIR/experiment/mine.yaml, ...
  --info defaults-tree   where the config comes from (also: searchpath, plugins, config)
  -sc install=bash       shell completion: eval "$(gantrain -sc install=bash)" (also zsh, fish)
  --hydra-help           Hydra's own help
  --version              the version

Exit codes: 0 done, 2 configuration error, 75 stopped early with a good checkpoint, else a failure
(of a sweep: 0 all done, 1 some runs failed, 75 stopped).
"""


def text(config_dir: str | None = None) -> str:
    """The whole help; `config_dir`: the user's own folder of YAML files, if any."""
    folders = [paths.config_dir()] + ([Path(config_dir)] if config_dir else [])
    commands = {name: summary(folders[0] / f"{name}.yaml") for name in paths.commands()}
    commands = {name: line + " (default)" * (name == "train") for name, line in commands.items()}
    return "\n".join(
        [
            HEAD.format(version=__version__),
            "Commands:\n" + _table(commands),
            "Config groups, as group=choice:\n"
            + _table({name: ", ".join(found) for name, found in groups(folders).items()}),
            TAIL,
        ]
    ).rstrip()


def summary(file: Path) -> str:
    """The first comment line of a YAML file that is not an @package line."""
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") and "@package" not in line:
            return line.lstrip("# ").rstrip()
    return ""


def groups(folders: list[Path]) -> dict[str, list[str]]:
    """Config groups and their choices in all folders."""
    found: dict[str, set[str]] = {}
    for folder in folders:
        for file in folder.glob("*/*.yaml"):
            found.setdefault(file.parent.name, set()).add(file.stem)
    return {name: sorted(found[name]) for name in sorted(found)}


def _table(rows: dict[str, str]) -> str:
    width = max(map(len, rows), default=0) + 2
    fill = textwrap.TextWrapper(96, subsequent_indent=" " * (width + 2))
    return "".join(fill.fill(f"  {name:<{width}}{line}") + "\n" for name, line in rows.items())
