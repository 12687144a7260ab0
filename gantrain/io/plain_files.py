"""Read YAML and JSON that somebody else may have written: plain values, of bounded size.

A file of a run, a sweep or a cache is data. Whatever it holds, reading it runs nothing, ends soon,
and raises nothing but OSError and ValueError.
"""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_BYTES = 16 * 2**20  # of a JSON file
MAX_YAML_BYTES = 2**20  # YAML is read slowly, and a run's settings take a few kB
MAX_LINES_BYTES = 512 * 2**20  # of a file with one document a line
MAX_VALUES = 200_000  # of one document, each alias of YAML counted as often as it is used
MAX_DEPTH = 40
MAX_INT = 2**63 - 1  # larger numbers cannot become floats or sizes


def read_text(file: Path, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a regular file in UTF-8.

    Raises:
        OSError: there is no such file, or it is a pipe or a device, which may never end.
        ValueError: it is too large, or not UTF-8.
    """
    return _read_bytes(file, max_bytes).decode()


def parse_json(text: str) -> Any:
    """Return the plain values of a JSON text.

    Raises:
        ValueError: it is not JSON, or too deep, too large, or with numbers beyond 64 bits.
    """
    try:
        return _checked(json.loads(text))
    except RecursionError:
        raise ValueError("the values are nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """Return the plain values of a YAML text: no tags of Python, no dates.

    Raises:
        ValueError: it is not such YAML, or too deep, too large, or with numbers beyond 64 bits.
    """
    import yaml

    try:
        return _checked(yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    except yaml.YAMLError as error:
        raise ValueError(str(error).splitlines()[0]) from None
    except (RecursionError, TypeError, AttributeError, OverflowError):
        raise ValueError("the values cannot be read") from None


def load_json(file: Path) -> Any:
    """Return the content of a JSON file.

    Raises:
        OSError, ValueError: see `read_text` and `parse_json`.
    """
    return parse_json(read_text(file))


def load_yaml(file: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        OSError, ValueError: see `read_text` and `parse_yaml`.
    """
    return parse_yaml(read_text(file, MAX_YAML_BYTES))


def json_rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line of a file of JSON lines, and its object; {} where it is not an intact one.

    Raises:
        OSError, ValueError: the file cannot be read at all, see `read_text`.
    """
    for line in _read_bytes(file, MAX_LINES_BYTES).splitlines():
        try:
            row = parse_json(line.decode())
        except ValueError:  # cut short by a crash, a flipped bit, or not ours
            row = None
        yield line.decode(errors="replace"), row if isinstance(row, dict) else {}


def is_number(value: Any) -> bool:
    """Return whether a plain value is a number (true and false are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_count(value: Any) -> bool:
    """Return whether a plain value is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _read_bytes(file: Path, max_bytes: int) -> bytes:
    status = file.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(f"{file} is not a regular file")
    if status.st_size > max_bytes:
        raise ValueError(f"{file} is larger than {max_bytes / 2**20:.0f} MiB")
    return file.read_bytes()


def _checked(content: Any) -> Any:
    """Return the content if it is plain and bounded; aliases count as often as they are used."""
    pending, values = [(content, 0)], 0
    while pending:
        value, depth = pending.pop()
        values += 1
        if values > MAX_VALUES or depth > MAX_DEPTH:
            raise ValueError("there are too many values, or they are nested too deeply")
        if isinstance(value, dict):
            if not all(isinstance(key, str | int) for key in value):
                raise ValueError("a key is neither a text nor a whole number")
            pending += [(x, depth + 1) for x in value.values()]
        elif isinstance(value, list):
            pending += [(x, depth + 1) for x in value]
        elif isinstance(value, int) and abs(value) > MAX_INT:
            raise ValueError("a number is too large")
        elif not (value is None or isinstance(value, bool | int | float | str)):
            raise ValueError(f"a {type(value).__name__} is not a plain value")
    return content
