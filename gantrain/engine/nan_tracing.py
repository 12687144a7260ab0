"""Where a number that is not finite came from: a step once more, with every operation watched."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gantrain.engine.running_buffers import SMALL
from gantrain.gans.base import GAN, Batch, RankLocal

# What these return was not computed: memory as it was, or a constant that somebody wanted.
_NOT_COMPUTED = ("empty", "new_empty", "full", "new_full", "fill", "scalar_tensor", "masked_fill")


def remember_buffers(gan: GAN) -> Callable[[], None]:
    """Keep the small buffers, running means for the most part; the result puts them back."""
    buffers = [b for b in gan.buffers() if b.numel() < SMALL]
    before = [b.detach().clone() for b in buffers]

    @torch.no_grad()
    def restore() -> None:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)

    return restore


def save_state(gan: GAN) -> Callable[[], None]:
    """The same for all that a forward pass may change: pools, too."""
    restore_buffers = remember_buffers(gan)
    local = [(m, m.get_extra_state()) for m in gan.modules() if isinstance(m, RankLocal)]

    def restore() -> None:
        restore_buffers()
        for module, state in local:
            module.set_extra_state(state)

    return restore


def check_inputs(gan: GAN, batch: Batch, names: Sequence[str]) -> str:
    """What is not finite before anything is computed; "": nothing."""
    for name in names:
        x = batch[name]
        if x.is_floating_point() and not bool(torch.isfinite(x).all()):
            bad = [i for i, image in enumerate(x) if not bool(torch.isfinite(image).all())]
            return f"{name!r} of the batch was not finite (numbers {bad} of {len(x)})"
    for kind, tensors in (("weight", gan.named_parameters()), ("buffer", gan.named_buffers())):
        for name, x in tensors:
            if x.is_floating_point() and not bool(torch.isfinite(x).all()):
                return f"the {kind} {name} was not finite before the step"
    return ""


class NonFiniteWatch(TorchDispatchMode):
    """While it is on: remembers the first operation whose result is not finite."""

    def __init__(self, gan: GAN) -> None:
        super().__init__()
        self.found = ""
        self._gan = gan
        self._inside: list[str] = []  # modules whose forward runs
        self._behind = ""  # the module that the backward pass has come to
        self._known: dict[int, Any] = {}  # graph nodes with a hook; kept, so that ids stay theirs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not self.found and not func.overloadpacket.__name__.startswith(_NOT_COMPUTED):
            bad = [
                x
                for x in tree_leaves(result)
                if isinstance(x, Tensor)
                and x.is_floating_point()
                and not bool(torch.isfinite(x).all())
            ]
            if bad:
                self.found = self._sentence(func, args, bad[0])
        return result

    def _sentence(self, func: Any, args: Any, result: Tensor) -> str:
        kind = "NaN" if bool(result.isnan().any()) else "infinity"
        place = self._inside[-1] if self._inside else self._behind
        where = f"in {place}" if place else "in the loss itself"
        way = "" if self._inside else " in the backward pass" if self._behind else ""
        sizes = [
            float(x.abs().max())
            for x in tree_leaves(args)
            if isinstance(x, Tensor) and x.is_floating_point() and x.numel()
        ]
        told = ", ".join(f"{size:.3g}" for size in sizes)
        largest = f" from numbers of at most {told}" if sizes else ""
        return f"the first {kind} came {where}{way}, of {func.overloadpacket}{largest}"

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follows which module is at work."""
        handles = []
        for name, module in self._gan.named_modules():
            if name.partition(".")[0] in ("G", "D") and not isinstance(module, nn.ModuleDict):
                told = f"{name} ({type(module).__name__})"
                handles += [
                    module.register_forward_pre_hook(self._enter(told)),
                    module.register_forward_hook(self._leave(told), always_call=True),
                ]
        try:
            with self:
                yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any) -> None:
            self._inside.append(name)
            self._behind = ""

        return hook

    def _leave(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, result: Any) -> None:
            self._inside.pop()
            for x in tree_leaves(result):
                node = x.grad_fn if isinstance(x, Tensor) else None
                if node is not None and id(node) not in self._known:
                    self._known[id(node)] = node
                    node.register_prehook(lambda _: self._come_to(name))

        return hook

    def _come_to(self, name: str) -> None:
        self._behind = name
