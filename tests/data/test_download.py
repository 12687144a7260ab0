import gzip
import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from published_sets import cifar10_folder, mnist_folder
from single_sets import prepared
from test_cifar10 import packed

from gantrain.data import cifar10, download, mnist
from gantrain.data.download import fetch
from gantrain.errors import ConfigError

BODY = os.urandom(3_000_000)
MD5 = hashlib.md5(BODY).hexdigest()


class Server(ThreadingHTTPServer):
    """`files` by path; what is asked for is in `asked`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {"/set.bin": BODY}
        self.asked: list[str] = []

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        kind, _, name = self.path[1:].rpartition("/")
        body = self.server.files.get(f"/{name}")
        if body is None:
            self.send_error(404)
        elif kind == "silent":  # closes without a word
            self.close_connection = True
        else:
            self.respond(kind, body)

    def respond(self, kind: str, body: bytes) -> None:
        self.send_response(200)
        if kind == "chunked-broken":
            self.send_header("Transfer-Encoding", "chunked")
        elif kind != "unknown-length":
            self.send_header("Content-Length", "many" if kind == "odd" else str(len(body)))
        self.end_headers()
        if kind == "chunked-broken":
            self.wfile.write(b"%x\r\n" % len(body) + body[: len(body) // 2])
        else:
            self.wfile.write(body[: len(body) // 2] if kind == "broken" else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def get(url: str, target: Path, md5: str | None = MD5) -> list[str]:
    lines: list[str] = []
    assert fetch(url, target, md5, lines.append, "fetch it by hand.") == target
    return lines


@pytest.mark.parametrize("kind", ["", "unknown-length/"])
def test_a_file_is_fetched_once(server, tmp_path, kind):
    target = tmp_path / "new" / "cache" / "set.bin"
    assert "downloading" in get(server.url(f"{kind}set.bin"), target)[0]
    assert target.read_bytes() == BODY
    assert get(server.url(f"{kind}set.bin"), target) == [] and len(server.asked) == 1
    assert list(target.parent.iterdir()) == [target]


def test_progress_is_told(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_LOG_SECONDS", 0)
    assert get(server.url("set.bin"), tmp_path / "set.bin")[-1] == "data: 3 of 3 MB"
    assert get(server.url("unknown-length/set.bin"), tmp_path / "other")[-1] == "data: 3 MB"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("broken/set.bin", r"connection broke after 1500000 of 3000000 bytes"),
        ("chunked-broken/set.bin", r"cannot be downloaded \(.+\)"),
        ("silent/set.bin", r"cannot be downloaded \(.*[Rr]emote end closed"),
        ("odd/set.bin", r"cannot be downloaded \(.*'many'"),
        ("gone.bin", r"cannot be downloaded \(Not Found\)"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_leaves_nothing(server, tmp_path, name, told):
    with pytest.raises(ConfigError, match=rf"{told}.*: fetch it by hand\."):
        get(server.url(name), tmp_path / "set.bin", None)
    assert not list(tmp_path.iterdir())
    get(server.url("set.bin"), tmp_path / "set.bin")  # and the next try is free to succeed


def test_a_wrong_checksum_is_refused(server, tmp_path):
    with pytest.raises(ConfigError, match=rf"{MD5} instead of {'0' * 32}.*Try again, or fetch"):
        get(server.url("set.bin"), tmp_path / "set.bin", "0" * 32)
    assert not list(tmp_path.iterdir())


def test_a_kept_file_is_checked_too(server, tmp_path):
    (tmp_path / "set.bin").write_bytes(BODY[:-1])
    with pytest.raises(ConfigError, match=rf"set\.bin.* instead of {MD5}.*Remove it"):
        get(server.url("set.bin"), tmp_path / "set.bin")
    assert not server.asked


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/x", "http://no.such.host.invalid/x", "nonsense", "http://a b/x"]
)
def test_no_network(tmp_path, url):
    with pytest.raises(ConfigError, match=r"cannot be downloaded \(.+\): fetch it by hand\."):
        get(url, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written(server, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"cannot be used \(.+\): set data\.cache_dir"):
        get(server.url("set.bin"), tmp_path / "file" / "set.bin")

    def refuse(path: Path) -> Iterator[None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download, "atomic_write", refuse)
    with pytest.raises(ConfigError, match=r"\(No space left on device\): set data\.cache_dir"):
        get(server.url("set.bin"), tmp_path / "set.bin")


def test_cifar10_comes_from_its_url(server, tmp_path):
    cifar10_folder(tmp_path)
    server.files["/c.tar.gz"] = packed(tmp_path, tmp_path / "c.tar.gz").read_bytes()
    settings = {"seed": 0, "url": server.url("c.tar.gz"), "cache_dir": str(tmp_path / "cache")}
    for _ in range(2):
        data = cifar10.CIFAR10(**settings)
        prepared(data)
        assert data.images_per_epoch == 20 and len(server.asked) == 1
    settings["url"] = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    with pytest.raises(ConfigError, match=rf"instead of {cifar10.MD5}.*Remove it"):
        prepared(cifar10.CIFAR10(**settings))  # what a mirror gave is not taken for the original


def test_cifar10_without_network_says_how_to_place_it(tmp_path):
    data = cifar10.CIFAR10(seed=0, url="http://127.0.0.1:9/c", cache_dir=str(tmp_path))
    with pytest.raises(ConfigError, match=r"another machine and give data\.root=FOLDER"):
        prepared(data)


@pytest.mark.parametrize("slash", ["", "/"])
def test_mnist_comes_from_its_url(server, tmp_path, monkeypatch, slash):
    mnist_folder(tmp_path / "set")
    for name in mnist.FILES:
        content = gzip.compress((tmp_path / "set" / name).read_bytes())
        server.files[f"/{name}.gz"] = content
    settings = {"seed": 0, "url": server.url("")[:-1] + slash, "cache_dir": str(tmp_path / "cache")}
    for _ in range(2):
        data = mnist.MNIST(**settings)
        prepared(data)
        assert data.images_per_epoch == 8 and len(server.asked) == 4
    monkeypatch.setattr(mnist, "MIRROR", settings["url"])
    with pytest.raises(ConfigError, match=r"kept from an earlier start.*instead of f68b3c2d"):
        prepared(mnist.MNIST(**settings))
