"""The settings of all commands but train and generate, each with its own rules."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gantrain.config import check, data_kind, rules, train
from gantrain.config.addresses import address_problems
from gantrain.config.directions import example_problems
from gantrain.config.machine import (
    device_problems,
    directory_problems,
    home_problems,
    is_installed,
    run_problems,
)
from gantrain.config.push import publishing_problems
from gantrain.errors import ConfigError, format_value, nearest
from gantrain.io import hub
from gantrain.metrics import weights
from gantrain.metrics.protocol import DISENTANGLEMENT, METRICS
from gantrain.types import AtLeastOne, Count, Positive, Range

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class VideoConfig:
    """How the results of videos are compressed, see `gantrain.inference.video_writer.Encoding`."""

    codec: Literal["auto", "h264", "h265", "vp9", "ffv1"]
    crf: Annotated[int, Range(0, 63)] | None
    chroma: Literal["auto", 420, 444]

    def problems(self) -> Iterator[str]:
        """Yield the problems with settings that the codec does not have."""
        if self.crf is not None and self.crf > 51 and self.codec != "vp9":
            yield f"video.crf={self.crf}: only video.codec=vp9 goes beyond 51."
        if self.codec == "ffv1" and (self.crf is not None or self.chroma != "auto"):
            yield "video.codec=ffv1 is lossless: leave out video.crf and video.chroma."


@dataclass(frozen=True)
class TranslateConfig:
    """The checked config of translate: the images and videos, and where the results go.

    Attributes:
        input: files, folders and glob patterns.
        direction: None: "ab", or the only one that the snapshot has.
        gallery: how many pairs the gallery page shows; 0: no gallery.
        test_mode: of batch norm and dropout; None: that of the snapshot.
        tile: images of more than tile x tile pixels are translated in bands; None: whole.
        value_range: [lowest, highest] of inputs that hold numbers.
        clip: whether numbers outside of it are clipped; None: as in training.
        depth: of the results; None: the deeper one of run and input.
        pages, array_layout, array_name, slices, window: how inputs are read, see
            `gantrain.data.views.Formats`; None: as in training.
    """

    run: str
    input: list[str]
    output: str
    direction: Literal["ab", "ba"] | None
    test_mode: Literal["as_trained", "no_dropout", "eval"] | None
    seed: Annotated[int, Range(0, 10**9)]
    format: Literal["png", "same", "tiff", "npy"]
    depth: Literal[8, 16, "float"] | None
    gallery: Count
    tile: AtLeastOne | None
    value_range: list[float] | None
    clip: bool | None
    pages: Literal["channels", "first", "each"] | None
    array_layout: Literal["hwc", "chw"] | None
    array_name: str | None
    slices: Annotated[int, Range(0, 2)] | None
    window: Literal["file"] | list[float] | None
    video: VideoConfig
    device: str
    precision: Literal["fp32", "tf32", "bf16"]
    batch: AtLeastOne

    def problems(self) -> Iterator[str]:
        """Yield the problems with the value range, the video, the run and the device."""
        limits = self.value_range
        if limits is not None and (len(limits) != 2 or not limits[0] < limits[1]):
            yield (
                f"value_range={format_value(limits)} is not a range: give [lowest,highest], such "
                "as [0,1]."
            )
            return
        yield from self.video.problems()
        yield from run_problems(self.run)
        yield from device_problems(self.device, self.precision)


@dataclass(frozen=True)
class ImportConfig:
    """The checked config of import: files and folders of weights, and the new run directory."""

    source: list[str]
    name: str
    out: str

    def problems(self) -> Iterator[str]:
        """Yield the problems with the name of the run directory."""
        yield from rules.name_problems({"name": self.name, "out": self.out})
        if (path := Path(self.out) / self.name).exists() and any(path.iterdir()):
            yield f"{path} already exists: give another name=."


@dataclass(frozen=True)
class ExportConfig:
    """The checked config of export: a snapshot, and the file its generators are written to."""

    run: str
    output: str
    format: Literal["pth", "safetensors", "onnx", "torch_export", "hub", "space"]
    networks: Literal["generators", "all"]
    test_mode: Literal["as_trained", "no_dropout", "eval"] | None
    truncation_psi: Annotated[float, Range(-2, 2)]
    license: str | None
    pictures: bool | None
    data_root: str | None
    load_from: str | None

    def problems(self) -> list[str]:
        """Return the problems with the run, else with packages, else with unused settings."""
        return [*run_problems(self.run)] or [*self._missing_packages()] or [*self._misfits()]

    def _misfits(self) -> Iterator[str]:
        """Yield the problems with what is published, and with settings without effect."""
        yield from publishing_problems(self.license, self.pictures, self.data_root)
        if self.load_from is not None:
            yield from hub.problems("load_from", self.load_from)
        yield from self._unused()

    def _missing_packages(self) -> Iterator[str]:
        if self.format in ("safetensors", "hub", "space") and not is_installed("safetensors"):
            yield (
                f"format={self.format} needs a package that is not installed: "
                "pip install 'gantrain[safetensors]'."
            )
        if self.format == "onnx" and not (is_installed("onnx") and is_installed("onnxscript")):
            yield (
                "format=onnx needs packages that are not installed: pip install 'gantrain[onnx]'."
            )

    def _unused(self) -> Iterator[str]:
        if self.load_from is not None and self.format != "space":
            yield "load_from applies to format=space: remove it."
        if self.license is not None and self.format not in ("hub", "space"):
            yield "license applies to format=hub and format=space: remove it."
        for key in ("pictures", "data_root"):
            if getattr(self, key) is not None and self.format != "hub":
                yield f"{key} applies to format=hub: remove it."
        if self.truncation_psi != 1 and self.format not in ("onnx", "torch_export"):
            yield (
                "truncation_psi applies to format=onnx and format=torch_export; the other formats "
                "store the weights unchanged."
            )
        if self.networks == "all" and self.format not in ("pth", "safetensors"):
            as_what = {"onnx": "as ONNX", "torch_export": "as .pt2"}.get(self.format, "there")
            yield (
                "networks=all applies to format=pth and format=safetensors: only generators are of "
                f"use {as_what}."
            )
        if self.test_mode and self.format not in ("onnx", "torch_export"):
            yield (
                "test_mode applies to format=onnx and format=torch_export; the other formats store "
                "the weights."
            )


@dataclass(frozen=True)
class CompareConfig:
    """The checked config of compare: folders of sweeps and runs, and what the table shows."""

    runs: list[str]
    metrics: list[str] | None
    sort: str | None
    csv: str | None
    html: str | None
    force: bool

    @staticmethod
    def missing(key: str) -> str | None:
        """Return the sentence for a command that names no folder; None for other keys."""
        if key != "runs":
            return None
        sweeps = sorted(file.parent for file in Path().glob("sweeps/*/sweep.json"))
        available = f" Sweeps here: {', '.join(map(str, sweeps[:10]))}." if sweeps else ""
        return (
            "gantrain compare needs the folders of sweeps or runs, such as "
            f"gantrain compare sweeps/NAME.{available}"
        )


@dataclass(frozen=True)
class WeightsConfig:
    """Weight files of the networks behind the metrics; None: the published weights."""

    inception: str | None
    lpips: str | None


@dataclass(frozen=True)
class EvaluateConfig:
    """The checked config of evaluate: a snapshot, the metrics, and how they are computed."""

    run: str
    metrics: list[str] | None
    examples: list[str] | None
    num_images: AtLeastOne | None
    split: Literal["train", "test"] | None
    resize: Literal["clean", "tf1"]
    extractor: Literal["inception", "random"]
    weights: WeightsConfig
    truncation_psi: Annotated[float, Range(-2, 2)]
    test_mode: Literal["as_trained", "no_dropout", "eval"] | None
    seed: Annotated[int, Range(0, 10**9)]
    data_root: str | None
    output: str | None
    device: str
    precision: Literal["fp32", "tf32", "bf16"]
    batch: AtLeastOne

    def problems(self) -> Iterator[str]:
        """Yield the problems with metric names, the device and the run."""
        names = [name for name in self.metrics or () if name != DISENTANGLEMENT]
        yield from metric_problems("metrics", names)
        if self.examples is not None:
            yield from example_problems(self.examples)
            if not {"separability", DISENTANGLEMENT} & {*(self.metrics or ())}:
                yield "examples is for metrics=[separability]: name it, or remove examples."
        yield from device_problems(self.device, self.precision)
        yield from run_problems(self.run)
        if self.output is None:
            yield from home_problems(self.run, "output=FILE, where the values are recorded")


@dataclass(frozen=True)
class DoctorConfig:
    """The checked config of doctor: a run directory, and how many samples are examined.

    Attributes:
        run: None: the installation is examined instead of a run.
    """

    run: str | None
    samples: Annotated[int, Range(0)]
    train_images: Annotated[int, Range(2)]
    seed: Annotated[int, Range(0, 10**9)]
    data_root: str | None
    output: str | None
    device: str
    batch: AtLeastOne

    def problems(self) -> Iterator[str]:
        """Yield the problems with the device and the run directory."""
        yield from device_problems(self.device)
        if self.run is not None:
            yield from directory_problems(self.run)


@dataclass(frozen=True)
class ReportConfig:
    """The checked config of report: a run directory, and the file the page is written to."""

    run: str
    output: str | None

    def problems(self) -> Iterator[str]:
        """Yield the problem with the run directory, if any."""
        yield from directory_problems(self.run)


@dataclass(frozen=True)
class FetchConfig:
    """The checked config of fetch: the names of the weights to download."""

    weights: list[str]

    def problems(self) -> Iterator[str]:
        """Yield the problems with the names."""
        known = ", ".join(weights.FILES)
        for name in self.weights:
            if name not in weights.FILES:
                yield f"weights: {format_value(name)} is unknown; choose from {known}."
        if not self.weights:
            yield f"weights is empty: choose from {known}."


@dataclass(frozen=True)
class PrepareConfig:
    """The checked config of prepare: a data set of one kind, and the files to write."""

    takes: Literal["unpaired", "paired", "images"]
    report: str | None
    pack: str | None
    shard_mb: Positive | None
    data: dict[str, Any]


def load_prepare(cfg: DictConfig) -> PrepareConfig:
    """Return the settings of `prepare`, with one class for the data section.

    Raises:
        ConfigError: lists every problem found. The images themselves are not read.
    """
    plain = check.as_texts(PrepareConfig, check.to_plain(cfg))
    data = plain.get("data")
    if problems := [*check.missing_values(plain), *address_problems(plain)]:
        raise ConfigError(*problems)
    if isinstance(data, dict) and plain.get("takes") in (None, *data_kind.WORDS):
        plain["takes"] = plain.get("takes") or _kind_of(data)
        plain["data"], _, kind_problems = data_kind.select_class(
            str(plain["takes"]), "this kind of model", data
        )
        problems += kind_problems
    fields = check.annotations_of(PrepareConfig)
    of_data = {key: x for key, x in train.known_keys(plain).items() if key.startswith("data.")}
    known = fields | of_data
    problems += check.check_section("", plain, fields, set(fields), known)
    if not problems:
        problems += check.check_target("data", plain["data"], known)
    problems += _pack_problems(plain.get("pack"), plain.get("shard_mb"))
    if problems:
        raise ConfigError(*problems)
    return PrepareConfig(**plain)


def _pack_problems(pack: Any, shard_mb: Any) -> Iterator[str]:
    """Yield the problems with what is packed: a .zip file, or a folder of shards."""
    suffix = Path(str(pack or "")).suffix.lower()
    if suffix in (".tar", ".tgz", ".gz") or (suffix != ".zip" and Path(str(pack or "")).is_file()):
        yield (
            f"pack={pack} must end in .zip (one file), or be the name of a folder, which gets .tar "
            "files."
        )
    elif shard_mb is not None and (not pack or suffix == ".zip"):
        yield "shard_mb is for tar archives: give pack=FOLDER, or leave out shard_mb."


def _kind_of(data: dict[str, Any]) -> str:
    """Return the kind of a data section, judged by its class or else by what its root holds."""
    target = data.get("_target_")
    if not isinstance(target, dict):
        return data_kind.class_attribute(target, "kind") or "images"
    if data.get("root") is None:
        return "unpaired" if any(data.get(key) for key in ("root_a", "root_b", "url")) else "images"
    from gantrain.data.roots import holds_two_domains  # it imports numpy

    return "unpaired" if holds_two_domains(str(data["root"])) else "images"


def metric_problems(key: str, names: Iterable[str]) -> Iterator[str]:
    """Yield a sentence for each name that is not a metric.

    Args:
        key: the config key that holds the names, for the sentence.
        names: names as typed.
    """
    for name in names:
        if name not in METRICS:
            near = nearest(str(name), METRICS)
            hint = f" Did you mean {near}?" if near else ""
            yield (
                f"{key}: {format_value(name)} is not a metric.{hint} Metrics: {', '.join(METRICS)}."
            )
