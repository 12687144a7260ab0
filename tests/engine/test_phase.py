from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import NonFiniteGradient, OnNonfinite, PhaseRunner
from gantrain.engine.precision import Precision, PrecisionName
from gantrain.gans.base import GAN, Batch, Phase, Step

Losses = Callable[["Toy", Batch, Step], Iterator[dict[str, Tensor]]]


class Toy(GAN):
    """Scalar players; the losses are given."""

    def __init__(self, g: Losses, d: Losses | None = None, interval: int = 1) -> None:
        super().__init__()
        self.G, self.D = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
        for player in (self.G, self.D):
            nn.init.constant_(player.weight, 2.0)
        self._phases = [Phase("G", "G", lambda b, s: g(self, b, s), interval)]
        if d:
            self._phases.append(Phase("D", "D", lambda b, s: d(self, b, s)))

    def phases(self) -> list[Phase]:
        return self._phases


def runner(
    gan: GAN, policy: OnNonfinite = "halt", precision: PrecisionName = "fp32"
) -> PhaseRunner:
    optimizers = build_optimizers(gan, torch.optim.SGD, {"lr": 1.0})
    return PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), precision), policy)


def mean_output(gan: Toy, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
    yield {"x": gan.G(batch["x"]).mean()}


def column(*values: float) -> Batch:
    return {"x": torch.tensor(values).view(-1, 1)}


@pytest.mark.parametrize("sizes", [[4], [2, 2], [1, 1, 1, 1], [3, 1]])
def test_microbatches_are_averaged(sizes: list[int]) -> None:
    gan = Toy(mean_output)
    run = runner(gan)
    values = torch.tensor([1.0, 2.0, 3.0, 6.0]).split(sizes)
    run.step([{"x": v.view(-1, 1)} for v in values], Step(0, 0))
    assert gan.G.weight.item() == pytest.approx(2 - 3)  # the gradient is the mean of all four
    assert run.stats.collect()["loss/G/x"] == pytest.approx(2 * 3)


def test_several_players_descend_one_loss_and_step_in_turn() -> None:
    head = nn.Linear(1, 1, bias=False)
    nn.init.constant_(head.weight, 3.0)
    gan = Toy(lambda gan, batch, step: iter([{"x": head(gan.G(batch["x"])).mean()}]))
    gan.E = head
    gan._phases = [Phase("G", ("G", "E"), gan._phases[0].losses)]
    run = runner(gan)
    assert list(run.optimizers) == ["G", "E"] and [*gan.players()] == ["G", "D", "E"]
    run.step([column(1.0), column(3.0)], Step(0, 0))
    # d/dg of g e x, d/de of g e x, with x = 2 on average: both at the values before the steps
    assert gan.G.weight.item() == pytest.approx(2 - 3 * 2)
    assert head.weight.item() == pytest.approx(3 - 2 * 2)
    assert run.stats.collect()["grad_norm/G"] == pytest.approx((6**2 + 4**2) ** 0.5)


def test_lazy_phases_are_scaled_and_skipped() -> None:
    gan = Toy(mean_output, interval=4)
    run = runner(gan)
    for index in range(6):
        run.step([column(1.0)], Step(index, index))
    assert gan.G.weight.item() == pytest.approx(2 - 2 * 4)  # steps 0 and 4, each four-fold


def test_every_yield_is_a_backward_of_its_own() -> None:
    seen: list[float] = []

    def twice(gan: Toy, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"a": gan.G(batch["x"]).mean(), "b": gan.G(batch["x"]).mean() * 2}
        assert gan.G.weight.grad is not None
        seen.append(gan.G.weight.grad.item())
        yield {"c": gan.G(batch["x"]).mean() * 10}

    gan = Toy(twice)
    runner(gan).step([column(1.0)], Step(0, 0))
    assert seen == [3.0]
    assert gan.G.weight.item() == pytest.approx(2 - 13)


def test_only_the_player_moves() -> None:
    def both(gan: Toy, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        assert [p.requires_grad for p in gan.G.parameters()] == [True]
        assert [p.requires_grad for p in gan.D.parameters()] == [False]
        yield {"x": gan.D(gan.G(batch["x"])).mean()}

    gan = Toy(both, d=lambda gan, batch, step: iter([{"x": gan.D(batch["x"]).mean()}]))
    runner(gan).step([column(1.0)], Step(0, 0))
    assert gan.G.weight.item() == pytest.approx(2 - 2)
    assert gan.D.weight.item() == pytest.approx(2 - 1)


def test_phases_of_a_step_share_the_batch() -> None:
    def leave(gan: Toy, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        batch["fake"] = gan.G(batch["x"]).detach()
        yield {"x": gan.G(batch["x"]).mean()}

    def take(gan: Toy, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        assert batch["fake"].item() == 2.0  # from before G's step
        yield {"x": gan.D(batch["fake"]).mean()}

    gan = Toy(leave, take)
    runner(gan).step([column(1.0)], Step(0, 0))
    assert gan.D.weight.item() == pytest.approx(2 - 2)


def not_finite_at_one(gan: Toy, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
    factor = float("nan") if step.index == 1 else 1.0
    yield {"x": gan.G(batch["x"]).mean() * factor}


def test_halt_names_phase_and_first_step() -> None:
    run = runner(Toy(not_finite_at_one))
    run.check_immediately = False  # as on an accelerator, which nobody waits for
    run.step([column(1.0)], Step(0, 0))
    run.check()
    for index in (1, 2):
        run.step([column(1.0)], Step(index, index))
    with pytest.raises(NonFiniteGradient, match="phase G was not finite at step 1"):
        run.check()


def test_skip_leaves_the_step_out_and_counts_it() -> None:
    gan = Toy(not_finite_at_one)
    run = runner(gan, "skip")
    for index in range(3):
        run.step([column(0.5)], Step(index, index))
    assert gan.G.weight.item() == pytest.approx(2 - 2 * 0.5)
    assert run.skipped == 1
    run.check()


def test_autocast_covers_the_forward_pass_only() -> None:
    seen: list[torch.dtype] = []

    class Spy(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, *grads: Tensor) -> Tensor:
            seen.append((torch.ones(2, 2) @ torch.ones(2, 2)).dtype)
            return grads[0]

    def losses(gan: Toy, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        y = gan.G(batch["x"])
        seen.append(y.dtype)
        yield {"x": Spy.apply(y).float().mean()}

    gan = Toy(losses)
    runner(gan, precision="bf16").step([column(1.0)], Step(0, 0))
    assert seen == [torch.bfloat16, torch.float32]


def test_gradient_norms_are_reported() -> None:
    run = runner(Toy(mean_output))
    run.step([column(3.0)], Step(0, 0))
    assert run.stats.collect()["grad_norm/G"] == pytest.approx(3.0)


def test_entries_without_a_gradient_are_only_logged() -> None:
    def losses(gan: Toy, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        y = gan.G(batch["x"]).mean()
        yield {"x": y, "logit": y.detach() * 10}
        yield {"sign": y.detach().sign()}

    gan = Toy(losses)
    run = runner(gan)
    run.step([column(1.0), column(3.0)], Step(0, 0))
    assert gan.G.weight.item() == pytest.approx(2 - 2)
    means = run.stats.collect()
    assert means["score/G/logit"] == pytest.approx(40) and means["score/G/sign"] == 1
    assert means["loss/G/x"] == pytest.approx(4) and "loss/G/logit" not in means


def test_penalties_run_outside_autocast() -> None:
    seen: dict[str, bool] = {}

    def note(name: str) -> Callable[[Batch, Step], Iterator[dict[str, Tensor]]]:
        def losses(batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
            seen[name] = torch.is_autocast_enabled("cpu")
            yield {"x": gan.G(batch["x"]).mean()}

        return losses

    gan = Toy(mean_output)
    gan._phases = [Phase("G", "G", note("G")), Phase("R", "G", note("R"), full_precision=True)]
    runner(gan, precision="bf16").step([column(1.0)], Step(0, 0))
    assert seen == {"G": True, "R": False}
