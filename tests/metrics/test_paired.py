import math

import numpy as np
import pytest
import torch

from gantrain.metrics.paired import l1, psnr, ssim


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def test_l1_and_psnr_closed_form() -> None:
    x = torch.full((2, 3, 4, 4), 100, dtype=torch.uint8)
    y = x.clone()
    y[1] += 10
    assert l1(x, y).tolist() == [0, 10]
    assert psnr(x, y)[0] == math.inf
    assert psnr(x, y)[1].item() == pytest.approx(10 * math.log10(255**2 / 100))


def test_l1_does_not_wrap_around() -> None:
    x, y = (torch.full((1, 1, 1, 1), v, dtype=torch.uint8) for v in (3, 250))
    assert l1(x, y).item() == l1(y, x).item() == 247


def naive_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """The definition, window by window."""
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for c in range(x.shape[0]):
        for i in range(x.shape[1] - 10):
            for j in range(x.shape[2] - 10):
                a, b = x[c, i : i + 11, j : j + 11], y[c, i : i + 11, j : j + 11]
                ma, mb = (window * a).sum(), (window * b).sum()
                va, vb = (window * (a - ma) ** 2).sum(), (window * (b - mb) ** 2).sum()
                cov = (window * (a - ma) * (b - mb)).sum()
                top = (2 * ma * mb + c1) * (2 * cov + c2)
                values.append(top / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(values))


def test_ssim_equals_its_definition() -> None:
    x, y = images(2, 3, 14, 17), images(2, 3, 14, 17)
    y[1] = (x[1].int() * 3 // 4 + 20).to(torch.uint8)  # similar
    for value, a, b in zip(
        ssim(x, y).tolist(), x.double().numpy(), y.double().numpy(), strict=True
    ):
        assert value == pytest.approx(naive_ssim(a, b), abs=1e-10)


def test_ssim_of_equal_and_of_constant_images() -> None:
    x = images(1, 3, 16, 16)
    assert ssim(x, x).item() == pytest.approx(1)
    a, b = (torch.full((1, 1, 16, 16), v, dtype=torch.uint8) for v in (50, 200))
    c1 = (0.01 * 255) ** 2
    assert ssim(a, b).item() == pytest.approx((2 * 50 * 200 + c1) / (50**2 + 200**2 + c1))


def test_ssim_needs_a_window() -> None:
    with pytest.raises(ValueError, match="11x11"):
        ssim(images(1, 3, 10, 20), images(1, 3, 10, 20))
