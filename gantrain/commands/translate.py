"""gantrain translate: translate images from one domain to the other."""

import hashlib
import importlib.util
import sys
from collections.abc import Container, Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gantrain.config.tools import TranslateConfig
from gantrain.data.bit_depth import ImageFault
from gantrain.data.claims import MAIN_VIEW
from gantrain.data.decode import has_geotags, image_size, lift_size_limit
from gantrain.engine import memory
from gantrain.engine.signals import EXIT_STOPPED, Action, Signals, handle_signals
from gantrain.errors import ConfigError, RunError, counted
from gantrain.inference import image_io
from gantrain.inference.image_io import RunPixels, run_pixels
from gantrain.inference.inputs import TranslationTask, find_tasks, find_videos
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.results import ResultFile, ResultFolder
from gantrain.inference.tiled_translation import Bandable, translate_in_bands
from gantrain.inference.translation import input_channels
from gantrain.inference.video_reader import VideoReader, is_video
from gantrain.inference.video_translation import Stopped, translate_video
from gantrain.inference.video_writer import Encoding
from gantrain.pages.gallery import write_gallery
from gantrain.tracking.console import progress_bar

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
    model = load_model(config.run, config.device, config.precision, say=print)
    network = model.translator(config.direction)
    if config.tile and not isinstance(network, Bandable):
        raise ConfigError(
            f"tile={config.tile} works with resnets and U-Nets only, and this is a "
            f"{type(network).__name__}: remove tile."
        )
    output = Path(config.output)
    pixels = run_pixels(model.meta.get("data", {}), config.value_range)
    tasks, clips, left_out = _find(config, pixels)
    settings = _settings(config, model, pixels)
    folder = ResultFile(output, settings) if _is_file(config) else ResultFolder(output, settings)
    missing = [task for task in tasks if not folder.has(task)]
    missing_clips = [clip for clip in clips if not folder.has(clip)]
    count = len(tasks + clips) - len(missing + missing_clips)
    done = f", {count} of them done" if count else ""
    print(f"{_counted(tasks, clips)}{done}; {model.file} on {model.precision.device}.")
    if left_out:
        results = counted(len(left_out), "result")
        print(f"Left out: {results} of gantrain translate, such as {left_out[0]}.")
    if others := folder.others(tasks + clips):
        print(f"{output} also holds {counted(others, 'result')} of other inputs.")
    faults: Faults = {}
    channels = input_channels(network) or 3
    if config.tile:
        lift_size_limit()
    with handle_signals() as signals:
        with progress_bar(len(missing)) as advance:
            for batch in _batches(missing, config.batch, config.tile, faults):
                if _is_stopped(signals):
                    break
                _translate_batch(model, config, batch, channels, pixels, folder, faults)
                advance(len(batch))
        for clip in missing_clips:
            if not _is_stopped(signals):
                _translate_clip(model, config, clip, channels, pixels, folder, faults, signals)
    _exit_if_stopped(signals)
    _warn_of_lost_geotags([task.source for task in missing if task.source not in faults])
    translated = [task for task in tasks if task.source not in faults][: config.gallery]
    if config.gallery and (translated or not clips):
        direction = model.choose_direction(config.direction)
        print(f"Page: {write_gallery(output, translated, model, direction, channels, pixels)}")
    print(f"{_counted(tasks, clips, faults)} in {output}")
    if faults:
        for source, reason in faults.items():
            print(f"Skipped: {source} {reason}.", file=sys.stderr)
        raise SystemExit(1)


def _is_file(config: TranslateConfig) -> bool:
    """Return whether the output is a file, which one video becomes."""
    return is_video(config.output) and not Path(config.output).is_dir()


def _find(
    config: TranslateConfig, pixels: RunPixels
) -> tuple[list[TranslationTask], list[TranslationTask], list[Path]]:
    """Return the images, the videos, and the results among the inputs, which are left out.

    Raises:
        ConfigError: see `find_tasks`; the output is a file and the input is not one video, or a
            file cannot hold the codec.
    """
    output, encoding = Path(config.output), _encoding(config)
    folder = None if _is_file(config) else output
    clips, inputs = find_videos(config.input, folder, encoding)
    if folder is None:
        if len(clips) != 1 or inputs:
            raise ConfigError(
                f"output={output} is a file for one video, and input names something else: give a "
                "folder."
            )
        clips = [TranslationTask(clips[0].source, output.name, clips[0].encoding)]
    if importlib.util.find_spec("av") is not None:
        for clip in clips:
            encoding.codec_for(Path(clip.name).suffix)
    if not inputs:
        return [], clips, []
    keep = config.format == "same"
    tasks, left_out = find_tasks(inputs, keep, pixels.is_float, folder)
    return tasks, clips, left_out


def _encoding(config: TranslateConfig) -> Encoding:
    return Encoding(config.video.codec, config.video.crf, config.video.chroma)


def _counted(
    tasks: list[TranslationTask], clips: list[TranslationTask], faults: Container[Path] = ()
) -> str:
    """Return a count without the faults, such as "3 images and 1 video"."""
    images, videos = (sum(t.source not in faults for t in some) for some in (tasks, clips))
    parts = [counted(images, "image")] if tasks or not clips else []
    return " and ".join([*parts, counted(videos, "video")] if clips else parts)


def _translate_clip(
    model: Model,
    config: TranslateConfig,
    clip: TranslationTask,
    channels: int,
    pixels: RunPixels,
    folder: ResultFolder | ResultFile,
    faults: Faults,
    signals: Signals,
) -> None:
    """Translate a video, from file to file."""
    target = folder.path / clip.name
    try:
        if importlib.util.find_spec("av") is None:
            raise ImageFault("is a video: pip install 'gantrain[video]'")
        if pixels.is_float and pixels.value_range != (0, 1):
            low, high = pixels.value_range
            raise ImageFault(f"holds levels, and the run was trained on [{low:g},{high:g}]")
        row = folder.row(clip)
        with VideoReader(clip.source) as reader, progress_bar(reader.count) as advance:
            notes = translate_video(
                reader,
                target,
                lambda images: _results(model, config, images),
                _encoding(config),
                channels=channels,
                batch=config.batch,
                is_stopped=lambda: _is_stopped(signals),
                advance=advance,
            )
        folder.add(row)
        for note in notes:
            print(f"Warning: {clip.source} {note}.", file=sys.stderr)
    except ImageFault as fault:
        faults[clip.source] = str(fault)
    except Stopped:
        return
    except OSError as error:
        raise _unwritable(target, error) from None


def _translate_batch(
    model: Model,
    config: TranslateConfig,
    batch: list[TranslationTask],
    channels: int,
    pixels: RunPixels,
    folder: ResultFolder | ResultFile,
    faults: Faults,
) -> None:
    """Translate images of the same size, from file to file."""
    tasks: list[tuple[TranslationTask, np.dtype]] = []
    rows: list[dict[str, Any]] = []
    images: list[torch.Tensor] = []
    for task in batch:
        try:
            row = folder.row(task)
            loaded = image_io.read(task.source, channels, pixels)
            images.append(loaded.x)
            tasks.append((task, loaded.dtype))
            rows.append(row)
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
            image_io.write(folder.path / task.name, result, dtype, pixels.value_range)
            folder.add(row)
        except ImageFault as fault:
            faults[task.source] = str(fault)
        except OSError as error:
            raise _unwritable(folder.path / task.name, error) from None


def _unwritable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"{path} cannot be written ({error.strerror or error}): make room or give another output=. "
        "To resume, repeat the command."
    )


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


def _settings(config: TranslateConfig, model: Model, pixels: RunPixels) -> dict[str, Any]:
    """Return what the results depend on, apart from the inputs."""
    digest = hashlib.sha256(model.file.read_bytes()).hexdigest()
    return {
        "snapshot": {"file": str(model.file), "sha256": digest},
        "direction": model.choose_direction(config.direction),
        "format": config.format,
        "precision": config.precision,
        "value_range": list(pixels.value_range),
    }


def _warn_of_lost_geotags(done: list[Path]) -> None:
    if geographic := [source for source in done if has_geotags(source)]:
        print(
            f"Warning: the results of {len(geographic)} GeoTIFFs, such as {geographic[0]}, have no "
            "geographic tags: copy them from the inputs (gdal_edit.py, or rasterio).",
            file=sys.stderr,
        )


def _is_stopped(signals: Signals) -> bool:
    """Return whether a signal asks to stop; to save, as Slurm does, means to go on here."""
    return signals.pop_request() >= Action.STOP


def _exit_if_stopped(signals: Signals) -> None:
    if signals.received and _is_stopped(signals):
        print(f"Stopped by {signals.received.name}. To resume, repeat the command.")
        raise SystemExit(EXIT_STOPPED)
