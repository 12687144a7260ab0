"""The state that differs between ranks: image pools, and the sums since the last report."""

from typing import Any

from gantrain.engine.memory import to_cpu
from gantrain.engine.phase import PhaseRunner
from gantrain.gans.base import RankLocal
from gantrain.tracking.stats import merge_states


class RankState:
    """Collects this state from all ranks, and deals it to as many or to another number of them.

    Args:
        runner: has the GAN, the sums and the ranks.
    """

    def __init__(self, runner: PhaseRunner) -> None:
        self.runner = runner
        # No saved states yet: this sets each rank's share of the pools.
        self._deal([])

    def gan_state(self) -> dict[str, Any]:
        """Return the GAN's state dict without what differs between ranks."""
        local = [f"{name}._extra_state" for name, _ in self._modules()]
        return {key: x for key, x in self.runner.gan.state_dict().items() if key not in local}

    def gather(self) -> list[dict[str, Any]]:
        """Return the state of every rank, on the CPU. All ranks must call it together."""
        local = {name: module.get_extra_state() for name, module in self._modules()}
        stats = self.runner.stats.state_dict()
        return self.runner.world.gather(to_cpu({"local": local, "stats": stats}))

    def load(self, gan_state: dict[str, Any], ranks: list[dict[str, Any]]) -> None:
        """Restore the GAN and the sums; the number of ranks may have changed.

        Args:
            gan_state: from `gan_state`.
            ranks: from `gather`.
        """
        # Any rank's will do here: strict loading wants the keys, `_deal` the content.
        local = {f"{name}._extra_state": x for name, x in ranks[0]["local"].items()}
        self.runner.gan.load_state_dict({**gan_state, **local})
        self._deal(ranks)
        world, device = self.runner.world, self.runner.precision.device
        if len(ranks) == world.size:
            self.runner.stats.load_state_dict(ranks[world.rank]["stats"], device)
        # On another number of ranks, rank 0 carries the sums of all.
        elif world.is_rank_zero:
            stats = merge_states([state["stats"] for state in ranks])
            self.runner.stats.load_state_dict(stats, device)

    def _modules(self) -> list[tuple[str, RankLocal]]:
        modules = self.runner.gan.named_modules()
        return [(name, module) for name, module in modules if isinstance(module, RankLocal)]

    def _deal(self, ranks: list[dict[str, Any]]) -> None:
        """Give this rank its part of the saved states."""
        world = self.runner.world
        for name, module in self._modules():
            module.deal([state["local"][name] for state in ranks], world.rank, world.size)
