"""Draw docs/architecture.svg from the imports of the package, and count what the house is made of.

python scripts/draw_architecture.py [--check | --counts]

--check writes nothing: the exit code is 1 if the picture is out of date. --counts prints a table.
Imports inside functions count, those for type checkers do not. Where one part reaches another on a
longer way, too, the direct arrow is left out.
"""

import argparse
import ast
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, PICTURE = ROOT / "gantrain", ROOT / "docs" / "architecture.svg"
ROWS = (  # from the top; tests/test_layers.py holds the package to them
    ("cli", "commands", "sweeps", "studio", "pages"),
    ("runs", "build", "config"),
    ("inference", "engine", "interop"),
    ("gans", "augment", "data", "metrics", "health", "tracking", "snapshot"),
    ("networks", "ops", "losses", "io", "targets", "types", "errors"),
)
WIDTH, ROW, BOX, MARGIN = 1000, 130, (112, 46), 30
STYLE = """
svg { font: 14px system-ui, sans-serif; color: #24292f; background: #fff; }
rect { fill: #f3f6fa; stroke: #8893a2; rx: 6px; }
text { text-anchor: middle; fill: currentColor; }
path { fill: none; stroke: #8fa3bd; stroke-width: 1.3; marker-end: url(#tip); opacity: .8; }
marker path { stroke: none; fill: #8fa3bd; marker-end: none; }
"""


def part(file: Path) -> str:
    """Return the folder or module directly below gantrain/ that a file belongs to."""
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.Module) -> Iterator[str]:
    """Yield the names of our modules (or of things in them) that run when the program does."""
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node not in for_types:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def arrows(trees: dict[Path, ast.Module]) -> set[tuple[str, str]]:
    """Return (importing part, imported part) of the whole package."""
    parts = {part(file) for file in trees}
    found = set()
    for file, tree in trees.items():
        for name in imports(tree):
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top == "gantrain" and other in parts - {part(file)}:
                found.add((part(file), other))
    return found


def reduced(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Leave out each arrow whose end is also reached through a third part."""
    reach: dict[str, set[str]] = {}

    def reachable(name: str) -> set[str]:
        if name not in reach:
            direct = {end for start, end in pairs if start == name}
            reach[name] = direct.union(*map(reachable, direct))
        return reach[name]

    return {
        (start, end)
        for start, end in pairs
        if not any(end in reachable(other) for begin, other in pairs if begin == start)
    }


def picture(trees: dict[Path, ast.Module]) -> str:
    """Return the SVG: a box for each part, an arrow for each import."""
    places = {
        name: (MARGIN + (WIDTH - 2 * MARGIN) * (column + 0.5) / len(row), MARGIN + ROW * number)
        for number, row in enumerate(ROWS)
        for column, name in enumerate(row)
    }
    shapes = [
        _arrow(places[a], places[b]) for a, b in sorted(reduced(arrows(trees))) if a in places
    ]
    for name, (x, y) in places.items():
        shapes.append(
            f'<rect x="{x - BOX[0] / 2:.0f}" y="{y:.0f}" width="{BOX[0]}" height="{BOX[1]}"/>'
            f'<text x="{x:.0f}" y="{y + 30:.0f}">{name}</text>'
        )
    height = MARGIN * 2 + ROW * (len(ROWS) - 1) + BOX[1]
    tip = (
        '<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0,0 L8,4 L0,8 z"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">'
        f"<style>{STYLE}</style><defs>{tip}</defs>\n" + "\n".join(shapes) + "\n</svg>\n"
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    """Draw a curve from the lower edge of one box to the upper edge of another, or beside it."""
    (x0, y0), (x1, y1) = start, end
    if y0 == y1:  # in one row: from side to side, below the boxes between if there are any
        side = 1 if x1 > x0 else -1
        x0, x1 = x0 + side * BOX[0] / 2, x1 - side * BOX[0] / 2
        y0 = y1 = y0 + BOX[1] / 2
        bend = y0 if abs(x1 - x0) < 200 else y0 + BOX[1]
    else:
        y0 += BOX[1]
        bend = (y0 + y1) / 2
    curve = f"C{x0:.0f},{bend:.0f} {x1:.0f},{bend:.0f} {x1:.0f},{y1:.0f}"
    return f'<path d="M{x0:.0f},{y0:.0f} {curve}"/>'


@dataclass
class Counts:
    """What `--counts` prints."""

    functions: list[int]  # lines of each
    documented: list[bool]  # public functions of two arguments or more: is there "Args:"?
    comments: int
    code: int


def count(trees: dict[Path, ast.Module]) -> Counts:
    """Count functions, their lines, their `Args:` sections, comments and lines of code."""
    counts = Counts([], [], 0, 0)
    for file, tree in trees.items():
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
        counts.comments += sum("# " in line and not line.startswith('"') for line in lines)
        counts.code += sum(bool(line) for line in lines)
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            counts.functions.append((node.end_lineno or 0) - node.lineno + 1)
            names = [arg.arg for arg in [*node.args.args, *node.args.kwonlyargs]]
            if not node.name.startswith("_") and len({*names} - {"self", "cls"}) > 1:
                counts.documented.append("Args:" in (ast.get_docstring(node) or ""))
    return counts


def print_counts(trees: dict[Path, ast.Module]) -> None:
    """Print the table of the closing notes."""
    counts = count(trees)
    lengths = sorted(counts.functions)
    per_folder: dict[str, int] = {}
    for file in trees:
        name = part(file) if (PACKAGE / part(file)).is_dir() else "(modules)"
        per_folder[name] = per_folder.get(name, 0) + len(file.read_text("utf-8").splitlines())
    print(f"modules directly below gantrain/: {len([*PACKAGE.glob('*.py')])}")
    print(f"arrows between parts: {len(arrows(trees))}")
    print(
        f"lines of a function: median {statistics.median(lengths):g}, "
        f"p90 {lengths[len(lengths) * 9 // 10]}, longest {lengths[-1]}"
    )
    print(f"comments per 100 lines: {100 * counts.comments / counts.code:.1f}")
    print(
        "public functions of several arguments with Args: "
        f"{100 * sum(counts.documented) / len(counts.documented):.0f} % of {len(counts.documented)}"
    )
    print("lines:", ", ".join(f"{name} {lines:,}" for name, lines in sorted(per_folder.items())))


def main() -> int:
    """Write, check or count; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--counts", action="store_true", help="print counts, write nothing")
    arguments = parser.parse_args()
    trees = {file: ast.parse(file.read_text("utf-8")) for file in sorted(PACKAGE.rglob("*.py"))}
    if arguments.counts:
        print_counts(trees)
        return 0
    text = picture(trees)
    if not arguments.check:
        PICTURE.write_text(text, "utf-8")
    elif not PICTURE.is_file() or PICTURE.read_text("utf-8") != text:
        print(f"{PICTURE.relative_to(ROOT)} is out of date: python scripts/draw_architecture.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
