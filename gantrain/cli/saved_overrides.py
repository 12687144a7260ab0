"""`resume=DIR`: the saved overrides of a run come back before the ones typed now."""

from __future__ import annotations

from pathlib import Path

from gantrain.errors import ConfigError

SAVED = "overrides.yaml"
NOT_AGAIN = {"resume", "resume_force", "init_from"}  # said about one start, not about the run


def continued(overrides: list[str]) -> list[str]:
    """The overrides, preceded by those of the run directory that `resume=` names, if any.

    What is typed now comes last and so wins. `resume=auto` changes nothing: its command is repeated
    as a whole. Raises ConfigError when there is no such run.
    """
    values = [text.partition("=")[2] for text in overrides if _key(text) == "resume"]
    folder = values[-1].strip("'\"") if values else ""
    if folder in ("", "auto", "null"):
        return overrides
    return [text for text in _saved(Path(folder)) if _key(text) not in NOT_AGAIN] + overrides


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
    """The runs beside `folder` (or in runs/), newest first."""
    for home in dict.fromkeys((folder.parent, Path("runs"))):
        runs = [file.parent for file in home.glob(f"*/{SAVED}")]
        if runs:
            runs.sort(key=lambda run: (run / SAVED).stat().st_mtime, reverse=True)
            more = f" and {len(runs) - 10} more" if len(runs) > 10 else ""
            return f"Runs in {home}: {', '.join(run.name for run in runs[:10])}{more}."
    return "There are no runs in runs/ either: start one with name=..."
