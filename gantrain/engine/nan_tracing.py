"""Find the origin of a NaN or infinity by repeating a step with every operation watched."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gantrain.engine.running_buffers import SMALL
from gantrain.gans.base import GAN, Batch, RankLocal

# Operations whose result is uninitialized memory or a constant: an infinity there is on purpose.
_NOT_COMPUTED = ("empty", "new_empty", "full", "new_full", "fill", "scalar_tensor", "masked_fill")


def save_buffers(module: nn.Module) -> Callable[[], None]:
    """Save the small buffers (running means, mostly), and return a function that restores them."""
    # Large buffers are constants, see `running_buffers.SMALL`; copying them would cost time.
    buffers = [b for b in module.buffers() if b.numel() < SMALL]
    before = [b.detach().clone() for b in buffers]

    @torch.no_grad()
    def restore() -> None:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)

    return restore


def save_state(gan: GAN) -> Callable[[], None]:
    """Save all that a forward pass may change, pools included; return a function to restore it."""
    restore_buffers = save_buffers(gan)
    local_states = [(m, m.get_extra_state()) for m in gan.modules() if isinstance(m, RankLocal)]

    def restore() -> None:
        restore_buffers()
        for module, state in local_states:
            module.set_extra_state(state)

    return restore


def check_inputs(gan: GAN, batch: Batch, names: Sequence[str]) -> str:
    """Describe what is not finite before anything is computed.

    Args:
        gan: its weights and buffers are checked.
        batch: its entries are checked.
        names: the entries to check; others were computed by a phase.

    Returns:
        A clause such as "'a' of the batch was not finite ...", or "" if all is finite.
    """
    for name in names:
        x = batch[name]
        if x.is_floating_point() and not bool(torch.isfinite(x).all()):
            bad = [i for i, image in enumerate(x) if not bool(torch.isfinite(image).all())]
            return f"{name!r} of the batch was not finite (items {bad} of {len(x)})"
    for kind, tensors in (("weight", gan.named_parameters()), ("buffer", gan.named_buffers())):
        for name, x in tensors:
            if x.is_floating_point() and not bool(torch.isfinite(x).all()):
                return f"the {kind} {name} was not finite before the step"
    return ""


class NonFiniteWatch(TorchDispatchMode):
    """A dispatch mode that records the first operation with a result that is not finite.

    Attributes:
        origin: a clause that names the operation and its module; "" while all was finite.
    """

    def __init__(self, gan: GAN) -> None:
        super().__init__()
        self.origin = ""
        self._gan = gan
        self._forward_stack: list[str] = []  # modules whose forward is running
        self._backward_module = ""  # the module that the backward pass has reached
        self._hooked: dict[int, Any] = {}  # graph nodes by id; holding them keeps the ids unique

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        # Only the first one is of interest: what is computed from it is not finite either.
        if not self.origin and not func.overloadpacket.__name__.startswith(_NOT_COMPUTED):
            bad = [
                x
                for x in tree_leaves(result)
                if isinstance(x, Tensor)
                and x.is_floating_point()
                and not bool(torch.isfinite(x).all())
            ]
            if bad:
                self.origin = self._describe(func, args, bad[0])
        return result

    def _describe(self, func: Any, args: Any, result: Tensor) -> str:
        kind = "NaN" if bool(result.isnan().any()) else "infinity"
        module = self._forward_stack[-1] if self._forward_stack else self._backward_module
        where = f"in {module}" if module else "in the loss itself"
        # A double backward runs a forward pass during the backward pass: the forward wins.
        backward = self._backward_module and not self._forward_stack
        direction = " in the backward pass" if backward else ""
        maxima = [
            float(x.abs().max())
            for x in tree_leaves(args)
            if isinstance(x, Tensor) and x.is_floating_point() and x.numel()
        ]
        magnitudes = ", ".join(f"{value:.3g}" for value in maxima)
        inputs = f" from inputs of at most {magnitudes}" if maxima else ""
        return f"the first {kind} came {where}{direction}, from {func.overloadpacket}{inputs}"

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch the operations in the block and track which module runs them."""
        handles, players = [], self._gan.players()
        for name, module in self._gan.named_modules():
            # Not the GAN itself nor its augmentations: an operation there is reported as "the
            # loss".
            if name.partition(".")[0] in players and not isinstance(module, nn.ModuleDict):
                label = f"{name} ({type(module).__name__})"
                handles += [
                    module.register_forward_pre_hook(self._enter(label)),
                    module.register_forward_hook(self._exit(label), always_call=True),
                ]
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any) -> None:
            self._forward_stack.append(name)
            self._backward_module = ""

        return hook

    def _exit(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, result: Any) -> None:
            self._forward_stack.pop()
            for x in tree_leaves(result):
                node = x.grad_fn if isinstance(x, Tensor) else None
                if node is not None and id(node) not in self._hooked:
                    self._hooked[id(node)] = node
                    # Backward enters a module at the node that produced its output
                    node.register_prehook(lambda _: self._enter_backward(name))

        return hook

    def _enter_backward(self, name: str) -> None:
        self._backward_module = name
