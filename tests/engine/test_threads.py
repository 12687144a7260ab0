"""The number of CPU threads follows from the size of the work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from torch import nn

from gantrain.config import paths, train
from gantrain.engine import precision
from gantrain.engine.threads import all_threads, available_threads, choose_threads, use_threads
from gantrain.metrics.protocol import MetricValue
from gantrain.networks.resnet import ResnetGenerator
from gantrain.runs import evaluation
from gantrain.runs.training import run
from tests.helpers.command_line import TINY, gantrain


@pytest.fixture(autouse=True)
def _four_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine with four cores, whatever this one has; set back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    available_threads.cache_clear()
    yield
    torch.set_num_threads(before)
    available_threads.cache_clear()


def test_small_networks_use_one_thread_and_large_ones_all() -> None:
    demo, published = ResnetGenerator(3, 3, 16, 1), ResnetGenerator(3, 3, 64, 9)
    assert choose_threads(demo, 4, (32, 32), 64) == 1
    assert choose_threads(published, 1, (256, 256), 64) == 64
    assert choose_threads(published, 1, (64, 64), 64) == round(589_824 * 256 / 16e6) == 9
    counts = [choose_threads(published, n, (64, 64), 8) for n in (1, 2, 4)]
    assert counts == [8, 8, 8]
    rectangles = [choose_threads(demo, 4, size, 64) for size in ((64, 256), (256, 64))]
    assert rectangles[0] == rectangles[1] > 1


def test_a_network_without_weights_leaves_the_number_alone() -> None:
    assert choose_threads(nn.Tanh(), 1, (8, 8), 3) == 3


def test_the_number_is_set_for_the_process_and_every_thread_can_be_had_for_a_while() -> None:
    use_threads(1)
    assert torch.get_num_threads() == 1
    with pytest.raises(RuntimeError), all_threads():
        assert torch.get_num_threads() == 4
        raise RuntimeError
    assert torch.get_num_threads() == 1
    use_threads(None)  # the machine's, as at the start of the next run in this process
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize(("wanted", "evaluated"), [("null", 4), ("1", 1)])
def test_a_number_that_is_asked_for_holds_for_evaluations_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: str, evaluated: int
) -> None:
    used: list[int] = []

    def evaluate(*_: object) -> list[MetricValue]:
        used.append(torch.get_num_threads())
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluation, "_evaluate", evaluate)
    monkeypatch.chdir(tmp_path)
    command = [*TINY, "runtime=cpu", "runtime.workers=0", f"runtime.threads={wanted}", "name=run"]
    command += ["train.kimg=0.002", "evaluation.every_kimg=0.001", "evaluation.extractor=random"]
    command += ["data.test_images=6", "data.train_images=8", "evaluation.metrics=[kid]"]
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        config = train.load(compose("train", command), typed_keys=[])
    with pytest.raises(KeyboardInterrupt):
        run(config, command, "shapes")
    assert used == [evaluated]


def test_it_is_said_and_recorded(tmp_path: Path) -> None:
    small = [*TINY, "runtime=cpu", "train.kimg=0.002", "name=run"]
    said = gantrain(tmp_path, *small, environment={"OMP_NUM_THREADS": "2"})
    assert "cpu (1 thread), fp32" in said
    derived = yaml.safe_load((tmp_path / "runs/run/config.yaml").read_text())["derived"]
    assert derived["threads"] == 1
    said = gantrain(tmp_path, "doctor", "run=runs/run", "samples=0")
    assert "Trained with 1 CPU thread of torch per process (by the size of the work;" in said


@pytest.mark.parametrize(
    ("name", "device", "has_bf16", "work", "advised"),
    [
        ("auto", "cpu", True, 2, True),
        ("auto", "cpu", True, 1, False),  # casts cost more than they save
        ("fp32", "cpu", True, 2, False),  # the user's choice
        ("auto", "cpu", False, 2, False),
        ("auto", "meta", True, 2, False),
    ],
)
def test_bf16_is_advised_where_it_is_faster(
    name: str,
    device: str,
    has_bf16: bool,
    work: int,
    advised: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "has_bf16_instructions", lambda: has_bf16)
    chosen = precision.Precision(torch.device(device), name)  # type: ignore[arg-type]
    assert bool(chosen.advice(work)) == advised
