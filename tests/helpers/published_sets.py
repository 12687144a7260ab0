"""Tiny files in the layouts of published data sets."""

import pickle
import struct
from pathlib import Path

import numpy as np


def cifar10_folder(folder: Path, per_batch: int = 4) -> None:
    """cifar-10-batches-py with a few random pictures a batch."""
    place = folder / "cifar-10-batches-py"
    place.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        batch = {
            b"data": rng.integers(0, 256, (per_batch, 3072), np.uint8),
            b"labels": [int(n) for n in rng.integers(0, 10, per_batch)],
        }
        (place / name).write_bytes(pickle.dumps(batch, protocol=2))


def mnist_folder(folder: Path, count: int = 8, exist_ok: bool = False) -> None:
    """The four idx files with a few random pictures."""
    folder.mkdir(parents=True, exist_ok=exist_ok)
    rng = np.random.default_rng(0)
    for part in ("train", "t10k"):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        labels = rng.integers(0, 10, count).astype(np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">{1 + array.ndim}I", 0x0800 + array.ndim, *array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())
