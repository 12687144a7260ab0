"""Export generators with torch.export and compare the results of the file with the network's.

A .pt2 file holds the network as a graph of torch's own operators: torch.export.load needs no code
of this package.
"""

import io
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.interop.graph import Graph, compare, make_graph, silenced

METADATA = "gantrain.json"  # name of the entry with the metadata


def torch_export_bytes(
    network: nn.Module, metadata: dict[str, str], *, channels: int = 3, psi: float = 1.0
) -> tuple[bytes, float]:
    """Return the content of a .pt2 file and the largest difference from the network's results.

    Args:
        network: see `make_graph`.
        metadata: stored in the file as "gantrain.json", beside the descriptions of inputs and
            outputs.
        channels: channels of input images.
        psi: truncation of a generator with w.

    Raises:
        ConfigError: torch cannot export this network, or see `compare`.
    """
    graph = make_graph(network, channels=channels, psi=psi)
    content = _write(graph, metadata | graph.about)
    with silenced():
        module: Any = torch.export.load(io.BytesIO(content)).module()

    def run(case: Sequence[Tensor]) -> np.ndarray | None:
        try:
            with torch.no_grad():
                return module(*case).numpy()
        except (AssertionError, RuntimeError):  # a guard, or an operator
            return None

    return content, compare(graph, run, "The .pt2 file's", "Try another version of torch")


def _write(graph: Graph, metadata: dict[str, str]) -> bytes:
    case = graph.cases[0]
    takes_images = len(graph.dynamic) > 1
    with silenced(), torch.no_grad(), _sizes_of_one() if takes_images else nullcontext():
        try:
            program = torch.export.export(
                graph.module, tuple(case), dynamic_shapes=tuple(graph.dynamic for _ in case)
            )
        except Exception as error:  # what torch raises here shares no base class
            raise graph.refuse("a .pt2 file", error) from None
    for node in program.graph.nodes:  # stack traces with paths of this machine
        node.meta.pop("stack_trace", None)
    file = io.BytesIO()
    with silenced():
        torch.export.save(program, file, extra_files={METADATA: json.dumps(metadata)})
    return file.getvalue()


def _sizes_of_one() -> AbstractContextManager[Any]:
    """Let torch trace dynamic sizes that may be 1, as the innermost feature map of a U-Net is."""
    from torch.fx.experimental import _config

    config: Any = _config
    if hasattr(config, "backed_size_oblivious"):
        return config.patch(backed_size_oblivious=True)
    return nullcontext()
