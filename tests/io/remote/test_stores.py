"""Other stores than S3 and the web: any file system of fsspec, and a stand-in for the Hub."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from gantrain.errors import ConfigError
from gantrain.io.remote import attempts, objects, stores
from gantrain.io.remote.blocks import BlockSettings
from gantrain.io.remote.objects import open_file, open_folder
from tests.helpers.remote_stores import forget

fsspec = pytest.importorskip("fsspec")
FIRST, SECOND = "1" * 40, "2" * 40  # commits


@pytest.fixture(autouse=True)
def _fresh(monkeypatch) -> None:
    monkeypatch.setattr(stores, "_stores", {})
    monkeypatch.setattr(attempts, "PAUSES", (0.01,))
    forget(monkeypatch)


@pytest.fixture
def blocks(tmp_path: Path) -> BlockSettings:
    return BlockSettings(tmp_path, 10**9)


@pytest.fixture
def memory() -> Iterator:
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()


def test_any_file_system_is_read_and_asked_for_its_version_after(memory, blocks) -> None:
    files = {"a/1.bin": b"one", "a/b/2.bin": b"second", "3.bin": b""}
    memory.mkdirs("/set/empty")
    for name, content in files.items():
        memory.pipe(f"/set/{name}", content)
    folder = open_folder("data.root", "memory://set/", blocks)
    assert {name: stamp.size for name, stamp in folder.files.items()} == {
        name: len(content) for name, content in files.items()
    }
    assert {name: folder.file(name).read(0, 99) for name in files} == files
    one = open_file("data.root", "memory://set/a/1.bin", blocks)
    assert one.stamp == folder.file("a/1.bin").stamp
    memory.pipe("/set/a/1.bin", b"two")  # as large
    objects._recent = objects._Recent()
    for path in (blocks.folder / "blocks").glob("*/*"):
        path.unlink()
    with pytest.raises(ConfigError, match=r"set/a/1\.bin has changed since the start"):
        one.read(0, 99)


def test_a_folder_is_no_file(memory, blocks) -> None:
    memory.pipe("/set.zip/1.bin", b"one")
    with pytest.raises(ConfigError, match=r"memory://set\.zip does not exist"):
        open_file("data.root", "memory://set.zip", blocks)


def test_a_version_that_is_unknown_is_refused(memory, blocks, monkeypatch) -> None:
    memory.pipe("/x.zip", b"one")
    info = type(memory).info
    monkeypatch.setattr(type(memory), "info", lambda *a, **k: {**info(*a, **k), "created": None})
    with pytest.raises(ConfigError, match=r"x\.zip has neither a tag nor a time"):
        open_file("data.root", "memory://x.zip", blocks)


class _Hub(BaseHTTPRequestHandler):
    """Two commits of datasets/u/r, with one file more and another content in the second."""

    main = FIRST
    contents = {  # noqa: RUF012
        FIRST: {"set/1.bin": b"0123456789"},
        SECOND: {"set/1.bin": b"9876543210", "set/2.bin": b"new"},
    }

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/datasets/u/r/revision/"):
            revision = path.rpartition("/")[2]
            self._answer({"id": "u/r", "sha": self.main if revision == "main" else revision})
        elif path.startswith("/api/datasets/u/r/tree/"):
            commit = path.split("/")[6]
            self._answer([self._entry(commit, name) for name in self._files(commit)])
        elif path.startswith("/api/datasets/u/r"):
            self._answer({"id": "u/r", "sha": self.main})
        else:
            self._file(path)

    do_HEAD = do_GET

    def do_POST(self) -> None:  # paths-info
        commit = self.path.rpartition("/")[2]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        names = [name for name in body["paths"] if name in self._files(commit)]
        self._answer([self._entry(commit, name) for name in names])

    def _files(self, commit: str) -> dict[str, bytes]:
        return self.contents[self.main if commit == "main" else commit]

    def _entry(self, commit: str, name: str) -> dict[str, object]:
        content = self._files(commit)[name]
        return {"type": "file", "path": name, "size": len(content), "oid": content.hex()}

    def _file(self, path: str) -> None:
        commit, _, name = path.removeprefix("/datasets/u/r/resolve/").partition("/")
        content, status = self._files(commit)[name], 200
        if wanted := self.headers.get("Range"):
            first, last = (int(x) for x in wanted.removeprefix("bytes=").split("-"))
            content, status = content[first : last + 1], 206
        self._send(status, content)

    def _answer(self, value: object) -> None:
        self._send(200, json.dumps(value).encode())

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch) -> Iterator[type[_Hub]]:
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(_Hub, "main", FIRST)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        options = {"endpoint": f"http://127.0.0.1:{server.server_address[1]}", "token": False}
        monkeypatch.setitem(fsspec.config.conf, "hf", options)
        yield _Hub
        server.shutdown()
        thread.join()


def test_the_hub_is_read_at_the_commit_of_the_start(hub, blocks, monkeypatch) -> None:
    folder = open_folder("data.root", "hf://datasets/u/r/set", blocks)
    file = open_file("data.root", "hf://datasets/u/r@main/set/1.bin", blocks)
    assert str(folder) == f"hf://datasets/u/r@{FIRST}/set" and [*folder.files] == ["1.bin"]
    assert str(file) == f"hf://datasets/u/r@{FIRST}/set/1.bin"
    monkeypatch.setattr(hub, "main", SECOND)  # a push
    assert folder.file("1.bin").read(0, 4) == file.read(0, 4) == b"0123"
    newer = open_folder("data.root", "hf://datasets/u/r/set", blocks)
    assert newer.file("1.bin").read(0, 4) == b"9876" and newer.identity() != folder.identity()
    assert newer.file("2.bin").read(0, 4) == b"new"
