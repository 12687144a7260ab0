"""gantrain: train, resume and measure image GANs from Hydra configs.

import gantrain
run = gantrain.train(model="dcgan", data="mnist", train={"epochs": 5})
g = gantrain.load("runs/NAME")
x = g.sample("0-31", psi=0.7)  # float32 [32, C, H, W] in [-1, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from gantrain.errors import ConfigError, RunError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gantrain.config.train import RunConfig
    from gantrain.inference.model import Model
    from gantrain.runs.opened import OpenedRun

__all__ = ["ConfigError", "RunError", "compose", "load", "run", "train"]
__version__ = "0.2.0"


def compose(*overrides: str | Iterable[str], **settings: Any) -> RunConfig:
    """Compose and check the config of a training, without starting it.

    Args:
        overrides: as on the command line, such as "train.kimg=4", or lists of them.
        settings: keys and their values; a dict stands for the keys of a section, such as
            train={"kimg": 4} for train.kimg=4. Texts are read as on the command line.

    Raises:
        ConfigError: lists everything that is wrong.
    """
    from gantrain.cli import python

    return python.compose(overrides, settings)


def train(*overrides: str | Iterable[str], **settings: Any) -> OpenedRun:
    """Train in this process, as the command with the same settings does, and return the run.

    Directory, files, numbers and lines are those of the command. So is what happens to a run that
    exists: it is resumed, or returned if it is finished. The first SIGINT (a notebook's Stop) or
    SIGTERM saves the state; handlers of signals are restored at the end, and are not installed
    outside of the main thread.

    Args:
        overrides: see `compose`.
        settings: see `compose`.

    Raises:
        ConfigError: lists everything that is wrong with the settings or the images.
        RunError: a problem after the start; what is saved is intact.
        KeyboardInterrupt: the training was stopped; after its first step, the state is saved.
    """
    from gantrain.cli import python

    return python.train(overrides, settings)


def run(path: str | Path) -> OpenedRun:
    """Open a run directory, whoever trains it or has trained it.

    Args:
        path: the directory, or the name of a run in runs/.

    Raises:
        ConfigError: it is not a run directory.
    """
    from gantrain.runs.opened import OpenedRun

    return OpenedRun(path)


def load(
    path: str | Path,
    device: str = "cpu",
    *,
    test_mode: Literal["as_trained", "no_dropout", "eval"] | None = None,
    seed: int = 0,
) -> Model:
    """Load a trained model.

    Importing gantrain does not import torch; calling this function does.

    Args:
        path: a snapshot file, or a run directory, whose newest intact snapshot is loaded; a folder
            of gantrain export format=hub, or "hub:owner/name@revision" on the Hugging Face Hub.
        device: auto, cpu, cuda, cuda:N or mps.
        test_mode: how batch norm and dropout act. as_trained: the statistics of each image, and
            dropout; no_dropout: the former alone; eval: running statistics. None: as in the run.
        seed: of the dropout of "as_trained".

    Returns:
        The model; see its methods `translate`, `sample`, `mapping` and `synthesis`.

    Raises:
        ConfigError: the file cannot be read, the hub has no such model or cannot be reached, or
            the device is not available.
    """
    from gantrain.inference import model

    return model.load(path, device, test_mode=test_mode, seed=seed)
