"""A snapshot's networks ready for use: images from seeds, labels and w, and translations."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn

from gantrain.engine.precision import Precision, PrecisionName, pick_device, unavailable_reason
from gantrain.errors import ConfigError, counted
from gantrain.inference import generators
from gantrain.inference.editing import Direction, edit
from gantrain.inference.generators import LatentGenerator, StyleGenerator
from gantrain.inference.labels import Label, cycle_classes, label_vector
from gantrain.inference.noise import with_noise
from gantrain.inference.pictures import of_pictures
from gantrain.inference.seeds import Numbers, read_numbers
from gantrain.inference.translation import picture_channels, translate_any_size
from gantrain.inference.truncation import Center, Centers, label_centers, truncate
from gantrain.networks.directions import directions_of
from gantrain.networks.eval_mode import TestMode, set_test_mode
from gantrain.snapshot import load_snapshot

Noise: TypeAlias = Literal["const", "random", "none"]


def load(
    path: str | Path,
    device: str | torch.device = "cpu",
    precision: PrecisionName = "fp32",
    say: Callable[[str], None] = warnings.warn,
    *,
    test_mode: TestMode | None = None,
    seed: int = 0,
) -> "Model":
    """Load a snapshot, the newest state of a run directory, or a model of the hub.

    Args:
        path: see `gantrain.snapshot.load_snapshot`.
        device: "cpu", "cuda", "cuda:N", "mps", or "auto": the first available of cuda, mps, cpu.
        precision: as in training; sets torch's process-wide TF32 switches.
        say: called with a sentence for each newer snapshot that is damaged.
        test_mode: of batch norm and dropout, see `gantrain.networks.eval_mode`; None: as the
            networks were made.
        seed: of the dropout of "as_trained".

    Raises:
        NoSnapshotError: a run has none.
        ConfigError: the snapshot does not exist or is damaged, or the device is not available.
    """
    torch_device = pick_device(str(device))
    if reason := unavailable_reason(torch_device):
        raise ConfigError(
            f"device={device}, but {reason}: use another one, such as device=cpu, or install a "
            "build of torch for your GPU."
        )
    snapshot = load_snapshot(path, torch_device, say)
    for network in snapshot.networks.values():
        if mode := test_mode or getattr(network, "test_mode", None):
            set_test_mode(network, mode, seed)
    return Model(
        snapshot.file, snapshot.networks, snapshot.meta, Precision(torch_device, precision)
    )


@dataclass(frozen=True)
class Model:
    """A loaded snapshot.

    Args:
        file: the snapshot file.
        networks: modules in eval mode by name: "G" and perhaps "E", or "ab" or "ba" or both.
        meta: nimg, ema, model, data and versions of the snapshot.
        precision: device and precision of all computations.
    """

    file: Path
    networks: dict[str, nn.Module]
    meta: dict[str, Any]
    precision: Precision
    _centers: Centers = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def generator(self) -> LatentGenerator:
        """The network from latents to images.

        Raises:
            ConfigError: the snapshot holds networks between domains.
        """
        network = self.networks.get("G")
        if network is None or not hasattr(network, "z_dim"):
            raise ConfigError(
                f"{self.file} is a snapshot of {self.algorithm}, which has no latents to sample: "
                f"{generators.explain_use(self.networks)}"
            )
        return cast(LatentGenerator, network)

    @property
    def style(self) -> StyleGenerator:
        """The generator, if it has w.

        Raises:
            ConfigError: it has none.
        """
        if problems := self.explain_missing_w("mapping", "synthesis"):
            raise ConfigError(*problems)
        return cast(StyleGenerator, self.generator)

    @property
    def algorithm(self) -> str:
        """Class of the GAN, such as "CycleGAN"; if unknown, class of its first network."""
        target = self.meta.get("model", {}).get("_target_", "")
        return target.rpartition(".")[2] or type(next(iter(self.networks.values()))).__name__

    @property
    def directions(self) -> list[str]:
        """The directions in which it translates, "ab" before "ba"; []: it has latents instead."""
        return directions_of(self.networks)

    @property
    def test_mode(self) -> TestMode:
        """How batch norm and dropout act; "eval" of networks without a choice."""
        return getattr(next(iter(self.networks.values())), "test_mode", "eval")

    @property
    def has_w(self) -> bool:
        """Whether the generator has a mapping to w, as in StyleGAN."""
        return hasattr(self.generator, "mapping") and hasattr(self.generator, "synthesis")

    @property
    def label_dim(self) -> int:
        """Entries of a label; 0: unconditional."""
        return int(getattr(self.generator, "label_dim", 0))

    @property
    def labels(self) -> dict[str, Any] | None:
        """The data set's description of its labels (dim, kind, names), or None."""
        return self.meta.get("data", {}).get("labels")

    def translate(self, x: Tensor, direction: str | None = None) -> Tensor:
        """Translate images from one domain to the other; with data=colorize, RGB to RGB by its L.

        Args:
            x: float [N, C, H, W] in [-1, 1], of any size, with the channels of the source domain.
            direction: "ab" or "ba"; None: see `choose_direction`.

        Returns:
            float32 [N, C', H, W] in [-1, 1] on the CPU.

        Raises:
            ConfigError: the snapshot has no network for the direction, or x has another number of
                channels.
        """
        network, data = self.translator(direction), self.meta.get("data", {})
        channels, _ = picture_channels(network, data)
        if channels is not None and x.shape[1] != channels:
            way = self.choose_direction(direction)
            raise ConfigError(f"{way} takes {counted(channels, 'channel')}, not {x.shape[1]}.")
        translate = partial(translate_any_size, network, precision=self.precision)
        return of_pictures(translate, data)(x).cpu()

    def choose_direction(self, direction: str | None) -> str:
        """Return a direction as it is; of None "ab", or the only one that there is."""
        return direction or next(iter(self.directions), "ab")

    def translator(self, direction: str | None = None) -> nn.Module:
        """Return the network for a direction, see `choose_direction`.

        Raises:
            ConfigError: there is none.
        """
        direction = self.choose_direction(direction)
        network = self.networks.get(direction)
        if network is None or hasattr(network, "z_dim"):
            hint = "it generates images from seeds, with gantrain generate"
            if self.directions:
                hint = f"it has direction={' and '.join(self.directions)} alone"
            raise ConfigError(
                f"{self.file} is a snapshot of {self.algorithm} and cannot translate {direction}: "
                f"{hint}."
            )
        return network

    def sample(
        self,
        seeds: Numbers,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        label: Label | None = None,
        center: Center = "global",
        noise: Noise = "const",
        batch: int = 16,
    ) -> Tensor:
        """Generate images from seeds.

        A seed gives the same z on every machine, whatever the other seeds.

        Args:
            seeds: such as 7, "0-31" or [1, 2, "5-9"].
            psi: truncation, from 0 (the mean image) to 1 (none).
            cutoff: only this many first layers are truncated; None: all.
            label: class number, class name or label vector; None: seed s has the class s modulo
                the number of classes, or, of other labels, that of a training image.
            center: what truncation pulls towards: the mean image of "global", or of the "class"
                (of each image's label).
            noise: per-pixel noise of StyleGAN2: "const" (stored), "random" (by seed) or "none".
            batch: images generated at once.

        Returns:
            float32 [N, C, H, W] in [-1, 1] on the CPU.

        Raises:
            ConfigError: the snapshot has no latents, no w to truncate or no such class.
        """
        numbers = read_numbers("seeds", seeds)
        needs_w = ["truncation"] * (psi != 1 or cutoff is not None) + ["noise"] * (noise != "const")
        if problems := self.explain_missing_w(*needs_w):
            raise ConfigError(*problems)
        images = []
        with torch.no_grad():
            for start in range(0, len(numbers), batch):
                part = numbers[start : start + batch]
                c = self.label_batch(part, label)
                latents = self.latent_inputs(part, c, psi=psi, cutoff=cutoff, center=center)
                images.append(self.synthesize(latents, noise, part).clamp(-1, 1).cpu())
        return torch.cat(images)

    def latents(self, seeds: Sequence[int]) -> Tensor:
        """Return z for seeds, float32 [N, z_dim]: RandomState(seed).randn(1, z_dim) for each."""
        rows = [np.random.RandomState(seed).randn(1, self.generator.z_dim) for seed in seeds]
        return torch.from_numpy(np.concatenate(rows).astype(np.float32)).to(self.precision.device)

    def label_batch(self, seeds: Sequence[int], label: Label | None) -> Tensor | None:
        """Return labels for seeds.

        Args:
            seeds: N seeds.
            label: see `sample`.

        Returns:
            float32 [N, label_dim]; None for an unconditional generator.

        Raises:
            ConfigError: there is no such class, or there are no classes.
        """
        if not self.label_dim:
            if label is not None:
                raise ConfigError(
                    f"{self.file} was trained without labels: it has no classes to choose from; "
                    "leave class out."
                )
            return None
        if label is None:
            rows = cycle_classes(seeds, self.label_dim, self.labels)
        else:
            rows = label_vector(label, self.label_dim, self.labels).repeat(len(seeds), 1)
        return rows.to(self.precision.device)

    def latent_inputs(
        self,
        seeds: Sequence[int],
        c: Tensor | None,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        center: Center = "global",
    ) -> Tensor:
        """Return the inputs of `synthesize` for seeds.

        Args:
            seeds: N seeds.
            c: labels [N, label_dim], or None.
            psi: truncation, see `sample`.
            cutoff: see `sample`.
            center: see `sample`.

        Returns:
            ws [N, num_ws, w_dim]; of a generator without w, z and labels [N, z_dim + label_dim].
        """
        z = self.latents(seeds)
        if self.has_w:
            return self.mapping(z, c, psi=psi, cutoff=cutoff, center=center)
        return z if c is None else torch.cat([z, c], 1)

    def synthesize(
        self,
        latents: Tensor,
        noise: Noise,
        seeds: Sequence[int],
        transform: Tensor | None = None,
    ) -> Tensor:
        """Return the images of latents.

        Args:
            latents: N rows as from `latent_inputs`.
            noise: see `sample`.
            seeds: N seeds of random noise.
            transform: see `synthesis`.

        Returns:
            float32 [N, C, H, W], about [-1, 1] but not bounded.
        """
        if self.has_w:
            return self.synthesis(latents, noise=noise, noise_seeds=seeds, transform=transform)
        z, c = latents.tensor_split([self.generator.z_dim], dim=1)
        labels = [c] if self.label_dim else []
        with self.precision.autocast():
            return self.generator(z, *labels).float()

    def mapping(
        self,
        z: Tensor,
        c: Tensor | None = None,
        *,
        psi: float = 1.0,
        cutoff: int | None = None,
        center: Center = "global",
    ) -> Tensor:
        """Map z [N, z_dim] and labels c [N, label_dim] to ws [N, num_ws, w_dim].

        Args:
            z: standard normal, on the device.
            c: None: the network is unconditional.
            psi: truncation: 1 leaves w unchanged, 0 gives the mean w.
            cutoff: only the first ws are truncated; None: all of them.
            center: see `sample`; "class" needs labels.
        """
        if center == "global" or c is None or psi == 1:
            return self.style.mapping(z, c, truncation_psi=psi, truncation_cutoff=cutoff)
        centers = label_centers(self.style.mapping, self.generator.z_dim, c, self._centers)
        return truncate(self.style.mapping(z, c), centers, psi, cutoff)

    def synthesis(
        self,
        ws: Tensor,
        *,
        noise: Noise = "const",
        noise_seeds: Sequence[int] | None = None,
        transform: Tensor | None = None,
    ) -> Tensor:
        """Return the images of ws.

        Args:
            ws: [N, num_ws, w_dim].
            noise: see `sample`.
            noise_seeds: N seeds for noise="random", drawn on the CPU and therefore the same on
                every device; None: noise from torch's generator.
            transform: of the canvas of a StyleGAN3, [3, 3] or [N, 3, 3]; None: none.

        Returns:
            float32 [N, C, H, W], about [-1, 1] but not bounded.
        """
        network = self.style.synthesis
        moved = generators.canvas_arguments(self.networks["G"], transform)
        with self.precision.autocast():
            if noise != "random" or noise_seeds is None:
                return network(ws, noise_mode=noise, **moved).float()
            pairs = zip(ws.split(1), noise_seeds, strict=True)
            return torch.cat([with_noise(network, w, seed).float() for w, seed in pairs])

    def edit(
        self, ws: Tensor, direction: Direction, strength: float, layers: Numbers | None = None
    ) -> Tensor:
        """Move ws [N, num_ws, w_dim] along a direction, see `gantrain.inference.editing.edit`."""
        chosen = None if layers is None else read_numbers("layers", layers)
        return edit(ws, direction, strength, chosen)

    def encode(self, images: Tensor) -> Tensor:
        """Encode real images [N, C, H, W] in [-1, 1] as ws [N, num_ws, w_dim].

        Raises:
            ConfigError: the snapshot has no encoder.
        """
        if "E" not in self.networks:
            raise ConfigError(*self.explain_missing_encoder())
        with self.precision.autocast():
            return self.networks["E"](images.to(self.precision.device)).float()

    def explain_missing_w(self, *features: str) -> list[str]:
        """Return a sentence if the generator has no w, or no noise, for features that need it.

        Args:
            features: settings that need w, such as "truncation"; "noise" also needs noise.
        """
        if self.has_w or not features:
            return (
                generators.explain_missing_noise(self.networks["G"]) if "noise" in features else []
            )
        sources = "seeds and classes" if self.label_dim else "seeds"
        return [generators.miss_w(features, self.file, self.algorithm, sources)]

    def explain_missing_encoder(self) -> list[str]:
        """Return a sentence if the snapshot has no encoder from images to w, else none."""
        return [] if "E" in self.networks else [generators.miss_encoder(self.file, self.algorithm)]
