"""The one place the engine reports to, and the sinks behind it."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image
from torch import Tensor

from gantrain.io.files import kimg_label
from gantrain.tracking.grids import compose_grid, save_png

Event = dict[str, Any]  # alarm, level ("warning" or "critical"), where, text, advice


class Sink(Protocol):
    """Something that shows or stores reports. nimg counts images."""

    def progress(self, nimg: int) -> None: ...
    def scalars(self, nimg: int, values: dict[str, float]) -> None: ...
    def grid(self, nimg: int, image: Image.Image) -> None: ...
    def event(self, nimg: int, event: Event) -> None: ...
    def say(self, text: str) -> None: ...
    def close(self) -> None: ...


class Tracker:
    """Hands every report to every sink; grids also become PNG files in `grids`."""

    def __init__(self, sinks: list[Sink], grids: Path) -> None:
        self.sinks, self.grids = sinks, grids

    def progress(self, nimg: int) -> None:
        """After every step."""
        for sink in self.sinks:
            sink.progress(nimg)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Once a tick: named means."""
        for sink in self.sinks:
            sink.scalars(nimg, values)

    def grid(self, nimg: int, columns: dict[str, Tensor]) -> None:
        """Pictures, see `compose_grid`."""
        image = compose_grid(columns)
        save_png(self.grids / f"grid-{kimg_label(nimg)}.png", image)
        for sink in self.sinks:
            sink.grid(nimg, image)

    def event(self, nimg: int, event: Event) -> None:
        """Something that a person should know."""
        for sink in self.sinks:
            sink.event(nimg, event)

    def say(self, text: str) -> None:
        """A line for people."""
        for sink in self.sinks:
            sink.say(text)

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()


class BaseSink:
    """A sink that does nothing; others override what they care for."""

    def progress(self, nimg: int) -> None:
        pass

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        pass

    def grid(self, nimg: int, image: Image.Image) -> None:
        pass

    def event(self, nimg: int, event: Event) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def close(self) -> None:
        pass


class JsonLines(BaseSink):
    """metrics.jsonl: one object a tick, {"nimg": ..., "loss/G/...": ...}; NaN becomes null."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("a", encoding="utf-8")

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        row: dict[str, Any] = {"nimg": nimg}
        row |= {name: value if np.isfinite(value) else None for name, value in values.items()}
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class EventLines(BaseSink):
    """events.jsonl: one object an event, {"nimg": ..., "time": ..., "alarm": ...}."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def event(self, nimg: int, event: Event) -> None:
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"nimg": nimg, "time": now, **event}) + "\n")


class TensorBoard(BaseSink):
    """Scalars, grids and hyperparameters; the step is nimg.

    Args:
        resumed_at: images at which an earlier process's events end; later ones of it are purged.
        hyperparameters: flat settings, shown in the HPARAMS and TEXT tabs.
    """

    def __init__(
        self, folder: Path, hyperparameters: dict[str, Any], resumed_at: int | None = None
    ) -> None:
        from torch.utils.tensorboard.summary import hparams
        from torch.utils.tensorboard.writer import SummaryWriter

        purge = resumed_at + 1 if resumed_at else resumed_at  # 0: begun again, all of it
        self.writer = SummaryWriter(str(folder), purge_step=purge)
        if not resumed_at:
            shown = {
                key: value if isinstance(value, bool | int | float | str) else str(value)
                for key, value in hyperparameters.items()
            }
            file_writer = self.writer._get_file_writer()
            for summary in hparams(shown, {}):
                file_writer.add_summary(summary)
            rows = "\n".join(f"| {key} | {value} |" for key, value in shown.items())
            self.writer.add_text("config", f"| key | value |\n|---|---|\n{rows}", 0)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, nimg)
        self.writer.flush()  # before the checkpoint that says these are written

    def grid(self, nimg: int, image: Image.Image) -> None:
        self.writer.add_image("grid", np.asarray(image), nimg, dataformats="HWC")

    def close(self) -> None:
        self.writer.close()
