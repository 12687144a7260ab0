"""A web server on this machine, with the manners and faults of real ones."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """`files` by path; (path, Range) of every request is in `asked`.

    The path's first part, if there is one, says how the server fails:
    broken: half of what is asked for, then the end of the connection; weak: no ETag, no ranges;
    deaf: ETag, but Range is ignored; more in `Handler`.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.etag = '"one"'

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append((self.path, wanted))
        kind, _, name = self.path[1:].rpartition("/")
        body = self.server.files.get(f"/{name}")
        if body is None:
            self.send_error(404)
        elif kind == "busy" and len(self.server.asked) < 3:
            self.send_error(503)
        elif kind == "silent":  # closes without a word
            self.close_connection = True
        else:
            self.respond(kind, body, wanted if kind not in ("deaf", "weak") else None)

    def respond(self, kind: str, body: bytes, wanted: str | None) -> None:
        start = 0
        if wanted and self.headers.get("If-Range", self.server.etag) == self.server.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(body)}")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        else:
            self.send_response(200)
        body = body[start:]
        if kind == "chunked-broken":
            self.send_header("Transfer-Encoding", "chunked")
        elif kind != "unknown-length":
            self.send_header("Content-Length", "many" if kind == "odd" else str(len(body)))
        if kind != "weak":
            self.send_header("ETag", self.server.etag)
        self.end_headers()
        half = len(body) // 2
        if kind == "chunked-broken":
            self.wfile.write(b"%x\r\n" % len(body) + body[:half])
        else:
            # The last two thousand bytes come in one go: else halves would never end.
            self.wfile.write(body[:half] if kind == "broken" and half > 1000 else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
