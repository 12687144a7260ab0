"""Weights & Biases, behind the extra `wandb`."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gantrain.tracking import wandb_file
from gantrain.tracking.remote import ServiceRecord
from gantrain.tracking.tracker import Event


def is_logged_in(mode: str | None) -> bool:
    """Return whether W&B knows who the user is, or need not know: it is offline.

    Args:
        mode: see `WandbRun`.
    """
    if (mode or os.environ.get("WANDB_MODE") or "online") != "online":
        return True
    import wandb

    return wandb.login(prompt=False)


class WandbRun:
    """A run of W&B, which is started or continued here.

    Its horizontal axis is `nimg`, the images trained on.

    Args:
        record: has the id of a run to be continued, and gets that of a new one.
        folder: W&B writes into its subfolder `wandb`.
        name: that is shown.
        project: that the run belongs to.
        entity: user or team; None: the default of the account.
        mode: "online" or "offline"; None: that of $WANDB_MODE, or online.
        tags: labels of the run.
        settings: the config, under dotted keys.
    """

    def __init__(
        self,
        record: ServiceRecord,
        folder: Path,
        name: str,
        project: str,
        entity: str | None,
        mode: str | None,
        tags: list[str],
        settings: dict[str, Any],
    ) -> None:
        import wandb

        self._wandb = wandb
        self.run = wandb.init(
            id=record.id or uuid.uuid4().hex[:12],
            resume="allow",
            dir=str(folder),
            name=name,
            project=project,
            entity=entity,
            mode=mode,  # type: ignore[arg-type]
            tags=tags,
            config=settings,
            # It neither prints nor captures what is printed: the live display would break.
            settings=wandb.Settings(console="off", silent=True),
        )
        if record.id:
            self._correct(record, folder)
        self.run.define_metric("nimg", hidden=True)
        self.run.define_metric("*", step_metric="nimg")
        record.id = self.run.id
        record.save()

    def _correct(self, record: ServiceRecord, folder: Path) -> None:
        """Let what W&B has lost be sent again: its client writes late, and may have been killed."""
        rows = [{"nimg": self.run.summary.get("nimg", -1)}]
        if self.run.offline:
            files = folder.glob(f"wandb/offline-run-*-{record.id}/*.wandb")
            rows = [row for file in files for row in wandb_file.history(file)]
        images = [int(row["nimg"]) for row in rows if "grid/_type" not in row and "nimg" in row]
        stored = max(images, default=-1)
        if "scalars" in record.sent:
            record.sent["scalars"] = min(record.sent["scalars"], stored)

    @property
    def where(self) -> str:
        """A sentence: where to see the run."""
        if self.run.offline:
            return f"W&B, offline: wandb sync {Path(self.run.settings.sync_dir)} uploads it."
        return f"W&B: {self.run.url}"

    def scalars(self, nimg: int, values: dict[str, float]) -> None:
        """Log a report."""
        self.run.log({**values, "nimg": nimg})

    def grid(self, nimg: int, image: Image.Image) -> None:
        """Log a sample grid."""
        self.run.log({"grid": self._wandb.Image(np.asarray(image)), "nimg": nimg})

    def event(self, nimg: int, event: Event) -> None:
        """Log an alarm, and let W&B send it to those who want alerts."""
        self.run.log({f"alarm/{event['alarm']}": 1, "nimg": nimg})
        level = "ERROR" if event["level"] == "critical" else "WARN"
        text = f"{event['text']} {event['advice']}"
        self.run.alert(title=f"{event['alarm']} ({event['where']})", text=text, level=level)

    def end(self, error: BaseException | None) -> None:
        """Mark the run as finished, also if it was stopped, or as failed."""
        failed = error is not None and not isinstance(error, SystemExit)
        with contextlib.suppress(BrokenPipeError):
            self.run.finish(exit_code=int(failed))
