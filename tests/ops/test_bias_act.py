from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from gantrain.ops.bias_act import bias_act
from tests.ops import plain

CASES: list[dict[str, Any]] = [
    {},
    {"act": "linear"},
    {"scale": 0.3, "gain": 2**0.5},
    {"act": "linear", "gain": 0.5, "clamp": 0.4},
    {"scale": 1.7, "gain": 1.4, "clamp": 0.8},
]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_value_and_gradients_of_both_orders(case: dict[str, Any], with_bias: bool) -> None:
    x = torch.randn(3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    b = torch.randn(4, dtype=torch.float64, requires_grad=True) if with_bias else None
    before = x.detach().clone()
    torch.testing.assert_close(bias_act(x, b, **case), plain.bias_act(x, b, **case))
    assert torch.equal(x, before)  # nothing in place
    inputs = (x,) if b is None else (x, b)

    def run(*inputs: torch.Tensor) -> torch.Tensor:
        return bias_act(inputs[0], *(inputs[1:] or (None,)), **case)

    assert gradcheck(run, inputs)
    assert gradgradcheck(lambda *inputs: run(*inputs).square(), inputs)


def test_vectors_and_the_slope() -> None:
    y = bias_act(torch.tensor([[-3.0, 4.0]]), torch.tensor([1.0, 1.0]), gain=10.0, clamp=40.0)
    torch.testing.assert_close(y, torch.tensor([[-4.0, 40.0]]))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 2)])
def test_the_compiler_gets_no_alpha(shape: tuple[int, ...]) -> None:
    """Inductor (torch 2.13) drops it where it merges a sum with a matrix product."""
    graphs: list[str] = []

    def record(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph.code)
        return graph

    x, bias = torch.randn(shape), torch.randn(3)
    torch.compiler.reset()
    y = torch.compile(bias_act, backend=record)(x, bias, scale=0.01, gain=2.0)
    torch.testing.assert_close(y, bias_act(x, bias, scale=0.01, gain=2.0))
    assert len(graphs) == 1 and "leaky_relu" in graphs[0] and "alpha" not in graphs[0]
