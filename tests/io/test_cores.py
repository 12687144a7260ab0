"""Limits of containers count as missing cores."""

import os
from pathlib import Path

import pytest

from gantrain.engine.threads import available_threads
from gantrain.io import cores

MAX = "max 100000\n"


@pytest.fixture(autouse=True)
def _sixty_four_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path)
    monkeypatch.setattr(cores, "OWN_GROUPS", tmp_path / "own")


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({}, 64),  # not Linux
        ({"own": "0::/\n", "cpu.max": MAX}, 64),
        ({"own": "0::/\n", "cpu.max": "200000 100000\n"}, 2),  # docker run --cpus=2
        ({"own": "0::/\n", "cpu.max": "50000 100000\n"}, 1),  # half a core
        ({"own": "0::/\n", "cpu.max": "350000 100000\n"}, 3),
        ({"own": "0::/\n", "cpu.max": "9900000 100000\n"}, 64),  # more than there are
        # A service: the lowest limit of a group and of those above it.
        ({"own": "0::/user.slice/job.scope\n", "user.slice/job.scope/cpu.max": MAX,
          "user.slice/cpu.max": "400000 100000\n"}, 4),
        ({"own": "0::/user.slice/job.scope\n", "user.slice/job.scope/cpu.max": "300000 100000",
          "user.slice/cpu.max": "400000 100000\n"}, 3),
        # Version 1, whose path is the host's in a container.
        ({"own": "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n0::/\n",
          "cpu,cpuacct/cpu.cfs_quota_us": "250000\n",
          "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 2),
        ({"own": "3:cpu:/\n", "cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000"},
         64),
        ({"own": "0::/\n", "cpu.max": "nonsense\n"}, 64),
    ],
)  # fmt: skip
def test_cores(tmp_path: Path, files: dict[str, str], found: int) -> None:
    write(tmp_path, files)
    assert cores.available_cores() == found
    assert cores.image_threads() == min(found, 16)


@pytest.mark.parametrize(("set_by_hand", "threads"), [(None, 1), ("2", 2)])
def test_threads_follow_the_limit_unless_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, set_by_hand: str | None, threads: int
) -> None:
    write(tmp_path, {"own": "0::/\n", "cpu.max": "100000 100000\n"})
    monkeypatch.setattr("torch.get_num_threads", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if set_by_hand:
        monkeypatch.setenv("OMP_NUM_THREADS", set_by_hand)
    available_threads.cache_clear()
    assert available_threads() == threads
    available_threads.cache_clear()
