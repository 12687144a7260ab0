"""A run directory as it is used from Python, also in a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantrain.config.machine import directory_problems
from gantrain.config.paths import find_run
from gantrain.errors import ConfigError
from gantrain.runs.status import read_run

if TYPE_CHECKING:
    from PIL import Image

    from gantrain.inference.model import Model


class OpenedRun:
    """A run that is finished, stopped or being trained. Every access reads its files anew.

    Args:
        path: its directory, or its name in runs/.

    Attributes:
        path: its directory.

    Raises:
        ConfigError: it is not a run directory.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(find_run(str(path)))
        if problems := [*directory_problems(str(self.path))]:
            raise ConfigError(*problems)

    def __repr__(self) -> str:
        run = read_run(self.path)
        return f"<run {self.path}: {run.status}, {run.kimg:g} kimg>"

    @property
    def status(self) -> str:
        """Done, running, stopped, failed or waiting, in lower case."""
        return read_run(self.path).status

    @property
    def history(self) -> list[dict[str, Any]]:
        """The reports in their order: "nimg", and values by their names in metrics.jsonl."""
        return read_run(self.path).reports

    @property
    def result(self) -> dict[str, Any]:
        """The content of result.json; {}: the run is not finished."""
        return read_run(self.path).result

    def table(self) -> Any:
        """Return the history as a pandas DataFrame, with a row for each report.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise ConfigError(
                "table() needs pandas: pip install pandas. history holds the same values."
            ) from None
        return pandas.DataFrame(self.history)

    def grid(self) -> Image.Image:
        """Return the newest grid of samples, which a notebook shows.

        Raises:
            ConfigError: there is none.
        """
        grids = read_run(self.path).grids
        if not grids:
            raise ConfigError(
                f"{self.path} has no grids: tracking.grid_every_kimg=0 switches them off."
            )
        from PIL import Image

        with Image.open(grids[-1][1]) as image:
            image.load()
            return image.copy()

    def load(self, device: str = "cpu") -> Model:
        """Load the newest intact snapshot; see `gantrain.load`.

        Args:
            device: auto, cpu, cuda, cuda:N or mps.

        Raises:
            ConfigError: there is none, or the device is not available.
        """
        from gantrain.inference import model

        return model.load(self.path, device)
