"""Data sets in the layout of save_to_disk of Hugging Face's package datasets, by pyarrow."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

IMAGE = {"_type": "Image"}
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def class_label(*names: str) -> dict[str, Any]:
    return {"names": list(names), "_type": "ClassLabel"}


def images_of(contents: list[bytes | None], paths: list[str | None] | None = None) -> pa.Array:
    """A column of datasets.Image."""
    rows = zip(contents, paths or [None] * len(contents), strict=True)
    return pa.array([{"bytes": content, "path": path} for content, path in rows], STRUCT)


def save(
    folder: Path,
    columns: dict[str, pa.Array],
    features: dict[str, Any],
    shards: int = 1,
    batch: int = 3,
    options: pa.ipc.IpcWriteOptions | None = None,
    schema: pa.Schema | None = None,
) -> Path:
    """What Dataset.save_to_disk(folder, num_shards=shards) writes, `batch` rows at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(columns, schema)
    names = [f"data-{number:05d}-of-{shards:05d}.arrow" for number in range(shards)]
    for number, name in enumerate(names):
        first, last = (table.num_rows * n // shards for n in (number, number + 1))
        with pa.ipc.new_stream(folder / name, table.schema, options=options) as writer:
            writer.write_table(table.slice(first, last - first), max_chunksize=batch)
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": "0",
        "_split": None,
    }
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features, "license": ""}))
    return folder


def save_folder(root: Path, folder: Path, **settings: Any) -> Path:
    """`save` of a folder of classes, in the order of its paths."""
    files = sorted(root.glob("*/*"))
    classes = sorted({file.parent.name for file in files})
    numbers = [classes.index(file.parent.name) for file in files]
    columns = {
        "image": images_of([file.read_bytes() for file in files]),
        "label": pa.array(numbers),
    }
    return save(folder, columns, {"image": IMAGE, "label": class_label(*classes)}, **settings)


def save_splits(folder: Path, *names: str) -> Path:
    """What DatasetDict.save_to_disk adds to its splits."""
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": names}))
    return folder
