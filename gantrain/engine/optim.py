"""One optimizer per player, and the learning rate as a function of the images seen."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch.optim import Optimizer

from gantrain.gans.base import GAN, Phase


def build_optimizers(
    gan: GAN, optimizer: Callable[..., Optimizer], settings: dict[str, Any]
) -> dict[str, Optimizer]:
    """{"G": ..., "D": ...}: `optimizer(parameters, **settings)` for every player of the phases.

    A player with lazily regularised phases takes more than one optimizer step per training step:
    its rate and betas are corrected (`lazy_reg_correction`).
    """
    players = dict.fromkeys(phase.player for phase in gan.phases())
    return {
        name: optimizer(
            getattr(gan, name).parameters(),
            **lazy_reg_correction(settings, main_step_ratio(gan.phases(), name)),
        )
        for name in players
    }


def main_step_ratio(phases: list[Phase], player: str) -> float:
    """Main steps of `player` over all its optimizer steps: k / (k + 1) for one penalty every k.

    A penalty (`full_precision`) at every step is none of the main ones: k = 1 gives 1 / 2.
    """
    own = [phase for phase in phases if phase.player == player]
    main = sum(phase.interval == 1 and not phase.full_precision for phase in own)
    return main / sum(1 / phase.interval for phase in own) if main else 1.0


def lazy_reg_correction(settings: dict[str, Any], ratio: float) -> dict[str, Any]:
    """lr <- c lr, beta <- beta^c: c optimizer steps decay as far as one did (Karras et al. 2020,
    arXiv 1912.04958, appendix B)."""
    corrected: dict[str, Any] = {}
    if ratio != 1:
        corrected = {"lr": settings["lr"] * ratio} if "lr" in settings else {}
        if "betas" in settings:
            corrected["betas"] = tuple(beta**ratio for beta in settings["betas"])
    return {**settings, **corrected}


@dataclass(frozen=True)
class LearningRate:
    """A factor on every optimizer's own rate, a pure function of the images seen.

    Args:
        schedule: "linear" falls to 0 over the last `decay` share of the budget, as CycleGAN's
            does; "cosine" likewise on half a cosine; "step" multiplies by `step_factor` every
            `step_images`; "constant" is 1.
        total: the budget in images.
        epoch_images: None: the rate changes at every step. Else it is constant within an epoch of
            so many images, and linear decay is the reference's 1 - k / (n + 1) after the k-th of n
            decay epochs has begun.
        compat: 2025 as the reference is now; 2020: shifted one epoch earlier, as it was for years,
            so that the last epoch trains at rate 0.
    """

    schedule: Literal["constant", "linear", "cosine", "step"]
    total: int
    decay: float = 0.5
    step_images: int | None = None
    step_factor: float = 0.1
    epoch_images: int | None = None
    compat: Literal[2025, 2020] = 2025

    def factor(self, nimg: int) -> float:
        """The factor for the step that begins after `nimg` images."""
        if self.schedule == "constant":
            return 1.0
        if self.epoch_images:
            nimg = nimg // self.epoch_images * self.epoch_images
        if self.schedule == "step":
            return self.step_factor ** (nimg // self.step_images) if self.step_images else 1.0
        done = self._decayed(nimg)
        return 1 - done if self.schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * done)

    def _decayed(self, nimg: int) -> float:
        """How much of the decay has passed, 0 to 1."""
        if self.epoch_images is None:
            start = self.total * (1 - self.decay)
            return min(max(0.0, (nimg - start) / max(1, self.total - start)), 1.0)
        epochs = math.ceil(self.total / self.epoch_images)
        decay_epochs = round(epochs * self.decay)
        k = nimg // self.epoch_images + 1 - (epochs - decay_epochs) + (self.compat == 2020)
        return min(max(0, k) / (decay_epochs + 1), 1.0)


def set_lr(optimizer: Optimizer, factor: float) -> float:
    """Set every group to its configured rate times `factor`; returns the first group's rate."""
    for group in optimizer.param_groups:
        # The configured rate travels with the optimizer's state, like "initial_lr" in torch.
        group.setdefault("initial_lr", group["lr"])
        group["lr"] = group["initial_lr"] * factor
    return optimizer.param_groups[0]["lr"]


def restore_optimizer(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load moments and step counts, but keep the settings (rate, betas, ...) of `optimizer`."""
    settings = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, configured in zip(optimizer.param_groups, settings, strict=True):
        group.pop("initial_lr", None)
        group.update(configured)
