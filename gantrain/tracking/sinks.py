"""Sinks that store reports: JSON lines and TensorBoard."""

import json
import threading
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantrain.io.files import open_to_append
from gantrain.tracking.tracker import Event


class BaseSink:
    """A sink that ignores everything; subclasses override the methods they need."""

    def progress(self, nimg: int) -> None:
        """Ignore the end of a step."""

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Ignore a report."""

    def grid(self, nimg: int, image: Image.Image) -> None:
        """Ignore a sample grid."""

    def event(self, nimg: int, event: Event) -> None:
        """Ignore an alarm."""

    def say(self, text: str) -> None:
        """Ignore a message."""

    def end(self, error: BaseException | None) -> None:
        """Ignore how a run ends."""

    def close(self) -> None:
        """Do nothing at the end of a run."""


class JsonLines(BaseSink):
    """metrics.jsonl: one line per tick, {"nimg": ..., "loss/G/...": ...}.

    Args:
        path: the file, which is appended to.
    """

    def __init__(self, path: Path) -> None:
        self.file = open_to_append(path)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Append a report; values that are not finite become null."""
        row: dict[str, Any] = {"nimg": nimg}
        row |= {name: value if np.isfinite(value) else None for name, value in values.items()}
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()

    def close(self) -> None:
        """Close the file."""
        self.file.close()


class EventLines(BaseSink):
    """events.jsonl: one line per alarm, {"nimg": ..., "time": ..., "alarm": ...}.

    Args:
        path: the file, which is appended to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def event(self, nimg: int, event: Event) -> None:
        """Append an alarm with the current time (UTC)."""
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with open_to_append(self.path) as file:
            file.write(json.dumps({"nimg": nimg, "time": now, **event}) + "\n")


class TensorBoard(BaseSink):
    """Scalars, grids and hyperparameters for TensorBoard; its step is nimg.

    Grids may come from a thread of their own.

    Args:
        folder: of the event files.
        hyperparameters: flat settings, shown in the HPARAMS and TEXT tabs.
        resumed_at: images at which this start resumes; later events of earlier starts are purged.
            None: the first start.
    """

    def __init__(
        self, folder: Path, hyperparameters: dict[str, Any], resumed_at: int | None = None
    ) -> None:
        from torch.utils.tensorboard.summary import hparams
        from torch.utils.tensorboard.writer import SummaryWriter

        purge = resumed_at + 1 if resumed_at else resumed_at  # 0: started again, purge everything
        self.writer = SummaryWriter(str(folder), purge_step=purge)
        self._lock = threading.Lock()  # the writer does not promise to take calls of two threads
        if not resumed_at:
            plain = {
                key: value if isinstance(value, bool | int | float | str) else str(value)
                for key, value in hyperparameters.items()
            }
            file_writer = self.writer._get_file_writer()
            for summary in hparams(plain, {}):
                file_writer.add_summary(summary)
            rows = "\n".join(f"| {key} | {value} |" for key, value in plain.items())
            self.writer.add_text("config", f"| key | value |\n|---|---|\n{rows}", 0)

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Write a report and flush it."""
        with self._lock:
            for name, value in values.items():
                self.writer.add_scalar(name, value, nimg)
            self.writer.flush()  # before the checkpoint, which implies that these are stored

    def grid(self, nimg: int, image: Image.Image) -> None:
        """Write a sample grid."""
        from torch.utils.tensorboard.summary import image as image_summary

        # As `add_image` does it, but encoded before the lock, for which the training may wait.
        summary = image_summary("grid", np.asarray(image), dataformats="HWC")
        with self._lock:
            self.writer._get_file_writer().add_summary(summary, nimg)

    def close(self) -> None:
        """Flush and close the event file."""
        self.writer.close()
