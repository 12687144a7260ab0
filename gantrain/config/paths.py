"""Locations of gantrain's own files."""

from __future__ import annotations

from pathlib import Path

from gantrain.errors import ConfigError

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
