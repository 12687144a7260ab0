"""What the page makes of generators of latents: pictures, mixes, edits and paths between pins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.inference import latent_sources
from gantrain.inference.editing import explain_misfit, read_directions
from gantrain.inference.generators import explain_missing_noise
from gantrain.inference.model import Model
from gantrain.io.files import atomic_write
from gantrain.studio.calls import Call, OwnFile
from gantrain.studio.open_run import OpenRun, Picture

MOST_DIRECTIONS = 16  # sliders
GROUPS = ("coarse", "middle", "fine")
CLASS_OF_SEED = ""  # the choice to leave the class to the seed


@dataclass(frozen=True)
class Look:
    """What a picture looks like, apart from its seed.

    Attributes:
        psi: truncation.
        label: class name or number, or CLASS_OF_SEED.
        noise: const, random or none.
        strengths: of the directions, by FILE:INDEX.
    """

    psi: float = 1.0
    label: str | int = CLASS_OF_SEED
    noise: str = "const"
    strengths: dict[str, float] = field(default_factory=dict)

    @property
    def source(self) -> dict[str, Any]:
        """The settings that only seeds have."""
        settings: dict[str, Any] = {}
        if self.psi != 1:
            settings["truncation_psi"] = float(self.psi)
        if self.label != CLASS_OF_SEED:
            settings["class"] = self.label
        return settings

    @property
    def finish(self) -> dict[str, Any]:
        """The settings that pictures of any latents have."""
        settings: dict[str, Any] = {} if self.noise == "const" else {"noise": self.noise}
        moved = {key: float(value) for key, value in self.strengths.items() if value}
        if len(moved) == 1:
            [(direction, strength)] = moved.items()
            settings |= {"edit.direction": direction, "edit.strength": strength}
        elif moved:
            settings["edit.direction"] = list(moved)
            settings["edit.strength"] = list(moved.values())
        return settings


@dataclass(frozen=True)
class Pin:
    """A picture that is kept to begin with, or to pass through.

    Attributes:
        name: for people.
        shown: its picture.
        seed: with `settings`, what it is made of, if that is nothing else.
        settings: of all seeds of a command that makes it.
        values: its latents, [num_ws, w_dim], or of a generator without w those of a photo,
            [z_dim + label_dim]; None: unknown.
        noise: const, random or none.
    """

    name: str
    shown: Path
    seed: int | None
    settings: dict[str, Any]
    values: Tensor | None
    noise: str = "const"


def choices_of_class(model: Model) -> list[tuple[str, str | int]]:
    """Return the classes to choose from, by what they are called; []: there are none.

    The first choice is CLASS_OF_SEED.
    """
    about = model.labels or {}
    if not model.label_dim or about.get("kind") == "float":
        return []
    names = [str(name) for name in about.get("names") or ()]
    classes: list[str | int] = [*names] if names else [*range(model.label_dim)]
    return [("by seed", CLASS_OF_SEED), *((str(one), one) for one in classes)]


def has_noise(run: OpenRun) -> bool:
    """Return whether its pictures have noise to choose."""
    return run.model.has_w and not explain_missing_noise(run.model.networks["G"])


def layer_groups(run: OpenRun) -> dict[str, str | int]:
    """Return thirds of the layers, from coarse to fine: their names and layers."""
    bounds = np.linspace(0, run.model.style.num_ws, len(GROUPS) + 1).round().astype(int)
    groups = {}
    for name, first, end in zip(GROUPS, bounds[:-1], bounds[1:], strict=True):
        if first < end:
            span = f"{first}-{end - 1}" if first < end - 1 else int(first)
            groups[f"{name} ({span})"] = span
    return groups


def directions(run: OpenRun) -> dict[str, str]:
    """Return the directions that fit the generator: what they are called, by FILE:INDEX.

    Raises:
        ConfigError: a file that was named cannot be read, or holds none that fits.
    """
    if not run.model.has_w:
        return {}
    files = run.direction_files or tuple(
        str(file) for file in sorted(run.home.glob("*/directions.npz"))
    )
    sizes = run.model.style.w_dim, run.model.style.num_ws
    found: dict[str, str] = {}
    for file in files:
        try:
            together = read_directions(file)
            problems = explain_misfit(together.pick(0), *sizes)
        except ConfigError as error:
            problems = [*error.problems]
        if problems and run.direction_files:
            raise ConfigError(*(f"directions={file}: {problem}" for problem in problems))
        if problems:
            continue
        where = f"{Path(file).parent.name}: " if len(files) > 1 else ""
        found |= {f"{file}:{i}": f"{where}{name}" for i, name in enumerate(together.names)}
    return dict(list(found.items())[:MOST_DIRECTIONS])


def find_directions(run: OpenRun) -> None:
    """Find the principal components of w, and keep them in the run's folder.

    Raises:
        ConfigError: they cannot be written there.
    """
    count = min(10, run.model.style.w_dim)
    target = run.home / "directions"
    call = run.call("directions", output=str(target), method="pca", count=count, seeds=0)
    run.tools.directions(call.check())


def of_seed(run: OpenRun, seed: int, look: Look) -> Call:
    """Return the command for the picture of a seed."""
    return run.call("generate", seeds=seed, **look.source, **look.finish)


def of_pin(run: OpenRun, pin: Pin, look: Look) -> Call:
    """Return the command for a pinned picture, with the noise and the edits of a look."""
    if pin.values is None:
        assert pin.seed is not None
        return run.call("generate", seeds=pin.seed, **pin.settings)
    latents = _write_latents(run, [pin], f"{_plain(pin.name)}.npz")
    return run.call("generate", w=latents, **look.finish)


def of_mix(run: OpenRun, row: int, column: int, groups: Sequence[str], look: Look) -> Call:
    """Return the command for the picture of a seed with some layers of another one's.

    Args:
        run: a generator with w.
        row: the seed of the other layers.
        column: the seed of the layers in the groups.
        groups: names as from `layer_groups`; []: none.
        look: without directions.
    """
    if not groups:
        return of_seed(run, row, look)
    spans = [span for name, span in layer_groups(run).items() if name in groups]
    mixing = {"rows": row, "columns": column, "layers": spans[0] if len(spans) == 1 else spans}
    settings = {f"style_mixing.{key}": value for key, value in mixing.items()}
    return run.call("generate", **settings, **look.source, **look.finish)


def of_path(run: OpenRun, pins: Sequence[Pin], frames: int, loop: bool) -> Call:
    """Return the command for a video from one pin to the next.

    Seeds are named if all pins are those of one look, else a file of their latents.

    Raises:
        ConfigError: there are fewer than two, or they have no w and differ in more than the seed.
    """
    if len(pins) < 2:
        raise ConfigError("Pin two pictures or more: the video goes from one to the next.")
    path: dict[str, Any] = {"interpolation.frames": frames}
    path |= {} if loop else {"interpolation.loop": False}
    if all(pin.seed is not None and pin.settings == pins[0].settings for pin in pins):
        return run.call("generate", seeds=[pin.seed for pin in pins], **pins[0].settings, **path)
    if any(pin.values is None for pin in pins):  # of a generator without w
        raise ConfigError(
            f"{run.model.algorithm} has no latent w to interpolate between classes: pin pictures "
            "of one class only."
        )
    look = Look(noise=pins[0].noise)
    latents = _write_latents(run, pins, "pins.npz")
    return run.call("generate", w=latents, **look.finish, **path)


def pin(run: OpenRun, picture: Picture, name: str) -> Pin:
    """Return a picture as a pin."""
    settings = dict(picture.call.settings)
    seed, source = None, {}
    if "seeds" in settings and "edit.direction" not in settings:
        seed = settings["seeds"]
        source = {
            key: value
            for key, value in settings.items()
            if key in ("truncation_psi", "class", "noise")
        }
    values = None
    if picture.latents is not None:
        [values] = latent_sources.read_w(run.model, picture.latents).cpu()
    return Pin(name, picture.shown, seed, source, values, settings.get("noise", "const"))


def describe(picture: Picture) -> str:
    """Return what a picture is called: after its seeds or its file, and its edits."""
    settings = picture.call.settings
    if "seeds" in settings:
        name = f"seed {settings['seeds']}"
    elif "w" in settings:
        name = Path(settings["w"].name).stem
    else:
        name = f"seeds {settings['style_mixing.rows']} and {settings['style_mixing.columns']}"
    return f"{name}, edited" if "edit.direction" in settings else name


def _write_latents(run: OpenRun, pins: Sequence[Pin], name: str) -> OwnFile:
    values = torch.stack([pin.values for pin in pins if pin.values is not None]).numpy()
    target = run.folders.new() / name
    with atomic_write(target) as file:
        np.savez(file, allow_pickle=False, **{"w" if run.model.has_w else "z": values})
    return OwnFile(target, name)


def _plain(name: str) -> str:
    """Return a name without what a shell would need quotes for."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name).strip("-.") or "pin"
