"""Where the images of Arrow files stand, and their labels (Arrow's IPC stream, by pyarrow).

Files are mapped, and of the images only the first bytes are read. Only the two columns are loaded:
whatever else a file holds, extension types among them, is not looked at.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from gantrain.data.magic import HEAD, kinds_of
from gantrain.errors import ConfigError
from gantrain.io.byte_file import LocalFile, open_bytes

_END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream: a file that was cut between two batches lacks it
_CHUNK = 1 << 16  # rows whose first bytes are gathered at once
NO_LABEL = -1

Labels = np.ndarray | list[str | None]  # int64 [N] or N texts; `NO_LABEL` or None: there is none


@dataclass(frozen=True)
class Rows:
    """The N rows of a file.

    Args:
        starts: int64 [N], first byte of the image.
        sizes: int64 [N], of the image in bytes; 0: there is none.
        kinds: uint8 [N], see `gantrain.data.magic.kinds_of`.
        outside: images that are files of their own, by row; their `starts` is 0.
        labels: of the images; None: no column was asked for.
    """

    starts: np.ndarray
    sizes: np.ndarray
    kinds: np.ndarray
    outside: dict[int, LocalFile]
    labels: Labels | None


def read_rows(file: LocalFile, folder: Path, column: str, label: str | None) -> Rows:
    """Return where the images of a file stand.

    Args:
        file: in the format of Arrow's streams.
        folder: of the data set: images in files outside of it are refused.
        column: of the images: bytes, or a struct of "bytes" and "path", one of which is null.
        label: of whole numbers or texts; None: labels are not read.

    Raises:
        ConfigError: the file is damaged or compressed, or a column has another type.
    """
    pa = _pyarrow()
    try:
        parts = list(_read(pa, file, folder, column, label))
    except (pa.ArrowException, OSError, ValueError, MemoryError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200] or "it is damaged"
        raise ConfigError(
            f"{file} cannot be read ({reason}): copy or save the set again."
        ) from None
    outside: dict[int, LocalFile] = {}
    count = 0
    for part in parts:
        outside |= {count + row: found for row, found in part.outside.items()}
        count += len(part.sizes)
    labels = None if label is None else join_labels([part.labels for part in parts])
    empty = np.zeros(0, np.int64)
    return Rows(
        np.concatenate([empty, *(part.starts for part in parts)]),
        np.concatenate([empty, *(part.sizes for part in parts)]),
        np.concatenate([empty.astype(np.uint8), *(part.kinds for part in parts)]),
        outside,
        labels,
    )


def join_labels(parts: Sequence[Labels | None]) -> Labels:
    """Return the labels of several parts of a set, one after another.

    Raises:
        ValueError: some are numbers, and some are texts.
    """
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    texts = [text for part in parts if isinstance(part, list) for text in part]
    if arrays and texts:
        raise ValueError("numbers in some files, and texts in others")
    return np.concatenate(arrays) if arrays else texts


def _pyarrow() -> ModuleType:
    try:
        import pyarrow
    except ImportError as error:
        raise ConfigError(
            "data=hf needs a package that is not installed: pip install 'gantrain[hf]'."
        ) from error
    return pyarrow


def _read(pa: Any, file: LocalFile, folder: Path, column: str, label: str | None) -> Iterator[Rows]:
    """Yield the rows of each batch."""
    if file.read(max(file.size - len(_END), 0), file.size) != _END:
        raise ValueError("its end is missing")
    with pa.memory_map(file.path) as source:
        memory = source.read_buffer()
        wanted = [column] if label is None else [column, label]
        source.seek(0)
        schema = pa.ipc.open_stream(source).schema
        indices = [_index(file, schema, name) for name in wanted]
        _check_types(file, schema, column, label)
        source.seek(0)
        options = pa.ipc.IpcReadOptions(included_fields=indices)
        for batch in pa.ipc.open_stream(source, options=options):
            images = _column(batch, column)
            starts, sizes = _places(pa, images, memory, file)
            kinds = kinds_of(_heads(memory, starts, sizes))
            outside = _outside(pa, images, sizes, folder, file)
            for row, found in outside.items():
                head = np.frombuffer(found.read(0, HEAD).ljust(HEAD, b"\0"), np.uint8)
                starts[row], sizes[row], kinds[row] = 0, found.size, kinds_of(head[None])[0]
            labels = None if label is None else _labels(pa, _column(batch, label))
            yield Rows(starts, sizes, kinds, outside, labels)


def _index(file: LocalFile, schema: Any, name: str) -> int:
    found = schema.get_all_field_indices(name)
    if len(found) != 1:
        raise ValueError(f"it has {len(found)} columns {name}, and {', '.join(schema.names)[:100]}")
    return found[0]


def _check_types(file: LocalFile, schema: Any, column: str, label: str | None) -> None:
    """Check that a column holds images as bytes, and one whole numbers or texts.

    Raises:
        ConfigError: names the column and its type.
    """
    import pyarrow.types as types

    kind = schema.field(column).type
    if types.is_struct(kind):
        fields = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        path = fields.get("path")
        is_image = "bytes" in fields and _is_bytes(types, fields["bytes"])
        is_image &= path is None or _is_text(types, path)
    else:
        is_image = _is_bytes(types, kind)
    if not is_image:
        raise ConfigError(
            f"data.column={column} of {file} holds {str(kind)[:100]}, but encoded images are "
            'needed: cast_column("' + column + '", datasets.Image()), and save the set again.'
        )
    if label is None:
        return
    kind = schema.field(label).type
    if not (types.is_integer(kind) or types.is_boolean(kind) or _is_text(types, kind)):
        raise ConfigError(
            f"data.label={label} of {file} holds {str(kind)[:100]}, but classes are whole numbers "
            "or texts: choose another column, or data.label=null."
        )


def _is_bytes(types: Any, kind: Any) -> bool:
    return types.is_binary(kind) or types.is_large_binary(kind)


def _is_text(types: Any, kind: Any) -> bool:
    return types.is_string(kind) or types.is_large_string(kind)


def _column(batch: Any, name: str) -> Any:
    column = batch.column(batch.schema.get_field_index(name))
    column.validate(full=True)  # offsets that lead elsewhere
    return column


def _places(pa: Any, images: Any, memory: Any, file: LocalFile) -> tuple[np.ndarray, np.ndarray]:
    """Return the first byte in the file, and the size in bytes, of each image of a batch."""
    content = images.field("bytes") if pa.types.is_struct(images.type) else images
    count = len(content)
    _, ends, data = content.buffers()
    wide = pa.types.is_large_binary(content.type)
    if data is None or not count or not data.size:
        return np.zeros(count, np.int64), np.zeros(count, np.int64)
    if not memory.address <= data.address <= memory.address + memory.size - data.size:
        raise ConfigError(
            f"{file} is compressed, so that images could not be read at random: save the set again "
            "by save_to_disk of the package datasets, which does not compress."
        )
    offsets = np.frombuffer(ends, np.int64 if wide else np.int32)
    offsets = offsets[content.offset :][: count + 1].astype(np.int64)
    missing = images.is_null().to_numpy(zero_copy_only=False)
    missing |= content.is_null().to_numpy(zero_copy_only=False)
    starts = offsets[:-1] + (data.address - memory.address)
    return starts, np.where(missing, 0, np.diff(offsets))


def _heads(memory: Any, starts: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return the first bytes of images, uint8 [N, `HEAD`], with zeros behind the end."""
    content, places = np.frombuffer(memory, np.uint8), np.arange(HEAD)
    heads = np.zeros((len(starts), HEAD), np.uint8)
    for first in range(0, len(starts), _CHUNK):
        rows = slice(first, first + _CHUNK)
        inside = places < sizes[rows, None]
        wanted = np.where(inside, starts[rows, None] + places, 0)
        heads[rows] = np.where(inside, content[wanted], 0)
    return heads


def _outside(
    pa: Any, images: Any, sizes: np.ndarray, folder: Path, file: LocalFile
) -> dict[int, LocalFile]:
    """Return the files of the images that are a path rather than bytes, by row."""
    if not pa.types.is_struct(images.type) or images.type.get_field_index("path") < 0:
        return {}
    rows = np.flatnonzero(sizes == 0)
    paths = images.field("path").take(pa.array(rows)).to_pylist()
    nulls = images.is_null().take(pa.array(rows)).to_pylist()
    return {
        int(row): _inside(folder, path, file)
        for row, path, is_null in zip(rows, paths, nulls, strict=True)
        if path and not is_null and not _has_bytes(images, int(row))
    }


def _has_bytes(images: Any, row: int) -> bool:
    return images.field("bytes")[row].is_valid


def _inside(folder: Path, path: str, file: LocalFile) -> LocalFile:
    """Return the file that a row names.

    Raises:
        ConfigError: it is outside of the folder of the data set, or missing.
    """
    top = os.path.realpath(folder)
    try:
        real = os.path.realpath(os.path.join(top, path))
        if os.path.commonpath([top, real]) == top and os.path.isfile(real):
            return open_bytes(Path(real))
    except (OSError, ValueError):  # a drive of its own, a zero in the name, a loop of links
        pass
    raise ConfigError(
        f"{file} names {path[:200]!r} rather than hold the image, and there is no such file in "
        f"{folder}, outside of which none is read: save the set again by save_to_disk of a current "
        "version of the package datasets, which stores images."
    )


def _labels(pa: Any, labels: Any) -> Labels:
    if _is_text(pa.types, labels.type):
        return [text or None for text in labels.to_pylist()]
    return labels.cast(pa.int64()).fill_null(NO_LABEL).to_numpy(zero_copy_only=False)
