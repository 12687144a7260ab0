"""The number of CPU threads follows from the size of the work."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from gantrain.engine.threads import all_threads, available_threads, choose_threads, use_threads
from gantrain.networks.resnet import ResnetGenerator
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


def test_the_number_is_set_once_for_the_process_and_every_thread_can_be_had_for_a_while() -> None:
    small = ResnetGenerator(3, 3, 2, 1)
    assert use_threads(small, 1, (16, 16)) == torch.get_num_threads() == 1
    with pytest.raises(RuntimeError), all_threads():
        assert torch.get_num_threads() == 4
        raise RuntimeError
    assert torch.get_num_threads() == 1
    assert use_threads(small, 1, (16, 16), wanted=3) == torch.get_num_threads() == 3
    assert use_threads(ResnetGenerator(3, 3, 64, 9), 8, (256, 256)) == 4  # the machine's, not 3


def test_it_is_said_and_recorded(tmp_path: Path) -> None:
    small = [*TINY, "runtime=cpu", "train.kimg=0.002", "name=run"]
    said = gantrain(tmp_path, *small, environment={"OMP_NUM_THREADS": "2"})
    assert "cpu (1 thread), fp32" in said
    derived = yaml.safe_load((tmp_path / "runs/run/config.yaml").read_text())["derived"]
    assert derived["threads"] == 1
    said = gantrain(tmp_path, "doctor", "run=runs/run", "samples=0")
    assert "Trained with 1 CPU thread of torch per process (by the size of the work;" in said
