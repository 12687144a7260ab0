"""A snapshot's networks in use: pictures from seeds, labels and points of w."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.engine.precision import Precision, PrecisionName, pick_device, unavailable_reason
from gantrain.errors import ConfigError
from gantrain.inference.labels import Label, cycled, label_vector
from gantrain.inference.seeds import Numbers, read_numbers
from gantrain.inference.translation import input_channels, translate_any_size
from gantrain.snapshot import find_snapshot, load_snapshot

Noise: TypeAlias = Literal["const", "random", "none"]


class LatentGenerator(Protocol):
    """A network from latents to pictures: z [N, z_dim] (and labels c [N, label_dim])."""

    z_dim: int
    label_dim: int
    channels: int
    resolution: tuple[int, int]  # (h, w)

    def __call__(self, z: Tensor, c: Tensor | None = None) -> Tensor: ...


class StyleGenerator(LatentGenerator, Protocol):
    """One with w between the two: z -> mapping -> ws [N, num_ws, w_dim] -> synthesis -> picture."""

    num_ws: int
    w_dim: int
    mapping: nn.Module
    synthesis: nn.Module


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    precision: PrecisionName = "fp32",
    say: Callable[[str], None] = warnings.warn,
) -> "Model":
    """Read a snapshot file, or the newest whole snapshot of a run directory, for use.

    Args:
        device: auto (the first of cuda, mps, cpu that is there), cpu, cuda, cuda:N or mps.
        precision: as in training; sets torch's process-wide TF32 switches.
        say: told if that is not the newest, which is damaged.

    Raises:
        ConfigError: no such snapshot, a damaged one, or no such device here.
    """
    place = pick_device(str(device))
    if why := unavailable_reason(place):
        raise ConfigError(
            f"device={device}, but {why}: use another one, such as device=cpu, or install a build "
            "of torch for your GPU."
        )
    file = find_snapshot(Path(path), say)
    snapshot = load_snapshot(file, place)
    return Model(file, snapshot.networks, snapshot.meta, Precision(place, precision))


@dataclass(frozen=True)
class Model:
    """What a snapshot can do.

    networks: name to module in eval mode: "G" (and "E"), or "ab" and "ba" of a CycleGAN.
    meta: nimg, ema, model, data, versions.
    """

    file: Path
    networks: dict[str, nn.Module]
    meta: dict[str, Any]
    precision: Precision

    @property
    def generator(self) -> LatentGenerator:
        """The network from latents to pictures. Raises ConfigError for networks between domains."""
        network = self.networks.get("G")
        if network is None or not hasattr(network, "z_dim"):
            names = ", ".join(self.networks)
            raise ConfigError(
                f"{self.file} is a snapshot of {self.algorithm}, which has no latents to sample: "
                f"its networks ({names}) turn pictures into pictures, "
                f"gantrain translate, or translate(x, {next(iter(self.networks))!r}) in Python."
            )
        return cast(LatentGenerator, network)

    @property
    def style(self) -> StyleGenerator:
        """The generator with its w. Raises ConfigError if it has none."""
        if refused := self.without_w("mapping", "synthesis"):
            raise ConfigError(*refused)
        return cast(StyleGenerator, self.generator)

    @property
    def algorithm(self) -> str:
        """The GAN's name, "CycleGAN"; else the class of its first network."""
        target = self.meta.get("model", {}).get("_target_", "")
        return target.rpartition(".")[2] or type(next(iter(self.networks.values()))).__name__

    @property
    def has_w(self) -> bool:
        """Whether the generator has a mapping to w, as StyleGAN's has."""
        return hasattr(self.generator, "mapping") and hasattr(self.generator, "synthesis")

    @property
    def label_dim(self) -> int:
        """Length of the label vectors; 0: unconditional."""
        return self.generator.label_dim

    @property
    def labels(self) -> dict[str, Any] | None:
        """The data set's description of its labels: dim, kind, names."""
        return self.meta.get("data", {}).get("labels")

    def translate(self, x: Tensor, direction: str = "ab") -> Tensor:
        """Pictures of one domain as such of the other, on the CPU.

        Args:
            x: float [N, C, H, W] in [-1, 1], of any size; C as many channels as the domain has.
            direction: "ab" or "ba".

        Returns:
            float32 [N, C', H, W] in [-1, 1].

        Raises:
            ConfigError: this snapshot has no network for it, or x has other channels.
        """
        network = self.translator(direction)
        channels = input_channels(network)
        if channels is not None and x.shape[1] != channels:
            raise ConfigError(f"{direction} takes {channels} channels, and x has {x.shape[1]}.")
        return translate_any_size(network, x, self.precision).cpu()

    def translator(self, direction: str) -> nn.Module:
        """The network of a direction. Raises ConfigError if there is none."""
        network = self.networks.get(direction)
        if network is None or hasattr(network, "z_dim"):
            able = [name for name in self.networks if name in ("ab", "ba")]
            way = "it makes pictures from seeds, with gantrain generate"
            if able:
                way = f"it has direction={' and '.join(able)}"
            raise ConfigError(
                f"{self.file} is of {self.algorithm} and cannot translate {direction}: {way}."
            )
        return network

    def sample(
        self,
        seeds: Numbers,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        label: Label | None = None,
        noise: Noise = "const",
        batch: int = 16,
    ) -> Tensor:
        """The seeds' pictures, float32 [N, C, H, W] in [-1, 1] on the CPU.

        A seed gives the same z on every machine, whatever the other seeds.

        Args:
            seeds: 7, "0-31", [1, 2, "5-9"].
            psi: truncation, 0 (the mean picture) to 1 (none), of the layers below `cutoff`.
            label: class number, class name, or a label vector; None: seed s shows class s modulo
                the number of classes.

        Raises:
            ConfigError: the snapshot has no latents, no w to truncate or no classes.
        """
        numbers = read_numbers("seeds", seeds)
        truncated = psi != 1 or cutoff is not None
        if refused := self.without_w(*["truncation"] * truncated, *["noise"] * (noise != "const")):
            raise ConfigError(*refused)
        images = []
        with torch.no_grad():
            for start in range(0, len(numbers), batch):
                part = numbers[start : start + batch]
                points = self.points(part, self.label_batch(part, label), psi=psi, cutoff=cutoff)
                images.append(self.render(points, noise, part).clamp(-1, 1).cpu())
        return torch.cat(images)

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """float32 [N, z_dim]: numpy.random.RandomState(seed).randn(1, z_dim) for each seed."""
        rows = [np.random.RandomState(seed).randn(1, self.generator.z_dim) for seed in seeds]
        return torch.from_numpy(np.concatenate(rows).astype(np.float32)).to(self.precision.device)

    def label_batch(self, seeds: Sequence[int], label: Label | None) -> Tensor | None:
        """float32 [N, label_dim], None for an unconditional generator. Raises ConfigError."""
        if not self.label_dim:
            if label is not None:
                raise ConfigError(
                    f"{self.file} was trained without labels: it has no classes to choose from; "
                    "leave class out."
                )
            return None
        if label is None:
            rows = cycled(seeds, self.label_dim, self.labels)
        else:
            rows = label_vector(label, self.label_dim, self.labels).repeat(len(seeds), 1)
        return rows.to(self.precision.device)

    def points(
        self, seeds: Sequence[int], c: Tensor | None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """What pictures are rendered from: ws [N, num_ws, w_dim], or [N, z_dim + label_dim]."""
        z = self.latents(seeds)
        if self.has_w:
            return self.mapping(z, c, psi=psi, cutoff=cutoff)
        return z if c is None else torch.cat([z, c], 1)

    def render(self, points: Tensor, noise: Noise, seeds: Sequence[int]) -> Tensor:
        """Pictures float32 [N, C, H, W], about [-1, 1], of `points`; `seeds` of random noise."""
        if self.has_w:
            return self.synthesis(points, noise=noise, noise_seeds=seeds)
        z, c = points.tensor_split([self.generator.z_dim], dim=1)
        with self.precision.autocast():
            return self.generator(z, c if self.label_dim else None).float()

    def mapping(
        self, z: Tensor, c: Tensor | None = None, *, psi: float = 1.0, cutoff: int | None = None
    ) -> Tensor:
        """z [N, z_dim] and labels c [N, label_dim] to ws [N, num_ws, w_dim]."""
        return self.style.mapping(z, c, truncation_psi=psi, truncation_cutoff=cutoff)

    def synthesis(
        self, ws: Tensor, *, noise: Noise = "const", noise_seeds: Sequence[int] | None = None
    ) -> Tensor:
        """ws [N, num_ws, w_dim] to pictures float32 [N, C, H, W], about [-1, 1].

        Args:
            noise_seeds: with noise="random" each picture has the noise of its seed, drawn on the
                CPU and so the same on every device; None: from torch's generator.
        """
        network = self.style.synthesis
        with self.precision.autocast():
            if noise != "random" or noise_seeds is None:
                return network(ws, noise_mode=noise).float()
            pairs = zip(ws.split(1), noise_seeds, strict=True)
            return torch.cat([_with_noise(network, w, seed).float() for w, seed in pairs])

    def encode(self, images: Tensor) -> Tensor:
        """Real pictures [N, C, H, W] in [-1, 1] to their ws [N, num_ws, w_dim]."""
        if "E" not in self.networks:
            raise ConfigError(*self.without_encoder())
        with self.precision.autocast():
            return self.networks["E"](images.to(self.precision.device)).float()

    def without_w(self, *what: str) -> list[str]:
        """A sentence when the generator has no w, which all of `what` need."""
        if self.has_w or not what:
            return []
        need = f"{', '.join(what)} need{'s' * (len(what) == 1)}"
        classes = " and classes" if self.label_dim else ""
        return [
            f"{need} StyleGAN's w, and {self.file} is a snapshot of {self.algorithm}: it makes "
            f"pictures from seeds{classes}, and interpolates between them."
        ]

    def without_encoder(self) -> list[str]:
        """A sentence when there is no network from pictures to w."""
        if "E" in self.networks:
            return []
        return [
            f"images needs an encoder, which only snapshots of experiment=stylegan_cycle have; "
            f"{self.file} ({self.algorithm}) makes pictures from seeds."
        ]


def _with_noise(network: nn.Module, w: Tensor, seed: int) -> Tensor:
    """One picture whose constant noise is replaced by the seed's own."""
    generator = torch.Generator().manual_seed(seed)
    fresh = {
        name: torch.randn(buffer.shape, generator=generator).to(buffer)
        for name, buffer in network.named_buffers()
        if name.endswith("noise_const")
    }
    return torch.func.functional_call(network, fresh, (w,), {"noise_mode": "const"})
