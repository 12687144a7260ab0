"""The augmentation pipeline in front of the discriminator.

Karras et al. 2020, "Training generative adversarial networks with limited data"
(arXiv 2006.06676), appendix B.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from gantrain.augment.color import color_affine, color_matrix, recolor
from gantrain.augment.corrupt import add_noise, covered, cut_out, cutout_centre, noise_std
from gantrain.augment.draw import RandomParameters, to_device_like
from gantrain.augment.filters import TAPS, amplify, band_gains, band_taps
from gantrain.augment.geometry import Size, inverse_matrix
from gantrain.augment.warp import STEPS, margin_step, up_pixel_matrix, warp, warp_batch, warped
from gantrain.networks.layers import without_autocast
from gantrain.ops.precision import at_least_float32
from gantrain.ops.tracing import is_recorded

Spec = Literal[
    "none", "blit", "geom", "color", "filter", "noise", "cutout",
    "bg", "bgc", "bgc_cutout", "bgcf", "bgcfn", "bgcfnc",
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
    "bgc_cutout": (*_BGC, "cutout"),
    "bgcf": (*_BGC, "filter"),
    "bgcfn": (*_BGC, "filter", "noise"),
    "bgcfnc": (*_BGC, "filter", "noise", "cutout"),
}


# What changes no image, for each group of `AugmentPipe.draw` in the order of the draws.
_NEUTRAL = {
    "geometry": torch.eye(3, dtype=torch.float64),
    "color": torch.eye(4, dtype=torch.float64),
    "filter": torch.ones(4, dtype=torch.float64),
    "noise": torch.zeros((), dtype=torch.float64),
    "cutout": torch.full((2,), -1.0, dtype=torch.float64),
}


class AugmentPipe(nn.Module):
    """Pixel blitting, geometry, colour, filtering, noise and cutout, in this order.

    Each transform is applied to each image with probability p, independently of all others. The
    parameters come from torch's CPU generator; the pipeline has no state.

    `forward` does it all. For a step that is recorded, `prepare` draws before it and
    `apply_prepared` is part of it.

    Args:
        spec: a group of transforms, or the initials of several groups ("bgc", the paper's choice:
            blit, geom, color); "bgc_cutout" is that of R3GAN.
        shares: by group of `draw`, the share of p with which its transforms are applied; 1 for
            those that are not named.
    """

    def __init__(self, spec: Spec, shares: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.transforms = frozenset(TRANSFORMS[spec])
        self.shares = dict(shares or {})

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
        drawn = self.prepare(images, p, "images", percentile=percentile)
        return self.apply_prepared(images, drawn, "images")

    def draw(
        self, count: int, size: Size, p: float, *, percentile: float | None = None
    ) -> dict[str, Tensor]:
        """Draw the parameters of `count` images; nothing is drawn if p = 0.

        Args:
            count: images, N.
            size: (height, width) in pixels.
            p: probability of each transform in [0, 1].
            percentile: for tests: replaces the random values, see `RandomParameters`.

        Returns:
            Of each group in the spec, float64 on the CPU: "geometry" [N, 3, 3] from
            `inverse_matrix`, "color" [N, 4, 4] from `color_matrix`, "filter" [N, 4] from
            `band_gains`, "noise" [N] from `noise_std`, "cutout" [N, 2] from `cutout_centre`.

        Raises:
            ValueError: p is not a probability.
        """
        if not 0 <= p <= 1:
            raise ValueError(f"p, the probability of an augmentation, must be in [0, 1], not {p}")
        drawn = {}
        # The order is that of the draws: another one would change the augmentations of a seed.
        for group in self._groups():
            params = RandomParameters(count, p * self.shares.get(group, 1.0), percentile)
            match group:
                case "geometry":
                    drawn[group] = inverse_matrix(self.transforms, params, size)
                case "color":
                    drawn[group] = color_matrix(self.transforms, params)
                case "filter":
                    drawn[group] = band_gains(params)
                case "noise":
                    drawn[group] = noise_std(params)
                case "cutout":
                    drawn[group] = cutout_centre(params)
        return drawn

    def margin_step(self, drawn: dict[str, Tensor], size: Size) -> int:
        """Return which margins `apply` needs: one of the few steps of `warp.margin_step`.

        Args:
            drawn: from `draw`.
            size: (height, width) in pixels.
        """
        return margin_step(drawn["geometry"], size) if "geometry" in drawn else 0

    def pack(self, drawn: dict[str, Tensor], images: Tensor) -> Tensor:
        """Return all that `apply` has to know, in one tensor and by one copy to the device.

        Args:
            drawn: from `draw`.
            images: [N, C, H, W] to be augmented; only their shape, dtype and device count.

        Returns:
            [N, L] like the images, at least float32: one row per image. L follows from the spec, C,
            H and W.

        Raises:
            ConfigError: the colour transforms do not support the number of channels.
        """
        parameters = list(_parameters(drawn, images).values())
        packed = torch.cat(parameters, dim=1) if parameters else torch.empty(len(images), 0)
        return to_device_like(packed, at_least_float32(images[:0]))

    def apply(
        self, images: Tensor, packed: Tensor, step: int = STEPS, noise: Tensor | None = None
    ) -> Tensor:
        """Augment images by parameters that lie where they do, all images at once.

        Nothing is drawn on the host or read from the device, and no shape depends on a value, so
        it can be traced and captured. Images that are not selected stay as they are.

        Args:
            images: [N, C, H, W], see `forward`.
            packed: [N, L] from `pack`.
            step: at least `margin_step` of what was drawn; at 0 no image is warped.
            noise: standard normal numbers like the images; None: drawn here, by their device.

        Returns:
            [N, C, H, W], see `forward`.
        """
        images = at_least_float32(images)
        parameters = self._unpack(packed.to(images.dtype), images)
        # Autocast would run the matrix products of the resampling in half precision.
        with without_autocast(images):
            if "geometry" in parameters:
                matrix, is_warped = parameters["geometry"].split([6, 1], dim=1)
                matrix = matrix.unflatten(1, (2, 3))
                images = warp_batch(images, matrix, is_warped > 0, step)
            return _recolor_and_corrupt(images, parameters, noise)

    def prepare(
        self,
        images: Tensor,
        p: float,
        name: str,
        *,
        percentile: float | None = None,
        will_rise: bool = False,
    ) -> dict[str, Tensor]:
        """Draw what `apply_prepared` will do to images of this shape; nothing if p = 0.

        Args:
            images: [N, C, H, W]; only their shape, dtype and device count.
            p: probability of each transform in [0, 1].
            name: of the images, the start of every name that is returned.
            percentile: for tests: replaces the random values, see `RandomParameters`.
            will_rise: p = 0 is the start of a schedule: a recording made now is for later as well.

        Returns:
            Entries of a batch. While a recording is made or run, their names, shapes and dtypes do
            not depend on what was drawn.
        """
        size = (images.shape[2], images.shape[3])
        drawn = self.draw(len(images), size, p, percentile=percentile)
        if not drawn or (p == 0 and not (will_rise and is_recorded())):
            return {}
        if images.device.type == "cpu" and not is_recorded():
            return {f"{name}/{group}": values for group, values in drawn.items()}
        step = STEPS if is_recorded() else self.margin_step(drawn, size)
        return {f"{name}/{step}": self.pack(drawn, images)}

    def apply_prepared(self, images: Tensor, batch: dict[str, Tensor], name: str) -> Tensor:
        """Augment images by the entries of `prepare`; without any they stay as they are.

        Args:
            images: [N, C, H, W], see `forward`.
            batch: holds the entries.
            name: that of `prepare`.

        Returns:
            [N, C, H, W], see `forward`.
        """
        images = at_least_float32(images)  # resampling in half precision would show banding
        length = len(name) + 1
        drawn = {k[length:]: x for k, x in batch.items() if k.startswith(f"{name}/")}
        for step in range(STEPS + 1):
            if str(step) in drawn:
                return self.apply(images, drawn[str(step)], step)
        # Drawn whether or not an image gets noise, as in a recording.
        noise = torch.randn_like(images) if "noise" in drawn else None
        return self._one_by_one(images, drawn, noise) if drawn else images

    def extra_repr(self) -> str:
        """Return the names of the transforms, shown when the module is printed."""
        return ", ".join(name for name in TRANSFORMS["bgcfnc"] if name in self.transforms)

    def _groups(self) -> list[str]:
        of_group = {"geometry": (*_BLIT, *_GEOM), "color": _COLOR}
        return [
            name for name in _NEUTRAL if not self.transforms.isdisjoint(of_group.get(name, (name,)))
        ]

    def _unpack(self, packed: Tensor, images: Tensor) -> dict[str, Tensor]:
        """Return the parts of `pack`, [N, ...] by group."""
        channels, height, width = images.shape[1:]
        colors = 1 if channels < 3 else 3
        widths = {
            "geometry": 6 + 1,
            "color": colors * (colors + 1),
            "filter": TAPS,
            "noise": 1,
            "cutout": height + width,
        }
        groups = self._groups()
        parts = packed.split([widths[name] for name in groups], dim=1)
        return dict(zip(groups, parts, strict=True))

    def _one_by_one(self, images: Tensor, drawn: dict[str, Tensor], noise: Tensor | None) -> Tensor:
        """Augment as `apply` does, as it is fastest on a CPU: what changes no image is left out."""
        matrices = drawn.pop("geometry", None)
        parameters = _parameters(drawn, images)
        for name, values in drawn.items():
            if torch.equal(values, _NEUTRAL[name].expand_as(values)):
                del parameters[name]
        parameters = {name: to_device_like(part, images) for name, part in parameters.items()}
        with without_autocast(images):
            images = images if matrices is None else warp(images, matrices)
            return _recolor_and_corrupt(images, parameters, noise)


def _parameters(drawn: dict[str, Tensor], images: Tensor) -> dict[str, Tensor]:
    """Convert what was drawn to what the images are computed with, [N, width] in float64."""
    channels, height, width = images.shape[-3:]
    convert: dict[str, Callable[[Tensor], Tensor]] = {
        "geometry": lambda inverse: torch.cat(
            [up_pixel_matrix(inverse).flatten(1), warped(inverse)[:, None]], dim=1
        ),
        "color": lambda matrix: color_affine(matrix, channels).flatten(1),
        "filter": band_taps,
        "noise": lambda std: std[:, None],
        "cutout": lambda centre: covered(centre, (height, width)),
    }
    return {name: convert[name](values) for name, values in drawn.items()}


def _recolor_and_corrupt(
    images: Tensor, parameters: dict[str, Tensor], noise: Tensor | None
) -> Tensor:
    """Apply all but the geometry; `parameters` are like the images."""
    if "color" in parameters:
        affine = parameters["color"]
        colors = 1 if affine.shape[1] == 2 else 3
        images = recolor(images, affine.unflatten(1, (colors, colors + 1)))
    if "filter" in parameters:
        images = amplify(images, parameters["filter"])
    if "noise" in parameters:
        images = add_noise(images, parameters["noise"], noise)
    if "cutout" in parameters:
        images = cut_out(images, parameters["cutout"])
    return images
