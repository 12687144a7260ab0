"""Randomness as a function of (seed, stream, step, slot), so that resuming needs no saved state."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

INIT, TRAIN, PREVIEW, EVALUATION, HEALTH = "init", "train", "preview", "evaluation", "health"


def seed_all(seed: int, stream: str, step: int = 0, slot: int = 0) -> None:
    """Seed torch (the CPU and the current GPU), numpy and random from the hash of the four values.

    slot: where in the global batch a microbatch begins, in images. The draws belong to the place
    and not to the rank, so they are the same on any number of ranks.
    """
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}/{slot}".encode(), digest_size=8).digest()
    value = int.from_bytes(digest, "little")
    torch.default_generator.manual_seed(value)
    if generator := _gpu_generator():
        generator.manual_seed(value)
    np.random.seed(value % 2**32)  # (a plug-in GAN may use the global generator)
    random.seed(value)


@contextmanager
def stream(seed: int, name: str, step: int = 0) -> Iterator[None]:
    """Run a block in a stream of its own; torch's generators go on as if it had not run."""
    generators = [g for g in (torch.default_generator, _gpu_generator()) if g]
    before = [generator.get_state() for generator in generators]
    try:
        seed_all(seed, name, step)
        yield
    finally:
        for generator, state in zip(generators, before, strict=True):
            generator.set_state(state)


def _gpu_generator() -> torch.Generator | None:
    """That of the current CUDA device, or of Apple's GPU; None while there is none in use.

    torch.manual_seed and torch.random.fork_rng turn to every GPU they see: that costs a context on
    each of them, and 0.1 ms for every kind of device that is not there.
    """
    if torch.cuda.is_initialized():
        return torch.cuda.default_generators[torch.cuda.current_device()]
    if torch.backends.mps.is_available():
        return torch.mps._get_default_mps_generator()
    return None
