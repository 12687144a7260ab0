from typing import Any, Literal

import pytest
import torch
from torch import nn

from gantrain.networks.layers import init_weights, make_norm
from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.spec import misfit, self_describing
from gantrain.networks.translation import make_discriminator, make_generator, size_multiple
from gantrain.networks.unet import UnetGenerator


def count(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_published_parameter_counts() -> None:
    assert count(ResnetGenerator(3, 3)) == 11_378_179
    smooth = ResnetGenerator(3, 3, upsample="antialias", downsample="antialias")
    assert count(smooth) == 11_378_179
    assert smooth.encoder_layers() == [0, 4, 8, 12, 16]  # CUT's
    assert smooth.feature_shapes(256, 256, [0, 4, 8, 12, 16]) == [
        (3, 262, 262), (128, 256, 256), (256, 128, 128), (256, 64, 64), (256, 64, 64),
    ]  # fmt: skip
    assert count(PatchDiscriminator(3)) == 2_764_737


@pytest.mark.parametrize("name", ["resnet", "unet_128", "unet_256"])
@pytest.mark.parametrize("channels", [(1, 3), (3, 1), (4, 3)])
def test_generators_keep_the_size(name: str, channels: tuple[int, int]) -> None:
    side = max(8, size_multiple(name))
    net = make_generator(name, *channels, 2, 1, "instance", False)
    y = net(torch.rand(1, channels[0], side, 2 * side) * 2 - 1)
    assert y.shape == (1, channels[1], side, 2 * side)
    assert y.abs().max() <= 1


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142)])
def test_receptive_field(layers: int, field: int) -> None:
    # Non-overlapping with the border, one logit sees exactly field x field pixels.
    net = PatchDiscriminator(1, ndf=2, layers=layers, norm="none").double()
    for p in net.parameters():
        nn.init.uniform_(p, 0.1, 0.2)  # all positive: every path counts
    x = torch.zeros(1, 1, 2 * field + 32, 2 * field + 32, dtype=torch.float64, requires_grad=True)
    y = net(x)
    y[0, 0, y.shape[2] // 2, y.shape[3] // 2].backward()
    assert x.grad is not None
    rows = (x.grad[0, 0] != 0).any(1).sum()
    assert rows == field


def test_patch_map_of_256_pixels() -> None:
    assert PatchDiscriminator(3, ndf=2)(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_convolutions_without_batch_norm_have_biases(norm: str) -> None:
    # The reference leaves norm=none without any bias; here only batch norm replaces them.
    for net in (
        make_generator("resnet", 3, 3, 2, 1, norm, False),
        make_generator("unet_128", 3, 3, 2, 1, norm, False),
        PixelDiscriminator(3, 2, norm),
    ):
        convs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
        assert all(conv.bias is not None for conv in convs)


def test_dropout_moves_the_second_convolution_and_drops_in_training_only() -> None:
    net = make_generator("resnet", 3, 3, 2, 1, "instance", True)
    assert any(key.endswith("conv_block.6.weight") for key in net.state_dict())
    x = torch.randn(1, 3, 16, 16)
    assert not torch.equal(net(x), net(x))
    net.eval()
    assert torch.equal(net(x), net(x))


def test_unet_dropout_sits_in_the_middle_levels() -> None:
    def dropouts(net: nn.Module) -> int:
        return sum(isinstance(m, nn.Dropout) for m in net.modules())

    assert dropouts(UnetGenerator(3, 3, 2, downs=8, dropout=True)) == 3
    assert dropouts(UnetGenerator(3, 3, 2, downs=7, dropout=True)) == 2


def test_norm_batch_and_none_run() -> None:
    for norm in ("batch", "none"):
        g = make_generator("resnet", 3, 3, 2, 1, norm, False)
        d = make_discriminator("patch", 3, 2, 2, norm)
        assert d(g(torch.randn(2, 3, 16, 16))).shape == (2, 1, 2, 2)


def test_normal_init() -> None:
    net = init_weights(ResnetGenerator(3, 3, ngf=16, blocks=2, norm="batch"), "normal", 0.02)
    weights = torch.cat([m.weight.flatten() for m in net.modules() if isinstance(m, nn.Conv2d)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.05)
    scales = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert torch.cat([m.weight for m in scales]).mean().item() == pytest.approx(1, abs=0.01)
    assert all((m.bias == 0).all() for m in scales)


@pytest.mark.parametrize("init", ["xavier", "kaiming", "orthogonal"])
def test_other_inits_follow_their_formula(init: str) -> None:
    conv = nn.Conv2d(32, 64, 3)
    init_weights(conv, init, gain=0.5)
    w = conv.weight.detach()
    if init == "orthogonal":
        flat = w.flatten(1)
        torch.testing.assert_close(flat @ flat.T, 0.25 * torch.eye(64), atol=1e-5, rtol=0)
    else:
        fan_in, fan_out = 32 * 9, 64 * 9
        std = (2 / fan_in) ** 0.5 if init == "kaiming" else 0.5 * (2 / (fan_in + fan_out)) ** 0.5
        assert w.std().item() == pytest.approx(std, rel=0.05)
    assert (conv.bias == 0).all()


def test_output_layer_stays_in_float32_under_autocast() -> None:
    net = ResnetGenerator(3, 3, ngf=4, blocks=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = net(torch.randn(1, 3, 16, 16))
    assert y.dtype == torch.float32
    assert not torch.equal(y, y.bfloat16().float())  # values that bfloat16 cannot hold


def test_spec_rebuilds_the_network() -> None:
    net = UnetGenerator(1, 3, ngf=2, downs=7, dropout=True)
    assert net.spec["target"] == "gantrain.networks.unet.UnetGenerator"
    again = UnetGenerator(**net.spec["args"])
    again.load_state_dict(net.state_dict())
    assert net.spec["args"] == {
        "in_channels": 1, "out_channels": 3, "ngf": 2, "downs": 7,
        "norm": "instance", "dropout": True, "test_mode": "eval",
    }  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
def test_instance_norm_takes_gradients_of_any_layout(count: int) -> None:
    """torch's own does not, for one image."""
    x = torch.randn(count, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    y, gradient = make_norm("instance", 3)(x), torch.randn(count, 3, 5, 4, dtype=torch.float64)
    (expected,) = torch.autograd.grad(y, x, gradient, retain_graph=True)
    (found,) = torch.autograd.grad(y, x, gradient.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("shape", [(2, 5, 6, 7), (1, 3, 16, 16)])
def test_instance_norm_keeps_the_layout_and_the_values(shape: tuple[int, ...]) -> None:
    norm = make_norm("instance", shape[1])
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_(True)
    y, y_last = norm(x), norm(last)
    assert y.is_contiguous() and y_last.is_contiguous(memory_format=torch.channels_last)
    assert torch.allclose(y, y_last, rtol=0, atol=1e-12)

    v = torch.randn_like(y)
    gradients = [torch.autograd.grad((out * v).sum(), inp, create_graph=True)[0]
                 for out, inp in ((y, x), (y_last, last))]  # fmt: skip
    assert torch.allclose(*gradients, rtol=0, atol=1e-12)
    second = [torch.autograd.grad(gradient.square().sum(), inp)[0]
              for gradient, inp in zip(gradients, (x, last), strict=True)]  # fmt: skip
    assert torch.allclose(*second, rtol=0, atol=1e-11)


@pytest.mark.parametrize("upsample", ["transpose", "resize", "antialias"])
@pytest.mark.parametrize("downsample", ["strided", "antialias"])
def test_ways_to_change_the_size(upsample: str, downsample: str) -> None:
    net = make_generator("resnet", 3, 2, 2, 6, "instance", False, upsample, downsample)
    y, features = net.with_features(torch.randn(1, 3, 16, 24), net.encoder_layers())
    assert y.shape == (1, 2, 16, 24)
    shapes = net.feature_shapes(16, 24, net.encoder_layers())
    assert [tuple(x.shape[1:]) for x in features] == shapes
    assert len(shapes) == 5 and shapes[0] == (3, 22, 30) and shapes[3:] == [(8, 4, 6)] * 2
    again = type(net)(**net.spec["args"])
    again.load_state_dict(net.state_dict())


def test_resized_maps_have_no_checkerboard() -> None:
    torch.manual_seed(0)
    x = torch.ones(1, 4, 6, 6)
    for way in ("transpose", "resize", "antialias"):
        net = make_generator("resnet", 3, 3, 4, 1, "none", False, way)
        start = next(i for i, m in enumerate(net.model) if "Block" in type(m).__name__) + 1
        doubled = x.repeat(1, 4, 1, 1)
        for module in net.model[start : start + (1 if way == "transpose" else 2)]:
            doubled = module(doubled)
        inner = doubled[:, :, 2:-2, 2:-2]  # of a constant map
        assert (inner.std((2, 3)).max() > 1e-3) == (way == "transpose")


def test_a_unet_refuses_other_ways() -> None:
    with pytest.raises(ValueError, match="strided convolutions"):
        make_generator("unet_128", 3, 3, 2, 1, "instance", False, "resize")


@self_describing
class Choosy(nn.Module):
    def __init__(
        self,
        count: int,
        scale: float | None = None,
        size: tuple[int, int] = (1, 1),
        rows: list[list[float]] | None = None,
        mode: Literal["a", 2] = "a",
        on: bool = False,
        other: Any = None,
    ) -> None:
        super().__init__()


FITTING = [
    {"count": 3, "scale": 2, "size": [4, 4], "rows": [[1, 0.5]], "mode": 2, "on": True},
    {"count": 0, "scale": None, "size": (4, 4), "rows": None, "other": {"x": 1}},
]
MISFITS = {
    "count": (1.5, True, "3", None, [3]),
    "scale": ("x", True, [1.0]),
    "size": ([4], [4, 4, 4], 4, ["4", 4], None),
    "rows": ([1.0], [["x"]], "x"),
    "mode": ("b", None, [2]),
    "on": (1, None, "true"),
}


@pytest.mark.parametrize("arguments", FITTING)
def test_arguments_of_the_right_kind(arguments: dict[str, Any]) -> None:
    assert misfit(Choosy, arguments) is None


@pytest.mark.parametrize(
    ("key", "value"), [(k, x) for k, values in MISFITS.items() for x in values]
)
def test_arguments_of_another_kind(key: str, value: Any) -> None:
    assert misfit(Choosy, FITTING[0] | {key: value}) == key
