"""The contract between a GAN and the engine: data plus losses.

A GAN is networks `G` and `D`, perhaps more players, and a list of phases. It never calls
`backward()`, knows no rank, no precision and no file; the engine knows no GAN.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from gantrain.gans.phases import Batch, Phase, Step
from gantrain.networks.labels import LabelScale


@dataclass(frozen=True)
class ImageSpec:
    """The shape of the batches that the data set delivers.

    Args:
        channels: per stream: "a" and "b" of an unpaired set, "image" of a set of single images.
        resolution: (height, width) of the crop in pixels.
        label_dim: entries of an image's label, the stream "label"; 0: no labels.
        batch: images per optimizer step.
        label_scale: [means, deviations] of the entries of labels that are numbers, which have any
            scale; None: labels are classes.
        microbatch: images per forward pass in training; None: `batch`.
    """

    channels: dict[str, int]
    resolution: tuple[int, int]
    label_dim: int = 0
    batch: int = 1
    label_scale: LabelScale | None = None
    microbatch: int | None = None

    @property
    def of_networks(self) -> tuple[list[int], int, int, LabelScale | None]:
        """The first arguments of networks of single images: resolution, channels and labels."""
        size, channels = list(self.resolution), self.channels["image"]
        return size, channels, self.label_dim, self.label_scale


@dataclass(frozen=True)
class LazyPenalty:
    """A penalty on one player, descended every `interval` steps; weight 0 turns it off."""

    weight: float
    interval: int


class GAN(nn.Module):
    """Base class of all GANs: networks are children, algorithm state is buffers or extra state.

    Nothing else is saved.

    Subclasses set `G` and `D` (modules or ModuleDicts of modules), perhaps further players, and
    define `phases`; their constructor takes `images: ImageSpec` first and plain keyword settings
    after it.
    """

    takes: ClassVar[Literal["unpaired", "paired", "images"]] = "unpaired"  # the kind of data set
    # Independent batches of real images that a step takes, see `real_batch`. A step counts as one
    # batch of images all the same.
    real_batches: ClassVar[int] = 1
    G: nn.Module
    D: nn.Module
    size_multiple: int = 1  # image sides must be multiples of it

    def phases(self) -> list[Phase]:
        """Return the phases of one step, in order."""
        raise NotImplementedError

    def players(self) -> dict[str, nn.Module]:
        """Return all players by name: G, D and then those that only the phases name."""
        others = (name for phase in self.phases() for name in phase.players)
        return {name: getattr(self, name) for name in dict.fromkeys(("G", "D", *others))}

    def networks(self) -> dict[str, nn.Module]:
        """Return the networks of all players, by names such as "G.ab", "D.b", "F.F"."""
        return {
            f"{name}.{part}": network
            for name, player in self.players().items()
            for part, network in networks_of(player, name).items()
        }

    def judge(self, x: Tensor, batch: Batch) -> Tensor:
        """Return D's logits [N] of images [N, C, H, W] as in training, for the health probes.

        Used for GANs on single images; of two domains, see `judge_translation`.

        Args:
            x: images in [-1, 1].
            batch: may hold their labels, "label" [N, label_dim].
        """
        # A network without labels takes images only.
        c = batch.get("label")
        return self.D(x) if c is None else self.D(x, c)

    def judge_translation(self, x: Tensor, source: Tensor | None, direction: str) -> Tensor:
        """Return D's logits [N] of images of the target domain, for the health probes.

        Args:
            x: images [N, C, H, W] in [-1, 1].
            source: the images that they are translations of, for a D of pairs; None: not known.
            direction: "ab" or "ba".
        """
        D = networks_of(self.D, "D")[direction[1]]
        return D(x).flatten(1).mean(1)

    def adapt(self, step: Step) -> None:
        """Update algorithm state after the phases of every step. Default: nothing."""

    def report(self) -> dict[str, float]:
        """Return algorithm state for the reports, such as {"augment/p": 0.3}. Default: nothing."""
        return {}

    def derived(self) -> dict[str, Any]:
        """Return plain settings that the GAN derived from others, to be shown and recorded."""
        return {}

    def preview(self, G: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Return named columns of images for the sample grid, each [N, C, H, W] in [-1, 1].

        Args:
            G: the generator to show (self.G or its moving average).
            batch: fixed inputs, the same in every grid.
        """
        return {}


class RankLocal(nn.Module):
    """A part of a GAN whose extra state differs between ranks, such as a pool of earlier images.

    A checkpoint keeps the extra states of all ranks.
    """

    def deal(self, states: list[Any], rank: int, size: int) -> None:
        """Take over this rank's share of the saved states.

        Args:
            states: the saved extra states, one per rank of the run that saved them (any number);
                empty at the start of a run.
            rank: number of this rank, from 0.
            size: number of ranks.
        """
        raise NotImplementedError


def real_batch(batch: Batch, index: int) -> Batch:
    """Return one of a step's further batches of real images, under the names of the data set.

    Args:
        batch: holds `GAN.real_batches` of them: the first one as "image", "label", the others as
            "1/image", "1/label", ...
        index: from 1.
    """
    start = f"{index}/"
    return {name.removeprefix(start): x for name, x in batch.items() if name.startswith(start)}


def networks_of(player: nn.Module, name: str) -> dict[str, nn.Module]:
    """Return a player's networks: the children of a ModuleDict, else {name: player}.

    Args:
        player: such as `gan.G`.
        name: its name, such as "G", for a network that is not in a ModuleDict.
    """
    return dict(player.items()) if isinstance(player, nn.ModuleDict) else {name: player}
