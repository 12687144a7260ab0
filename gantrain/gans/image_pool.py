"""A buffer of earlier generated images for the discriminator (Shrivastava et al. 2017)."""

from typing import Any

import torch
from torch import Tensor

from gantrain.gans.base import RankLocal


class ImagePool(RankLocal):
    """Up to `size` earlier images; once it is full, half of the queries return one of them.

    For each image in turn: if the pool is not full, store the image and return it; otherwise, with
    probability 1/2, return a random stored image and store the new one in its slot, else return
    the new one without storing it. The images are part of the state dict. With several ranks each
    pool holds its share of `size`, so that images get as old as in a single pool.

    Args:
        size: capacity in images, of all ranks together; 0 returns everything unchanged.
    """

    anchor: Tensor
    constant_buffers = ("anchor",)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = self.total = size
        self.images: list[Tensor] = []
        self.register_buffer("anchor", torch.empty(0), persistent=False)  # to know the device

    def forward(self, images: Tensor) -> Tensor:
        """Swap some of the images [N, C, H, W] (detached) for earlier ones of the same shape.

        Random numbers come from torch's CPU generator, so nothing waits for an accelerator.
        """
        if self.size == 0:
            return images
        return torch.stack([self._query(image) for image in images])

    def _query(self, image: Tensor) -> Tensor:
        if len(self.images) < self.size:
            self.images.append(image.clone())  # a view would keep the whole batch alive
            return image
        if torch.rand(()) <= 0.5:
            return image
        slot = int(torch.randint(self.size, ()))
        old, self.images[slot] = self.images[slot], image.clone()
        return old

    def get_extra_state(self) -> dict[str, Any]:
        """Return the stored images for the state dict, each [C, H, W]."""
        return {"images": list(self.images)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the stored images onto the pool's device."""
        # A pool smaller than the saved one keeps the first images.
        self.images = [x.to(self.anchor.device) for x in state["images"][: self.size]]

    def deal(self, states: list[dict[str, Any]], rank: int, size: int) -> None:
        """Set this rank's share of the capacity and of the saved images."""
        share = self.total // size + (rank < self.total % size)
        self.size = max(share, min(self.total, 1))
        if len(states) == size:
            self.set_extra_state(states[rank])
        elif states:  # saved by another number of ranks: distribute the images round-robin
            images = [image for state in states for image in state["images"]]
            self.set_extra_state({"images": images[rank::size]})
