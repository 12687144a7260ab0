"""The cache of blocks: what comes out of it is what went in, whatever happens to its files."""

import multiprocessing
import os
import shutil
import time
from pathlib import Path

import pytest

from gantrain.io import locks
from gantrain.io.remote.blocks import BlockCache, BlockSettings, block_name

KB = 1000


def files(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "blocks").glob("*/*") if path.is_file())


def content(number: int) -> bytes:
    return bytes([number]) * KB


def fill(cache: BlockCache, numbers: range) -> None:
    for number in numbers:
        cache.put(block_name("x", number), content(number))


def test_a_block_comes_back_in_any_process(tmp_path: Path) -> None:
    settings = BlockSettings(tmp_path, 100 * KB)
    fill(BlockCache(settings), range(3))
    other = BlockCache(settings)
    assert [other.get(block_name("x", i), KB) for i in range(3)] == [content(i) for i in range(3)]
    assert other.get(block_name("x", 3), KB) is None
    assert other.get(block_name("y", 0), KB) is None  # of another object or version


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "swap", "longer"])
def test_a_damaged_block_is_missing_and_removed(tmp_path: Path, damage: str) -> None:
    cache = BlockCache(BlockSettings(tmp_path, 100 * KB))
    fill(cache, range(2))
    name = block_name("x", 0)
    path = tmp_path / "blocks" / name[:2] / name
    raw = path.read_bytes()
    other = next(file for file in files(tmp_path) if file != path).read_bytes()
    damaged = {
        "flip": raw[:500] + bytes([raw[500] ^ 1]) + raw[501:],
        "cut": raw[:-1],
        "empty": b"",
        "swap": other,  # intact, but of another block
        "longer": raw + b"x",
    }
    path.write_bytes(damaged[damage])
    assert cache.get(name, KB) is None and not path.exists()
    cache.put(name, content(0))
    assert cache.get(name, KB) == content(0)


def test_the_least_recently_used_blocks_go(tmp_path: Path) -> None:
    cache = BlockCache(BlockSettings(tmp_path, 20 * KB))
    fill(cache, range(10))
    for number in range(10):  # an hour ago, one after the other
        path = tmp_path / "blocks" / (name := block_name("x", number))[:2] / name
        os.utime(path, (0, time.time() - 3600 + number))
    assert cache.get(block_name("x", 0), KB) == content(0)  # in use
    fill(cache, range(10, 25))
    left = [i for i in range(25) if cache.get(block_name("x", i), KB)]
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 21 * KB
    assert 0 in left and not {1, 2, 3} & {*left} and {*range(10, 25)} <= {*left}


def test_no_more_is_kept_than_is_free_beside_it(tmp_path: Path, monkeypatch) -> None:
    free = shutil.disk_usage(tmp_path)._replace(free=10 * KB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    cache = BlockCache(BlockSettings(tmp_path, 100 * KB))
    fill(cache, range(40))
    assert sum(file.stat().st_size for file in files(tmp_path)) < 14 * KB
    assert cache.get(block_name("x", 39), KB) == content(39)


def test_a_disk_that_is_full_or_read_only_only_makes_it_slow(tmp_path: Path, monkeypatch) -> None:
    cache = BlockCache(BlockSettings(tmp_path, 100 * KB))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    fill(cache, range(2))
    assert cache.get(block_name("x", 0), KB) is None and files(tmp_path) == []


def test_leftovers_of_killed_processes_go(tmp_path: Path) -> None:
    cache = BlockCache(BlockSettings(tmp_path, 100 * KB))
    fill(cache, range(1))
    old, new = (files(tmp_path)[0].with_name(name) for name in ("a.tmp", "b.tmp"))
    old.write_bytes(b"x")
    new.write_bytes(b"x")
    os.utime(old, (0, time.time() - 7200))
    fill(cache, range(1, 10))
    assert not old.exists() and new.exists()  # the new one is being written


def _use(settings: BlockSettings, first: int) -> int:
    cache, wrong = BlockCache(settings), 0
    for number in [*range(first, 60), *range(first)] * 3:
        name = block_name("x", number)
        block = cache.get(name, KB)
        wrong += block is not None and block != content(number)
        cache.put(name, content(number))
    return wrong


@pytest.mark.multi
def test_several_processes_write_read_and_remove_at_once(tmp_path: Path) -> None:
    settings = BlockSettings(tmp_path, 25 * KB)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        assert pool.starmap(_use, [(settings, first) for first in (0, 20, 40)]) == [0, 0, 0]
    assert sum(file.stat().st_size for file in files(tmp_path)) < 40 * KB
    assert not locks.is_held(tmp_path / "blocks" / ".lock")
