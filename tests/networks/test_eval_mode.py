"""What batch norm and dropout do after training, in every mode."""

import pytest
import torch
from torch import nn

from gantrain.networks.eval_mode import TestMode, has_active_dropout, set_test_mode, statistics_kept
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.unet import UnetGenerator


def network(kind: str = "unet", mode: TestMode = "eval") -> nn.Module:
    torch.manual_seed(0)
    if kind == "unet":
        net: nn.Module = UnetGenerator(3, 2, 2, 6, "batch", dropout=True, test_mode=mode)
    else:
        net = ResnetGenerator(3, 2, 2, 2, "batch", dropout=True, test_mode=mode)
    for _ in range(2):
        net(torch.randn(2, 3, 64, 64))  # moves the running statistics
    return net.eval().requires_grad_(False)


X = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


@pytest.mark.parametrize("kind", ["unet", "resnet"])
@pytest.mark.parametrize("mode", ["as_trained", "no_dropout", "eval"])
def test_other_images_of_the_batch_change_nothing(kind: str, mode: TestMode) -> None:
    net = network(kind, mode)
    together, alone = net(X), torch.cat([net(x) for x in X.flip(0).split(1)]).flip(0)
    torch.testing.assert_close(together, alone, atol=2e-6, rtol=0)
    assert torch.equal(net(X), together)
    assert torch.equal(net(X.flip(0)).flip(0), together) or kind == "unet"
    assert has_active_dropout(net) == (mode == "as_trained")
    assert net.spec["args"]["test_mode"] == net.test_mode == mode  # type: ignore[index]


@pytest.mark.parametrize("kind", ["unet", "resnet"])
def test_each_mode_is_what_it_says(kind: str) -> None:
    net = network(kind)
    set_test_mode(net, "no_dropout")
    found = net(X)
    for module in net.modules():  # batch statistics of one image at a time
        module.training = isinstance(module, nn.BatchNorm2d)
    with statistics_kept(net):
        expected = torch.cat([net(x) for x in X.split(1)])
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)
    net.eval()
    set_test_mode(net, "eval")
    plain = net(X)
    assert (plain - found).abs().max() > 0.01
    set_test_mode(net, "as_trained", seed=5)
    first = net(X)
    assert (first - found).abs().max() > 0.01
    set_test_mode(net, "as_trained", seed=6)
    assert (net(X) - first).abs().max() > 1e-3
    torch.rand(9)
    set_test_mode(net, "as_trained", seed=5)
    assert torch.equal(net(X), first)


def test_dropout_keeps_half_and_layers_draw_their_own() -> None:
    net = network("resnet", "as_trained")
    masks = []
    for module in net.modules():
        if isinstance(module, nn.Dropout):
            y = module(torch.ones(2, 8, 16, 16))
            assert torch.equal(y[0], y[1]) and set(y.unique().tolist()) == {0.0, 2.0}
            assert y[0].mean() == pytest.approx(1, abs=0.1)
            masks.append(y[0])
    assert len(masks) == 2 and not torch.equal(*masks)


def test_a_pass_that_leaves_the_statistics_alone() -> None:
    net = network().train()
    before = {name: x.clone() for name, x in net.state_dict().items()}
    torch.manual_seed(1)
    with statistics_kept(net):
        repeated = net(X)
    assert all(torch.equal(x, before[name]) for name, x in net.state_dict().items())
    torch.manual_seed(1)
    assert torch.equal(net(X), repeated)
    assert any(not torch.equal(x, before[name]) for name, x in net.state_dict().items())
