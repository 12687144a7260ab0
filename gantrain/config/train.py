"""The settings of `gantrain train`, checked as a whole before anything is imported.

`load(cfg)` checks every key: gantrain's own sections against the dataclasses below, sections with
a `_target_` against the constructor's signature (`constructors` reads it from source), and then
combinations (`rules`). All problems are raised together in one ConfigError.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gantrain.config import data_kind, renamed, rules
from gantrain.config.addresses import address_problems
from gantrain.config.check import (
    annotations_of,
    as_texts,
    check_section,
    check_target,
    constructor_annotations,
    missing_values,
    to_plain,
    typed,
)
from gantrain.config.choices import BUILT
from gantrain.errors import ConfigError
from gantrain.types import AtLeastOne, Count, NotNegative, Positive, Range, Schedule, Share

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclass(frozen=True)
class TrainConfig:
    """The training budget and the batch. Exactly one of `kimg` and `epochs` is not None.

    Attributes:
        batch: images per step over all ranks; None: see `gantrain.config.derived`.
        microbatch: images per forward pass; None: the whole batch of a rank.
        kimg: the budget in thousands of images.
        epochs: the budget in passes over the data.
        ema_kimg: half-life of the weights' moving average, perhaps over time; None: see
            `gantrain.config.derived`.
        ema_rampup: the half-life is at most this share of the images so far.
        on_nonfinite: what to do about a NaN or infinity in a gradient.
    """

    batch: AtLeastOne | None
    microbatch: AtLeastOne | None
    kimg: Positive | None
    epochs: Positive | None
    ema_kimg: Annotated[Schedule, Range(0)] | None
    ema_rampup: Positive | None
    on_nonfinite: Literal["halt", "skip"]


@dataclass(frozen=True)
class LrConfig:
    """The factor on the learning rate over time; see `gantrain.engine.optim.LearningRate`.

    Attributes:
        d_factor: D's learning rate divided by G's.
    """

    schedule: Literal["constant", "linear", "cosine", "step"]
    decay: Share
    step_kimg: Positive | None
    step_factor: Annotated[float, Range(0, 1, open_low=True)]
    unit: Literal["epoch", "image"]
    compat: Literal[2025, 2020]
    d_factor: Positive


@dataclass(frozen=True)
class CheckpointConfig:
    """How often to save.

    Attributes:
        every_kimg: thousands of images between checkpoints, of which there are at least five.
        every_epochs: the same in passes over the data; None: every_kimg holds.
        every_minutes: minutes between further checkpoints; None: none.
        keep: how many of the latest checkpoints to keep.
        snapshot_every_kimg: thousands of images between snapshots; 0: only at the end.
        snapshot_every_epochs: the same in passes over the data; None: snapshot_every_kimg holds.
    """

    every_kimg: Positive
    every_epochs: Positive | None
    every_minutes: Positive | None
    keep: AtLeastOne
    snapshot_every_kimg: NotNegative
    snapshot_every_epochs: Positive | None


@dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation during training.

    Attributes:
        test_images: test images translated per domain; 0: none.
        every_kimg: thousands of images between evaluations; 0: none during training.
        every_epochs: the same in passes over the data; None: every_kimg holds.
        inception: weight file of the Inception network; None: the published weights.
        lpips: weight file of LPIPS; None: the published weights.
        best: the value whose best snapshot is kept.
        patience: stop after this many evaluations without a new best; None: never.
    """

    test_images: Count
    every_kimg: NotNegative
    every_epochs: Positive | None
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
    """The machine.

    Attributes:
        device: auto, cpu, cuda, cuda:N or mps.
        devices: how many processes to start, one device each.
        timeout: seconds after which a rank that does not answer is reported as hung.
        lock_timeout: seconds to wait for another process that is just ending the same run.
        workers: data loader processes; None: see `gantrain.build.data_workers`.
        threads: CPU threads per process; None: see `gantrain.engine.threads`.
    """

    device: str
    devices: AtLeastOne
    timeout: Positive
    lock_timeout: NotNegative
    precision: Literal["auto", "fp32", "tf32", "bf16"]
    compile: bool
    cuda_graphs: bool
    channels_last: bool
    workers: Count | None
    deterministic: bool
    threads: AtLeastOne | None


@dataclass(frozen=True)
class TrackingConfig:
    """Reports during training. None: as often as suits the budget (`gantrain.build.make_plan`).

    Attributes:
        every_kimg: thousands of images between rows of metrics.jsonl.
        grid_every_kimg: thousands of images between sample grids; 0: no grids.
        grid_every_epochs: the same in passes over the data; None: grid_every_kimg holds.
        health_every_kimg: thousands of images between health probes; 0: no probes.
        to: trackers beside the terminal and metrics.jsonl.
        project: W&B's project, MLflow's experiment.
        tags: labels of the run; for MLflow "key=value".
        entity: W&B's user or team; None: the default of the account.
        mode: of W&B; None: $WANDB_MODE, or online.
        uri: of MLflow; None: $MLFLOW_TRACKING_URI, or MLflow's own default.
    """

    every_kimg: Positive | None
    grid_every_kimg: NotNegative | None
    grid_every_epochs: Positive | None
    grid_images: AtLeastOne
    health_every_kimg: NotNegative | None
    health_images: Annotated[int, Range(2)]
    to: list[Literal["tensorboard", "wandb", "mlflow"]]
    project: str
    tags: list[str]
    entity: str | None
    mode: Literal["online", "offline"] | None
    uri: str | None


@dataclass(frozen=True)
class RunConfig:
    """The checked config of train. `model`, `data` and `optimizer` keep their `_target_`."""

    name: str | None
    out: str
    seed: Annotated[int, Range(0, 2**31 - 1)]
    resume: str | None
    resume_force: bool
    init_from: str | None
    stop_on_failure: bool
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


def load(cfg: DictConfig, typed_keys: Iterable[str] | None = None) -> RunConfig:
    """Check a composed training config and return it as plain typed values.

    Args:
        cfg: the composed config, without the `hydra` node.
        typed_keys: the dotted keys on the command line (None: read them from Hydra). The result's
            `warnings` name those that have no effect.

    Raises:
        ConfigError: lists every problem found.
    """
    plain = as_texts(RunConfig, to_plain(cfg))
    keys = set(_keys_from_hydra() if typed_keys is None else typed_keys)
    old_names = renamed.rename(plain, keys)
    problems = [*missing_values(plain), *address_problems(plain)]
    dropped: dict[str, str] = {}
    if isinstance(plain.get("model"), dict) and isinstance(plain.get("data"), dict):
        plain["data"], dropped, kind_problems = data_kind.match_data(plain["model"], plain["data"])
        problems += kind_problems
    problems += _check(plain)
    if not problems:
        problems += rules.problems(plain)
    if problems:
        raise ConfigError(*problems)
    warnings = [
        f"data.{key} has no effect: {why}." for key, why in dropped.items() if f"data.{key}" in keys
    ]
    warnings += [*rules.warnings(plain, keys), *old_names]
    return dataclasses.replace(typed(RunConfig, plain), warnings=tuple(warnings))


def _keys_from_hydra() -> list[str]:
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    return [text.lstrip("+").split("=")[0] for text in HydraConfig.get().overrides.task]


def settings_names() -> set[str]:
    """Return the top-level keys of the config: single settings and sections."""
    return set(annotations_of(RunConfig))


def known_keys(plain: dict[str, Any]) -> dict[str, Any]:
    """Return the annotation of every dotted key that a config with these `_target_`s may hold.

    Sections are among the keys.
    """
    keys: dict[str, Any] = {}
    for name, annotation in annotations_of(RunConfig).items():
        section = annotations_of(annotation) if dataclasses.is_dataclass(annotation) else {}
        if name in BUILT and isinstance(plain.get(name), dict):
            section = constructor_annotations(name, plain[name]) or {}
        keys |= {name: annotation} | {f"{name}.{key}": section[key] for key in section}
    return keys


def _check(plain: dict[str, Any]) -> Iterator[str]:
    """Yield the problems of single keys, section by section."""
    known = known_keys(plain)
    top = annotations_of(RunConfig)
    yield from check_section("", plain, top, set(top), known)
    for name, annotation in top.items():
        section = plain.get(name)
        if not isinstance(section, dict):
            continue
        if name in BUILT:
            model = plain.get("model")
            target = model.get("_target_") if isinstance(model, dict) else None
            takes = data_kind.class_attribute(target, "takes")
            yield from check_target(name, section, known, takes)
        elif dataclasses.is_dataclass(annotation):
            fields = annotations_of(annotation)
            yield from check_section(f"{name}.", section, fields, set(fields), known)
