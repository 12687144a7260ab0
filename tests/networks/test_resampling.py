"""Blurs that halve and double maps: golden numbers, closed forms, exact derivatives."""

import pytest
import torch
import torch.nn.functional as F

from gantrain.networks.resampling import BlurDown, BlurUp
from tests.helpers.golden_files import load


@pytest.mark.parametrize("case", range(5))
def test_golden(case: int) -> None:
    meta, golden = load("cut_resample")
    kind, channels, _, _, settings = meta["cases"][case]
    blur = BlurUp(channels) if kind == "up" else BlurDown(channels, settings.get("filt_size", 3))
    assert torch.equal(blur.filt, golden[f"case{case}/filter"].expand_as(blur.filt))
    y = blur(golden[f"case{case}/x"])
    torch.testing.assert_close(y, golden[f"case{case}/y"], atol=1e-6, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (5, 6)])
def test_doubling_is_bilinear(size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    expected = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(BlurUp(3)(x), expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("blur", [BlurDown(2), BlurUp(2)])
def test_derivatives(blur: torch.nn.Module) -> None:
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(blur, (x,))
    assert torch.autograd.gradgradcheck(blur, (x,))


@pytest.mark.parametrize("blur", [BlurDown(2), BlurUp(2)])
def test_autocast_keeps_the_dtype_and_the_precision(blur: torch.nn.Module) -> None:
    x = torch.randn(1, 2, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(blur(x), blur(x.clone())) and blur(x).dtype == torch.float32
        assert blur(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(blur(x), blur(x.double()).float(), atol=1e-6, rtol=0)


def test_another_filter_is_refused() -> None:
    blur = BlurDown(2)
    with pytest.raises(RuntimeError, match="not the filter"):
        blur.load_state_dict({"filt": torch.full((2, 1, 3, 3), 1 / 9)})
