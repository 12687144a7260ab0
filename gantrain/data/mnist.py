"""MNIST (LeCun et al. 1998): 60,000 + 10,000 grey pictures of digits, 28 x 28 pixels."""

import gzip
import io
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np

from gantrain.data.base import InMemoryDataset, Log
from gantrain.data.cache import cache_folder
from gantrain.data.labels import Labels
from gantrain.errors import ConfigError
from gantrain.io.download import RemoteFile, fetch

MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FILES = {  # name: MD5 of the published .gz
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
PREFIX = {"train": "train", "test": "t10k"}
PARTS = ("images-idx3", "labels-idx1")
_ANEW = "remove it and fetch it anew."
_LIMIT = 64 << 20  # bytes of an unpacked file; the largest has 47 MB


class MNIST(InMemoryDataset):
    """The idx files, packed (.gz) or not, in the folder `root`.

    `root` None: downloaded from `url` into the cache folder at the first use, 12 MB. `resolution`
    32 adds a black border, as the StyleGAN tools do.
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
    ) -> None:
        super().__init__(seed, flip)
        self.channels = {"image": 1}
        self.resolution: tuple[int, int] = (resolution, resolution)
        self._limit = max_images
        self.images_per_epoch = min(60_000, max_images or 60_000)
        self._labels = Labels("class", tuple("0123456789")) if labels else None
        self._url, self._folder = url, cache_folder(cache_dir) / "mnist"
        self._files: dict[str, Path] = {} if root is None else _find(Path(root).expanduser())

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Read everything into memory (70 MB). Raises ConfigError."""
        self._refuse_unless(multiple, "use data.resolution=32, or another model")
        official = self._url.rstrip("/") == MIRROR.rstrip("/")
        files = self._files or {
            name: fetch(
                RemoteFile(
                    [f"{self._url.rstrip('/')}/{name}.gz"], f"md5:{md5}" if official else None
                ),
                self._folder / f"{name}.gz",
                log,
                "fetch the four files on another machine and give data.root=FOLDER.",
            )
            for name, md5 in FILES.items()
        }
        border = (self.resolution[0] - 28) // 2
        images, numbers = {}, {}
        for split, prefix in PREFIX.items():
            pictures, labels = (files[f"{prefix}-{part}-ubyte"] for part in PARTS)
            stack, numbers[split] = _idx(pictures, 3), _idx(labels, 1)
            if stack.shape[1:] != (28, 28) or len(stack) == 0:
                raise ConfigError(f"{pictures} holds no pictures of 28 x 28 pixels: {_ANEW}")
            if len(numbers[split]) != len(stack) or numbers[split].max() > 9:
                raise ConfigError(
                    f"{labels} does not hold a digit for each of the {len(stack)} pictures in "
                    f"{pictures}: {_ANEW}"
                )
            images[split] = np.pad(stack, ((0, 0), (border, border), (border, border)))[:, None]
        self._keep(images, numbers, self._limit)
        log(f"data: MNIST, {self._size('train')} training and {self._size('test')} test pictures")


def _find(root: Path) -> dict[str, Path]:
    found = {
        name: place
        for name in FILES
        for place in (root / f"{name}.gz", root / name.replace("-idx", ".idx"), root / name)
        if place.is_file()
    }
    if missing := [name for name in FILES if name not in found]:
        raise ConfigError(
            f"data.root={root} lacks {', '.join(missing)} (or the same with .gz): check the path, "
            "or use data.root=null to download them."
        )
    return found


def _idx(file: Path, dimensions: int) -> np.ndarray:
    """uint8 array of an idx file. Raises ConfigError."""
    try:
        content = file.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(_LIMIT)
        magic, *shape = struct.unpack_from(f">{1 + dimensions}I", content)
        if magic != 0x0800 + dimensions:
            raise ValueError(f"it begins with {magic:#x}")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise ConfigError(
            f"{file} is no idx file of {dimensions} dimensions ({error}): {_ANEW}"
        ) from error
