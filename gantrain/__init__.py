"""gantrain: train, resume and measure image GANs from Hydra configs.

import gantrain
g = gantrain.load("runs/NAME")
x = g.sample("0-31", psi=0.7)  # float32 [32, C, H, W] in [-1, 1]
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from gantrain.inference.model import Model

__version__ = "0.1.0.dev0"


def load(path: str | Path, device: str = "cpu") -> Model:
    """A trained model, from a snapshot file or the newest snapshot of a run directory.

    See `gantrain.inference.model.Model`: `sample`, `mapping`, `synthesis`, `networks`, `meta`.
    Importing gantrain does not import torch; this does. Raises ConfigError with a sentence.
    """
    from gantrain.inference import model

    return model.load(path, device)
