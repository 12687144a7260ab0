"""Phases recorded once and run as one piece: compiled, as a CUDA graph, or both.

A phase's losses are Python code that launches some thousand small operations. `make_fx` records
them with all their gradients, those of the penalties' gradients included, as one list of
operations, which torch.compile fuses. A CUDA graph launches what was recorded at once.
"""

import itertools
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx

from gantrain.engine import memory, seeding
from gantrain.engine.gradients import Context, Values, backpropagate
from gantrain.engine.weight_casts import merge_casts
from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, Batch, Phase, Step
from gantrain.ops.tracing import recording

COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"
# (the GAN's parameters and buffers, the entries of the microbatch) -> (the values, the gradients
# of the players' parameters, the entries that the phase leaves in the microbatch)
Function = Callable[[list[Tensor], list[Tensor]], tuple[list[Tensor], list[Any], list[Tensor]]]


class RecordedPhases:
    """The phases of a GAN, each recorded when it is first run with inputs of new shapes.

    Random numbers are those of the same phase without a recording, and so are all results but for
    the rounding of a compiler that reorders sums.

    Args:
        gan: the model, on its device.
        compiled: fuse the operations with torch.compile.
        cuda_graphs: launch each phase as one CUDA graph.
        say: receives a sentence about each recording.
        backend: what torch.compile compiles with.
    """

    def __init__(
        self,
        gan: GAN,
        compiled: bool,
        cuda_graphs: bool,
        say: Callable[[str], None] = lambda _: None,
        backend: str = "inductor",
    ) -> None:
        self.gan, self.compiled, self.cuda_graphs, self.say = gan, compiled, cuda_graphs, say
        self.backend = backend
        self._phases: dict[Any, RecordedPhase] = {}
        self._seconds: dict[str, tuple[float, float]] = {}  # of each phase, plain and compiled
        # One pool: a phase may use the memory that another one has finished with.
        self._pool = torch.cuda.graph_pool_handle() if cuda_graphs else None

    @property
    def count(self) -> int:
        """The number of recordings."""
        return len(self._phases)

    def record(
        self, phase: Phase, batch: Batch, weight: float, forward: Context
    ) -> "RecordedPhase":
        """Return the recorded phase for inputs like these, made now if there is none.

        Raises:
            ConfigError: the phase cannot be recorded.
        """
        shapes = [(name, x.shape, x.stride(), x.dtype) for name, x in batch.items()]
        key = (phase.name, weight, *shapes)
        if key not in self._phases:
            start = time.perf_counter()
            recorded = RecordedPhase(self.gan, phase, batch, weight, forward)
            with _state_restored(self.gan):
                recorded.rehearse(batch)
                with self._failures(phase, "compile"):
                    if self.compiled:
                        recorded.compile(batch, self.backend)
                        on_cpu = next(self.gan.parameters()).device.type == "cpu"
                        if on_cpu and phase.name not in self._seconds:
                            self._seconds[phase.name] = recorded.compare(batch)
                with self._failures(phase, "cuda_graphs"):
                    if self.cuda_graphs:
                        recorded.capture(batch, self._pool)
            verb = "Compiled" if self.compiled else "Recorded"
            self.say(f"{verb} phase {phase.name} in {time.perf_counter() - start:.0f} s.")
            self._phases[key] = recorded
        return self._phases[key]

    def report_speed(self) -> None:
        """Say so if a step is slower than without compiling; measured on a CPU alone.

        There, libraries compute most of a step, and compilers can do little for the rest.
        """
        steps = {phase.name: 1 / phase.interval for phase in self.gan.phases()}
        plain, compiled = (
            sum(steps[name] * both[i] for name, both in self._seconds.items()) for i in range(2)
        )
        if compiled > plain:
            self.say(
                f"Compiled, a step takes {compiled:.3g} s here and without compiling {plain:.3g} "
                "s: runtime.compile=false is faster."
            )

    @contextmanager
    def _failures(self, phase: Phase, key: str) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if memory.is_exhausted(error):
                raise
            # "backend='inductor' raised:" in front of the reason
            lines = [line for line in str(error).strip().splitlines() if not line.endswith(":")]
            reason = lines[0].strip().rstrip(".") if lines else type(error).__name__
            fix = f"add runtime.{key}=false"
            if folder := key == "compile" and os.environ.get(COMPILER_CACHE):
                fix += (
                    f", or delete {folder}, which a start killed while compiling may have damaged"
                )
            raise ConfigError(
                f"phase {phase.name} of {type(self.gan).__name__} cannot be recorded ({reason}): "
                f"{fix}."
            ) from error


class RecordedPhase:
    """A phase for inputs of fixed shapes.

    Args:
        gan: the model.
        phase: one of its phases.
        batch: entries of the names, shapes and dtypes of all later batches.
        weight: factor of its losses.
        forward: () -> the context of forward passes.
    """

    def __init__(
        self, gan: GAN, phase: Phase, batch: Batch, weight: float, forward: Context
    ) -> None:
        self.gan, self.phase = gan, phase
        _check_modules(gan)
        self._module = _Losses(gan, phase, weight, forward)
        tensors = {f"gan.{name}": x for name, x in gan.named_parameters()}
        self._trained = [
            f"gan.{player}.{name}"
            for player in phase.players
            for name, _ in getattr(gan, player).named_parameters()
        ]
        self._parameters = tensors.keys()
        tensors = {**tensors, **{f"gan.{name}": x for name, x in gan.named_buffers()}}
        self._shapes = {name: x.shape for name, x in tensors.items()}
        self._entries = {name: x.shape for name, x in batch.items()}
        self._function: Function = self._run_eagerly
        self._graph: _CudaGraph | None = None

    def run(self, batch: Batch) -> tuple[Values, Batch]:
        """Add the gradients to the parameters' .grad; return the values and the entries it leaves.

        Args:
            batch: entries of the names, shapes and dtypes of the recording.
        """
        tensors, inputs = self.arguments(batch)
        if self._graph:
            values, gradients, left = self._graph.run(inputs)
        else:
            with torch.no_grad():
                values, gradients, left = self._function(tensors, inputs)
        self._add_gradients(gradients)
        named = list(zip(self._module.values, values, strict=True))
        return named, dict(zip(self.left, left, strict=True))

    def rehearse(self, batch: Batch) -> Batch:
        """Run the phase without recording it; return the entries that it leaves.

        Libraries choose their algorithms, and constants are kept as tensors with values, which a
        recording would make without.

        Raises:
            ConfigError: it draws random numbers on the host, which a recording would repeat.
        """
        before = _host_random_state(batch)
        left = self._run_eagerly(*self.arguments(batch))[2]
        if _host_random_state(batch) != before:
            raise ConfigError(
                f"phase {self.phase.name} of {type(self.gan).__name__} draws random numbers on the "
                "host, and a recording would repeat them: draw them in Phase.prepare, or add "
                "runtime.compile=false runtime.cuda_graphs=false."
            )
        return dict(zip(self.left, left, strict=True))

    @property
    def left(self) -> list[str]:
        """The names of the entries that it left in the batch when it was run or traced."""
        return self._module.left

    def arguments(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """Return the arguments of the phase as a `Function`."""
        # Detached: whether a weight is trained at the moment must not matter to the compiler.
        own = (*self.gan.parameters(), *self.gan.buffers())
        tensors = [_at_least_1d(x.detach()) for x in own]
        return tensors, [_at_least_1d(batch[name]) for name in self._entries]

    def trace(self, batch: Batch) -> torch.fx.GraphModule:
        """Return losses and gradients as a graph: a `Function` without values and branches."""

        def function(tensors: list[Tensor], inputs: list[Tensor]) -> Any:  # no method: it has self
            return self._run_eagerly(tensors, inputs)

        with recording():
            graph = make_fx(function, tracing_mode="fake", _allow_non_fake_inputs=True)(
                *self.arguments(batch)
            )
        merge_casts(graph, itertools.islice(graph.graph.nodes, len(self._parameters)))
        return graph

    def compile(self, batch: Batch, backend: str) -> None:
        """Compile the phase: one graph without breaks, for these shapes alone."""
        # The random numbers of the eager phase, instead of the compiler's own.
        options: Any = {"fallback_random": True} if backend == "inductor" else None
        compiled = torch.compile(
            self.trace(batch), fullgraph=True, dynamic=False, backend=backend, options=options
        )
        self._function = cast(Function, compiled)
        with torch.no_grad():
            self._function(*self.arguments(batch))  # the first call compiles

    def compare(self, batch: Batch) -> tuple[float, float]:
        """Return the least seconds of a few runs, plain and compiled."""
        seconds: list[list[float]] = [[], []]
        for _ in range(3):
            for function, times in zip((self._run_eagerly, self._function), seconds, strict=True):
                arguments = self.arguments(batch)
                begin = time.perf_counter()
                with torch.no_grad():
                    function(*arguments)
                times.append(time.perf_counter() - begin)
        return min(seconds[0]), min(seconds[1])

    def capture(self, batch: Batch, pool: Any) -> None:
        """Capture the phase, compiled or not, as a CUDA graph."""
        tensors, inputs = self.arguments(batch)
        with torch.no_grad():
            self._graph = _CudaGraph(lambda inputs: self._function(tensors, inputs), inputs, pool)

    def _run_eagerly(self, tensors: list[Tensor], inputs: list[Tensor]) -> Any:
        """Compute values, gradients and left entries without touching the GAN's own .grad."""
        state, batch = _shaped(tensors, self._shapes), _shaped(inputs, self._entries)
        for name in self._parameters:  # leaves of this graph alone
            state[name] = state[name].detach().requires_grad_(name in self._trained)
        with torch.enable_grad():
            values, left = functional_call(self._module, state, (batch,))
        return values, [state[name].grad for name in self._trained], left

    def _add_gradients(self, gradients: list[Any]) -> None:
        parameters = (p for x in self.phase.players for p in getattr(self.gan, x).parameters())
        for p, gradient in zip(parameters, gradients, strict=True):
            if gradient is None:
                continue
            if p.grad is not None:
                p.grad += gradient
            else:
                # The memory of a CUDA graph's results is written again by its next run.
                p.grad = gradient.clone() if self._graph else gradient


class _Losses(nn.Module):
    """The losses of a phase as a module, so that `functional_call` can exchange its tensors.

    Attributes:
        values: the names of the values of the last call.
        left: the names of the entries that the last call left in the batch.
    """

    def __init__(self, gan: GAN, phase: Phase, weight: float, forward: Context) -> None:
        super().__init__()
        self.gan, self.phase, self.weight, self.context = gan, phase, weight, forward
        self.values: list[str] = []
        self.left: list[str] = []

    def forward(self, batch: Batch) -> tuple[list[Tensor], list[Tensor]]:
        """Accumulate gradients; return the values and the entries left in the batch."""
        seen = dict(batch)
        step = cast(Step, _UnreadableStep(self.phase.name))
        buffers = dict(self.gan.named_buffers())
        values = backpropagate(self.phase, seen, {}, step, self.weight, self.context)
        for name, x in self.gan.named_buffers():
            if x is not buffers.get(name):
                raise ConfigError(
                    f"the losses of phase {self.phase.name} replace the buffer {name}, which a "
                    "recording would not see: change it in place, such as by copy_()."
                )
        self.values = [name for name, _ in values]
        self.left = [name for name, x in seen.items() if x is not batch.get(name)]
        return [x for _, x in values], [seen[name] for name in self.left]


class _UnreadableStep:
    """Stands in for the step while a phase is recorded: a recording is for all steps."""

    def __init__(self, phase: str) -> None:
        self._phase = phase

    def __getattr__(self, name: str) -> int:
        raise ConfigError(
            f"the losses of phase {self._phase} read step.{name}, which a recording would keep for "
            "all steps: read it in Phase.prepare, or add runtime.compile=false "
            "runtime.cuda_graphs=false."
        )


class _CudaGraph:
    """A function as a CUDA graph, with inputs and results at fixed addresses.

    Args:
        function: inputs -> (values, gradients, left entries).
        inputs: inputs of the shapes and dtypes of all later ones.
        pool: the memory pool, see `torch.cuda.graph_pool_handle`.
    """

    def __init__(self, function: Callable[[list[Tensor]], Any], inputs: list[Tensor], pool: Any):
        self._inputs = [x.clone() for x in inputs]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), recording():
            for _ in range(2):  # what is chosen or allocated once must not be part of the graph
                function(self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # "thread_local": other threads, such as that of pinned memory, may use CUDA meanwhile.
        with (
            recording(),
            torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"),
        ):
            self._results = function(self._inputs)

    def run(self, inputs: list[Tensor]) -> Any:
        """Replay the graph. Values and gradients are overwritten by the next run."""
        for mine, x in zip(self._inputs, inputs, strict=True):
            mine.copy_(x, non_blocking=True)
        self._graph.replay()
        values, gradients, left = self._results
        # Later phases, and pools of images, keep these.
        return values, gradients, [x.clone() for x in left]


def _check_modules(gan: GAN) -> None:
    """Refuse a module of two names: `functional_call` would exchange its tensors only once."""
    names: dict[int, str] = {}
    for name, module in gan.named_modules(remove_duplicate=False):
        has_tensors = bool(module._parameters or module._buffers)
        if has_tensors and names.setdefault(id(module), name) != name:
            raise ConfigError(
                f"{names[id(module)]} and {name} of {type(gan).__name__} are one module, which "
                "cannot be recorded: register it once, or add runtime.compile=false "
                "runtime.cuda_graphs=false."
            )


def _at_least_1d(x: Tensor) -> Tensor:
    # torch.compile takes float64 scalars in the CPU's memory for Python's numbers, and what is
    # written to them is lost.
    return x.view(1) if x.dim() == 0 else x


def _shaped(tensors: list[Tensor], shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Return the tensors by name; undoes `_at_least_1d`."""
    named = zip(shapes.items(), tensors, strict=True)
    return {name: x if shape else x.view(()) for (name, shape), x in named}


@contextmanager
def _state_restored(gan: GAN) -> Iterator[None]:
    """Restore the GAN's buffers and torch's random numbers after the block."""
    buffers = list(gan.buffers())
    before = [b.detach().clone() for b in buffers]
    with seeding.state_kept():
        try:
            yield
        finally:
            with torch.no_grad():
                for buffer, value in zip(buffers, before, strict=True):
                    buffer.copy_(value)


def _host_random_state(batch: Batch) -> list[Any]:
    """Return what changes if random numbers are drawn on the host."""
    _, keys, *rest = np.random.get_state()
    state: list[Any] = [random.getstate(), np.asarray(keys).tolist(), rest]
    if any(x.device.type != "cpu" for x in batch.values()):  # on a CPU, torch's own are recorded
        state.append(torch.default_generator.get_state().tolist())
    return state
