"""The results as Markdown."""

from collections.abc import Sequence
from typing import Any

Line = dict[str, Any]


def markdown(lines: Sequence[Line]) -> str:
    """Return the facts, a row per part, and the checks and figures of every part."""
    facts = [line for line in lines if line["kind"] == "fact"]
    parts = [line for line in lines if line["kind"] == "part"]
    names = dict.fromkeys(line["part"] for line in lines if line["part"])
    text = ["# gantrain on a GPU", ""]
    text += [f"- {_cell(fact['name'])}: {_cell(fact['value'])}" for fact in facts]
    text += ["", *_overview(parts, lines)]
    for name in names:
        own = [line for line in lines if line["part"] == name]
        text += _section(name, own)
    return "\n".join(text) + "\n"


def summary(lines: Sequence[Line]) -> str:
    """Return a row per part, and the failed checks."""
    parts = [line for line in lines if line["kind"] == "part"]
    failed = [line for line in lines if line["kind"] == "check" and not line["ok"]]
    failures = [f"FAILED {x['part']}: {x['name']}: {x['detail']}"[:300] for x in failed]
    return "\n".join([*_overview(parts, lines), *failures])


def rows(heads: Sequence[str], body: Sequence[Sequence[Any]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [[*heads], ["---"] * len(heads), *body]
    return [f"| {' | '.join(_cell(value) for value in line)} |" for line in lines]


def _overview(parts: Sequence[Line], lines: Sequence[Line]) -> list[str]:
    body = []
    for part in parts:
        checks = [x for x in lines if x["part"] == part["part"] and x["kind"] == "check"]
        passed = sum(check["ok"] for check in checks)
        count = f"{passed} of {len(checks)}" if checks else ""
        state = part["state"] if not part["detail"] else f"{part['state']}: {part['detail']}"
        if part["detail"].startswith(part["state"]):
            state = part["detail"]
        body.append([part["part"], state, part["seconds"], part["limit"], count])
    return rows(["part", "state", "s", "limit s", "checks passed"], body)


def _section(name: str, own: Sequence[Line]) -> list[str]:
    text = ["", f"## {name}"]
    checks = [line for line in own if line["kind"] == "check"]
    if checks:
        body = [[x["name"], "ok" if x["ok"] else "FAILED", x["detail"]] for x in checks]
        text += ["", *rows(["check", "", "detail"], body)]
    figures = [line for line in own if line["kind"] == "figure"]
    for group in _group_rows([line for line in figures if line["of"]]):
        text += ["", *_pivot(group)]
    plain = [line for line in figures if not line["of"]]
    if plain:
        body = [[x["name"], x["value"], x["unit"], x["detail"]] for x in plain]
        text += ["", *rows(["figure", "value", "unit", "detail"], body)]
    text += [f"\nSkipped: {line['detail']}." for line in own if line["kind"] == "skip"]
    for line in own:
        if line["kind"] == "part" and line["tail"]:
            text += ["", "```text", *(x.replace("```", "'''") for x in line["tail"]), "```"]
    return text


def _group_rows(figures: Sequence[Line]) -> list[list[Line]]:
    """Group rows that share at least half of their columns: they become one table."""
    groups: list[tuple[set[str], list[Line]]] = []
    for of in dict.fromkeys(line["of"] for line in figures):
        row = [line for line in figures if line["of"] == of]
        names = {line["name"] for line in row}
        for known, group in groups:
            if 2 * len(known & names) >= len(names):
                known |= names
                group += row
                break
        else:
            groups.append((names, row))
    return [group for _, group in groups]


def _pivot(figures: Sequence[Line]) -> list[str]:
    """Return a table with a row per `of`, a column per name, and details in the last column."""
    names = dict.fromkeys(line["name"] for line in figures)
    units = {line["name"]: line["unit"] for line in figures}
    heads = [f"{name} {units[name]}".strip() for name in names]
    body = []
    for of in dict.fromkeys(line["of"] for line in figures):
        row = {line["name"]: line for line in figures if line["of"] == of}
        values = [row[name]["value"] if name in row else "" for name in names]
        detail = "; ".join(line["detail"] for line in row.values() if line["detail"])
        body.append([of, *values, detail])
    if not any(line[-1] for line in body):
        return rows(["", *heads], [line[:-1] for line in body])
    return rows(["", *heads, "detail"], body)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        value = f"{value:.5g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
