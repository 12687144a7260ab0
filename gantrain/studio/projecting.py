"""What the page makes of photos: their latents, as pins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from gantrain.errors import ConfigError
from gantrain.inference import latent_sources
from gantrain.metrics import weights
from gantrain.ops.value_range import to_float
from gantrain.studio.calls import Call, OwnFile
from gantrain.studio.generating import Look, Pin, of_pin
from gantrain.studio.open_run import OpenRun, Progress

SHEET, LATENTS = "grid.png", "w.npz"  # beside an image and an .npz of the photo


@dataclass(frozen=True)
class Projected:
    """A photo in latent space.

    Attributes:
        photo: as the generator's images are, for a browser.
        found: the closest image.
        latents: .npz with latents and noise.
        pin: the latents.
        text: how close it is.
        call: the command.
    """

    photo: Path
    found: Path
    latents: Path
    pin: Pin
    text: str
    call: Call


def spaces(run: OpenRun) -> list[str]:
    """Return the latent spaces in which a generator's photos can be found."""
    return ["w", "w+"] if run.model.has_w else ["z"]


def call_for(run: OpenRun, photo: Path, space: str, steps: int, label: Any) -> Call:
    """Return the command that projects a photo.

    Args:
        run: a generator.
        photo: the file.
        space: one of `spaces`.
        steps: of the optimizer.
        label: class of the photo; None: the generator has no classes.
    """
    settings: dict[str, Any] = {
        "input": OwnFile(photo, photo.name),
        "output": "projected",
        "space": space,
        "steps": steps,
    }
    if label is not None:
        settings["class"] = label
    if run.lpips:
        settings["weights.lpips"] = run.lpips
    return run.call("project", **settings)


def project(run: OpenRun, call: Call, progress: Progress) -> Projected:
    """Find the latents of a photo, with a copy of the model, so that others can use this one.

    Raises:
        ConfigError: weights are missing (nothing is downloaded), or the photo cannot be read.
    """
    if missing := weights.missing_message("lpips", run.lpips):
        raise ConfigError(missing)
    folder = run.folders.new()
    said: list[str] = []
    run.tools.project(call.but(output=str(folder)).check(), said.append, progress)
    photo = call.settings["input"].path
    _, pixels = latent_sources.read_images(run.model, photo, "input")
    [found] = (file for file in folder.glob("*.png") if file.name != SHEET)
    [latents] = (file for file in folder.glob("*.npz") if file.name != LATENTS)
    [values] = latent_sources.read_w(run.model, folder / LATENTS).cpu()
    alone = Pin(photo.stem, found, None, {}, values)
    picture = run.generate(of_pin(run, alone, Look()))
    return Projected(
        photo=run.preview(to_float(pixels[0]), photo, alpha=False),
        found=found,
        latents=latents,
        pin=Pin(photo.stem, picture.shown, None, {}, values),
        text=_in_words(next(text for text in said if "LPIPS" in text)),
        call=call,
    )


def reporting(report: Callable[[int, int], None], *stops: Event) -> Progress:
    """Return a progress for `project` that reports numbers of steps and can be stopped.

    Args:
        report: gets the number of steps done, and of all.
        stops: one of them is set to end the projection with a ConfigError.
    """

    @contextmanager
    def progress(total: int) -> Iterator[Any]:
        done = 0

        def advance(count: int) -> None:
            nonlocal done
            done += count
            report(done, total)
            if any(stop.is_set() for stop in stops):
                raise ConfigError(f"Stopped after {done} of {total} steps.")

        yield advance

    return progress


def _in_words(line: str) -> str:
    """Return the distances in a line of `project`, which are in columns there."""
    distances = " ".join(line[line.index("LPIPS") :].split())
    return distances.replace(" PSNR", ", PSNR").replace(" without", "; without")
