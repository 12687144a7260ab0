"""Remote stores on this machine: moto's S3, and a proxy before it that fails as networks do."""

import http.client
import io
import threading
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gantrain.io.remote import attempts, objects, stores

SECRET = "s3cr3t"
_HOPS = ("connection", "transfer-encoding", "content-length", "date", "server")


class Proxy(ThreadingHTTPServer):
    """Forwards to `upstream`; `faults` are the kinds of failure of the next requests for ranges.

    cut: half of the body, then the end of the connection; silent: the end at once; slow: no answer
    for a second; deaf: the whole file, since Range is ignored; stampless: no ETag, no date; or a
    status. `asked` holds (path, Range) of every request for a range.
    """

    daemon_threads = True

    def __init__(self, upstream: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Forwarder)
        self.upstream = upstream
        self.faults: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self.opened: dict[str, Any] = {}  # what this process has opened: it takes long

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        """A reader that has given up is no news."""

    def bytes_asked(self) -> int:
        """Bytes of all requests for ranges."""
        pairs = (wanted.removeprefix("bytes=").split("-") for _, wanted in self.asked)
        return sum(int(last) - int(first) + 1 for first, last in pairs)


class _Forwarder(BaseHTTPRequestHandler):
    server: Proxy  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        headers, fault = dict(self.headers.items()), ""
        if wanted := self.headers.get("Range"):
            self.server.asked.append((self.path, wanted))
            fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault == "slow":
            time.sleep(1)
        if fault == "deaf":
            del headers["Range"]
        if fault.isdecimal():
            return self.send_error(int(fault))
        if fault == "silent":
            self.close_connection = True
            return None
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=20)
        connection.request(self.command, self.path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            is_stamp = name.lower() in ("etag", "last-modified")
            if name.lower() not in _HOPS and not (fault == "stampless" and is_stamp):
                self.send_header(name, value)
        size = answer.headers.get("Content-Length", str(len(body)))
        self.send_header("Content-Length", size)
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)
        self.close_connection = fault == "cut"
        return None

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def proxy_to(upstream: tuple[str, int]) -> Iterator[Proxy]:
    with Proxy(upstream) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            thread.join()


@contextmanager
def s3_server() -> Iterator[Any]:
    """A bucket named "bucket" behind a proxy: (proxy, file system of s3fs that writes to it)."""
    pytest.importorskip("moto.server")
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = server.get_host_and_port()
    # All servers of a process share their content.
    urllib.request.urlopen(f"http://{address[0]}:{address[1]}/moto-api/reset", b"").close()
    try:
        with proxy_to(address) as proxy:
            files = s3fs.S3FileSystem(
                key="testing",
                secret=SECRET,
                endpoint_url=f"http://{address[0]}:{address[1]}",
                skip_instance_cache=True,
                use_listings_cache=False,
                s3_additional_kwargs={"ACL": "public-read"},  # for plain HTTP
            )
            files.mkdir("bucket")
            yield proxy, files
    finally:
        server.stop()


def environment(proxy: Proxy) -> dict[str, str]:
    """How a process finds the store."""
    return {
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def use(proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Let this process read from the store, with an empty cache and without pauses."""
    for name, value in environment(proxy).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(attempts, "PAUSES", (0.01, 0.02, 0.03))
    monkeypatch.setattr(stores, "_stores", proxy.opened)
    forget(monkeypatch)
    proxy.faults.clear()
    proxy.asked.clear()


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing in memory, as a new process."""
    monkeypatch.setattr(objects, "_recent", objects._Recent())


def upload(folder: Path, files: Any, target: str) -> None:
    """Put a folder into the store, and as `target`.zip."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    for name, content in found.items():
        files.pipe(f"{target}/{name}", content)
    files.pipe(f"{target}.zip", zip_of(found))


def zip_of(files: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target.getvalue()
