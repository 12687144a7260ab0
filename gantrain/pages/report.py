"""One page about one run: curves, pictures over time, numbers, alarms, settings, commands."""

import base64
import html
import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from gantrain import __version__
from gantrain.config import data_kind
from gantrain.pages.curves import Point, chart
from gantrain.pages.style import SCRIPT, STYLE
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
    """The whole page as HTML."""
    name = html.escape(run.path.name or str(run.path))
    parts = [_head(run), _alarms(run), _pictures(run), _evaluations(run), _charts(run)]
    parts += [_commands(run), _settings(run)]
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><h1>{name}</h1>{''.join(parts)}<script>{SCRIPT}</script></html>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{html.escape(title)}</h2>{content}</section>" if content else ""


def _head(run: Run) -> str:
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
    items = "".join(
        f"<li>{html.escape(key)} <b>{html.escape(value)}</b></li>"
        for key, value in facts.items()
        if value
    )
    return f'<ul class="facts">{items}</ul>'


def _number(value: Any, unit: str = "") -> str:
    finite = isinstance(value, (int, float)) and math.isfinite(value)
    return f"{value:.4g}{unit}" if finite else ""


def _alarms(run: Run) -> str:
    rows = "".join(
        f'<tr class="{html.escape(str(event.get("level", "")), True)}">'
        f"<td class=n>{_number(event.get('nimg', 0) / 1000)}</td>"
        f"<td><b>{html.escape(str(event['alarm']))}</b></td>"
        f"<td>{html.escape(str(event.get('text', '')))} "
        f"<small>{html.escape(str(event.get('advice', '')))}</small></td></tr>"
        for event in run.events
    )
    table = f'<div class="scroll"><table><tr><th>kimg<th>alarm<th></tr>{rows}</table></div>'
    return _section("Alarms", table if rows else "")


def _pictures(run: Run) -> str:
    step = max(1, math.ceil(len(run.grids) / MOST_GRIDS))
    chosen = run.grids[::-1][::step][::-1]  # always the newest
    shown = [(kimg, data) for kimg, file in chosen if (data := _embedded(file))]
    if not shown:
        return ""
    images = "".join(f'<img alt="{kimg:g} kimg" src="{data}">' for kimg, data in shown)
    kimg, data = shown[-1]
    last = len(shown) - 1
    slider = (
        f'<input type="range" id="time" min="0" max="{last}" value="{last}" '
        f'aria-label="time"><template id="grids">{images}</template>'
        if last
        else ""
    )
    picture = f'<img id="grid" alt="{kimg:g} kimg" src="{data}">'
    return _section("Pictures", f'<p id="when">{kimg:g} kimg</p>{slider}{picture}')


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
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _evaluations(run: Run) -> str:
    """The newest value of every name and protocol, each protocol under its own heading."""
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in run.evaluations:
        protocol = json.dumps({**row.get("protocol", {}), "seed": None}, sort_keys=True)
        newest[protocol, str(row.get("name", row["metric"]))] = row
    tables = []
    for protocol in dict.fromkeys(key for key, _ in newest):
        rows = [(name, row) for (key, name), row in newest.items() if key == protocol]
        tables.append(_table_of(json.loads(protocol), rows))
    return _section("Measured", "".join(tables))


def _table_of(protocol: dict[str, Any], rows: list[tuple[str, dict[str, Any]]]) -> str:
    told = ", ".join(
        f"{key} {str(value)[:12] if key in ('digest', 'data') else value}"
        for key, value in protocol.items()
        if value not in (None, "")
    )
    lines = "".join(
        f"<tr><td>{html.escape(name)}</td><td class=n>{_number(row['value'])}</td>"
        f"<td class=n>{_number(row.get('std'))}</td>"
        f"<td class=n>{_number((row.get('nimg') or 0) / 1000)}</td></tr>"
        for name, row in rows
    )
    return (
        f"<p><small>{html.escape(told)}</small></p><div class=scroll><table><tr><th>metric<th>value"
        f"<th>spread<th>kimg</tr>{lines}</table></div>"
    )


def _charts(run: Run) -> str:
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
    shown = [chart(_title(g), part) for g in order for part in _parts(curves[g])]
    charts = "".join(shown)
    return _section("Curves", f'<div class="charts">{charts}</div>' if charts else "")


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


def _commands(run: Run) -> str:
    words = " ".join(_quoted(text) for text in run.overrides)
    lines = [f"gantrain {words}".strip(), f"gantrain resume={run.path}"]
    target = run.config.get("model", {}).get("_target_")
    if data_kind.class_attribute(target, "takes") == "images":
        lines.append(f"gantrain generate run={run.path} seeds=0-31")
    else:
        lines.append(f"gantrain translate run={run.path} input=FOLDER output=FOLDER")
    lines += [f"gantrain evaluate run={run.path}", f"gantrain doctor run={run.path}"]
    return _section("Commands", f"<pre>{html.escape(chr(10).join(lines))}</pre>")


def _quoted(text: str) -> str:
    return f"'{text}'" if any(mark in text for mark in ' [](){}$*?&|;<>"') else text


def _settings(run: Run) -> str:
    plain = {key: value for key, value in run.config.items() if key != "derived"}
    parts = [
        ("all settings", plain),
        ("what follows from them", run.config.get("derived")),
        ("environment", run.environment),
    ]
    shown = "".join(
        f"<details><summary>{title}</summary><pre>{html.escape(_yaml(content))}</pre></details>"
        for title, content in parts
        if content
    )
    return _section("Settings", shown) + f"<p><small>gantrain {__version__}</small></p>"


def _yaml(content: Any) -> str:
    import yaml

    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
