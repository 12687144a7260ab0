"""LPIPS, a perceptual distance (Zhang et al. 2018, arXiv 1801.03924), version 0.1 with VGG 16."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gantrain.ops.precision import full_float32

_WIDTHS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1]
EPS = 1e-10


class LPIPS(nn.Module):
    """LPIPS network; the weights are loaded by `gantrain.metrics.extractor.load_lpips`.

    Parameter names are those of the published files: `features.N.*` as in torchvision's VGG 16,
    `linK.model.1.weight` for the heads.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        self.map_layers: list[int] = []
        c = 3
        for block, widths in enumerate(_WIDTHS):
            layers += [nn.MaxPool2d(2)] if block else []
            for width in widths:
                layers += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU()]
                c = width
            self.map_layers.append(len(layers) - 1)
            head = nn.Sequential(nn.Identity(), nn.Conv2d(c, 1, 1, bias=False))
            self.add_module(f"lin{block}", nn.ModuleDict({"model": head}))
        self.features = nn.Sequential(*layers)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the distances [N] of images [N, 3, H, W] in [-1, 1]; 0 for equal images.

        Computed in float32 whatever the process trains in.
        """
        return self.compare(self.embed(x), self.embed(y))

    def embed(self, x: Tensor) -> list[Tensor]:
        """Return what `compare` needs of images [N, 3, H, W] in [-1, 1]: one map per block."""
        with full_float32(x.device):
            return [_normalize(features) for features in self._maps(x)]

    def compare(self, x: list[Tensor], y: list[Tensor]) -> Tensor:
        """Return the distances [N] of images from their embeddings."""
        total = torch.zeros(len(x[0]), device=x[0].device)
        with full_float32(x[0].device):
            for block, (a, b) in enumerate(zip(x, y, strict=True)):
                head = self.get_submodule(f"lin{block}.model.1")
                total = total + head((a - b).square()).mean((1, 2, 3))
        return total

    def _maps(self, x: Tensor) -> list[Tensor]:
        x = (x - self.shift) / self.scale
        maps = []
        for index, layer in enumerate(self.features):
            x = F.relu(x) if isinstance(layer, nn.ReLU) else layer(x)
            if index in self.map_layers:
                maps.append(x)
        return maps


def _normalize(x: Tensor) -> Tensor:
    """Scale every pixel's features to length 1."""
    return x / (x.square().sum(1, keepdim=True).sqrt() + EPS)
