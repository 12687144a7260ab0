"""Ports and addresses; and, with gradio, what a server answers over plain HTTP."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from PIL import Image

from gantrain.config.machine import is_installed
from gantrain.errors import ConfigError
from gantrain.studio.server import open_place, temporary_home
from tests.helpers import generators
from tests.helpers.running_studio import Studio

needs_gradio = pytest.mark.skipif(
    not is_installed("gradio"), reason="the page needs gradio: pip install 'gantrain[studio]'"
)


def test_the_next_free_port() -> None:
    with open_place("127.0.0.1", 0).listener as taken:
        port = taken.getsockname()[1]
        place = open_place("127.0.0.1", port)
        with place.listener:
            assert port < place.port < port + 20 and place.token is None
            assert place.address == f"http://127.0.0.1:{place.port}/"


def test_no_port_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantrain.studio.server.TRIES", 1)
    with open_place("127.0.0.1", 0).listener as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port={port}: .* taken"):
            open_place("127.0.0.1", port)


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
def test_a_host_that_is_elsewhere(host: str) -> None:
    with pytest.raises(ConfigError, match="is not an address of this machine"):
        open_place(host, 7860)


def test_other_hosts_have_a_token() -> None:
    with (one := open_place("0.0.0.0", 0)).listener, (two := open_place("0.0.0.0", 0)).listener:
        assert one.token and two.token and one.token != two.token and len(one.token) > 20
        assert one.address == f"http://{socket.gethostname()}:{one.port}/{one.token}/"


def test_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_SSR_MODE", "True")
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with temporary_home() as home:
        (home / "upload").mkdir()
        assert os.environ["GRADIO_TEMP_DIR"] == str(home)
        assert os.environ["GRADIO_SSR_MODE"] == os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert not home.exists() and "GRADIO_TEMP_DIR" not in os.environ
    assert os.environ["GRADIO_SSR_MODE"] == "True"


ROUTES = [
    "/", "/config", "/theme.css", "/static/img/logo.svg", "/assets/index.js", "/manifest.json",
    "/gradio_api/info", "/gradio_api/heartbeat/x", "/gradio_api/queue/data?session_hash=x",
    "/gradio_api/queue/status", "/gradio_api/file=/etc/hostname", "/gradio_api/startup-events",
    "/gradio_api/app_id", "/gradio_api/upload_progress?upload_id=x", "/login_check",
    "/openapi.json",
]  # fmt: skip
POSTED = [
    "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/run/predict", "/gradio_api/cancel",
    "/gradio_api/call/translate", "/gradio_api/reset", "/gradio_api/component_server", "/login",
]  # fmt: skip


def translator(home: Path) -> Path:
    generators.cyclegan(home / "both")
    return home


@needs_gradio
@pytest.mark.multi
def test_without_the_token_everything_is_refused(tmp_path: Path) -> None:
    with Studio(translator(tmp_path), "run=both", "host=0.0.0.0") as studio:
        assert len(studio.path) > 20
        for path in ROUTES:
            assert studio.ask(path) == (403, studio.ask("/x")[1]), path
            assert studio.ask(f"/wrong{path}")[0] == 403, path
        for path in POSTED:
            assert studio.ask(path, b"{}")[0] == 403, path
        assert studio.ask(f"/?{studio.path.strip('/')}", Cookie=f"token={studio.path}")[0] == 403
        status, page = studio.ask(studio.path)
        assert status == 200 and b"gradio_config" in page
        assert studio.ask(f"{studio.path}config")[0] == 200
        assert studio.ask(f"{studio.path}gradio_api/upload", b"{}")[0] != 403
        studio.end(signal.SIGTERM, 143)


@needs_gradio
@pytest.mark.multi
def test_this_machine_alone(tmp_path: Path) -> None:
    with Studio(translator(tmp_path), "run=both") as studio:
        assert studio.path == "/" and studio.ask("/")[0] == 200
        assert studio.ask("/", Host="example.org")[0] == 403
        assert studio.ask("/gradio_api/upload", b"{}", Origin="http://example.org")[0] == 403
        for path in ("/etc/hostname", str(tmp_path / "both/snapshots/snapshot-000012.500.pt")):
            assert studio.ask(f"/gradio_api/file={path}")[0] == 403
        assert "Interrupted" in studio.end(signal.SIGINT, 130)


@needs_gradio
@pytest.mark.multi
def test_a_file_of_the_machine_is_no_upload(tmp_path: Path) -> None:
    """A request may name any path as that of an upload, and what is one is served again."""
    with Studio(translator(tmp_path), "run=both") as studio:
        secret = tmp_path / "secret.png"
        Image.new("L", (16, 16)).save(secret)
        made = json.loads(studio.ask("/config")[1])["dependencies"]
        [index] = [
            one["id"] for one in made if any(target[1] == "change" for target in one["targets"])
        ]
        elsewhere = "https://example.org/a.png"
        for path, reason in ((str(secret), "was not uploaded"), (elsewhere, "is not loaded")):
            file = {"path": path, "meta": {"_type": "gradio.FileData"}}
            order = {"data": [[file], "ab"], "fn_index": index, "session_hash": "x"}
            body, kind = json.dumps(order).encode(), {"Content-Type": "application/json"}
            assert studio.ask("/gradio_api/queue/join", body, **kind)[0] == 200
            answer = studio.ask("/gradio_api/queue/data?session_hash=x")[1].decode()
            assert '"success":false' in answer and reason in answer, answer
        assert not list(studio.folder.rglob("*.png"))
        studio.end(signal.SIGINT, 130)
