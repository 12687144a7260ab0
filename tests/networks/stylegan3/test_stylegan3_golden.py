"""Generators T and R equal the reference implementation's numbers, filters and layers too."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gantrain.networks.stylegan3.generator import StyleGAN3Generator
from gantrain.networks.stylegan3.plan import signals
from tests.helpers.golden_files import load, under

FILTERS = ("up_filter", "down_filter")


def generator(name: str) -> tuple[StyleGAN3Generator, dict[str, Any], dict[str, Tensor]]:
    meta, golden = load(name)
    net = StyleGAN3Generator(
        [meta["img_resolution"]] * 2,
        meta["img_channels"],
        meta["c_dim"],
        config="r" if meta.get("use_radial_filters") else "t",
        z_dim=meta["z_dim"],
        w_dim=meta["w_dim"],
        num_layers=meta["num_layers"],
        channel_base=meta["channel_base"],
        channel_max=meta["channel_max"],
        conv_clamp=meta["conv_clamp"],
    )
    state = {k: v for k, v in under(golden, "state/").items() if not k.endswith(FILTERS)}
    missing = net.load_state_dict(state, strict=False)
    assert missing.unexpected_keys == []
    assert set(missing.missing_keys) <= {"synthesis.input.transform"}  # the identity
    return net.eval().requires_grad_(False), meta, golden


@pytest.mark.parametrize("name", ["stylegan3_t", "stylegan3_r"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images(name: str, dtype: torch.dtype) -> None:
    net, meta, golden = generator(name)
    net.to(dtype)
    z, transform = golden["z"].to(dtype), torch.tensor(meta["transform"], dtype=dtype)
    ws = net.mapping(z)
    for got, wanted in (
        (ws, "ws"),
        (net.mapping(z, truncation_psi=0.7), "ws/psi0.7"),
        (net(z), "img"),
        (net.synthesis(ws, transform=transform), "img/transformed"),
        (net.synthesis(ws, transform=transform.expand(2, 3, 3)), "img/transformed"),
    ):
        assert got.dtype == dtype
        torch.testing.assert_close(got.float(), golden[wanted], rtol=0, atol=2e-6)
    net.synthesis.input.transform.copy_(transform)
    torch.testing.assert_close(net(z).float(), golden["img/transformed"], rtol=0, atol=2e-6)


def test_labels_clamp_truncation_and_a_strong_transform() -> None:
    """Every layer has its own w; the transform makes amplitudes fade."""
    net, meta, golden = generator("stylegan3_t_details")
    z, c, ws = golden["z"], golden["c"], golden["ws_distinct"]
    transform = torch.tensor(meta["transform"])
    cut = net.mapping(z, c, truncation_psi=0.5, truncation_cutoff=3)
    for got, wanted, tolerance in (
        (net.mapping(z, c), "ws", 1e-5),
        (cut, "ws/psi0.5_cutoff3", 1e-5),
        (net.synthesis(ws), "img", 1e-6),
        (net.synthesis(ws, transform=transform), "img/transformed", 1e-6),
        (net.synthesis.input(ws[:, 0], transform), "input/transformed", 1e-5),
    ):
        torch.testing.assert_close(got, golden[wanted], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", ["stylegan3_t", "stylegan3_r"])
def test_filters_and_geometry(name: str) -> None:
    net, meta, golden = generator(name)
    seen = 0
    for key, taps in under(golden, "state/synthesis.").items():
        if not key.endswith(FILTERS):
            continue
        layer, _, which = key.partition(".")
        activation: Any = net.synthesis.get_submodule(layer).activation
        ours = activation.up if which == "up_filter" else activation.down
        torch.testing.assert_close(torch.tensor(ours.taps), taps, rtol=0, atol=1e-7)
        seen += 1
    assert seen == 12
    for layer in meta["layers"][:-1]:  # the last one, `ToRGB`, resamples nothing
        activation = net.synthesis.get_submodule(layer["name"]).activation
        assert (activation.up.up, activation.down.down) == (layer["up"], layer["down"])
        assert list(activation.up.padding) == layer["padding"]


def test_published_plan_and_parameters() -> None:
    """Table of the paper's 1024 px generator, and numbers of parameters in millions."""
    plan = signals([1024, 1024], 14, 32768, 512, 3)
    assert [s.channels for s in plan] == [512] * 7 + [323, 203, 128, 81, 51, 32, 32, 3]
    sizes = [36, 36, 52, 52, 84, 148, 148, 276, 276, 532, 1044, 1044, 1044, 1024, 1024]
    assert [s.size for s in plan] == sizes
    published = {("t", 256): 28.47, ("t", 1024): 22.31, ("r", 256): 18.82, ("r", 1024): 15.09}
    for (config, side), millions in published.items():
        width = 2 if config == "r" else 1
        with torch.device("meta"):
            net = StyleGAN3Generator(
                [side, side],
                config=config,  # type: ignore[arg-type]
                channel_base=32768 * width,
                channel_max=512 * width,
            )
        own = sum(p.numel() for p in net.parameters()) / 1e6
        # The published number includes the mapping network and the Fourier features.
        assert own == pytest.approx(millions, abs=0.02), (config, side)
