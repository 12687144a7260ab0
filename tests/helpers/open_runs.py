"""Runs as the studio opens them, and its commands typed in a shell."""

import shlex
import shutil
from pathlib import Path

from gantrain.commands.studio import TOOLS
from gantrain.inference.model import load
from gantrain.studio.calls import Call, OwnFile
from gantrain.studio.open_run import Folders, OpenRun
from tests.helpers.command_line import gantrain


def open_run(run: Path, **settings: str | tuple[str, ...]) -> OpenRun:
    """The run below the folder of the tests, on the CPU."""
    folders = Folders(run.parent / "studio" / run.name)
    device = {"device": "cpu"}
    return OpenRun(run.name, load(run), TOOLS, folders, device, **settings)  # type: ignore[arg-type]


def typed(call: Call, folder: Path, *more: str) -> str:
    """Run the text of a command in a folder with the files that the user has or saves."""
    folder.mkdir(parents=True, exist_ok=True)
    for value in call.settings.values():
        if isinstance(value, OwnFile):
            (folder / value.name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(value.path, folder / value.name)
    program, *words = shlex.split(call.text)
    assert program == "gantrain"
    return gantrain(folder, *words, *more)
