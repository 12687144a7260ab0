"""A run that is open in the studio: its loaded model, and what the commands make of it."""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantrain.data.bit_depth import ImageFault
from gantrain.data.views import AnyFile
from gantrain.errors import ConfigError
from gantrain.inference import image_io
from gantrain.inference.home import home_of, name_of
from gantrain.inference.image_io import run_pixels
from gantrain.inference.inputs import TranslationTask
from gantrain.inference.model import Model
from gantrain.inference.pictures import to_picture
from gantrain.studio.calls import Call
from gantrain.tracking.grids import save_png

MOST_FOLDERS = 200  # of results that are kept; a slider makes many
_BY_THE_PAGE = (".png", ".webp")  # kinds of files that browsers show
Say = Callable[[str], None]
Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True)
class Tools:
    """What the commands do, which this package does not import.

    Attributes:
        generate: writes the files of a GenerateConfig with a loaded model.
        translate: translates the images of a TranslateConfig with a loaded model; returns them.
        project: the command project.
        directions: the command directions.
    """

    generate: Callable[[Any, Model], Any]
    translate: Callable[[Any, Model, Say], list[TranslationTask]]
    project: Callable[[Any, Say, Progress], None]
    directions: Callable[[Any], None]


@dataclass(frozen=True)
class Picture:
    """What a command wrote.

    Attributes:
        file: the image or the video.
        shown: the same for a browser.
        latents: its .npz; None: there is none.
        call: the command, without where its results go.
    """

    file: Path
    shown: Path
    latents: Path | None
    call: Call


class Folders:
    """Folders for results, the oldest of which are removed.

    Attributes:
        closed: set at the end: what is being made is no longer wanted.

    Args:
        home: the folder that they are in.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.closed = home, threading.Event()
        self._count = 0
        self._kept: deque[Path] = deque()
        self._lock = threading.Lock()

    def new(self) -> Path:
        """Create and return an empty folder."""
        with self._lock:
            self._count += 1
            path = self.home / f"{self._count:06d}"
            path.mkdir(parents=True)
            self._kept.append(path)
            if len(self._kept) > MOST_FOLDERS:
                shutil.rmtree(self._kept.popleft(), ignore_errors=True)
        return path


@dataclass(frozen=True)
class OpenRun:
    """A loaded run.

    Attributes:
        name: of the run, for people.
        model: the loaded snapshot.
        tools: the commands.
        folders: for the results.
        device: settings of device and precision that are not the defaults.
        direction_files: of gantrain directions, to be found in the run's folder if there are none.
        lpips: the weight file of LPIPS; None: the published one.
    """

    name: str
    model: Model
    tools: Tools
    folders: Folders
    device: dict[str, Any] = field(default_factory=dict)
    direction_files: tuple[str, ...] = ()
    lpips: str | None = None
    _lock: Any = field(default_factory=threading.Lock, repr=False, compare=False)

    @property
    def translates(self) -> bool:
        """Whether it translates images rather than to generate them."""
        return bool(self.model.directions)

    @property
    def home(self) -> Path:
        """The run's directory, or the folder of a snapshot that is in none; of the hub: ours."""
        return home_of(self.model) or self.folders.home / name_of(self.model)

    def call(self, command: str, **settings: Any) -> Call:
        """Return a command for this snapshot; later ones of a run that is trained are others."""
        run = self.model.meta.get("hub") or str(self.model.file)
        return Call(command, {"run": run, **settings, **self.device})

    def generate(self, call: Call) -> Picture:
        """Make the one picture, or the video, of a command.

        Raises:
            ConfigError: its settings do not fit.
        """
        folder = self.folders.new()
        keep = self.model.has_w
        own = call.but(grid=False, save_w=keep, out=str(folder))
        settings = own.check()
        with self._lock:
            self.tools.generate(settings, self.model)
        [file] = (path for path in folder.iterdir() if path.suffix != ".npz")
        latents = folder / "w.npz" if keep else None
        return Picture(file, self.shown(file, "image"), latents, call)

    def translate(self, call: Call, warn: Say) -> tuple[AnyFile, Picture]:
        """Translate one image; of a file of several pages, the first one is returned.

        Raises:
            ConfigError: it cannot be read or translated.
        """
        folder = self.folders.new()
        settings = call.but(output=str(folder)).check()
        with self._lock:
            tasks = self.tools.translate(settings, self.model, warn)
        file = folder / tasks[0].name
        target = settings.direction[1]
        return tasks[0].source, Picture(file, self.shown(file, target), None, call)

    def shown(self, file: Path, stream: str) -> Path:
        """Return a result as a file that browsers show.

        Args:
            file: as `image_io.write` wrote it, or a video.
            stream: whose images it is one of: "image", "a" or "b".
        """
        data = self.model.meta.get("data", {})
        pixels = run_pixels(data, stream)
        if file.suffix in _BY_THE_PAGE and not pixels.has_units:
            return file
        try:
            x = image_io.read_result(file, pixels)
        except ImageFault as fault:
            raise ConfigError(f"{file.name} {fault}.") from None
        return self.preview(x, file, pixels.alpha is not False)

    def preview(self, x: Any, file: Path, alpha: bool) -> Path:
        """Write an image in [-1, 1], [C, H, W], as a PNG of 8 bits beside a file."""
        target = self.folders.new() / f"{file.stem}.png"
        save_png(target, to_picture(x, self.model.meta.get("data", {}), alpha))
        return target
