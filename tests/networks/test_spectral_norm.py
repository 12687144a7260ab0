"""Spectral normalization beside singular values and torch's own parametrization."""

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from gantrain.networks.layers import init_weights
from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.spectral_norm import SpectralConv2d


def test_the_largest_singular_value_becomes_one() -> None:
    torch.manual_seed(0)
    conv = SpectralConv2d(3, 5, 4, bias=False).double()
    for _ in range(500):
        conv(torch.zeros(1, 3, 4, 4, dtype=torch.float64))
    identity = torch.eye(48, dtype=torch.float64).view(48, 3, 4, 4)
    weight = conv(identity).view(48, 5)  # what it multiplies each input by
    assert torch.linalg.matrix_norm(weight, 2).item() == pytest.approx(1, abs=1e-9)
    assert torch.allclose(weight.t() * torch.linalg.matrix_norm(conv.weight.flatten(1), 2),
                          conv.weight.flatten(1))  # fmt: skip


def test_values_and_gradients_are_those_of_torch() -> None:
    torch.manual_seed(1)
    ours = SpectralConv2d(3, 4, 3, 1, 1).double()
    theirs = nn.Conv2d(3, 4, 3, 1, 1).double()
    theirs.load_state_dict({"weight": ours.weight, "bias": ours.bias})
    matrix = ours.weight.detach().flatten(1)
    spectral_norm(theirs, n_power_iterations=1)
    vectors = dict(theirs.named_buffers())
    vectors["parametrizations.weight.0._u"].copy_(ours.u)
    v = nn.functional.normalize(matrix.t() @ ours.u, dim=0)
    vectors["parametrizations.weight.0._v"].copy_(v)
    x = torch.randn(2, 3, 5, 5, dtype=torch.float64)
    for _ in range(3):
        mine, its = ours(x), theirs(x)
        torch.testing.assert_close(mine, its, atol=1e-12, rtol=0)
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=0)
    mine.square().sum().backward()
    its.square().sum().backward()
    expected = theirs.parametrizations.weight.original.grad  # type: ignore[union-attr]
    torch.testing.assert_close(ours.weight.grad, expected, atol=1e-10, rtol=0)


def test_evaluation_changes_nothing() -> None:
    conv = SpectralConv2d(1, 2, 3).eval()
    u = conv.u.clone()
    x = torch.randn(1, 1, 5, 5)
    assert torch.equal(conv(x), conv(x)) and torch.equal(conv.u, u)


@pytest.mark.parametrize("kind", [PatchDiscriminator, PixelDiscriminator])
def test_discriminators_have_it_in_every_layer_under_the_same_names(kind: type) -> None:
    plain, spectral = kind(3, 4), init_weights(kind(3, 4, spectral_norm=True))
    convs = [m for m in spectral.modules() if isinstance(m, nn.Conv2d)]
    assert all(isinstance(m, SpectralConv2d) for m in convs)
    extra = spectral.state_dict().keys() - plain.state_dict().keys()
    assert extra == {f"{name}.u" for name, m in spectral.named_modules() if m in convs}
    # Invariant to the scale of its weights
    x = torch.randn(1, 3, 32, 32)
    spectral.eval()
    before = spectral(x)
    with torch.no_grad():
        for m in convs:
            m.weight *= 3
    torch.testing.assert_close(spectral(x), before, atol=1e-5, rtol=1e-4)
