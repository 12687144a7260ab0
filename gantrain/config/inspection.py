"""The configs of prepare, evaluate, doctor, report and fetch, checked before torch is imported."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gantrain.config import data_kind, schema, settings
from gantrain.config.schema import AtLeastOne
from gantrain.errors import ConfigError, format_value, nearest
from gantrain.metrics import weights
from gantrain.metrics.protocol import METRICS
from gantrain.types import Range

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class PrepareConfig:
    """A checked config: a data set of one kind, and what is made of it."""

    takes: Literal["unpaired", "images"]
    report: str | None
    pack: str | None
    data: dict[str, Any]


def load_prepare(cfg: DictConfig) -> PrepareConfig:
    """Raises ConfigError with every problem found; the pictures are not looked at."""
    plain = settings.as_texts(schema.to_plain(cfg), "report", "pack")
    data = plain.get("data")
    problems = [*schema.missing_values(plain)]
    if isinstance(data, dict) and plain.get("takes") in (None, *data_kind.WORDS):
        plain["takes"] = plain.get("takes") or _kind_of(data)
        plain["data"], _, misfits = data_kind.select_class(
            str(plain["takes"]), "this kind of model", data
        )
        problems += misfits
    fields = schema.annotations_of(PrepareConfig)
    known = [*fields, *(key for key in schema.known_keys(plain) if key.startswith("data."))]
    problems += schema.check_section("", plain, fields, set(fields), known)
    if not problems:
        problems += schema.check_target("data", plain["data"], known)
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


def load_evaluate(cfg: DictConfig) -> EvaluateConfig:
    """Raises ConfigError with every problem found; the weights are looked for later."""
    plain = settings.as_texts(schema.to_plain(cfg), "run", "output", "data_root")
    if isinstance(plain.get("metrics"), str):
        plain["metrics"] = [plain["metrics"]]
    fields, inside = schema.annotations_of(EvaluateConfig), schema.annotations_of(WeightsConfig)
    known = [*fields, *(f"weights.{key}" for key in inside)]
    problems = [*schema.missing_values(plain)]
    problems += schema.check_section("", plain, fields, set(fields), known)
    section = plain.get("weights")
    if isinstance(section, dict):
        problems += schema.check_section("weights.", section, inside, set(inside), known)
    if not problems:
        problems += [*metric_problems("metrics", plain["metrics"] or ())]
        problems += settings.device_problems(plain)
        problems += settings.run_problems(plain["run"])
    if problems:
        raise ConfigError(*problems)
    plain["truncation_psi"] = float(plain["truncation_psi"])
    return EvaluateConfig(**{**plain, "weights": WeightsConfig(**plain["weights"])})


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


def load_doctor(cfg: DictConfig) -> DoctorConfig:
    """Raises ConfigError with every problem found."""
    plain = settings.as_texts(schema.to_plain(cfg), "run", "output", "data_root")
    problems = settings.simple_problems(DoctorConfig, plain)
    if not problems:
        problems = [*settings.device_problems({**plain, "precision": "fp32"}), *_no_run(plain)]
    if problems:
        raise ConfigError(*problems)
    return DoctorConfig(**plain)


def _no_run(plain: dict[str, Any]) -> Iterator[str]:
    if not (Path(plain["run"]) / "config.yaml").is_file():
        yield f"run={plain['run']}: no run is there (config.yaml is missing)."


@dataclass(frozen=True)
class ReportConfig:
    """A checked config: a run directory, and where the page goes."""

    run: str
    output: str | None


def load_report(cfg: DictConfig) -> ReportConfig:
    """Raises ConfigError with every problem found."""
    plain = settings.as_texts(schema.to_plain(cfg), "run", "output")
    if problems := settings.simple_problems(ReportConfig, plain) or [*_no_run(plain)]:
        raise ConfigError(*problems)
    return ReportConfig(**plain)


def load_fetch(cfg: DictConfig) -> list[str]:
    """Names of weights. Raises ConfigError."""
    plain = schema.to_plain(cfg)
    given = plain.get("weights")
    names: list[str] = [given] if isinstance(given, str) else [*(given or ())]
    known = list(weights.FILES)
    problems = [
        f"{key}={format_value(value)} is no key: there is weights." for key, value in plain.items()
        if key != "weights"
    ]  # fmt: skip
    problems += [
        f"weights: {format_value(name)} is not among {', '.join(known)}."
        for name in names
        if name not in known
    ]
    if not names:
        problems.append(f"weights is empty: name some of {', '.join(known)}.")
    if problems:
        raise ConfigError(*problems)
    return names


def metric_problems(key: str, names: Iterable[str]) -> Iterator[str]:
    """A sentence for each name that is no metric."""
    for name in names:
        if name not in METRICS:
            near = nearest(str(name), METRICS)
            hint = f" Did you mean {near}?" if near else ""
            yield (
                f"{key}: {format_value(name)} is no metric.{hint} There are: {', '.join(METRICS)}."
            )
