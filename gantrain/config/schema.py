"""The config, checked as a whole and turned into plain typed values, before anything is imported.

`load(cfg)` looks at every key: sections of our own against the dataclasses below, sections with a
`_target_` against the constructor's signature (read from its source, `constructors`), then
combinations (`rules`). All problems are raised together in one ConfigError.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_type_hints

from gantrain.config import constructors, data_kind, rules, suggestions
from gantrain.config.annotations import explain_mismatch
from gantrain.errors import ConfigError, format_value
from gantrain.targets import is_allowed
from gantrain.types import Range

if TYPE_CHECKING:
    from omegaconf import DictConfig

Positive = Annotated[float, Range(0, open_low=True)]
NotNegative = Annotated[float, Range(0)]
Count = Annotated[int, Range(0)]
AtLeastOne = Annotated[int, Range(1)]


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


BUILT = {"model": ("images",), "data": ("seed",), "optimizer": ("params",)}  # filled in by build
BETWEEN_0_AND_1 = Range(0, 1, open_high=True)
BOUNDS: dict[str, dict[str, Range]] = {  # for constructors that annotate types without bounds
    "optimizer": {
        **dict.fromkeys(("lr", "eps"), Range(0, open_low=True)),
        **dict.fromkeys(("weight_decay", "lr_decay", "initial_accumulator_value"), Range(0)),
        **dict.fromkeys(("betas", "momentum", "rho"), BETWEEN_0_AND_1),
    },
    "data": {
        **dict.fromkeys(("resolution", "load_size", "max_images", "train_images"), Range(1)),
        **dict.fromkeys(("cache_gb", "test_images", "held_out"), Range(0)),
    },
}


def load(cfg: DictConfig, given: Iterable[str] | None = None) -> RunConfig:
    """Check a composed training config and return it as plain typed values.

    `given`: the keys the user typed (default: asked of Hydra); one that has no effect is named in
    the result's `warnings`. Raises ConfigError with every problem found.
    """
    plain = to_plain(cfg)
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
    typed = set(_given() if given is None else given)
    sections = {name: kind(**with_floats(kind, plain[name])) for name, kind in _sections().items()}
    warnings = [
        f"data.{key} has no effect: {why}."
        for key, why in useless.items()
        if f"data.{key}" in typed
    ]
    warnings += rules.warnings(plain, typed)
    return RunConfig(**{**plain, **sections}, warnings=tuple(warnings))


def to_plain(cfg: DictConfig) -> dict[str, Any]:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        plain = OmegaConf.to_container(cfg, resolve=True)
    except OmegaConfBaseException as error:
        where = f"{error.full_key}: " if error.full_key else ""
        raise ConfigError(f"{where}{str(error).splitlines()[0]}.") from None
    assert isinstance(plain, dict)
    for key in (
        "name",
        "out",
        "resume",
        "init_from",
        "objective",
    ):  # name=7 is a name, not a number
        if isinstance(plain.get(key), (int, float)):
            plain[key] = str(plain[key])
    return {str(key): value for key, value in plain.items()}


def _given() -> list[str]:
    from hydra.core.hydra_config import HydraConfig

    if not HydraConfig.initialized():
        return []
    return [text.lstrip("+").split("=")[0] for text in HydraConfig.get().overrides.task]


def _sections() -> dict[str, Any]:
    hints: dict[str, Any] = get_type_hints(RunConfig)
    return {name: kind for name, kind in hints.items() if dataclasses.is_dataclass(kind)}


def missing_values(node: Any, prefix: str = "") -> Iterator[str]:
    for key, value in node.items() if isinstance(node, dict) else ():
        if value == "???":
            yield f"{prefix}{key} has no value: add {prefix}{key}=... to the command."
        yield from missing_values(value, f"{prefix}{key}.")


def known_keys(plain: dict[str, Any]) -> list[str]:
    """Every dotted key that a config with these `_target_`s may hold, sections included."""
    keys: list[str] = []
    for name, annotation in annotations_of(RunConfig).items():
        section = annotations_of(annotation) if dataclasses.is_dataclass(annotation) else {}
        if name in BUILT and isinstance(plain.get(name), dict):
            section = _parameters(name, plain[name]) or {}
        keys += [name, *(f"{name}.{key}" for key in section)]
    return keys


def annotations_of(kind: Any) -> dict[str, Any]:
    """Annotations of a section, bounds included."""
    hints = get_type_hints(kind, include_extras=True)
    hints.pop("warnings", None)
    return hints


def _parameters(name: str, section: dict[str, Any]) -> dict[str, Any] | None:
    """Annotations of what the section's constructor takes from a config; None: anything."""
    target = section.get("_target_")
    if not isinstance(target, str) or not is_allowed(target):
        return {}
    try:
        found = constructors.read_signature(target)
    except ConfigError:
        return {}
    if found.open:
        return None
    return {key: p.annotation for key, p in found.parameters.items() if key not in BUILT[name]}


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


def check_section(
    prefix: str,
    section: dict[str, Any],
    fields: dict[str, Any],
    required: set[str],
    known: list[str],
) -> Iterator[str]:
    for key in sorted(required - section.keys()):
        yield f"{prefix}{key} is missing: add {prefix}{key}=... to the command."
    for key, value in section.items():
        if key not in fields:
            yield suggestions.unknown_key(f"{prefix}{key}", value, known)
        elif dataclasses.is_dataclass(fields[key]) or (not prefix and key in BUILT):
            if not isinstance(value, dict):
                yield _not_a_section(key, value, known)
        elif value != "???" and (problem := explain_mismatch(f"{prefix}{key}", value, fields[key])):
            yield problem


def _not_a_section(key: str, value: Any, known: list[str]) -> str:
    meant = suggestions.ALIASES.get(key)
    inside = [name for name in known if name.startswith(f"{key}.")]
    hint = f"Did you mean {meant}={format_value(value)}?" if meant in known else ""
    return (
        f"{key}={format_value(value)}: {key} is a section. {hint or 'Keys: ' + ', '.join(inside)}"
    )


def check_target(name: str, section: dict[str, Any], known: list[str]) -> Iterator[str]:
    """A section whose `_target_` names a constructor of ours, of torch.optim or of a plugin."""
    target = section.get("_target_")
    if not isinstance(target, str) or not is_allowed(target):
        yield (
            f"{name}._target_={format_value(target)} is not allowed: it must begin with gantrain., "
            "torch.optim. or a package named in the environment variable GANTRAIN_PLUGINS."
        )
        return
    try:
        found = constructors.read_signature(target)
    except ConfigError as error:
        yield f"{name}.{error}"
        return
    own = {key: p for key, p in found.parameters.items() if key not in BUILT[name]}
    bounds = BOUNDS.get(name, {})
    fields = {key: _bounded(p.annotation, bounds.get(key)) for key, p in own.items()}
    rest = {key: value for key, value in section.items() if key != "_target_"}
    if found.open:
        fields = {**dict.fromkeys(rest, Any), **fields}
    required = {key for key, parameter in own.items() if parameter.required}
    yield from check_section(f"{name}.", rest, fields, required, known)
    yield from _nested_targets(f"{name}.", rest)


def _bounded(annotation: Any, bound: Range | None) -> Any:
    return annotation if bound is None else Annotated[annotation, bound]


def _nested_targets(prefix: str, node: Any) -> Iterator[str]:
    """A `_target_` further down would be refused by build: say so now."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, value in items:
        if isinstance(value, (dict, list)):
            yield from _nested_targets(f"{prefix}{key}.", value)
        elif key == "_target_" and not (isinstance(value, str) and is_allowed(value)):
            yield f"{prefix}_target_={format_value(value)} is not allowed (see GANTRAIN_PLUGINS)."


def with_floats(kind: type, section: dict[str, Any]) -> dict[str, Any]:
    """The section with whole numbers made floats where the field is a float."""
    hints = get_type_hints(kind)
    return {
        key: float(value)
        if type(value) is int and float in (hints[key], *get_args(hints[key]))
        else value
        for key, value in section.items()
    }
