"""Cadence, seeds, averages, clock, precision, signals."""

import os
import random
import signal
import time

import numpy as np
import pytest
import torch
from torch import nn

from gantrain.engine import seeding
from gantrain.engine.buffers import copy_all, moving_buffers
from gantrain.engine.ema import EMA
from gantrain.engine.memory import peak_gigabytes
from gantrain.engine.precision import Precision, PrecisionName, pick_device, unavailable_reason
from gantrain.engine.signals import Action, handle_signals
from gantrain.engine.timing import Throughput, crossed
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.layers import SynthesisLayer
from gantrain.ops.precision import full_float32


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
def test_cadence_fires_once_per_interval_for_any_batch(batch: int) -> None:
    fired = [n for n in range(0, 5000, batch) if crossed(n, n + batch, 100)]
    assert len(fired) == (len(range(0, 5000, batch)) * batch) // 100
    assert not crossed(0, 10**9, 0)


def draws() -> tuple[float, float, float]:
    return torch.rand(()).item(), float(np.random.rand()), random.random()


def test_seeds_depend_on_all_four_values() -> None:
    seen = []
    for key in (
        (0, "train", 0, 0),
        (1, "train", 0, 0),
        (0, "preview", 0, 0),
        (0, "train", 1, 0),
        (0, "train", 0, 1),
    ):
        seeding.seed_all(*key)
        seen.append(draws())
    assert len(set(seen)) == 5
    seeding.seed_all(0, "train", 0, 0)
    assert draws() == seen[0]


def test_a_stream_leaves_torch_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    first = torch.rand(1)
    with seeding.stream(0, seeding.PREVIEW):
        torch.rand(100)
    assert torch.equal(torch.cat([first, torch.rand(1)]), expected)


def test_average_has_the_given_half_life() -> None:
    source = nn.BatchNorm1d(1)
    ema = EMA(source, half_life=1000)
    nn.init.constant_(source.weight, 3.0)  # it was 1
    source.running_mean.fill_(7.0)  # type: ignore[union-attr]
    for _ in range(4):
        ema.update(source, nimg=250)
    assert ema.network.weight.item() == pytest.approx(3 - 2 * 0.5)  # one half-life
    assert ema.network.running_mean.item() == 7.0  # buffers are copied
    assert not ema.network.training and not ema.network.weight.requires_grad


def test_constants_are_not_copied() -> None:
    """Every step would cost a launch for each."""
    source = SynthesisLayer(1, 1, 1, (2, 2))
    ema = EMA(source, half_life=1000)
    source.noise_const.fill_(7.0)
    ema.update(source, nimg=10)
    assert 7.0 not in ema.network.state_dict()["noise_const"].flatten().tolist()
    assert moving_buffers(source) == []
    norm = nn.BatchNorm1d(1)
    assert len(moving_buffers(norm)) == 3


def test_frozen_layers_are_constants() -> None:
    D = StyleGAN2Discriminator([8, 8], 3, channel_base=64, channel_max=8, freeze_layers=2)
    assert any("weight" in name for name, _ in D.named_buffers())
    assert moving_buffers(D) == []


def test_buffers_of_several_dtypes_are_copied() -> None:
    targets = [torch.zeros(2), torch.zeros((), dtype=torch.long), torch.zeros(1)]
    copy_all(targets, [torch.ones(2), torch.tensor(3), torch.full((1,), 2.0)])
    assert [t.tolist() for t in targets] == [[1.0, 1.0], 3, [2.0]]


def test_seeds_reach_the_current_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed or a saved state of another GPU would cost a context there."""
    generators = [torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)]
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    monkeypatch.setattr(torch.cuda, "default_generators", generators)
    seeding.seed_all(0, "train", 0, 0)
    assert generators[0].initial_seed() == 1
    assert generators[1].initial_seed() == torch.initial_seed() != 1
    before = generators[1].get_state()
    with seeding.stream(0, seeding.PREVIEW):
        assert generators[1].initial_seed() == torch.initial_seed()
        torch.rand(3, generator=generators[1])
    assert torch.equal(generators[1].get_state(), before)


def test_the_half_life_may_be_a_schedule() -> None:
    source = nn.Linear(1, 1, bias=False)
    ramp = {"base": 0.0, "final": 100.0, "kimg": 0.02, "shape": "linear"}
    ema = EMA(source, half_life=ramp)
    [average], [current] = ema.network.parameters(), source.parameters()
    for seen, half_life in ((0, 0), (5, 25), (20, 100), (999, 100)):
        average.data.fill_(1.0)
        current.data.fill_(0.0)
        ema.update(source, 10, seen)
        kept = 0.5 ** (10 / half_life) if half_life else 0
        assert average.item() == pytest.approx(kept)


def test_rampup_bounds_the_half_life_by_the_images_seen() -> None:
    source = nn.Linear(1, 1, bias=False)
    ema = EMA(source, half_life=1000, rampup=0.05)
    for seen, half_life in ((0, 0), (400, 20), (4000, 200), (40_000, 1000)):
        before = ema.network.weight.item()
        nn.init.constant_(source.weight, before + 1)
        ema.update(source, nimg=10, seen=seen)
        kept = 0.5 ** (10 / half_life) if half_life else 0
        assert ema.network.weight.item() - before == pytest.approx(1 - kept, abs=1e-6)


def test_clock() -> None:
    clock = Throughput()
    clock.restart(100)
    with clock.waiting():
        time.sleep(0.05)
    time.sleep(0.05)
    values = clock.read(110)
    assert 0.2 < values["progress/data_wait"] < 0.8
    assert 10 < values["progress/img_per_sec"] <= 100


CPU = torch.device("cpu")


@pytest.mark.parametrize(("name", "tf32"), [("fp32", False), ("tf32", True), ("bf16", True)])
def test_precision_switches(name: PrecisionName, tf32: bool) -> None:
    """All of torch's getters still answer: inductor reads them, some raise after a mix of APIs."""
    Precision(CPU, name)
    assert torch.backends.cuda.matmul.allow_tf32 is tf32
    assert torch.backends.cudnn.allow_tf32 is tf32
    assert torch.get_float32_matmul_precision() == ("high" if tf32 else "highest")
    expected = ("tf32",) if tf32 else ("ieee", "none")
    assert torch.backends.cuda.matmul.fp32_precision in expected
    assert torch.backends.cudnn.conv.fp32_precision in expected  # type: ignore[attr-defined]
    with torch.backends.cudnn.flags(enabled=True):
        pass


def test_autocast_is_for_bf16_alone() -> None:
    x = torch.ones(2, 2)
    with Precision(CPU, "bf16").autocast():
        assert (x @ x).dtype == torch.bfloat16
    with Precision(CPU, "fp32").autocast():
        assert (x @ x).dtype == torch.float32


def test_auto_is_tf32_where_a_card_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Precision(CPU, "auto").name == "fp32"
    for capability, name in (((7, 5), "fp32"), ((8, 0), "tf32"), ((9, 0), "tf32")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert Precision(torch.device("cuda"), "auto").name == name


@pytest.mark.parametrize("name", ["fp32", "tf32", "bf16"])
def test_a_block_in_full_float32(name: PrecisionName) -> None:
    precision = Precision(CPU, name)
    x = torch.ones(2, 2)
    before = torch.backends.cuda.matmul.allow_tf32
    with precision.autocast(), pytest.raises(ZeroDivisionError), full_float32(CPU):
        assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
        assert (x @ x).dtype == torch.float32
        raise ZeroDivisionError
    assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is before


def test_devices_and_memory() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert unavailable_reason(torch.device("cpu")) == ""
    assert pick_device("auto").type in ("cpu", "cuda", "mps")
    assert 0.01 < peak_gigabytes(torch.device("cpu")) < 100


def test_a_device_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert (
        unavailable_reason(torch.device("cuda")) == unavailable_reason(torch.device("cuda:1")) == ""
    )
    assert "cuda:0 to cuda:1" in unavailable_reason(torch.device("cuda:2"))
    assert "no Apple GPU" in unavailable_reason(torch.device("mps"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_asks_and_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with handle_signals() as signals:
        assert signals.pop_request() is Action.CONTINUE
        os.kill(os.getpid(), number)
        assert signals.pop_request() is Action.STOP and signals.received == number
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(number) == before
