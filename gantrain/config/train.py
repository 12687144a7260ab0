"""The config of a training, checked as a whole before anything is imported.

`load(cfg)` looks at every key: sections of our own against the dataclasses below, sections with a
`_target_` against the constructor's signature (read from its source, `constructors`), then
combinations (`rules`). All problems are raised together in one ConfigError.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gantrain.config import data_kind, rules
from gantrain.config.check import (
    BUILT,
    AtLeastOne,
    Count,
    NotNegative,
    Positive,
    annotations_of,
    as_texts,
    check_section,
    check_target,
    constructor_annotations,
    missing_values,
    to_plain,
    typed,
)
from gantrain.errors import ConfigError
from gantrain.types import Range

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class TrainConfig:
    """How much and in what portions. Exactly one of `kimg` and `epochs` is not None.

    `batch` and `ema_kimg` None: see `gantrain.config.derived`.
    """

    batch: AtLeastOne | None
    microbatch: AtLeastOne | None
    kimg: Positive | None
    epochs: Positive | None
    ema_kimg: NotNegative | None
    ema_rampup: Positive | None
    on_nonfinite: Literal["halt", "skip"]


@dataclass(frozen=True)
class LrConfig:
    """The learning rate's factor over time."""

    schedule: Literal["constant", "linear", "cosine", "step"]
    decay: Annotated[float, Range(0, 1)]
    step_kimg: Positive | None
    step_factor: Annotated[float, Range(0, 1, open_low=True)]
    unit: Literal["epoch", "image"]
    compat: Literal[2025, 2020]


@dataclass(frozen=True)
class CheckpointConfig:
    """What is saved when. `snapshot_every_kimg` 0: at the end only."""

    every_kimg: Positive
    keep: AtLeastOne
    snapshot_every_kimg: NotNegative


@dataclass(frozen=True)
class EvaluationConfig:
    """`test_images`: per domain, 0: none. `every_kimg` 0: nothing is measured while training.
    `inception`, `lpips`: files of weights, None: the published ones."""

    test_images: Count
    every_kimg: NotNegative
    metrics: list[str]
    num_images: AtLeastOne
    resize: Literal["clean", "tf1"]
    extractor: Literal["inception", "random"]
    inception: str | None
    lpips: str | None
    best: str | None
    patience: AtLeastOne | None


@dataclass(frozen=True)
class RuntimeConfig:
    """The machine. `device`: auto, cpu, cuda, cuda:N or mps. `timeout` in seconds. `workers` None:
    see `gantrain.build.data_workers`."""

    device: str
    devices: AtLeastOne
    timeout: Positive
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    compile: bool
    channels_last: bool
    workers: Count | None
    deterministic: bool
    threads: AtLeastOne | None


@dataclass(frozen=True)
class TrackingConfig:
    """Reports. `grid_every_kimg` 0: no grids; `health_every_kimg` 0: no probes. None: as often as
    suits the budget, see `gantrain.build.make_plan`."""

    every_kimg: Positive | None
    grid_every_kimg: NotNegative | None
    grid_images: AtLeastOne
    health_every_kimg: NotNegative | None
    health_images: Annotated[int, Range(2)]
    tensorboard: bool


@dataclass(frozen=True)
class RunConfig:
    """A checked training config. `model`, `data` and `optimizer` keep their `_target_`."""

    name: str | None
    out: str
    seed: Annotated[int, Range(0, 2**31 - 1)]
    resume: str | None
    resume_force: bool
    init_from: str | None
    objective: str | None
    train: TrainConfig
    lr: LrConfig
    checkpoint: CheckpointConfig
    evaluation: EvaluationConfig
    runtime: RuntimeConfig
    tracking: TrackingConfig
    model: dict[str, Any]
    data: dict[str, Any]
    optimizer: dict[str, Any]
    warnings: tuple[str, ...] = field(default=(), compare=False)


def load(cfg: DictConfig, given: Iterable[str] | None = None) -> RunConfig:
    """Check a composed training config and return it as plain typed values.

    `given`: the keys the user typed (default: asked of Hydra); one that has no effect is named in
    the result's `warnings`. Raises ConfigError with every problem found.
    """
    plain = as_texts(RunConfig, to_plain(cfg))
    problems = list(missing_values(plain))
    useless: dict[str, str] = {}
    if isinstance(plain.get("model"), dict) and isinstance(plain.get("data"), dict):
        plain["data"], useless, misfits = data_kind.match_data(plain["model"], plain["data"])
        problems += misfits
    problems += _check(plain)
    if not problems:
        problems += rules.problems(plain)
    if problems:
        raise ConfigError(*problems)
    keys = set(_given() if given is None else given)
    warnings = [
        f"data.{key} has no effect: {why}." for key, why in useless.items() if f"data.{key}" in keys
    ]
    warnings += rules.warnings(plain, keys)
    return dataclasses.replace(typed(RunConfig, plain), warnings=tuple(warnings))


def _given() -> list[str]:
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    return [text.lstrip("+").split("=")[0] for text in HydraConfig.get().overrides.task]


def known_keys(plain: dict[str, Any]) -> list[str]:
    """Every dotted key that a config with these `_target_`s may hold, sections included."""
    keys: list[str] = []
    for name, annotation in annotations_of(RunConfig).items():
        section = annotations_of(annotation) if dataclasses.is_dataclass(annotation) else {}
        if name in BUILT and isinstance(plain.get(name), dict):
            section = constructor_annotations(name, plain[name]) or {}
        keys += [name, *(f"{name}.{key}" for key in section)]
    return keys


def _check(plain: dict[str, Any]) -> Iterator[str]:
    """Every key of every section on its own."""
    known = known_keys(plain)
    top = annotations_of(RunConfig)
    yield from check_section("", plain, top, set(top), known)
    for name, annotation in top.items():
        section = plain.get(name)
        if not isinstance(section, dict):
            continue
        if name in BUILT:
            yield from check_target(name, section, known)
        elif dataclasses.is_dataclass(annotation):
            fields = annotations_of(annotation)
            yield from check_section(f"{name}.", section, fields, set(fields), known)
