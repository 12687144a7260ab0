from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from gantrain.ops import fir
from gantrain.ops.modulated_conv import demodulation, modulated_conv2d
from tests.ops import plain

TAPS = fir.fir_taps([1, 3, 3, 1])
CASES: list[dict[str, Any]] = [
    {"k": 3},
    {"k": 3, "noise": True},
    {"k": 3, "up": 2, "noise": True},
    {"k": 3, "demodulate": False, "noise": True},
    {"k": 1, "demodulate": False},
    {"k": 1},
]


def inputs(k: int, up: int = 1, noise: bool = False, **_: Any) -> list[Tensor]:
    """x, weight, styles and perhaps noise, in float64."""
    shapes = [(2, 3, 3, 4), (2, 3, k, k), (2, 3)] + [(2, 1, 3 * up, 4 * up)] * noise
    return [torch.randn(s, dtype=torch.float64, requires_grad=True) for s in shapes]


def settings(case: dict[str, Any]) -> dict[str, Any]:
    chosen = {key: case[key] for key in ("up", "demodulate") if key in case}
    return {**chosen, "taps": TAPS} if "up" in case else chosen


@pytest.mark.parametrize("case", CASES)
def test_equals_the_definition_up_to_second_derivatives(case: dict[str, Any]) -> None:
    tensors = inputs(**case)
    results = []
    for conv in (modulated_conv2d, plain.modulated_conv2d):
        torch.manual_seed(1)
        x, weight, styles, *noise = tensors
        y = conv(x, weight, styles, noise=noise[0] if noise else None, **settings(case))
        first = torch.autograd.grad(y, tensors, torch.randn_like(y), create_graph=True)
        energy = sum(g.square().sum() for g in first)
        assert isinstance(energy, Tensor)
        second = torch.autograd.grad(energy, tensors, allow_unused=True, materialize_grads=True)
        results.append((y, *first, *second))
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("case", [CASES[2], CASES[4]])
def test_gradients_of_both_orders(case: dict[str, Any]) -> None:
    def run(x: Tensor, weight: Tensor, styles: Tensor, *noise: Tensor) -> Tensor:
        extra = noise[0] if noise else None
        return modulated_conv2d(x, weight, styles, noise=extra, **settings(case))

    assert gradcheck(run, inputs(**case))
    assert gradgradcheck(run, inputs(**case))


def test_equals_modulated_and_demodulated_weights_of_the_paper() -> None:
    x, weight, styles = inputs(3)
    w = weight[None] * styles[:, None, :, None, None]
    w = w / (w.square().sum(dim=(2, 3, 4), keepdim=True) + 1e-8).sqrt()
    expected = F.conv2d(x.flatten(0, 1)[None], w.flatten(0, 1), padding=1, groups=2)
    torch.testing.assert_close(modulated_conv2d(x, weight, styles), expected.view(2, 2, 3, 4))


def test_demodulation_gives_unit_variance() -> None:
    weight, styles = torch.randn(8, 16, 3, 3) * 5, torch.randn(4, 16) + 1
    y = modulated_conv2d(torch.randn(4, 16, 66, 66), weight, styles)[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(y.std(dim=(2, 3)), torch.ones(4, 8), atol=0.1, rtol=0)
    assert demodulation(weight, styles).shape == (4, 8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_neither_overflows_nor_depends_on_the_scale(dtype: torch.dtype) -> None:
    x, weight, styles = (t.detach().float() for t in inputs(3))
    expected = modulated_conv2d(x, weight, styles)
    large = modulated_conv2d((100 * x).to(dtype), 1e6 * weight, 1e6 * styles).float() / 100
    torch.testing.assert_close(large, expected, atol=0.03, rtol=0.03)


def test_half_precision_has_the_gradient_of_full_precision() -> None:
    # The divisors of the normalization are taken as constants: true, since they cancel.
    x, weight, styles = (t.detach().float() for t in inputs(3))
    probe, gradients = torch.randn(2, 2, 3, 4), []
    for dtype in (torch.float32, torch.bfloat16):
        w, s = weight.clone().requires_grad_(), styles.clone().requires_grad_()
        y = modulated_conv2d(x.to(dtype), w, s)
        gradients.append(torch.autograd.grad((y.float() * probe).sum(), (w, s)))
    for full, half in zip(*gradients, strict=True):
        assert (full - half).norm() < 0.02 * full.norm()
