"""Locations of gantrain's own files."""

from __future__ import annotations

import os
from pathlib import Path

from gantrain.errors import ConfigError, nearest

PACKAGE_DIR = Path(__file__).resolve().parents[1]


def config_dir() -> Path:
    """Return the folder of gantrain's YAML files: inside an installed wheel, or in the checkout.

    Raises:
        ConfigError: the installation is incomplete.
    """
    for folder in (PACKAGE_DIR / "configs", PACKAGE_DIR.parent / "configs"):
        if (folder / "train.yaml").is_file() and (folder / "model").is_dir():
            return folder
    raise ConfigError(
        f"gantrain's configs are missing next to the package at {PACKAGE_DIR}: the installation is "
        "incomplete. Reinstall it: pip install --force-reinstall --no-deps gantrain."
    )


def commands() -> list[str]:
    """Return the names of the commands: modules in gantrain/commands/ with a YAML of that name."""
    configs = config_dir()
    stems = sorted(file.stem for file in (PACKAGE_DIR / "commands").glob("*.py"))
    return [stem for stem in stems if (configs / f"{stem}.yaml").is_file()]


def find_run(name: str, folders: tuple[str, ...] = ("runs",)) -> str:
    """Return `name`, or its path in one of the folders if only that exists: run=NAME.

    Args:
        name: a path, or the name of a run.
        folders: where runs are by default.
    """
    try:
        if not name or os.path.basename(name) != name or os.path.exists(name):
            return name
        found = [folder for folder in folders if os.path.isdir(os.path.join(folder, name))]
    except ValueError:  # no path at all
        return name
    return f"{found[0]}/{name}" if found and name not in (".", "..") else name


def runs_like(name: str) -> str:
    """Return a hint at the runs in runs/, the one with the most similar name first; "": none."""
    runs = sorted(file.parent.name for file in Path("runs").glob("*/config.yaml"))
    if not runs:
        return ""
    if close := runs[0] if len(runs) == 1 else nearest(os.path.basename(name), runs):
        return f" Did you mean run=runs/{close}?"
    more = f" and {len(runs) - 10} more" if len(runs) > 10 else ""
    return f" Runs in runs/: {', '.join(runs[:10])}{more}."
