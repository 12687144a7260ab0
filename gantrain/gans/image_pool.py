"""A history of generated images for the discriminator (Shrivastava et al. 2017)."""

from typing import Any

import torch
from torch import Tensor

from gantrain.gans.base import RankLocal


class ImagePool(RankLocal):
    """Up to `size` earlier images; a full pool answers half of the queries with one of them.

    Per image, in order: not full -> store it and return it; full -> with probability 1/2 return a
    random stored image and put the new one in its place, else return the new one unstored.
    `size` 0 returns everything unchanged. The images travel in the state dict. Of several ranks
    each has a pool of its share of the size, so that images grow as old as in one pool.
    """

    anchor: Tensor
    constant_buffers = ("anchor",)

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = self.total = size
        self.images: list[Tensor] = []
        self.register_buffer("anchor", torch.empty(0), persistent=False)  # goes where the GAN goes

    def forward(self, images: Tensor) -> Tensor:
        """[N, C, H, W] detached images -> [N, C, H, W], the same or earlier ones.

        The draws come from torch's CPU generator, so nothing waits for an accelerator.
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
        return {"images": list(self.images)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        # A smaller pool than the saved one keeps the first images.
        self.images = [x.to(self.anchor.device) for x in state["images"][: self.size]]

    def deal(self, states: list[dict[str, Any]], rank: int, size: int) -> None:
        share = self.total // size + (rank < self.total % size)
        self.size = max(share, min(self.total, 1))
        if len(states) == size:
            self.set_extra_state(states[rank])
        elif states:  # of another number of ranks: dealt out one by one
            images = [image for state in states for image in state["images"]]
            self.set_extra_state({"images": images[rank::size]})
