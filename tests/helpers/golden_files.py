"""Numbers computed with the reference implementations (tests/golden/*.npz)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "golden"


def load(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(meta, arrays as tensors) of one golden file."""
    with np.load(GOLDEN / f"{name}.npz") as data:
        meta = json.loads(str(data["meta"]))
        return meta, {key: torch.from_numpy(data[key]) for key in data.files if key != "meta"}


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose key starts with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
