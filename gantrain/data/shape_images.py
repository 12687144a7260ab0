"""`shapes` for generation: the procedural pictures one by one, labelled by what they show."""

import numpy as np

from gantrain.data.labels import Labels
from gantrain.data.shapes import CLASSES, draw_labelled
from gantrain.data.single import Log, StackedImages
from gantrain.errors import ConfigError


class ShapeImages(StackedImages):
    """Plain circles, squares and triangles on a textured ground; see `gantrain.data.shapes`.

    A label has an entry for each kind of shape: 1 if the picture shows it, else 0.
    """

    def __init__(
        self,
        *,
        seed: int,
        resolution: int = 64,
        train_images: int = 800,
        test_images: int = 100,
        max_images: int | None = None,
        flip: bool = True,
        labels: bool = False,
    ) -> None:
        super().__init__(seed, flip)
        if resolution < 16 or resolution % 4:
            raise ConfigError(
                f"data.resolution={resolution} does not suit data=shapes: "
                "use a multiple of 4 from 16 on, such as 64."
            )
        self.channels, self.resolution = {"image": 3}, (resolution, resolution)
        self.images_per_epoch = min(train_images, max_images or train_images)
        self._test_images = test_images
        self._labels = Labels("multi", CLASSES) if labels else None

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Draw all images. Raises ConfigError when the sides are no multiple of `multiple`."""
        side = self.resolution[0]
        if side % multiple:
            raise ConfigError(
                f"data.resolution={side} does not suit this model, whose images need sides that "
                f"are multiples of {multiple}: use {-(-side // multiple) * multiple}."
            )
        images: dict[str, np.ndarray] = {}
        vectors: dict[str, np.ndarray] = {}
        train, test = self.images_per_epoch, self._test_images
        images["train"], vectors["train"] = draw_labelled("train", train, side)
        images["test"], vectors["test"] = draw_labelled("test", test, side)
        self._keep(images, vectors)
        log(f"data: drew {self.images_per_epoch} training and {self._test_images} test images")
