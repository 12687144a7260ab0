import pytest
import torch
from torch import Tensor

from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.cyclegan import CycleGAN

CPU = torch.device("cpu")


def make(seed: int = 0, channels: tuple[int, int] = (3, 3), side: int = 16, **settings) -> CycleGAN:
    torch.manual_seed(seed)
    images = ImageSpec(dict(zip("ab", channels, strict=True)), (side, side))
    return CycleGAN(images, **{"ngf": 2, "ndf": 2, "blocks": 1, "d_layers": 2} | settings)


def batches(n: int, size: int = 1, side: int = 16, channels=(3, 3)) -> list[dict[str, Tensor]]:
    g = torch.Generator().manual_seed(1)
    return [
        {
            d: torch.rand(size, c, side, side, generator=g, dtype=torch.float64) * 2 - 1
            for d, c in zip("ab", channels, strict=True)
        }
        for _ in range(n)
    ]


def train(
    gan: CycleGAN, data: list[dict[str, Tensor]], microbatch: int = 99
) -> list[dict[str, float]]:
    gan.double()
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 2e-3, "betas": (0.5, 0.999)})
    runner = PhaseRunner(gan, optimizers, Precision(CPU, "fp32"), "halt")
    history = []
    for i, batch in enumerate(data):
        torch.manual_seed(100 + i)
        size = batch["a"].shape[0]
        parts = [
            {k: v[j : j + microbatch] for k, v in batch.items()} for j in range(0, size, microbatch)
        ]
        runner.step(parts, Step(i, i * size))
        history.append(runner.stats.collect())
    return history


@pytest.mark.parametrize("loss", ["lsgan", "vanilla", "hinge", "wgan_gp"])
def test_fast_equals_reference(loss: str) -> None:
    data = batches(6, size=2)
    histories = [train(make(mode=m, loss=loss, pool_size=3), data) for m in ("reference", "fast")]
    for slow, fast in zip(*histories, strict=True):
        assert fast == pytest.approx(slow, rel=1e-9, abs=1e-12)


def test_batch_norm_is_never_batched() -> None:
    data = batches(3, size=2)
    slow, fast = (train(make(mode=m, norm="batch"), data) for m in ("reference", "fast"))
    assert fast == slow


@pytest.mark.parametrize("loss", ["lsgan", "wgan_gp"])
def test_microbatches_average(loss: str) -> None:
    data = batches(5, size=4)
    gans = [make(loss=loss, gp_weight=0.0) for _ in range(2)]  # its random mixing differs
    whole, parts = train(gans[0], data), train(gans[1], data, microbatch=1)
    for a, b in zip(whole, parts, strict=True):
        assert b == pytest.approx(a, rel=1e-9)
    for p, q in zip(gans[0].parameters(), gans[1].parameters(), strict=True):
        # Biases before a norm have gradient 0: there Adam magnifies rounding noise, by 1 / eps.
        torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-7)


def test_two_stages_and_schedules() -> None:
    gan = make(adversarial_kimg=2, lambda_cycle=[[0, 10.0], [4, 20.0]], lambda_identity=0.5)
    assert tuple(gan.weights(1999).values()) == (1.0, 0.0, 0.0)
    assert tuple(gan.weights(2000).values()) == (1.0, 15.0, 7.5)
    assert tuple(gan.weights(9000).values()) == (1.0, 20.0, 10.0)


def test_first_stage_has_adversarial_losses_only() -> None:
    gan = make(adversarial_kimg=0.002)
    first, second, third = (set(step) for step in train(gan, batches(3)))
    assert first == second == {
        "loss/G/adversarial_a", "loss/G/adversarial_b", "loss/D/a", "loss/D/b",
        "grad_norm/G", "grad_norm/D",
    }  # fmt: skip
    assert third - first == {f"loss/G/{k}_{d}" for k in ("cycle", "identity") for d in "ab"}


@pytest.mark.parametrize(
    ("settings", "forwards"), [({}, 6), ({"lambda_identity": 0}, 4), ({"lambda_cycle": 0}, 2)]
)
@pytest.mark.parametrize("mode", ["reference", "fast"])
def test_no_work_for_terms_of_weight_zero(settings: dict, forwards: int, mode: str) -> None:
    gan = make(mode=mode, **settings)
    images = 0

    def count(_module: object, args: tuple[Tensor]) -> None:
        nonlocal images
        images += args[0].shape[0]

    for net in gan.G.children():
        net.register_forward_pre_hook(count)
    train(gan, batches(1))
    assert images == forwards


def test_discriminator_sees_fakes_of_the_generator_before_its_step() -> None:
    gan = make().double()
    (batch,) = batches(1)
    before = gan.G["ab"](batch["a"]).detach()
    train(gan, [batch])
    torch.testing.assert_close(gan.pool["b"].images[0], before[0])


def test_domains_of_different_channels() -> None:
    gan = make(channels=(1, 3), lambda_identity=0)
    history = train(gan, batches(2, channels=(1, 3)))
    assert history[0]["loss/G/cycle_a"] > 0
    columns = gan.preview(gan.G, batches(1, channels=(1, 3))[0])
    assert list(columns) == ["real a", "fake b", "cycle a", "real b", "fake a", "cycle b"]
    assert columns["fake b"].shape[1] == 3 and columns["fake a"].shape[1] == 1


@pytest.mark.parametrize(("side", "blocks"), [(256, 9), (128, 6)])
def test_depth_follows_the_paper(side: int, blocks: int) -> None:
    gan = make(side=side, blocks=None)
    assert sum(type(m).__name__ == "ResnetBlock" for m in gan.G["ab"].modules()) == blocks


def test_critic_penalty_is_really_there() -> None:
    gan = make(loss="wgan_gp", gp_weight=10.0)
    (history,) = train(gan, batches(1))
    assert {"loss/D/gp_a", "loss/D/gp_b"} <= set(history)
    assert history["loss/D/gp_a"] > 0
