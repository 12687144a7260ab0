"""The table of a sweep: settings and results, for the terminal, as CSV and as HTML."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantrain.config.check import flatten
from gantrain.errors import ConfigError, format_value, nearest
from gantrain.io.files import write_text
from gantrain.pages.render import render
from gantrain.runs import status
from gantrain.runs.status import DONE, State
from gantrain.sweeps import manifest

PAIR_METRICS = ("pairs/l1", "pairs/psnr", "pairs/ssim")
# Sections about where and how a run is trained, which do not affect its result
NOT_COMPARED = ("out", "name", "resume", "resume_force", "runtime", "tracking")
NOT_COMPARED += ("derived", "objective")
MAX_LOSSES = 6


@dataclass
class Row:
    """A run.

    Attributes:
        name: of the job, or the path of the run.
        settings: the settings in which the runs of the table differ.
        state: its progress and its metrics.
    """

    name: str
    settings: dict[str, str]
    state: State


@dataclass
class Table:
    """The rows, and the metrics to show, the objective first."""

    rows: list[Row]
    metrics: list[str] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """The keys of all rows' settings."""
        return list(dict.fromkeys(key for row in self.rows for key in row.settings))

    def count(self, *statuses: str) -> int:
        """Return the number of rows with one of the statuses."""
        return sum(row.state.status in statuses for row in self.rows)


def of_sweep(folder: Path, queue: dict[str, str] | None = None) -> Table:
    """Return a table with a row for each job of the sweep, with the job's own settings.

    Args:
        folder: that of the sweep, which must exist.
        queue: see `manifest.job_state`.
    """
    content = manifest.read(folder)
    assert content is not None, "the caller has checked"
    rows = []
    for job in content.jobs:
        pairs = (text.lstrip("+").partition("=") for text in job.overrides)
        settings = {key: value for key, _, value in pairs}
        rows.append(Row(job.name, settings, manifest.job_state(folder, job.name, queue)))
    return Table(rows)


def of_runs(paths: Iterable[Path], queue: dict[str, str] | None = None) -> Table:
    """Return a table of runs and of all jobs of sweeps, with the settings in which they differ.

    Args:
        paths: run directories and folders of sweeps.
        queue: see `manifest.job_state`.

    Raises:
        ConfigError: lists the paths that are neither.
    """
    rows: list[Row] = []
    problems: list[str] = []
    for path in paths:
        if manifest.read(path):
            for row in of_sweep(path, queue).rows:
                rows.append(Row(str(path / row.name), row.settings, row.state))
        elif (path / "config.yaml").is_file():
            rows.append(Row(str(path), {}, status.of_run(path)))
        # The shell expands sweeps/NAME/* to other files of a sweep, too: skip them
        elif not (path.exists() and manifest.read(path.parent)):
            reason = "has neither sweep.json nor config.yaml" if path.exists() else "does not exist"
            problems.append(f"{path} is neither a sweep nor a run: it {reason}.")
    if problems:
        raise ConfigError(*problems)
    _keep_differing_settings(rows)
    return Table(rows)


def _keep_differing_settings(rows: list[Row]) -> None:
    all_settings = []
    for row in rows:
        sections = [name for name in row.state.config if name not in NOT_COMPARED]
        settings = {
            key: format_value(value)
            for section in sections
            for key, value in flatten(row.state.config[section], section)
        }
        all_settings.append(settings or row.settings)
    keys = dict.fromkeys(
        key for settings in all_settings for key in settings if not key.endswith("cache_dir")
    )
    started = [
        settings for settings, row in zip(all_settings, rows, strict=True) if row.state.config
    ]
    differing = [key for key in keys if len({settings.get(key) for settings in started}) > 1]
    for row, settings in zip(rows, all_settings, strict=True):
        row.settings = {key: settings.get(key, "") for key in differing}


def choose_metrics(table: Table, requested: Sequence[str] | None) -> None:
    """Set the metrics of the table.

    Args:
        table: the table to change.
        requested: names of metrics; None: the objective, metrics of test pairs and evaluated
            metrics, or else losses.

    Raises:
        ConfigError: no run has a requested metric.
    """
    available = list(dict.fromkeys(name for row in table.rows for name in row.state.metrics))
    if requested is not None:
        if unknown := [name for name in requested if name not in available]:
            raise ConfigError(*(_unknown_metric(name, available) for name in unknown))
        table.metrics = list(requested)
        return
    objectives = [row.state.objective for row in table.rows if row.state.objective]
    preferred = [name for name in [*objectives, *PAIR_METRICS] if name in available]
    losses = [name for name in available if name.startswith("loss/")][:MAX_LOSSES]
    evaluated = [name for name in available if name.startswith("metric/")]
    table.metrics = list(dict.fromkeys([*preferred, *evaluated])) or losses


def incomparable_metrics(table: Table) -> dict[str, str]:
    """Return {metric: clause} for the metrics that were computed differently for some runs."""
    clauses = {}
    for name in table.metrics:
        rows = [row for row in table.rows if name in row.state.protocols]
        for row in rows[1:]:
            first, other = (r.state.protocols[name] for r in (rows[0], row))
            fields = [key for key in first if key != "seed" and first[key] != other.get(key)]
            if fields and name not in clauses:
                differences = ", ".join(
                    f"{k} {format_value(first[k])} and {format_value(other.get(k))}" for k in fields
                )
                clauses[name] = (
                    f"{name} of {rows[0].name} and {row.name} was measured differently "
                    f"({differences})"
                )
    return clauses


def _unknown_metric(name: str, available: list[str]) -> str:
    if not available:
        return f"metrics: {name} is not known yet: no run has reported anything."
    close = nearest(name, available)
    hint = f"Did you mean {close}? " if close else ""
    return f"metrics: no run has {name}. {hint}Metrics: {', '.join(available)}."


def sort(table: Table, by: str) -> None:
    """Sort the rows by a metric. Runs without it, or with a NaN, come last.

    Args:
        table: the table to sort.
        by: a metric, smallest first; "-metric": largest first.

    Raises:
        ConfigError: no run has the metric.
    """
    name = by.removeprefix("-")
    sign = -1 if by.startswith("-") else 1

    def sort_key(row: Row) -> float:
        value = row.state.metrics.get(name)
        return math.inf if value is None or math.isnan(value) else sign * value

    available = {key for row in table.rows for key in row.state.metrics}
    if name not in available:
        raise ConfigError(_unknown_metric(name, sorted(available)).replace("metrics:", "sort:"))
    table.rows.sort(key=sort_key)


def lines(table: Table) -> list[str]:
    """Return the lines of the table for a terminal, with aligned columns."""
    last_parts = [key.rpartition(".")[2] for key in table.keys]
    others = {"run", "status", "kimg", *table.metrics}
    keys = [
        last if last_parts.count(last) == 1 and last not in others else key
        for last, key in zip(last_parts, table.keys, strict=True)
    ]
    head = ["run", *keys, "status", "kimg", *table.metrics]
    body = [
        [
            row.name,
            *(_shorten(row.settings.get(key, "")) for key in table.keys),
            row.state.status,
            f"{row.state.kimg:g}",
            *(_format_number(row.state.metrics.get(name)) for name in table.metrics),
        ]
        for row in table.rows
    ]
    text_columns = 1 + len(keys) + 1  # run, settings, status; the other columns hold numbers
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    aligned_lines = []
    for cells in [head, *body]:
        aligned = [
            cell.ljust(width) if i < text_columns else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        aligned_lines.append("  ".join(aligned).rstrip())
    return aligned_lines


def summary(table: Table) -> str:
    """Count the runs by status, as in "4 done, 1 failed, 1 waiting"."""
    counts = [(table.count(name), name) for name in status.STATUSES]
    return ", ".join(f"{count} {name}" for count, name in counts if count) or "no runs yet"


def to_html(table: Table, path: Path) -> None:
    """Write the table as an HTML page."""
    head = ["run", *table.keys, "status", "kimg", *table.metrics]
    rows = []
    for row in table.rows:
        settings = [row.settings.get(key, "") for key in table.keys]
        numbers = [_format_number(row.state.metrics.get(name)) for name in table.metrics]
        rows.append([row.name, *settings, row.state.status, f"{row.state.kimg:g}", *numbers])
    text = render("comparison.html", title="gantrain compare", head=head, rows=rows)
    write_text(path, text)


def to_csv(table: Table, path: Path, only_shown: bool) -> None:
    """Write the table as a CSV file.

    Args:
        table: the table.
        path: the file.
        only_shown: write only the metrics of the table, not all that the runs have.
    """
    names = table.metrics
    if not only_shown:
        available = (name for row in table.rows for name in row.state.metrics)
        names = list(dict.fromkeys([*names, *available]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *table.keys, "status", "kimg", *names])
    for row in table.rows:
        settings = [row.settings.get(key, "") for key in table.keys]
        numbers: list[Any] = [row.state.metrics.get(name, "") for name in names]
        writer.writerow([row.name, *settings, row.state.status, row.state.kimg, *numbers])
    write_text(path, text.getvalue())


def best(table: Table, maximize: bool) -> str | None:
    """Describe the finished run with the best objective, the first metric of the table.

    Args:
        table: the table.
        maximize: whether the largest value is the best; else the smallest is.

    Returns:
        None if no finished run has a finite value.
    """
    name = table.metrics[0] if table.metrics else ""
    pairs = [(row.state.metrics.get(name, math.nan), row) for row in table.rows]
    finite = [(v, row) for v, row in pairs if math.isfinite(v) and row.state.status == DONE]
    if not finite:
        return None
    value, row = sorted(finite, key=lambda pair: pair[0])[-1 if maximize else 0]
    settings = " ".join(f"{key}={text}" for key, text in row.settings.items())
    return f"{row.name}: {name} {value:.4g} with {settings}"


def _format_number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _shorten(text: str) -> str:
    """Shorten a setting for the terminal."""
    if re.fullmatch(r"-?\d+\.\d{5,}(e[+-]?\d+)?", text):
        return f"{float(text):.5g}"
    return text if len(text) <= 40 else text[:37] + "..."
