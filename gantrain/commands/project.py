"""gantrain project: the latents of real images."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gantrain.config.check import plain_settings
from gantrain.config.project import ProjectConfig
from gantrain.errors import ConfigError, agreed, counted
from gantrain.inference import latent_sources
from gantrain.inference.animation import write_animation
from gantrain.inference.generators import StyleGenerator
from gantrain.inference.inputs import TranslationTask
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.pivotal_tuning import tune
from gantrain.inference.projection import (
    Projection,
    ProjectionSettings,
    Projector,
    explain_unlike_lpips,
    for_lpips,
)
from gantrain.inference.results import ResultFolder
from gantrain.io.download import digest
from gantrain.io.files import atomic_write
from gantrain.metrics import weights
from gantrain.metrics.extractor import load_lpips
from gantrain.metrics.lpips import LPIPS
from gantrain.metrics.paired import psnr
from gantrain.networks.spec import spec_of
from gantrain.ops.value_range import to_float, to_uint8
from gantrain.snapshot import save_snapshot
from gantrain.tracking.console import progress_bar
from gantrain.tracking.grids import compose_grid, save_png, to_image

RECORD_FILE, SHEET, ALL_LATENTS, TUNED = "project.json", "grid.png", "w.npz", "tuned.pt"
MAX_ROWS = 16  # of the sheet
FPS = 30.0
Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]  # of so many steps


@dataclass(frozen=True)
class Target:
    """An image to project: its file, the path of its results without suffix, and its pixels."""

    file: Path
    stem: str
    pixels: Tensor  # uint8 [C, H, W]

    @property
    def task(self) -> TranslationTask:
        """The input and the result that a record knows it by."""
        return TranslationTask(self.file, f"{self.stem}.npz")


def main(
    config: ProjectConfig,
    say: Callable[[str], None] = print,
    progress: Progress = progress_bar,
) -> None:
    """Write latents and images, a sheet, and perhaps a tuned generator.

    Args:
        config: the settings.
        say: told in sentences how far it is, and how close the images are.
        progress: see `gantrain.tracking.console.progress_bar`.

    Raises:
        ConfigError: a setting does not fit the snapshot, or a file cannot be used.
    """
    model = load_model(config.run, config.device, config.precision, say=say)
    if problems := list(explain_problems(config, model)):
        raise ConfigError(*problems)
    label = None if not model.label_dim else model.label_batch([0], config.class_)
    path = Path(config.input)
    files, pixels = latent_sources.read_images(model, path, "input")
    targets = [Target(*pair) for pair in zip(files, _stems(path, files), pixels, strict=True)]
    lpips = load_lpips(weights.find("lpips", config.weights.lpips, say), model.precision.device)
    # They change where and how, or what comes afterwards; the snapshot is known by its content.
    ignored = (
        "run",
        "input",
        "output",
        "tune",
        "tune_steps",
        "tune_lr",
        "device",
        "batch",
        "weights",
    )
    settings = {k: v for k, v in plain_settings(config).items() if k not in ignored}
    snapshot = {"file": str(model.file), "sha256": digest(model.file, "sha256")}
    folder = ResultFolder(Path(config.output), {**settings, "snapshot": snapshot}, RECORD_FILE)
    pending = [target for target in targets if not folder.has(target.task)]
    say(f"{model.algorithm} from {model.file}, on {model.precision.device}.")
    if done := len(targets) - len(pending):
        say(f"{done} of {len(targets)} images {agreed(done)} projected already.")
    projector = Projector(model, lpips, _projection_settings(config), label)
    with progress(len(pending) * config.steps) as advance:
        for start in range(0, len(pending), config.batch):
            part = pending[start : start + config.batch]
            rows = [folder.row(target.task) for target in part]
            _project(config, model, projector, part, folder.path, advance)
            for row in rows:
                folder.add(row)
    _summarize(model, lpips, targets, folder.path, say)
    if config.tune:
        with progress(config.tune_steps) as advance:
            tuned = _tune(config, model, lpips, targets, folder.path, advance)
        say(f"Tuned for {config.tune_steps} steps: LPIPS {tuned:.4f} on average. Next:")
        say(f"  gantrain generate run={folder.path / TUNED} w={folder.path / ALL_LATENTS}")


def explain_problems(config: ProjectConfig, model: Model) -> Iterator[str]:
    """Yield sentences about settings that do not fit the snapshot.

    Raises:
        ConfigError: the snapshot has no generator of latents.
    """
    assert model.generator is not None
    if config.space != "z":
        yield from model.explain_missing_w(f"space={config.space}")
        if config.tune and not model.has_w:
            yield "tune=true needs a generator with w, such as StyleGAN's."
    if config.start == "encoder":
        yield from model.explain_missing_encoder()
    yield from explain_unlike_lpips(model, "project")
    if model.label_dim and config.class_ is None:
        yield "class=null: this generator has labels; give the class of the images."
    elif config.class_ is not None:
        try:
            model.label_batch([0], config.class_)
        except ConfigError as error:
            yield from error.problems


def _projection_settings(config: ProjectConfig) -> ProjectionSettings:
    return ProjectionSettings(
        space=config.space,
        steps=config.steps,
        lr=config.lr,
        pixel_weight=config.pixel_weight,
        noise_weight=config.noise_weight,
        spread_weight=config.spread_weight,
        seed=config.seed,
    )


def _stems(root: Path, files: list[Path]) -> Iterator[str]:
    """Yield the paths of results below the output folder, which differ for different inputs."""
    base = root.parent if root.is_file() else root
    paths = [file.relative_to(base) for file in files]
    stems = [str(path.with_suffix("")) for path in paths]
    for path, stem in zip(paths, stems, strict=True):
        # SHEET and ALL_LATENTS are files of the same folder.
        taken = stems.count(stem) > 1 or stem in ("grid", "w", "tuned")
        yield path.as_posix() if taken else Path(stem).as_posix()


def _project(
    config: ProjectConfig,
    model: Model,
    projector: Projector,
    targets: list[Target],
    folder: Path,
    advance: Callable[[int], None],
) -> None:
    """Project images and write their files."""
    images = to_float(torch.stack([target.pixels for target in targets]))
    images = images.to(model.precision.device)
    shown = set(np.linspace(0, config.steps - 1, config.frames).round().astype(int).tolist())
    frames: list[Tensor] = []

    def report(step: int, lpips: Tensor, made: Tensor) -> None:
        advance(len(targets))
        if step in shown:
            frames.append(to_uint8(made.cpu()))

    start = None
    if config.start == "encoder" or (config.start == "auto" and "E" in model.networks):
        start = model.encode(images) if config.space != "z" else None
    elif config.start == "nearest":
        start = projector.nearest(images)
    found = projector.project(images, start, report)
    for i, target in enumerate(targets):
        path = folder / target.stem
        path.parent.mkdir(parents=True, exist_ok=True)
        if frames:
            film = (to_image(frame[i].numpy()) for frame in frames)
            file = path.with_name(f"{path.name}.{config.format}")
            write_animation(file, film, config.format, fps=FPS, loop=False)
        made = to_uint8(found.images[i].cpu())
        save_png(path.with_name(f"{path.name}.png"), to_image(made.numpy()))
        with atomic_write(path.with_name(f"{path.name}.npz")) as file:
            np.savez(file, allow_pickle=False, **_arrays(model, found, i))


def _arrays(model: Model, found: Projection, i: int) -> dict[str, np.ndarray]:
    arrays = {"w" if model.has_w else "z": found.latents[i]}
    arrays |= {f"noise.{name}": values[i, 0] for name, values in found.noise.items()}
    return {name: values.cpu().numpy() for name, values in arrays.items()}


@torch.no_grad()
def _summarize(
    model: Model, lpips: LPIPS, targets: list[Target], folder: Path, say: Callable[[str], None]
) -> None:
    """Say how close the images are, and write all latents and the sheet.

    Two distances: of the image with its own noise, and of what `generate w=` makes of the latents,
    with the noise that is stored in the generator.
    """
    rows, latents = [], []
    width = max(len(target.stem) for target in targets)
    for target in targets:
        real = target.pixels[None]
        fitted = torch.from_numpy(np.asarray(Image.open(folder / f"{target.stem}.png")).copy())
        fitted = fitted.view(*fitted.shape[:2], -1).permute(2, 0, 1)[None]
        latent = _read_latent(model, folder / f"{target.stem}.npz")
        plain = to_uint8(model.synthesize(latent[None], "const", [0]).cpu())
        scores = [_scores(model, lpips, real, x) for x in (fitted, plain)]
        texts = [f"LPIPS {distance:.4f}  PSNR {ratio:5.2f} dB" for distance, ratio in scores]
        if texts[0] == texts[1]:
            del texts[1]
        say(f"{target.stem:{width}}  {'  without its noise: '.join(texts)}")
        rows.append((real, fitted, plain))
        latents.append(latent.cpu())
    with atomic_write(folder / ALL_LATENTS) as file:
        np.savez(
            file, allow_pickle=False, **{"w" if model.has_w else "z": torch.stack(latents).numpy()}
        )
    columns = zip(
        ("real", "projected", "latents alone"), zip(*rows[:MAX_ROWS], strict=True), strict=True
    )
    save_png(folder / SHEET, compose_grid({name: torch.cat(images) for name, images in columns}))
    say(
        f"{counted(len(targets), 'image')} in {folder}; all latents are in "
        f"{folder / ALL_LATENTS}. Next:"
    )
    say(f"  gantrain generate run={model.file} w={folder / ALL_LATENTS}")


def _read_latent(model: Model, file: Path) -> Tensor:
    with np.load(file, allow_pickle=False) as content:
        latent = torch.from_numpy(content["w" if model.has_w else "z"])
    return latent.to(model.precision.device)


def _scores(model: Model, lpips: LPIPS, x: Tensor, y: Tensor) -> tuple[float, float]:
    pair = [for_lpips(to_float(image.to(model.precision.device))) for image in (x, y)]
    return float(lpips(*pair)), float(psnr(x, y))


def _tune(
    config: ProjectConfig,
    model: Model,
    lpips: LPIPS,
    targets: list[Target],
    folder: Path,
    advance: Callable[[int], None],
) -> float:
    """Adapt the generator to all images, save it as a snapshot, and return its mean LPIPS."""
    device = model.precision.device
    images = to_float(torch.stack([target.pixels for target in targets])).to(device)
    ws = torch.stack([_read_latent(model, folder / f"{target.stem}.npz") for target in targets])
    tuned = tune(
        model.style,
        ws,
        images,
        lpips,
        steps=config.tune_steps,
        lr=config.tune_lr,
        batch=config.batch,
        report=lambda step, distance: advance(1),
    )
    synthesis = cast(StyleGenerator, tuned).synthesis
    with torch.no_grad():
        made = torch.cat([synthesis(w, noise_mode="const") for w in ws.split(config.batch)])
        distance = lpips(for_lpips(to_float(to_uint8(made))), for_lpips(images)).mean()
    networks = {**model.networks, "G": tuned}
    specs = {name: spec_of(network) for name, network in model.networks.items()}
    save_snapshot(folder / TUNED, networks, specs, {**model.meta, "tuned": config.tune_steps})
    return float(distance)
