"""The text of `gantrain --help`, built from the config files without importing Hydra."""

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
  gantrain generate run=runs/first --cfg job        every option of generate

Flags:
  --cfg job              print the whole config, with every key, instead of running
  -p, --package train    with --cfg: print only this section
  -m, --multirun         a sweep: one run for each combination of key=value1,value2
  --config-dir DIR       add your own YAML files: DIR/experiment/mine.yaml, ...
  --info defaults-tree   where the config comes from (also: searchpath, plugins, config)
  -sc install=bash       shell completion: eval "$(gantrain -sc install=bash)" (also zsh, fish)
  --hydra-help           Hydra's own help
  --version              the version

Exit codes: 0 done, 2 configuration error, 75 stopped early with a good checkpoint; any other code
is a failure (of a sweep: 0 all done, 1 some runs failed, 75 stopped).
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
