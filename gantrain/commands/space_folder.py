"""The folder of a Space: a page for a model on the Hugging Face Hub, with gradio, on a CPU."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path

import yaml

from gantrain import __version__
from gantrain.inference.model import Model
from gantrain.io import hub, hub_folder
from gantrain.io.files import write_text

APP, CARD, REQUIREMENTS = "app.py", "README.md", "requirements.txt"
GRADIO = "6.10.0"  # the oldest that the studio takes
BESIDE = "Path(__file__).parent"  # app.py's own words for where the model is
VERSION = (
    f"The Space installs gantrain {__version__} from PyPI. If that version is not there, put its "
    f"wheel into the folder and name it in {REQUIREMENTS} instead."
)


def write(folder: Path, model: Model, load_from: str | None, license: str | None) -> None:
    """Write the files of a Space.

    Args:
        folder: new.
        model: as it is loaded from a folder for the hub, whose two files are put beside the page.
        load_from: hub:OWNER/NAME@REV, from where the page loads it instead; None: see `model`.
        license: identifier; None: not stated.
    """
    app = files("gantrain.studio.page").joinpath("space.py").read_text(encoding="utf-8")
    if load_from is not None:
        app = app.replace(f"{BESIDE}  # or", f'"{load_from}"  # or', 1)
    write_text(folder / APP, app)
    write_text(folder / REQUIREMENTS, _requirements())
    write_text(folder / CARD, _card(model, load_from, license))
    if load_from is None:
        for name in (hub_folder.CONFIG, hub_folder.WEIGHTS):
            shutil.copyfile(model.file.parent / name, folder / name)


def _requirements() -> str:
    return (
        "# torch for CPUs is a tenth of the one for GPUs\n"
        "--extra-index-url https://download.pytorch.org/whl/cpu\n"
        f"gantrain[hub]=={__version__}\n"
        "pillow<13  # as gradio wants it\n"
    )


def _card(model: Model, load_from: str | None, license: str | None) -> str:
    front: dict[str, object] = {
        "title": f"{model.algorithm} of gantrain",
        "sdk": "gradio",
        "sdk_version": GRADIO,
        "app_file": APP,
        "tags": ["gantrain"],
    }
    if license:
        front["license"] = license
    where = "The model is in this folder."
    if load_from is not None:
        address = hub.parse(load_from)
        front["models"] = [address.repository]
        where = f"The model is https://huggingface.co/{address.repository}."
    what = "translates a picture that you give" if model.directions else "makes pictures from seeds"
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n# {front['title']}\n\n"
        f"A page that {what}, on a CPU. {where}\n\nTo try it on your own machine: "
        f"`pip install gradio=={GRADIO} -r {REQUIREMENTS}`, then `python {APP}`.\n\n"
        f"Licence: {license or 'not stated'}.\n"
    )
