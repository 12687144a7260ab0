import pytest
import torch
from torch import nn

from gantrain.errors import ConfigError
from gantrain.networks.sizes import block_sizes
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.encoder import StyleGAN2Encoder
from gantrain.networks.stylegan2.generator import StyleGAN2Generator


@pytest.mark.parametrize(
    ("resolution", "base", "doublings"),
    [
        ((64, 64), (4, 4), 4),
        ((8, 8), (4, 4), 1),
        ((48, 64), (6, 8), 3),
        ((28, 28), (7, 7), 2),
        ((256, 64), (16, 4), 4),
        ((1024, 1024), (4, 4), 8),
    ],
)
def test_base_and_doublings(
    resolution: tuple[int, int], base: tuple[int, int], doublings: int
) -> None:
    sizes = block_sizes(resolution, 1024, 64, 0)
    assert (sizes[0].height, sizes[0].width) == base
    assert (sizes[-1].height, sizes[-1].width) == resolution
    assert [s.name for s in sizes] == [f"b{4 * 2**i}" for i in range(doublings + 1)]
    assert [s.channels for s in sizes] == [min(1024 // s.nominal, 64) for s in sizes]


@pytest.mark.parametrize(
    ("resolution", "count", "half"),
    [
        ((256, 256), 4, [32, 64, 128, 256]),
        ((32, 32), 4, [8, 16, 32]),  # never the base
        ((48, 64), 2, [16, 32]),
        ((64, 64), 0, []),
    ],
)
def test_which_blocks_may_run_half(
    resolution: tuple[int, int], count: int, half: list[int]
) -> None:
    assert [s.nominal for s in block_sizes(resolution, 1024, 64, count) if s.half] == half


@pytest.mark.parametrize(
    ("resolution", "good"),
    [
        ((100, 100), "96x96 or 104x104"),
        ((34, 34), "32x32 or 36x36"),
        ((7, 7), "8x8"),
        ((4, 4), "8x8"),
        ((64, 65), "64x64 or 64x72"),
        ((512, 64), "256x64 or 512x128"),
    ],
)
def test_impossible_sizes_are_refused_with_the_nearest(
    resolution: tuple[int, int], good: str
) -> None:
    with pytest.raises(ConfigError, match=rf"use {good}\."):
        block_sizes(resolution, 1024, 64, 0)


def count(net: nn.Module) -> float:
    """Parameters in millions, as published."""
    return round(sum(p.numel() for p in net.parameters()) / 1e6, 2)


@pytest.mark.parametrize(
    ("side", "channel_base", "layers", "g", "d"),
    [
        (256, 16384, 8, 24.77, 24.00),
        (256, 32768, 8, 30.03, 28.86),
        (512, 32768, 8, 30.28, 28.98),
        (1024, 32768, 8, 30.37, 29.01),
        (128, 16384, 2, 22.95, 23.88),
        (64, 16384, 2, 22.24, 23.41),
        (32, 32768, 2, 19.95, 21.51),
    ],
)
def test_published_parameter_counts(
    side: int, channel_base: int, layers: int, g: float, d: float
) -> None:
    with torch.device("meta"):
        net = StyleGAN2Generator([side, side], channel_base=channel_base, mapping_layers=layers)
        assert count(net) == g
        assert count(StyleGAN2Discriminator([side, side], channel_base=channel_base)) == d
    assert count(net.mapping) == round(layers * (512 * 512 + 512) / 1e6, 2)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("resolution", [(12, 16), (28, 28), (32, 8)])
def test_all_networks_make_and_take_odd_pictures(
    resolution: tuple[int, int], channels: int
) -> None:
    small = {"channel_base": 64, "channel_max": 8}
    h, w = resolution
    g = StyleGAN2Generator([h, w], channels, z_dim=4, w_dim=4, mapping_layers=1, **small)
    image = g(torch.randn(2, 4))
    assert image.shape == (2, channels, h, w)
    assert StyleGAN2Discriminator([h, w], channels, **small)(image).shape == (2,)
    e = StyleGAN2Encoder([h, w], channels, num_ws=g.num_ws, w_dim=4, **small)
    assert e(image).shape == (2, g.num_ws, 4)
    assert g.resolution == e.resolution == (h, w)
