"""Settings every test shares."""

import os
import sys
from collections.abc import Iterator

import pytest
import torch

from tests.helpers import command_line

# The tensors here are tiny: a second thread costs more than it gives, and two test processes (or a
# training beside them) that both spin on all cores are many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)


# They need modules and signals that Windows lacks. What Windows has instead is for tests/platforms.
POSIX_ONLY = [
    "commands/test_translate_video.py",
    "data/test_loader.py",
    "engine/distributed/test_rank_failures.py",
    "engine/distributed/test_slurm.py",
    "engine/test_signals.py",
    "runs/test_run_life.py",
    "slurm/*",
]
collect_ignore_glob = POSIX_ONLY if sys.platform == "win32" else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests marked gpu are skipped where there is none, those marked multi on Windows."""
    reasons = {"gpu": "no CUDA device"} if not torch.cuda.is_available() else {}
    if sys.platform == "win32":
        reasons["multi"] = "starts and ends processes as POSIX has it"
    for item in items:
        for name, reason in reasons.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    command_line.end_all()
