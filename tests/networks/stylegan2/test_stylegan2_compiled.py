"""What training compiles is the same function compiled: images, logits and gradients."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator

Part = Callable[..., Tensor]
WIDTH: dict[str, Any] = {"channel_base": 128, "channel_max": 8}


@pytest.mark.slow
def test_compiled_parts_equal_eager_ones() -> None:
    torch.manual_seed(0)
    G = StyleGAN2Generator([16, 16], 3, 3, z_dim=8, w_dim=8, mapping_layers=2, **WIDTH)
    D = StyleGAN2Discriminator([16, 16], 3, 3, **WIDTH)
    z, c = torch.randn(4, 8), torch.eye(3)[[0, 1, 2, 0]]

    def outcome(mapping: Part, synthesis: Part, judge: Part) -> list[Tensor]:
        parameters = [*G.parameters(), *D.parameters()]
        ws = mapping(z, c)
        image = synthesis(ws, noise_mode="none")
        logits = judge(image, c)
        loss = F.softplus(-logits).mean()
        return [ws, image, logits, *torch.autograd.grad(loss, parameters, materialize_grads=True)]

    eager = outcome(G.mapping, G.synthesis, D)
    compiled = outcome(*map(torch.compile, (G.mapping, G.synthesis, D)))
    for ours, theirs in zip(compiled, eager, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
