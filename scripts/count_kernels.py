"""Count the kernels of every phase, eager and compiled, without running them.

python scripts/count_kernels.py cyclegan stylegan --side 256

Eager: dispatched operations that compute, without views and allocations. Compiled: the kernels that
inductor generates for a CPU, and its calls of libraries (convolutions, products, random numbers).
On a GPU a call may launch several kernels. GB are the bytes that pointwise kernels read and write:
all but products and convolutions, which are the same in both.
"""

import argparse
import re
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch._inductor as inductor
from torch import Tensor
from torch._inductor import config
from torch._inductor.async_compile import AsyncCompile
from torch._inductor.graph import GraphLowering
from torch.fx import GraphModule

from gantrain.engine.gradients import prepare
from gantrain.engine.precision import Precision
from gantrain.engine.recorded_phase import RecordedPhase
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.gans.r3gan import R3GAN
from gantrain.gans.stylegan import StyleGAN
from gantrain.gans.stylegan3 import StyleGAN3
from gantrain.ops.tracing import recording

BATCH = {"cyclegan": 1, "stylegan": 32, "stylegan3": 16, "r3gan": 64, "dcgan": 128}
# fmt: off
VIEWS = [
    "view", "_unsafe_view", "expand", "permute", "t", "transpose", "slice", "select", "unsqueeze",
    "squeeze", "alias", "as_strided", "split", "split_with_sizes", "unbind", "unfold", "detach",
    "lift_fresh_copy", "empty", "empty_like", "new_empty",
]
# fmt: on


@dataclass
class Count:
    """Kernels of a phase, and the 10^9 bytes of the inputs and outputs of pointwise ones."""

    eager: int
    eager_gb: float  # of all but products and convolutions
    generated: int
    external: int
    compiled_gb: float  # of the generated ones


def make(model: str, side: int, batch: int, **settings: Any) -> tuple[GAN, Batch]:
    """Return a GAN of published size, or with other settings, and a batch."""
    kinds: dict[str, Any] = {
        "cyclegan": (CycleGAN, {}),
        "stylegan": (StyleGAN, {"augment": "fixed", "augment_p": 0.3}),
        "stylegan3": (StyleGAN3, {"augment": "fixed", "augment_p": 0.3}),
        "r3gan": (R3GAN, {"augment_p": 0.3}),
        "dcgan": (DCGAN, {}),
    }
    kind, augmented = kinds[model]
    streams = ["a", "b"] if model == "cyclegan" else ["image"]
    spec = ImageSpec(dict.fromkeys(streams, 3), (side, side), batch=batch)
    gan = kind(spec, **augmented, **settings)
    streams += [f"{i}/{name}" for i in range(1, gan.real_batches) for name in streams]
    return gan, {name: torch.zeros(batch, 3, side, side) for name in streams}


def count_phase(gan: GAN, phase: Phase, batch: Batch, precision: Precision) -> Count:
    """Count the kernels of a phase; what it leaves for later phases is added to the batch."""
    forward = nullcontext if phase.full_precision else precision.autocast
    with recording():
        inputs = {**batch, **prepare(phase, batch, Step(0, 0))}
    recorded = RecordedPhase(gan, phase, inputs, 1.0, forward)
    graph = recorded.trace(inputs)
    computing = [node for node in graph.graph.nodes if _computes(node)]
    pointwise = [node for node in computing if not _is_product(node.target)]
    eager_gb = sum(map(_bytes, pointwise)) / 1e9
    generated, external, compiled_gb = count_compiled(graph, recorded.arguments(inputs))
    # Zeros: what a later phase needs of them here is their shape. CycleGAN's fakes are like reals.
    batch.update({name: torch.zeros_like(batch[name[-1]]) for name in recorded.left})
    return Count(len(computing), eager_gb, generated, external, compiled_gb)


def _computes(node: torch.fx.Node) -> bool:
    if not isinstance(node.target, torch._ops.OpOverload):  # inputs, and parts of results
        return False
    return str(node.target).split(".")[1] not in VIEWS  # such as "aten.view.default"


def _is_product(target: Any) -> bool:
    return bool(re.match(r"aten\.(convolution|mm|bmm|addmm|baddbmm)", str(target)))


def _bytes(node: torch.fx.Node) -> int:
    def size(value: Any) -> int:
        values = value if isinstance(value, list | tuple) else [value]
        return sum(x.numel() * x.element_size() for x in values if isinstance(x, Tensor))

    return sum(size(n.meta.get("val")) for n in [node, *node.all_input_nodes])


def count_compiled(graph: GraphModule, arguments: Any) -> tuple[int, int, float]:
    """Compile a graph as far as the C++ code, which nothing compiles.

    Returns:
        Generated kernels, calls of libraries, and the 10^9 bytes of the generated kernels.
    """
    codes: list[str] = []
    sizes: list[int] = []
    codegen = GraphLowering.codegen

    def spy(self: GraphLowering) -> Any:
        code = codegen(self)
        own = (node for node in self.scheduler.nodes if not node.is_extern())
        sizes.extend(node.get_read_write_buffers_sizes() for node in own)
        return code

    settings = {"fallback_random": True, "fx_graph_cache": False}
    with (
        mock.patch.object(AsyncCompile, "cpp_pybinding", lambda *_, **__: None),
        mock.patch.object(GraphLowering, "save_output_code", staticmethod(codes.append)),
        mock.patch.object(GraphLowering, "codegen", spy),
        config.patch(settings),
        torch.no_grad(),
    ):
        inductor.compile(graph, arguments)  # type: ignore[arg-type]
    calls = [line.strip() for line in codes[-1].partition("def call(")[2].splitlines()]
    calls = [line for line in calls if not line.startswith(("#", "assert_"))]
    generated = sum(bool(re.match(r"cpp_fused", line)) for line in calls)
    external = sum("extern_kernels." in line or "torch.ops.aten." in line for line in calls)
    return generated, external, sum(sizes) / 1e9


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="+", choices=list(BATCH))
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    args = parser.parse_args()
    precision = Precision(torch.device("cpu"), args.precision)
    for model in args.models:
        gan, batch = make(model, args.side, BATCH[model])
        print(f"\n{model}, {args.side} px, batch {BATCH[model]}, {args.precision}\n")
        print("| phase | eager | compiled: generated + libraries | eager GB | generated GB |")
        print("|---" * 5 + "|")
        for phase in gan.phases():
            count = count_phase(gan, phase, batch, precision)
            kernels = f"{count.eager} | {count.generated} + {count.external}"
            print(f"| {phase.name} | {kernels} | {count.eager_gb:.1f} | {count.compiled_gb:.1f} |")


if __name__ == "__main__":
    main()
