"""The settings of the commands beside train and generate, each with its own rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gantrain.config import check, data_kind, rules, train
from gantrain.config.check import AtLeastOne, Count
from gantrain.config.machine import (
    device_problems,
    directory_problems,
    is_installed,
    run_problems,
)
from gantrain.errors import ConfigError, format_value, nearest
from gantrain.metrics import weights
from gantrain.metrics.protocol import METRICS
from gantrain.types import Range

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class TranslateConfig:
    """A checked config: files, folders and patterns of pictures, and where they go."""

    run: str
    input: list[str]
    output: str
    direction: Literal["ab", "ba"]
    format: Literal["png", "same"]
    gallery: Count
    tile: AtLeastOne | None
    value_range: list[float] | None
    device: str
    precision: Literal["fp32", "tf32", "bf16"]
    batch: AtLeastOne

    def problems(self) -> Iterator[str]:
        limits = self.value_range
        if limits is not None and (len(limits) != 2 or not limits[0] < limits[1]):
            yield (
                f"value_range={format_value(limits)} is no range: give [lowest,highest], as [0,1]."
            )
            return
        yield from run_problems(self.run)
        yield from device_problems(self.device, self.precision)


@dataclass(frozen=True)
class ImportConfig:
    """A checked config: files and folders of weights, and the run directory to be made."""

    source: list[str]
    name: str
    out: str

    def problems(self) -> Iterator[str]:
        yield from rules.name_problems({"name": self.name, "out": self.out})
        if (path := Path(self.out) / self.name).exists() and any(path.iterdir()):
            yield f"{path} is there already: give another name=."


@dataclass(frozen=True)
class ExportConfig:
    """A checked config: a snapshot, and where its generators go."""

    run: str
    output: str
    format: Literal["pth", "safetensors", "onnx"]
    truncation_psi: Annotated[float, Range(-2, 2)]

    def problems(self) -> list[str]:
        """Return problems of the first kind that there is: run, packages, idle settings."""
        return [*run_problems(self.run)] or [*self._packages()] or [*self._idle()]

    def _packages(self) -> Iterator[str]:
        if self.format == "safetensors" and not is_installed("safetensors"):
            yield "format=safetensors needs a package more: pip install 'gantrain[safetensors]'."
        if self.format == "onnx" and not (is_installed("onnx") and is_installed("onnxscript")):
            yield "format=onnx needs more packages: pip install 'gantrain[onnx]'."

    def _idle(self) -> Iterator[str]:
        if self.truncation_psi != 1 and self.format != "onnx":
            yield "truncation_psi is for format=onnx; weights are written as they are."


@dataclass(frozen=True)
class CompareConfig:
    """A checked config: folders of sweeps and runs, and what is shown of them."""

    runs: list[str]
    metrics: list[str] | None
    sort: str | None
    csv: str | None
    html: str | None
    force: bool

    @staticmethod
    def missing(key: str) -> str | None:
        """Return what to say when no folder was named."""
        if key != "runs":
            return None
        sweeps = sorted(file.parent for file in Path().glob("sweeps/*/sweep.json"))
        there = f" There are: {', '.join(map(str, sweeps[:10]))}." if sweeps else ""
        return (
            "gantrain compare needs the folders of sweeps or runs after it, as "
            f"gantrain compare sweeps/NAME.{there}"
        )


@dataclass(frozen=True)
class WeightsConfig:
    """Files of the networks that judge pictures; None: the published ones."""

    inception: str | None
    lpips: str | None


@dataclass(frozen=True)
class EvaluateConfig:
    """A checked config: a snapshot, what is measured, and how."""

    run: str
    metrics: list[str] | None
    num_images: AtLeastOne | None
    split: Literal["train", "test"] | None
    resize: Literal["clean", "tf1"]
    extractor: Literal["inception", "random"]
    weights: WeightsConfig
    truncation_psi: Annotated[float, Range(-2, 2)]
    seed: Annotated[int, Range(0, 10**9)]
    data_root: str | None
    output: str | None
    device: str
    precision: Literal["fp32", "tf32", "bf16"]
    batch: AtLeastOne

    def problems(self) -> Iterator[str]:
        yield from metric_problems("metrics", self.metrics or ())
        yield from device_problems(self.device, self.precision)
        yield from run_problems(self.run)


@dataclass(frozen=True)
class DoctorConfig:
    """A checked config: a run directory, and how closely its samples are looked at."""

    run: str
    samples: Annotated[int, Range(0)]
    train_images: Annotated[int, Range(2)]
    seed: Annotated[int, Range(0, 10**9)]
    data_root: str | None
    output: str | None
    device: str
    batch: AtLeastOne

    def problems(self) -> Iterator[str]:
        yield from device_problems(self.device)
        yield from directory_problems(self.run)


@dataclass(frozen=True)
class ReportConfig:
    """A checked config: a run directory, and where the page goes."""

    run: str
    output: str | None

    def problems(self) -> Iterator[str]:
        yield from directory_problems(self.run)


@dataclass(frozen=True)
class FetchConfig:
    """Names of weights to download."""

    weights: list[str]

    def problems(self) -> Iterator[str]:
        known = ", ".join(weights.FILES)
        for name in self.weights:
            if name not in weights.FILES:
                yield f"weights: {format_value(name)} is not among {known}."
        if not self.weights:
            yield f"weights is empty: name some of {known}."


@dataclass(frozen=True)
class PrepareConfig:
    """A checked config: a data set of one kind, and what is made of it."""

    takes: Literal["unpaired", "images"]
    report: str | None
    pack: str | None
    data: dict[str, Any]


def load_prepare(cfg: DictConfig) -> PrepareConfig:
    """Return the settings of `prepare`, with one class for the data section.

    Raises:
        ConfigError: with every problem found; the images are not looked at.
    """
    plain = check.as_texts(PrepareConfig, check.to_plain(cfg))
    data = plain.get("data")
    problems = [*check.missing_values(plain)]
    if isinstance(data, dict) and plain.get("takes") in (None, *data_kind.WORDS):
        plain["takes"] = plain.get("takes") or _kind_of(data)
        plain["data"], _, misfits = data_kind.select_class(
            str(plain["takes"]), "this kind of model", data
        )
        problems += misfits
    fields = check.annotations_of(PrepareConfig)
    known = [*fields, *(key for key in train.known_keys(plain) if key.startswith("data."))]
    problems += check.check_section("", plain, fields, set(fields), known)
    if not problems:
        problems += check.check_target("data", plain["data"], known)
    if plain.get("pack") and not str(plain["pack"]).endswith(".zip"):
        problems.append(f"pack={plain['pack']} must end in .zip, by which data.root knows it.")
    if problems:
        raise ConfigError(*problems)
    return PrepareConfig(**plain)


def _kind_of(data: dict[str, Any]) -> str:
    """Which kind a data section is for, by its class or else by what its root holds."""
    target = data.get("_target_")
    if not isinstance(target, dict):
        return data_kind.class_attribute(target, "kind") or "images"
    if data.get("root") is None:
        return "unpaired" if any(data.get(key) for key in ("root_a", "root_b", "url")) else "images"
    from gantrain.data.location import holds_two_domains  # it imports numpy

    return "unpaired" if holds_two_domains(str(data["root"])) else "images"


def metric_problems(key: str, names: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that is no metric."""
    for name in names:
        if name not in METRICS:
            near = nearest(str(name), METRICS)
            hint = f" Did you mean {near}?" if near else ""
            yield (
                f"{key}: {format_value(name)} is no metric.{hint} There are: {', '.join(METRICS)}."
            )
