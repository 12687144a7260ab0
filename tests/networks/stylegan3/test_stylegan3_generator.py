"""Initial values, precision and running means of the generator."""

from typing import Any

import pytest
import torch

from gantrain.networks.stylegan3.filters import lowpass
from gantrain.networks.stylegan3.generator import Config, StyleGAN3Generator

SMALL: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "channel_base": 256, "channel_max": 16}


def make(side: int = 32, **settings: Any) -> StyleGAN3Generator:
    torch.manual_seed(0)
    return StyleGAN3Generator([side, side], **{**SMALL, **settings})


def test_fourier_features_at_first() -> None:
    """Frequencies fill a disc evenly; w does nothing; sine waves have the size of normal noise."""
    big = make(channel_max=4096, channel_base=2**20, num_layers=3)
    radii = big.synthesis.input.freqs.norm(dim=1) / 2  # the bandwidth is 2
    # Evenly over a disc, the squared radius is uniform: mean 1/2. The published formula nearly is.
    assert radii.square().mean().item() == pytest.approx(0.5, abs=0.1) and radii.max() < 1.2
    assert -0.5 <= big.synthesis.input.phases.min() < -0.45
    G = make()
    w = torch.randn(2, 8)
    x = G.synthesis.input(w)
    assert x.shape == (2, 16, 36, 36)
    torch.testing.assert_close(x[0], x[1], rtol=0, atol=1e-6)
    G.synthesis.input.affine.weight.data.normal_()
    assert not torch.equal(*G.synthesis.input(w))


def test_dividing_by_the_magnitude_keeps_the_scale() -> None:
    """After one update without memory every layer's input has a mean square of 1."""
    G = make(magnitude_beta=0.0)
    ws = G.mapping(torch.randn(8, 8))
    seen: dict[str, float] = {}

    def keep(name: str, x: torch.Tensor) -> None:
        seen[name] = x.square().mean().item()

    for name in G.synthesis.names:
        layer: Any = G.synthesis.get_submodule(name)
        layer.register_forward_pre_hook(lambda _, args, name=name: keep(name, args[0]))
    image = G.synthesis(ws, update_magnitudes=True)
    for name, mean in seen.items():
        magnitude = G.synthesis.get_buffer(f"{name}.magnitude_ema")
        assert magnitude.item() == pytest.approx(mean, rel=1e-6)
    assert 0.1 < image.std() < 1
    before = {k: v.clone() for k, v in G.state_dict().items()}
    G.synthesis(ws)
    assert all(torch.equal(before[k], v) for k, v in G.state_dict().items())


def test_a_step_of_the_running_mean() -> None:
    G = make(magnitude_beta=0.75)
    layer: Any = G.synthesis.L0_36_16
    x = torch.full((2, 16, 36, 36), 3.0)
    layer(x, torch.randn(2, 8), True)
    assert layer.magnitude_ema.item() == pytest.approx(0.75 + 0.25 * 9)


def test_autocast_runs_the_highest_rates_in_half_precision() -> None:
    G = make(64, half_resolutions=1)
    dtypes: dict[str, torch.dtype] = {}

    def keep(name: str, x: torch.Tensor) -> None:
        dtypes[name] = x.dtype

    for name in G.synthesis.names:
        layer = G.synthesis.get_submodule(name)
        layer.register_forward_pre_hook(lambda _, args, name=name: keep(name, args[0]))
    z = torch.randn(2, 8)
    exact = G(z)
    with torch.autocast("cpu", torch.bfloat16):
        image = G(z)
    assert image.dtype == torch.float32
    torch.testing.assert_close(image, exact, rtol=0.1, atol=0.05)
    half = [name for name, dtype in dtypes.items() if dtype == torch.bfloat16]
    pairs = zip(G.synthesis.names, G.synthesis.may_be_half, strict=True)
    assert half == [name for name, may_be_half in pairs if may_be_half]
    assert 0 < len(half) < len(dtypes)


def test_the_clamp_holds_after_the_leaky_relu() -> None:
    free, held = make(conv_clamp=None), make(conv_clamp=0.01)
    z = torch.randn(2, 8)
    assert held(z).abs().max() <= 0.25 * 0.01 + 1e-6 < free(z).abs().max()


@pytest.mark.parametrize("config", ["t", "r"])
def test_float64_and_labels_of_one_pixel_grey(config: Config) -> None:
    G = make(16, channels=1, label_dim=3, config=config).double()
    z, c = torch.randn(2, 8, dtype=torch.float64), torch.eye(3, dtype=torch.float64)[:2]
    assert G(z, c).shape == (2, 1, 16, 16) and G(z, c).dtype == torch.float64
    assert not torch.equal(G(z, c), G(z, c.flip(0)))
    with pytest.raises(ValueError, match="needs labels"):
        G(z)


def test_a_radial_filter_is_the_same_in_all_directions() -> None:
    taps = torch.tensor(lowpass(48, 4.0, 2.0, 64.0, radial=True), dtype=torch.float64)
    assert taps.sum() == pytest.approx(1)
    torch.testing.assert_close(taps, taps.T)
    torch.testing.assert_close(taps, taps.flip(0))
    spectrum = torch.fft.fft2(taps, s=(256, 256)).abs()
    for along, across in ((spectrum[0, 10], spectrum[6, 8]), (spectrum[0, 15], spectrum[9, 12])):
        assert along.item() == pytest.approx(across.item(), rel=0.02)


def test_a_filter_cuts_where_it_should() -> None:
    cutoff, half_width, rate = 8.0, 4.0, 64.0
    taps = torch.tensor(lowpass(24, cutoff, half_width, rate), dtype=torch.float64)
    spectrum = torch.fft.rfft(taps, n=int(rate) * 16).abs()

    def at(f: float) -> float:
        return spectrum[round(f * 16)].item()

    assert at(0) == pytest.approx(1) and at(cutoff) == pytest.approx(0.5, abs=0.02)
    assert at(cutoff - half_width) > 0.9 and at(cutoff + half_width) < 0.1
