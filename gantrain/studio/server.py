"""Serve the page: a port, an address, and an end that leaves nothing behind."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantrain.errors import ConfigError
from gantrain.studio.guard import LOOPBACK, Guard

TRIES = 20  # ports
MOST_BYTES = 2**30  # of an upload
_LAST_WORDS = 2  # seconds that open connections have at the end
# gradio's ways to others: what is used, newer versions, hosted pages.
_OFFLINE = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_RUN_HISTORY": "False",
    "GRADIO_SSR_MODE": "False",
    "GRADIO_MCP_SERVER": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Yield the folder of uploads and results, which is removed at the end.

    gradio is told to use it, and to stay offline: it is imported afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="gantrain-studio-", ignore_cleanup_errors=True) as home:
        before = {key: os.environ.get(key) for key in (*_OFFLINE, "GRADIO_TEMP_DIR")}
        os.environ.update(_OFFLINE, GRADIO_TEMP_DIR=home)
        try:
            yield Path(home)
        finally:
            for key, value in before.items():
                os.environ.pop(key) if value is None else os.environ.update({key: value})


@dataclass(frozen=True)
class Place:
    """Where the page is.

    Attributes:
        listener: the open socket.
        host: as given.
        token: the first part of its path; None: it is for this machine alone.
    """

    listener: socket.socket
    host: str
    token: str | None

    @property
    def port(self) -> int:
        """The number of the port."""
        return self.listener.getsockname()[1]

    @property
    def address(self) -> str:
        """What a browser is given."""
        name = socket.gethostname() if self.host in ("0.0.0.0", "::", "") else self.host
        name = f"[{name}]" if ":" in name else name
        return f"http://{name}:{self.port}/{self.token + '/' if self.token else ''}"


def open_place(host: str, port: int) -> Place:
    """Listen at a port, or at the next free one.

    Args:
        host: of this machine; others than the loopback's get a token.
        port: the first one that is tried; 0: any.

    Raises:
        ConfigError: the host is not this machine's, or no port is free.
    """
    token = None if host in LOOPBACK else secrets.token_urlsafe(16)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last = min(port + TRIES, 2**16) if port else 1
    for number in range(port, last):
        try:
            return Place(socket.create_server((host, number), family=family), host, token)
        except PermissionError as error:
            raise ConfigError(f"port={number}: {error.strerror}. Try port=7860.") from None
        except OSError as error:
            if isinstance(error, socket.gaierror) or not _is_own(host, family):
                raise ConfigError(
                    f"host={host} is not an address of this machine ({error.strerror or error}): "
                    "use host=127.0.0.1, or host=0.0.0.0 for all of its networks."
                ) from None
    raise ConfigError(
        f"port={port}: this port and the {TRIES - 1} after it are taken. Give another one, or "
        "port=0 for any."
    )


def _is_own(host: str, family: socket.AddressFamily) -> bool:
    try:
        socket.create_server((host, 0), family=family).close()
    except OSError:
        return False
    return True


class Server:
    """Answers requests in a thread, so that Ctrl-C is this process's own.

    Args:
        page: the gradio page.
        place: where.
        look: arguments of gradio's `mount_gradio_app`, such as theme.
    """

    def __init__(self, page: Any, place: Place, look: dict[str, Any]) -> None:
        import gradio  # pyright: ignore[reportMissingImports]
        import uvicorn  # pyright: ignore[reportMissingImports]
        from fastapi import FastAPI  # pyright: ignore[reportMissingImports]
        from gradio import processing_utils  # pyright: ignore[reportMissingImports]

        path = f"/{place.token}" if place.token else "/"
        app = gradio.mount_gradio_app(
            FastAPI(openapi_url=None),
            page,
            path=path,
            server_name=place.host,
            server_port=place.port,
            footer_links=[],
            run_history=False,
            show_error=True,
            max_file_size=MOST_BYTES,
            ssr_mode=False,
            enable_monitoring=False,
            mcp_server=False,
            **look,
        )
        # Else gradio takes any file of this machine that a request names for an upload, and fetches
        # what it names elsewhere.
        page.has_launched = True
        processing_utils.async_ssrf_protected_get = _no_download
        settings = uvicorn.Config(
            Guard(app, place.token),
            log_level="critical",
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=_LAST_WORDS,
        )
        self._server = uvicorn.Server(settings)
        self._listener = place.listener
        self._thread = threading.Thread(target=self._run, name="studio", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._listener])

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve in the block."""
        self._thread.start()
        try:
            yield
        finally:
            self._server.should_exit = True
            self._thread.join(2 * _LAST_WORDS)

    def wait(self) -> None:
        """Return once the server has ended; Ctrl-C raises KeyboardInterrupt."""
        while self._thread.is_alive():
            self._thread.join(0.5)


async def _no_download(url: str) -> Any:
    raise ConfigError(f"{url} is not loaded: the studio loads nothing from the network.")
