"""Recorded phases cast each weight once."""

import torch
from torch.fx.experimental.proxy_tensor import make_fx

from gantrain.engine.gradients import prepare
from gantrain.engine.precision import Precision
from gantrain.engine.recorded_phase import RecordedPhase
from gantrain.engine.weight_casts import merge_casts
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.cyclegan import CycleGAN

CAST = torch.ops.aten._to_copy.default


def test_each_weight_of_cyclegan_is_cast_once() -> None:
    gan = CycleGAN(ImageSpec({"a": 3, "b": 3}, (16, 16)), blocks=1, ngf=2, ndf=2, d_layers=1)
    batch = {name: torch.rand(1, 3, 16, 16) for name in "ab"}
    phase = gan.phases()[0]  # G: two passes through each generator, in two losses
    inputs = {**batch, **prepare(phase, batch, Step(0, 0))}
    precision = Precision(torch.device("cpu"), "bf16")
    graph = RecordedPhase(gan, phase, inputs, 1.0, precision.autocast).trace(inputs)
    shapes = {p.shape for p in gan.parameters() if p.dim() == 4}
    casts = [
        node.meta["val"].shape
        for node in graph.graph.nodes
        if node.target is CAST and node.kwargs.get("dtype") == torch.bfloat16
        and node.meta["val"].shape in shapes
    ]  # fmt: skip
    # The last layers of the generators run in float32.
    halved = sum(p.dim() == 4 for p in gan.parameters()) - 2
    assert len(casts) == halved


def test_casts_to_other_dtypes_and_shapes_stay() -> None:
    def function(w: torch.Tensor) -> list[torch.Tensor]:
        half, again, double = w.bfloat16(), w.detach().bfloat16(), w.double()
        row, column = w.view(1, 4).bfloat16(), w.view(4, 1).bfloat16()
        flipped = w.t().bfloat16()
        return [half + 1, again * 2, double - 1, row @ column, flipped / 3]

    w = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    graph = make_fx(function)(w)
    (weight,) = [node for node in graph.graph.nodes if node.op == "placeholder"]
    before = graph(w)
    merge_casts(graph, [weight])
    assert sum(node.target is CAST for node in graph.graph.nodes) == 5
    assert all(torch.equal(*both) for both in zip(graph(w), before, strict=True))
