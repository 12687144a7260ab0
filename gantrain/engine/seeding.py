"""Randomness as a function of (seed, stream, step, slot), so that resuming needs no saved state."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

INIT, TRAIN, PREVIEW, EVALUATION, HEALTH = "init", "train", "preview", "evaluation", "health"


def seed_all(seed: int, stream: str, step: int = 0, slot: int = 0) -> None:
    """Seed torch (all devices), numpy and random from the hash of the four values.

    slot: where in the global batch a microbatch begins, in images. The draws belong to the place
    and not to the rank, so they are the same on any number of ranks.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}/{slot}".encode(), digest_size=8).digest()
    value = int.from_bytes(digest, "little")
    torch.manual_seed(value)
    np.random.seed(value % 2**32)  # (a plug-in GAN may use the global generator)
    random.seed(value)


@contextmanager
def stream(seed: int, name: str, step: int = 0) -> Iterator[None]:
    """Run a block in a stream of its own; torch's generators go on as if it had not run."""
    with torch.random.fork_rng():
        seed_all(seed, name, step)
        yield
