"""gantrain studio: a page to play with trained models."""

import os
import signal
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from gantrain.commands import directions, generate, project, translate
from gantrain.config.studio import StudioConfig
from gantrain.engine import startup
from gantrain.inference.home import name_of
from gantrain.inference.model import Model
from gantrain.inference.model import load as load_model
from gantrain.io import hub
from gantrain.studio.generating import directions as directions_of
from gantrain.studio.open_run import Folders, OpenRun, Tools
from gantrain.studio.server import Server, open_place, temporary_home
from gantrain.tracking.waiting import waiting

TOOLS = Tools(
    generate=generate.render,
    translate=translate.translate_files,
    project=project.main,
    directions=directions.main,
)
EXIT_TERMINATED = 128 + signal.SIGTERM


def main(config: StudioConfig) -> None:
    """Open the page, until Ctrl-C.

    Raises:
        ConfigError: a run cannot be loaded, a file cannot be used, or there is no port.
        KeyboardInterrupt: Ctrl-C.
        SystemExit: 143 after SIGTERM.
    """
    signal.signal(signal.SIGTERM, _terminate)
    for path in filter(hub.is_address, config.run):
        hub.fetch(hub.parse(path))  # the page itself is offline
    with temporary_home() as home:
        folders = Folders(home / "results")
        runs = list(_open(config, folders))
        with waiting("loading gradio"), startup.paused_gc():
            from gantrain.studio.page import whole as page  # after the home, and slow
        place = open_place(config.host, config.port)
        if config.port not in (0, place.port):
            print(f"Port {config.port} is taken: this is {place.port}.")
        server = Server(page.build(runs), place, page.LOOK)
        with server.running():
            print(f"The page is at {place.address} (Ctrl-C to end)", flush=True)
            if config.open and _has_display():
                webbrowser.open(place.address)
            try:
                server.wait()
            finally:
                folders.closed.set()


def _open(config: StudioConfig, folders: Folders) -> Iterator[OpenRun]:
    """Yield the loaded runs."""
    device: dict[str, Any] = {} if config.device == "auto" else {"device": config.device}
    device |= {} if config.precision == "fp32" else {"precision": config.precision}
    for path in config.run:
        model = load_model(path, config.device, config.precision, say=print)
        run = OpenRun(
            name=_name(path, model),
            model=model,
            tools=TOOLS,
            folders=folders,
            device=device,
            direction_files=tuple(config.directions or ()),
            lpips=config.weights.lpips,
        )
        if not run.translates:
            directions_of(run)  # a file that does not fit is refused before the page opens
        print(f"{model.algorithm} from {model.file}, on {model.precision.device}.")
        yield run


def _name(path: str, model: Model) -> str:
    if hub.is_address(path):
        return name_of(model)
    return Path(path).stem if Path(path).is_file() else Path(path).resolve().name


def _has_display() -> bool:
    """Return whether a browser would open a window, rather than take the terminal."""
    is_desktop = sys.platform in ("darwin", "win32")
    return is_desktop or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(EXIT_TERMINATED)
