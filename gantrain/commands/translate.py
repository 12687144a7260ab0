"""gantrain translate: translate images from one domain to the other."""

import hashlib
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from gantrain.config.tools import TranslateConfig
from gantrain.data.bit_depth import ImageFault
from gantrain.data.claims import MAIN_VIEW
from gantrain.data.decode import image_size
from gantrain.engine.signals import EXIT_STOPPED, Signals, handle_signals
from gantrain.errors import ConfigError
from gantrain.inference import image_io
from gantrain.inference.inputs import TranslationTask, find_tasks
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.tiled_translation import Bandable, translate_in_bands
from gantrain.inference.translation import input_channels
from gantrain.io.files import remove_leftovers, write_json
from gantrain.io.plain_files import load_json
from gantrain.pages.gallery import write_gallery
from gantrain.tracking.console import progress_bar

RECORD_FILE = "translate.json"
Faults = dict[Path, str]  # input file -> why it was skipped

_NOTES = {
    "CMYK": "is in CMYK: its colours are converted to RGB",
    MAIN_VIEW: "also holds other views: only the main one is translated",
}


def main(config: TranslateConfig) -> None:
    """Translate the images that are not in the output folder yet, and report those skipped.

    Raises:
        ConfigError: a setting does not fit the snapshot or the output folder.
        SystemExit: 1 if images were skipped, 75 if a signal stopped it.
    """
    tasks = find_tasks(config.input, config.format == "same")
    model = load_model(config.run, config.device, config.precision, say=print)
    network = model.translator(config.direction)
    if config.tile and not isinstance(network, Bandable):
        raise ConfigError(
            f"tile={config.tile} works with resnets and U-Nets only, and this is a "
            f"{type(network).__name__}: remove tile."
        )
    output = Path(config.output)
    _prepare_output(output, config, model)
    missing = [task for task in tasks if not (output / task.name).exists()]
    done = f", {len(tasks) - len(missing)} of them done" if len(missing) < len(tasks) else ""
    print(f"{len(tasks)} images{done}; {model.file} on {model.precision.device}.")
    faults: Faults = {}
    channels = input_channels(network) or 3
    value_range = _value_range(config, model)
    with handle_signals() as signals, progress_bar(len(missing)) as advance:
        for batch in _batches(missing, config.batch, config.tile, faults):
            if signals.pop_request():
                break
            _translate_batch(model, config, batch, channels, value_range, output, faults)
            advance(len(batch))
    _exit_if_stopped(signals)
    if config.gallery:
        translated = [task for task in tasks if task.source not in faults][: config.gallery]
        page = write_gallery(output, translated, model, config.direction, channels, value_range)
        print(f"Page: {page}")
    print(f"{len(tasks) - len(faults)} images in {output}")
    if faults:
        for source, reason in faults.items():
            print(f"Skipped: {source} {reason}.", file=sys.stderr)
        raise SystemExit(1)


def _translate_batch(
    model: Model,
    config: TranslateConfig,
    batch: list[TranslationTask],
    channels: int,
    value_range: tuple[float, float],
    output: Path,
    faults: Faults,
) -> None:
    """Translate images of the same size, from file to file."""
    tasks: list[tuple[TranslationTask, np.dtype]] = []
    images: list[torch.Tensor] = []
    for task in batch:
        try:
            loaded = image_io.read(task.source, channels, value_range)
            images.append(loaded.x)
            tasks.append((task, loaded.dtype))
            if loaded.note:
                print(f"Warning: {task.source} {_NOTES[loaded.note]}.", file=sys.stderr)
        except ImageFault as fault:
            faults[task.source] = str(fault)
    if not tasks:
        return
    results = _translate_images(model, config, images)
    for (task, dtype), result in zip(tasks, results, strict=True):
        try:
            image_io.write(output / task.name, result, dtype, value_range)
        except ImageFault as fault:
            faults[task.source] = str(fault)
        except OSError as error:
            raise ConfigError(
                f"{output / task.name} cannot be written ({error.strerror or error}): make room or "
                "give another output=. To resume, repeat the command."
            ) from None


def _translate_images(
    model: Model, config: TranslateConfig, images: list[torch.Tensor]
) -> Iterable[torch.Tensor]:
    """Translate images of the same size, float [C, H, W] in [-1, 1].

    Returns:
        float [C', H, W] in [-1, 1] on the CPU.
    """
    network, tile = model.translator(config.direction), config.tile
    if tile and isinstance(network, Bandable) and images[0][0].numel() > tile * tile:
        return (translate_in_bands(network, image, model.precision, tile) for image in images)
    return model.translate(torch.stack(images), config.direction)


def _value_range(config: TranslateConfig, model: Model) -> tuple[float, float]:
    """Return the floats that map to -1 and 1: as set, else as in training, else [0, 1]."""
    training_data = model.meta.get("data", {})
    low, high = config.value_range or training_data.get("value_range") or (0.0, 1.0)
    return float(low), float(high)


def _batches(
    tasks: list[TranslationTask], batch: int, tile: int | None, faults: Faults
) -> Iterator[list[TranslationTask]]:
    """Yield up to `batch` successive images of the same size; large ones one at a time."""

    def size(task: TranslationTask) -> tuple[int, int] | None:
        try:
            return image_size(task.source)
        except ImageFault as fault:
            faults[task.source] = str(fault)
            return None

    for shape, group in groupby(tasks, size):
        members = list(group)
        if shape is not None:
            is_large = tile is not None and shape[0] * shape[1] > tile * tile
            count = 1 if is_large else batch
            for i in range(0, len(members), count):
                yield members[i : i + count]


def _prepare_output(output: Path, config: TranslateConfig, model: Model) -> None:
    """Create the output folder, or check that it belongs to the same network and settings.

    Raises:
        ConfigError: it holds anything else.
    """
    digest = hashlib.sha256(model.file.read_bytes()).hexdigest()
    record = {
        "snapshot": {"file": str(model.file), "sha256": digest},
        "direction": config.direction,
        "format": config.format,
        "precision": config.precision,
        "value_range": list(_value_range(config, model)),
    }
    try:
        output.mkdir(parents=True, exist_ok=True)
        for folder in [output, *(path for path in output.rglob("*") if path.is_dir())]:
            remove_leftovers(folder)
        if (output / RECORD_FILE).is_file():
            before = load_json(output / RECORD_FILE)
            if not isinstance(before, dict):
                raise ValueError(f"{RECORD_FILE} is damaged")
            changed = [
                key for key in record if _identity(before.get(key)) != _identity(record[key])
            ]
            if changed:
                raise ConfigError(
                    f"output={output} holds results of another {' and '.join(changed)}: give "
                    "another folder, or empty this one."
                )
        elif any(output.iterdir()):
            raise ConfigError(
                f"output={output} holds other files and is left alone: give a new or empty folder."
            )
        write_json(output / RECORD_FILE, record)
    except (OSError, ValueError) as error:
        raise ConfigError(f"output={output} cannot be used ({error}): give another.") from None


def _identity(value: object) -> object:
    """Return what identifies a recorded value: of a snapshot, its content rather than its path."""
    return value.get("sha256") if isinstance(value, dict) else value


def _exit_if_stopped(signals: Signals) -> None:
    if signals.received and signals.pop_request():
        print(f"Stopped by {signals.received.name}. To resume, repeat the command.")
        raise SystemExit(EXIT_STOPPED)
