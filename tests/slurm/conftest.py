"""A Slurm cluster for the tests of this folder."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.slurm.lab import Lab, Unavailable, started


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Two nodes on loopback, or the test is skipped and says what is missing."""
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(started(nodes=2))
        except Unavailable as reason:
            pytest.skip(f"no Slurm here: {reason}")
        yield cluster
