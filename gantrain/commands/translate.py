"""gantrain translate: translate images from one domain to the other."""

import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from gantrain.config.tools import TranslateConfig
from gantrain.data.bit_depth import ImageFault, is_grey
from gantrain.data.claims import MAIN_VIEW
from gantrain.data.decode import (
    colour_profile,
    has_geotags,
    lift_size_limit,
)
from gantrain.data.pixel_settings import check_window
from gantrain.data.tiff import is_tiff_name
from gantrain.data.views import PLAIN, AnyFile
from gantrain.engine import memory
from gantrain.engine.signals import EXIT_STOPPED, Action, Signals, handle_signals
from gantrain.errors import ConfigError, RunError, counted
from gantrain.inference import image_io
from gantrain.inference.image_io import run_formats, run_pixels
from gantrain.inference.inputs import (
    TranslationTask,
    batches_of_one_size,
    becomes_file,
    describe_count,
    find_tasks,
    find_videos,
)
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.pictures import is_lab, of_pictures
from gantrain.inference.results import ResultFile, ResultFolder
from gantrain.inference.tiled_translation import Bandable, translate_in_bands
from gantrain.inference.translation import picture_channels
from gantrain.inference.translation_job import TranslationJob
from gantrain.inference.video_reader import VideoReader
from gantrain.inference.video_translation import Stopped, translate_video
from gantrain.inference.video_writer import Encoding
from gantrain.networks.eval_mode import has_active_dropout
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
    mode, seed = config.test_mode, config.seed
    model = load_model(
        config.run, config.device, config.precision, print, test_mode=mode, seed=seed
    )
    network = model.translator(config.direction)
    if config.tile:
        _check_bandable(network, config.tile)
    output = Path(config.output)
    job = _make_job(config, model, network)
    tasks, clips, left_out = _find(config, job)
    settings = _settings(config, model, job)
    folder = (ResultFile if becomes_file(output) else ResultFolder)(output, settings)
    missing = [task for task in tasks if not folder.has(task)]
    missing_clips = [clip for clip in clips if not folder.has(clip)]
    count = len(tasks + clips) - len(missing + missing_clips)
    done = f", {count} of them done" if count else ""
    print(f"{describe_count(tasks, clips)}{done}; {model.file} on {model.precision.device}.")
    if left_out:
        results = counted(len(left_out), "result")
        print(f"Left out: {results} of gantrain translate, such as {left_out[0]}.")
    if others := folder.others(tasks + clips):
        print(f"{output} also holds {counted(others, 'result')} of other inputs.")
    if missing:
        _warn_of_pairs(model)
    faults: Faults = {task.source: fault for task in missing if (fault := job.storage_fault(task))}
    possible = [task for task in missing if task.source not in faults]
    if config.tile:
        lift_size_limit()
    with handle_signals() as signals:
        with progress_bar(len(possible)) as advance:
            for batch in batches_of_one_size(possible, config.batch, config.tile, faults):
                if _is_stopped(signals):
                    break
                _translate_batch(model, config, batch, job, folder, faults)
                advance(len(batch))
        for clip in missing_clips:
            if not _is_stopped(signals):
                _translate_clip(model, config, clip, job, folder, faults, signals)
    _exit_if_stopped(signals)
    _report_losses([task for task in missing if task.source not in faults], job)
    translated = [task for task in tasks if task.source not in faults][: config.gallery]
    if config.gallery and (translated or not clips):
        direction = model.choose_direction(config.direction)
        page = write_gallery(output, translated, model, direction, job.source, job.target)
        print(f"Page: {page}")
    print(f"{describe_count(tasks, clips, faults)} in {output}")
    if faults:
        for source, reason in faults.items():
            own = _KEYS.sub(r"\1", reason)  # the settings of a data set that this command has, too
            print(f"Skipped: {source} {own}.", file=sys.stderr)
        raise SystemExit(1)


def _warn_of_pairs(model: Model) -> None:
    """Say that inputs are not split, if the run's training images were."""
    if model.meta.get("data", {}).get("side_by_side"):
        print(
            "Warning: this run was trained on halves of pictures with two images side by side. "
            "Here every input is one image: give the input's half alone.",
            file=sys.stderr,
        )


def _find(
    config: TranslateConfig, job: TranslationJob
) -> tuple[list[TranslationTask], list[TranslationTask], list[Path]]:
    """Return the images, the videos, and the results among the inputs, which are left out.

    Raises:
        ConfigError: see `find_tasks` and `find_videos`.
    """
    output, inputs = Path(config.output), config.input
    clips: list[TranslationTask] = []
    if job.source.stacked == 1:
        clips, inputs = find_videos(inputs, output, _encoding(config))
    if not inputs:
        return [], clips, []
    suffix_of = None if config.format == "same" else job.suffix
    tasks, left_out = find_tasks(inputs, suffix_of, output, job.formats, job.source.stacked)
    return tasks, clips, left_out


def _encoding(config: TranslateConfig) -> Encoding:
    return Encoding(config.video.codec, config.video.crf, config.video.chroma)


def _check_bandable(network: nn.Module, tile: int) -> None:
    """Raise ConfigError if a network cannot translate in bands."""
    if not isinstance(network, Bandable):
        raise ConfigError(
            f"tile={tile} works with resnets and U-Nets only, and this is a "
            f"{type(network).__name__}: remove tile."
        )
    if has_active_dropout(network):
        raise ConfigError(
            f"tile={tile} works without dropout only: add test_mode=no_dropout, or remove tile."
        )


def _make_job(config: TranslateConfig, model: Model, network: torch.nn.Module) -> TranslationJob:
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
    channels, result = picture_channels(network, data)
    return TranslationJob(
        source, target, channels or 3, result, formats, config.depth, config.format, is_lab(data)
    )


def _report_losses(done: list[TranslationTask], job: TranslationJob) -> None:
    """Say which results lack what their inputs hold, other than pixels or colours."""
    if job.unused_colors:
        count, example = counted(len(job.unused_colors), "picture"), job.unused_colors[0]
        print(f"{count} in colour, such as {example}: only the lightness was used.")
    tasks = [task for task in done if not is_tiff_name(task.name) and has_geotags(task.source)]
    if tasks:
        print(
            f"Warning: the results of {counted(len(tasks), 'GeoTIFF')}, such as {tasks[0].source}, "
            "have no geographic tags: format=tiff and format=same keep them.",
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


def _translate_clip(
    model: Model,
    config: TranslateConfig,
    clip: TranslationTask,
    job: TranslationJob,
    folder: ResultFolder | ResultFile,
    faults: Faults,
    signals: Signals,
) -> None:
    """Translate a video, from file to file."""
    target = folder.path / clip.name
    assert isinstance(clip.source, Path)
    try:
        if job.source.has_units or job.target.has_units:
            raise ImageFault("holds levels, and the run was trained on numbers (value_range)")
        row = folder.row(clip)
        with VideoReader(clip.source) as reader, progress_bar(reader.count) as advance:
            notes = translate_video(
                reader,
                target,
                lambda images: _results(model, config, images),
                _encoding(config),
                channels=job.channels,
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
    job: TranslationJob,
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
            if job.new_colors and not is_grey(loaded.x.permute(1, 2, 0).numpy()):
                job.unused_colors.append(task.source)
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
        in_bands = of_pictures(
            lambda x: translate_in_bands(network, x[0], model.precision, tile)[None],
            model.meta.get("data", {}),
        )
        return (in_bands(image[None])[0] for image in images)
    return model.translate(torch.stack(images), config.direction)


def _settings(config: TranslateConfig, model: Model, job: TranslationJob) -> dict[str, Any]:
    """Return what the results depend on, apart from the inputs."""
    digest = hashlib.sha256(model.file.read_bytes()).hexdigest()
    mode = {"test_mode": model.test_mode, "seed": config.seed}
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
        **(mode if model.test_mode != "eval" else {}),
    }


def _is_stopped(signals: Signals) -> bool:
    """Return whether a signal asks to stop; to save, as Slurm does, means to go on here."""
    return signals.pop_request() >= Action.STOP


def _exit_if_stopped(signals: Signals) -> None:
    if signals.received and _is_stopped(signals):
        print(f"Stopped by {signals.received.name}. To resume, repeat the command.")
        raise SystemExit(EXIT_STOPPED)
