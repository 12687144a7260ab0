"""Generators as ONNX files, compared with torch before anybody relies on them.

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

CLOSE = 1e-4  # of values in [-1, 1]: 1/80 of an 8-bit level


class FromLatents(nn.Module):
    """z [N, z_dim] (and labels c [N, label_dim]) -> image float32 [N, C, H, W] in [-1, 1].

    Truncation and the constant noise are part of it.
    """

    def __init__(self, generator: nn.Module, psi: float) -> None:
        super().__init__()
        self.generator = generator
        styled = hasattr(generator, "mapping") and hasattr(generator, "synthesis")
        self.settings = {"truncation_psi": psi, "noise_mode": "const"} if styled else {}

    def forward(self, z: Tensor, c: Tensor | None = None) -> Tensor:
        return self.generator(z, c, **self.settings).clamp(-1, 1)


def onnx_bytes(
    network: nn.Module, about: dict[str, str], *, channels: int = 3, psi: float = 1.0
) -> tuple[bytes, float]:
    """The content of an ONNX file, and how far onnxruntime's results are from torch's.

    Args:
        network: in eval mode on the CPU; with a `z_dim` it makes pictures from z and labels, else
            from pictures. The number of pictures is free, and so are the sides of pictures that
            are taken: multiples of the network's `size_multiple`.
        about: what else the file says of itself, beside its inputs and outputs.
        channels: of pictures that are taken.
        psi: truncation of a generator with w.

    Returns:
        The content; the largest absolute difference, nan without onnxruntime.

    Raises:
        ConfigError: torch cannot write this network, or the results differ by more than 1e-4 (or,
            where that is more, 4 times torch's own rounding).
    """
    if hasattr(network, "z_dim"):
        return _latent(network, about, psi)
    multiple = int(getattr(network, "size_multiple", 1))
    least = int(getattr(network, "least_side", multiple))
    low, high = (-(-side // multiple) * multiple for side in (max(least, 48), 256))
    # torch looks at the first; no side is 1 in any layer and none is another's, else it would take
    # them for constants or for the same.
    sizes = [
        (2, 2 * low, 3 * low),
        (2, low, 2 * low),
        (1, least, least),
        (1, high, high + multiple),
    ]
    sides = {"height": Dim("height", min=2), "width": Dim("width", min=2)}
    free = {0: Dim("batch"), 2: multiple * sides["height"], 3: multiple * sides["width"]}
    about = about | {
        "input": f"pictures: float32 [batch, {channels}, height, width] in [-1, 1]; height and "
        f"width are multiples of {multiple}, {least} or more",
        "output": "translated: float32 in [-1, 1], as high and as wide",
        "size_multiple": str(multiple),
    }
    cases = [[_noise((n, channels, h, w))] for n, h, w in sizes]
    return _checked(network, cases, ["pictures"], free, about)


def _latent(network: nn.Module, about: dict[str, str], psi: float) -> tuple[bytes, float]:
    dims = {"z": int(network.z_dim), "c": int(network.label_dim)}  # type: ignore[arg-type]
    names = [name for name, dim in dims.items() if dim]
    about = about | {
        "input": ", ".join(f"{name}: float32 [batch, {dims[name]}]" for name in names)
        + " (z from a normal distribution"
        + (", c the labels, one-hot for classes)" if dims["c"] else ")"),
        "output": "images: float32 in [-1, 1]",
    }

    def inputs(n: int) -> list[Tensor]:
        draw = np.random.RandomState(n)
        z = torch.from_numpy(draw.randn(n, dims["z"]).astype(np.float32))
        return [z, torch.eye(dims["c"])[torch.arange(n) % dims["c"]]] if dims["c"] else [z]

    module = FromLatents(network, psi).eval()
    return _checked(module, [inputs(n) for n in (2, 1, 5)], names, {0: Dim("batch")}, about)


def _noise(shape: tuple[int, ...]) -> Tensor:
    draw = np.random.RandomState(shape[2]).rand(*shape).astype(np.float32)
    return torch.from_numpy(draw) * 2 - 1


def _checked(
    module: nn.Module,
    cases: list[list[Tensor]],
    names: list[str],
    free: dict[int, Dim],
    about: dict[str, str],
) -> tuple[bytes, float]:
    """Written as the first case needs it, compared on the others."""
    content = _write(module, cases[0], names, free, about)
    if importlib.util.find_spec("onnxruntime") is None:
        return content, float("nan")
    found = list(_differences(content, module, cases[1:], names))
    worst, allowed = max(found, key=lambda pair: pair[0] / pair[1])
    if not worst <= allowed:
        raise ConfigError(
            f"The ONNX file's results differ from torch's by up to {worst:.2g}, and {allowed:.2g} "
            "is allowed: nothing is written. Try other versions of onnxruntime and onnxscript, or "
            "take format=safetensors, the weights alone."
        )
    return content, max(difference for difference, _ in found)


def _write(
    module: nn.Module,
    inputs: list[Tensor],
    names: list[str],
    free: dict[int, Dim],
    about: dict[str, str],
) -> bytes:
    import onnx_ir  # comes with onnxscript

    output = "translated" if names == ["pictures"] else "images"
    with _quiet():
        try:
            program = torch.onnx.export(
                module,
                tuple(inputs),
                dynamo=True,
                input_names=names,
                output_names=[output],
                dynamic_shapes=tuple(free for _ in inputs),
                external_data=False,
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            why = str(error.__cause__ or error).strip().splitlines()[0][:200]
            raise ConfigError(
                f"{_kind(module)} cannot be written as ONNX ({why}); format=safetensors "
                "writes its weights."
            ) from None
    assert program is not None
    model = program.model
    for node in model.graph.all_nodes():  # where on whose machine it was made
        node.metadata_props.clear()
        node.doc_string = None
    ends: list[Any] = [*model.graph.inputs, *model.graph.outputs]
    for value in ends:
        value.metadata_props.clear()
        value.shape = onnx_ir.Shape([_name(side) for side in value.shape])
    model.metadata_props.update(about)
    return program.model_proto.SerializeToString()


def _name(side: object) -> int | str:
    """torch writes "4*height", which not every program takes for a name."""
    return side if isinstance(side, int) else str(side).rpartition("*")[2]


def _kind(module: nn.Module) -> str:
    return type(module.generator if isinstance(module, FromLatents) else module).__name__


def _differences(
    content: bytes, module: nn.Module, cases: list[list[Tensor]], names: list[str]
) -> Iterator[tuple[float, float]]:
    """Per case the largest absolute difference, and what is allowed.

    The difference is infinite where the file does not take the case.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # a case it does not take is told once, by us
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    for case in cases:
        with torch.no_grad():
            expected = module(*case).numpy()
        if not np.isfinite(expected).all():
            raise ConfigError(
                f"The results of {_kind(module)} are not finite numbers: its training has diverged "
                "before this snapshot; export an older one."
            )
        fed = dict(zip(names, (x.numpy() for x in case), strict=True))
        try:
            found = np.asarray(session.run(None, fed)[0])
        except Exception:  # onnxruntime's exceptions have no base of their own
            found = np.empty(0)
        if found.shape != expected.shape:
            yield float("inf"), CLOSE
            continue
        difference = float(np.abs(found - expected).max())
        yield difference, CLOSE if difference <= CLOSE else max(CLOSE, 4 * _rounding(module, case))


@torch.no_grad()
def _rounding(module: nn.Module, case: list[Tensor]) -> float:
    """How far torch's own float32 result is from that of float64.

    Instance norm over a map of few pixels, as the smallest pictures have, can enlarge it.
    """
    exact = copy.deepcopy(module).double()(*(x.double() for x in case))
    return float((module(*case) - exact).abs().max())


@contextmanager
def _quiet() -> Iterator[None]:
    """torch tells of packages it could do without, and of a failure page by page."""
    before = logging.root.manager.disable
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
        logging.disable(before)
