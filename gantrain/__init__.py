"""gantrain: train, resume and measure image GANs from Hydra configs.

import gantrain
g = gantrain.load("runs/NAME")
x = g.sample("0-31", psi=0.7)  # float32 [32, C, H, W] in [-1, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from gantrain.inference.model import Model

__version__ = "0.1.0.dev0"


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
        path: a snapshot file, or a run directory, whose newest intact snapshot is loaded.
        device: auto, cpu, cuda, cuda:N or mps.
        test_mode: how batch norm and dropout act. as_trained: the statistics of each image, and
            dropout; no_dropout: the former alone; eval: running statistics. None: as in the run.
        seed: of the dropout of "as_trained".

    Returns:
        The model; see its methods `translate`, `sample`, `mapping` and `synthesis`.

    Raises:
        ConfigError: the file cannot be read, or the device is not available.
    """
    from gantrain.inference import model

    return model.load(path, device, test_mode=test_mode, seed=seed)
