"""The folder that a model is published as: weights, description, card and pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from gantrain.build import load_run_data, preview_batch, size_multiple
from gantrain.data.base import Dataset
from gantrain.errors import ConfigError, counted
from gantrain.inference.contact_sheet import image_grid
from gantrain.inference.home import home_of
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.inference.pictures import look_of, to_picture
from gantrain.inference.translation import picture_channels
from gantrain.io import hub_folder
from gantrain.io.files import unwritable_as_config_error, write_text
from gantrain.networks.spec import spec_of
from gantrain.ops.value_range import to_float
from gantrain.pages import model_card
from gantrain.runs import recorded
from gantrain.runs.directory import RunDirectory
from gantrain.tracking.grids import compose_grid, save_png, thumbnails

CARD, SAMPLES = "README.md", "samples.png"
SAMPLE_COUNT = 16
PAIR_COUNT = 4
NO_LICENSE = (
    "Licence: not stated. Nobody may use the model without one: add license=, such as license=mit, "
    "if you may grant it."
)


@dataclass(frozen=True)
class Publication:
    """What is published, and how.

    Attributes:
        run: the value of run=.
        license: identifier; None: not stated.
        pictures: on the card; None: of generators.
        data_root: where the data set is now; None: where it was.
        address: of the model on the hub; None: unknown.
    """

    run: str
    license: str | None
    pictures: bool | None
    data_root: str | None
    address: str | None = None


def publish(what: Publication, folder: Path) -> Model:
    """Write the folder of a model, and return the model as it is loaded from there.

    Args:
        what: see `Publication`.
        folder: new or empty.

    Raises:
        ConfigError: the model cannot be loaded or described, or its data are not where they were.
    """
    model = load_model(what.run, say=print)
    networks = model.networks
    written = write_model(model, folder)
    pictures = list(_pictures(what, written, home_of(model) or folder))
    settings, evaluations = _history(model)
    facts = model_card.Facts(
        algorithm=model.algorithm,
        directions=model.directions,
        parameters={name: _parameters(network) for name, network in networks.items()},
        size=_size(model),
        channels=_channels(model),
        meta=written.meta,
        settings=settings,
        has_w=not model.directions and model.has_w,
        evaluations=evaluations,
        pictures=pictures,
        license=what.license,
        address=what.address,
    )
    write_text(folder / CARD, model_card.write(facts))
    if what.license is None:
        print(NO_LICENSE)
    return written


def write_model(model: Model, folder: Path) -> Model:
    """Write the weights and the description of a model, and return it as it is loaded from there.

    Raises:
        ConfigError: it cannot be described.
    """
    specs = {name: spec_of(network) for name, network in model.networks.items()}
    weights = {name: network.state_dict() for name, network in model.networks.items()}
    hub_folder.write(folder, specs, weights, model.meta)
    return load_model(folder)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a folder to fill, which becomes `folder` unless the block ends with an error.

    Raises:
        ConfigError: `folder` exists and holds something, or cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(
            f"output={folder} already exists and is not overwritten: name a new or an empty folder."
        )
    with unwritable_as_config_error("output", folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as home:
            yield Path(home, "new")
            if folder.exists():
                folder.rmdir()
            Path(home, "new").rename(folder)


def _parameters(network: nn.Module) -> int:
    return sum(x.numel() for x in network.parameters())


def _size(model: Model) -> tuple[int, int] | None:
    """Return (height, width) of the images of a model; None: unknown."""
    own = getattr(next(iter(model.networks.values())), "resolution", None)
    size = own or model.meta.get("data", {}).get("resolution")
    if isinstance(size, list | tuple) and len(size) == 2:
        return int(size[0]), int(size[1])
    return None


def _channels(model: Model) -> int:
    """Return the channels of the pictures that a model takes or makes."""
    if not model.directions:
        return int(getattr(model.generator, "channels", 3))
    return picture_channels(model.translator(), model.meta.get("data", {}))[0] or 3


def _history(model: Model) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the settings of the run of a model, and its evaluations of just these weights."""
    folder = home_of(model)
    if folder is None or not RunDirectory(folder).config.is_file():  # of the hub, or imported
        return {}, []
    home = RunDirectory(folder)
    digest = hashlib.sha256(model.file.read_bytes()).hexdigest()
    nimg, untouched = model.meta.get("nimg"), "tuned" not in model.meta
    kept: dict[str, dict[str, Any]] = {}
    left_out = 0
    for row in recorded.rows(home.evaluations):
        in_training = bool(row.get("training")) and row.get("nimg") == nimg and untouched
        if row["value"] is None:
            continue
        if in_training or row.get("snapshot") == digest:
            kept[f"{row.get('name')} {row.get('direction')} {row['protocol']}"] = row
        else:
            left_out += 1
    if left_out:
        print(
            f"{counted(left_out, 'value')} of {home.evaluations.name} left out: of other snapshots."
        )
    return home.read_config(), list(kept.values())


def _pictures(what: Publication, model: Model, home: Path) -> Iterator[tuple[str, str]]:
    """Write the pictures of the card, made by the published model; yield names and captions.

    Args:
        what: which ones.
        model: as it is loaded from the new folder, where they go.
        home: the run directory, which knows the data.
    """
    folder = model.file.parent
    if not model.directions and what.pictures is not False:
        save_png(folder / SAMPLES, _sheet(model))
        psi = "without truncation" if model.has_w else "as the network makes them"
        yield SAMPLES, f"Seeds 0 to {SAMPLE_COUNT - 1}, {psi}, not selected."
    elif model.directions and what.pictures:
        data = load_run_data(home, what.data_root, model)
        data.prepare(batch=1, multiple=size_multiple(model), log=print)
        yield from _pairs(model, data, folder)


def _sheet(model: Model) -> Image.Image:
    """Return the pictures of the first seeds, smaller if they are large."""
    data = model.meta.get("data", {})
    images = [
        to_picture(x, data)
        for start in range(0, SAMPLE_COUNT, 4)
        for x in thumbnails(model.sample(range(start, start + 4), batch=4))
    ]
    return image_grid(images)


def _pairs(model: Model, data: Dataset, folder: Path) -> Iterator[tuple[str, str]]:
    """Write test images beside their translations, a file for each direction."""
    batch = {name: to_float(x) for name, x in preview_batch(data, PAIR_COUNT).items()}
    about = model.meta.get("data", {})
    for direction in model.directions:
        x = look_of(about)(batch[direction[0]], None)
        with torch.no_grad():
            columns: dict[str, Tensor] = {"input": x, "result": model.translate(x, direction)}
        columns = {name: thumbnails(images) for name, images in columns.items()}
        file = f"translations-{direction}.png"
        save_png(folder / file, compose_grid(columns, show=about.get("show")))
        first, last = direction
        yield file, f"Images of the data set, and their translations from {first} to {last}."
