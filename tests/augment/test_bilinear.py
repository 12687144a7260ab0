"""Bilinear sampling: the two ways agree, derivatives of any order."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from gantrain.augment.bilinear import sample_bilinear, sample_by_gather

WAYS = [sample_bilinear, sample_by_gather]


def example() -> tuple[Tensor, Tensor]:
    """Images and a grid of which part lies outside of them."""
    images = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    return images, torch.rand(2, 4, 6, 2, dtype=torch.float64) * 2.8 - 1.4


@pytest.mark.parametrize("way", WAYS)
def test_values_and_gradient_are_those_of_grid_sample(
    way: Callable[[Tensor, Tensor], Tensor],
) -> None:
    images, grid = example()
    weight = torch.randn(2, 3, 4, 6, dtype=torch.float64)
    y, expected = way(images, grid), F.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(y, expected)
    got, wanted = (torch.autograd.grad((t * weight).sum(), images)[0] for t in (y, expected))
    torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("way", WAYS)
def test_derivatives(way: Callable[[Tensor, Tensor], Tensor]) -> None:
    images, grid = example()
    assert torch.autograd.gradcheck(lambda x: way(x, grid), images)
    assert torch.autograd.gradgradcheck(lambda x: way(x, grid), images)


def test_the_adjoint_is_differentiable_again_and_again() -> None:
    """f(x) = sum(sample(x)^2) has a second derivative along v of 2 sum(sample(v)^2), any x."""
    images, grid = example()
    v = torch.randn_like(images)
    y = sample_bilinear(images, grid).square().sum()
    (first,) = torch.autograd.grad(y, images, create_graph=True)
    (second,) = torch.autograd.grad((first * v).sum(), images, create_graph=True)
    expected = 2 * sample_bilinear(v, grid).square().sum()
    torch.testing.assert_close((second * v).sum(), expected)


@pytest.mark.parametrize("way", WAYS)
def test_forward_mode(way: Callable[[Tensor, Tensor], Tensor]) -> None:
    images, grid = example()
    v = torch.randn_like(images)

    def squares(x: Tensor) -> Tensor:
        return way(x, grid).square()

    expected = 2 * way(images, grid) * way(v, grid)
    torch.testing.assert_close(torch.func.jvp(squares, (images,), (v,))[1], expected)
    with forward_ad.dual_level():
        dual = squares(forward_ad.make_dual(images, v))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected)


def test_derivatives_of_a_gradient_along_a_direction() -> None:
    """Of sum(sample(w x)^3): forward over reverse, and reverse over forward over reverse."""
    images, grid = example()
    v = torch.randn_like(images)
    w = torch.rand(3, 1, 1, dtype=torch.float64, requires_grad=True)

    def gradient(x: Tensor, w: Tensor) -> Tensor:
        return torch.func.grad(lambda x: sample_bilinear(w * x, grid).pow(3).sum())(x)

    def along(w: Tensor) -> Tensor:
        return torch.func.jvp(lambda x: gradient(x, w), (images.detach(),), (v,))[1]

    x = images.detach().requires_grad_(True)
    (first,) = torch.autograd.grad(sample_bilinear(w * x, grid).pow(3).sum(), x, create_graph=True)
    # The Hessian is symmetric: H v is the gradient of (gradient . v).
    (expected,) = torch.autograd.grad((first * v).sum(), x)
    torch.testing.assert_close(along(w), expected)
    assert torch.autograd.gradcheck(along, w)
