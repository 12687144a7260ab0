"""Export generators as ONNX and compare the results of onnxruntime with those of torch.

Needs onnx and onnxscript (the extra gantrain[onnx]); the comparison needs onnxruntime.
"""

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.interop.graph import Graph, compare, make_graph, silenced


def onnx_bytes(
    network: nn.Module, metadata: dict[str, str], *, channels: int = 3, psi: float = 1.0
) -> tuple[bytes, float]:
    """Return the content of an ONNX file and the largest difference from torch's results.

    Args:
        network: see `make_graph`.
        metadata: stored in the file beside the descriptions of inputs and outputs.
        channels: channels of input images.
        psi: truncation of a generator with w.

    Returns:
        The content; the largest absolute difference, nan without onnxruntime.

    Raises:
        ConfigError: torch cannot export this network, or see `compare`.
    """
    graph = make_graph(network, channels=channels, psi=psi)
    content = _write(graph, metadata | graph.about)
    if importlib.util.find_spec("onnxruntime") is None:
        return content, float("nan")
    fix = "Try other versions of onnxruntime and onnxscript"
    return content, compare(graph, _session(content, graph.inputs), "The ONNX file's", fix)


def _write(graph: Graph, metadata: dict[str, str]) -> bytes:
    import onnx_ir  # comes with onnxscript

    case = graph.cases[0]
    with silenced():
        try:
            program = torch.onnx.export(
                graph.module,
                tuple(case),
                dynamo=True,
                input_names=graph.inputs,
                output_names=[graph.output],
                dynamic_shapes=tuple(graph.dynamic for _ in case),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise graph.refuse("ONNX", error) from None
    assert program is not None
    model = program.model
    for node in model.graph.all_nodes():  # stack traces with paths of this machine
        node.metadata_props.clear()
        node.doc_string = None
    values: list[Any] = [*model.graph.inputs, *model.graph.outputs]
    for value in values:
        value.metadata_props.clear()
        value.shape = onnx_ir.Shape([_dimension(side) for side in value.shape])
    model.metadata_props.update(metadata)
    return program.model_proto.SerializeToString()


def _dimension(side: object) -> int | str:
    """Shorten torch's "4*height" to "height": not every program accepts it as a name."""
    return side if isinstance(side, int) else str(side).rpartition("*")[2]


def _session(content: bytes, names: list[str]) -> Callable[[Sequence[Tensor]], np.ndarray | None]:
    """Return a function that runs an ONNX file with onnxruntime; None: it rejects the inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a rejected case is reported once, by us
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(case: Sequence[Tensor]) -> np.ndarray | None:
        feed = dict(zip(names, (x.numpy() for x in case), strict=True))
        try:
            return np.asarray(session.run(None, feed)[0])
        except Exception:  # onnxruntime's exceptions share no base class
            return None

    return run
