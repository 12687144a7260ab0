import io
import multiprocessing
import os
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from gantrain.data import archive
from gantrain.data.archive import Member, file_size, list_members, open_image
from gantrain.errors import ConfigError


def write_zip(path: Path, files: dict[str, bytes], **settings) -> Path:
    with zipfile.ZipFile(path, "w", **settings) as target:
        for name, content in files.items():
            target.writestr(name, content)
    return path


CONTENT = {f"d{n % 3}/{n:03d}.png": os.urandom(5000 + n) for n in range(60)}


@pytest.fixture(params=[zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def packed(request, tmp_path):
    return write_zip(tmp_path / "set.zip", CONTENT, compression=request.param)


def test_members_read_like_files(packed):
    assert list_members(packed) == sorted(CONTENT)
    for name, content in CONTENT.items():
        member = Member(packed, name)
        source = open_image(member)
        assert member.read() == content and file_size(member) == len(content)
        assert isinstance(source, io.BytesIO) and source.read() == content
    assert str(Member(packed, "a/b.png")) == f"{packed}!/a/b.png"


def test_a_plain_file_opens_as_itself(tmp_path):
    file = tmp_path / "a.png"
    file.write_bytes(b"12345")
    assert open_image(file) == file and file_size(file) == 5


def test_the_order_is_that_of_a_folder(tmp_path):
    """A folder comes before what begins with its name and a space."""
    names = ["a b/1.png", "a/2.png", "a/10.png", "a.png"]
    packed = write_zip(tmp_path / "set.zip", dict.fromkeys(names, b""))
    assert list_members(packed) == sorted(names, key=lambda name: Path(name).parts)
    assert list_members(packed) != sorted(names)


def test_hidden_and_outward_names_are_left_out(tmp_path):
    bad = ["__MACOSX/a.png", ".x/a.png", "b/.a.png", "../up.png", "/etc/root.png", "empty/"]
    packed = write_zip(tmp_path / "set.zip", dict.fromkeys([*bad, "good/a.png"], b""))
    assert list_members(packed) == ["good/a.png"]


def test_a_name_that_occurs_twice_is_one_picture(tmp_path):
    packed = write_zip(tmp_path / "set.zip", {"a.png": b"old"})
    with zipfile.ZipFile(packed, "a") as target, pytest.warns(UserWarning):
        target.writestr("a.png", b"new")
    assert list_members(packed) == ["a.png"] and Member(packed, "a.png").read() == b"new"


def test_threads_read_the_right_bytes(packed):
    names = sorted(CONTENT) * 20
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: Member(packed, name).read(), names))
    assert found == [CONTENT[name] for name in names]


def _read_all(packed: Path, order: int) -> bool:
    names = sorted(CONTENT)[::order] * 5
    return all(Member(packed, name).read() == CONTENT[name] for name in names)


@contextmanager
def locked_elsewhere() -> Iterator[None]:
    """While another thread is opening a member."""
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with archive._lock:
            held.set()
            done.wait()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(hold)
        held.wait()
        yield
        done.set()


@pytest.mark.multi
def test_forked_processes_share_neither_file_position_nor_lock(packed):
    Member(packed, "d0/000.png").read()  # the parent holds the archive open
    with locked_elsewhere():
        pool = multiprocessing.get_context("fork").Pool(2)
    with pool:
        results = [pool.apply_async(_read_all, (packed, order)) for order in (1, -1)]
        assert all(result.get(timeout=20) for result in results)


def test_a_replaced_archive_is_read_anew(tmp_path):
    packed = write_zip(tmp_path / "set.zip", {"a.png": b"old"})
    assert list_members(packed) == ["a.png"]
    write_zip(tmp_path / "new", {"b.png": b"new!"}).replace(packed)
    assert list_members(packed) == ["b.png"] and Member(packed, "b.png").read() == b"new!"


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(100)])
def test_no_archive(tmp_path, content):
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(ConfigError, match=r"no readable zip archive .*: download"):
        list_members(tmp_path / "set.zip")


def flagged(packed: Path, bit: int) -> None:
    """Set a flag bit of every entry in the central directory and the local headers."""
    raw = bytearray(packed.read_bytes())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        start = raw.find(mark)
        while start >= 0:
            raw[start + place] |= bit
            start = raw.find(mark, start + 4)
    packed.write_bytes(bytes(raw))


def test_a_password_is_told(tmp_path):
    packed = write_zip(tmp_path / "set.zip", {"a.png": b"secret"})
    flagged(packed, 1)
    with pytest.raises(ConfigError, match=r"password: give the unpacked folder"):
        list_members(packed)


def test_damage_is_an_oserror(tmp_path, monkeypatch):
    packed = write_zip(tmp_path / "set.zip", {"a.png": b"0123456789" * 10})
    raw = packed.read_bytes()
    packed.write_bytes(raw.replace(b"0123456789" * 3, b"x" * 30))
    with pytest.raises(OSError, match="damaged"):
        Member(packed, "a.png").read()
    with pytest.raises(OSError, match=r"gone\.png"):
        Member(packed, "gone.png").read()
    monkeypatch.setattr(archive, "_MAX_BYTES", 99)
    with pytest.raises(OSError, match="more than an image"):
        Member(packed, "a.png").read()


def test_backslashes_are_slashes(tmp_path):
    packed = tmp_path / "windows.zip"
    with zipfile.ZipFile(packed, "w") as file:
        for name in ("trainA\\x\\1.png", "trainA\\", "..\\2.png", "plain.png"):
            info = zipfile.ZipInfo()
            info.filename = name
            file.writestr(info, name.encode())
    assert list_members(packed) == ["plain.png", "trainA/x/1.png"]
    member = Member(packed, "trainA/x/1.png")
    assert member.read() == b"trainA\\x\\1.png" and file_size(member) == 14
