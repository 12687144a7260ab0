"""What exports of whole networks share: inputs, dynamic sizes, and the comparison with torch."""

import copy
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Graph:
    """A network to be traced.

    Args:
        module: in eval mode on the CPU.
        cases: inputs of different sizes; the first is traced, the others are for comparison.
        inputs: names of the inputs.
        output: name of the output.
        dynamic: dimensions of every input that may have any size.
        about: what the network takes and gives, by name.
    """

    module: nn.Module
    cases: list[list[Tensor]]
    inputs: list[str]
    output: str
    dynamic: dict[int, Dim]
    about: dict[str, str]

    @property
    def name(self) -> str:
        """Class of the network."""
        module = self.module
        return type(module.generator if isinstance(module, FromLatents) else module).__name__

    def refuse(self, format_name: str, error: Exception) -> ConfigError:
        """Return the error about a network that cannot be traced."""
        text = str(error.__cause__ or error).strip() or type(error).__name__
        return ConfigError(
            f"{self.name} cannot be written as {format_name} ({text.splitlines()[0][:200]}); use "
            "format=safetensors, which writes its weights."
        )


def make_graph(network: nn.Module, *, channels: int = 3, psi: float = 1.0) -> Graph:
    """Return a network with its inputs.

    The batch size is dynamic; so are the sides of input images, multiples of the network's
    `size_multiple`.

    Args:
        network: in eval mode on the CPU; with a `z_dim` its inputs are latents and labels,
            otherwise images.
        channels: channels of input images.
        psi: truncation of a generator with w.
    """
    if hasattr(network, "z_dim"):
        return _from_latents(network, psi)
    multiple = int(getattr(network, "size_multiple", 1))
    least = int(getattr(network, "least_side", multiple))
    low, high = (-(-side // multiple) * multiple for side in (max(least, 48), 256))
    # torch traces the first size. There no side is 1 in any layer (it would become a constant) and
    # no two sides are equal (they would become one dynamic size).
    sizes = [
        (2, 2 * low, 3 * low),
        (2, low, 2 * low),
        (1, least, least),
        (1, high, high + multiple),
    ]
    smallest = -(-least // multiple)
    sides = {side: Dim(side, min=smallest) for side in ("height", "width")}
    dynamic = {0: Dim("batch"), 2: multiple * sides["height"], 3: multiple * sides["width"]}
    # The input is called "pictures" in the files; a new name would break their users' code.
    about = {
        "input": f"pictures: float32 [batch, {channels}, height, width] in [-1, 1]; height and "
        f"width are multiples of {multiple}, {least} or more",
        "output": "translated: float32 in [-1, 1], as high and as wide",
        "size_multiple": str(multiple),
    }
    cases = [[_noise((n, channels, h, w))] for n, h, w in sizes]
    return Graph(network, cases, ["pictures"], "translated", dynamic, about)


def _from_latents(network: nn.Module, psi: float) -> Graph:
    labels = int(getattr(network, "label_dim", 0))
    dims = {"z": int(network.z_dim), "c": labels}  # type: ignore[arg-type]
    names = [name for name, dim in dims.items() if dim]
    about = {
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
    cases = [inputs(n) for n in (2, 1, 5)]
    return Graph(module, cases, names, "images", {0: Dim("batch")}, about)


def _noise(shape: tuple[int, ...]) -> Tensor:
    values = np.random.RandomState(shape[2]).rand(*shape).astype(np.float32)
    return torch.from_numpy(values) * 2 - 1


def compare(
    graph: Graph, run: Callable[[Sequence[Tensor]], np.ndarray | None], what: str, fix: str
) -> float:
    """Return the largest difference of an export's results from torch's, over all sizes.

    Args:
        graph: the network.
        run: the export; None: it rejects these inputs.
        what: whose results they are, for the sentence.
        fix: what to try, for the sentence.

    Raises:
        ConfigError: the results differ by more than 1e-4 or 4 times torch's own float32 rounding,
            whichever is larger, or are not finite.
    """
    differences = list(_differences(graph, run))
    worst, allowed = max(differences, key=lambda pair: pair[0] / pair[1])
    if not worst <= allowed:
        raise ConfigError(
            f"{what} results differ from torch's by up to {worst:.2g}, and {allowed:.2g} is "
            f"allowed: nothing is written. {fix}, or use format=safetensors, which writes the "
            "weights alone."
        )
    return max(difference for difference, _ in differences)


def _differences(
    graph: Graph, run: Callable[[Sequence[Tensor]], np.ndarray | None]
) -> Iterator[tuple[float, float]]:
    """Yield for each case the largest absolute difference and the allowed one.

    The difference is infinite if the export rejects the case.
    """
    for case in graph.cases[1:]:
        with torch.no_grad():
            expected = graph.module(*case).numpy()
        if not np.isfinite(expected).all():
            raise ConfigError(
                f"The results of {graph.name} are not finite: its training had diverged before "
                "this snapshot. Export an earlier one."
            )
        result = run(case)
        if result is None or result.shape != expected.shape:
            yield float("inf"), TOLERANCE
            continue
        difference = float(np.abs(result - expected).max())
        allowed = TOLERANCE
        if not difference <= TOLERANCE:  # true for nan as well
            allowed = max(TOLERANCE, 4 * _rounding_error(graph.module, case))
        yield difference, allowed


@torch.no_grad()
def _rounding_error(module: nn.Module, case: list[Tensor]) -> float:
    """Return the largest difference between torch's float32 and float64 results.

    Instance norm over feature maps of few pixels, as the smallest images have, amplifies it.
    """
    exact = copy.deepcopy(module).double()(*(x.double() for x in case))
    return float((module(*case) - exact).abs().max())


@contextmanager
def silenced() -> Iterator[None]:
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
