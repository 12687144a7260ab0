"""The record of a folder of translations: which result belongs to which input."""

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any

from gantrain.data.views import AnyFile, Stack, bytes_of, plain_file
from gantrain.errors import ConfigError
from gantrain.inference.inputs import RECORD_FILE, TranslationTask
from gantrain.io.files import open_to_append, read_json, remove_leftovers, write_json
from gantrain.io.plain_files import json_rows, load_json

INPUTS_FILE = "inputs.jsonl"


class ResultFolder:
    """A folder of translations by one network with one set of settings.

    translate.json names these; inputs.jsonl has a line for each result: its name, and the size and
    SHA-256 of its input. A result whose input is another one now is not taken for done.

    Args:
        path: the folder, which is created.
        settings: plain values; those of "snapshot" are told apart by their "sha256".
        record: name of the file of the settings.

    Raises:
        ConfigError: the folder holds other files or results of other settings.
    """

    def __init__(self, path: Path, settings: dict[str, Any], record: str = RECORD_FILE) -> None:
        self.path, self._record = path, path / record
        try:
            path.mkdir(parents=True, exist_ok=True)
            for folder in [path, *(inner for inner in path.rglob("*") if inner.is_dir())]:
                remove_leftovers(folder)
            self._check(settings)
            write_json(self._record, settings)
            self._inputs = _read(path / INPUTS_FILE)
        except (OSError, ValueError) as error:
            raise ConfigError(f"output={path} cannot be used ({error}): give another.") from None

    def _check(self, settings: dict[str, Any]) -> None:
        if self._record.is_file():
            before = load_json(self._record)
            if not isinstance(before, dict):
                raise ValueError(f"{self._record.name} is damaged")
            changed = [k for k in settings if _identity(before.get(k)) != _identity(settings[k])]
            if changed:
                raise ConfigError(
                    f"output={self.path} holds results of another {' and '.join(changed)}: give "
                    "another folder, or empty this one."
                )
        elif any(self.path.iterdir()):
            raise ConfigError(
                f"output={self.path} holds other files and is left alone: give a new or empty "
                "folder."
            )

    def has(self, task: TranslationTask) -> bool:
        """Return whether the result of exactly this input is there."""
        known = self._inputs.get(task.name)
        if known is None or not (self.path / task.name).exists():
            return False
        try:
            return known == self.row(task)
        except OSError:  # the input is gone: translating it says so
            return False

    def others(self, tasks: list[TranslationTask]) -> int:
        """Return how many results of other inputs there are."""
        names = {task.name for task in tasks}
        return sum(os.path.exists(self.path / name) for name in self._inputs if name not in names)

    def row(self, task: TranslationTask) -> dict[str, Any]:
        """Return what identifies the input of a task, to be read before the image is.

        Raises:
            OSError: there is no such file any more.
        """
        return _row(task)

    def add(self, row: dict[str, Any]) -> None:
        """Record the `row` of a task whose result has been written."""
        self._inputs[row["name"]] = row
        with open_to_append(self.path / INPUTS_FILE) as file:
            file.write(f"{json.dumps(row)}\n")


class ResultFile:
    """One result by one network with one set of settings: a file that the user named.

    NAME.json beside it records these and the input.

    Args:
        path: the file.
        settings: plain values.

    Raises:
        ConfigError: there is another file, or the folder cannot be written.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self._file, self._settings = path.parent, path, settings
        self._record = path.with_name(f"{path.name}.json")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for leftover in self.path.glob(f".{path.name}.*.tmp"):
                leftover.unlink(missing_ok=True)
        except OSError as error:
            raise ConfigError(f"output={path} cannot be written ({error}): give another.") from None

    def has(self, task: TranslationTask) -> bool:
        """Return whether the file is the result of exactly this input.

        Raises:
            ConfigError: it is another one.
        """
        if not self._file.exists():
            return False
        known = read_json(self._record) if self._record.is_file() else None
        before = known if isinstance(known, dict) else {}
        is_same = before.get("input") == self.row(task)
        if not is_same or any(
            _identity(before.get(key)) != _identity(self._settings[key]) for key in self._settings
        ):
            raise ConfigError(
                f"output={self._file} already exists and is not the result of this command: give "
                "another name, or remove it."
            )
        return True

    def others(self, tasks: list[TranslationTask]) -> int:
        """Return 0: there is one result."""
        return 0

    def row(self, task: TranslationTask) -> dict[str, Any]:
        """Return what identifies the input of a task."""
        return _row(task)

    def add(self, row: dict[str, Any]) -> None:
        """Record the `row` of a task whose result has been written."""
        write_json(self._record, self._settings | {"input": row})


def _row(task: TranslationTask) -> dict[str, Any]:
    row = {"name": task.name, "bytes": bytes_of(task.source), "sha256": _hash(task)}
    return row | ({"encoding": task.encoding} if task.encoding else {})


def _hash(task: TranslationTask) -> str:
    digest = hashlib.sha256()
    for path in _files(task.source):
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def _files(source: AnyFile) -> list[Path]:
    if isinstance(source, Stack):
        return [file for one in source.files for file in _files(one)]
    file = plain_file(source)
    assert isinstance(file, Path)  # inputs are not read from archives
    return [file]


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """Return the intact rows by name, which is that of a file below; the last one counts."""
    if not file.exists():
        return {}
    rows = [row for _, row in json_rows(file) if {"name", "bytes", "sha256"} <= row.keys()]
    names = {str(row["name"]): row for row in rows}
    return {name: row for name, row in names.items() if _is_below(PurePosixPath(name))}


def _is_below(path: PurePosixPath) -> bool:
    return not path.is_absolute() and ".." not in path.parts


def _identity(value: object) -> object:
    """Return what identifies a recorded value: of a snapshot, its content rather than its path."""
    return value.get("sha256") if isinstance(value, dict) else value
