"""Buffers of a module that change during training."""

# torch._foreach_* is private in name only.
# pyright: reportPrivateImportUsage=false

from collections import defaultdict
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn


def moving_buffers(module: nn.Module) -> list[Tensor]:
    """Return all buffers except those that their modules list in `constant_buffers`.

    The buffers of a module without such a list all count as changing.
    """
    return [*_moving(module)]


def _moving(module: nn.Module) -> Iterator[Tensor]:
    for submodule in module.modules():
        constant = getattr(submodule, "constant_buffers", ())
        for name, buffer in submodule.named_buffers(recurse=False):
            if name not in constant:
                yield buffer


@torch.no_grad()
def copy_all(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
    """Copy every source to its target, with one kernel launch per dtype instead of one per tensor.

    Args:
        targets: tensors to overwrite, on one device.
        sources: of the same shapes and dtypes, in the same order.

    Raises:
        ValueError: the sequences differ in length.
    """
    # Grouped, because _foreach_copy_ falls back to one kernel per tensor for mixed dtypes.
    by_type: defaultdict[torch.dtype, tuple[list[Tensor], list[Tensor]]] = defaultdict(
        lambda: ([], [])
    )
    for target, source in zip(targets, sources, strict=True):
        same_type_targets, same_type_sources = by_type[target.dtype]
        same_type_targets.append(target)
        same_type_sources.append(source)
    for same_type_targets, same_type_sources in by_type.values():
        torch._foreach_copy_(same_type_targets, same_type_sources)
