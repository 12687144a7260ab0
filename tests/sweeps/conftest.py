"""Sweeps with a train command that only pretends."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from gantrain.cli import entry
from gantrain.config.train import RunConfig
from gantrain.io import file_locks
from gantrain.sweeps import claims

RUN_NUMBERS = {"pairs/psnr": 20.0, "loss/G/cycle_a": 0.5}


@dataclasses.dataclass
class Answer:
    code: int
    out: str
    err: str


Run = Callable[..., Answer]


@contextmanager
def claimed_elsewhere(folder: Path, what: str) -> Iterator[None]:
    """A claim of another process, which the system tells from one of this process."""
    path = folder / claims.FOLDER / f"{what}.lock"
    with open(path, "ab") as file:
        if not file_locks.try_lock(file.fileno()):
            raise BlockingIOError
        yield


@pytest.fixture
def trained() -> list[str]:
    """Names of the runs that were trained, in order."""
    return []


@pytest.fixture
def behaviour() -> dict[int, BaseException]:
    """What a run of this seed ends with, instead of a result."""
    return {}


@pytest.fixture
def gantrain(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    trained: list[str],
    behaviour: dict[int, BaseException],
) -> Run:
    """The command line in this process, in an empty folder. A run leaves config.yaml and a result
    whose pairs/l1 is (lambda_cycle - 7)^2 + seed."""

    def train(config: RunConfig, data: Any) -> float:
        settings = dataclasses.asdict(config)
        settings.pop("warnings")
        nimg = round((config.train.kimg or 0) * 1000)
        folder = Path(config.out) / str(config.name)
        folder.mkdir(parents=True, exist_ok=True)
        content = settings | {"derived": {"plan": {"total": nimg}}}
        (folder / "config.yaml").write_text(yaml.safe_dump(content))
        trained.append(str(config.name))
        if ending := behaviour.get(config.seed):
            raise ending
        value = (config.model.get("lambda_cycle", 7) - 7) ** 2 + config.seed
        metrics = {"pairs/l1": value, **RUN_NUMBERS}
        objective = {"name": "pairs/l1", "value": value}
        result = {"nimg": nimg, "pairs": {}, "metrics": metrics, "objective": objective}
        (folder / "result.json").write_text(json.dumps(result))
        return value

    def run(*argv: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["gantrain", *argv])
        code = entry.main()
        text = capfd.readouterr()
        return Answer(code, text.out, text.err)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")  # cli sets it: have it put back afterwards
    stub: Any = SimpleNamespace(main=train)
    monkeypatch.setitem(sys.modules, "gantrain.commands.train", stub)
    return run
