"""`resume=DIR`: put the saved overrides of a run before the ones on the command line."""

from __future__ import annotations

from pathlib import Path

from gantrain.errors import ConfigError

SAVED = "overrides.yaml"
ONE_START_ONLY = {"resume", "resume_force", "init_from"}  # they concern one start, not the run


def prepend_saved(overrides: list[str]) -> list[str]:
    """Return the overrides, preceded by the saved ones of the run that `resume=DIR` names.

    Overrides on the command line come last and therefore win. `resume=auto` and no `resume` change
    nothing: there, the user repeats the whole command.

    Raises:
        ConfigError: DIR is not a run directory, or its overrides.yaml is damaged.
    """
    values = [text.partition("=")[2] for text in overrides if _key(text) == "resume"]
    folder = values[-1].strip("'\"") if values else ""
    if folder in ("", "auto", "null"):
        return overrides
    return [text for text in _saved(Path(folder)) if _key(text) not in ONE_START_ONLY] + overrides


def _key(override: str) -> str:
    return override.lstrip("+").partition("=")[0]


def _saved(folder: Path) -> list[str]:
    import yaml

    file = folder / SAVED
    if not file.is_file():
        raise ConfigError(f"resume={folder} is not a run directory. {_runs_near(folder)}")
    try:
        saved = yaml.safe_load(file.read_text(encoding="utf-8")) or []
    except yaml.YAMLError:
        saved = None
    if not isinstance(saved, list) or not all(isinstance(text, str) for text in saved):
        raise ConfigError(f"{file} is damaged: it must hold a list of key=value lines.")
    return saved


def _runs_near(folder: Path) -> str:
    """List the runs next to `folder` (or in runs/), newest first."""
    for home in dict.fromkeys((folder.parent, Path("runs"))):
        runs = [file.parent for file in home.glob(f"*/{SAVED}")]
        if runs:
            runs.sort(key=lambda run: (run / SAVED).stat().st_mtime, reverse=True)
            suffix = f" and {len(runs) - 10} more" if len(runs) > 10 else ""
            return f"Runs in {home}: {', '.join(run.name for run in runs[:10])}{suffix}."
    return "There are no runs in runs/ either: start one with name=NAME."
