"""The configs of `gantrain generate` and `compare`, checked before torch is imported."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from gantrain.config import rules, schema
from gantrain.config.annotations import accepts
from gantrain.config.schema import AtLeastOne, Count
from gantrain.errors import ConfigError, format_value
from gantrain.inference.seeds import LARGEST_SEED, read_numbers
from gantrain.types import Range

if TYPE_CHECKING:
    from omegaconf import DictConfig

Numbers = int | str | list[int | str]
DEFAULT_SEEDS = "0-31"
MOST_LAYERS = 99


@dataclass(frozen=True)
class StyleMixing:
    """A table of mixes. `columns` None: none; `rows` None: those of `images` or `w`; `layers` None:
    the lower half."""

    rows: Numbers | None
    columns: Numbers | None
    layers: Numbers | None


@dataclass(frozen=True)
class Interpolation:
    """A video. `frames` 0: none; `fps` in frames per second."""

    frames: Count
    fps: Annotated[float, Range(0, 240, open_low=True)]
    format: Literal["webp", "gif", "mp4"]
    loop: bool


@dataclass(frozen=True)
class GenerateConfig:
    """A checked config; `class_` is the key `class`. At most one of seeds, images and w is set."""

    run: str
    out: str | None
    seeds: Numbers | None
    class_: int | float | str | list[float] | list[str] | None
    truncation_psi: Annotated[float, Range(-2, 2)]
    truncation_cutoff: AtLeastOne | None
    images: str | None
    w: str | None
    style_mixing: StyleMixing
    interpolation: Interpolation
    noise: Literal["const", "random", "none"]
    grid: bool
    save_w: bool
    device: str
    precision: Literal["fp32", "tf32", "bf16"]
    batch: AtLeastOne


SECTIONS = {"style_mixing": StyleMixing, "interpolation": Interpolation}
PATHS = ("run", "out", "images", "w")


def load_generate(cfg: DictConfig) -> GenerateConfig:
    """Check a composed config of `generate` and return it as plain typed values.

    Raises ConfigError with every problem found: keys, values, combinations, files that are not
    there, packages that are not installed.
    """
    plain = schema.to_plain(cfg)
    for key in PATHS:  # run=7 is a name, not a number
        if isinstance(plain.get(key), (int, float)):
            plain[key] = str(plain[key])
    problems = [*schema.missing_values(plain), *_check(plain)]
    if not problems:
        problems = [*_combinations(plain), *_surroundings(plain)]
    if problems:
        raise ConfigError(*problems)
    sections = {
        name: kind(**schema.with_floats(kind, plain[name])) for name, kind in SECTIONS.items()
    }
    rest = {key: value for key, value in plain.items() if key not in ("class", *SECTIONS)}
    psi = float(rest.pop("truncation_psi"))
    return GenerateConfig(**rest, **sections, class_=plain["class"], truncation_psi=psi)


def plain(config: GenerateConfig) -> dict[str, Any]:
    """The config as it is typed: nested plain values, `class` by its own name."""
    return {key.rstrip("_"): value for key, value in dataclasses.asdict(config).items()}


def _check(plain: dict[str, Any]) -> Iterator[str]:
    """Every key on its own."""
    top = {key.rstrip("_"): kind for key, kind in schema.annotations_of(GenerateConfig).items()}
    inside = {name: schema.annotations_of(kind) for name, kind in SECTIONS.items()}
    known = [*top, *(f"{name}.{key}" for name, keys in inside.items() for key in keys)]
    yield from schema.check_section("", plain, top, set(top), known)
    yield from _numbers_problems("seeds", plain.get("seeds"), LARGEST_SEED)
    for name, fields in inside.items():
        if not isinstance(section := plain.get(name), dict):
            continue
        yield from schema.check_section(f"{name}.", section, fields, set(fields), known)
        for key in {"rows", "columns"} & section.keys():
            yield from _numbers_problems(f"{name}.{key}", section[key], LARGEST_SEED)
        yield from _numbers_problems(f"{name}.layers", section.get("layers"), MOST_LAYERS)


def _numbers_problems(key: str, value: Any, largest: int) -> tuple[str, ...]:
    if not accepts(value, Numbers):  # None, or told of already
        return ()
    try:
        read_numbers(key, value, largest)
    except ConfigError as error:
        return error.problems
    return ()


def _combinations(plain: dict[str, Any]) -> Iterator[str]:
    """Settings that exclude each other, or would do nothing."""
    mixing, video = plain["style_mixing"], plain["interpolation"]["frames"] > 0
    rows, columns = mixing["rows"], mixing["columns"]
    sources = [key for key in ("seeds", "images", "w") if plain[key] is not None]
    given = [key for key in sources if key != "seeds"]
    if len(sources) > 1:
        yield f"{' and '.join(sources)} are given: pictures come from one of them, leave one out."
    if rows is not None and given:
        yield f"style_mixing.rows and {given[0]} are given: the rows come from one of them."
    if columns is None and rows is not None:
        yield "style_mixing.rows needs style_mixing.columns, the seeds whose layers are mixed in."
    if columns is not None and rows is None and not given:
        yield "style_mixing.columns needs style_mixing.rows, the seeds of the rows (or images, w)."
    if columns is not None and plain["seeds"] is not None:
        yield "seeds is given beside style_mixing: its rows and columns are seeds, leave seeds out."
    if columns is not None and video:
        yield "style_mixing and interpolation are given: make the table and the video one by one."
    if given and columns is None:
        for key, idle in (("class", None), ("truncation_psi", 1), ("truncation_cutoff", None)):
            if plain[key] != idle:
                yield (
                    f"{key}={format_value(plain[key])} acts on pictures made from seeds, and "
                    f"{given[0]} gives ready points w: leave {key} out."
                )


def _surroundings(plain: dict[str, Any]) -> Iterator[str]:
    """What the machine must have: files, an empty folder, a video encoder, the device."""
    out = plain["out"] and Path(plain["out"])
    yield from run_problems(plain["run"])
    for key in ("images", "w"):
        if plain[key] is not None and not Path(plain[key]).exists():
            yield f"{key}={plain[key]}: there is no such file{' or folder' * (key == 'images')}."
    if out and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        yield f"out={out} is there already and is not overwritten: give a new or an empty folder."
    video = plain["interpolation"]
    if video["frames"] and video["format"] == "mp4" and not _installed("imageio_ffmpeg"):
        yield (
            "interpolation.format=mp4 needs a video encoder: pip install 'gantrain[video]', or "
            "take interpolation.format=webp."
        )
    yield from device_problems(plain)


def run_problems(path: str) -> Iterator[str]:
    run = Path(path)
    if not run.exists():
        yield f"run={run}: there is no such run directory or snapshot file."
    elif run.is_dir() and not list((run / "snapshots").glob("snapshot-*.pt")):
        yield f"run={run} has no snapshots (snapshots/snapshot-*.pt): is it a run directory?"


def device_problems(plain: dict[str, Any]) -> Iterator[str]:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", plain["device"]):
        yield f"device={plain['device']} is not a device: give auto, cpu, cuda, cuda:N or mps."
    elif plain["precision"] == "tf32" and plain["device"] in ("cpu", "mps"):
        yield f"precision=tf32 is for NVIDIA GPUs and device={plain['device']}: take fp32."


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


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


def load_translate(cfg: DictConfig) -> TranslateConfig:
    """Raises ConfigError with every problem found; the pictures themselves are not looked at."""
    plain = as_texts(schema.to_plain(cfg), "run", "output")
    given = plain.get("input")
    if given != "???" and isinstance(given, (str, int, float)):
        plain["input"] = [str(given)]
    problems = simple_problems(TranslateConfig, plain)
    limits = plain.get("value_range")
    if not problems and limits is not None and (len(limits) != 2 or not limits[0] < limits[1]):
        problems = [
            f"value_range={format_value(limits)} is no range: give [lowest,highest], as [0,1]."
        ]
    if not problems:
        problems = [*run_problems(plain["run"]), *device_problems(plain)]
    if problems:
        raise ConfigError(*problems)
    return TranslateConfig(**plain)


@dataclass(frozen=True)
class ImportConfig:
    """A checked config: files and folders of weights, and the run directory to be made."""

    source: list[str]
    name: str
    out: str


@dataclass(frozen=True)
class ExportConfig:
    """A checked config: a snapshot, and where its generators go."""

    run: str
    output: str
    format: Literal["pth", "safetensors", "onnx"]
    truncation_psi: Annotated[float, Range(-2, 2)]


def load_import(cfg: DictConfig) -> ImportConfig:
    """Raises ConfigError with every problem found; the files are not looked at."""
    plain = as_texts(schema.to_plain(cfg), "name", "out")
    if isinstance(plain.get("source"), (str, int, float)) and plain["source"] != "???":
        plain["source"] = [str(plain["source"])]
    problems = simple_problems(ImportConfig, plain)
    if not problems:
        problems = list(rules.name_problems(plain))
        if (path := Path(plain["out"]) / plain["name"]).exists() and any(path.iterdir()):
            problems.append(f"{path} is there already: give another name=.")
    if problems:
        raise ConfigError(*problems)
    return ImportConfig(**plain)


def load_export(cfg: DictConfig) -> ExportConfig:
    """Raises ConfigError with every problem found."""
    plain = as_texts(schema.to_plain(cfg), "run", "output")
    problems = simple_problems(ExportConfig, plain) or list(run_problems(plain["run"]))
    if not problems and plain["format"] == "safetensors" and not _installed("safetensors"):
        problems = ["format=safetensors needs a package more: pip install 'gantrain[safetensors]'."]
    onnx = plain.get("format") == "onnx"
    if not problems and onnx and not (_installed("onnx") and _installed("onnxscript")):
        problems = ["format=onnx needs more packages: pip install 'gantrain[onnx]'."]
    if not problems and plain["truncation_psi"] != 1 and not onnx:
        problems = ["truncation_psi is for format=onnx; weights are written as they are."]
    if problems:
        raise ConfigError(*problems)
    return ExportConfig(**plain)


def simple_problems(kind: type, plain: dict[str, Any]) -> list[str]:
    """Of a config without sections: values that are missing, unknown or of the wrong kind."""
    fields = schema.annotations_of(kind)
    found = [*schema.missing_values(plain)]
    return found + list(schema.check_section("", plain, fields, set(fields), list(fields)))


def as_texts(plain: dict[str, Any], *keys: str) -> dict[str, Any]:
    """name=7 is a name, not a number."""
    for key in keys:
        if isinstance(plain.get(key), (int, float)):
            plain[key] = str(plain[key])
    return plain


@dataclass(frozen=True)
class CompareConfig:
    """A checked config: folders of sweeps and runs, and what is shown of them."""

    runs: list[str]
    metrics: list[str] | None
    sort: str | None
    csv: str | None
    html: str | None
    force: bool


def load_compare(cfg: DictConfig) -> CompareConfig:
    """Raises ConfigError with every problem found."""
    plain = schema.to_plain(cfg)
    for key in ("runs", "metrics"):
        if isinstance(plain.get(key), (str, int, float)) and plain[key] != "???":
            plain[key] = [str(plain[key])]
        elif isinstance(plain.get(key), list):
            plain[key] = [str(item) for item in plain[key]]
    if plain.get("runs") == "???":
        raise ConfigError(
            "gantrain compare needs the folders of sweeps or runs after it, as "
            f"gantrain compare sweeps/NAME.{_sweeps_here()}"
        )
    fields = schema.annotations_of(CompareConfig)
    problems = list(schema.check_section("", plain, fields, set(fields), list(fields)))
    if problems:
        raise ConfigError(*problems)
    return CompareConfig(**plain)


def _sweeps_here() -> str:
    found = sorted(file.parent for file in Path().glob("sweeps/*/sweep.json"))
    return f" There are: {', '.join(map(str, found[:10]))}." if found else ""
