"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 pictures of 32 x 32 pixels in ten classes."""

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gantrain.data.cache import cache_folder
from gantrain.data.download import fetch
from gantrain.data.labels import Labels, one_hot
from gantrain.data.single import Log, StackedImages
from gantrain.errors import ConfigError

ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
MD5 = "c58f30108f718f92721af3b95e74349a"
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FILES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}


class CIFAR10(StackedImages):
    """The official python archive: `root` is it, or a folder that holds it or its contents.

    `root` None: downloaded from `url` into the cache folder at the first use, 170 MB.
    """

    def __init__(
        self,
        *,
        seed: int,
        root: str | None = None,
        url: str = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}",
        cache_dir: str | None = None,
        resolution: Literal[32] = 32,
        flip: bool = False,
        labels: bool = False,
        max_images: int | None = None,
    ) -> None:
        super().__init__(seed, flip)
        self.channels, self.resolution = {"image": 3}, (resolution, resolution)
        self.images_per_epoch = min(50_000, max_images or 50_000)
        self._labels = Labels("class", CLASSES) if labels else None
        self._url, self._target = url, cache_folder(cache_dir) / ARCHIVE
        self._place = None if root is None else _find(Path(root).expanduser())

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Read everything into memory (180 MB). Raises ConfigError."""
        place = self._place or fetch(
            self._url,
            self._target,
            MD5 if self._url.endswith(f"toronto.edu/~kriz/{ARCHIVE}") else None,
            log,
            f"fetch {ARCHIVE} on another machine and give data.root=FOLDER that holds it.",
        )
        read = _from_folder(place) if place.is_dir() else _from_archive(place)
        images, vectors = {}, {}
        for split, names in FILES.items():
            parts = [_unpickle(read(name), f"{place}: {name}") for name in names]
            images[split] = np.concatenate([part["data"] for part in parts]).reshape(-1, 3, 32, 32)
            numbers = [number for part in parts for number in part["labels"]]
            vectors[split] = one_hot(numbers, len(CLASSES))
        self._keep(images, vectors)
        log(
            f"data: CIFAR-10, {self._size('train')} training and {self._size('test')} test pictures"
        )


def _find(root: Path) -> Path:
    """The archive or the unpacked folder."""
    for place in (root / FOLDER, root / ARCHIVE, root):
        if place.is_file() or (place / "data_batch_1").is_file():
            return place
    raise ConfigError(
        f"data.root={root} is neither {ARCHIVE} nor a folder that holds it or {FOLDER}/: check the "
        "path, or data.root=null to download it."
    )


def _from_folder(folder: Path) -> Callable[[str], bytes]:
    return lambda name: (folder / name).read_bytes()


def _from_archive(file: Path) -> Callable[[str], bytes]:
    wanted = {f"{FOLDER}/{name}": name for names in FILES.values() for name in names}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(file) as archive:
            for member in archive:  # in the order of the file: a tar.gz cannot be sought
                if member.name in wanted and (content := archive.extractfile(member)):
                    found[wanted[member.name]] = content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise ConfigError(
            f"{file} cannot be read ({error}): remove it, and it is fetched anew."
        ) from error
    if missing := sorted(set(wanted.values()) - found.keys()):
        raise ConfigError(f"{file} holds no {', '.join(missing)}: it is not CIFAR-10's archive.")
    return found.__getitem__


ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),  # how Python 3 writes bytes into a pickle of protocol 2
}


class _OnlyArrays(pickle.Unpickler):
    """The batches are pickles: nothing but numpy arrays may come of them, no code."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _unpickle(content: bytes, where: str) -> dict[str, Any]:
    """{"data": uint8 [N, 3072], "labels": N numbers}. Raises ConfigError."""
    try:
        found = _OnlyArrays(io.BytesIO(content), encoding="bytes").load()
        data, numbers = np.asarray(found[b"data"], np.uint8), list(found[b"labels"])
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        raise ConfigError(f"{where} is no batch of CIFAR-10 ({error}).") from error
    if data.ndim != 2 or data.shape[1] != 3072 or len(numbers) != len(data):
        raise ConfigError(f"{where} is no batch of CIFAR-10 (shape {data.shape}).")
    return {"data": data, "labels": numbers}
