"""Constants that are first needed in inference mode, within a trace or a compiled function."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch._subclasses.functional_tensor import FunctionalTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from gantrain.ops.constants import made_once


def constant() -> tuple[list[int], Callable[[int], Tensor]]:
    """A function of this kind, and with what it has really been called."""
    made: list[int] = []

    @made_once
    def squares(size: int) -> Tensor:
        made.append(size)
        return torch.arange(size).square()

    return made, squares


def check(squares: Callable[[int], Tensor]) -> None:
    found = squares(3)
    assert type(found) is Tensor and not found.is_inference() and found.tolist() == [0, 1, 4]


@pytest.mark.parametrize(
    "mode", [nullcontext, torch.inference_mode, FakeTensorMode, FunctionalTensorMode]
)
def test_it_is_a_real_tensor_whoever_asks_first(
    mode: Callable[[], AbstractContextManager[object]],
) -> None:
    made, squares = constant()
    with mode():
        check(squares)
    check(squares)
    squares(2)
    assert made == [3, 2]


def test_a_trace_takes_it_as_a_constant() -> None:
    made, squares = constant()

    def f(x: Tensor) -> Tensor:
        return x * squares(3)

    x = torch.randn(3)
    traced = make_fx(f, tracing_mode="fake", _allow_non_fake_inputs=True)(x)
    assert torch.equal(traced(x), x * torch.tensor([0, 1, 4]))
    assert not [node for node in traced.graph.nodes if "arange" in str(node.target)]
    check(squares)
    assert made == [3]


def test_a_compiled_function_uses_what_is_kept_and_keeps_nothing() -> None:
    _, squares = constant()

    def f(x: Tensor, y: Tensor) -> Tensor:
        return torch.outer(x * squares(3), y * squares(2))

    x, y = torch.randn(3), torch.randn(2)
    expected = torch.outer(x * torch.tensor([0, 1, 4]), y * torch.tensor([0, 1]))
    squares(2)
    compiled = torch.compile(f, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x, y), expected)
    check(squares)
    assert torch.equal(compiled(x, y), expected)
    check(squares)
