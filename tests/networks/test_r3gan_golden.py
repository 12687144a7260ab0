"""R3GAN's networks against numbers of the reference implementation."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.losses import squared_gradient
from gantrain.networks.r3gan import (
    Block,
    Down,
    Head,
    R3GANDiscriminator,
    R3GANGenerator,
    Start,
    Up,
    from_reference_names,
)
from gantrain.networks.sizes import BlockSize
from tests.helpers.golden_files import load, under

_, BLOCKS = load("r3gan_blocks")
BASE = BlockSize(4, 4, 4, 6, half=False)
MODULES = {
    "residual": lambda: Block(8, 4, 1.0),
    "up": lambda: Up(8, 6),
    "up_same": lambda: Up(8, 8),
    "down": lambda: Down(8, 6),
    "down_same": lambda: Down(8, 8),
    "basis_G": lambda: Start(5, BASE),
    "basis_D": lambda: Head(BASE._replace(channels=8), 3),
}


@pytest.mark.parametrize("name", MODULES)
def test_blocks(name: str) -> None:
    golden = under(BLOCKS, f"{name}/")
    module = MODULES[name]()
    module.load_state_dict(from_reference_names(under(golden, "state/")))
    x = golden["x"].requires_grad_(True)
    y = module(x)
    torch.testing.assert_close(y, golden["y"], rtol=0, atol=1e-6)
    (gradient,) = torch.autograd.grad(y, x, golden["v"])
    torch.testing.assert_close(gradient, golden["grad_x"], rtol=0, atol=1e-6)


def networks(name: str) -> tuple[R3GANGenerator, R3GANDiscriminator, dict[str, Tensor], float]:
    meta, arrays = load(f"r3gan_networks_{name}")
    about, other = meta["G"], meta["D"]
    shape = [about["img_resolution"]] * 2, 3, about["c_dim"]
    G = R3GANGenerator(
        *shape,
        z_dim=about["NoiseDimension"],
        widths=about["WidthPerStage"],
        blocks=about["BlocksPerStage"],
        group_width=8,
    )
    D = R3GANDiscriminator(
        *shape,
        widths=other["WidthPerStage"][::-1],
        blocks=other["BlocksPerStage"][::-1],
        group_width=8,
    )
    for network, key in ((G, "G"), (D, "D")):
        network.load_state_dict(from_reference_names(under(arrays, f"state/{key}/")))
        count = sum(p.numel() for p in network.parameters())
        assert count == meta[f"params_{key}"]
    return G, D, arrays, meta["gamma"]


def gradient_norms(loss: Tensor, network: nn.Module) -> dict[str, float]:
    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad(loss, [*parameters.values()], retain_graph=True)
    return {k: g.double().norm().item() for k, g in zip(parameters, gradients, strict=True)}


def assert_norms(found: dict[str, float], golden: dict[str, Tensor]) -> None:
    expected = {k: v.item() for k, v in from_reference_names(golden).items()}
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", ["unconditional", "conditional"])
def test_networks_losses_and_gradients(name: str) -> None:
    G, D, golden, gamma = networks(name)
    c = golden["c"] if golden["c"].shape[1] else None
    fake = G(golden["z"], c)
    torch.testing.assert_close(fake, golden["img"], rtol=1e-5, atol=1e-5)

    real = (golden["x/u8"].float() / 127.5 - 1).requires_grad_(True)
    leaf = fake.detach().requires_grad_(True)
    logits = {"real": D(real, c), "fake": D(leaf, c)}
    for which, found in logits.items():
        torch.testing.assert_close(found, golden[f"logits/{which}"], rtol=1e-5, atol=1e-6)
    adversarial = F.softplus(logits["fake"] - logits["real"])
    torch.testing.assert_close(adversarial, golden["D/adversarial"], rtol=1e-5, atol=1e-6)
    r1, r2 = squared_gradient(logits["real"], real), squared_gradient(logits["fake"], leaf)
    torch.testing.assert_close(r1, golden["D/r1"], rtol=1e-5, atol=0)
    torch.testing.assert_close(r2, golden["D/r2"], rtol=1e-5, atol=0)

    loss = (adversarial + gamma / 2 * (r1 + r2)).mean()
    assert_norms(gradient_norms(loss, D), under(golden, "D/grad_norm/"))
    penalty = (r1 + r2).mean() + 0 * loss  # biases get exactly no gradient of the penalties
    assert_norms(gradient_norms(penalty, D), under(golden, "D/penalty_grad_norm/"))

    ahead = D(fake, c) - D(real, c)
    torch.testing.assert_close(ahead, golden["G/relativistic_logits"], rtol=1e-5, atol=1e-6)
    loss = F.softplus(-ahead)
    torch.testing.assert_close(loss, golden["G/adversarial"], rtol=1e-5, atol=1e-6)
    assert_norms(gradient_norms(loss.mean(), G), under(golden, "G/grad_norm/"))
