"""One page about one run: curves, pictures over time, numbers, alarms, settings, commands."""

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from gantrain import __version__
from gantrain.config import data_kind
from gantrain.pages.curves import Chart, Point, make_chart
from gantrain.pages.render import data_url, render
from gantrain.runs.status import Run

MOST_GRIDS = 24
GRID_WIDTH = 1200  # pixels; larger grids are shown smaller
# Groups of curves in their order; others come after these.
GROUPS = {
    "metric": "Measured",
    "loss/G": "Losses of G",
    "loss/D": "Losses of D",
    "score": "Scores",
    "health": "Health",
    "augment": "Augmentation",
    "grad_norm": "Gradient norms",
    "lr": "Learning rates",
    "progress": "Progress",
    "resources": "Resources",
}


def page(run: Run) -> str:
    """Return the whole page as HTML."""
    return render(
        "report.html",
        title=run.path.name or str(run.path),
        facts=_facts(run),
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
        "status": run.status + (", stopped early: enough" if run.result.get("enough") else ""),
        "trained": f"{run.kimg:g} of {run.total_kimg:g} kimg"
        if run.total_kimg
        else f"{run.kimg:g} kimg",
        "speed": _number(run.last.get("progress/img_per_sec"), " img/s"),
        "seed": str(run.config.get("seed", "")),
    }
    objective = run.result.get("objective") or {}
    if objective.get("value") is not None:
        facts[str(objective["name"])] = f"{objective['value']:.5g}"
    return {key: value for key, value in facts.items() if value}


def _number(value: Any, unit: str = "") -> str:
    finite = isinstance(value, (int, float)) and math.isfinite(value)
    return f"{value:.4g}{unit}" if finite else ""


def _alarms(run: Run) -> list[dict[str, Any]]:
    return [
        {
            "level": event.get("level", ""),
            "kimg": _number(event.get("nimg", 0) / 1000),
            "name": event["alarm"],
            "text": event.get("text", ""),
            "advice": event.get("advice", ""),
        }
        for event in run.events
    ]


def _grids(run: Run) -> list[dict[str, str]]:
    """Return at most MOST_GRIDS grids that can be read, evenly spaced, always with the newest."""
    step = max(1, math.ceil(len(run.grids) / MOST_GRIDS))
    chosen = run.grids[::-1][::step][::-1]
    embedded = [(kimg, _embedded(file)) for kimg, file in chosen]
    return [{"caption": f"{kimg:g} kimg", "data": data} for kimg, data in embedded if data]


def _embedded(file: Path) -> str:
    """A picture as a data URL, no wider than GRID_WIDTH; "" for a torn file."""
    try:
        with Image.open(file) as image:
            picture = image.convert("RGB")
    except OSError:
        return ""
    if picture.width > GRID_WIDTH:
        height = round(picture.height * GRID_WIDTH / picture.width)
        picture = picture.resize((GRID_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=88)
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
        tables.append({"protocol": _described(json.loads(protocol)), "rows": rows})
    return tables


def _described(protocol: dict[str, Any]) -> str:
    return ", ".join(
        f"{key} {str(value)[:12] if key in ('digest', 'data') else value}"
        for key, value in protocol.items()
        if value not in (None, "")
    )


def _metric(name: str, row: dict[str, Any]) -> dict[str, str]:
    return {
        "name": name,
        "value": _number(row["value"]),
        "spread": _number(row.get("std")),
        "kimg": _number((row.get("nimg") or 0) / 1000),
    }


def _charts(run: Run) -> list[Chart]:
    curves: dict[str, dict[str, list[Point]]] = {}
    for row in run.evaluations:  # with the last one, which no report holds any more
        if row.get("training") and isinstance(row["value"], (int, float)):
            points = curves.setdefault("metric", {}).setdefault(str(row.get("name")), [])
            points.append((row["nimg"] / 1000, float(row["value"])))
    for row in run.reports:
        for key, value in row.items():
            told = key == "nimg" or key.startswith("metric/")
            if not told and isinstance(value, (int, float)):
                group, name = _group(key)
                points = curves.setdefault(group, {}).setdefault(name, [])
                points.append((row["nimg"] / 1000, float(value)))
    places = {group: place for place, group in enumerate(GROUPS)}
    order = sorted(curves, key=lambda g: places.get(_of_health(g) or g, len(places)))
    charts = [make_chart(_title(g), part) for g in order for part in _parts(curves[g])]
    return [chart for chart in charts if chart]


def _of_health(group: str) -> str:
    return "health" if group.startswith("health/") else ""


def _title(group: str) -> str:
    if _of_health(group):
        return f"{GROUPS['health']}: {group.partition('/')[2].replace('_', ' ')}"
    return GROUPS.get(group, group)


def _group(key: str) -> tuple[str, str]:
    """The figure that a value belongs to, and its name there."""
    if key.startswith("health/") and key.count("/") == 2:  # a figure a signal, of all places
        _, place, signal = key.split("/")
        kind = signal.removeprefix("logit_")
        return (f"health/{signal}", place) if kind == signal else (f"health/logits {place}", kind)
    for group in GROUPS:
        if key.startswith(f"{group}/") or (
            group.startswith("loss/") and key.startswith(f"{group}_")
        ):
            return group, key.removeprefix(f"{group}/")
    group, _, name = key.rpartition("/")
    return group or "other", name


def _parts(curves: dict[str, list[Point]]) -> Iterator[dict[str, list[Point]]]:
    """Curves of about one size belong together: others would be flat lines beside them."""
    rest = {n: p for n, p in curves.items() if len([y for _, y in p if math.isfinite(y)]) > 1}
    while rest:
        top = max(_size(points) for points in rest.values())
        near = {name: points for name, points in rest.items() if _size(points) * 20 >= top}
        yield near
        rest = {name: points for name, points in rest.items() if name not in near}


def _size(points: list[Point]) -> float:
    return max(abs(y) for _, y in points if math.isfinite(y))


def _commands(run: Run) -> list[str]:
    words = " ".join(_quoted(text) for text in run.overrides)
    lines = [f"gantrain {words}".strip(), f"gantrain resume={run.path}"]
    target = run.config.get("model", {}).get("_target_")
    if data_kind.class_attribute(target, "takes") == "images":
        lines.append(f"gantrain generate run={run.path} seeds=0-31")
    else:
        lines.append(f"gantrain translate run={run.path} input=FOLDER output=FOLDER")
    return [*lines, f"gantrain evaluate run={run.path}", f"gantrain doctor run={run.path}"]


def _quoted(text: str) -> str:
    return f"'{text}'" if any(mark in text for mark in ' [](){}$*?&|;<>"') else text


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
