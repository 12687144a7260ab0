"""Where reports go: files of JSON lines and TensorBoard."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantrain.tracking.tracker import Event


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
