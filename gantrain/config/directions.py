"""The settings of `gantrain directions`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from gantrain.config.annotations import accepts
from gantrain.config.generate import MOST_LAYERS, number_problems
from gantrain.config.machine import device_problems, run_problems
from gantrain.config.project import LpipsWeights
from gantrain.errors import format_value
from gantrain.inference.seeds import LARGEST_SEED, read_numbers
from gantrain.types import AtLeastOne, Range

Numbers = int | str | list[int | str]
MOST_SEEDS = 16  # of a sheet


@dataclass(frozen=True)
class DirectionsConfig:
    """The checked config of directions; see configs/directions.yaml."""

    run: str
    output: str
    method: Literal["pca", "sefa", "labels", "pairs", "layers"]
    count: AtLeastOne
    layers: Numbers | None
    class_: int | float | str | list[float] | list[str] | None
    examples: list[str] | None
    before: str | None
    after: str | None
    samples: Annotated[int, Range(10)] | None
    seeds: Numbers
    weights: LpipsWeights
    device: str
    precision: Literal["fp32", "tf32", "bf16"]
    batch: AtLeastOne

    @staticmethod
    def value_problems(plain: dict[str, Any]) -> Iterator[str]:
        """Yield a sentence for each list of seeds or layers that cannot be read."""
        seeds: Any = plain.get("seeds")
        yield from (problems := number_problems("seeds", seeds, LARGEST_SEED))
        if accepts(seeds, Numbers) and not problems:
            count = len(read_numbers("seeds", seeds))
            if count > MOST_SEEDS:
                yield f"seeds={format_value(seeds)}: the sheet has room for {MOST_SEEDS} seeds."
        yield from number_problems("layers", plain.get("layers"), MOST_LAYERS)

    def problems(self) -> Iterator[str]:
        """Yield the problems with files, the device and combinations."""
        yield from run_problems(self.run)
        yield from device_problems(self.device, self.precision)
        yield from self._source_problems()
        output = Path(self.output)
        if output.exists() and not (output.is_dir() and not any(output.iterdir())):
            yield (
                f"output={output} already exists and is not overwritten: name a new or an empty "
                "folder."
            )
        if self.method == "labels" and not self.examples and self.class_ is not None:
            yield (
                f"class={format_value(self.class_)}: method=labels compares all classes; remove "
                "class."
            )
        if self.method == "layers" and self.layers is not None:
            yield "method=layers compares all layers: remove layers."

    def _source_problems(self) -> Iterator[str]:
        """Check what pairs and examples are made from."""
        for key, value, method in (
            ("examples", self.examples, "labels"),
            ("before", self.before, "pairs"),
            ("after", self.after, "pairs"),
        ):
            if value is not None and self.method != method:
                yield f"{key} is for method={method}, and this is method={self.method}: remove it."
            elif value is None and method == self.method == "pairs":
                yield f"method=pairs needs {key}, an .npz file of gantrain project."
        if self.examples is not None:
            yield from example_problems(self.examples)
        for key, file in (("before", self.before), ("after", self.after)):
            if file is not None and not Path(file).is_file():
                yield f"{key}={file}: there is no such file."


def example_problems(folders: list[str]) -> Iterator[str]:
    """Yield the problems with two folders of examples."""
    if len(folders) != 2:
        yield "examples takes two folders: examples=[DIR_A,DIR_B]."
    for folder in folders:
        if not Path(folder).is_dir():
            yield f"examples: there is no folder {folder}."
