"""Adversarial losses against the reference's numbers and closed forms."""

import math

import pytest
import torch
from torch import Tensor, nn

from gantrain.losses import ADVERSARIAL, gradient_penalty, patch_nce
from gantrain.networks.patch_head import PatchHead
from tests.helpers.golden_files import load, under


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


@pytest.mark.parametrize("kind", ["per_image", "whole_batch"])
def test_patch_nce_is_that_of_the_reference(kind: str) -> None:
    meta, golden = load("cut_patchnce")
    layers = range(len(meta["shapes"]))
    head = PatchHead([c for c, _, _ in meta["shapes"]], meta["nc"])
    head.load_state_dict(under(golden, "state/F/"), strict=True)
    q = [golden[f"q/{i}"].requires_grad_() for i in layers]
    positions = [golden[f"ids/{i}"].long() for i in layers]
    queries = head(q, positions)
    keys = head([golden[f"k/{i}"] for i in layers], positions)
    total = torch.zeros(())
    for i, (query, key) in enumerate(zip(queries, keys, strict=True)):
        for rows, name in ((query, "q"), (key, "k")):
            torch.testing.assert_close(
                rows.flatten(0, 1), golden[f"rows_{name}/{i}"], atol=1e-6, rtol=0
            )
        if kind == "whole_batch":
            query, key = query.flatten(0, 1)[None], key.flatten(0, 1)[None]
        loss = patch_nce(query, key, meta["T"])
        torch.testing.assert_close(loss.flatten(), golden[f"loss/{kind}/{i}"], atol=1e-5, rtol=0)
        total = total + loss.mean() / len(layers)
    assert total.item() == pytest.approx(golden[f"total/{kind}"].item(), rel=1e-6)
    total.backward()
    for i in layers:
        torch.testing.assert_close(q[i].grad, golden[f"grad/{kind}/q/{i}"], atol=1e-6, rtol=0)
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None
        expected = golden[f"grad_norm/{kind}/F/{name}"].item()
        assert parameter.grad.norm().item() == pytest.approx(expected, rel=1e-5), name


def test_patch_nce_in_closed_form() -> None:
    # All patches alike: the own key is one of P.
    same = torch.nn.functional.normalize(torch.ones(2, 5, 3, dtype=torch.float64), dim=2)
    expected = torch.full((2, 5), 5.0, dtype=torch.float64).log()
    torch.testing.assert_close(patch_nce(same, same, 0.07), expected)
    # Orthogonal patches: 1 / t ahead of all others.
    apart = torch.eye(4, dtype=torch.float64)[None]
    expected = torch.log1p(3 * torch.exp(torch.tensor(-1 / 0.5, dtype=torch.float64)))
    torch.testing.assert_close(
        patch_nce(apart, apart, 0.5), expected.expand(1, 4), atol=1e-8, rtol=0
    )


def test_patch_nce_gives_no_gradient_to_the_keys() -> None:
    q, k = (torch.randn(1, 4, 3, requires_grad=True) for _ in range(2))
    patch_nce(q, k, 0.07).sum().backward()
    assert q.grad is not None and k.grad is None


def test_patch_nce_does_not_suffer_from_autocast() -> None:
    q, k = (torch.nn.functional.normalize(torch.randn(2, 9, 8), dim=2) for _ in range(2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = patch_nce(q, k, 0.07)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, patch_nce(q, k, 0.07), atol=0, rtol=0)
