"""Make randomness a function of (seed, stream, step, slot): resuming then needs no saved state."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

INIT, TRAIN, PREVIEW, EVALUATION, HEALTH = "init", "train", "preview", "evaluation", "health"


def seed_all(seed: int, stream: str, step: int = 0, slot: int = 0) -> None:
    """Seed torch (the CPU and the current GPU), numpy and random from a hash of the arguments.

    Args:
        seed: the seed of the run.
        stream: names an independent stream of random numbers, such as `TRAIN`.
        step: index of the optimizer step.
        slot: where in the global batch a microbatch begins, in images. Draws depend on this
            position and not on the rank, so they are the same for any number of ranks.
    """
    value = derive(seed, stream, step, slot)
    torch.default_generator.manual_seed(value)
    if generator := _gpu_generator():
        generator.manual_seed(value)
    np.random.seed(value % 2**32)  # gantrain does not use it, but a plug-in GAN may
    random.seed(value)


def derive(seed: int, stream: str, step: int = 0, slot: int = 0) -> int:
    """Return the 64-bit number that `seed_all` seeds with."""
    # A hash: neighbouring steps and slots must not give related seeds. Python's own differs from
    # process to process.
    digest = hashlib.blake2b(f"{seed}/{stream}/{step}/{slot}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


@contextmanager
def stream(seed: int, name: str, step: int = 0) -> Iterator[None]:
    """Run a block in its own random stream, then restore the state of torch's generators.

    Args:
        seed: the seed of the run.
        name: of the stream, such as `PREVIEW`.
        step: index of the optimizer step; 0 gives the same numbers at every step.
    """
    with state_kept():
        seed_all(seed, name, step)
        yield


@contextmanager
def state_kept() -> Iterator[None]:
    """Restore the state of torch's generators after the block."""
    generators = [g for g in (torch.default_generator, _gpu_generator()) if g]
    states = [generator.get_state() for generator in generators]
    try:
        yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _gpu_generator() -> torch.Generator | None:
    """Return the generator of the GPU in use (CUDA or MPS), or None.

    torch.manual_seed and torch.random.fork_rng address every visible GPU instead: that costs a
    CUDA context on each of them, and 0.1 ms for each kind of device that does not exist.
    """
    if torch.cuda.is_initialized():
        return torch.cuda.default_generators[torch.cuda.current_device()]
    if torch.backends.mps.is_available():
        return torch.mps._get_default_mps_generator()
    return None
