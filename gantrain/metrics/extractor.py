"""From 8-bit pictures to features: the Inception network, or a stand-in that needs no weights."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
    """Features of pictures, computed in float32 whatever the process trains in.

    name: part of what a metric means, "inception-2015-12-05". digest: SHA-256 of the weights.
    resize: how pictures come to the network's size. dim: features per picture.
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
        """uint8 [N, C, H, W], C 1 or 3 -> float32 [N, dim], on the extractor's device."""
        with full_float32(self.device):
            return self._apply(_colours(images.to(self.device)))

    @torch.no_grad()
    def logits(self, features: Tensor) -> Tensor:
        """[N, dim] -> class scores [N, 1008]. Raises ConfigError where there is no classifier."""
        network = self._network
        if not isinstance(network, Inception) or not network.fc.weight.any():
            raise ConfigError(
                f"The weights of {self.name} ({self.digest[:8]}) have no classifier, which the "
                "Inception Score needs: use the published file (gantrain fetch weights=inception)."
            )
        with full_float32(self.device):
            return network.scores(features)


def load_extractor(name: str, files: Sequence[Path], by: Resize, device: torch.device) -> Extractor:
    """ "inception" from its weights, or "random", which has none. Raises ConfigError."""
    if name == "random":
        net = _random_network()
        values = b"".join(p.numpy().tobytes() for p in net.state_dict().values())
        mark = hashlib.sha256(values).hexdigest()
        title = f"random-conv-{RANDOM_DIM}"
        return Extractor(title, mark, "none", RANDOM_DIM, net, _pooled(net), device)
    inception = Inception()
    _load(inception, files)

    def apply(images: Tensor) -> Tensor:
        return inception(resize(images, SIDE, by))

    return Extractor(
        "inception-2015-12-05", digest(files[0], "sha256"), by, DIM, inception, apply, device
    )


def load_lpips(files: Sequence[Path], device: torch.device) -> LPIPS:
    """The network, from its files. Raises ConfigError."""
    network = LPIPS()
    _load(network, files)
    return network.eval().requires_grad_(False).to(device)


def _load(network: nn.Module, files: Sequence[Path]) -> None:
    """All of a network's weights from one or several files; what else they hold is ignored."""
    found: dict[str, Any] = {}
    for file in files:
        try:
            content = torch.load(file, map_location="cpu", weights_only=True)
            found |= {key: value for key, value in content.items() if isinstance(value, Tensor)}
        except Exception as error:  # whatever a broken or foreign file leads to
            raise ConfigError(
                f"{file} cannot be read as weights ({error}): fetch it anew."
            ) from None
    wanted = network.state_dict()
    keys = [key for key in wanted if not key.endswith("num_batches_tracked")]
    odd = [k for k in keys if k not in found or found[k].shape != wanted[k].shape]
    if odd:
        raise ConfigError(
            f"{files[-1]} has no fitting {odd[0]}: it holds another network than "
            f"{type(network).__name__}; give the published file."
        )
    network.load_state_dict({key: found[key] for key in keys}, strict=False)


def _colours(images: Tensor) -> Tensor:
    if images.shape[1] not in (1, 3):
        raise ConfigError(
            f"Features are of grey or colour pictures, and these have {images.shape[1]} channels: "
            "train with 1 or 3 to measure."
        )
    return images.expand(-1, 3, -1, -1)


def _random_network() -> nn.Sequential:
    """Always the same random convolutions, which tell pictures apart by texture and colour."""
    draw = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = []
    for c_in, c_out in ((3, 16), (16, 32), (32, RANDOM_DIM // 2)):
        conv = nn.Conv2d(c_in, c_out, 3, stride=2, padding=1, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(conv.weight.shape, generator=draw) / (9 * c_in) ** 0.5)
        layers += [conv, nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def _pooled(network: nn.Module) -> Callable[[Tensor], Tensor]:
    def apply(images: Tensor) -> Tensor:
        x = network(F.interpolate(images.float() / 127.5 - 1, (64, 64), mode="area"))
        return torch.cat([x.mean((2, 3)), x.std((2, 3))], 1)

    return apply
