"""Trainings that report to W&B (offline) and MLflow (a database, and a server on loopback)."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gantrain.tracking import wandb_file
from tests.helpers.command_line import TINY, finish, gantrain, interrupt, rows, start

pytestmark = pytest.mark.ci
RUN = [
    *TINY, "name=run", "train.kimg=0.06", "tracking.every_kimg=0.01",
    "tracking.grid_every_kimg=0.02",
    "tracking.health_every_kimg=0", "checkpoint.every_kimg=0.02", "tracking.tags=[a,team=b]",
]  # fmt: skip
EXPECTED = [10, 20, 30, 40, 50, 60]


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No account of the machine is used."""
    for name in [key for key in os.environ if key.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def wandb_rows(run: Path) -> list[dict[str, Any]]:
    files = sorted(run.glob("wandb/offline-run-*/*.wandb"))
    return [row for file in files for row in wandb_file.history(file)]


def test_wandb_offline_over_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="pip install 'gantrain[wandb]'")
    command = [*RUN, "tracking.to=[wandb]", "tracking.mode=offline"]
    run = tmp_path / "runs/run"
    interrupt(start(tmp_path, *command, cold=True), run, 2, signal.SIGKILL)
    said = gantrain(tmp_path, *command, cold=True)
    assert "W&B, offline: wandb sync" in said
    logged = wandb_rows(run)
    scalars = [row for row in logged if "loss/G/adversarial_a" in row]
    assert [row["nimg"] for row in scalars] == EXPECTED
    kept = rows(run)
    name = "loss/D/a"
    assert [row[name] for row in scalars] == pytest.approx([row[name] for row in kept])
    grids = [row["nimg"] for row in logged if "grid/_type" in row or "grid" in row]
    assert grids == sorted(set(grids)) and grids[-1] == 60
    ids, tags = set[str](), set[str]()
    for file in run.glob("wandb/offline-run-*/*.wandb"):
        for kind, record in wandb_file.records(file):
            if kind == "run":
                ids.add(record.run_id)
                tags |= set(record.tags)
                assert record.project == "gantrain" and record.display_name == "run"
                settings = {item.key or item.nested_key[0] for item in record.config.update}
                assert "model.ngf" in settings
    assert len(ids) == 1 and tags == {"a", "team=b"}


def test_wandb_without_an_account_is_refused_before_the_first_step(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="pip install 'gantrain[wandb]'")
    said = gantrain(tmp_path, *RUN, "tracking.to=[wandb]", code=2, cold=True)
    assert "wandb login" in said and "tracking.mode=offline" in said
    assert not (tmp_path / "runs").exists()


def client_of(uri: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def check_mlflow(uri: str, run: Path) -> None:
    client = client_of(uri)
    experiment = client.get_experiment_by_name("gantrain")
    [found] = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "run" and found.info.status == "FINISHED"
    assert found.data.tags["team"] == "b" and found.data.tags["a"] == ""
    assert found.data.params["model.ngf"] == "2"
    points = client.get_metric_history(found.info.run_id, "loss/D/a")
    assert [point.step for point in points] == EXPECTED
    kept = [row["loss/D/a"] for row in rows(run)]
    assert [point.value for point in points] == pytest.approx(kept)


def test_mlflow_in_a_folder_over_a_kill(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="pip install 'gantrain[mlflow]'")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    command = [*RUN, "tracking.to=[mlflow]", f"tracking.uri={uri}"]
    run = tmp_path / "runs/run"
    interrupt(start(tmp_path, *command, cold=True), run, 2, signal.SIGKILL)
    gantrain(tmp_path, *command, cold=True)
    check_mlflow(uri, run)
    assert list(tmp_path.glob("mlruns/*/*/artifacts/**/*.png"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    pytest.importorskip("mlflow", reason="pip install 'gantrain[mlflow]'")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", f"{port}"]
    store = ["--backend-store-uri", "sqlite:///server.db", "--workers", "1"]
    process = subprocess.Popen(
        [*command, *store], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    uri = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(f"{uri}/health", timeout=1).close()
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)
    yield uri, process
    with contextlib.suppress(ProcessLookupError):  # the test has ended it
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.multi
def test_mlflow_server(tmp_path: Path, server: tuple[str, subprocess.Popen[bytes]]) -> None:
    uri, process = server
    command = [*RUN, "tracking.to=[mlflow]", f"tracking.uri={uri}"]
    running = start(tmp_path, *command, cold=True)
    interrupt(running, tmp_path / "runs/run", 1, signal.SIGTERM)
    client = client_of(uri)
    [found] = client.search_runs([client.get_experiment_by_name("gantrain").experiment_id])
    assert found.info.status == "KILLED"  # stopped; it can be resumed
    gantrain(tmp_path, *command, cold=True)
    check_mlflow(uri, tmp_path / "runs/run")

    # A server that is gone costs no training, and is said once.
    os.killpg(process.pid, signal.SIGSTOP)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    environment = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
    more = [*command[:-1], f"tracking.uri={uri}", "name=second"]
    said = finish(start(tmp_path, *more, environment=environment, cold=True))
    assert said.count("MLflow cannot be reached") == 1
    assert len(rows(tmp_path / "runs/second")) == len(EXPECTED)
