from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.encoder import StyleGAN2Encoder
from gantrain.networks.stylegan2.layers import ConvLayer
from gantrain.networks.stylegan2.trunk import DownBlock, minibatch_stddev
from gantrain.ops import fir

SMALL: dict[str, Any] = {"channel_base": 64, "channel_max": 8}


def small(**settings: Any) -> StyleGAN2Discriminator:
    return StyleGAN2Discriminator([16, 16], **{**SMALL, **settings})


@pytest.mark.parametrize(
    ("n", "group", "used"), [(4, 4, 4), (8, 4, 4), (6, 4, 3), (5, 4, 1), (2, 4, 2)]
)
def test_minibatch_stddev_in_closed_form(n: int, group: int, used: int) -> None:
    x = torch.randn(n, 4, 3, 2, dtype=torch.float64)
    y = minibatch_stddev(x, group)
    assert torch.equal(y[:, :4], x)
    others = n // used
    for j in range(n):
        mates = x[j % others :: others]  # strided groups
        assert len(mates) == used
        expected = (mates.var(dim=0, unbiased=False) + 1e-8).sqrt().mean()
        torch.testing.assert_close(y[j, 4], expected.expand(3, 2))


def test_minibatch_stddev_with_several_channels() -> None:
    x = torch.randn(4, 6, 3, 2, dtype=torch.float64)
    both = minibatch_stddev(x, 2, channels=2)
    for i in range(2):
        alone = minibatch_stddev(x[:, 3 * i : 3 * i + 3], 2)
        torch.testing.assert_close(both[:, 6 + i], alone[:, 3])


def test_logits_depend_on_the_other_samples_through_the_statistics_only() -> None:
    x = torch.randn(4, 3, 16, 16)
    net = small(mbstd_group=4)
    assert not torch.allclose(net(x)[:2], net(x[:2]))
    net = small(mbstd_group=1)  # a sample alone never varies
    torch.testing.assert_close(net(x)[:2], net(x[:2]))


def test_projection_of_labels() -> None:
    net = small(label_dim=3).double()
    x, c = torch.randn(4, 3, 16, 16).double(), torch.eye(3).double()[[0, 1, 2, 0]]
    seen: list[Tensor] = []
    net.b4.register_forward_hook(lambda module, given, out: seen.append(out))
    logits = net(x, c)
    torch.testing.assert_close(logits, (seen[0] * net.mapping(c)).sum(1) / 8**0.5)
    with pytest.raises(ValueError, match="labels"):
        net(x)


def test_resnet_block_halves_both_branches() -> None:
    block = small().double().b16
    assert isinstance(block, DownBlock) and isinstance(block.skip, ConvLayer)
    x = torch.randn(2, 3, 16, 16).double()
    y = block.fromrgb(x)
    taps = fir.fir_taps([1, 3, 3, 1])
    shortcut = nn.functional.conv2d(fir.downsample2d(y, taps), block.skip.weight / 4**0.5)
    expected = (shortcut + block.conv1(block.conv0(y))) / 2**0.5
    torch.testing.assert_close(block(None, x, None)[0], expected)


def test_skip_architecture_reads_the_image_at_every_size() -> None:
    net = small(architecture="skip").double()
    seen: list[Tensor] = []
    for name in (*net.names, "b4"):
        layer = net.get_submodule(f"{name}.fromrgb")
        layer.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    x = torch.randn(2, 3, 16, 16).double()
    net(x)
    half = fir.downsample2d(x, fir.fir_taps([1, 3, 3, 1]))
    torch.testing.assert_close(seen[1], half)
    assert [image.shape[2] for image in seen] == [16, 8, 4]


def test_orig_architecture_has_neither() -> None:
    names = {name.rpartition(".")[2] for name, _ in small(architecture="orig").named_modules()}
    assert "skip" not in names
    assert sum(n.endswith("fromrgb") for n, _ in small(architecture="orig").named_modules()) == 1


@pytest.mark.parametrize("architecture", ["resnet", "skip", "orig"])
def test_r1_reaches_every_weight(architecture: str) -> None:
    net = small(architecture=architecture).double()
    x = torch.randn(4, 3, 16, 16).double().requires_grad_()
    (g,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
    g.square().sum().backward()
    for name, parameter in net.named_parameters():
        if name.endswith("weight"):
            assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("settings", "frozen"),
    [
        ({"freeze_layers": 0}, []),
        ({"freeze_layers": 2}, ["b16.fromrgb", "b16.conv0"]),
        (
            {"freeze_layers": 5},
            ["b16.fromrgb", "b16.conv0", "b16.conv1", "b16.skip", "b8.conv0"],
        ),
        (
            {"freeze_layers": 4, "architecture": "orig"},
            ["b16.fromrgb", "b16.conv0", "b16.conv1", "b8.conv0"],
        ),
    ],
)
def test_frozen_layers_are_buffers_of_the_same_names(
    settings: dict[str, Any], frozen: list[str]
) -> None:
    net, free = small(**settings), small(**{**settings, "freeze_layers": 0})
    assert net.state_dict().keys() == free.state_dict().keys()
    learning = {name.rpartition(".")[0] for name, _ in net.named_parameters()}
    everything = {name.rpartition(".")[0] for name, _ in free.named_parameters()}
    assert everything - learning == set(frozen)
    net.load_state_dict(free.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(net(x), free(x))


def test_discriminator_spec_rebuilds_it() -> None:
    net = small(label_dim=2, freeze_layers=2, architecture="skip")
    again = StyleGAN2Discriminator(**net.spec["args"])
    again.load_state_dict(net.state_dict())
    x, c = torch.randn(2, 3, 16, 16), torch.eye(2)
    assert torch.equal(net(x, c), again(x, c))


def test_encoder_encodes_every_image_on_its_own_and_rebuilds() -> None:
    net = StyleGAN2Encoder([16, 16], num_ws=6, w_dim=5, **SMALL)
    x = torch.randn(3, 3, 16, 16)
    torch.testing.assert_close(net(x)[:1], net(x[:1]))
    again = StyleGAN2Encoder(**net.spec["args"])
    again.load_state_dict(net.state_dict())
    assert torch.equal(net(x), again(x))


def test_more_frozen_layers_than_there_are_get_a_sentence() -> None:
    with pytest.raises(ConfigError, match="freeze_d=8: this discriminator has 7 layers"):
        StyleGAN2Discriminator([16, 16], channel_base=64, channel_max=8, freeze_layers=8)
    StyleGAN2Discriminator([16, 16], channel_base=64, channel_max=8, freeze_layers=7)
