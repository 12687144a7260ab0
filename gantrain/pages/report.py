"""The report of a run: curves, images over time, metrics, alarms, settings, commands."""

import io
import json
import math
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from PIL import Image

from gantrain import __version__
from gantrain.config import data_kind
from gantrain.config.check import flatten
from gantrain.errors import shell_quote
from gantrain.pages.curves import Chart, Point, is_shown, make_chart
from gantrain.pages.explanations import explain
from gantrain.pages.render import data_url, render
from gantrain.runs.status import Run

MAX_GRIDS = 24
MAX_GRID_WIDTH = 1200  # pixels; larger grids are scaled down
# Prefix of values -> title of their charts, in the order on the page; others follow
GROUPS = {
    "metric": "Metrics",
    "loss/G": "Losses of G",
    "loss/D": "Losses of D",
    "score": "Scores",
    "health": "Health",
    "augment": "Augmentation",
    "grad_norm": "Gradient norms",
    "lr": "Learning rates",
    "schedule": "Schedules",
    "progress": "Progress",
    "resources": "Resources",
}


def page(run: Run) -> str:
    """Return the whole page as HTML."""
    return render(
        "report.html",
        title=run.path.name or str(run.path),
        facts=_facts(run),
        results=_results(run),
        alarms=_alarms(run),
        grids=_grids(run),
        evaluations=_evaluations(run),
        charts=_charts(run),
        commands=_commands(run),
        settings=_settings(run),
        version=__version__,
    )


def _facts(run: Run) -> dict[str, str]:
    model, data = (str(run.config.get(key, {}).get("_target_", "")) for key in ("model", "data"))
    facts = {
        "model": model.rpartition(".")[2],
        "data": data.rpartition(".")[2],
        "status": run.status + (", stopped early" if run.result.get("enough") else ""),
        "trained": f"{run.kimg:g} of {run.total_kimg:g} kimg"
        if run.total_kimg
        else f"{run.kimg:g} kimg",
        "speed": _format_number(run.last_report.get("progress/img_per_sec"), " img/s"),
        "seed": str(run.config.get("seed", "")),
        "started": str(run.environment.get("started", "")),
        "last report": _date(run.path / "metrics.jsonl"),
        "machine": _machine(run),
    }
    objective = run.result.get("objective") or {}
    if objective.get("name") and objective.get("value") is not None:
        facts[str(objective["name"])] = f"{objective['value']:.5g}"
    return {key: value for key, value in facts.items() if value}


def _results(run: Run) -> list[tuple[str, str]]:
    """Return names and values of the final figures, from result.json."""
    flat = flatten({key: x for key, x in run.result.items() if key != "objective"})
    return [(key, _format_number(x)) for key, x in flat if _format_number(x)]


def _machine(run: Run) -> str:
    """Return the device and the system that the run was started on."""
    device = run.config.get("runtime", {}).get("device", "")
    parts = [str(device) if device else "", str(run.environment.get("platform", ""))]
    return ", ".join(filter(None, parts))


def _date(path: Path) -> str:
    """Return when a file was last written, or ""."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime).strftime("%Y-%m-%d %H:%M")
    except OSError:
        return ""


def _format_number(value: Any, unit: str = "") -> str:
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return ""
    return f"{value}{unit}" if type(value) is int else f"{value:.4g}{unit}"


def _format_kimg(nimg: int) -> str:
    return f"{nimg / 1000:.10g}"


def _alarms(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "level": event.get("level", ""),
            "kimg": _format_kimg(event.get("nimg", 0)),
            "name": event["alarm"],
            "text": event.get("text", ""),
            "advice": event.get("advice", ""),
        }
        for event in run.events
    ]


def _grids(run: Run) -> list[dict[str, str]]:
    """Return at most MAX_GRIDS grids that can be read, evenly spaced, always with the newest."""
    step = max(1, math.ceil(len(run.grids) / MAX_GRIDS))
    chosen = run.grids[::-1][::step][::-1]
    embedded = [(kimg, _data_url(file)) for kimg, file in chosen]
    return [{"caption": f"{kimg:g} kimg", "data": data} for kimg, data in embedded if data]


def _data_url(file: Path) -> str:
    """Return an image, at most MAX_GRID_WIDTH wide, as a data URL; "" for a damaged file."""
    try:
        with Image.open(file) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    if image.width > MAX_GRID_WIDTH:
        height = round(image.height * MAX_GRID_WIDTH / image.width)
        image = image.resize((MAX_GRID_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=88)
    return data_url("webp", buffer.getvalue())


def _evaluations(run: Run) -> list[dict[str, Any]]:
    """Return the newest value of every name and protocol, grouped by protocol."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in run.evaluations:
        protocol = json.dumps({**row.get("protocol", {}), "seed": None}, sort_keys=True)
        newest[protocol, str(row.get("name", row["metric"]))] = row
    tables = []
    for protocol in dict.fromkeys(key for key, _ in newest):
        rows = [_metric(name, row) for (key, name), row in newest.items() if key == protocol]
        tables.append({"protocol": _format_protocol(json.loads(protocol)), "rows": rows})
    return tables


def _format_protocol(protocol: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {str(value)[:12] if key in ('digest', 'data') else value}"
        for key, value in protocol.items()
        if value not in (None, "")
    )


def _metric(name: str, row: dict[str, Any]) -> dict[str, str]:
    return {
        "name": name,
        "value": _format_number(row["value"]),
        "spread": _format_number(row.get("std")),
        "kimg": _format_kimg(row.get("nimg") or 0),
    }


def _charts(run: Run) -> list[Chart]:
    """Return the charts of all values, in the order of GROUPS."""
    curves: dict[str, dict[str, list[Point]]] = {}
    for row in run.evaluations:  # unlike the reports, they include the last evaluation
        if row.get("training") and row["value"] is not None and row.get("nimg") is not None:
            points = curves.setdefault("metric", {}).setdefault(str(row.get("name")), [])
            points.append((row["nimg"] / 1000, float(row["value"])))
    for row in run.reports:
        for key, value in row.items():
            skip = key == "nimg" or key.startswith("metric/")
            if not skip and isinstance(value, (int, float)):
                group, name = _group(key)
                points = curves.setdefault(group, {}).setdefault(name, [])
                points.append((row["nimg"] / 1000, float(value)))
    positions = {group: position for position, group in enumerate(GROUPS)}
    order = sorted(curves, key=lambda g: positions.get(_health_group(g) or g, len(positions)))
    charts = [
        make_chart(_title(g), part, explain(g)) for g in order for part in _split_by_size(curves[g])
    ]
    return [chart for chart in charts if chart]


def _health_group(group: str) -> str:
    return "health" if group.startswith("health/") else ""


def _title(group: str) -> str:
    if _health_group(group):
        return f"{GROUPS['health']}: {group.partition('/')[2].replace('_', ' ')}"
    return GROUPS.get(group, group)


def _group(key: str) -> tuple[str, str]:
    """Return the group of charts that a value belongs to, and its name there."""
    if key.startswith("health/") and key.count("/") == 2:
        _, network, signal = key.split("/")
        kind = signal.removeprefix("logit_")
        if kind == signal:  # one chart per signal, with a curve per network
            return f"health/{signal}", network
        return f"health/logits {network}", kind
    for group in GROUPS:
        if key.startswith(f"{group}/") or (
            group.startswith("loss/") and key.startswith(f"{group}_")
        ):
            return group, key.removeprefix(f"{group}/")
    group, _, name = key.rpartition("/")
    return group or "other", name


def _split_by_size(curves: dict[str, list[Point]]) -> Iterator[dict[str, list[Point]]]:
    """Yield groups of curves of similar size, so that small values do not become flat lines."""
    remaining = {n: p for n, p in curves.items() if len([y for _, y in p if is_shown(y)]) > 1}
    while remaining:
        largest = max(_max_abs(points) for points in remaining.values())
        similar = {n: points for n, points in remaining.items() if _max_abs(points) * 20 >= largest}
        yield similar
        remaining = {n: points for n, points in remaining.items() if n not in similar}


def _max_abs(points: list[Point]) -> float:
    return max(abs(y) for _, y in points if is_shown(y))


def _commands(run: Run) -> list[str]:
    path = shell_quote(str(run.path))
    overrides = " ".join(map(shell_quote, run.overrides))
    lines = [f"gantrain {overrides}".strip(), f"gantrain resume={path}"]
    target = run.config.get("model", {}).get("_target_")
    if data_kind.class_attribute(target, "takes") == "images":
        lines.append(f"gantrain generate run={path} seeds=0-31")
    else:
        lines.append(f"gantrain translate run={path} input=FOLDER output=FOLDER")
    return [*lines, f"gantrain evaluate run={path}", f"gantrain doctor run={path}"]


def _settings(run: Run) -> list[tuple[str, str]]:
    """Return titles and YAML texts."""
    parts = [
        ("all settings", {key: value for key, value in run.config.items() if key != "derived"}),
        ("derived settings", run.config.get("derived")),
        ("environment", run.environment),
    ]
    return [(title, _yaml(content)) for title, content in parts if content]


def _yaml(content: Any) -> str:
    import yaml

    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
