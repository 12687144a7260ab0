"""CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 colour images of 32 x 32 pixels in ten classes."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from gantrain.data.base import InMemoryDataset, Log
from gantrain.data.cache import cache_folder
from gantrain.data.image_files import Reading
from gantrain.data.labels import Labels
from gantrain.data.safe_pickle import unpickle
from gantrain.errors import ConfigError
from gantrain.io.download import RemoteFile, fetch
from gantrain.io.names import local_path

ARCHIVE, FOLDER = "cifar-10-python.tar.gz", "cifar-10-batches-py"
MD5 = "c58f30108f718f92721af3b95e74349a"
CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FILES = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}
_MAX_BYTES = 100 << 20  # of a batch; the real ones have 30 MB


class CIFAR10(InMemoryDataset):
    """CIFAR-10 from the official archive of Python pickles.

    Args:
        seed: of order and mirroring.
        root: the archive, or a folder that holds it or its contents; None: `prepare` downloads it
            (170 MB).
        url: of the archive.
        cache_dir: where downloads are kept; None: see `gantrain.data.cache.cache_folder`.
        resolution: 32.
        flip: whether training images are mirrored at random.
        labels: whether images have class labels.
        max_images: train on so many only, the first ones; with labels, of every class; None: on
            all.
        reading: see `ImageDataset`.

    Raises:
        ConfigError: there is no CIFAR-10 at `root`.
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
        reading: Reading = 2,
    ) -> None:
        super().__init__(seed, flip, reading)
        self.channels = {"image": 3}
        self.resolution: tuple[int, int] = (resolution, resolution)
        self._limit = max_images
        self.images_per_epoch = min(50_000, max_images or 50_000)
        self._labels = Labels("class", CLASSES) if labels else None
        self._url, self._target = url, cache_folder(cache_dir) / ARCHIVE
        self._path = None if root is None else _find(local_path(root))

    def prepare(self, *, batch: int, multiple: int, log: Log) -> None:
        """Read all images into memory (180 MB), downloading them first if necessary.

        Raises:
            ConfigError: the files are missing or damaged, or the model needs another resolution.
        """
        self._check_multiple(multiple, "use data=folder with data.resolution, or another model")
        official = self._url.endswith(f"toronto.edu/~kriz/{ARCHIVE}")
        path = self._path or fetch(
            RemoteFile([self._url], f"md5:{MD5}" if official else None),
            self._target,
            log,
            f"download {ARCHIVE} on another machine and give data.root=FOLDER that holds it.",
        )
        read = _folder_reader(path) if path.is_dir() else _archive_reader(path)
        images, class_indices = {}, {}
        for split, names in FILES.items():
            parts = [_parse_batch(read(name), f"{path}: {name}") for name in names]
            images[split] = np.concatenate([data for data, _ in parts]).reshape(-1, 3, 32, 32)
            class_indices[split] = np.concatenate([labels for _, labels in parts])
        self._set_data(images, class_indices, self._limit)
        log(f"data: CIFAR-10, {self._size('train')} training and {self._size('test')} test images")
        for note in self._label_notes():
            log(f"data: {note}")


def _find(root: Path) -> Path:
    """Return the archive or the unpacked folder."""
    for path in (root / FOLDER, root / ARCHIVE, root):
        if path.is_file() or (path / "data_batch_1").is_file():
            return path
    raise ConfigError(
        f"data.root={root} is neither {ARCHIVE} nor a folder that holds it or {FOLDER}/: check the "
        "path, or use data.root=null to download it."
    )


def _folder_reader(folder: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{folder / name} cannot be read ({error.strerror}): unpack {ARCHIVE} again, or "
                "give it as data.root."
            ) from error

    return read


def _archive_reader(file: Path) -> Callable[[str], bytes]:
    members = {f"{FOLDER}/{name}": name for names in FILES.values() for name in names}
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(file) as archive:
            for member in archive:  # in the file's order: a tar.gz has no random access
                name = members.get(member.name.removeprefix("./"))
                if name and member.isfile() and (content := archive.extractfile(member)):
                    contents[name] = content.read(_MAX_BYTES)
    except Exception as error:  # damaged files raise almost anything
        raise ConfigError(
            f"{file} cannot be read ({error or type(error).__name__}): it should be {ARCHIVE}; "
            "remove it and download it again."
        ) from error
    if missing := sorted(set(members.values()) - contents.keys()):
        raise ConfigError(
            f"{file} holds no {', '.join(missing)}: it is not {ARCHIVE}; download it again."
        )
    return contents.__getitem__


def _parse_batch(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images, uint8 [N, 3072], and class indices, int64 [N]."""
    try:
        batch = unpickle(content)
        data, labels = batch[b"data"].array, batch[b"labels"]
        is_valid = data.ndim == 2 and data.shape[1] == 3072 and 0 < len(data) == len(labels)
        if not is_valid or not all(type(n) is int and 0 <= n < len(CLASSES) for n in labels):
            raise ValueError(f"{len(labels)} labels, images of shape {data.shape}")
    except Exception as error:  # a damaged pickle raises almost anything
        raise ConfigError(
            f"{name} is no batch of CIFAR-10 ({error}): download {ARCHIVE} again."
        ) from error
    return data, np.array(labels, np.int64)
