"""What is read of archives is what the library's tarfile reads, or they are refused."""

import io
import os
import shutil
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest

from gantrain.io import tar_headers
from gantrain.io.byte_file import open_bytes
from gantrain.io.tar_headers import Entry, TarFault, TarHeaders
from tests.helpers.tar_files import write_tar

LONG = "/".join(["folder of a long name" * 3] * 3)
FILES = {
    **{"a.png": b"", "b/c.png": b"x" * 511, "b/d.png": b"y" * 512, "b/e.png": b"z" * 513},
    **{f"{LONG}/{'n' * 120}.png": b"long", f"{LONG}/f.png": b"prefix", "ü/ö.png": b"letters"},
    **{"big.bin": os.urandom(300_000), "last.png": b"!" * 5000},
    **{f"small/{i}": bytes([i]) for i in range(200)},
}


class InMemory:
    """A file that counts the bytes that are read."""

    name = "a.tar"

    def __init__(self, content: bytes) -> None:
        self.content, self.size, self.count = content, len(content), 0

    def identity(self) -> list[object]:
        return []

    def read(self, start: int, end: int) -> bytes:
        found = self.content[start:end]
        self.count += len(found)
        return found


def entries(path: Path) -> list[Entry]:
    return list(TarHeaders(open_bytes(path)))


def contents(path: Path) -> dict[str, bytes]:
    data = path.read_bytes()
    return {x.name.decode(): data[x.start : x.start + x.size] for x in entries(path)}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_the_library(tmp_path: Path, form: int) -> None:
    files = {k: v for k, v in FILES.items() if form != tarfile.USTAR_FORMAT or len(k) < 100}
    assert contents(write_tar(tmp_path / "a.tar", files, form)) == files


@pytest.mark.skipif(not shutil.which("tar"), reason="needs tar")
@pytest.mark.parametrize("form", ["v7", "ustar", "gnu", "oldgnu", "posix"])
def test_every_format_of_gnu_tar(tmp_path: Path, form: str) -> None:
    files = {k: v for k, v in FILES.items() if form in ("gnu", "oldgnu", "posix") or len(k) < 90}
    for name, content in files.items():
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(content)
    command = ["tar", f"--format={form}", "-C", tmp_path / "set", "-cf", tmp_path / "a.tar", "."]
    subprocess.run(command, check=True)
    found = contents(tmp_path / "a.tar")
    assert {name.removeprefix("./"): content for name, content in found.items()} == files


def test_a_small_window_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tar(tmp_path / "a.tar", FILES)
    wanted = entries(path)
    for jump, stream in ((512, 512), (512, 1 << 10), (1 << 12, 1 << 13)):
        monkeypatch.setattr(tar_headers, "_JUMP", jump)
        monkeypatch.setattr(tar_headers, "_STREAM", stream)
        assert entries(path) == wanted


def test_large_members_are_skipped_not_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {str(i): bytes(1_000_000) for i in range(10)})
    file = InMemory(path.read_bytes())
    assert len(list(TarHeaders(file))) == 10
    assert file.count < 500_000


def test_what_is_no_file(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as target:
        for name, kind in (("l", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("c", tarfile.CHRTYPE),
                           ("f", tarfile.FIFOTYPE), ("d", tarfile.DIRTYPE)):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            target.addfile(info)
        info = tarfile.TarInfo("s")
        info.size, info.pax_headers = 5, {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
        target.addfile(info, io.BytesIO(b"12345"))
        info = tarfile.TarInfo("file")
        target.addfile(info)
    found = {entry.name: entry.skipped for entry in entries(tmp_path / "a.tar")}
    assert found == {
        **{b"l": "are links", b"h": "are links", b"c": "are devices", b"f": "are pipes"},
        **{b"s": "are sparse files", b"file": ""},
    }


@pytest.mark.skipif(not shutil.which("tar"), reason="needs tar")
@pytest.mark.parametrize("form", ["gnu", "posix"])
def test_sparse_files_of_gnu_tar_are_skipped(tmp_path: Path, form: str) -> None:
    with (tmp_path / "holes").open("wb") as file:
        for i in range(40):
            file.seek(i * 100_000)
            file.write(b"x" * 4096)
    (tmp_path / "after").write_bytes(b"here")
    command = ["tar", f"--format={form}", "-S", "-C", tmp_path, "-cf", tmp_path / "a.tar"]
    subprocess.run([*command, "holes", "after"], check=True)
    first, second = entries(tmp_path / "a.tar")
    assert first.skipped == "are sparse files" and second[:1] + second[2:] == (b"after", 4, "")


def _patched(content: bytes, place: int, value: bytes) -> bytes:
    """With a field of the first header changed and its checksum made good."""
    block = bytearray(content[:512])
    block[place : place + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block) + content[512:]


ONE = {"a.png": b"content" * 100}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda c: c[:700], "is incomplete: its member at byte 0 has 700 bytes, of which 188"),
        (lambda c: c[:1536], "is incomplete: it ends at byte 1536, before its end mark"),
        (lambda c: c[:300], "is incomplete"),
        (lambda c: b"", "is incomplete"),
        (lambda c: b"no tar" * 1000, "is no tar archive"),
        (lambda c: c[:100] + b"#" + c[101:], "is no tar archive"),
        (lambda c: c[:1536] + b"#" * 512 + c[1536:], "is damaged: there is no header at byte 1536"),
        (lambda c: c[:1536] + c, "HOLDS TWO"),
        (lambda c: c + c, r"holds more behind its end at byte 1536"),
        (lambda c: c + bytes(1 << 21), "holds more behind its end"),
        (lambda c: _patched(c, 124, b"77777777777\0"), "has 8589934591 bytes, of which"),
        (lambda c: _patched(c, 124, b"\x80" + b"\xff" * 11), "bytes, of which"),
        (lambda c: _patched(c, 124, b"\xff" * 12), "has no size"),
        (lambda c: _patched(c, 124, b"-0000000001\0"), "has no size"),
        (lambda c: _patched(c, 124, b"12x\0"), "has no size"),
        (lambda c: _patched(_patched(c, 156, b"x"), 124, b"00000000012\0"), "another format"),
        (lambda c: _patched(_patched(c, 156, b"L"), 124, b"00001000000\0"), "too large"),
        (lambda c: b"\x1f\x8b" + c, r"is compressed \(gzip\)"),
        (lambda c: b"\x28\xb5\x2f\xfd" + c, r"is compressed \(zstd\)"),
    ],
)
def test_what_is_refused(tmp_path: Path, change, told: str) -> None:
    content = write_tar(tmp_path / "a.tar", ONE, tarfile.USTAR_FORMAT).read_bytes()
    (tmp_path / "b.tar").write_bytes(change(content))
    if told == "HOLDS TWO":  # no end between them: one archive
        assert [entry.name for entry in entries(tmp_path / "b.tar")] == [b"a.png"] * 2
        return
    with pytest.raises(TarFault, match=told):
        entries(tmp_path / "b.tar")


def test_a_header_for_all_members_must_not_rename_them(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", pax_headers={"comment": "x"}) as target:
        target.addfile(tarfile.TarInfo("a"))
    assert [entry.name for entry in entries(tmp_path / "a.tar")] == [b"a"]
    with tarfile.open(tmp_path / "a.tar", "w", pax_headers={"path": "x"}) as target:
        target.addfile(tarfile.TarInfo("a"))
    with pytest.raises(TarFault, match="renames all"):
        entries(tmp_path / "a.tar")


def test_damaged_bytes_never_end_otherwise(tmp_path: Path) -> None:
    """Any byte of the headers of three members, set to anything: entries, or a TarFault."""
    path = write_tar(tmp_path / "a.tar", {"ü.png": b"1", "b" * 150: b"2", "c": b"3"})
    content = path.read_bytes()
    for place in range(0, 5120, 5):
        for value in (0, 255, content[place] ^ 1):
            damaged = content[:place] + bytes([value]) + content[place + 1 :]
            with suppress(TarFault):
                assert all(x.start + x.size <= len(damaged) for x in TarHeaders(InMemory(damaged)))
