"""Mixed precision in recorded phases: each weight is cast once."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch.fx import GraphModule, Node

_CAST = torch.ops.aten._to_copy.default
_VIEWS = [torch.ops.aten.detach, torch.ops.aten.alias, torch.ops.aten.view]


def merge_casts(graph: GraphModule, weights: Iterable[Node]) -> None:
    """Let all uses of a weight share one cast to each dtype, in place.

    Autocast remembers the casts of one forward pass, and a phase may have several.

    Args:
        graph: operations that do not change the weights.
        weights: inputs of the graph.
    """
    for weight in weights:
        first: dict[Any, Node] = {}
        for cast in sorted(_casts(weight)):
            key = (cast.args[0].meta["val"].shape, *sorted(cast.kwargs.items()))  # type: ignore
            kept = first.setdefault(key, cast)
            if kept is not cast:
                cast.replace_all_uses_with(kept)
                graph.graph.erase_node(cast)
    graph.recompile()


def _casts(x: Node) -> Iterator[Node]:
    """Yield the casts of x and of views of it."""
    for user in list(x.users):
        if user.target is _CAST:
            yield user
        elif getattr(user.target, "overloadpacket", None) in _VIEWS:
            yield from _casts(user)
