"""Noise and cutout."""

import math

import pytest
import torch

from gantrain.augment.corrupt import add_noise, covered, cut_out, cutout_centre, noise_std
from gantrain.augment.draw import RandomParameters

N = 20_000


def test_noise_has_its_own_strength_in_each_image() -> None:
    images = torch.randn(3, 3, 64, 64)
    std = torch.tensor([0.1, 0.0, 0.3], dtype=torch.float64)
    noise = add_noise(images, std) - images
    assert noise.std((1, 2, 3)).tolist() == pytest.approx([0.1, 0, 0.3], rel=0.03, abs=1e-6)
    assert noise.mean((1, 2, 3)).abs().max() < 0.01
    assert noise[0, 0].flatten().corrcoef() == pytest.approx(1)
    assert abs(torch.stack([noise[0, 0].flatten(), noise[0, 1].flatten()]).corrcoef()[0, 1]) < 0.08
    assert torch.equal(add_noise(images, torch.zeros(3)), images)
    assert torch.equal(add_noise(images, torch.ones(3), images), 2 * images)


def test_noise_strength_is_half_normal_in_the_selected() -> None:
    std = noise_std(RandomParameters(N, 0.3))
    assert std.min() >= 0 and (std > 0).double().mean() == pytest.approx(0.3, abs=0.016)
    assert std[std > 0].square().mean().sqrt() == pytest.approx(0.1, rel=0.04)


def test_cutout_is_one_box_of_half_the_size() -> None:
    images = torch.ones(2, 3, 16, 24)
    centre = torch.tensor([[0.5, 0.25], [-1, -1]], dtype=torch.float64)
    cut = cut_out(images, covered(centre, (16, 24)))
    expected = torch.ones(16, 24)
    expected[:8, 6:18] = 0
    assert torch.equal(cut[0], expected.expand(3, -1, -1)) and torch.equal(cut[1], images[1])


def test_the_box_may_stick_out_of_the_image() -> None:
    box = covered(torch.tensor([[0.0, 1.0]], dtype=torch.float64), (16, 16))
    cut = cut_out(torch.ones(1, 1, 16, 16), box)
    expected = torch.ones(16, 16)
    expected[12:, :4] = 0
    assert torch.equal(cut[0, 0], expected)


def test_the_centre_lies_anywhere() -> None:
    centre = cutout_centre(RandomParameters(N, 0.3))
    chosen = centre[centre[:, 0] >= 0]
    assert len(chosen) / N == pytest.approx(0.3, abs=0.016)
    assert 0 <= chosen.min() < 0.01 and 0.99 < chosen.max() < 1
    assert (chosen.mean(0) - 0.5).abs().max() < 0.02
    assert (chosen.std(0) - math.sqrt(1 / 12)).abs().max() < 0.01
    assert abs(chosen.T.corrcoef()[0, 1]) < 0.06
