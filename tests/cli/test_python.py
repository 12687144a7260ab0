"""gantrain.train and gantrain.compose, against the command."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hydra.core.hydra_config import HydraConfig

import gantrain
from gantrain.engine import signals
from tests.helpers.command_line import TINY, differences, rows
from tests.helpers.command_line import gantrain as command

SHORT = [*TINY, "lr.schedule=constant", "runtime.threads=1", "tracking.every_kimg=0.002"]
BUDGET = {"kimg": 0.008}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(HydraConfig.instance(), "cfg", None)  # other tests may have left theirs
    return tmp_path


def problems(*overrides: str, **settings: object) -> tuple[str, ...]:
    with pytest.raises(gantrain.ConfigError) as caught:
        gantrain.compose(*overrides, **settings)
    return caught.value.problems


@pytest.mark.multi
def test_trains_as_the_command_does(home: Path) -> None:
    shown = "tracking.grid_every_kimg=0.004"
    command(home / "other", *SHORT, shown, "train.kimg=0.008")
    other = home / "other/runs/cyclegan-shapes-001"
    threads = torch.get_num_threads()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    run = gantrain.train(SHORT, tracking={"grid_every_kimg": 0.004}, train=BUDGET)
    assert run.path == Path("runs/cyclegan-shapes-001")
    assert rows(run.path) == rows(other)
    files = [{p.relative_to(x) for p in x.rglob("*")} for x in (run.path, other)]
    assert files[0] == files[1]
    for name in ("config.yaml", "overrides.yaml"):
        mine, theirs = (yaml.safe_load((x / name).read_text()) for x in (run.path, other))
        assert differences(mine, theirs) == []
    states = [
        torch.load(x / "checkpoints/checkpoint-000000.008.pt", weights_only=True)["gan"]
        for x in (run.path, other)
    ]
    assert differences(*states) == []
    assert torch.get_num_threads() == threads
    assert {number: signal.getsignal(number) for number in handlers} == handlers
    assert not HydraConfig.initialized()

    assert [row["nimg"] for row in run.history] == [2, 4, 6, 8]
    assert run.result["nimg"] == 8 and run.status == "done"
    assert run.grid().size[0] > 16
    x = torch.zeros(1, 3, 16, 16)
    assert run.load().translate(x).shape == x.shape
    assert repr(gantrain.run("cyclegan-shapes-001")) == repr(run)
    assert repr(run) == "<run runs/cyclegan-shapes-001: done, 0.008 kimg>"


def test_the_guide_is_run(home: Path) -> None:
    text = (Path(gantrain.__file__).parents[1] / "docs/guides/python.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert scope["run"].path == Path("runs/notebook")
    assert scope["y"].shape == scope["x"].shape
    assert gantrain.train(resume="notebook", train={"kimg": 0.024}).result["nimg"] == 24


def test_a_finished_run_is_returned_and_resuming_continues_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = gantrain.train(SHORT, name="a", train={"kimg": 0.004})
    again = gantrain.train(SHORT, name="a", train={"kimg": 0.004})
    assert "there is nothing to train" in capsys.readouterr().out
    assert again.path == first.path
    longer = gantrain.train(resume="a", train=BUDGET)
    assert longer.path == first.path and longer.result["nimg"] == 8
    whole = gantrain.train(SHORT, name="b", train=BUDGET)
    assert rows(longer.path) == rows(whole.path)


def test_a_stopped_training_raises_and_its_state_is_saved(home: Path) -> None:
    def stop() -> None:
        while not any(home.glob("runs/a/metrics.jsonl")) or not gantrain.run("runs/a").history:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(KeyboardInterrupt, match="its state is saved"):
        gantrain.train(SHORT, name="a", train={"kimg": 100})
    thread.join()
    run = gantrain.run("runs/a")
    assert run.status == "stopped" and run.history and run.result == {}
    assert list(run.path.glob("checkpoints/*.pt")) and run.load().directions
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_failed_training_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(gantrain.RunError, match="last lines above"):
        gantrain.train(SHORT, name="a", train=BUDGET, optimizer={"lr": 1e30})
    assert gantrain.run("a").result == {}


def test_trains_in_another_thread() -> None:
    runs = []
    thread = threading.Thread(
        target=lambda: runs.append(gantrain.train(SHORT, name="a", train=BUDGET))
    )
    thread.start()
    thread.join()
    assert runs[0].result["nimg"] == 8


def test_handlers_are_not_installed_in_another_thread() -> None:
    def work() -> None:
        with signals.handle_signals():
            seen.append(signal.getsignal(signal.SIGTERM))

    seen: list[object] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_compose_returns_the_checked_config() -> None:
    config = gantrain.compose(
        ["model=dcgan", "data=shapes"], "seed=3", train={"kimg": 0.1, "epochs": None}
    )
    assert (config.seed, config.train.kimg) == (3, 0.1)
    assert config.model["_target_"] == "gantrain.gans.dcgan.DCGAN"
    assert not HydraConfig.initialized()


def test_settings_have_the_types_of_python(tmp_path: Path) -> None:
    config = gantrain.compose(
        model="cyclegan",
        data="folder",
        out=tmp_path / "my runs (2)",
        init_from=None,
        tracking={"to": ["tensorboard"], "tags": ["a b", "007"]},
        optimizer={"lr": [[0, 1e-4], (np.int64(9), np.float32(0.5))]},
        runtime={"deterministic": True},
        lr={"unit": "image"},
        **{"train.kimg": np.float64(1.5), "train.epochs": None, "data.root": "x=y, [1]"},
    )
    assert config.out == str(tmp_path / "my runs (2)") and config.init_from is None
    assert config.tracking.to == ["tensorboard"] and config.tracking.tags == ["a b", "007"]
    assert config.optimizer["lr"] == [[0, 1e-4], [9, 0.5]]
    assert config.runtime.deterministic is True and config.train.kimg == 1.5
    assert config.data["root"] == "x=y, [1]"
    [text] = problems(model="cyclegan", data="shapes", seed={1, 2}.__iter__())
    assert "seed is a set_iterator: settings are numbers" in text


def test_everything_that_is_wrong_is_told_at_once() -> None:
    found = problems("model=cyclegan", train={"batch": 0}, seeed=3)
    assert any("train.batch=0" in text for text in found)
    assert any("seeed" in text for text in found)
    assert "data=shape" in problems(model="cyclegan", data="shape")[0]
    assert not HydraConfig.initialized()


def test_what_only_the_command_does_is_refused() -> None:
    assert "once for each" in problems("model=cyclegan", "-m")[0]
    assert "once for each" in problems("model=cyclegan", launcher="local")[0]
    assert "--cfg" in problems("model=cyclegan", "--cfg", "job")[0]
    with pytest.raises(gantrain.ConfigError, match=r"one process.*runtime\.devices=N"):
        gantrain.train(SHORT, runtime={"devices": 2}, train={"kimg": 1, "batch": 2})


def test_images_that_are_missing_are_found_before_torch(home: Path) -> None:
    code = (
        "import sys, gantrain\n"
        "try: gantrain.train(model='cyclegan', data='folder', **{'data.root': 'nowhere'})\n"
        "except gantrain.ConfigError as error: print(error, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "nowhere" in done.stdout and done.stdout.strip().endswith("False")
    assert not (home / "runs").exists()


def test_lines_are_as_few_as_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    run = gantrain.train(SHORT, train={"kimg": 0.02})
    said = capsys.readouterr().out
    assert len(run.history) == 10 and said.count(" img/s") <= 3
    assert json.loads((run.path / "result.json").read_text()) == run.result
