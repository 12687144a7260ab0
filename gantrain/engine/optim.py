"""One optimizer per player, and its settings as functions of the images seen."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer

from gantrain.gans.base import GAN, Phase
from gantrain.types import is_schedule, value_at


def build_optimizers(
    gan: GAN, optimizer: Callable[..., Optimizer], settings: dict[str, Any]
) -> dict[str, Optimizer]:
    """Return one optimizer per player of the phases, such as {"G": ..., "D": ...}.

    A player with lazily regularized phases takes more than one optimizer step per training step,
    so its learning rate and betas are corrected (`lazy_reg_correction`).

    Args:
        gan: the model; its players' parameters are optimized.
        optimizer: called as `optimizer(parameters, **settings)`.
        settings: the same for all players, such as {"lr": 2e-4}. Schedules have their first values.
    """
    settings = {**settings, **settings_at(scheduled(settings), 0)}
    # In order of the phases; a set would have no order, and checkpoints would differ.
    players = dict.fromkeys(name for phase in gan.phases() for name in phase.players)
    return {
        name: optimizer(
            getattr(gan, name).parameters(),
            **lazy_reg_correction(settings, main_step_ratio(gan.phases(), name)),
        )
        for name in players
    }


def main_step_ratio(phases: list[Phase], player: str) -> float:
    """Return the ratio of main steps to all optimizer steps of `player`.

    It is k / (k + 1) with one penalty every k steps. A penalty (`full_precision`) at every step
    does not count as a main step, so k = 1 gives 1 / 2.

    Args:
        phases: those of the GAN, of all players.
        player: such as "G".

    Returns:
        In (0, 1]; 1 for a player without main steps.
    """
    # A phase every k steps counts 1 / k.
    own_phases = [phase for phase in phases if player in phase.players]
    main_steps = sum(
        1 / phase.interval
        for phase in own_phases
        if not phase.full_precision and (phase.interval == 1 or not phase.lazy)
    )
    return main_steps / sum(1 / phase.interval for phase in own_phases) if main_steps else 1.0


def scheduled(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that hold a schedule, such as {"betas": [0.0, {"base": 0.9, ...}]}."""
    return {
        key: value
        for key, value in settings.items()
        if is_schedule(value) or (isinstance(value, list) and any(map(is_schedule, value)))
    }


def settings_at(settings: dict[str, Any], nimg: int) -> dict[str, Any]:
    """Return the values of `scheduled` settings after `nimg` images."""
    return {
        key: value_at(value, nimg)
        if is_schedule(value)
        else tuple(value_at(part, nimg) for part in value)
        for key, value in settings.items()
    }


def set_scheduled(optimizer: Optimizer, settings: dict[str, Any], ratio: float, nimg: int) -> None:
    """Set the scheduled settings of every group to their values after `nimg` images.

    Args:
        optimizer: changed in place; `set_lr` comes after it.
        settings: see `scheduled`.
        ratio: see `lazy_reg_correction`.
        nimg: the images trained on.
    """
    values = lazy_reg_correction(settings_at(settings, nimg), ratio)
    if "lr" in values:
        values["initial_lr"] = values["lr"]  # what the factor of `set_lr` refers to
    for group in optimizer.param_groups:
        group.update(values)


def lazy_reg_correction(settings: dict[str, Any], ratio: float) -> dict[str, Any]:
    """Correct the settings of an optimizer that takes 1 / c steps per training step.

    lr <- c lr and beta <- beta^c, so that moments and weights move per image as they would without
    the lazy phases (Karras et al. 2020, arXiv:1912.04958, appendix B).

    Args:
        settings: optimizer settings; only "lr" and "betas" are corrected.
        ratio: c, see `main_step_ratio`.
    """
    corrected: dict[str, Any] = {}
    # Not every optimizer has both: SGD, for example, has no betas.
    if ratio != 1:
        corrected = {"lr": settings["lr"] * ratio} if "lr" in settings else {}
        if "betas" in settings:
            corrected["betas"] = tuple(beta**ratio for beta in settings["betas"])
    return {**settings, **corrected}


@dataclass(frozen=True)
class LearningRate:
    """A factor on every optimizer's learning rate, as a pure function of the images seen.

    Args:
        schedule: "linear" falls to 0 over the last `decay` fraction of the budget, as CycleGAN's
            does; "cosine" does so along half a cosine; "step" multiplies by `step_factor` every
            `step_images`; "constant" is 1.
        total: the budget in images.
        decay: fraction of the budget over which "linear" and "cosine" fall, in [0, 1].
        step_images: images between two steps of "step".
        step_factor: the factor of each step of "step".
        epoch_images: None: the learning rate changes at every step. Otherwise it is constant within
            an epoch of this many images, and linear decay is the reference's 1 - k / (n + 1) once
            the k-th of n decay epochs has begun.
        compat: 2025: as the reference is today; 2020: one epoch earlier, as it was for years, so
            that the last epoch trains at a learning rate of 0.
        d_factor: D's learning rate divided by that of all other players.
    """

    schedule: Literal["constant", "linear", "cosine", "step"]
    total: int
    decay: float = 0.5
    step_images: int | None = None
    step_factor: float = 0.1
    epoch_images: int | None = None
    compat: Literal[2025, 2020] = 2025
    d_factor: float = 1.0

    def factor_of(self, player: str, nimg: int) -> float:
        """Return the factor for the optimizer of a player, such as "G"; see `factor`."""
        return self.factor(nimg) * (self.d_factor if player == "D" else 1.0)

    def factor(self, nimg: int) -> float:
        """Return the factor, in [0, 1], for the step that begins after `nimg` images."""
        if self.schedule == "constant":
            return 1.0
        if self.epoch_images:
            # Rounded down to the start of the epoch.
            nimg = nimg // self.epoch_images * self.epoch_images
        if self.schedule == "step":
            return self.step_factor ** (nimg // self.step_images) if self.step_images else 1.0
        t = self._decay_progress(nimg)
        return 1 - t if self.schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * t)

    def _decay_progress(self, nimg: int) -> float:
        """Return how much of the decay has passed, 0 to 1."""
        if self.epoch_images is None:
            start = self.total * (1 - self.decay)
            return min(max(0.0, (nimg - start) / max(1, self.total - start)), 1.0)
        epochs = math.ceil(self.total / self.epoch_images)
        decay_epochs = round(epochs * self.decay)
        # + 1: the epoch that has just begun counts as well.
        k = nimg // self.epoch_images + 1 - (epochs - decay_epochs) + (self.compat == 2020)
        return min(max(0, k) / (decay_epochs + 1), 1.0)


def set_lr(optimizer: Optimizer, factor: float) -> float:
    """Set every group to its configured learning rate times `factor`.

    Args:
        optimizer: changed in place.
        factor: see `LearningRate.factor_of`.

    Returns:
        The learning rate of the first group.
    """
    for group in optimizer.param_groups:
        # The same key as torch's schedulers use: it travels with the optimizer's state.
        group.setdefault("initial_lr", group["lr"])
        group["lr"] = group["initial_lr"] * factor
    return optimizer.param_groups[0]["lr"]


def restore_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load moments and step counts, but keep the settings (lr, betas, ...) of `optimizer`.

    Args:
        optimizer: as configured for this start.
        state: its state dict from a checkpoint.
    """
    # load_state_dict would also bring back the saved lr and betas, which the new config may change.
    settings = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, configured in zip(optimizer.param_groups, settings, strict=True):
        # It belongs to the saved lr; `set_lr` sets it anew.
        group.pop("initial_lr", None)
        group.update(configured)
