"""data=shapes for generation: the procedural images one by one, labelled by their shapes."""

from gantrain.data.base import InMemoryDataset, Log
from gantrain.data.labels import Labels
from gantrain.data.shapes import CLASSES, draw_labelled
from gantrain.errors import ConfigError


class ShapeImages(InMemoryDataset):
    """Circles, squares and triangles on textured ground, see `gantrain.data.shapes`.

    Args:
        seed: of order and mirroring; the images do not depend on it.
        resolution: side in pixels, a multiple of 4 from 16 on.
        train_images: number of training images.
        test_images: number of test images.
        max_images: upper bound of the training images; None: none.
        flip: whether training images are mirrored at random.
        labels: whether images have labels, with an entry of 1 or 0 for each kind of shape.

    Raises:
        ConfigError: a number is out of range.
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
        if train_images < 1 or test_images < 0:
            raise ConfigError(
                f"data.train_images={train_images}, data.test_images={test_images}: data=shapes "
                "needs at least 1 training image."
            )
        self.channels, self.resolution = {"image": 3}, (resolution, resolution)
        self.images_per_epoch = min(train_images, max_images or train_images)
        self._test_images = test_images
        self._labels = Labels("multi", CLASSES) if labels else None

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Draw all images.

        Raises:
            ConfigError: the model needs another resolution.
        """
        self._check_multiple(multiple)
        side, images, labels = self.resolution[0], {}, {}
        images["train"], labels["train"] = draw_labelled("train", self.images_per_epoch, side)
        images["test"], labels["test"] = draw_labelled("test", self._test_images, side)
        self._set_data(images, labels, None)
        log(f"data: drew {self.images_per_epoch} training and {self._test_images} test images")
