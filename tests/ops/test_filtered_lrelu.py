"""The filtered leaky ReLU: derivatives of all orders, and what stays in memory."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx

from gantrain.ops import fir
from gantrain.ops.filtered_lrelu import FilteredLeakyReLU, Resampling
from gantrain.ops.tracing import recording

UP, DOWN = fir.fir_taps([1, 2, 4, 5, 3, 1]), fir.fir_taps([3, 5, 4, 1, 2, 2])
RADIAL = fir.fir_taps([[1.0, 2.0, 0.5], [3.0, 7.0, 1.0], [2.0, 1.0, 2.0]])


def make(
    clamp: float | None = None, up: int = 2, down_taps: fir.Taps = DOWN, slope: float = 0.2
) -> FilteredLeakyReLU:
    before = Resampling(UP, up=up, padding=(3, 4, 5, -1), gain=float(up**2))
    return FilteredLeakyReLU(before, Resampling(down_taps, down=2), clamp=clamp, slope=slope)


def literally(layer: FilteredLeakyReLU, x: Tensor) -> Tensor:
    """The formula, with the resampling of `fir` and torch's own derivatives of the rest."""
    up, down = layer.up, layer.down
    u = fir.upfirdn2d(x, up.taps, up=up.up, padding=up.padding, gain=up.gain)
    u = layer.gain * F.leaky_relu(u, layer.slope)
    u = u if layer.clamp is None else u.clamp(-layer.clamp, layer.clamp)
    return fir.upfirdn2d(u, down.taps, down=down.down)


CASES = [make(), make(0.7), make(0.7, up=4), make(down_taps=RADIAL), make(0.5, slope=0.9)]


def sample() -> Tensor:
    torch.manual_seed(3)
    return torch.randn(2, 3, 5, 6, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("layer", CASES)
def test_values_and_derivatives_are_those_of_the_formula(layer: FilteredLeakyReLU) -> None:
    x = sample()
    ours, theirs = layer(x), literally(layer, x)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(layer.plain(x), theirs, rtol=1e-12, atol=1e-14)
    g = torch.randn_like(theirs).requires_grad_()
    firsts = [torch.autograd.grad(y, x, g, create_graph=True)[0] for y in (ours, theirs)]
    torch.testing.assert_close(*firsts, rtol=1e-12, atol=1e-14)
    v = torch.randn_like(x)
    seconds = [torch.autograd.grad((first * v).sum(), g)[0] for first in firsts]
    torch.testing.assert_close(*seconds, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("layer", CASES[:3])
def test_by_finite_differences(layer: FilteredLeakyReLU) -> None:
    x = sample()
    assert gradcheck(layer, x, eps=1e-7, check_forward_ad=True)
    assert gradgradcheck(layer, x, eps=1e-7)


def test_the_bounds_of_the_clamp_count_as_inside() -> None:
    """As in torch: the derivative at the bound itself is not 0."""
    one = Resampling((1.0,))
    layer = FilteredLeakyReLU(one, one, gain=2.0, slope=0.5, clamp=4.0)
    x = torch.tensor([-5.0, -4.0, -1.0, 0.0, 1.0, 2.0, 2.5])[None, None, None].requires_grad_()
    expected = (2 * F.leaky_relu(x, 0.5)).clamp(-4, 4)
    y = layer(x)
    assert torch.equal(y, expected)
    grads = [torch.autograd.grad(z.sum(), x)[0] for z in (y, expected)]
    assert torch.equal(*grads)


def test_only_the_input_is_kept_for_the_backward_pass() -> None:
    layer, x = make(0.7), sample()
    hidden = layer.up.apply(x.detach()).numel()

    def kept(function: FilteredLeakyReLU) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t: sizes.append(t.numel()) or t, lambda t: t
        ):
            function(x)
        return sum(sizes)

    assert kept(layer) == x.numel() < hidden
    assert kept(layer.plain) > hidden  # type: ignore[arg-type]


def test_half_precision_stays_half() -> None:
    x = sample().detach()
    y = make()(x.bfloat16())
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.double(), make()(x), rtol=0.05, atol=0.05)


def test_recorded() -> None:
    """As the phases of a training are: with the gradient, as one list of operations."""

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        y = make(0.7)(x)
        (gradient,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        return y.detach(), torch.autograd.grad(gradient.square().sum(), x)[0]

    x = sample().detach()
    with recording():
        graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(x)
    for ours, theirs in zip(graph(x), function(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)
