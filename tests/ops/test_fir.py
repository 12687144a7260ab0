"""FIR resampling against its definition, its derivatives, and the reference's numbers."""

import itertools
import shutil
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._inductor import config as inductor_config
from torch._inductor.utils import run_and_get_code
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.fx.experimental.proxy_tensor import make_fx

from gantrain.ops import fir, fir_plain
from gantrain.ops.bias_act import bias_act
from gantrain.ops.fir_plan import Axis, Plan
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


T = fir.fir_taps([1, 3, 3, 1])


@pytest.fixture(params=["eager", "traced"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Convolutions, and the plain operations that are for tracing."""
    if request.param == "traced":
        monkeypatch.setattr(fir, "is_traced", lambda: True)
    return request.param


@pytest.mark.parametrize("shape", [(4, 4), (1, 3), (3, 2)])
@pytest.mark.usefixtures("way")
def test_every_setting_equals_the_definition_up_to_second_derivatives(shape: list[int]) -> None:
    for case in CASES:
        taps = torch.randn(shape, dtype=torch.float64).tolist()
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
@pytest.mark.usefixtures("way")
def test_gradients_of_both_orders(case: dict[str, Any]) -> None:
    taps = torch.randn(3, 4, dtype=torch.float64).tolist()
    x = torch.randn(1, 2, 5, 6, dtype=torch.float64, requires_grad=True)

    def resample(x: Tensor) -> Tensor:
        return fir.upfirdn2d(x, taps, **case)

    assert gradcheck(resample, x)
    assert gradgradcheck(lambda x: resample(x).square(), x)


@pytest.mark.parametrize("length", [5, 12])
@pytest.mark.parametrize("name", ["upsample2d", "downsample2d"])
def test_one_dimensional_taps_mean_their_outer_product(name: str, length: int) -> None:
    # 12 taps are run as two passes, 5 are not.
    taps = torch.rand(length, dtype=torch.float64)
    x = torch.randn(2, 3, 8, 10, dtype=torch.float64)
    resample = getattr(fir, name)
    square = torch.outer(taps, taps)
    torch.testing.assert_close(resample(x, taps.tolist()), resample(x, square.tolist()))


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


def test_taps_sum_to_one() -> None:
    assert fir.fir_taps([1, 3, 3, 1]) == (0.125, 0.375, 0.375, 0.125)
    assert fir.fir_taps([[1, 2], [3, 2]]) == ((0.125, 0.25), (0.375, 0.25))


def test_a_filter_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="is larger than the padded image"):
        fir.upfirdn2d(torch.zeros(1, 1, 3, 8), fir.fir_taps([1, 3, 3, 1]))


@pytest.mark.parametrize("case", CASES[::5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_compiled_it_is_the_same_function(case: dict[str, Any], dtype: torch.dtype) -> None:
    taps = torch.randn(3, 4).tolist()
    x = torch.randn(2, 2, 6, 7).to(dtype).requires_grad_(True)

    def resample(x: Tensor) -> Tensor:
        return fir.upfirdn2d(x, taps, **case)

    torch.compiler.reset()
    y, expected = torch.compile(resample, backend="aot_eager", fullgraph=True)(x), resample(x)
    weight = torch.randn_like(y)
    grad, expected_grad = (torch.autograd.grad((t * weight).sum(), x)[0] for t in (y, expected))
    # In half precision the convolution rounds the taps, and plain operations do not.
    tolerance = {"atol": 0.2, "rtol": 2e-2} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(y, expected, **tolerance)
    torch.testing.assert_close(grad, expected_grad, **tolerance)


@pytest.mark.ci
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor compiles with g++")
@pytest.mark.parametrize("name", ["upsample2d", "downsample2d"])
def test_a_compiler_fuses_it_with_its_neighbours(name: str) -> None:
    """One function with bias and activation, one for the gradients; and no convolution."""
    x = torch.randn(2, 3, 16, 16, requires_grad=True)
    bias = torch.randn(3, requires_grad=True)

    @torch.compile(fullgraph=True, dynamic=False)
    def layer(x: Tensor, bias: Tensor) -> Tensor:
        return bias_act(getattr(fir, name)(x, T), bias)

    torch.compiler.reset()
    with inductor_config.patch(fx_graph_cache=False):
        y, forward = run_and_get_code(layer, x, bias)
        _, backward = run_and_get_code(torch.autograd.grad, y.sum(), (x, bias))
    for code in (*forward, *backward):
        assert code.count("async_compile.cpp_pybinding(") == 1 and "convolution" not in code


def blurred_sines(x: Tensor) -> Tensor:
    return fir.downsample2d(fir.upsample2d(x, T).sin(), T)


@pytest.mark.usefixtures("way")
def test_forward_mode() -> None:
    x, v = torch.randn(2, 2, 2, 6, 6, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(blurred_sines, x)
    expected = (jacobian * v).sum(dim=(-4, -3, -2, -1))  # type: ignore[operator]
    torch.testing.assert_close(torch.func.jvp(blurred_sines, (x,), (v,))[1], expected)
    with forward_ad.dual_level():
        dual = blurred_sines(forward_ad.make_dual(x, v))
        torch.testing.assert_close(forward_ad.unpack_dual(dual).tangent, expected)


@pytest.mark.parametrize("by", ["func", "autograd"])
def test_gradients_of_a_derivative_along_a_direction(by: str) -> None:
    x, v = torch.randn(2, 2, 2, 6, 6, dtype=torch.float64)
    w = torch.randn(2, 1, 1, dtype=torch.float64, requires_grad=True)

    def penalty(w: Tensor) -> Tensor:
        along = torch.func.jvp(lambda x: blurred_sines(w * x), (x,), (v,))[1]
        return along.square().sum()  # type: ignore[no-any-return]

    assert gradcheck(penalty, w)
    traced = make_fx(torch.func.grad(penalty) if by == "func" else gradient_of(penalty))(w)
    (expected,) = torch.autograd.grad(penalty(w), w)
    torch.testing.assert_close(traced(w), expected)
    assert "convolution" not in traced.code


def gradient_of(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.autograd.grad(function(x), x)[0]


def test_a_traced_penalty_has_no_convolution() -> None:
    """Twice differentiated in one graph, as the penalties of a discriminator are."""

    def penalty(x: Tensor) -> Tensor:
        (grad,) = torch.autograd.grad(blurred_sines(x).sum(), x, create_graph=True)
        return torch.autograd.grad(grad.square().sum(), x)[0]

    x = torch.randn(1, 2, 6, 6, dtype=torch.float64, requires_grad=True)
    traced = make_fx(penalty)(x)
    torch.testing.assert_close(traced(x), penalty(x))
    assert "convolution" not in traced.code


def test_plain_operations_are_differentiable_by_themselves() -> None:
    axis = Axis(taps=3, up=2, down=1, before=2, after=1)
    plan = Plan(((0.3, -0.1, 0.5),) * 3, axis, axis)
    x = torch.randn(1, 1, 4, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: fir_plain.resample(x, plan), x)
    assert gradgradcheck(lambda x: fir_plain.resample(x, plan).square(), x)


def test_fake_tensors_leave_nothing_behind_and_get_no_kernel() -> None:
    axis = Axis(taps=1, up=1, down=1, before=0, after=0)
    plan = Plan(((1.0,),), axis, axis)
    x = torch.randn(1, 2, 8, 8)
    with FakeTensorMode() as mode:
        fake = mode.from_tensor(x)
        assert fir.upsample2d(fake, T).shape == (1, 2, 16, 16)
        assert not fir._fits_kernel(fake, plan) and not fir._fits_kernel(x, plan)
    assert fir._fits_kernel(x, plan) and not fir._fits_kernel(fake, plan)
    assert type(fir.upsample2d(x, T)) is Tensor


def test_without_a_working_kernel_there_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ModuleType("broken")  # without a `resample`
    monkeypatch.setattr(fir, "find_spec", lambda name: broken)
    monkeypatch.setitem(sys.modules, "gantrain.ops.fir_kernel", broken)
    monkeypatch.setattr("gantrain.ops.fir_kernel", broken, raising=False)
    with pytest.warns(UserWarning, match="without their Triton kernel"):
        assert not fir._kernel_runs.__wrapped__(torch.device("cpu"))


@pytest.mark.parametrize("taps", [[1, 2, 4, 4, 3, 2, 1, 1, 1, 1, 1, 1], [[1, 2], [3, 5]]])
@pytest.mark.parametrize("last", [False, True])
def test_an_opaque_filter_is_one_operation_in_a_recording(taps: fir.Taps, last: bool) -> None:
    x = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    v = torch.randn(2, 3, 9, 8, dtype=torch.float64)

    def compute(x: Tensor, opaque: bool) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        y = fir.upfirdn2d(x, taps, up=2, down=3, padding=(12, 3, 4, 11), gain=2.0, opaque=opaque)
        (gradient,) = torch.autograd.grad(y.pow(3).sum(), x, create_graph=True)
        return y.detach(), torch.autograd.grad((gradient * v).sum(), x)[0]

    def function(x: Tensor) -> tuple[Tensor, Tensor]:
        return compute(x, opaque=True)

    graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(x)
    opaque = [n for n in graph.graph.nodes if n.target is torch.ops.gantrain.resample.default]
    passes = 1 if isinstance(taps[0], list) else 2
    assert len(opaque) >= 3 * passes  # there, back, and those of the second derivative
    compiled = torch.compile(graph, backend="aot_eager")
    for ours in (graph(x), compiled(x)):
        for a, b in zip(ours, compute(x, opaque=False), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
