"""Export generators as ONNX and compare the results of onnxruntime with those of torch.

Needs onnx and onnxscript (the extra gantrain[onnx]); the comparison needs onnxruntime.
"""

import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from gantrain.errors import ConfigError

TOLERANCE = 1e-4  # for values in [-1, 1]: 1/80 of an 8-bit level


class FromLatents(nn.Module):
    """A generator from latents with truncation, constant noise and clamping built in.

    Args:
        generator: maps (z, c) to images; StyleGAN's have `mapping` and `synthesis`.
        psi: truncation of a generator with w.
    """

    def __init__(self, generator: nn.Module, psi: float) -> None:
        super().__init__()
        self.generator = generator
        is_stylegan = hasattr(generator, "mapping") and hasattr(generator, "synthesis")
        self.settings = {"truncation_psi": psi, "noise_mode": "const"} if is_stylegan else {}

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        """Latents [N, z_dim], labels c [N, label_dim] -> images [N, C, H, W] in [-1, 1]."""
        labels = () if c is None else (c,)
        return self.generator(z, *labels, **self.settings).clamp(-1, 1)


def onnx_bytes(
    network: nn.Module, metadata: dict[str, str], *, channels: int = 3, psi: float = 1.0
) -> tuple[bytes, float]:
    """Return the content of an ONNX file and the largest difference from torch's results.

    The batch size is dynamic; so are the sides of input images, multiples of the network's
    `size_multiple`.

    Args:
        network: in eval mode on the CPU; with a `z_dim` its inputs are latents and
            labels, otherwise images.
        metadata: stored in the file beside the descriptions of inputs and outputs.
        channels: channels of input images.
        psi: truncation of a generator with w.

    Returns:
        The content; the largest absolute difference, nan without onnxruntime.

    Raises:
        ConfigError: torch cannot export this network, or the results differ by more than 1e-4 or 4
            times torch's own float32 rounding, whichever is larger.
    """
    if hasattr(network, "z_dim"):
        return _export_from_latents(network, metadata, psi)
    multiple = int(getattr(network, "size_multiple", 1))
    least = int(getattr(network, "least_side", multiple))
    low, high = (-(-side // multiple) * multiple for side in (max(least, 48), 256))
    # torch traces the first size. There no side is 1 in any layer (it would become a constant) and
    # no two sides are equal (they would become one dynamic size). The others are for comparison.
    sizes = [
        (2, 2 * low, 3 * low),
        (2, low, 2 * low),
        (1, least, least),
        (1, high, high + multiple),
    ]
    sides = {"height": Dim("height", min=2), "width": Dim("width", min=2)}
    dynamic = {0: Dim("batch"), 2: multiple * sides["height"], 3: multiple * sides["width"]}
    # The input is called "pictures" in the files; a new name would break their users' code.
    metadata = metadata | {
        "input": f"pictures: float32 [batch, {channels}, height, width] in [-1, 1]; height and "
        f"width are multiples of {multiple}, {least} or more",
        "output": "translated: float32 in [-1, 1], as high and as wide",
        "size_multiple": str(multiple),
    }
    cases = [[_noise((n, channels, h, w))] for n, h, w in sizes]
    return _export(network, cases, ["pictures"], dynamic, metadata)


def _export_from_latents(
    network: nn.Module, metadata: dict[str, str], psi: float
) -> tuple[bytes, float]:
    labels = int(getattr(network, "label_dim", 0))
    dims = {"z": int(network.z_dim), "c": labels}  # type: ignore[arg-type]
    names = [name for name, dim in dims.items() if dim]
    metadata = metadata | {
        "input": ", ".join(f"{name}: float32 [batch, {dims[name]}]" for name in names)
        + " (z from a normal distribution"
        + (", c the labels, one-hot for classes)" if dims["c"] else ")"),
        "output": "images: float32 in [-1, 1]",
    }

    def inputs(n: int) -> list[Tensor]:
        rng = np.random.RandomState(n)
        z = torch.from_numpy(rng.randn(n, dims["z"]).astype(np.float32))
        if not dims["c"]:
            return [z]
        return [z, torch.eye(dims["c"])[torch.arange(n) % dims["c"]]]

    module = FromLatents(network, psi).eval()
    return _export(module, [inputs(n) for n in (2, 1, 5)], names, {0: Dim("batch")}, metadata)


def _noise(shape: tuple[int, ...]) -> Tensor:
    values = np.random.RandomState(shape[2]).rand(*shape).astype(np.float32)
    return torch.from_numpy(values) * 2 - 1


def _export(
    module: nn.Module,
    cases: list[list[Tensor]],
    names: list[str],
    dynamic: dict[int, Dim],
    metadata: dict[str, str],
) -> tuple[bytes, float]:
    """Trace the first case, compare the results on the others."""
    content = _write(module, cases[0], names, dynamic, metadata)
    if importlib.util.find_spec("onnxruntime") is None:
        return content, float("nan")
    differences = list(_differences(content, module, cases[1:], names))
    worst, allowed = max(differences, key=lambda pair: pair[0] / pair[1])
    if not worst <= allowed:
        raise ConfigError(
            f"The ONNX file's results differ from torch's by up to {worst:.2g}, and {allowed:.2g} "
            "is allowed: nothing is written. Try other versions of onnxruntime and onnxscript, or "
            "use format=safetensors, which writes the weights alone."
        )
    return content, max(difference for difference, _ in differences)


def _write(
    module: nn.Module,
    inputs: list[Tensor],
    names: list[str],
    dynamic: dict[int, Dim],
    metadata: dict[str, str],
) -> bytes:
    import onnx_ir  # comes with onnxscript

    output = "translated" if names == ["pictures"] else "images"
    with _silenced():
        try:
            program = torch.onnx.export(
                module,
                tuple(inputs),
                dynamo=True,
                input_names=names,
                output_names=[output],
                dynamic_shapes=tuple(dynamic for _ in inputs),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error.__cause__ or error).strip().splitlines()[0][:200]
            raise ConfigError(
                f"{_class_name(module)} cannot be written as ONNX ({reason}); use "
                "format=safetensors, which writes its weights."
            ) from None
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


def _class_name(module: nn.Module) -> str:
    return type(module.generator if isinstance(module, FromLatents) else module).__name__


def _differences(
    content: bytes, module: nn.Module, cases: list[list[Tensor]], names: list[str]
) -> Iterator[tuple[float, float]]:
    """Yield for each case the largest absolute difference and the allowed one.

    The difference is infinite if onnxruntime rejects the case.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a rejected case is reported once, by us
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for case in cases:
        with torch.no_grad():
            expected = module(*case).numpy()
        if not np.isfinite(expected).all():
            raise ConfigError(
                f"The results of {_class_name(module)} are not finite: its training had diverged "
                "before this snapshot. Export an earlier one."
            )
        feed = dict(zip(names, (x.numpy() for x in case), strict=True))
        try:
            result = np.asarray(session.run(None, feed)[0])
        except Exception:  # onnxruntime's exceptions share no base class
            result = np.empty(0)
        if result.shape != expected.shape:
            yield float("inf"), TOLERANCE
            continue
        difference = float(np.abs(result - expected).max())
        allowed = TOLERANCE
        if not difference <= TOLERANCE:  # true for nan as well
            allowed = max(TOLERANCE, 4 * _rounding_error(module, case))
        yield difference, allowed


@torch.no_grad()
def _rounding_error(module: nn.Module, case: list[Tensor]) -> float:
    """Return the largest difference between torch's float32 and float64 results.

    Instance norm over feature maps of few pixels, as the smallest images have, amplifies it.
    """
    exact = copy.deepcopy(module).double()(*(x.double() for x in case))
    return float((module(*case) - exact).abs().max())


@contextmanager
def _silenced() -> Iterator[None]:
    """Hide torch's messages: hints at optional packages, and pages about a failure."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
