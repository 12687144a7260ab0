"""The buffers of a module that change while it trains."""

# torch._foreach_* is private in name only.
# pyright: reportPrivateImportUsage=false

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


def moving_buffers(module: nn.Module) -> list[Tensor]:
    """All buffers but those that their modules name as `constant_buffers`.

    A module that names none is believed to change all of them.
    """
    return [*_moving(module)]


def _moving(module: nn.Module) -> Iterator[Tensor]:
    for part in module.modules():
        constant = getattr(part, "constant_buffers", ())
        for name, buffer in part.named_buffers(recurse=False):
            if name not in constant:
                yield buffer


@torch.no_grad()
def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """target <- source for every pair, in one launch per dtype rather than one each."""
    by_type: defaultdict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = defaultdict(
        lambda: ([], [])
    )
    for target, source in zip(targets, sources, strict=True):
        mine, theirs = by_type[target.dtype]
        mine.append(target)
        theirs.append(source)
    for mine, theirs in by_type.values():
        torch._foreach_copy_(mine, theirs)
