"""Random parameters of the augmentations: drawn on the host, selected image by image."""

import torch
from torch import Tensor


class RandomParameters:
    """Parameters for the `n` images of one batch.

    Everything comes from torch's CPU generator, in float64 on the CPU: which images are warped and
    how wide a margin they need is then known without waiting for an accelerator, and one seed
    gives the same augmentations on every device.

    Args:
        n: images in the batch.
        p: probability in [0, 1] that an image gets a transform.
        percentile: None, or a number in (0, 1) that takes the place of every random value: normals
            become std * erfinv(2 * percentile - 1) and uniforms their percentile. Selection
            stays random; p = 1 makes the result deterministic. For tests.
    """

    def __init__(self, n: int, p: float, percentile: float | None = None) -> None:
        self.n, self.p, self.percentile = n, p, percentile

    def uniform(self, *size: int) -> Tensor:
        """[n, *size], uniform in [0, 1)."""
        if self.percentile is None:
            return torch.rand(self.n, *size, dtype=torch.float64)
        return torch.full((self.n, *size), self.percentile, dtype=torch.float64)

    def signed(self, limit: float, *size: int) -> Tensor:
        """[n, *size], uniform in [-limit, limit)."""
        return (2 * self.uniform(*size) - 1) * limit

    def integer(self, count: int) -> Tensor:
        """[n], one of 0, 1, ..., count - 1."""
        return (self.uniform() * count).floor()

    def normal(self, std: float, *size: int) -> Tensor:
        """[n, *size], normal with mean 0 and standard deviation `std`."""
        if self.percentile is None:
            return torch.randn(self.n, *size, dtype=torch.float64) * std
        return torch.erfinv(self.signed(1, *size)) * std

    def half_normal(self, std: float) -> Tensor:
        """[n], absolute values of normals with standard deviation `std`."""
        if self.percentile is None:
            return self.normal(std).abs()
        return torch.erfinv(self.uniform()) * std

    def select(self, values: Tensor, neutral: float, p: float | None = None) -> Tensor:
        """`values` [n, ...] where an image is selected, with probability p, and `neutral` else."""
        chosen = torch.rand(self.n, dtype=torch.float64) < (self.p if p is None else p)
        return torch.where(chosen.view(-1, *[1] * (values.ndim - 1)), values, neutral)


def to_device_like(values: Tensor, images: Tensor) -> Tensor:
    """`values` in the dtype of `images` and on their device, without waiting for it."""
    return values.to(images.dtype).to(images.device, non_blocking=True)
