"""Who may ask the studio for what: requests are checked before gradio sees them (ASGI)."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
App = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any
]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
# The page may load nothing from elsewhere, whatever its scripts ask for.
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "form-action 'self'; frame-ancestors 'self'; object-src 'none'"
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"referrer-policy", b"same-origin"),  # the address has the token
]


class Guard:
    """Refuses requests with 403 that do not come from the page's own user.

    With a token, these are all whose path does not begin with it. Without one, the page is for this
    machine alone: those that name another host, as a site in the browser can by a name that it
    leads here (DNS rebinding), or that come from another site's page.

    Args:
        app: what answers the others.
        token: the first part of every path; None: none is needed.
    """

    def __init__(self, app: App, token: str | None) -> None:
        self.app, self.token = app, token

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] not in ("http", "websocket"):  # such as the start of the server
            await self.app(scope, receive, send)
        elif not self._is_allowed(scope):
            await _refuse(scope, send)
        else:
            await self.app(scope, receive, _with_headers(send))

    def _is_allowed(self, scope: Message) -> bool:
        if self.token:
            first = str(scope["path"]).lstrip("/").partition("/")[0]
            return secrets.compare_digest(first.encode(), self.token.encode())
        host = next(_values(scope, b"host"), "")
        is_own = all(origin in (f"http://{host}", "") for origin in _values(scope, b"origin"))
        return urlsplit(f"//{host}").hostname in LOOPBACK and is_own


def _values(scope: Message, name: bytes) -> Iterator[str]:
    return (value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name)


def _with_headers(send: Any) -> Any:
    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *HEADERS]
        await send(message)

    return answer


async def _refuse(scope: Message, send: Any) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    text = b"Refused: use the address that gantrain studio printed.\n"
    kind = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 403, "headers": kind})
    await send({"type": "http.response.body", "body": text})
