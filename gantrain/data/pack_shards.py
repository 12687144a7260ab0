"""Pack a resized data set into tar archives in WebDataset's layout, which data=folder reads.

https://github.com/webdataset/webdataset
"""

import json
import os
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from gantrain.data.pack import FOLDERS, NOTE, packed_images
from gantrain.data.preflight import ImageSource
from gantrain.errors import ConfigError
from gantrain.io.files import write_json

_EXTRA = 2 * tarfile.BLOCKSIZE  # bytes of a member beside its content, at most


def pack_shards(
    folder: Path,
    sources: Mapping[str, ImageSource],
    labels: Mapping[str, Mapping[str, Any]],
    note: dict[str, Any],
    shard_bytes: float,
) -> int:
    """Write all images, resized and without loss, and return their number.

    The folder appears when it is complete. The same images give the same bytes.

    Args:
        folder: of the archives, such as train-000000.tar; it must not exist, or be empty.
        sources: the images, by split.
        labels: by split and name of the image: a number becomes a .cls beside the image, all else
            a .json.
        note: the origin of the images, stored as gantrain.json beside the archives.
        shard_bytes: an archive ends before the image with which it would have more.

    Raises:
        ConfigError: the folder is not empty, or images that differ up to their first dot only have
            different labels.
        ImageFault: an image cannot be read or stored.
        OSError: the archives cannot be written.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ConfigError(f"pack={folder} already exists: remove it, or give another name.")
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with _Writer(partial, shard_bytes) as writer:
            count = 0
            for image in packed_images(sources):
                files = [(image.name, image.content)]
                if (label := labels.get(image.split, {}).get(image.source)) is not None:
                    files.append(_label_file(image.name, label))
                writer.add(FOLDERS.get(image.split, image.split), files)
                count += 1
        write_json(partial / NOTE, note)
        os.replace(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return count


def _label_file(image: str, label: Any) -> tuple[str, bytes]:
    """Return path and content of the file with the label of an image."""
    folder, _, base = image.rpartition("/")
    key = f"{folder}/{base.partition('.')[0]}"
    if type(label) is int:
        return f"{key}.cls", str(label).encode()
    return f"{key}.json", json.dumps({"label": label}).encode()


class _Writer:
    """Writes samples to one archive after another.

    Args:
        folder: of the archives.
        most: bytes of one, if it has more than one sample.
    """

    def __init__(self, folder: Path, most: float) -> None:
        self._folder, self._most = folder, most
        self._split, self._number, self._bytes = "", 0, 0
        self._file: IO[bytes] | None = None
        self._labels: dict[str, bytes] = {}  # files in the present archive

    def __enter__(self) -> "_Writer":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def add(self, split: str, files: list[tuple[str, bytes]]) -> None:
        """Write an image, and its label if it has one.

        Args:
            split: the archives of a split are numbered from 0.
            files: paths and contents.
        """
        needed = sum(len(content) + _EXTRA for _, content in files)
        if split != self._split:
            self._split, self._number = split, 0
            self._open()
        elif self._bytes + needed > self._most:
            self._number += 1
            self._open()
        assert self._file is not None
        self._bytes += needed
        image, *label = files
        for name, content in (image, *(file for file in label if self._is_new(*file))):
            self._file.writelines(_member(name, content))

    def _is_new(self, label: str, content: bytes) -> bool:
        """Return whether no other image of the same sample has brought this label."""
        if self._labels.get(label, content) != content:
            raise ConfigError(
                f"Two images whose names are equal up to the first dot have different labels, for "
                f"which there is one file in shards, {label}: rename them, or give pack=NAME.zip."
            )
        is_new = label not in self._labels
        self._labels[label] = content
        return is_new

    def _open(self) -> None:
        self._close()
        path = self._folder / f"{self._split}-{self._number:06d}.tar"
        self._file, self._bytes, self._labels = path.open("xb"), 0, {}

    def _close(self) -> None:
        if self._file is None:
            return
        with self._file:
            self._file.write(bytes(2 * tarfile.BLOCKSIZE))
            self._file.flush()
            os.fsync(self._file.fileno())
        self._file = None


def _member(name: str, content: bytes) -> tuple[bytes, bytes, bytes]:
    """Return header, content and filling of a file, without time, owner and machine."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    header = info.tobuf(tarfile.PAX_FORMAT)  # plain ustar, unless the name needs more
    return header, content, bytes(-len(content) % tarfile.BLOCKSIZE)
