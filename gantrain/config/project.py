"""The settings of `gantrain project`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from gantrain.config.machine import device_problems, is_installed, run_problems
from gantrain.types import AtLeastOne, Count, NotNegative, Positive, Range


@dataclass(frozen=True)
class LpipsWeights:
    """The weight file of LPIPS; None: the published weights."""

    lpips: str | None


@dataclass(frozen=True)
class ProjectConfig:
    """The checked config of project; see configs/project.yaml."""

    run: str
    input: str
    output: str
    space: Literal["w", "w+", "z"]
    class_: int | str | list[Any] | None
    start: Literal["auto", "mean", "nearest", "encoder"]
    steps: AtLeastOne
    lr: Positive
    pixel_weight: NotNegative
    noise_weight: NotNegative
    spread_weight: NotNegative
    seed: Annotated[int, Range(0, 10**9)]
    tune: bool
    tune_steps: AtLeastOne
    tune_lr: Positive
    frames: Count
    format: Literal["webp", "gif", "mp4"]
    weights: LpipsWeights
    device: str
    precision: Literal["fp32", "tf32", "bf16"]
    batch: AtLeastOne

    def problems(self) -> Iterator[str]:
        """Yield the problems with files, the device and combinations."""
        yield from run_problems(self.run)
        yield from device_problems(self.device, self.precision)
        if not Path(self.input).exists():
            yield f"input={self.input}: there is no such file or folder."
        if self.space == "z" and self.start in ("encoder", "nearest"):
            yield f"start={self.start} gives w, not z: remove start, or use space=w."
        if self.space == "z" and self.tune:
            yield "tune=true needs w: use space=w or w+."
        if self.frames > self.steps:
            yield f"frames={self.frames}: there are only {self.steps} steps to show."
        if self.frames and self.format == "mp4" and not is_installed("av"):
            yield "format=mp4 needs a package: pip install 'gantrain[video]'."
