from typing import Any

import pytest
import torch
from torch import Tensor

from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.networks.stylegan2.layers import ConvLayer, SynthesisLayer, ToRGB
from gantrain.networks.stylegan2.synthesis import SynthesisBlock
from gantrain.ops import fir

Z = 5


def small(**settings: Any) -> StyleGAN2Generator:
    """16 px, three blocks, with noise that shows."""
    given = {"z_dim": Z, "w_dim": 6, "mapping_layers": 2, "channel_base": 64, "channel_max": 8}
    net = StyleGAN2Generator([16, 16], **{**given, **settings})
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith(("noise_strength", "bias")):
                parameter.add_(0.3 * torch.randn_like(parameter) + 0.1)
    return net


def test_reference_names() -> None:
    keys = set(small(label_dim=3).state_dict())
    assert {"mapping.w_avg", "mapping.embed.weight", "mapping.fc1.bias"} < keys
    assert {"synthesis.b4.const", "synthesis.b8.conv0.noise_const"} < keys
    assert {"synthesis.b4.conv1.affine.weight", "synthesis.b16.torgb.affine.bias"} < keys
    assert "synthesis.b4.conv0.weight" not in keys
    assert not [key for key in keys if "resample" in key]  # constants are not saved


def test_spec_and_weights_rebuild_the_network() -> None:
    net = small(label_dim=2, architecture="resnet", conv_clamp=None)
    assert net.spec["target"] == "gantrain.networks.stylegan2.generator.StyleGAN2Generator"
    again = StyleGAN2Generator(**net.spec["args"])
    again.load_state_dict(net.state_dict())
    z, c = torch.randn(2, Z), torch.eye(2)
    assert torch.equal(net(z, c, noise_mode="const"), again(z, c, noise_mode="const"))


def test_noise_modes() -> None:
    net, z = small(), torch.randn(2, Z)
    assert torch.equal(net(z, noise_mode="none"), net(z, noise_mode="none"))
    assert torch.equal(net(z, noise_mode="const"), net(z, noise_mode="const"))
    assert not torch.equal(net(z, noise_mode="const"), net(z, noise_mode="none"))
    assert not torch.equal(net(z), net(z))
    torch.manual_seed(3)
    first = net(z)
    torch.manual_seed(3)
    assert torch.equal(net(z), first)  # drawn from torch's own generator
    same = net(z[:1].expand(2, -1))
    assert not torch.equal(same[0], same[1])  # every sample has noise of its own


def test_new_layers_start_without_noise() -> None:
    net = StyleGAN2Generator([8, 8], z_dim=Z, w_dim=6, channel_base=32)
    z = torch.randn(1, Z)
    assert torch.equal(net(z), net(z, noise_mode="none"))


def test_noise_is_added_before_bias_and_activation() -> None:
    layer = SynthesisLayer(4, 3, 6, (5, 5)).double()
    with torch.no_grad():
        layer.noise_strength.fill_(0.7)
        layer.bias.copy_(torch.randn(3))
    x, w = torch.randn(2, 4, 5, 5).double(), torch.randn(2, 6).double()
    plain = layer(x, w, "none") / 2**0.5
    linear = torch.where(plain > 0, plain, plain / 0.2)  # before the leaky ReLU
    noisy = linear + 0.7 * layer.noise_const
    expected = torch.where(noisy > 0, noisy, 0.2 * noisy) * 2**0.5
    torch.testing.assert_close(layer(x, w, "const"), expected)


def depends_on(net: StyleGAN2Generator, layer: str, ws: Tensor) -> list[int]:
    """Which of the ws change the styles of one layer."""
    seen: list[Tensor] = []
    affine = net.synthesis.get_submodule(f"{layer}.affine")
    handle = affine.register_forward_hook(lambda module, given, styles: seen.append(styles))
    net.synthesis(ws, "none")
    for i in range(net.num_ws):
        other = ws.clone()
        other[:, i] += 1
        net.synthesis(other, "none")
    handle.remove()
    return [i for i in range(net.num_ws) if not torch.equal(seen[0], seen[i + 1])]


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_every_layer_reads_its_own_w(architecture: str) -> None:
    net = small(architecture=architecture)
    assert net.num_ws == net.mapping.num_ws == net.synthesis.num_ws == 6
    # b4's ToRGB shares the w of b8's first convolution, b16's has the last one.
    order = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1", "b16.torgb"]
    expected = dict(zip(order, range(6), strict=True))
    if architecture == "skip":
        expected |= {"b4.torgb": 1, "b8.torgb": 3}
    ws = torch.randn(1, 6, 6)
    for layer, index in expected.items():
        assert depends_on(net, layer, ws) == [index]
    images = [n for n, module in net.synthesis.named_modules() if isinstance(module, ToRGB)]
    assert len(images) == (3 if architecture == "skip" else 1)


def test_skip_sums_the_images_of_all_resolutions() -> None:
    net = small().double()
    rgb: list[Tensor] = []
    for name in net.synthesis.names:
        torgb = net.synthesis.get_submodule(f"{name}.torgb")
        torgb.register_forward_hook(lambda module, given, image: rgb.append(image))
    image = net(torch.randn(2, Z).double())
    taps = fir.fir_taps([1, 3, 3, 1])
    expected = fir.upsample2d(fir.upsample2d(rgb[0], taps) + rgb[1], taps) + rgb[2]
    torch.testing.assert_close(image, expected)


def test_resnet_blocks_add_a_shortcut_of_equal_weight() -> None:
    block = small(architecture="resnet").double().synthesis.get_submodule("b8")
    assert isinstance(block, SynthesisBlock) and isinstance(block.skip, ConvLayer)
    x, ws = torch.randn(2, 8, 4, 4).double(), torch.randn(2, 2, 6).double().unbind(1)
    taps = fir.fir_taps([1, 3, 3, 1])
    shortcut = fir.upsample2d(torch.nn.functional.conv2d(x, block.skip.weight / 8**0.5), taps)
    main = block.conv1(block.conv0(x, ws[0], "none"), ws[1], "none")
    expected = (shortcut + main) / 2**0.5
    torch.testing.assert_close(block(x, None, ws, "none", None)[0], expected)
    assert not hasattr(small(architecture="resnet").synthesis.b4, "skip")


def test_torgb_scales_its_styles_and_does_not_demodulate() -> None:
    layer = ToRGB(4, 3, 6).double()
    x, w = torch.randn(2, 4, 5, 7).double(), torch.randn(2, 6).double()
    styles = layer.affine(w) / 2  # 1 / sqrt(4 * 1 * 1)
    expected = torch.einsum("oi,ni,nihw->nohw", layer.weight[:, :, 0, 0], styles, x)
    torch.testing.assert_close(layer(x, w), expected)


def test_equalised_learning_rate_starts_with_unit_variance() -> None:
    net = StyleGAN2Generator([16, 16], z_dim=64, w_dim=64, channel_base=1024, channel_max=64)
    w = net.mapping(torch.randn(64, 64))[:, 0]
    # lr_multiplier 0.01 is divided out of the weights: the signal does not shrink.
    assert w.square().mean().item() == pytest.approx(1, abs=0.4)
    weight = net.state_dict()["mapping.fc0.weight"]
    assert weight.std().item() == pytest.approx(100, rel=0.05)
    styles = net.synthesis.get_submodule("b4.conv1.affine")(torch.randn(64, 64))
    assert styles.mean().item() == pytest.approx(1, abs=0.1)
    assert styles.std().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("architecture", ["skip", "resnet", "orig"])
def test_path_length_gradient_reaches_every_weight(architecture: str) -> None:
    net = small(architecture=architecture).double()
    ws = net.mapping(torch.randn(2, Z).double())
    image = net.synthesis(ws)
    (g,) = torch.autograd.grad((image * torch.randn_like(image)).sum(), ws, create_graph=True)
    g.square().sum(2).mean(1).sqrt().mean().backward()
    # Biases and noise act through the activation's slope alone, which has no derivative.
    without = ("noise_strength", "conv1.bias", "conv0.bias", "torgb.bias")
    for name, parameter in net.named_parameters():
        if not name.endswith(without):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
