"""The augmentation pipeline in front of the discriminator.

Karras et al. 2020, "Training generative adversarial networks with limited data"
(arXiv 2006.06676), appendix B.
"""

from typing import Literal

from torch import Tensor, nn

from gantrain.augment.color import color_matrix, recolor
from gantrain.augment.corrupt import add_noise, cut_out, cutout_centre, noise_std
from gantrain.augment.draw import RandomParameters
from gantrain.augment.filters import amplify, band_gains
from gantrain.augment.geometry import inverse_matrix
from gantrain.augment.warp import warp
from gantrain.networks.layers import without_autocast
from gantrain.ops.precision import at_least_float32

Spec = Literal[
    "none", "blit", "geom", "color", "filter", "noise", "cutout",
    "bg", "bgc", "bgcf", "bgcfn", "bgcfnc",
]  # fmt: skip

_BLIT = ("xflip", "rotate90", "xint")
_GEOM = ("scale", "rotate", "aniso", "xfrac")
_COLOR = ("brightness", "contrast", "lumaflip", "hue", "saturation")
_BGC = (*_BLIT, *_GEOM, *_COLOR)
TRANSFORMS: dict[Spec, tuple[str, ...]] = {
    "none": (),
    "blit": _BLIT,
    "geom": _GEOM,
    "color": _COLOR,
    "filter": ("filter",),
    "noise": ("noise",),
    "cutout": ("cutout",),
    "bg": (*_BLIT, *_GEOM),
    "bgc": _BGC,
    "bgcf": (*_BGC, "filter"),
    "bgcfn": (*_BGC, "filter", "noise"),
    "bgcfnc": (*_BGC, "filter", "noise", "cutout"),
}


class AugmentPipe(nn.Module):
    """Pixel blitting, geometry, colour, filtering, noise and cutout, in this order.

    Each transform is applied to each image with probability p, independently of all others. The
    parameters come from torch's CPU generator; the pipeline has no state.

    Args:
        spec: a group of transforms, or the initials of several groups ("bgc", the paper's choice:
            blit, geom, color).
    """

    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.transforms = frozenset(TRANSFORMS[spec])

    def forward(self, images: Tensor, p: float, *, percentile: float | None = None) -> Tensor:
        """Augment images; differentiable in them any number of times.

        Args:
            images: [N, C, H, W] about [-1, 1]. Colour transforms need C = 1 (grey), 3 (RGB), or
                2 and 4 (the same with alpha, whose values they leave unchanged).
            p: probability of each transform in [0, 1]; 0 returns `images`.
            percentile: for tests: replaces the random values, see `RandomParameters`.

        Returns:
            [N, C, H, W], not clamped; float32 if the images are in half precision.

        Raises:
            ConfigError: the colour transforms do not support the number of channels.
            ValueError: p is not a probability.
        """
        if not 0 <= p <= 1:
            raise ValueError(f"p, the probability of an augmentation, must be in [0, 1], not {p}")
        images = at_least_float32(images)  # resampling in half precision would show banding
        if p == 0 or not self.transforms:
            return images
        # Autocast would run the matrix products of the resampling in half precision.
        with without_autocast(images):
            return self._augment(images, RandomParameters(len(images), p, percentile))

    def _augment(self, images: Tensor, params: RandomParameters) -> Tensor:
        size = (images.shape[2], images.shape[3])
        # All geometric transforms are one resampling, so that images are blurred only once.
        images = warp(images, inverse_matrix(self.transforms, params, size))
        # The order is also that of the draws: another one would change the augmentations of a seed.
        if not self.transforms.isdisjoint(_COLOR):
            images = recolor(images, color_matrix(self.transforms, params))
        if "filter" in self.transforms:
            images = amplify(images, band_gains(params))
        if "noise" in self.transforms:
            images = add_noise(images, noise_std(params))
        if "cutout" in self.transforms:
            images = cut_out(images, cutout_centre(params))
        return images

    def extra_repr(self) -> str:
        """Return the names of the transforms, shown when the module is printed."""
        return ", ".join(name for name in TRANSFORMS["bgcfnc"] if name in self.transforms)
