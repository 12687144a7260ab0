"""Whose requests are answered."""

import asyncio
from typing import Any

import pytest

from gantrain.studio.guard import POLICY, Guard

TOKEN = "secret"


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


def ask(token: str | None, path: str, kind: str = "http", **headers: str) -> list[Any]:
    """The messages of the answer to a request."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": kind, "path": path, "headers": pairs}
    asyncio.run(Guard(_app, token)(scope, None, send))
    return sent


def status(*request: Any, **headers: str) -> int:
    return ask(*request, **headers)[0]["status"]


@pytest.mark.parametrize("path", ["/secret", "/secret/", "/secret/gradio_api/queue/join"])
def test_paths_with_the_token_are_answered(path: str) -> None:
    assert status(TOKEN, path, host="example.org:7860", origin="http://example.org") == 200


@pytest.mark.parametrize(
    "path", ["/", "", "/secre", "/secrets/", "/x/secret/", "/gradio_api/info?secret", "//x/secret"]
)
def test_others_are_refused(path: str) -> None:
    assert status(TOKEN, path, host="localhost:7860") == 403
    assert ask(TOKEN, path, "websocket", host="localhost")[0]["type"] == "websocket.close"


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:9000", "localhost", "[::1]:7860"])
def test_this_machine_is_answered(host: str) -> None:
    assert status(None, "/", host=host) == 200
    assert status(None, "/", host=host, origin=f"http://{host}") == 200
    assert status(None, "/", host=host, origin=f"http://{host}:1") == 403
    assert status(None, "/", host=host, origin="https://example.org") == 403
    assert status(None, "/", host=host, origin="null") == 403


@pytest.mark.parametrize("host", ["example.org:7860", "localhost.example.org", "", "127.0.0.2"])
def test_other_names_of_this_machine_are_refused(host: str) -> None:
    assert status(None, "/", host=host) == 403
    assert status(None, "/") == 403


def test_answers_keep_the_browser_here() -> None:
    headers = dict(ask(None, "/", host="localhost")[0]["headers"])
    assert headers[b"content-security-policy"] == POLICY.encode()
    assert "default-src 'self'" in POLICY and "http" not in POLICY


def test_the_start_of_the_server_is_let_through() -> None:
    assert ask(TOKEN, "", "lifespan")[0]["status"] == 200
