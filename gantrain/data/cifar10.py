"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 pictures of 32 x 32 pixels in ten classes."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from gantrain.data.base import InMemoryDataset, Log
from gantrain.data.cache import cache_folder
from gantrain.data.labels import Labels
from gantrain.data.safe_pickle import unpickle
from gantrain.errors import ConfigError
from gantrain.io.download import RemoteFile, fetch

ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
MD5 = "c58f30108f718f92721af3b95e74349a"
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FILES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_LIMIT = 100 << 20  # bytes of a batch; the real ones have 30 MB


class CIFAR10(InMemoryDataset):
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
        self.channels = {"image": 3}
        self.resolution: tuple[int, int] = (resolution, resolution)
        self._limit = max_images
        self.images_per_epoch = min(50_000, max_images or 50_000)
        self._labels = Labels("class", CLASSES) if labels else None
        self._url, self._target = url, cache_folder(cache_dir) / ARCHIVE
        self._place = None if root is None else _find(Path(root).expanduser())

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Read everything into memory (180 MB). Raises ConfigError."""
        self._refuse_unless(multiple, "use data=folder with data.resolution, or another model")
        official = self._url.endswith(f"toronto.edu/~kriz/{ARCHIVE}")
        place = self._place or fetch(
            RemoteFile([self._url], f"md5:{MD5}" if official else None),
            self._target,
            log,
            f"fetch {ARCHIVE} on another machine and give data.root=FOLDER that holds it.",
        )
        read = _from_folder(place) if place.is_dir() else _from_archive(place)
        images, numbers = {}, {}
        for split, names in FILES.items():
            parts = [_batch(read(name), f"{place}: {name}") for name in names]
            images[split] = np.concatenate([data for data, _ in parts]).reshape(-1, 3, 32, 32)
            numbers[split] = np.concatenate([labels for _, labels in parts])
        self._keep(images, numbers, self._limit)
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
    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{folder / name} cannot be read ({error.strerror}): unpack {ARCHIVE} again, or "
                "give it as data.root."
            ) from error

    return read


def _from_archive(file: Path) -> Callable[[str], bytes]:
    wanted = {f"{FOLDER}/{name}": name for names in FILES.values() for name in names}
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(file) as archive:
            for member in archive:  # in the order of the file: a tar.gz cannot be sought
                name = wanted.get(member.name.removeprefix("./"))
                if name and member.isfile() and (content := archive.extractfile(member)):
                    found[name] = content.read(_LIMIT)
    except Exception as error:  # decompressors raise whatever damaged bytes lead them to
        raise ConfigError(
            f"{file} cannot be read ({error or type(error).__name__}): it should be {ARCHIVE}; "
            "remove it and fetch it anew."
        ) from error
    if missing := sorted(set(wanted.values()) - found.keys()):
        raise ConfigError(
            f"{file} holds no {', '.join(missing)}: it is not {ARCHIVE}; fetch it anew."
        )
    return found.__getitem__


def _batch(content: bytes, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, uint8 [N, 3072], and class numbers, int64 [N]. Raises ConfigError."""
    try:
        found = unpickle(content)
        data, labels = found[b"data"].array, found[b"labels"]
        right = data.ndim == 2 and data.shape[1] == 3072 and 0 < len(data) == len(labels)
        if not right or not all(type(n) is int and 0 <= n < len(CLASSES) for n in labels):
            raise ValueError(f"{len(labels)} labels, pictures of shape {data.shape}")
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        raise ConfigError(
            f"{where} is no batch of CIFAR-10 ({error}): fetch {ARCHIVE} anew."
        ) from error
    return data, np.array(labels, np.int64)
