"""What a GAN does in a step: phases, in which players descend losses of a batch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """Training progress: `index` counts optimizer steps, `nimg` the images seen before this one.

    `seed` is for random numbers that all microbatches and ranks have to share; torch's own
    generators give each microbatch its own.
    """

    index: int
    nimg: int
    seed: int = 0


def _nothing(batch: Batch, step: Step) -> Batch:
    """Prepare nothing."""
    return {}


@dataclass(frozen=True)
class Phase:
    """One kind of update: `player` descends `losses` once every `interval` steps.

    A player is an attribute of the GAN with an optimizer of its own. Several ones descend the same
    losses by one backward pass, and step in turn.

    `losses` is a generator: each dict it yields is one backward pass. Its entries are scalar means
    over the microbatch; they are summed for the gradient and logged as "loss/<phase>/<name>". An
    entry without a gradient is only logged, as "score/<phase>/<name>". Code after a yield runs
    after that backward, so graphs of two yields must not share nodes. A phase may leave detached
    tensors in the batch for later phases of the same step.

    `prepare` runs before `losses` and returns entries of the batch for them alone: all that depends
    on the step, on random numbers drawn on the host, or on plain Python state. So the losses are
    the same operations in every step, and can be compiled or captured as a CUDA graph. A choice
    between two kinds of losses is made by which entries there are.

    A phase that `continues` an earlier one draws its random numbers, so it can repeat its forward
    pass; unrecorded, in one microbatch of one rank, what that one left in the batch has its graph.
    """

    name: str  # "G", "G_pl", "D", "D_r1": log prefix and timer
    player: str | tuple[str, ...]  # such as "G" or "D"
    losses: Callable[[Batch, Step], Iterator[dict[str, Tensor]]]
    interval: int = 1  # > 1: every so many steps only
    full_precision: bool = False  # a penalty: the engine runs it outside autocast
    # Of interval > 1: lazy regularization, whose loss the engine multiplies by the interval. False:
    # a player that just steps less often, such as a generator after every n-th step of its critic.
    lazy: bool = True
    prepare: Callable[[Batch, Step], Batch] = _nothing
    continues: str = ""  # name of an earlier phase of the same player and interval

    @property
    def players(self) -> tuple[str, ...]:
        """The names of the players."""
        return (self.player,) if isinstance(self.player, str) else self.player
