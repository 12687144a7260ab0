import gc
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gantrain.io import byte_file
from gantrain.io.byte_file import open_bytes


def test_ranges_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    file = open_bytes(tmp_path / "a")
    assert file.read(2, 5) == b"234" and file.read(8, 20) == b"89" and file.read(20, 30) == b""
    assert file.size == 10 and file.name == "a" and str(file) == str(tmp_path / "a")


def test_a_changed_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    file = open_bytes(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"newer")
    with pytest.raises(OSError, match="has changed since the start"):
        file.read(0, 3)
    assert open_bytes(tmp_path / "a").identity() != file.identity()


def test_many_files_and_threads_need_few_descriptors(tmp_path: Path) -> None:
    for i in range(150):
        (tmp_path / str(i)).write_bytes(bytes([i]) * 1000)
    files = [open_bytes(tmp_path / str(i)) for i in range(150)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: files[i % 150].read(i % 7, 1000), range(600)))
    assert all(part == bytes([i % 150]) * (1000 - i % 7) for i, part in enumerate(found))
    gc.collect()
    if Path("/proc/self/fd").exists():
        links = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        assert sum(link.startswith(str(tmp_path)) for link in links) <= byte_file._OPEN


def _reads(file: byte_file.LocalFile, start: int) -> bool:
    return all(file.read(i, i + 1) == bytes([i]) for i in (*range(start, 200), *range(start)))


@pytest.mark.multi
def test_forked_processes_do_not_share_a_position(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(200)))
    file = open_bytes(tmp_path / "a")
    file.read(0, 1)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert all(pool.starmap(_reads, [(file, start) for start in (0, 50, 100, 150)]))
