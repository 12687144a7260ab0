"""Checkpoints: the full training state on disk, written atomically and verified when read."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantrain.errors import ConfigError, counted
from gantrain.gans.base import GAN
from gantrain.io.files import atomic_write, is_intact, kimg_label, remove_leftovers
from gantrain.io.tensors import DIGEST, digest, is_unaltered, named_code

PATTERN = re.compile(r"checkpoint-(\d+)\.(\d{3})\.pt")


class CheckpointStore:
    """The checkpoints of one run, `checkpoint-<kimg>.pt`.

    Args:
        folder: where they are; leftovers of interrupted writes in it are removed.
        keep: how many of the newest to keep.
    """

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self.keep = folder, keep
        # An interrupted write leaves a file as large as a checkpoint.
        remove_leftovers(folder)

    def save(self, nimg: int, state: dict[str, Any]) -> Path:
        """Write a checkpoint atomically, then delete the oldest ones beyond `keep`.

        Checkpoints of more images than this one are deleted as well: they are damaged, because
        otherwise training would have resumed from them.

        Args:
            nimg: the images trained on, which name the file.
            state: see `Trainer.state_dict`.

        Returns:
            The path of the new file.
        """
        path = self.folder / f"checkpoint-{kimg_label(nimg)}.pt"
        with atomic_write(path) as file:
            torch.save({**state, DIGEST: digest(state)}, file)
        # Only now, with the new file complete, may older ones go.
        paths = self.paths()
        # Names sort by image: what comes after `path` are checkpoints of more images.
        end = paths.index(path) + 1
        for old in paths[: max(0, end - self.keep)] + paths[end:]:
            old.unlink(missing_ok=True)
        return path

    def paths(self) -> list[Path]:
        """Return the paths of all checkpoints, oldest first."""
        return sorted(p for p in self.folder.glob("checkpoint-*.pt") if PATTERN.fullmatch(p.name))

    def newest(self) -> tuple[Path, dict[str, Any]] | None:
        """Return the newest intact checkpoint and its content on the CPU, or None if none exists.

        Damaged files (a full disk, a bad copy) are skipped.

        Raises:
            ConfigError: checkpoints exist, but all of them are damaged.
        """
        paths = self.paths()
        # A damaged file costs the images since the previous one, not the run.
        for path in reversed(paths):
            if (state := _read(path)) is not None:
                return path, state
        if paths:
            if code := _code_in(paths[-1]):
                raise ConfigError(
                    f"{paths[-1]} is not a checkpoint of gantrain: it names {code}, which is code. "
                    "Only tensors and plain values are read, and nothing of it was run."
                )
            raise ConfigError(
                f"Of {counted(len(paths), 'checkpoint')} in {self.folder}, none is intact: start "
                "again under another name, or continue from the weights of a snapshot with "
                "init_from=."
            )
        return None


def shape_mismatches(state: dict[str, Any], gan: GAN) -> list[str]:
    """Return a clause for each tensor of a checkpoint that does not fit the model; [] if all fit.

    Args:
        state: the content of a checkpoint.
        gan: the model. Its shapes, and how many of its tensors are trained, are compared.
    """
    saved, own = _shapes(state["gan"]), _shapes(gan.state_dict())
    mismatches = [
        f"{key} is {saved.get(key, 'absent')} in the checkpoint but {own.get(key, 'absent')} now"
        for key in dict.fromkeys([*saved, *own])
        if saved.get(key) != own.get(key)
    ]
    # Equal shapes are not enough: frozen layers keep their names, but have no moments.
    for player, optimizer in state["optimizers"].items():
        trained = sum(len(group["params"]) for group in optimizer["param_groups"])
        trained_now = len(list(getattr(gan, player).parameters()))
        if trained != trained_now and not mismatches:
            mismatches.append(
                f"{player} has {trained} trained tensors in the checkpoint but {trained_now} now"
            )
    return mismatches


def _shapes(state: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in state.items() if isinstance(value, Tensor)}


def _read(path: Path) -> dict[str, Any] | None:
    """Return the content on the CPU, or None if the file is damaged."""
    # Altered weights need not make a file unreadable, so checksums are compared.
    if not is_intact(path):
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # torch checks more of a zip's directory; a pickle of code is refused
        return None
    return content if _is_state(content) and is_unaltered(content) else None


def _code_in(path: Path) -> str | None:
    """Return the code that an intact file names instead of values, or None."""
    if is_intact(path):
        try:
            torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            return named_code(error)
    return None


def _is_state(content: Any) -> bool:
    """Return whether the parts of a training state in a file have the right types."""
    return (
        isinstance(content, dict)
        and isinstance(content.get("gan", {}), dict)
        and isinstance(content.get("nimg", 0), int)
        and isinstance(content.get("optimizers", {}), dict)
        and isinstance(content.get("ranks", []), list)
        and isinstance(content.get("note", {}), dict)
    )
