"""gantrain directions: directions in w that change images in one way."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.config.check import plain_settings
from gantrain.config.directions import DirectionsConfig
from gantrain.errors import ConfigError, counted
from gantrain.inference import directions, latent_sources
from gantrain.inference.attribution import Attribution, attribute
from gantrain.inference.directions import IMAGES, SAMPLES, Sampling
from gantrain.inference.editing import Directions, edit
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.projection import explain_unlike_lpips
from gantrain.inference.seeds import read_numbers
from gantrain.io.download import digest
from gantrain.io.files import write_json
from gantrain.metrics import weights
from gantrain.metrics.extractor import load_lpips
from gantrain.tracking.console import progress_bar
from gantrain.tracking.grids import compose_grid, save_png, thumbnails

FILE, RECORD, SHEET = "directions.npz", "directions.json", "grid.png"
PAIRS = 64  # of images whose layers are exchanged
STRENGTHS = (-3, -2, -1, 0, 1, 2, 3)  # of the sheet
MAX_SHOWN = 16  # directions on the sheet


def main(config: DirectionsConfig) -> None:
    """Write directions or an attribution, a record and a sheet.

    Raises:
        ConfigError: a setting does not fit the snapshot, or a file cannot be used.
    """
    model = load_model(config.run, config.device, config.precision, say=print)
    if problems := list(explain_problems(config, model)):
        raise ConfigError(*problems)
    print(f"{model.algorithm} from {model.file}, on {model.precision.device}.")
    if config.method == "layers":
        _write_attribution(config, model)
    else:
        _write_directions(config, model)


def explain_problems(config: DirectionsConfig, model: Model) -> Iterator[str]:
    """Yield sentences about settings that do not fit the snapshot.

    Raises:
        ConfigError: the snapshot has no generator of latents.
    """
    assert model.generator is not None
    if problems := model.explain_missing_w("directions"):
        yield from problems
        return
    style, layers = model.style, _layers(config)
    if layers and max(layers) >= style.num_ws:
        yield (
            f"layers goes up to {max(layers)}, but this generator has the layers 0 to "
            f"{style.num_ws - 1}."
        )
    samples = config.samples or SAMPLES
    if config.method == "pca":
        yield from directions.explain_count(config.count, style.w_dim, samples)
    if config.method == "sefa":
        yield from directions.explain_count(config.count, style.w_dim)
    if config.method == "labels" and not config.examples:
        kind = (model.labels or {}).get("kind")
        if not model.label_dim or kind == "float":
            yield (
                "method=labels needs a generator with classes, or two folders of examples: "
                "examples=[DIR_A,DIR_B]."
            )
    if config.examples:
        yield from explain_unlike_lpips(model, "method=labels with examples")
    try:
        model.label_batch([0], config.class_)
    except ConfigError as error:
        yield from error.problems


def _layers(config: DirectionsConfig) -> list[int] | None:
    return None if config.layers is None else read_numbers("layers", config.layers)


def _write_directions(config: DirectionsConfig, model: Model) -> None:
    found, numbers = _find(config, model)
    folder = _folder(config)
    found.save(folder / FILE)
    for i, name in enumerate(found.names):
        print(f"{i:3}  {name:20}  {_quality(found, i)}  scale {float(found.scale[i]):.3g}")
    rows = [
        {"name": name, "scale": float(found.scale[i])}
        | {quality: float(values[i]) for quality, values in found.quality.items()}
        for i, name in enumerate(found.names)
    ]
    _record(config, model, {"directions": rows, **numbers})
    _write_sheet(config, model, found)
    shown = "them" if len(found) <= MAX_SHOWN else f"the first {MAX_SHOWN}"
    print(
        f"{counted(len(found), 'direction')} in {folder / FILE}; {folder / SHEET} shows {shown}. "
        "Next:"
    )
    print(
        f"  gantrain generate run={model.file} seeds=0-7 edit.direction={folder / FILE}:0 "
        "edit.strength=2"
    )


def _find(config: DirectionsConfig, model: Model) -> tuple[Directions, dict[str, float]]:
    """Return directions, and numbers that go into the record."""
    samples = config.samples or (IMAGES if config.examples else SAMPLES)
    sampling = Sampling(samples, config.class_, _layers(config))
    if config.method == "pca":
        return directions.find_pca(model, config.count, sampling), {}
    if config.method == "sefa":
        return directions.find_sefa(model, config.count, sampling), {}
    if config.method == "labels" and config.examples is None:
        return directions.find_labels(model, sampling, print), {}
    if config.method == "labels":
        return _between_examples(config, model, sampling)
    assert config.before is not None and config.after is not None
    before = latent_sources.read_w(model, Path(config.before), "before")
    after = latent_sources.read_w(model, Path(config.after), "after")
    if len(before) != len(after):
        raise ConfigError(
            f"before={config.before} has {counted(len(before), 'latent')} and "
            f"after={config.after} {len(after)}: they must be of the same images, in the same "
            "order."
        )
    return directions.find_pairs(model, before, after, sampling), {"pairs": len(before)}


def _between_examples(
    config: DirectionsConfig, model: Model, sampling: Sampling
) -> tuple[Directions, dict[str, float]]:
    """Return the direction between two folders, and the accuracy of their classifier."""
    assert config.examples is not None
    images = latent_sources.read_examples(model, config.examples)
    file = weights.find("lpips", config.weights.lpips, print)
    lpips = load_lpips(file, model.precision.device)
    first, second = (Path(folder).resolve().name for folder in config.examples)
    with progress_bar(sampling.samples) as advance:
        found, accuracy = directions.find_between_examples(
            model, lpips, images, (first, second), sampling, config.batch, advance
        )
    print(f"Examples held out are told apart with an accuracy of {accuracy:.2f} (guessing: 0.5).")
    return found, {"accuracy_of_examples": accuracy}


def _quality(found: Directions, i: int) -> str:
    texts = {
        "explained": "explains {:.1%}",
        "accuracy": "accuracy {:.3f} (held out; guessing: 0.5)",
        "consistency": "mean cosine between pairs {:.3f}",
    }
    return ", ".join(texts[name].format(float(x[i])) for name, x in found.quality.items())


@torch.no_grad()
def _write_sheet(config: DirectionsConfig, model: Model, found: Directions) -> None:
    """Show directions in rows and strengths in columns, one row for each seed."""
    seeds, ws = _sheet_ws(config, model)
    rows: list[str] = []
    columns: dict[str, list[Tensor]] = {
        f"{strength:+d}" if strength else "0": [] for strength in STRENGTHS
    }
    for i, name in enumerate(found.names[:MAX_SHOWN]):
        rows += [f"{i}: {name}, seed {seed}" for seed in seeds]
        for strength, images in zip(STRENGTHS, columns.values(), strict=True):
            moved = edit(ws, found.pick(i), strength)
            for part in moved.split(config.batch):  # the stored noise needs no seeds
                images.append(thumbnails(model.synthesize(part, "const", [0] * len(part))))
    _save_sheet(config, model, {name: torch.cat(images) for name, images in columns.items()}, rows)


def _sheet_ws(config: DirectionsConfig, model: Model) -> tuple[list[int], Tensor]:
    seeds = read_numbers("seeds", config.seeds)
    return seeds, model.latent_inputs(seeds, model.label_batch(seeds, config.class_))


def _save_sheet(
    config: DirectionsConfig, model: Model, columns: dict[str, Tensor], rows: list[str]
) -> None:
    show = model.meta.get("data", {}).get("show")
    save_png(Path(config.output) / SHEET, compose_grid(columns, rows, show))


@torch.no_grad()
def _write_attribution(config: DirectionsConfig, model: Model) -> None:
    """Exchange layers: the numbers go into the record, and the first images onto the sheet."""
    count = config.samples or PAIRS
    first = list(dict.fromkeys(read_numbers("seeds", config.seeds)))
    # The sheet's seeds come first; no seed is among the partners too.
    further = [seed for seed in range(2 * count + len(first)) if seed not in set(first)]
    seeds = (first + further)[:count]
    partners = [seed for seed in further if seed not in set(seeds)][:count]
    labels = model.label_batch(seeds, config.class_)
    ws, others = (model.latent_inputs(numbers, labels) for numbers in (seeds, partners))
    shown = min(len(first), count)
    with progress_bar(count * (1 + model.style.num_ws)) as advance:
        result = attribute(model, ws, others, shown, config.batch, advance)
    folder = _folder(config)
    for layer, change in enumerate(result.change.tolist()):
        print(f"layer {layer:2}  changes pixels by {change:.4f} (root mean square, of [-1, 1])")
    _record(config, model, {"change": result.change.tolist(), "pairs": count})
    _show_attribution(config, model, result, seeds[:shown])
    print(f"The numbers are in {folder / RECORD}; {folder / SHEET} shows {shown} of {count} pairs.")


def _show_attribution(
    config: DirectionsConfig, model: Model, result: Attribution, seeds: list[int]
) -> None:
    """Show layers in rows, and for each seed the image, the exchanged one and the difference."""
    columns: dict[str, Tensor] = {}
    for i, seed in enumerate(seeds):
        image, changed = result.images[i : i + 1], result.exchanged[:, i]
        columns[f"seed {seed}"] = image.expand_as(changed)
        columns[f"exchanged {seed}"] = changed
        columns[f"|difference| {seed}"] = (changed - image).abs() - 1  # black: none
    rows = [f"layer {i}: {change:.4f}" for i, change in enumerate(result.change.tolist())]
    _save_sheet(config, model, columns, rows)


def _folder(config: DirectionsConfig) -> Path:
    """Create and return the folder of the results."""
    folder = Path(config.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"output={folder} cannot be created ({error.strerror}): give another."
        ) from None
    return folder


def _record(config: DirectionsConfig, model: Model, results: dict[str, Any]) -> None:
    snapshot = {"file": str(model.file), "sha256": digest(model.file, "sha256")}
    content = {"settings": plain_settings(config), "snapshot": snapshot, **results}
    write_json(Path(config.output) / RECORD, content)
