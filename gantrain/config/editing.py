"""The settings of edits along directions, and how strengths are written."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from gantrain.errors import ConfigError, counted, format_value
from gantrain.types import Count

MOST = 1000.0  # standard deviations; further out, no image is one
_NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
Numbers = int | str | list[int | str]
STEPS = 7  # from -3 to 3, one for each standard deviation


@dataclass(frozen=True)
class Edit:
    """How latents are moved.

    Attributes:
        direction: FILE:NAME or FILE:INDEX, or several; None: latents stay.
        strength: of all directions or of each: a number, or a range "-3..3".
        layers: the layers that are moved; None: those of the directions.
        steps: images of a range; 0: `STEPS`, unless there are frames.
        frames: frames of a video of a range, for each image; 0: images.
    """

    direction: str | list[str] | None
    strength: float | str | list[float | str]
    layers: Numbers | None
    steps: Count
    frames: Count

    @property
    def directions(self) -> list[str]:
        """The directions, as written."""
        if self.direction is None:
            return []
        return [self.direction] if isinstance(self.direction, str) else self.direction

    @property
    def ranges(self) -> list[tuple[float, float]]:
        """First and last strength of each direction."""
        strengths = self.strength if isinstance(self.strength, list) else [self.strength]
        if len(strengths) == 1:
            strengths = strengths * len(self.directions)
        return [read_strength(value) for value in strengths]

    @property
    def is_range(self) -> bool:
        """Whether a strength has two ends."""
        return any(first != last for first, last in self.ranges)

    @property
    def images(self) -> int:
        """How many images a range has for each image; 0: there is no range, or it is a video."""
        moves = self.direction is not None and self.is_range and not self.frames
        return (self.steps or STEPS) if moves else 0

    def problems(self) -> list[str]:
        """Return sentences about settings that do not fit each other."""
        if self.direction is None:
            changed = self.strength != 1 or self.layers is not None or self.steps or self.frames
            needed = "edit needs edit.direction, such as edit.direction=directions.npz:0."
            return [needed] if changed else []
        if not self.directions:
            return ["edit.direction=[] names no direction."]
        if len(self.ranges) != len(self.directions):
            return [
                f"edit.strength has {counted(len(self.ranges), 'entry')}, and edit.direction has "
                f"{len(self.directions)}: give one for each, or one for all."
            ]
        if self.steps == 1:
            return ["edit.steps=1: a range has two or more images."]
        if self.frames == 1:
            return ["edit.frames=1: a video has two or more frames."]
        if self.steps and self.frames:
            return ["edit.steps makes images and edit.frames videos: give one of them."]
        if (self.steps or self.frames) and not self.is_range:
            key = "steps" if self.steps else "frames"
            return [f"edit.{key} needs a range, such as edit.strength=-3..3."]
        return []


def read_strength(value: Any) -> tuple[float, float]:
    """Return the first and the last strength of 2.5 or "-3..3".

    Raises:
        ConfigError: it is neither, or exceeds `MOST`.
    """
    text = str(value).strip()
    match = re.fullmatch(rf"({_NUMBER})(?:\s*\.\.\s*({_NUMBER}))?", text)
    first = float(match[1]) if match else math.inf
    last = float(match[2]) if match and match[2] else first
    if isinstance(value, bool) or max(abs(first), abs(last)) > MOST:
        raise ConfigError(
            f"edit.strength={format_value(value)} is neither a number of standard deviations, such "
            f"as 2.5 (at most {MOST:g}), nor a range, such as -3..3."
        )
    return first, last


def strength_problems(value: Any) -> list[str]:
    """Return a sentence for each strength that cannot be read."""
    problems = []
    for item in value if isinstance(value, list) else [value]:
        try:
            read_strength(item)
        except ConfigError as error:
            problems += error.problems
    return problems
