"""Full training state on disk: whole or not there, the newest good one found again."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.gans.base import GAN
from gantrain.io.files import atomic_write, is_intact, kimg_label, remove_leftovers

PATTERN = re.compile(r"checkpoint-(\d+)\.(\d{3})\.pt")


class CheckpointStore:
    """The checkpoints of one run, `checkpoint-<kimg>.pt`, of which the newest `keep` stay."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        remove_leftovers(folder)

    def save(self, nimg: int, state: dict[str, Any]) -> Path:
        """Write atomically, then delete the oldest ones beyond `keep`, never this one.

        Later ones are damaged, else training would have gone on from them: they go, too.
        """
        path = self.folder / f"checkpoint-{kimg_label(nimg)}.pt"
        with atomic_write(path) as file:
            torch.save(state, file)
        paths = self.paths()
        end = paths.index(path) + 1
        for old in paths[: max(0, end - self.keep)] + paths[end:]:
            old.unlink(missing_ok=True)
        return path

    def paths(self) -> list[Path]:
        """All checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("checkpoint-*.pt") if PATTERN.fullmatch(p.name))

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that is whole, and its content on the CPU; None if there is none.

        Torn files (a full disk, a bad copy) are passed over. Raises ConfigError when files are
        there but none of them can be read.
        """
        paths = self.paths()
        for path in reversed(paths):
            if (state := _read(path)) is not None:
                return path, state
        if paths:
            raise ConfigError(
                f"None of the {len(paths)} checkpoints in {self.folder} is whole; "
                "start anew under another name, or take a snapshot's weights with init_from=."
            )
        return None


def shape_mismatches(state: dict[str, Any], gan: GAN) -> list[str]:
    """What of a checkpoint's content another model could not take over, a phrase each; [] if all.

    These are the networks' shapes, and which of their weights are learned.
    """
    saved, own = _shapes(state["gan"]), _shapes(gan.state_dict())
    found = [
        f"{key} is {saved.get(key, 'absent')} there and {own.get(key, 'absent')} here"
        for key in dict.fromkeys([*saved, *own])
        if saved.get(key) != own.get(key)
    ]
    for player, optimizer in state["optimizers"].items():
        learned = sum(len(group["params"]) for group in optimizer["param_groups"])
        now = len(list(getattr(gan, player).parameters()))
        if learned != now and not found:
            found.append(f"{player} learns {learned} of its tensors there and {now} here")
    return found


def _shapes(state: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, Tensor)}


def _read(path: Path) -> dict[str, Any] | None:
    """Content on the CPU, or None if the file is torn."""
    if not is_intact(path):
        return None
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError):  # torch looks at more of a zip's directory than Python does
        return None
