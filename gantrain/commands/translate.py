"""gantrain translate: pictures of one domain become pictures of the other."""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import numpy as np
import torch

from gantrain.config.tools import TranslateConfig
from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import image_size
from gantrain.engine.signals import EXIT_STOPPED, Signals, handle_signals
from gantrain.errors import ConfigError
from gantrain.inference import image_io
from gantrain.inference import model as sampling
from gantrain.inference.inputs import TranslationTask, find_tasks
from gantrain.inference.model import Model
from gantrain.inference.tiled_translation import Bandable, translate_in_bands
from gantrain.inference.translation import input_channels
from gantrain.io.files import atomic_write, remove_leftovers
from gantrain.pages.gallery import write_gallery
from gantrain.tracking.console import progress_bar

RECORD = "translate.json"
Faults = dict[Path, str]


def main(config: TranslateConfig) -> None:
    """Translate what is not there yet, then say what could not be.

    Raises:
        ConfigError: a setting that does not fit the snapshot or the output folder.
        SystemExit: 1 when pictures were left out, 75 when stopped by a signal.
    """
    tasks = find_tasks(config.input, config.format == "same")
    model = sampling.load(config.run, config.device, config.precision, say=print)
    network = model.translator(config.direction)
    if config.tile and not isinstance(network, Bandable):
        raise ConfigError(
            f"tile={config.tile} works with resnets and U-Nets, and this is a "
            f"{type(network).__name__}: leave tile out."
        )
    output = Path(config.output)
    _claim(output, config, model)
    todo = [task for task in tasks if not (output / task.name).exists()]
    ready = f", {len(tasks) - len(todo)} of them ready" if len(todo) < len(tasks) else ""
    print(f"{len(tasks)} pictures{ready}; {model.file} on {model.precision.device}.")
    faults: Faults = {}
    channels = input_channels(network) or 3
    value_range = _value_range(config, model)
    with handle_signals() as signals, progress_bar(len(todo)) as advance:
        for portion in _portions(todo, config.batch, config.tile, faults):
            if signals.pop_request():
                break
            _translate(model, config, portion, channels, value_range, output, faults)
            advance(len(portion))
    _leave_if_stopped(signals)
    if config.gallery:
        shown = [task for task in tasks if task.source not in faults][: config.gallery]
        page = write_gallery(output, shown, model, config.direction, channels, value_range)
        print(f"Page: {page}")
    print(f"{len(tasks) - len(faults)} pictures in {output}")
    if faults:
        for source, why in faults.items():
            print(f"Left out: {source} {why}.", file=sys.stderr)
        raise SystemExit(1)


def _translate(
    model: Model,
    config: TranslateConfig,
    portion: list[TranslationTask],
    channels: int,
    value_range: tuple[float, float],
    output: Path,
    faults: Faults,
) -> None:
    """One portion of pictures of one size, from file to file."""
    tasks: list[tuple[TranslationTask, np.dtype]] = []
    images: list[torch.Tensor] = []
    for task in portion:
        try:
            found = image_io.read(task.source, channels, value_range)
            images.append(found.x)
            tasks.append((task, found.dtype))
            if found.note == "CMYK":
                told = f"Warning: {task.source} is in CMYK: its colours become RGB."
                print(told, file=sys.stderr)
        except ImageFault as fault:
            faults[task.source] = str(fault)
    if not tasks:
        return
    results = _through(model, config, images)
    for (task, dtype), result in zip(tasks, results, strict=True):
        try:
            image_io.write(output / task.name, result, dtype, value_range)
        except ImageFault as fault:
            faults[task.source] = str(fault)
        except OSError as error:
            raise ConfigError(
                f"{output / task.name} cannot be written ({error.strerror or error}): make room or "
                "give another output=. Repeated, the command goes on from here."
            ) from None


def _through(
    model: Model, config: TranslateConfig, images: list[torch.Tensor]
) -> Iterable[torch.Tensor]:
    """float [C, H, W] in [-1, 1], of one size -> float [C', H, W] on the CPU."""
    network, tile = model.translator(config.direction), config.tile
    if tile and isinstance(network, Bandable) and images[0][0].numel() > tile * tile:
        return (translate_in_bands(network, image, model.precision, tile) for image in images)
    return model.translate(torch.stack(images), config.direction)


def _value_range(config: TranslateConfig, model: Model) -> tuple[float, float]:
    """What floats in files become -1 and 1: as asked for, else as in training, else [0, 1]."""
    trained = model.meta.get("data", {})
    low, high = config.value_range or trained.get("value_range") or (0.0, 1.0)
    return float(low), float(high)


def _portions(
    tasks: list[TranslationTask], batch: int, tile: int | None, faults: Faults
) -> Iterator[list[TranslationTask]]:
    """Runs of pictures of one size, at most `batch` long, in order; large ones one by one."""

    def size(task: TranslationTask) -> tuple[int, int] | None:
        try:
            return image_size(task.source)
        except ImageFault as fault:
            faults[task.source] = str(fault)
            return None

    for shape, run in groupby(tasks, size):
        members = list(run)
        if shape is not None:
            size_of = batch if tile is None or shape[0] * shape[1] <= tile * tile else 1
            for i in range(0, len(members), size_of):
                yield members[i : i + size_of]


def _claim(output: Path, config: TranslateConfig, model: Model) -> None:
    """Make the folder, or see that it holds results of the same network and settings.

    Raises ConfigError when it holds anything else.
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
        if (output / RECORD).is_file():
            before = json.loads((output / RECORD).read_text("utf-8"))
            changed = [key for key in record if _told(before.get(key)) != _told(record[key])]
            if changed:
                raise ConfigError(
                    f"output={output} holds results of another {' and '.join(changed)}: give "
                    "another folder, or empty this one."
                )
        elif any(output.iterdir()):
            raise ConfigError(
                f"output={output} holds other files and is not touched: give a new or empty folder."
            )
        with atomic_write(output / RECORD) as file:
            file.write((json.dumps(record, indent=2) + "\n").encode())
    except (OSError, ValueError) as error:
        raise ConfigError(f"output={output} cannot be used ({error}); give another.") from None


def _told(value: object) -> object:
    """What makes a difference: the content of a snapshot, not where it lies."""
    return value.get("sha256") if isinstance(value, dict) else value


def _leave_if_stopped(signals: Signals) -> None:
    if signals.received and signals.pop_request():
        print(f"Stopped by {signals.received.name}; the same command goes on from here.")
        raise SystemExit(EXIT_STOPPED)
