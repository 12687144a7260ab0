"""Networks of the reference codes, rebuilt from their state dicts."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.networks.reference import is_generator, rebuild
from gantrain.networks.spec import spec_of
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.networks.stylegan3.generator import StyleGAN3Generator
from tests.helpers.golden_files import load, under


def test_stylegan2_gives_the_images_of_the_reference() -> None:
    meta, golden = load("stylegan2_generator_conditional")
    G = rebuild(under(golden, "state/"), meta)
    assert isinstance(G, StyleGAN2Generator)
    ws = G.mapping(golden["z"], golden["c"])
    torch.testing.assert_close(
        G.synthesis(ws, "const"), golden["img/noise_const"], rtol=0, atol=1e-4
    )
    arguments = spec_of(G)["args"]
    assert arguments["conv_clamp"] is None and arguments["half_resolutions"] == 0  # of `meta`


@pytest.mark.parametrize("config", ["t", "r"])
def test_stylegan3_gives_the_images_of_the_reference(config: str) -> None:
    _, golden = load(f"stylegan3_{config}")
    G = rebuild(under(golden, "state/"), {})
    assert isinstance(G, StyleGAN3Generator)
    torch.testing.assert_close(G(golden["z"]), golden["img"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["conditional", "unconditional"])
def test_r3gan_gives_the_numbers_of_the_reference(name: str) -> None:
    _, golden = load(f"r3gan_networks_{name}")
    G, D = (rebuild(under(golden, f"state/{player}/"), {}) for player in "GD")
    c = golden["c"] if name == "conditional" else None
    torch.testing.assert_close(G(golden["z"], c), golden["img"], rtol=0, atol=1e-5)
    real = golden["x/u8"].float() / 127.5 - 1
    torch.testing.assert_close(D(real, c), golden["logits/real"], rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["conditional", "unconditional"])
def test_stylegan2_discriminators(name: str) -> None:
    _, golden = load(f"stylegan2_discriminator_{name}")
    D = rebuild(under(golden, "state/"), {})
    assert isinstance(D, StyleGAN2Discriminator)
    assert D.label_dim == (3 if name == "conditional" else 0)


SIZES: list[tuple[type[nn.Module], list[int], dict[str, Any]]] = [
    (StyleGAN2Generator, [64, 48], {"channel_base": 600, "channel_max": 40, "label_dim": 3}),
    (StyleGAN2Generator, [32, 32], {"channel_base": 64, "channel_max": 512, "channels": 1}),
    (StyleGAN2Generator, [64, 64], {"channel_base": 4096, "channel_max": 16}),
    (StyleGAN2Generator, [16, 16], {"architecture": "resnet", "channel_base": 64}),
    (StyleGAN2Generator, [16, 16], {"architecture": "orig", "channel_base": 64}),
    (StyleGAN2Discriminator, [32, 32], {"channel_base": 200, "channel_max": 20, "channels": 4}),
    (StyleGAN2Discriminator, [16, 16], {"architecture": "skip", "channel_base": 64}),
    (StyleGAN2Discriminator, [16, 16], {"architecture": "orig", "channel_base": 64}),
    (StyleGAN2Discriminator, [16, 16], {"mbstd_channels": 2, "channel_base": 64}),
    (StyleGAN3Generator, [32, 32], {"channel_base": 200, "channel_max": 24, "num_layers": 10}),
    (StyleGAN3Generator, [64, 64], {"channel_base": 333, "config": "r", "label_dim": 2}),
    (StyleGAN3Generator, [16, 16], {"channel_base": 4096, "channel_max": 6, "config": "t"}),
]


@pytest.mark.parametrize(("cls", "resolution", "sizes"), SIZES)
def test_any_sizes_are_found(cls: type[nn.Module], resolution: list[int], sizes: dict) -> None:
    small = {} if cls is StyleGAN2Discriminator else {"z_dim": 5, "w_dim": 7, "mapping_layers": 3}
    network = cls(resolution, **{**small, **sizes})
    again = rebuild(network.state_dict(), {})
    assert type(again) is cls
    ours, theirs = network.state_dict(), again.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    x = torch.randn(2, *((5,) if hasattr(network, "z_dim") else (network.channels, *resolution)))
    c = torch.eye(2, network.label_dim) if network.label_dim else None
    options = {"noise_mode": "const"} if isinstance(network, StyleGAN2Generator) else {}
    assert torch.equal(network.eval()(x, c, **options), again(x, c, **options))


@pytest.mark.parametrize(
    ("config", "resolution", "base"), [("t", 1024, 32768), ("r", 512, 65536), ("t", 256, 16384)]
)
def test_published_sizes_of_stylegan3(config: Any, resolution: int, base: int) -> None:
    with torch.device("meta"):
        most = 1024 if config == "r" else 512
        sizes = {"config": config, "channel_base": base, "channel_max": most}
        network = StyleGAN3Generator([resolution] * 2, **sizes)
        weights = network.state_dict()
        again = rebuild(weights, {})
    assert again.state_dict().keys() == weights.keys()
    assert spec_of(again)["args"]["channel_base"] == base


def golden_weights() -> dict[str, Tensor]:
    return under(load("stylegan3_t")[1], "state/")


@pytest.mark.parametrize(
    ("change", "given", "sentence"),
    [
        ({}, {"activation": "relu"}, r"cannot be represented here: activation=relu \(here lrelu\)"),
        ({}, {"mapping_kwargs": {"new": 1}}, "cannot be represented here: new=1"),
        (
            {"synthesis.L0_36_16.up_filter": torch.ones(12) / 12},
            {},
            "L0_36_16.up_filter is a filter",
        ),
        ({"synthesis.L1_36_16.bias": None}, {}, r"L1_36_16.bias is absent in the file"),
        ({"synthesis.L1_36_16.bias": torch.ones(3)}, {}, r"is \(3,\) in the file and would be"),
        ({"more": torch.ones(1)}, {}, "more is .* would be absent"),
        ({"mapping.fc0.weight": None}, {}, "not those of a complete StyleGAN3 generator"),
    ],
)
def test_what_cannot_be_represented_is_named(
    change: dict[str, Tensor | None], given: dict[str, Any], sentence: str
) -> None:
    weights = {k: x for k, x in {**golden_weights(), **change}.items() if x is not None}
    with pytest.raises(ConfigError, match=sentence):
        rebuild(weights, given)


def test_other_frequencies_are_refused() -> None:
    renamed = {k.replace("L2_52_16", "L2_60_16"): x for k, x in golden_weights().items()}
    with pytest.raises(ConfigError, match="L2_60_16 where the published frequencies give L2_52_16"):
        rebuild(renamed, {})


def test_widths_that_follow_no_rule_are_refused() -> None:
    network = StyleGAN2Generator([16, 16], channel_base=64, channel_max=8, z_dim=4, w_dim=4)
    weights = network.state_dict()
    weights["synthesis.b8.conv1.weight"] = torch.ones(20, 8, 3, 3)
    with pytest.raises(ConfigError, match=r"have the widths 4: 8, 8: 20, 16: 4"):
        rebuild(weights, {})


def test_without_noise_inputs_there_is_none() -> None:
    network = StyleGAN2Generator([16, 16], channel_base=64, channel_max=8, z_dim=4, w_dim=4)
    weights = {k: x for k, x in network.state_dict().items() if "noise" not in k}
    G, z = rebuild(weights, {"synthesis_kwargs": {"use_noise": False}}), torch.randn(1, 4)
    assert torch.equal(G(z, noise_mode="random"), network(z, noise_mode="none"))


@pytest.mark.parametrize("key", ["synthesis.b99999999.conv1.weight", "synthesis.b16384.x"])
def test_absurd_sizes_are_refused(key: str) -> None:
    _, golden = load("stylegan2_generator_conditional")
    with pytest.raises(ConfigError, match="px, which is out of range"):
        rebuild({**under(golden, "state/"), key: torch.ones(1)}, {})


def test_other_networks_are_none_of_these() -> None:
    assert not is_generator({"model.1.weight": torch.ones(1)})
    with pytest.raises(ConfigError, match=r"the first of 1 tensors is model.1.weight"):
        rebuild({"model.1.weight": torch.ones(1)}, {})
