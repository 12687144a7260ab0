"""Which parts of the networks run in half precision, and what keeps that harmless."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gantrain.networks.layers import half_dtype, without_autocast
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.encoder import StyleGAN2Encoder
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.networks.stylegan2.layers import ConvLayer, FullyConnected, SynthesisLayer, ToRGB

SMALL: dict[str, Any] = {"channel_base": 512, "channel_max": 16}


def generator(**settings: Any) -> StyleGAN2Generator:
    net = StyleGAN2Generator([32, 32], z_dim=16, w_dim=16, **{**SMALL, **settings})
    return net.requires_grad_(False)


def dtypes(net: nn.Module, *inputs: Tensor) -> dict[str, torch.dtype]:
    """Output dtype of every layer in a forward pass under bf16 autocast."""
    seen: dict[str, torch.dtype] = {}

    def watch(name: str) -> Any:
        return lambda module, given, out: seen.__setitem__(name, out.dtype)

    kinds = (ConvLayer, SynthesisLayer, ToRGB, FullyConnected)
    for name, module in net.named_modules():
        if isinstance(module, kinds):
            module.register_forward_hook(watch(name))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert net(*inputs).dtype == torch.float32
    return seen


def test_only_the_highest_resolutions_of_the_generator_follow_autocast() -> None:
    seen = dtypes(generator(half_resolutions=2), torch.randn(2, 16))
    half = {name for name, dtype in seen.items() if dtype == torch.bfloat16}
    expected = {f"synthesis.b{side}.{layer}" for side in (16, 32) for layer in ("conv0", "conv1")}
    assert half == expected | {"synthesis.b16.torgb"}  # the last one makes the picture
    assert {seen[name] for name in seen.keys() - half} == {torch.float32}


def test_only_the_highest_resolutions_of_the_discriminator_follow_autocast() -> None:
    net = StyleGAN2Discriminator([32, 32], half_resolutions=2, label_dim=3, **SMALL)
    seen = dtypes(net, torch.randn(3, 3, 32, 32), torch.eye(3))
    half = {name for name, dtype in seen.items() if dtype == torch.bfloat16}
    layers = ("conv0", "conv1", "skip")
    assert half == {f"b{side}.{layer}" for side in (16, 32) for layer in layers} | {"b32.fromrgb"}
    assert seen["b4.conv"] == seen["mapping.fc7"] == seen["b8.conv0"] == torch.float32


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_bfloat16_is_close_to_float32(architecture: str) -> None:
    z, x = torch.randn(4, 16), torch.randn(4, 3, 32, 32)
    g = generator(architecture=architecture)
    d = StyleGAN2Discriminator([32, 32], architecture=architecture, **SMALL).requires_grad_(False)
    e = StyleGAN2Encoder([32, 32], num_ws=8, w_dim=16, **SMALL).requires_grad_(False)

    def outputs() -> tuple[Tensor, ...]:
        return g(z, noise_mode="const"), d(x), e(x)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = outputs()
    for a, b in zip(outputs(), half, strict=True):
        assert 0 < (a - b).norm() < 0.03 * a.norm()


def test_no_half_resolutions_means_none() -> None:
    g, z = generator(half_resolutions=0), torch.randn(2, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = g(z, noise_mode="const")
    assert torch.equal(half, g(z, noise_mode="const"))


def test_float64_stays_float64_even_under_autocast() -> None:
    g = generator().double()
    d = StyleGAN2Discriminator([32, 32], **SMALL).double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        image = g(torch.randn(2, 16, dtype=torch.float64))
        assert image.dtype == d(image).dtype == torch.float64


def test_clamps_hold_in_half_precision_only() -> None:
    layer = ConvLayer(2, 3, 3, "lrelu", conv_clamp=0.5)
    x = 10 * torch.randn(1, 2, 8, 8)
    assert layer(x).abs().max() > 1
    assert layer(x.bfloat16()).abs().max() == 0.5
    assert layer(x.bfloat16(), gain=0.5).abs().max() == 0.25  # a branch's gain narrows it too
    free = copy.deepcopy(layer)
    free.conv_clamp = None
    assert free(x.bfloat16()).abs().max() > 1
    w = torch.randn(1, 6)
    for styled in (SynthesisLayer(2, 3, 6, (8, 8), conv_clamp=0.5), ToRGB(2, 3, 6, conv_clamp=0.5)):
        assert styled(x, w).abs().max() > 0.5
        assert styled(x.bfloat16(), w).abs().max() <= 0.5


def test_huge_weights_do_not_overflow_float16() -> None:
    g = generator()
    for name, parameter in g.named_parameters():
        if name.endswith("conv1.weight"):
            parameter.mul_(1e5)
    z = torch.randn(2, 16)
    expected = g(z, noise_mode="const")
    with torch.autocast("cpu", dtype=torch.float16):
        half = g(z, noise_mode="const")
    assert (half - expected).norm() < 0.02 * expected.norm()


def test_gradients_under_autocast_are_close_and_in_float32() -> None:
    g = StyleGAN2Generator([32, 32], z_dim=16, w_dim=16, **SMALL)
    ws = torch.randn(4, 8, 16)
    results = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            loss = g.synthesis(ws, "const").square().mean()
        results.append(torch.autograd.grad(loss, list(g.synthesis.parameters())))
    assert all(gradient.dtype == torch.float32 for gradient in results[1])
    full, half = (torch.cat([g.flatten() for g in result]) for result in results)
    assert 0 < (full - half).norm() < 0.03 * full.norm()


def test_what_autocast_would_do() -> None:
    x = torch.zeros(1)
    assert half_dtype(x) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert half_dtype(x) == torch.bfloat16
        assert half_dtype(x.double()) is None
        with without_autocast(x):
            assert half_dtype(x) is None
