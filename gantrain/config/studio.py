"""The settings of `gantrain studio`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from gantrain.config.machine import device_problems, is_installed, run_problems
from gantrain.config.project import LpipsWeights
from gantrain.types import Range


@dataclass(frozen=True)
class StudioConfig:
    """The checked config of studio: runs, and where their page is.

    Attributes:
        run: run directories or snapshot files.
        directions: files of gantrain directions; None: those in the run's folder.
        weights: of LPIPS, to project photos.
        host: the address to listen at; others than this machine's own get a token.
        port: the first one that is tried; 0: any.
        open: whether the page is opened in a browser.
    """

    run: list[str]
    directions: list[str] | None
    weights: LpipsWeights
    host: str
    port: Annotated[int, Range(0, 65535)]
    open: bool
    device: str
    precision: Literal["fp32", "tf32", "bf16"]

    def problems(self) -> Iterator[str]:
        """Yield the problems with the package, the runs, the files and the device."""
        if not is_installed("gradio"):
            yield "The page needs a package that is not installed: pip install 'gantrain[studio]'."
        if not self.run:
            yield "run=[] names no run."
        for run in self.run:
            yield from run_problems(run)
        for file in self.directions or ():
            if not Path(file).is_file():
                yield f"directions={file}: there is no such file."
        yield from device_problems(self.device, self.precision)
