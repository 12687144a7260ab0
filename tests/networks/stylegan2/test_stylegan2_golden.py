"""Generator, discriminator and R1 equal the reference implementation's numbers."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from tests.helpers.golden_files import load, under

KINDS = ("unconditional", "conditional")


def fill(net: nn.Module, golden: dict[str, Tensor]) -> None:
    state = under(golden, "state/")
    net.load_state_dict({k: v for k, v in state.items() if not k.endswith("resample_filter")})


def generator(kind: str) -> tuple[StyleGAN2Generator, dict[str, Tensor]]:
    meta, golden = load(f"stylegan2_generator_{kind}")
    synthesis = meta["synthesis_kwargs"]
    net = StyleGAN2Generator(
        [meta["img_resolution"]] * 2,
        meta["img_channels"],
        meta["c_dim"],
        z_dim=meta["z_dim"],
        w_dim=meta["w_dim"],
        mapping_layers=meta["mapping_kwargs"]["num_layers"],
        channel_base=synthesis["channel_base"],
        channel_max=synthesis["channel_max"],
    )
    fill(net, golden)
    return net.eval().requires_grad_(False), golden


def discriminator(kind: str) -> tuple[StyleGAN2Discriminator, dict[str, Any], dict[str, Tensor]]:
    meta, golden = load(f"stylegan2_discriminator_{kind}")
    net = StyleGAN2Discriminator(
        [meta["img_resolution"]] * 2,
        meta["img_channels"],
        meta["c_dim"],
        channel_base=meta["channel_base"],
        channel_max=meta["channel_max"],
        mbstd_group=meta["epilogue_kwargs"]["mbstd_group_size"],
    )
    fill(net, golden)
    return net, meta, golden


@pytest.mark.parametrize("kind", KINDS)
def test_generator_equals_reference(kind: str) -> None:
    net, golden = generator(kind)
    z, c = golden["z"], golden["c"]

    def check(got: Tensor, name: str) -> None:
        # Pictures reach 8 here: there a rounding of float32 is 5e-7, and both sides have a few.
        torch.testing.assert_close(got, golden[name], atol=1e-5, rtol=2e-6)

    for psi, cutoff in ((1, None), (0.7, None), (0.5, 4)):
        ws = net.mapping(z, c, truncation_psi=psi, truncation_cutoff=cutoff)
        check(ws, f"ws/psi{psi}_cutoff{cutoff}")
    check(net(z, c, noise_mode="const"), "img/noise_const")
    check(net(z, c, noise_mode="none"), "img/noise_none")
    check(net(z, c, noise_mode="const", truncation_psi=0.7), "img/psi0.7_noise_const")


@pytest.mark.parametrize("kind", KINDS)
def test_generator_in_float64_equals_reference(kind: str) -> None:
    net, golden = generator(kind)
    image = net.double()(golden["z"].double(), golden["c"].double(), noise_mode="const")
    assert image.dtype == torch.float64
    torch.testing.assert_close(image.float(), golden["img/noise_const"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_discriminator_and_its_second_derivatives_equal_reference(
    kind: str, dtype: torch.dtype
) -> None:
    """In float64 to the golden digits. In float32 a sum may fall on the other side of a leaky
    ReLU's kink, depending on the CPU: that moved R1 of one image by 1.3 %."""
    net, meta, golden = discriminator(kind)
    net.to(dtype)
    kink = 0.0 if dtype == torch.float64 else 3e-2
    x = golden["x"].to(dtype).requires_grad_()
    logits = net(x, golden["c"].to(dtype))
    expected = golden["logits"][:, 0]
    # One conditional logit is a sum that cancels to a hundredth of the others: in float32 its
    # last digits are rounding, so there the error is relative to the largest.
    atol = 1e-5 * expected.abs().max().item() if dtype == torch.float32 else 0.0
    torch.testing.assert_close(logits.float(), expected, atol=atol, rtol=1e-5)
    (gradient,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    penalty = gradient.square().sum(dim=(1, 2, 3))
    torch.testing.assert_close(penalty.float(), golden["r1_penalty"], atol=0, rtol=max(1e-5, kink))
    names, parameters = zip(*net.named_parameters(), strict=True)
    loss = (penalty * meta["r1_gamma"] / 2).mean()
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
    norms = {name: g.double().norm() for name, g in zip(names, gradients, strict=True)}
    wanted = under(golden, "r1_param_grad_norm/")
    assert norms.keys() == wanted.keys()
    torch.testing.assert_close(norms, wanted, rtol=max(1e-4, kink), atol=1e-8)
