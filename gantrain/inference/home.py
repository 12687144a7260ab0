"""Where a model is at home: the folder that its results go to."""

from pathlib import Path

from gantrain.inference.model import Model
from gantrain.io import hub_folder


def home_of(model: Model) -> Path | None:
    """Return the run directory of a model, or the folder of a snapshot that is in none.

    None of a model of the hub: its folder is for uploads, or part of a cache.
    """
    if hub_folder.find(model.file):
        return None
    folder = model.file.parent
    return folder.parent if folder.name in ("snapshots", "checkpoints") else folder


def name_of(model: Model) -> str:
    """Return what results of a model are called after: its images in thousands, or its name."""
    if origin := model.meta.get("hub"):
        return origin.partition("@")[0].rpartition("/")[2]
    if hub_folder.find(model.file):
        return model.file.parent.resolve().name
    return model.file.stem.removeprefix("snapshot-").removeprefix("checkpoint-")
