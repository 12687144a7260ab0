"""Adversarial losses against the reference's numbers and closed forms."""

import math

import pytest
import torch
from torch import Tensor, nn

from gantrain.losses import ADVERSARIAL, gradient_penalty
from tests.helpers.golden_files import load


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("lsgan", "lsgan"),
        ("vanilla", "vanilla"),
        ("vanilla", "nonsaturating"),
        ("wgan_gp", "wgangp"),
    ],
)
def test_losses_equal_reference(ours: str, theirs: str) -> None:
    _, golden = load("gan_losses")
    loss, pred = ADVERSARIAL[ours], golden["pred"]
    real, fake = (float(golden[f"loss/{theirs}/{kind}"]) for kind in ("real", "fake"))
    assert loss.real(pred).item() == pytest.approx(real, rel=1e-6)
    assert loss.fake(pred).item() == pytest.approx(fake, rel=1e-6)
    assert loss.generator(pred).item() == pytest.approx(real, rel=1e-6)  # fakes called real


def test_hinge_closed_form() -> None:
    loss, p = ADVERSARIAL["hinge"], torch.tensor([-2.0, -0.5, 0.5, 2.0])
    assert loss.real(p).item() == pytest.approx((3 + 1.5 + 0.5 + 0) / 4)
    assert loss.fake(p).item() == pytest.approx((0 + 0.5 + 1.5 + 3) / 4)
    assert loss.generator(p).item() == 0.0


def test_losses_leave_half_precision() -> None:
    p = torch.full((4096,), 0.1, dtype=torch.bfloat16)
    value = ADVERSARIAL["lsgan"].fake(p)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(p[0].double().item() ** 2, rel=1e-6)


class _Linear(nn.Module):
    """D(x) = <w, x>, whose gradient is w everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) * self.weight).sum(1, keepdim=True)


def test_gradient_penalty_of_a_linear_critic() -> None:
    critic = _Linear(torch.full((12,), 0.5, dtype=torch.float64))
    real, fake = torch.randn(2, 3, 3, 2, 2, dtype=torch.float64)
    penalty = gradient_penalty(critic, real, fake)
    norm = math.sqrt(12 * 0.25)
    assert penalty.item() == pytest.approx((norm - 1) ** 2)
    penalty.backward()  # d/dw (|w| - 1)^2 = 2 (|w| - 1) w / |w|
    expected = 2 * (norm - 1) * critic.weight.detach() / norm
    torch.testing.assert_close(critic.weight.grad, expected)


def test_gradient_penalty_is_taken_between_real_and_fake() -> None:
    seen: list[Tensor] = []

    class Spy(_Linear):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return super().forward(x)

    gradient_penalty(Spy(torch.ones(4)), torch.zeros(64, 1, 2, 2), torch.ones(64, 1, 2, 2))
    mixed = seen[0]
    assert 0 <= mixed.min() < 0.1 and 0.9 < mixed.max() <= 1
    assert torch.equal(mixed.amin((1, 2, 3)), mixed.amax((1, 2, 3)))  # one weight per image
