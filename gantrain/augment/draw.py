"""Random parameters of the augmentations, drawn on the host."""

import torch
from torch import Tensor


class RandomParameters:
    """A source of random parameters for the `n` images of a batch.

    All values come from torch's CPU generator, as float64 on the CPU: which images are warped and
    how wide a margin they need is known without waiting for an accelerator, and a seed gives the
    same augmentations on every device.

    Args:
        n: images in the batch.
        p: probability in [0, 1] that an image is selected for a transform.
        percentile: for tests: a number in (0, 1) that replaces every random value. Normals become
            std * erfinv(2 * percentile - 1), uniforms their percentile. The selection stays random;
            with p = 1 the result is deterministic. None: values are random.
    """

    def __init__(self, n: int, p: float, percentile: float | None = None) -> None:
        self.n, self.p, self.percentile = n, p, percentile

    def uniform(self, *size: int) -> Tensor:
        """Draw [n, *size], uniform in [0, 1)."""
        if self.percentile is None:
            return torch.rand(self.n, *size, dtype=torch.float64)
        return torch.full((self.n, *size), self.percentile, dtype=torch.float64)

    def signed(self, limit: float, *size: int) -> Tensor:
        """Draw [n, *size], uniform in [-limit, limit)."""
        return (2 * self.uniform(*size) - 1) * limit

    def integer(self, count: int) -> Tensor:
        """Draw [n], uniform among 0, 1, ..., count - 1."""
        return (self.uniform() * count).floor()

    def normal(self, std: float, *size: int) -> Tensor:
        """Draw [n, *size], normal with mean 0 and standard deviation `std`."""
        if self.percentile is None:
            return torch.randn(self.n, *size, dtype=torch.float64) * std
        return torch.erfinv(self.signed(1, *size)) * std

    def half_normal(self, std: float) -> Tensor:
        """Draw [n], absolute values of normals with standard deviation `std`."""
        if self.percentile is None:
            return self.normal(std).abs()
        return torch.erfinv(self.uniform()) * std

    def select(self, values: Tensor, neutral: float, p: float | None = None) -> Tensor:
        """Select images at random and replace the values of the others.

        Args:
            values: [n, ...], one per image.
            neutral: value for images that are not selected: that of the identity.
            p: probability of a selection; None: that of the constructor.
        """
        # All values have been drawn already: which images are selected does not shift later draws.
        selected = torch.rand(self.n, dtype=torch.float64) < (self.p if p is None else p)
        return torch.where(selected.view(-1, *[1] * (values.ndim - 1)), values, neutral)


def to_device_like(values: Tensor, images: Tensor) -> Tensor:
    """Convert `values` to the dtype and device of `images`, without waiting for the device.

    Args:
        values: parameters, float64 on the CPU.
        images: the batch they are applied to.
    """
    return values.to(images.dtype).to(images.device, non_blocking=True)
