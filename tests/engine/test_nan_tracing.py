"""Where a number that is not finite came from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gantrain.engine import seeding
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import NonFiniteGradient, OnNonfinite, PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.cyclegan import CycleGAN
from tests.engine.test_trainer import noise, small_cyclegan, trainer
from tests.helpers.command_line import differences

Fault = Callable[[Tensor], Tensor]


class Faulty(nn.Module):
    """The identity, until `armed`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__()
        self.fault, self.armed = fault, True

    def forward(self, x: Tensor) -> Tensor:
        return self.fault(x) if self.armed else x


def logarithm(x: Tensor) -> Tensor:
    return torch.log(0 * x - 1) + x


def root(x: Tensor) -> Tensor:
    return (x - x.detach()).sqrt() + x  # finite, but its slope is not


class Small(GAN):
    """G and D of three layers each, one of them faulty; D's penalty needs two backward passes."""

    def __init__(self, player: str, fault: Fault) -> None:
        super().__init__()
        for name in ("G", "D"):
            middle = Faulty(fault) if name == player else nn.Identity()
            self.add_module(name, nn.Sequential(nn.Linear(2, 2), middle, nn.Linear(2, 2)))

    def phases(self) -> list[Phase]:
        return [Phase("G", "G", self.g), Phase("D_r1", "D", self.r1)]

    def g(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"g": self.G(batch["x"]).mean()}

    def r1(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        x = batch["x"].detach().requires_grad_(True)
        (slope,) = torch.autograd.grad(self.D(x).square().sum(), x, create_graph=True)
        yield {"r1": slope.square().sum()}


def run(gan: GAN, batch: Batch, policy: OnNonfinite = "halt") -> PhaseRunner:
    optimizers = build_optimizers(gan, torch.optim.SGD, {"lr": 0.1})
    runner = PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), "fp32"), policy)
    runner.step([batch], Step(0, 0))
    return runner


@pytest.mark.parametrize(
    ("player", "fault", "told"),
    [
        (
            "G",
            logarithm,
            "the first NaN came in G.1 (Faulty), from aten.log from inputs of at most",
        ),
        ("G", root, "the first infinity came in G.1 (Faulty) in the backward pass, from aten.div"),
        ("D", lambda x: x * 1e30, "came in the loss itself, from aten.pow"),
        ("D", logarithm, "the first NaN came in D.1 (Faulty), from aten.log"),
    ],
)
def test_the_first_module_and_operation_are_named(player: str, fault: Fault, told: str) -> None:
    torch.manual_seed(0)
    with pytest.raises(NonFiniteGradient, match="not finite at step 0") as error:
        run(Small(player, fault), {"x": torch.ones(4, 2)})
    assert told in str(error.value)


def test_pictures_and_weights_that_were_bad_before() -> None:
    x = torch.ones(4, 2)
    x[2, 1] = torch.nan
    with pytest.raises(NonFiniteGradient, match=r"'x' of the batch was not .*items \[2\] of 4"):
        run(Small("", logarithm), {"x": x})
    gan = Small("", logarithm)
    with torch.no_grad():
        gan.G[2].weight[0, 0] = torch.inf  # type: ignore[index, union-attr]
    with pytest.raises(NonFiniteGradient, match=r"the weight G\.2\.weight was not finite before"):
        run(gan, {"x": torch.ones(4, 2)})


def test_a_norm_too_large_for_its_format() -> None:
    with pytest.raises(NonFiniteGradient, match="all its values were finite, but not its norm"):
        run(Small("G", lambda x: x * 1e30), {"x": torch.ones(4, 2)})


def test_a_skipped_step_is_traced_and_leaves_no_trace() -> None:
    """Weights, pools and averages are as if the step had been left out and nobody had looked."""

    def after(traced: bool) -> tuple[PhaseRunner, CycleGAN]:
        gan = small_cyclegan()
        D = next(m for m in gan.D["b"].modules() if isinstance(m, nn.Sequential))
        fault = Faulty(logarithm)
        D.insert(1, fault)
        fault.armed = False
        optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 1e-2})
        runner = PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), "fp32"), "skip")
        if not traced:
            runner._traces = 99
        for index in range(4):
            fault.armed = index == 2
            images = {k: x / 127.5 - 1 for k, x in next(noise(2 * index)).items()}
            runner.step([{k: x[i : i + 1] for k, x in images.items()} for i in (0, 1)],
                        Step(index, 2 * index))  # fmt: skip
        return runner, gan

    (first, watched), (second, plain) = after(True), after(False)
    assert [(index, phase) for index, phase, _ in first.nonfinite_origins] == [(2, "G"), (2, "D")]
    assert all(
        "came in D.b.model.1 (Faulty), from aten.log" in text
        for *_, text in first.nonfinite_origins
    )
    assert all(bool(b.isfinite().all()) for b in watched.buffers())
    assert second.nonfinite_origins == [] and first.skipped == second.skipped == 2
    assert differences(watched.state_dict(), plain.state_dict()) == []
    values, others = first.stats.collect(), second.stats.collect()
    assert repr(values) == repr(others)  # with the NaNs


@pytest.mark.parametrize("checkpoint_every", [4, 100])  # the fault is at 8 images
def test_an_accelerator_goes_back_to_find_it(tmp_path: Path, checkpoint_every: int) -> None:
    seeding.seed_all(0, seeding.INIT)
    gan = CycleGAN(ImageSpec({"a": 3, "b": 3}, (16, 16)), ngf=2, ndf=2, blocks=1, d_layers=1)
    made, recorder, _ = trainer(gan, tmp_path, checkpoint_every=checkpoint_every, tick=6)
    G = next(m for m in gan.G["ab"].modules() if isinstance(m, nn.Sequential))
    G.insert(2, Faulty(lambda x: logarithm(x) if made.index == 4 else x))
    made.runner.check_immediately = False
    with pytest.raises(NonFiniteGradient, match="phase G was not finite at step 4") as error:
        made.train()
    assert "the first NaN came in G.ab.model.2 (Faulty), from aten.log" in error.value.origin
    begin = 0.008 if checkpoint_every == 4 else 0
    assert f"Going back to {begin:g} kimg to find its origin." in recorder.said[0]
