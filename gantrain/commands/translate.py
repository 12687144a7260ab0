"""gantrain translate: translate images from one domain to the other."""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gantrain.config.tools import TranslateConfig
from gantrain.data.bit_depth import Depth, ImageFault
from gantrain.data.claims import MAIN_VIEW
from gantrain.data.decode import (
    colour_profile,
    geotags,
    has_geotags,
    holds_bands,
    holds_numbers,
    image_size,
    lift_size_limit,
)
from gantrain.data.encode import Extras, profile_fits
from gantrain.data.pixel_settings import check_window
from gantrain.data.tiff import is_tiff_name
from gantrain.data.views import PLAIN, AnyFile, Formats
from gantrain.engine import memory
from gantrain.engine.signals import EXIT_STOPPED, Signals, handle_signals
from gantrain.errors import ConfigError, RunError, counted
from gantrain.inference import image_io
from gantrain.inference.image_io import RunPixels, run_formats, run_pixels
from gantrain.inference.inputs import TranslationTask, find_tasks
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.results import ResultFolder
from gantrain.inference.tiled_translation import Bandable, translate_in_bands
from gantrain.inference.translation import input_channels, output_channels
from gantrain.pages.gallery import write_gallery
from gantrain.tracking.console import progress_bar

Faults = dict[AnyFile, str]  # input file -> why it was skipped
_KEYS = re.compile(r"\bdata\.(pages|array_layout|array_name|slices|window|value_range)\b")

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
    model = load_model(config.run, config.device, config.precision, say=print)
    network = model.translator(config.direction)
    if config.tile and not isinstance(network, Bandable):
        raise ConfigError(
            f"tile={config.tile} works with resnets and U-Nets only, and this is a "
            f"{type(network).__name__}: remove tile."
        )
    output = Path(config.output)
    job = _make_job(config, model, network)
    suffix_of = None if config.format == "same" else job.suffix
    tasks, left_out = find_tasks(config.input, suffix_of, output, job.formats, job.source.stacked)
    folder = ResultFolder(output, _settings(config, model, job))
    missing = [task for task in tasks if not folder.has(task)]
    done = f", {len(tasks) - len(missing)} of them done" if len(missing) < len(tasks) else ""
    print(f"{counted(len(tasks), 'image')}{done}; {model.file} on {model.precision.device}.")
    if left_out:
        results = counted(len(left_out), "result")
        print(f"Left out: {results} of gantrain translate, such as {left_out[0]}.")
    if others := folder.others(tasks):
        print(f"{output} also holds {counted(others, 'result')} of other inputs.")
    faults: Faults = {}
    if config.tile:
        lift_size_limit()
    with handle_signals() as signals, progress_bar(len(missing)) as advance:
        for batch in _batches(missing, config.batch, config.tile, faults):
            if signals.pop_request():
                break
            _translate_batch(model, config, batch, job, folder, faults)
            advance(len(batch))
    _exit_if_stopped(signals)
    _report_losses([task for task in missing if task.source not in faults], job)
    if config.gallery:
        translated = [task for task in tasks if task.source not in faults][: config.gallery]
        direction = model.choose_direction(config.direction)
        page = write_gallery(output, translated, model, direction, job.source, job.target)
        print(f"Page: {page}")
    print(f"{counted(len(tasks) - len(faults), 'image')} in {output}")
    if faults:
        for source, reason in faults.items():
            own = _KEYS.sub(r"\1", reason)  # the settings of a data set that this command has, too
            print(f"Skipped: {source} {own}.", file=sys.stderr)
        raise SystemExit(1)


@dataclass(frozen=True)
class _Job:
    """What is known of the pixels of inputs and results.

    Attributes:
        source: of the domain of the inputs.
        target: of the domain of the results.
        channels: of the network's input.
        result_channels: of its output; None: unknown.
        formats: how inputs are read.
        depth: of the results, as typed.
        format: of the results, as typed.
    """

    source: RunPixels
    target: RunPixels
    channels: int
    result_channels: int | None
    formats: Formats
    depth: Depth | None
    format: str

    def suffix(self, file: AnyFile) -> str:
        """Return the suffix of an image's result."""
        if self.format != "png":
            return {"tiff": ".tiff", "npy": ".npy"}[self.format]
        is_deep = self.depth == "float" or (
            self.depth is None
            and (self.target.is_float or (holds_numbers(file) and not self.target.ranged))
        )
        is_signed = self.target.has_units and self.target.value_range[0] < 0
        channels = self.result_channels or 3
        is_bands = channels > 4 or (channels in (2, 4) and not self.result_has_alpha(file))
        return ".tiff" if is_deep or is_signed or is_bands else ".png"

    def result_has_alpha(self, file: AnyFile) -> bool:
        """Return whether the last channel of an image's result is alpha.

        Of a network whose images are unknown, two and four channels are taken for grey and colour
        with alpha, unless its input has other bands.
        """
        if self.target.alpha is not None:
            return self.target.alpha
        return self.result_channels in (2, 4) and not holds_bands(file)

    def keeps_profile(self, file: AnyFile, profile: bytes) -> bool:
        """Return whether the colours of an image's result are of the kind that a profile is for."""
        if self.format == "npy":
            return False
        return profile_fits(profile, (self.result_channels or 3) - self.result_has_alpha(file))

    def extras(self, file: AnyFile) -> Extras:
        """Return what is kept of an input's file besides its pixels."""
        profile = colour_profile(file)
        is_kept = profile is not None and self.keeps_profile(file, profile)
        return Extras(profile if is_kept else None, geotags(file))


def _make_job(config: TranslateConfig, model: Model, network: torch.nn.Module) -> _Job:
    data = model.meta.get("data", {})
    src, dst = model.choose_direction(config.direction)
    source, target = (
        run_pixels(data, domain, config.value_range, config.clip) for domain in (src, dst)
    )
    formats = run_formats(
        data,
        pages=config.pages,
        array_layout=config.array_layout,
        array_name=config.array_name,
        slices=config.slices,
        window=config.window,
    )
    if config.window is not None:  # else as in training, where the other domain may have windows
        check_window(formats, [source.value_range], prefix="")
    channels, result = input_channels(network) or 3, output_channels(network)
    return _Job(source, target, channels, result, formats, config.depth, config.format)


def _report_losses(done: list[TranslationTask], job: _Job) -> None:
    """Say which results lack what their inputs' files say besides the pixels."""
    tasks = [task for task in done if not is_tiff_name(task.name) and has_geotags(task.source)]
    if tasks:
        print(
            f"Warning: the results of {len(tasks)} GeoTIFFs, such as {tasks[0].source}, have no "
            "geographic tags: format=tiff and format=same keep them.",
            file=sys.stderr,
        )
    profiles = ((task.source, colour_profile(task.source)) for task in done)
    lost = [file for file, one in profiles if one and not job.keeps_profile(file, one)]
    if lost:
        print(
            f"Warning: the results of {counted(len(lost), 'image')}, such as {lost[0]}, have no "
            "colour profile.",
            file=sys.stderr,
        )


def _translate_batch(
    model: Model,
    config: TranslateConfig,
    batch: list[TranslationTask],
    job: "_Job",
    folder: ResultFolder,
    faults: Faults,
) -> None:
    """Translate images of the same size, from file to file."""
    tasks: list[tuple[TranslationTask, np.dtype]] = []
    rows: list[dict[str, Any]] = []
    images: list[torch.Tensor] = []
    for task in batch:
        try:
            row = folder.row(task)
            loaded = image_io.read(task.source, job.channels, job.source)
            dtype = job.target.result_dtype(loaded.dtype, config.depth)
            images.append(loaded.x)
            tasks.append((task, dtype))
            rows.append(row)
            if loaded.clipped:
                low, high = job.source.value_range
                print(
                    f"Warning: {task.source} has {loaded.clipped} of {loaded.x.numel()} values "
                    f"outside of [{low:g},{high:g}], which are clipped.",
                    file=sys.stderr,
                )
            if loaded.note:
                print(f"Warning: {task.source} {_NOTES[loaded.note]}.", file=sys.stderr)
        except ImageFault as fault:
            faults[task.source] = str(fault)
        except OSError as error:
            faults[task.source] = f"cannot be read ({error.strerror or error})"
    if not tasks:
        return
    results = zip(tasks, rows, _results(model, config, images), strict=True)
    for (task, dtype), row, result in results:
        if isinstance(result, str):
            faults[task.source] = result
            continue
        try:
            alpha = job.result_has_alpha(task.source)
            extras = job.extras(task.source)
            image_io.write(folder.path / task.name, result, dtype, job.target, alpha, extras)
            folder.add(row)
        except ImageFault as fault:
            faults[task.source] = str(fault)
        except OSError as error:
            raise RunError(
                f"{folder.path / task.name} cannot be written ({error.strerror or error}): make "
                "room or give another output=. To resume, repeat the command."
            ) from None


def _results(
    model: Model, config: TranslateConfig, images: list[torch.Tensor]
) -> Iterator[torch.Tensor | str]:
    """Yield the result of each image, or why there is not enough memory for it."""
    try:
        yield from list(_translate_images(model, config, images))
        return
    except (RuntimeError, MemoryError) as error:
        if not memory.is_exhausted(error):
            raise
        shortage = memory.shortage(error)
    if len(images) > 1:
        for image in images:
            yield from _results(model, config, [image])
        return
    fix = "device=cpu, or a smaller image"
    if isinstance(model.translator(config.direction), Bandable):
        fix = f"tile={config.tile // 2}" if config.tile else "tile=2048"
    yield f"needs more memory than there is ({shortage.rstrip('.')}): try {fix}"


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


def _settings(config: TranslateConfig, model: Model, job: "_Job") -> dict[str, Any]:
    """Return what the results depend on, apart from the inputs."""
    digest = hashlib.sha256(model.file.read_bytes()).hexdigest()
    return {
        "snapshot": {"file": str(model.file), "sha256": digest},
        "direction": model.choose_direction(config.direction),
        "format": config.format,
        "precision": config.precision,
        "value_range": list(job.source.value_range),
        # None by default, as in folders of results from before these settings.
        "depth": config.depth,
        "clip": config.clip,
        "formats": None if job.formats == PLAIN else job.formats.describe(),
    }


def _exit_if_stopped(signals: Signals) -> None:
    if signals.received and signals.pop_request():
        print(f"Stopped by {signals.received.name}. To resume, repeat the command.")
        raise SystemExit(EXIT_STOPPED)
