"""Text is UTF-8 with plain ends of lines on every system: no file is left to its defaults."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "gantrain").rglob("*.py"))
PLACES = {"open": 3, "fdopen": 3, "read_text": 0, "write_text": 1}  # of the argument `encoding`
OWNERS = ("Image", "av", "tarfile", "zipfile", "webbrowser", "open")  # their `open` is another one


def faults(source: str) -> Iterator[str]:
    """Calls that open text without saying its encoding, or write it without `newline`."""
    for call in ast.walk(ast.parse(source)):
        if not isinstance(call, ast.Call):
            continue
        function, words = call.func, {word.arg for word in call.keywords}
        name = function.attr if isinstance(function, ast.Attribute) else ast.unparse(function)
        owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else "open"
        if name not in PLACES:
            continue
        own = name in ("read_text", "write_text")
        if own and owner != "open":
            given = "encoding" in words or len(call.args) > PLACES[name]
            if not given:
                yield f"line {call.lineno}: {name} without encoding"
            if name == "write_text":
                yield f"line {call.lineno}: write_text translates the ends of lines"
        elif not own and (mode := _mode(call, owner, name)) and "b" not in mode:
            if "encoding" not in words:
                yield f"line {call.lineno}: {name} without encoding"
            if set(mode) & set("wax+") and "newline" not in words:
                yield f"line {call.lineno}: {name} without newline"


def _mode(call: ast.Call, owner: str, name: str) -> str | None:
    """The mode of a call that opens a file; None: it is another `open`."""
    if owner in OWNERS[:-1] or (owner == "os" and name == "open"):
        return None
    place = 1 if owner == "open" or name == "fdopen" else 0
    given = [word.value for word in call.keywords if word.arg == "mode"] + call.args[place:]
    if not given:
        return "r" if owner in ("open", "io") else None  # such as a method of an archive
    text = given[0]
    is_mode = isinstance(text, ast.Constant) and isinstance(text.value, str)
    return str(text.value) if is_mode and set(text.value) <= set("rwaxbt+") else None  # type: ignore


def test_every_text_file_is_opened_by_its_encoding() -> None:
    found = {str(file): [*faults(file.read_text(encoding="utf-8"))] for file in SOURCES}
    assert len(found) > 200
    assert {name: texts for name, texts in found.items() if texts} == {}


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("open(path)", 1), ("open(path, 'w')", 2), ("path.open('a', encoding='utf-8')", 1),
        ("path.read_text()", 1), ("path.write_text(text, 'utf-8')", 1),
        ("os.fdopen(handle, 'w', encoding='utf-8')", 1), ("open(path, mode='r')", 1),
        ("open(path, 'rb')", 0), ("path.open('r', encoding='utf-8')", 0),
        ("path.read_text('utf-8')", 0), ("Image.open(path)", 0), ("archive.open(member)", 0),
        ("os.open(path, flags)", 0), ("path.open('a', encoding='utf-8', newline='')", 0),
    ],
)  # fmt: skip
def test_it_is_noticed(source: str, count: int) -> None:
    assert len([*faults(source)]) == count
