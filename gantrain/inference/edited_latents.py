"""Edits of the latents of a command: of one strength, or over a range."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from gantrain.inference.editing import Direction, edit
from gantrain.inference.latent_sources import LatentBatch, split


@dataclass(frozen=True)
class LatentEdit:
    """A move along one or several directions at once.

    Attributes:
        directions: K of them.
        ends: first and last strength along each, [K].
        layers: the layers to move; None: those of each direction.
    """

    directions: Sequence[Direction]
    ends: Sequence[tuple[float, float]]
    layers: Sequence[int] | None

    def apply(self, latents: LatentBatch, time: float = 0.0) -> LatentBatch:
        """Move latents with w, at a time from 0 (the first strength) to 1 (the last)."""
        values = latents.values
        texts = []
        for direction, (first, last) in zip(self.directions, self.ends, strict=True):
            strength = first + (last - first) * time
            values = edit(values, direction, strength, self.layers)
            texts.append(f"{strength:+.3g} {direction.name}")  # names may be cut off in sheets
        descriptions = [f"{text}, {', '.join(texts)}" for text in latents.descriptions]
        return replace(latents, values=values, descriptions=descriptions)

    def apply_all(self, batches: Iterable[LatentBatch]) -> Iterator[LatentBatch]:
        """Yield batches moved by the first strength."""
        return (self.apply(batch) for batch in batches)

    def steps(self, batches: Iterable[LatentBatch], count: int) -> Iterator[LatentBatch]:
        """Yield each image at `count` strengths from the first to the last, as one batch."""
        digits = max(2, len(str(count - 1)))
        for latents in batches:
            for one in split(latents, 1):
                moved = [self.apply(one, i / (count - 1)) for i in range(count)]
                yield LatentBatch(
                    names=[f"{one.names[0]}-edit{i:0{digits}d}" for i in range(count)],
                    descriptions=[part.descriptions[0] for part in moved],
                    values=torch.cat([part.values for part in moved]),
                    seeds=one.seeds * count,
                    inputs=None if one.inputs is None else torch.cat([one.inputs] * count),
                )

    def films(
        self, batches: Iterable[LatentBatch], frames: int, *, loop: bool
    ) -> Iterator[LatentBatch]:
        """Yield the frames of each image from the first strength to the last; a loop goes back."""
        ways = ", ".join(
            f"{direction.name} {first:+.3g} to {last:+.3g}"
            for direction, (first, last) in zip(self.directions, self.ends, strict=True)
        )
        for latents in batches:
            for one in split(latents, 1):
                [there] = self.steps([one], frames)
                back = range(frames - 2, 0, -1) if loop else ()
                order = [*range(frames), *back]
                yield LatentBatch(
                    names=one.names * len(order),
                    descriptions=[f"{one.descriptions[0]}, {ways}"] * len(order),
                    values=there.values[order],
                    seeds=one.seeds * len(order),
                )
