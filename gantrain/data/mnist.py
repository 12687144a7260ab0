"""MNIST (LeCun et al. 1998): 60,000 + 10,000 grey images of digits, 28 x 28 pixels."""

import gzip
import io
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from gantrain.data.base import InMemoryDataset, Log
from gantrain.data.cache import cache_folder
from gantrain.data.image_files import Reading
from gantrain.data.labels import Labels
from gantrain.errors import ConfigError
from gantrain.io.download import RemoteFile, fetch
from gantrain.io.names import local_path

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {  # name to MD5 of the published .gz
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
PREFIX = {"train": "train", "test": "t10k"}
PARTS = ("images-idx3", "labels-idx1")
_FIX = "remove it and download it again."
_MAX_BYTES = 64 << 20  # of an unpacked file; the largest has 47 MB


class MNIST(InMemoryDataset):
    """MNIST from its idx files.

    Args:
        seed: of order and mirroring.
        root: folder of the files, packed (.gz) or not; None: `prepare` downloads them (12 MB).
        url: of the folder of the packed files.
        cache_dir: where downloads are kept; None: see `gantrain.data.cache.cache_folder`.
        resolution: 28, or 32 with a black border, as in the StyleGAN tools.
        flip: whether training images are mirrored at random.
        labels: whether images have class labels.
        max_images: train on so many only, the first ones; with labels, of every class; None: on
            all.
        reading: see `ImageDataset`.

    Raises:
        ConfigError: files are missing at `root`.
    """

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        url: str = MIRROR,
        cache_dir: str | None = None,
        resolution: Literal[28, 32] = 32,
        flip: bool = False,
        labels: bool = False,
        max_images: int | None = None,
        reading: Reading = 2,
    ) -> None:
        super().__init__(seed, flip, reading)
        self.channels = {"image": 1}
        self.resolution: tuple[int, int] = (resolution, resolution)
        self._limit = max_images
        self.images_per_epoch = min(60_000, max_images or 60_000)
        self._labels = Labels("class", tuple("0123456789")) if labels else None
        self._url, self._folder = url, cache_folder(cache_dir) / "mnist"
        self._files: dict[str, Path] = {} if root is None else _find(local_path(root))

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Read all images into memory (70 MB), downloading them first if necessary.

        Raises:
            ConfigError: the files are missing or damaged, or the model needs another resolution.
        """
        self._check_multiple(multiple, "use data.resolution=32, or another model")
        official = self._url.rstrip("/") == MIRROR.rstrip("/")
        files = self._files or {
            name: fetch(
                RemoteFile(
                    [f"{self._url.rstrip('/')}/{name}.gz"], f"md5:{md5}" if official else None
                ),
                self._folder / f"{name}.gz",
                log,
                "download the four files on another machine and give data.root=FOLDER.",
            )
            for name, md5 in FILES.items()
        }
        border = (self.resolution[0] - 28) // 2
        images, digits = {}, {}
        for split, prefix in PREFIX.items():
            image_file, label_file = (files[f"{prefix}-{part}-ubyte"] for part in PARTS)
            stack, digits[split] = _read_idx(image_file, 3), _read_idx(label_file, 1)
            if stack.shape[1:] != (28, 28) or len(stack) == 0:
                raise ConfigError(f"{image_file} holds no images of 28 x 28 pixels: {_FIX}")
            if len(digits[split]) != len(stack) or digits[split].max() > 9:
                raise ConfigError(
                    f"{label_file} does not hold a digit for each of the {len(stack)} images in "
                    f"{image_file}: {_FIX}"
                )
            images[split] = np.pad(stack, ((0, 0), (border, border), (border, border)))[:, None]
        self._set_data(images, digits, self._limit)
        log(f"data: MNIST, {self._size('train')} training and {self._size('test')} test images")
        for note in self._label_notes():
            log(f"data: {note}")


def _find(root: Path) -> dict[str, Path]:
    files = {
        name: path
        for name in FILES
        for path in (root / f"{name}.gz", root / name.replace("-idx", ".idx"), root / name)
        if path.is_file()
    }
    if missing := [name for name in FILES if name not in files]:
        raise ConfigError(
            f"data.root={root} lacks {', '.join(missing)} (or the same with .gz): check the path, "
            "or use data.root=null to download them."
        )
    return files


def _read_idx(file: Path, dimensions: int) -> np.ndarray:
    """Return the uint8 array of an idx file, or raise ConfigError."""
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(_MAX_BYTES)
        magic, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
        if magic != 0x0800 + dimensions:
            raise ValueError(f"it begins with {magic:#x}")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise ConfigError(
            f"{file} is no idx file of {dimensions} dimensions ({error}): {_FIX}"
        ) from error
