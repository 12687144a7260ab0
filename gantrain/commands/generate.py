"""gantrain generate: images, style mixes and videos from a trained generator."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from gantrain import __version__
from gantrain.config.check import plain_settings
from gantrain.config.generate import DEFAULT_SEEDS, GenerateConfig, Numbers
from gantrain.errors import ConfigError, counted
from gantrain.inference import latent_sources
from gantrain.inference.edited_latents import LatentEdit
from gantrain.inference.editing import explain_misfit, find_direction
from gantrain.inference.generators import moves_canvas
from gantrain.inference.home import home_of, name_of
from gantrain.inference.labels import has_examples
from gantrain.inference.latent_sources import LatentBatch
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.pose import anchor, canvas_transform, explain_fixed_canvas, motion
from gantrain.inference.rendering import ImageWriter, explain_missing_package
from gantrain.inference.seeds import read_numbers
from gantrain.io.download import digest
from gantrain.io.files import atomic_write, write_json
from gantrain.runs.directory import RunDirectory

LATENTS = "w.npz"


def main(config: GenerateConfig) -> None:
    """Write the images, the table or the video to a new folder, and how they were made.

    Raises:
        ConfigError: a setting does not fit the snapshot, or a file cannot be used.
    """
    model = load_model(config.run, config.device, config.precision, say=print)
    writer = render(config, model, print)
    _record(config, model, writer)
    count = counted(len(writer.descriptions), "file")
    print(f"{count} in {writer.folder}; the settings are in generate.json.")


@torch.no_grad()
def render(
    config: GenerateConfig, model: Model, say: Callable[[str], None] = lambda text: None
) -> ImageWriter:
    """Write the images, the table or the video of a loaded model to a new folder.

    Args:
        config: the settings; the model stands for run, device and precision.
        model: the loaded snapshot.
        say: told in sentences what is made.

    Returns:
        What wrote the files: it knows the folder, and what each file shows.

    Raises:
        ConfigError: a setting does not fit the snapshot, or a file cannot be used.
    """
    if model_problems := problems(config, model):
        raise ConfigError(*model_problems)
    mixing, video = config.style_mixing, config.interpolation
    pose = config.transform
    batches = _latent_batches(config, model)  # reads its files now, so that errors come early
    if mixing.columns is None:
        batches = _edited(config, batches)
    batches = _posed(config, model, batches)
    say(f"{model.algorithm} from {model.file}, on {model.precision.device}.")
    if model.label_dim and config.class_ is None and _uses_seeds(config):
        say(_default_labels(model))
    folder = _folder(config, model)
    is_moved = moves_canvas(model.generator)
    writer = ImageWriter(
        model,
        folder,
        config.noise,
        config.batch,
        keep_values=config.save_w,
        transform=canvas_transform(pose.translate, pose.rotate) if is_moved else None,
    )
    if mixing.columns is not None:
        columns = _from_seeds(config, model, "style_mixing.columns", mixing.columns)
        writer.write_style_mixing(
            latent_sources.concat(batches),
            latent_sources.concat(_posed(config, model, columns)),
            _layers(config, model),
            config.grid,
            lambda mixes: _edited(config, mixes),
        )
    elif video.frames:
        keyframes = latent_sources.concat(batches)
        writer.write_video(keyframes, video.frames, video.format, fps=video.fps, loop=video.loop)
    elif pose.frames:
        transforms = motion(pose.translate, pose.rotate, pose.frames)
        writer.write_motions(batches, transforms, video.format, fps=video.fps, loop=video.loop)
    elif config.edit.frames:
        writer.write_films(batches, video.format, fps=video.fps, loop=video.loop)
    else:
        writer.write_images(batches, config.grid, config.edit.images or None)
    if config.save_w:
        with atomic_write(folder / LATENTS) as file:
            np.savez(file, w=torch.cat(writer.values).cpu().numpy())
    return writer


def _default_labels(model: Model) -> str:
    if not has_examples(model.labels):
        return f"class=null: seed s gets class s mod {model.label_dim}."
    count = len((model.labels or {})["examples"])
    return (
        f"class=null: seed s gets the label of a training image, that of number s mod {count} of "
        f"{count}; generate.json tells which."
    )


def problems(config: GenerateConfig, model: Model) -> list[str]:
    """Return sentences about settings that do not fit the snapshot.

    Args:
        config: the checked settings.
        model: the snapshot.

    Raises:
        ConfigError: the snapshot has no generator of latents.
    """
    assert model.generator is not None
    w_settings = {
        "truncation_psi": config.truncation_psi != 1,
        "truncation_cutoff": config.truncation_cutoff is not None,
        "truncation_center": config.truncation_center != "global",
        "style_mixing": config.style_mixing.columns is not None,
        "edit": config.edit.direction is not None,
        "save_w": config.save_w,
        "noise": config.noise != "const",
    }
    sentences = model.explain_missing_w(*[key for key, is_set in w_settings.items() if is_set])
    sentences += explain_fixed_canvas(model, config.transform.settings())
    sentences += model.explain_missing_encoder() if config.images is not None else []
    if _uses_seeds(config):
        try:
            model.label_batch([0], config.class_)
        except ConfigError as error:
            sentences += error.problems
    if not (config.interpolation.frames or config.transform.frames):  # a video has 8 bits
        sentences += explain_missing_package(model)
    if config.truncation_center == "class" and not model.label_dim:
        sentences.append(
            f"truncation_center=class: {model.file} was trained without labels; leave it out."
        )
    if model.has_w:
        return sentences + _layer_problems(config, model) + _edit_problems(config, model)
    return sentences + _class_problems(config, model)


def _layer_problems(config: GenerateConfig, model: Model) -> list[str]:
    count, cutoff = model.style.num_ws, config.truncation_cutoff
    sentences = []
    if (highest := max(_layers(config, model))) >= count:
        sentences.append(
            f"style_mixing.layers goes up to {highest}, but this generator has the layers 0 to "
            f"{count - 1}."
        )
    if cutoff is not None and cutoff > count:
        layers = counted(count, "layer")
        sentences.append(f"truncation_cutoff={cutoff}: this generator has only {layers}.")
    return sentences


def _edit_problems(config: GenerateConfig, model: Model) -> list[str]:
    try:
        edit = _read_edit(config)
    except ConfigError as error:
        return list(error.problems)
    sizes = model.style.w_dim, model.style.num_ws
    sentences = (explain_misfit(direction, *sizes, edit.layers) for direction in edit.directions)
    return list(dict.fromkeys(sentence for found in sentences for sentence in found))


def _read_edit(config: GenerateConfig) -> LatentEdit:
    edit = config.edit
    layers = None if edit.layers is None else read_numbers("edit.layers", edit.layers)
    return LatentEdit([find_direction(text) for text in edit.directions], edit.ranges, layers)


def _class_problems(config: GenerateConfig, model: Model) -> list[str]:
    if config.interpolation.frames and model.label_dim and config.class_ is None:
        return [
            f"{model.algorithm} has no latent w to interpolate between classes: give one class= "
            "for the whole video."
        ]
    return []


def _uses_seeds(config: GenerateConfig) -> bool:
    has_w_source = config.images is not None or config.w is not None
    return not has_w_source or config.style_mixing.columns is not None


def _layers(config: GenerateConfig, model: Model) -> list[int]:
    """Return the layers that a style mix takes from the columns."""
    layers = config.style_mixing.layers
    if layers is None:
        return list(range(model.style.num_ws // 2))
    return read_numbers("style_mixing.layers", layers)


def _edited(config: GenerateConfig, batches: Iterator[LatentBatch]) -> Iterator[LatentBatch]:
    """Return the latents moved along the directions; for a video, a batch for each image."""
    edit = config.edit
    if edit.direction is None:
        return batches
    if edit.images:
        ranges = _read_edit(config).steps(batches, edit.images)
        return (part for one in ranges for part in latent_sources.split(one, config.batch))
    if edit.frames:
        return _read_edit(config).films(batches, edit.frames, loop=config.interpolation.loop)
    return _read_edit(config).apply_all(batches)


def _posed(
    config: GenerateConfig, model: Model, batches: Iterator[LatentBatch]
) -> Iterator[LatentBatch]:
    return anchor(model, batches) if config.transform.anchor else batches


def _latent_batches(config: GenerateConfig, model: Model) -> Iterator[LatentBatch]:
    """Return the latents of the images, of the rows or of the keyframes, in batches."""
    if config.images is not None:
        files, pixels = latent_sources.read_images(model, Path(config.images))
        _check_keyframes(config, len(files))
        return latent_sources.from_images(model, files, pixels, config.batch)
    if config.w is not None:
        path = Path(config.w)
        stored = latent_sources.read_w(model, path)
        _check_keyframes(config, len(stored))
        return latent_sources.from_w(model, path, stored, config.batch)
    if config.style_mixing.columns is not None:
        return _from_seeds(config, model, "style_mixing.rows", config.style_mixing.rows)
    return _from_seeds(config, model, "seeds", config.seeds)


def _from_seeds(
    config: GenerateConfig, model: Model, key: str, value: Numbers | None
) -> Iterator[LatentBatch]:
    seeds = read_numbers(key, DEFAULT_SEEDS if value is None else value)
    _check_keyframes(config, len(seeds))
    if not config.interpolation.frames:  # a repeated seed would only overwrite its file
        seeds = list(dict.fromkeys(seeds))
    psi, cutoff = config.truncation_psi, config.truncation_cutoff
    center = config.truncation_center
    return latent_sources.from_seeds(model, seeds, config.class_, psi, cutoff, config.batch, center)


def _check_keyframes(config: GenerateConfig, count: int) -> None:
    if config.interpolation.frames and count < 2:
        raise ConfigError("interpolation needs two or more images, such as seeds=0-5.")


def _folder(config: GenerateConfig, model: Model) -> Path:
    """Create and return `out`, or a new folder in the run: generated/<what>-<kimg>-001.

    Of a model of the hub it is here: generated/<what>-<name>-001.
    """
    try:
        if config.out is not None:
            Path(config.out).mkdir(parents=True, exist_ok=True)
            return Path(config.out)
        home = home_of(model) or Path()
        mixing = config.style_mixing.columns is not None
        video = config.interpolation.frames or config.transform.frames or config.edit.frames
        if home_of(model) and (home / "config.yaml").exists():  # perhaps the run of somebody else
            RunDirectory(home).refuse_special_files()
        what = "mixing" if mixing else "video" if video else "pictures"
        return RunDirectory.create(home / "generated", None, f"{what}-{name_of(model)}").path
    except OSError as error:
        where = f"out={config.out}" if config.out else f"{model.file.parent}"
        raise ConfigError(
            f"{where}: the folder for the results cannot be created ({error.strerror}): give "
            "another out=."
        ) from None


def _record(config: GenerateConfig, model: Model, writer: ImageWriter) -> None:
    """Write everything needed to reproduce the results."""
    packages = {"gantrain": __version__, "torch": torch.__version__}
    packages |= {"numpy": np.__version__, "pillow": PIL.__version__}
    record = {
        "settings": plain_settings(config),
        "snapshot": _snapshot_record(model),
        "directions": [_direction_record(text) for text in config.edit.directions],
        "versions": packages,
        "files": writer.descriptions,
    }
    write_json(writer.folder / "generate.json", record)


def _direction_record(text: str) -> dict[str, Any]:
    direction = find_direction(text)
    file = text if Path(text).is_file() else text.rpartition(":")[0]
    about = {"name": direction.name, "scale": direction.scale, "layers": direction.layers}
    return {"file": file, "sha256": digest(Path(file), "sha256"), **about}


def _snapshot_record(model: Model) -> dict[str, Any]:
    meta = {key: model.meta.get(key) for key in ("nimg", "ema", "model", "versions")}
    meta |= {key: model.meta[key] for key in ("hub",) if key in model.meta}  # with the commit
    return {"file": str(model.file), "sha256": digest(model.file, "sha256"), **meta}
