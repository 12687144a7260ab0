"""Folders that save_to_disk of Hugging Face's package `datasets` writes: their JSON, their splits.

state.json            names the Arrow files; of a Dataset
dataset_info.json     says what the columns mean
dataset_dict.json     names the splits, each in a folder of its own; of a DatasetDict
"""

from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from gantrain.data.arrow_rows import ArrowRows
from gantrain.data.arrow_table import NO_LABEL, Labels, join_labels, read_rows
from gantrain.data.image_files import Reading
from gantrain.data.labels import MAX_CLASSES, class_order, join_limited
from gantrain.data.magic import UNKNOWN
from gantrain.data.splits import find_splits
from gantrain.errors import ConfigError, agreed, counted, nearest
from gantrain.io.byte_file import open_bytes
from gantrain.io.plain_files import load_json
from gantrain.io.remote.address import is_address

_STATE, _INFO, _SPLITS = "state.json", "dataset_info.json", "dataset_dict.json"
_MOST_FILES = 100_000
_SAVE = "save it by Dataset.save_to_disk of the package datasets"


@dataclass(frozen=True)
class SavedSplits:
    """The splits of a folder.

    Args:
        rows: of "train" and perhaps "test".
        unused: names of the other splits.
    """

    rows: dict[str, ArrowRows]
    unused: list[str]


def is_saved(folder: Path) -> bool:
    """Return whether a folder is one that save_to_disk has written."""
    return any((folder / name).is_file() for name in (_STATE, _SPLITS))


def open_saved(
    root: str | None, column: str | None, label: str | None, skip: bool, reading: Reading
) -> SavedSplits:
    """Return the images and labels of a folder that save_to_disk has written.

    Args:
        root: the folder of a Dataset, or of a DatasetDict with a training split.
        column: of the images; None: the only one that is declared to hold images.
        label: of the classes; None: there are no labels.
        skip: whether rows without an image that is known are left for the caller to skip.
        reading: see `find_splits`.

    Raises:
        ConfigError: the folder is none, is damaged, or has other columns.
    """
    folder = _folder(root)
    splits, unused = _splits(folder, reading)
    features = {split: _features(place) for split, place in splits.items()}
    column = _image_column(features["train"], column, splits["train"])
    found: dict[str, ArrowRows] = {}
    labels: dict[str, Labels] = {}
    for split, place in splits.items():
        _check_columns(features[split], column, label, place)
        found[split], values = _read(place, column, label)
        if not skip:
            _check_images(found[split], column)
        if label is not None:
            labels[split] = values
            _check_labels(found[split], values, label)
    if label is None:
        return SavedSplits(found, unused)
    declared = {split: _class_names(features[split], label, splits[split]) for split in splits}
    if len({*declared.values()}) > 1:
        raise ConfigError(
            f"data.label={label} has other class names in {splits['test']} than in "
            f"{splits['train']}: save both splits with the same ClassLabel."
        )
    names, classes = _number(found, labels, declared["train"], label)
    rows = {
        split: replace(one, classes=classes[split], class_names=names)
        for split, one in found.items()
    }
    return SavedSplits(rows, unused)


def _folder(root: str | None) -> Path:
    if root is None:
        raise ConfigError(
            "data.root is not set: give data.root=FOLDER, to which Dataset.save_to_disk or "
            "DatasetDict.save_to_disk has saved a data set."
        )
    if is_address(root):
        raise ConfigError(
            f"data.root={root}: data=hf reads folders of this machine. Download the set "
            f"(datasets.load_dataset), {_SAVE}, and give its folder."
        )
    folder = Path(root).expanduser()
    if not folder.exists():
        where = "" if folder.is_absolute() else f" (looked in {Path.cwd()})"
        raise ConfigError(f"data.root={root} does not exist{where}: check the path.")
    if not is_saved(folder):
        raise ConfigError(
            f"data.root={root} has neither {_STATE} nor {_SPLITS}, so that no data set was saved "
            f"there: load it (datasets.load_dataset), {_SAVE}, and give that folder. For a folder "
            "of image files use data=folder."
        )
    return folder


def _json(file: Path) -> dict[str, Any]:
    try:
        value = load_json(file)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(
            f"{file} cannot be read ({reason}): copy the whole folder again, or {_SAVE}."
        ) from None
    if not isinstance(value, dict):
        raise ConfigError(f"{file} holds no JSON object: {_SAVE} again.")
    return value


def _splits(folder: Path, reading: Reading) -> tuple[dict[str, Path], list[str]]:
    """Return the folders of "train" and perhaps "test", and the names of other splits."""
    if not (folder / _SPLITS).is_file():
        return {"train": folder}, []
    names = _json(folder / _SPLITS).get("splits")
    if not isinstance(names, list) or not names or not all(map(_is_plain_name, names)):
        raise ConfigError(f'{folder / _SPLITS} has no names of folders in "splits": {_SAVE} again.')
    roles = find_splits(names, folder, reading)
    test = roles.get("test") or roles.get("validation")
    if len(names) == 1 and not test:
        roles["train"] = names[0]
    if "train" not in roles:
        raise ConfigError(
            f"{folder} has the splits {join_limited(names)}, of which none is called train: give "
            f"the folder of one, such as data.root={folder / names[0]}."
        )
    chosen = {"train": roles["train"], **({"test": test} if test else {})}
    unused = [name for name in names if name not in chosen.values()]
    return {split: folder / name for split, name in chosen.items()}, unused


def _is_plain_name(name: Any) -> bool:
    """Return whether a value is the name of something directly in a folder."""
    if not isinstance(name, str) or name in ("", ".", "..") or "\0" in name:
        return False
    return PurePosixPath(name).name == name and "\\" not in name and ":" not in name


def _features(folder: Path) -> dict[str, Any]:
    """Return what the columns of a split mean."""
    features = _json(folder / _INFO).get("features")
    if not isinstance(features, dict) or not features:
        raise ConfigError(f'{folder / _INFO} has no columns in "features": {_SAVE} again.')
    return features


def _image_column(features: dict[str, Any], column: str | None, folder: Path) -> str:
    if column is not None:
        return column
    images = [name for name, feature in features.items() if _type(feature) == "Image"]
    if len(images) == 1:
        return images[0]
    known = (
        f"{len(images)} columns of images: {join_limited(images)}"
        if images
        else (f"no column of images among {join_limited([*features])}")
    )
    raise ConfigError(f"{folder} has {known}. Name one with data.column=NAME.")


def _type(feature: Any) -> str:
    return str(feature.get("_type")) if isinstance(feature, dict) else "list"


def _check_columns(features: dict[str, Any], column: str, label: str | None, folder: Path) -> None:
    """Check that the columns exist.

    Raises:
        ConfigError: names those that do.
    """
    for key, name in (("column", column), ("label", label)):
        if name is not None and name not in features:
            near = nearest(name, features)
            meant = f" Did you mean data.{key}={near}?" if near else ""
            raise ConfigError(
                f"data.{key}={name}: {folder} has no such column. Its columns are "
                f"{join_limited([*features])}.{meant}"
            )
    if label == column:
        raise ConfigError(f"data.label={label} is the column of the images: choose another one.")


def _class_names(features: dict[str, Any], label: str, folder: Path) -> tuple[str, ...] | None:
    """Return the names that a ClassLabel gives its numbers; None: it has none."""
    names = features[label].get("names") if _type(features[label]) == "ClassLabel" else None
    if names is None:
        return None
    is_valid = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
    if not is_valid or not 0 < len(names) <= MAX_CLASSES or len({*names}) < len(names):
        raise ConfigError(
            f"{folder / _INFO}: the names of {label} are no list of different texts, at most "
            f"{MAX_CLASSES}: {_SAVE} again."
        )
    return tuple(names)


def _read(folder: Path, column: str, label: str | None) -> tuple[ArrowRows, Labels]:
    """Return the rows of a split, and what its column of labels holds."""
    state = _json(folder / _STATE)
    if any(value for key, value in state.items() if key.startswith("_indices")):
        raise ConfigError(
            f"{folder / _STATE} selects or shuffles the rows by a file of indices, as old versions "
            "of the package datasets saved it: call flatten_indices() on the data set and save it "
            "again."
        )
    entries = state.get("_data_files")
    entries = entries if isinstance(entries, list) else []
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in entries]
    if not 0 < len(names) <= _MOST_FILES or not all(map(_is_plain_name, names)):
        raise ConfigError(
            f'{folder / _STATE} has no names of files in "_data_files": {_SAVE} again.'
        )
    if missing := [str(name) for name in names if not (folder / str(name)).is_file()]:
        raise ConfigError(
            f"{folder} lacks {len(missing)} of {counted(len(names), 'file')} of its {_STATE}: "
            f"{join_limited(missing)}. Copy the whole folder again."
        )
    parts = [open_bytes(folder / str(name)) for name in names]
    found = [read_rows(part, folder, column, label) for part in parts]
    shards = [np.full(len(one.sizes), number, np.uint32) for number, one in enumerate(found)]
    for number, one in enumerate(found):
        for row, file in one.outside.items():
            shards[number][row] = len(parts)
            parts.append(file)
    if not sum(len(one.sizes) for one in found):
        raise ConfigError(f"{folder} has no rows: check data.root, or remove this split.")
    rows = ArrowRows(
        folder,
        tuple(parts),
        np.concatenate(shards),
        np.concatenate([one.starts for one in found]),
        np.concatenate([one.sizes for one in found]),
        np.concatenate([one.kinds for one in found]),
    )
    try:
        return rows, join_labels([one.labels for one in found if len(one.sizes)])
    except ValueError as error:
        raise ConfigError(f"data.label={label} of {folder} holds {error}: {_SAVE} again.") from None


def _check_images(rows: ArrowRows, column: str) -> None:
    """Check that every row has an image.

    Raises:
        ConfigError: counts those that have none, and those of an unknown format.
    """
    empty, unknown = rows.sizes == 0, (rows.sizes > 0) & (rows.kinds == UNKNOWN)
    problems = [
        f"{counted(int(wrong.sum()), 'row')} of {rows} {agreed(int(wrong.sum()), 'have')} {what} "
        f"in data.column={column}, such as row {int(wrong.argmax())} (the first row is 0). Filter "
        "them out and save the set again, or set data.on_bad_file=skip."
        for wrong, what in ((empty, "no image"), (unknown, "bytes of no format that is known"))
        if wrong.any()
    ]
    if problems:
        raise ConfigError(*problems)


def _check_labels(rows: ArrowRows, labels: Labels, label: str) -> None:
    """Check that every image has a label.

    Raises:
        ConfigError: counts those that have none.
    """
    if isinstance(labels, np.ndarray):
        missing = labels < 0
    else:
        missing = np.array([text is None for text in labels])
    missing &= rows.kinds != UNKNOWN
    if missing.any():
        count = int(missing.sum())
        raise ConfigError(
            f"{counted(count, 'image')} of {rows} {agreed(count, 'have')} no label in "
            f'data.label={label} (null, "" or below 0), such as that of row '
            f"{int(missing.argmax())} (the first row is 0). Filter them out and save the set "
            "again, remove a split without labels from dataset_dict.json, or set data.label=null."
        )


def _number(
    rows: dict[str, ArrowRows],
    labels: dict[str, Labels],
    declared: tuple[str, ...] | None,
    label: str,
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Return the names of the classes in order, and the images' numbers by split.

    Raises:
        ConfigError: there are numbers without a name, or classes that only test images have.
    """
    texts = {split: one for split, one in labels.items() if not isinstance(one, np.ndarray)}
    numbers = {split: one for split, one in labels.items() if isinstance(one, np.ndarray)}
    if texts and numbers:
        raise ConfigError(
            f"data.label={label} holds numbers in one split and texts in the other: {_SAVE} again."
        )
    if texts:
        return _number_texts(texts, label)
    last = min(int(numbers["train"].max()), MAX_CLASSES - 1)
    names = declared or tuple(map(str, range(last + 1)))
    for split, values in numbers.items():
        wrong = values >= len(names)
        if wrong.any():
            count, row = int(wrong.sum()), int(wrong.argmax())
            raise ConfigError(
                f"data.label={label}: {counted(count, 'row')} of {rows[split]} "
                f"{agreed(count, 'have')} a number beyond {len(names) - 1}, the last class "
                f"{'that has a name' if declared else 'of training images, or that there may be'}, "
                f"such as row {row} with {int(values[row])}: number the classes from 0 on without "
                "large gaps."
            )
    return names, numbers


def _number_texts(
    labels: dict[str, list[str | None]], label: str
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Do `_number` for texts, which are the names of the classes."""
    order = class_order([text for text in labels["train"] if text is not None])
    if len(order) > MAX_CLASSES:
        raise ConfigError(
            f"data.label={label} holds {len(order)} different texts, more than the {MAX_CLASSES} "
            "classes that there may be: choose another column, or data.label=null."
        )
    found = {text for texts in labels.values() for text in texts if text is not None}
    if unknown := sorted(found - {*order}):
        raise ConfigError(
            f"data.label={label}: the test images' classes {join_limited(unknown)} have no "
            "training images: filter them out and save the set again, or set data.label=null."
        )
    number_of: dict[str | None, int] = {name: number for number, name in enumerate(order)}
    return tuple(order), {
        split: np.array([number_of.get(text, NO_LABEL) for text in texts], np.int64)
        for split, texts in labels.items()
    }
