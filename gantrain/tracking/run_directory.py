"""The directory of a run: where everything lies, and that nothing is overwritten."""

import json
import platform
import sys
from pathlib import Path
from typing import Any

from gantrain.errors import ConfigError
from gantrain.files import atomic_write


class RunDirectory:
    """Paths of one run.

    config.yaml (resolved), overrides.yaml (what was typed), environment.json, log.txt,
    metrics.jsonl, result.json, tensorboard/, grids/, checkpoints/, snapshots/.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.snapshots = path / "snapshots"
        self.grids = path / "grids"
        self.tensorboard = path / "tensorboard"
        self.config = path / "config.yaml"
        self.overrides = path / "overrides.yaml"
        self.metrics = path / "metrics.jsonl"
        self.log = path / "log.txt"
        self.result = path / "result.json"

    @classmethod
    def create(cls, out: Path, name: str | None, stem: str) -> "RunDirectory":
        """Make `out/name`, or `out/<stem>-NNN` with the first free number when name is None.

        Raises:
            ConfigError: the named run is there already.
        """
        if name is not None:
            path = out / name
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                raise ConfigError(occupied(path)) from None
            return cls(path)
        number = 1
        while True:
            path = out / f"{stem}-{number:03d}"
            try:
                path.mkdir(parents=True)
                return cls(path)
            except FileExistsError:  # mkdir is atomic, so simultaneous runs get different numbers
                number += 1

    def write_text(self, path: Path, text: str) -> None:
        with atomic_write(path) as file:
            file.write(text.encode())

    def write_json(self, path: Path, content: Any) -> None:
        self.write_text(path, json.dumps(content, indent=2) + "\n")

    def truncate_metrics(self, nimg: int) -> None:
        """Forget the reports after `nimg` images: the resumed run makes them anew."""
        if self.metrics.exists():
            lines = self.metrics.read_text().splitlines(keepends=True)
            kept = [line for line in lines if _nimg_of(line) <= nimg]
            self.write_text(self.metrics, "".join(kept))


def occupied(path: Path) -> str:
    """The sentence about a run directory that is in use."""
    return (
        f"{path} is there already and is not overwritten; resume={path} continues it, "
        "another name= starts a new run."
    )


def _nimg_of(line: str) -> float:
    try:
        return json.loads(line)["nimg"]
    except (ValueError, KeyError):  # a line cut short by a crash
        return float("inf")


def environment(
    versions: dict[str, str],
) -> dict[str, Any]:
    """What a run ran on: versions of the packages given, Python, system, command line."""
    return {
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": versions,
    }
