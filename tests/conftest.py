"""Settings every test shares."""

import os
from collections.abc import Iterator

import pytest
import torch

from tests.helpers import command_line

# The tensors here are tiny: a second thread costs more than it gives, and two test processes (or a
# training beside them) that both spin on all cores are many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu are skipped where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    command_line.end_all()
