"""The table of a sweep: settings against results, for the terminal and as CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantrain.errors import ConfigError, format_value, nearest
from gantrain.io.files import atomic_write
from gantrain.pages.render import render
from gantrain.runs import status as state
from gantrain.runs.status import DONE, State
from gantrain.sweeps import manifest

MEANS = ("pairs/l1", "pairs/psnr", "pairs/ssim")
# Sections that say where and how a run is made, not what it is.
ASIDE = ("out", "name", "resume", "resume_force", "runtime", "tracking", "derived", "objective")
MOST_LOSSES = 6


@dataclass
class Row:
    """A run: its name, its settings (those that matter here), how far it is."""

    name: str
    settings: dict[str, str]
    state: State


@dataclass
class Table:
    """Rows and the metrics to show, the objective first."""

    rows: list[Row]
    metrics: list[str] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        return list(dict.fromkeys(key for row in self.rows for key in row.settings))

    def count(self, *statuses: str) -> int:
        return sum(row.state.status in statuses for row in self.rows)


def of_sweep(folder: Path, queue: dict[str, str] | None = None) -> Table:
    """A row for each job of the sweep, with its own settings. `queue`: see `manifest.status_of`."""
    found = manifest.read(folder)
    assert found is not None, "the caller has looked"
    rows = []
    for job in found.jobs:
        pairs = (text.lstrip("+").partition("=") for text in job.overrides)
        settings = {key: value for key, _, value in pairs}
        rows.append(Row(job.name, settings, manifest.status_of(folder, job.name, queue)))
    return Table(rows)


def of_runs(paths: Iterable[Path], queue: dict[str, str] | None = None) -> Table:
    """Runs, and all runs of sweeps, with the settings in which they differ.

    Raises ConfigError about paths that are neither.
    """
    rows: list[Row] = []
    problems: list[str] = []
    for path in paths:
        if manifest.read(path):
            for row in of_sweep(path, queue).rows:
                rows.append(Row(str(path / row.name), row.settings, row.state))
        elif (path / "config.yaml").is_file():
            rows.append(Row(str(path), {}, state.of_run(path)))
        elif not (
            path.exists() and manifest.read(path.parent)
        ):  # sweeps/NAME/* names more than runs
            what = "has neither sweep.json nor config.yaml" if path.exists() else "is not there"
            problems.append(f"{path} is neither a sweep nor a run: it {what}.")
    if problems:
        raise ConfigError(*problems)
    _settings_that_differ(rows)
    return Table(rows)


def _settings_that_differ(rows: list[Row]) -> None:
    flats = []
    for row in rows:
        sections = [name for name in row.state.config if name not in ASIDE]
        flat = {k: format_value(v) for s in sections for k, v in _flat(s, row.state.config[s])}
        flats.append(flat or row.settings)
    keys = dict.fromkeys(key for flat in flats for key in flat if not key.endswith("cache_dir"))
    begun = [flat for flat, row in zip(flats, rows, strict=True) if row.state.config]
    differing = [key for key in keys if len({flat.get(key) for flat in begun}) > 1]
    for row, flat in zip(rows, flats, strict=True):
        row.settings = {key: flat.get(key, "") for key in differing}


def _flat(prefix: str, node: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        yield prefix, node
        return
    for key, value in node.items():
        yield from _flat(f"{prefix}.{key}", value)


def choose_metrics(table: Table, asked: Sequence[str] | None) -> None:
    """Which metrics are shown: those asked for, else the objective, the errors, some losses.

    Raises ConfigError about a name that no run has.
    """
    there = list(dict.fromkeys(name for row in table.rows for name in row.state.metrics))
    if asked is not None:
        if unknown := [name for name in asked if name not in there]:
            raise ConfigError(*(_no_metric(name, there) for name in unknown))
        table.metrics = list(asked)
        return
    objectives = [row.state.objective for row in table.rows if row.state.objective]
    chosen = [name for name in [*objectives, *MEANS] if name in there]
    losses = [name for name in there if name.startswith("loss/")][:MOST_LOSSES]
    evaluated = [name for name in there if name.startswith("metric/")]
    table.metrics = list(dict.fromkeys([*chosen, *evaluated])) or losses


def incomparable_metrics(table: Table) -> dict[str, str]:
    """Shown metrics that the runs were measured by in different ways: name to a sentence."""
    found = {}
    for name in table.metrics:
        rows = [row for row in table.rows if name in row.state.protocols]
        for row in rows[1:]:
            first, other = (r.state.protocols[name] for r in (rows[0], row))
            fields = [key for key in first if key != "seed" and first[key] != other.get(key)]
            if fields and name not in found:
                told = ", ".join(
                    f"{k} {format_value(first[k])} and {format_value(other.get(k))}" for k in fields
                )
                found[name] = (
                    f"{name} of {rows[0].name} and {row.name} was measured differently ({told})"
                )
    return found


def _no_metric(name: str, there: list[str]) -> str:
    if not there:
        return f"metrics: {name} is not known yet: no run has reported anything."
    close = nearest(name, there)
    hint = f"Did you mean {close}? " if close else ""
    return f"metrics: no run has {name}. {hint}There are: {', '.join(there)}."


def sort(table: Table, by: str) -> None:
    """Smallest first (largest with a leading -); runs without the number last."""
    name, sign = by.removeprefix("-"), -1 if by.startswith("-") else 1

    def place(row: Row) -> float:
        number = row.state.metrics.get(name)
        return math.inf if number is None or number != number else sign * number

    there = {key for row in table.rows for key in row.state.metrics}
    if name not in there:
        raise ConfigError(_no_metric(name, sorted(there)).replace("metrics:", "sort:"))
    table.rows.sort(key=place)


def lines(table: Table) -> list[str]:
    """The table for a terminal."""
    short = [key.rpartition(".")[2] for key in table.keys]
    keys = [s if short.count(s) == 1 else key for s, key in zip(short, table.keys, strict=True)]
    head = ["run", *keys, "status", "kimg", *table.metrics]
    body = [
        [
            row.name,
            *(_cut(row.settings.get(key, "")) for key in table.keys),
            row.state.status,
            f"{row.state.kimg:g}",
            *(_number(row.state.metrics.get(name)) for name in table.metrics),
        ]
        for row in table.rows
    ]
    left = 1 + len(keys) + 1  # names, settings and the status; numbers stand right
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    shown = []
    for cells in [head, *body]:
        parts = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        shown.append("  ".join(parts).rstrip())
    return shown


def summary(table: Table) -> str:
    """How many are in which state: "4 done, 1 failed, 1 waiting"."""
    counts = [(table.count(status), status) for status in state.STATUSES]
    return ", ".join(f"{count} {status}" for count, status in counts if count) or "no runs yet"


def to_html(table: Table, path: Path) -> None:
    """Write what `lines` shows as a page of its own."""
    head = ["run", *table.keys, "status", "kimg", *table.metrics]
    rows = []
    for row in table.rows:
        settings = [row.settings.get(key, "") for key in table.keys]
        numbers = [_number(row.state.metrics.get(name)) for name in table.metrics]
        rows.append([row.name, *settings, row.state.status, f"{row.state.kimg:g}", *numbers])
    text = render("comparison.html", title="gantrain compare", head=head, rows=rows)
    with atomic_write(path) as file:
        file.write(text.encode())


def to_csv(table: Table, path: Path, chosen: bool) -> None:
    """Write it; `chosen`: only the metrics that are shown, else all there are."""
    names = table.metrics
    if not chosen:
        there = (name for row in table.rows for name in row.state.metrics)
        names = list(dict.fromkeys([*names, *there]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", *table.keys, "status", "kimg", *names])
    for row in table.rows:
        settings = [row.settings.get(key, "") for key in table.keys]
        numbers: list[Any] = [row.state.metrics.get(name, "") for name in names]
        writer.writerow([row.name, *settings, row.state.status, row.state.kimg, *numbers])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def best(table: Table, largest: bool) -> str | None:
    """The finished run with the smallest (largest) objective, in words; None: there is none."""
    name = table.metrics[0] if table.metrics else ""
    numbers = [(row.state.metrics.get(name, math.nan), row) for row in table.rows]
    finite = [(n, row) for n, row in numbers if math.isfinite(n) and row.state.status == DONE]
    if not finite:
        return None
    number, row = sorted(finite, key=lambda pair: pair[0])[-1 if largest else 0]
    settings = " ".join(f"{key}={value}" for key, value in row.settings.items())
    return f"{row.name}: {name} {number:.4g} with {settings}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _cut(text: str) -> str:
    if re.fullmatch(r"-?\d+\.\d{5,}(e[+-]?\d+)?", text):
        return f"{float(text):.5g}"
    return text if len(text) <= 40 else text[:37] + "..."
