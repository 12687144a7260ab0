"""The blur of what D sees equals the reference implementation's numbers."""

import math

import pytest
import torch
from torch.autograd import gradgradcheck

from gantrain.ops.blur import blur, blur_taps
from tests.helpers.golden_files import load

META, ARRAYS = load("stylegan3_blur")


@pytest.mark.parametrize("i", range(len(ARRAYS["nimg"])))
def test_equals_the_reference(i: int) -> None:
    sigma = max(1 - int(ARRAYS["nimg"][i]) / (META["blur_fade_kimg"] * 1000), 0)
    sigma *= META["blur_init_sigma"]
    assert sigma == pytest.approx(float(ARRAYS[f"{i}/sigma"]))
    if math.floor(3 * sigma) == 0:
        assert torch.equal(ARRAYS["x"], ARRAYS[f"{i}/y"])
        return
    for radius in (int(3 * sigma), 30):  # zeros at the ends change nothing
        y = blur(ARRAYS["x"], blur_taps(sigma, radius))
        torch.testing.assert_close(y, ARRAYS[f"{i}/y"], rtol=0, atol=1e-6)


def test_second_derivatives() -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert gradgradcheck(lambda x: blur(x, blur_taps(0.7, 2)).square(), x)
