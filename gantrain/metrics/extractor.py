"""Features of 8-bit images: from Inception, or from a stand-in network that needs no weights."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.errors import ConfigError
from gantrain.io.download import digest
from gantrain.metrics.inception import DIM, SIDE, Inception
from gantrain.metrics.lpips import LPIPS
from gantrain.metrics.resize import Resize, resize
from gantrain.ops.precision import full_float32

NAMES = ("inception", "random")
RANDOM_DIM = 64


class Extractor:
    """A feature network, evaluated in float32 whatever precision the process trains in.

    Args:
        name: name of the network in a metric's protocol, such as "inception-2015-12-05".
        digest: SHA-256 of the weights.
        resize: how images are brought to the network's size; "none": at their own size.
        dim: features per image.
        network: the network, which is frozen and moved to the device.
        apply: uint8 [N, 3, H, W] -> float32 [N, dim].
        device: where features are computed.
    """

    def __init__(
        self,
        name: str,
        digest: str,
        resize: str,
        dim: int,
        network: nn.Module,
        apply: Callable[[Tensor], Tensor],
        device: torch.device,
    ) -> None:
        self.name, self.digest, self.resize, self.dim = name, digest, resize, dim
        self._network = network.eval().requires_grad_(False).to(device)
        self._apply, self.device = apply, device

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the features of images.

        Args:
            images: uint8 [N, C, H, W] with 1 or 3 channels, on any device.

        Returns:
            float32 [N, dim] on the extractor's device.

        Raises:
            ConfigError: the images have another number of channels.
        """
        with full_float32(self.device):
            return self._apply(_to_rgb(images.to(self.device)))

    def check_classifier(self) -> None:
        """Raise ConfigError unless the weights have a classifier, which the Inception Score needs.

        Raises:
            ConfigError: they have none.
        """
        network = self._network
        if isinstance(network, Inception) and network.fc.weight.any():
            return
        raise ConfigError(
            f"The weights of {self.name} ({self.digest[:8]}) have no classifier, which the "
            "Inception Score needs: use the published file (gantrain fetch weights=inception)."
        )

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """Return class logits [N, 1008] of features [N, dim].

        Raises:
            ConfigError: the weights have no classifier.
        """
        self.check_classifier()
        with full_float32(self.device):
            return cast(Inception, self._network).scores(features)


def load_extractor(
    name: str, files: Sequence[Path], method: Resize, device: torch.device
) -> Extractor:
    """Return a feature network.

    Args:
        name: "inception", or "random": fixed random convolutions, which need no weights.
        files: the weights; empty for "random".
        method: how images are resized for Inception.
        device: where features are computed.

    Raises:
        ConfigError: the files are damaged or hold another network.
    """
    if name == "random":
        network = _random_network()
        values = b"".join(p.numpy().tobytes() for p in network.state_dict().values())
        return Extractor(
            name=f"random-conv-{RANDOM_DIM}",
            digest=hashlib.sha256(values).hexdigest(),
            resize="none",
            dim=RANDOM_DIM,
            network=network,
            apply=_with_pooling(network),
            device=device,
        )
    inception = Inception()
    _load(inception, files)

    def apply(images: Tensor) -> Tensor:
        return inception(resize(images, SIDE, method))

    return Extractor(
        name="inception-2015-12-05",
        digest=digest(files[0], "sha256"),
        resize=method,
        dim=DIM,
        network=inception,
        apply=apply,
        device=device,
    )


def load_lpips(files: Sequence[Path], device: torch.device) -> LPIPS:
    """Return the LPIPS network in eval mode with the weights in the files.

    Raises:
        ConfigError: the files are damaged or hold another network.
    """
    network = LPIPS()
    _load(network, files)
    return network.eval().requires_grad_(False).to(device)


def _load(network: nn.Module, files: Sequence[Path]) -> None:
    """Load a network's weights from one or several files; other tensors in them are ignored."""
    weights: dict[str, Any] = {}
    for file in files:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            weights |= {key: value for key, value in content.items() if isinstance(value, Tensor)}
        except Exception as error:  # a damaged or foreign file raises almost anything
            raise ConfigError(
                f"{file} cannot be read as weights ({error}): fetch it again."
            ) from None
    expected = network.state_dict()
    keys = [key for key in expected if not key.endswith("num_batches_tracked")]
    mismatches = [k for k in keys if k not in weights or weights[k].shape != expected[k].shape]
    if mismatches:
        raise ConfigError(
            f"{files[-1]} has no {mismatches[0]} of the right shape, so it holds a network other "
            f"than {type(network).__name__}; give the published file."
        )
    network.load_state_dict({key: weights[key] for key in keys}, strict=False)


def _to_rgb(images: Tensor) -> Tensor:
    if images.shape[1] not in (1, 3):
        raise ConfigError(
            f"Features need images with 1 or 3 channels, and these have {images.shape[1]}: "
            "train on grey or RGB images to use these metrics."
        )
    return images.expand(-1, 3, -1, -1)  # grey becomes RGB without a copy


def _random_network() -> nn.Sequential:
    """Return fixed random convolutions, whose features distinguish texture and colour."""
    rng = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = []
    for c_in, c_out in ((3, 16), (16, 32), (32, RANDOM_DIM // 2)):
        conv = nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(conv.weight.shape, generator=rng) / (9 * c_in) ** 0.5)
        layers += [conv, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def _with_pooling(network: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return uint8 [N, 3, H, W] -> [N, RANDOM_DIM]: mean and deviation of each feature map."""

    def apply(images: Tensor) -> Tensor:
        x = network(F.interpolate(images.float() / 127.5 - 1, (64, 64), mode="area"))
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)

    return apply
