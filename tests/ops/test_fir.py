"""FIR resampling against its definition, its derivatives, and the reference's numbers."""

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from gantrain.ops import fir
from tests.helpers.golden_files import load
from tests.ops import plain

CASES: list[dict[str, Any]] = [
    {"up": up, "down": down, "padding": padding, "flip": flip}
    for up, down, padding, flip in itertools.product(
        [1, 2, (3, 1), (1, 2)],
        [1, 2, (2, 3)],
        [(0, 0, 0, 0), (2, 1, 3, 0), (-1, 2, 1, -2), (5, 6, 7, 4)],
        [False, True],
    )
]


@pytest.mark.parametrize("shape", [(4, 4), (1, 3), (3, 2)])
def test_every_setting_equals_the_definition_up_to_second_derivatives(shape: list[int]) -> None:
    for case in CASES:
        taps = torch.randn(shape, dtype=torch.float64)
        x = torch.randn(2, 2, 6, 7, dtype=torch.float64, requires_grad=True)
        y = fir.upfirdn2d(x, taps, gain=1.5, **case)
        expected = plain.upfirdn2d(x, taps, gain=1.5, **case)
        torch.testing.assert_close(y, expected)
        grad = torch.randn_like(y, requires_grad=True)
        vector = torch.randn_like(x)
        results = []
        for output in (y, expected):
            (gx,) = torch.autograd.grad(output, x, grad, create_graph=True)
            (again,) = torch.autograd.grad(gx, grad, vector)
            results.append((gx, again))
        torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize(
    "case",
    [{"up": 2, "padding": (2, 1, 2, 1)}, {"down": 2, "padding": 1}, {"up": (3, 2), "down": 2}],
)
def test_gradients_of_both_orders(case: dict[str, Any]) -> None:
    taps = torch.randn(3, 4, dtype=torch.float64)
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)

    def resample(x: Tensor) -> Tensor:
        return fir.upfirdn2d(x, taps, **case)

    assert gradcheck(resample, x)
    assert gradgradcheck(lambda x: resample(x).square(), x)


@pytest.mark.parametrize("length", [5, 12])
@pytest.mark.parametrize("name", ["upsample2d", "downsample2d"])
def test_one_dimensional_taps_mean_their_outer_product(name: str, length: int) -> None:
    # 12 taps are run as two passes, 5 are not.
    taps = fir.fir_taps(torch.rand(length).tolist()).double()
    x = torch.randn(2, 3, 8, 10, dtype=torch.float64)
    resample = getattr(fir, name)
    torch.testing.assert_close(resample(x, taps), resample(x, torch.outer(taps, taps)))


def test_golden_cases() -> None:
    meta, golden = load("upfirdn2d")
    for i, case in enumerate(meta["cases"]):
        y = fir.upfirdn2d(
            golden["x"],
            fir.fir_taps(case["filter"]),
            up=case["up"],
            down=case["down"],
            padding=tuple(case["padding"]),
            flip=case["flip_filter"],
            gain=case["gain"],
        )
        torch.testing.assert_close(y, golden[f"case{i}/y"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["upsample2d", "downsample2d"])
def test_golden_helpers(name: str) -> None:
    golden = load("upfirdn2d")[1]
    y = getattr(fir, name)(golden["x"], fir.fir_taps([1, 3, 3, 1]))
    torch.testing.assert_close(y, golden[f"{name}/1"], atol=1e-5, rtol=0)


def test_golden_filter_of_the_same_size() -> None:
    golden = load("upfirdn2d")[1]
    y = fir.upfirdn2d(golden["x"], fir.fir_taps([1, 3, 3, 1]), padding=(2, 1, 2, 1))
    torch.testing.assert_close(y, golden["filter2d/1"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("taps", [[1, 3, 3, 1], [1, 2, 1], [1, 1]])
def test_helpers_keep_a_constant_away_from_the_border(taps: list[float]) -> None:
    x = torch.full((1, 1, 12, 16), 0.7)
    for name, size in (("upsample2d", (24, 32)), ("downsample2d", (6, 8))):
        y = getattr(fir, name)(x, fir.fir_taps(taps))
        assert y.shape[2:] == size
        if name != "upsample2d" or len(taps) % 2 == 0:  # an odd filter cannot interpolate evenly
            torch.testing.assert_close(
                y[:, :, 3:-3, 3:-3], torch.full_like(y, 0.7)[:, :, 3:-3, 3:-3]
            )


def test_the_compiled_form_is_the_same_function(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(1, 2, 6, 6, requires_grad=True)
    taps = fir.fir_taps([1, 3, 3, 1])
    eager = fir.upsample2d(x, taps)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    traced = fir.upsample2d(x, taps)
    assert torch.equal(eager, traced)
    g = torch.randn_like(eager)
    torch.testing.assert_close(*(torch.autograd.grad(y, x, g) for y in (eager, traced)))


def test_taps_sum_to_one() -> None:
    assert fir.fir_taps([1, 3, 3, 1]).tolist() == [0.125, 0.375, 0.375, 0.125]
    assert fir.fir_taps([[1, 2], [3, 4]]).sum() == 1


def test_a_filter_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="is larger than the padded image"):
        fir.upfirdn2d(torch.zeros(1, 1, 3, 8), fir.fir_taps([1, 3, 3, 1]))
