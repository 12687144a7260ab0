"""gantrain generate: pictures, style mixes and videos of a trained generator."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch

from gantrain import __version__
from gantrain.config.check import plain_settings
from gantrain.config.generate import DEFAULT_SEEDS, GenerateConfig, Numbers
from gantrain.errors import ConfigError
from gantrain.inference import latent_sources
from gantrain.inference import model as sampling
from gantrain.inference.latent_sources import LatentBatch
from gantrain.inference.model import Model
from gantrain.inference.rendering import ImageWriter
from gantrain.inference.seeds import read_numbers
from gantrain.io.files import atomic_write
from gantrain.runs.directory import RunDirectory


@torch.no_grad()
def main(config: GenerateConfig) -> None:
    """Make what the config asks for, in a folder of its own, and say where.

    Raises:
        ConfigError: a setting that does not fit the snapshot, or a file that cannot be used.
    """
    model = sampling.load(config.run, config.device, config.precision, say=print)
    if found := problems(config, model):
        raise ConfigError(*found)
    mixing, video = config.style_mixing, config.interpolation
    portions = _source(config, model)  # what it has to read is read, and so checked
    print(f"{model.algorithm} from {model.file}, on {model.precision.device}.")
    if model.label_dim and config.class_ is None and _uses_seeds(config):
        print(f"class=null: seed s shows class s mod {model.label_dim}.")
    folder = _folder(config, model)
    studio = ImageWriter(model, folder, config.noise, config.batch, keep_values=config.save_w)
    if mixing.columns is not None:
        columns = _from_seeds(config, model, "style_mixing.columns", mixing.columns)
        layers = _layers(config, model)
        studio.write_style_mixing(
            latent_sources.concat(portions), latent_sources.concat(columns), layers, config.grid
        )
    elif video.frames:
        keys = latent_sources.concat(portions)
        studio.write_video(keys, video.frames, video.format, fps=video.fps, loop=video.loop)
    else:
        studio.write_images(portions, config.grid)
    _finish(config, model, studio)


def problems(config: GenerateConfig, model: Model) -> list[str]:
    """Sentences about what this snapshot cannot do; a snapshot without latents raises its own."""
    assert model.generator is not None
    asked = {
        "truncation_psi": config.truncation_psi != 1,
        "truncation_cutoff": config.truncation_cutoff is not None,
        "style_mixing": config.style_mixing.columns is not None,
        "w": config.w is not None,
        "save_w": config.save_w,
        "noise": config.noise != "const",
    }
    found = model.explain_missing_w(*[key for key, is_asked in asked.items() if is_asked])
    found += model.explain_missing_encoder() if config.images is not None else []
    if _uses_seeds(config):
        try:
            model.label_batch([0], config.class_)
        except ConfigError as error:
            found += error.problems
    return found + (
        _layer_problems(config, model) if model.has_w else _class_problems(config, model)
    )


def _layer_problems(config: GenerateConfig, model: Model) -> list[str]:
    count, cutoff = model.style.num_ws, config.truncation_cutoff
    found = []
    if (highest := max(_layers(config, model))) >= count:
        found.append(
            f"style_mixing.layers goes up to {highest}, and this generator has the layers 0 to "
            f"{count - 1}."
        )
    if cutoff is not None and cutoff > count:
        found.append(f"truncation_cutoff={cutoff}: this generator has only {count} layers.")
    return found


def _class_problems(config: GenerateConfig, model: Model) -> list[str]:
    if config.interpolation.frames and model.label_dim and config.class_ is None:
        return [
            f"{model.algorithm} has no w to go from class to class in: give class= for the whole "
            "video."
        ]
    return []


def _uses_seeds(config: GenerateConfig) -> bool:
    ready = config.images is not None or config.w is not None
    return not ready or config.style_mixing.columns is not None


def _layers(config: GenerateConfig, model: Model) -> list[int]:
    asked = config.style_mixing.layers
    if asked is None:
        return list(range(model.style.num_ws // 2))
    return read_numbers("style_mixing.layers", asked)


def _source(config: GenerateConfig, model: Model) -> Iterator[LatentBatch]:
    """The points to start from, in portions."""
    if config.images is not None:
        files, pixels = latent_sources.read_images(model, Path(config.images))
        _check_keys(config, len(files))
        return latent_sources.from_images(model, files, pixels, config.batch)
    if config.w is not None:
        path = Path(config.w)
        stored = latent_sources.read_w(model, path)
        _check_keys(config, len(stored))
        return latent_sources.from_w(model, path, stored, config.batch)
    if config.style_mixing.columns is not None:
        return _from_seeds(config, model, "style_mixing.rows", config.style_mixing.rows)
    return _from_seeds(config, model, "seeds", config.seeds)


def _from_seeds(
    config: GenerateConfig, model: Model, key: str, value: Numbers | None
) -> Iterator[LatentBatch]:
    seeds = read_numbers(key, DEFAULT_SEEDS if value is None else value)
    _check_keys(config, len(seeds))
    if not config.interpolation.frames:  # a file or a line for each: once is enough
        seeds = list(dict.fromkeys(seeds))
    psi, cutoff = config.truncation_psi, config.truncation_cutoff
    return latent_sources.from_seeds(model, seeds, config.class_, psi, cutoff, config.batch)


def _check_keys(config: GenerateConfig, count: int) -> None:
    if config.interpolation.frames and count < 2:
        raise ConfigError("interpolation needs two or more pictures to go between, as seeds=0-5.")


def _folder(config: GenerateConfig, model: Model) -> Path:
    """`out`, or a new folder beside the snapshots: generated/<what>-<kimg>-001."""
    try:
        if config.out is not None:
            Path(config.out).mkdir(parents=True, exist_ok=True)
            return Path(config.out)
        home = model.file.parent
        home = home.parent if home.name == "snapshots" else home
        mixing, video = config.style_mixing.columns is not None, config.interpolation.frames > 0
        what = "mixing" if mixing else "video" if video else "pictures"
        stem = f"{what}-{model.file.stem.removeprefix('snapshot-')}"
        return RunDirectory.create(home / "generated", None, stem).path
    except OSError as error:
        where = f"out={config.out}" if config.out else f"{model.file.parent}"
        raise ConfigError(
            f"{where}: no folder for the results can be made ({error.strerror}); give another out=."
        ) from None


def _finish(config: GenerateConfig, model: Model, studio: ImageWriter) -> None:
    """Store what is needed to make the results again, and say where they are."""
    if config.save_w:
        with atomic_write(studio.folder / "w.npz") as file:
            np.savez(file, w=torch.cat(studio.values).cpu().numpy())
    packages = {"gantrain": __version__, "torch": torch.__version__}
    packages |= {"numpy": np.__version__, "pillow": PIL.__version__}
    record = {
        "settings": plain_settings(config),
        "snapshot": _about(model),
        "versions": packages,
        "files": studio.descriptions,
    }
    with atomic_write(studio.folder / "generate.json") as file:
        file.write((json.dumps(record, indent=2) + "\n").encode())
    kinds = "1 file" if len(studio.descriptions) == 1 else f"{len(studio.descriptions)} files"
    print(f"{kinds} in {studio.folder}; how they were made: generate.json.")


def _about(model: Model) -> dict[str, Any]:
    with open(model.file, "rb") as file:
        digest = hashlib.sha256(file.read())
    meta = {key: model.meta.get(key) for key in ("nimg", "ema", "model", "versions")}
    return {"file": str(model.file), "sha256": digest.hexdigest(), **meta}
