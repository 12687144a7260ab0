"""Ranges of remote files through the cache, over connections that fail: S3 and plain HTTP."""

import io
import multiprocessing
import os
import pickle
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gantrain.errors import ConfigError
from gantrain.io.remote import address, attempts, objects, stores
from gantrain.io.remote.blocks import BlockSettings
from gantrain.io.remote.objects import RemoteObject, open_file, open_folder
from tests.helpers.remote_stores import Proxy, forget, s3_server, use, zip_of

CONTENT = random.Random(0).randbytes(3_500_000)
GB = 10**9


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Proxy, Any]]:
    with s3_server() as (proxy, files):
        yield proxy, files


@pytest.fixture
def store(server, monkeypatch, tmp_path) -> tuple[Proxy, Any]:
    proxy, files = server
    use(proxy, monkeypatch, tmp_path)
    files.pipe("bucket/set.bin", CONTENT)
    return proxy, files


@pytest.fixture(params=["s3", "http"])
def where(request, store) -> str:
    """The address of CONTENT by either protocol."""
    return "s3://bucket/set.bin" if request.param == "s3" else f"{store[0].url}/bucket/set.bin"


@pytest.fixture
def opened(where, tmp_path) -> RemoteObject:
    return open_file("data.root", where, BlockSettings(tmp_path, GB))


def test_ranges_are_those_of_the_file(opened: RemoteObject) -> None:
    file = opened.open()
    for start, end in ((0, 10), (1_048_570, 1_048_580), (100, 3_400_000), (3_499_999, 9_999_999)):
        assert opened.read(start, end) == CONTENT[start:end]
        assert file.seek(start) == start and file.read(end - start) == CONTENT[start:end]
    assert opened.read(5_000_000, 6_000_000) == opened.read(7, 7) == b""
    assert file.seek(-5, os.SEEK_END) == len(CONTENT) - 5 and file.read() == CONTENT[-5:]
    assert file.tell() == len(CONTENT) and file.read(3) == b""
    with pytest.raises(OSError, match="has no byte -1"):
        file.seek(-1)


def test_each_byte_comes_once_whatever_is_read(store, opened: RemoteObject, monkeypatch) -> None:
    proxy, _ = store
    proxy.asked.clear()
    order = random.Random(1)
    ranges = [(a, a + 50_000) for a in (order.randrange(len(CONTENT)) for _ in range(200))]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda pair: opened.read(*pair), ranges))
    assert found == [CONTENT[a:b] for a, b in ranges]
    assert proxy.bytes_asked() == len(CONTENT)
    forget(monkeypatch)  # another process, later
    assert opened.read(0, len(CONTENT)) == CONTENT and proxy.bytes_asked() == len(CONTENT)


def test_what_is_larger_than_the_cache_comes_in_small_parts(store, where, tmp_path) -> None:
    proxy, _ = store
    small = open_file("data.root", where, BlockSettings(tmp_path, 1_000_000))
    proxy.asked.clear()
    assert small.read(1_000_000, 1_100_000) == CONTENT[1_000_000:1_100_000]
    assert proxy.bytes_asked() <= 100_000 + 2 * 65_536 and len(proxy.asked) == 1
    assert small.read(0, len(CONTENT)) == CONTENT
    kept = sum(path.stat().st_size for path in (tmp_path / "blocks").glob("*/*"))
    assert kept < 1_100_000


@pytest.mark.parametrize("faults", [["503"], ["cut"], ["silent"], ["500", "429", "cut"], ["408"]])
def test_passing_faults_are_waited_out(store, opened: RemoteObject, faults: list[str]) -> None:
    proxy, _ = store
    proxy.faults[:] = faults
    assert opened.read(0, 2_000_000) == CONTENT[:2_000_000] and proxy.faults == []


class _Waits(threading.Event):
    """Notes how long it is waited for; waits for nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout)
        return False


def test_waits_grow(opened: RemoteObject, store, monkeypatch) -> None:
    monkeypatch.setattr(attempts, "PAUSES", (0.5, 1.0, 2.0))
    monkeypatch.setattr(attempts, "_given_up", waits := _Waits())
    store[0].faults[:] = ["503"] * 3
    assert opened.read(0, 5) == CONTENT[:5] and waits.seconds == [0.5, 1.0, 2.0]


def test_threads_whose_work_is_not_wanted_do_not_wait(opened, store, monkeypatch) -> None:
    monkeypatch.setattr(attempts, "PAUSES", (0.01, 60.0))
    store[0].faults[:] = ["503"] * 2
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(opened.read, 0, 5)
        while store[0].faults:
            time.sleep(0.01)
        time.sleep(0.1)
        attempts.stop_waiting()
        with pytest.raises(ConfigError, match="cannot be read"):
            waiting.result(timeout=20)
    assert opened.read(0, 5) == CONTENT[:5]  # what comes later waits as before


@pytest.mark.parametrize("fault", ["503", "cut", "silent"])
def test_a_fault_that_stays_is_a_sentence(store, opened: RemoteObject, fault: str) -> None:
    store[0].faults[:] = [fault] * 99
    with pytest.raises(ConfigError, match=r"set\.bin cannot be read \(.+\), also not by 3 further"):
        opened.read(0, 5)
    store[0].faults.clear()
    assert opened.read(0, 5) == CONTENT[:5]  # nothing wrong was kept


def test_slow_answers_time_out_and_are_asked_again(store, where, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(stores, "READ_SECONDS", 0.2)
    monkeypatch.setattr(stores, "_stores", {})
    opened = open_file("data.root", where, BlockSettings(tmp_path, GB))
    store[0].faults[:] = ["slow"]
    assert opened.read(0, 5) == CONTENT[:5] and len(store[0].asked) >= 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [("403", "cannot be read, access is denied .*environment"), ("404", "does not exist")],
)
def test_final_answers_are_told_at_once(store, opened, fault: str, said: str) -> None:
    store[0].asked.clear()
    store[0].faults[:] = [fault]
    with pytest.raises(ConfigError, match=rf"set\.bin {said}"):
        opened.read(0, 5)
    assert len(store[0].asked) == 1


@pytest.mark.parametrize(
    "change", [lambda x: x[::-1], lambda x: x[:-1], lambda x: x[:10], lambda x: x + b"x"]
)
def test_a_changed_object_is_never_mixed(store, opened, change: Callable[[bytes], bytes]) -> None:
    assert opened.read(0, 5) == CONTENT[:5]
    store[1].pipe("bucket/set.bin", change(CONTENT))
    with pytest.raises(ConfigError, match=r"set\.bin has changed since the start.*resume="):
        opened.read(3_000_000, 3_000_005)
    again = open_file("data.root", opened.address, opened.blocks)
    assert again.read(0, 5) == change(CONTENT)[:5]  # not the block of the other version


def test_what_does_not_exist_or_may_not_be_read(store, tmp_path) -> None:
    blocks = BlockSettings(tmp_path, GB)
    for text in ("s3://bucket/gone.zip", "s3://nowhere/x.zip", f"{store[0].url}/bucket/gone.zip"):
        with pytest.raises(ConfigError, match=r"does not exist \(any more\): check the address"):
            open_file("data.root", text, blocks)
    with pytest.raises(ConfigError, match=r"data\.root=s3://bucket/empty holds no objects"):
        open_folder("data.root", "s3://bucket/empty", blocks)
    with pytest.raises(ConfigError, match=r"web server, which does not list its files.*zip"):
        open_folder("data.root", f"{store[0].url}/bucket/", blocks)


def test_no_credentials(store, tmp_path, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(stores, "_stores", {})
    with pytest.raises(ConfigError, match=r"denied .*credentials.*FSSPEC_S3_ANON=true"):
        open_file("data.root", "s3://bucket/set.bin", BlockSettings(tmp_path, GB))


@pytest.mark.parametrize(("fault", "lacks"), [("deaf", "ignores ranges"), ("stampless", "ETag")])
def test_servers_that_cannot_be_trusted(store, tmp_path, fault: str, lacks: str) -> None:
    store[0].faults[:] = [fault]
    with pytest.raises(ConfigError, match=rf"set\.bin cannot be read .*{lacks}.*another server"):
        open_file("data.root", f"{store[0].url}/bucket/set.bin", BlockSettings(tmp_path, GB))


def test_a_signature_is_sent_and_never_shown(store, tmp_path, monkeypatch) -> None:
    bare = f"{store[0].url}/bucket/set.bin"
    monkeypatch.setenv(address.SIGNED, f"{bare}?X-Amz-Signature=a%2Fhush")
    opened = open_file("data.root", bare, BlockSettings(tmp_path, GB))
    assert opened.read(0, 5) == CONTENT[:5]
    assert all(path == "/bucket/set.bin?X-Amz-Signature=a%2Fhush" for path, _ in store[0].asked)
    said = [str(opened), repr(opened), str(opened.identity())]
    for fault in ("403", "404", "503", "cut"):
        store[0].faults[:] = [fault] * 4
        with pytest.raises(ConfigError) as error:
            opened.read(2_000_000, 2_000_005)
        said.append(str(error.value))
        store[0].faults.clear()
    assert "hush" not in " ".join(said)
    cached = [path.read_bytes() for path in (tmp_path / "blocks").glob("*/*")]
    assert cached and not any(b"hush" in content for content in cached)


def test_blocks_that_are_damaged_on_disk_are_fetched_again(opened, store, monkeypatch) -> None:
    opened.read(0, len(CONTENT))
    for path in (opened.blocks.folder / "blocks").glob("*/*"):
        raw = path.read_bytes()
        path.write_bytes(raw[:99] + bytes([raw[99] ^ 255]) + raw[100:])
    forget(monkeypatch)
    store[0].asked.clear()
    assert opened.read(0, len(CONTENT)) == CONTENT
    assert store[0].bytes_asked() == len(CONTENT)


def test_a_cache_that_cannot_be_written_is_told(store, tmp_path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"blocks cannot be written .*GANTRAIN_CACHE"):
        open_file("data.root", "s3://bucket/set.bin", BlockSettings(tmp_path / "file", GB))


def test_folders_are_listed_once(store, tmp_path) -> None:
    _, files = store
    names = ["a b/ü.txt", "a/2.txt", "x#1?.txt", "deep/er/0.txt"]
    for name in names:
        files.pipe(f"bucket/dir/{name}", name.encode())
    files.pipe("bucket/dir2/no.txt", b"")
    folder = open_folder("data.root", "s3://bucket/dir/", BlockSettings(tmp_path, GB))
    files.pipe("bucket/dir/new.txt", b"later")
    assert str(folder) == "s3://bucket/dir" and sorted(folder.files) == sorted(names)
    for name in names:
        assert folder.file(name).read(0, 99) == name.encode()
    with pytest.raises(FileNotFoundError):
        folder.file("new.txt")
    files.pipe("bucket/dir/a/2.txt", b"changed")
    forget_blocks(tmp_path)
    with pytest.raises(ConfigError, match=r"a/2\.txt has changed since the start"):
        objects._recent = objects._Recent()
        folder.file("a/2.txt").read(0, 99)


def forget_blocks(folder: Path) -> None:
    for path in (folder / "blocks").glob("*/*"):
        path.unlink()


def _read_in_child(opened: RemoteObject, start: int) -> bool:
    return opened.read(start, start + 400_000) == CONTENT[start : start + 400_000]


@pytest.mark.multi
@pytest.mark.parametrize("how", ["fork", pytest.param("spawn", marks=pytest.mark.ci)])
def test_workers_open_connections_of_their_own(opened, tmp_path, how: str) -> None:
    assert opened.read(0, 5) == CONTENT[:5]  # the parent has a connection and a thread
    forget_blocks(tmp_path)
    assert pickle.loads(pickle.dumps(opened)) == opened
    with ThreadPoolExecutor(2) as threads, multiprocessing.get_context(how).Pool(2) as pool:
        busy = [threads.submit(_read_in_child, opened, 2_500_000) for _ in range(4)]
        parts = [(opened, start) for start in range(0, 3_000_000, 500_000)]
        assert all(pool.starmap_async(_read_in_child, parts).get(timeout=60))
        assert all(one.result() for one in busy)


def test_zips_are_read_through_it(store, tmp_path) -> None:
    files = {f"{i}.bin": CONTENT[i * 1000 : i * 3000] for i in range(60)}
    store[1].pipe("bucket/set.zip", zip_of(files))
    file = open_file("data.root", "s3://bucket/set.zip", BlockSettings(tmp_path, GB)).open()
    with zipfile.ZipFile(io.BufferedReader(file)) as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == files
        assert archive.testzip() is None
