"""A set saved by Hugging Face's datasets is the set in a folder; strangers' files are data."""

import io
import json
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from gantrain.data import arrow_table
from gantrain.data.archive import Member, file_size, list_members
from gantrain.data.hf import SavedImages
from gantrain.data.hf_folder import open_saved
from gantrain.data.image_folder import ImageFolder
from gantrain.data.magic import SUFFIXES, kinds_of
from gantrain.errors import ConfigError
from tests.helpers.golden_files import GOLDEN
from tests.helpers.picture_sets import picture
from tests.helpers.saved_sets import (
    IMAGE,
    class_label,
    images_of,
    save,
    save_folder,
    save_splits,
)
from tests.helpers.single_sets import prepared, write_labels, write_pictures

NAMES = [f"{kind}/{i}.png" for kind in ("ant", "bee", "cat") for i in range(4)]
INT = {"dtype": "int64", "_type": "Value"}
TEXT = {"dtype": "string", "_type": "Value"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GANTRAIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def content(number: int, kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    picture(number, 20, 24).save(target, kind)
    return target.getvalue()


def small(folder: Path, labels: Any = None, feature: Any = None, **settings: Any) -> Path:
    """A set of four pictures, whose column "label" holds `labels`."""
    columns = {"image": images_of([content(i) for i in range(4)])}
    features: dict[str, Any] = {"image": IMAGE}
    if labels is not None:
        columns["label"] = labels if isinstance(labels, pa.Array) else pa.array(labels)
        features["label"] = feature or INT
    return save(folder, columns, features, **settings)


def opened(root: object, **settings: Any) -> SavedImages:
    return SavedImages(seed=3, root=str(root), resolution=16, **settings)


def check_same(a: ImageFolder, b: ImageFolder) -> None:
    """Every item of two sets, and what describes them apart from names and places."""
    for one in (a, b):
        prepared(one)
    for position in (*range(30), 10**9 + 7):
        x, y = a.item(position), b.item(position)
        assert x.keys() == y.keys() and all((x[key] == y[key]).all() for key in x)
    described = [one.describe() for one in (a, b)]
    for one in described:
        del one["folders"], one["fingerprint"]
    assert described[0] == described[1]


@pytest.mark.parametrize(
    "settings", [{}, {"labels": True}, {"labels": True, "held_out": 3, "max_images": 7}]
)
def test_a_set_is_the_folder_of_its_classes(tmp_path: Path, settings: dict) -> None:
    root = write_pictures(tmp_path / "set", NAMES)
    saved = save_folder(root, tmp_path / "saved", shards=3, batch=2)
    folder = ImageFolder(seed=3, root=str(root), resolution=16, **settings)
    label = "label" if settings.pop("labels", False) else None
    check_same(folder, opened(saved, label=label, **settings))


def test_the_same_files_have_the_same_fingerprint(tmp_path: Path) -> None:
    root = write_pictures(tmp_path / "set", [f"{i:06d}.png" for i in range(6)])
    write_labels(root, [[f"{i:06d}.png", i % 3] for i in range(6)])
    files = sorted(root.glob("*.png"))
    columns = {
        "image": pa.array([file.read_bytes() for file in files], pa.large_binary()),
        "label": pa.array([i % 3 for i in range(6)], pa.uint8()),
    }
    saved = save(tmp_path / "saved", columns, {"image": IMAGE, "label": INT})
    sets = [
        ImageFolder(seed=3, root=str(root), resolution=16, labels=True),
        opened(saved, label="label"),
    ]
    check_same(*sets)
    assert sets[0].describe()["fingerprint"] == sets[1].describe()["fingerprint"]


@pytest.mark.parametrize("name", ["hf_plain", "hf_dict"])
def test_what_the_package_itself_saved(name: str) -> None:
    """Pixels, labels and order are those of datasets.load_from_disk."""
    expected = np.load(GOLDEN / "hf_expected.npz")
    column, label = {"hf_plain": (None, "label"), "hf_dict": ("photo", "kind")}[name]
    data = opened(GOLDEN / name, column=column, label=label)
    prepared(data)
    splits = {"train": "plain"} if name == "hf_plain" else {"train": "train", "test": "validation"}
    order = ("zebra", "cat", "dog") if name == "hf_plain" else ("a", "b")
    assert data.describe()["labels"]["names"] == list(order)
    for split, golden in splits.items():
        pixels, labels = expected[f"{golden}_pixels"], expected[f"{golden}_labels"]
        assert data._size(split) == len(pixels)
        for i, one in enumerate(pixels):
            np.testing.assert_array_equal(data._image(split, i), one.transpose(2, 0, 1))
        numbers = [value if name == "hf_plain" else order.index(value) for value in labels]
        assert data._values[split].tolist() == numbers


def test_splits(tmp_path: Path) -> None:
    for name in ("Training", "validation", "test", "extra"):
        small(tmp_path / name, [0, 1, 0, 1], class_label("x", "y"))
    data = opened(save_splits(tmp_path, "Training", "validation", "test", "extra"), label="label")
    assert {split: place.folder_name for split, place in data._root.splits.items()} == {
        "train": "Training",
        "test": "test",
    }
    assert any("folders beside it: validation, extra" in note for note in data.notes())
    opened(save_splits(tmp_path, "Training", "validation"))
    opened(save_splits(tmp_path, "extra"))
    with pytest.raises(ConfigError, match=r"none is called train: give .*root=.*extra"):
        opened(save_splits(tmp_path, "extra", "test"))


@pytest.mark.parametrize(
    ("labels", "feature", "names"),
    [
        ([0, 2, 0, 2], None, ["0", "1", "2"]),
        ([True, False, True, True], None, ["0", "1"]),
        (["b", "a", "b", "a"], TEXT, ["a", "b"]),
        (["10", "9", "10", "9"], TEXT, ["9", "10"]),
        ([0, 1, 1, 0], class_label("z", "a", "m"), ["z", "a", "m"]),
    ],
)
def test_names_of_classes(tmp_path: Path, labels: list, feature: Any, names: list[str]) -> None:
    data = opened(small(tmp_path, labels, feature), label="label")
    assert list(data.class_counts()) == names
    wanted = [names.index(x) if isinstance(x, str) else int(x) for x in labels]
    assert data._values["train"].tolist() == wanted


FAULTS = [
    ([0.5, 1, 1, 0], None, "holds double, but classes are whole numbers or texts"),
    ([[0], [1], [1], [0]], None, "holds list<"),
    ([0, None, 1, -1], None, r"2 images of .* have no label in data.label=label .*row 1 "),
    (["a", None, "", "b"], TEXT, "2 images of .* have no label"),
    ([0, 1, 5, 0], class_label("a", "b"), "1 row .* has a number beyond 1, .* row 2 with 5"),
    ([0, 1, 500_000, 0], None, "a number beyond 99999"),
    (pa.array([2**64 - 1] * 4, pa.uint64()), None, "cannot be read .*not in range"),
    ([0, 1, 1, 0], {"names": ["a", "a"], "_type": "ClassLabel"}, "no list of different texts"),
    ([0, 1, 1, 0], {"names": "ab", "_type": "ClassLabel"}, "no list of different texts"),
]


@pytest.mark.parametrize(("labels", "feature", "told"), FAULTS)
def test_labels_that_are_wrong(tmp_path: Path, labels: Any, feature: Any, told: str) -> None:
    root = small(tmp_path, labels, feature)
    with pytest.raises(ConfigError, match=told):
        opened(root, label="label")
    opened(root)  # not asked for


def test_splits_whose_labels_differ(tmp_path: Path) -> None:
    cases = [
        (([0, 1, 0, 1], class_label("a", "b")), ([0, 1, 0, 1], class_label("b", "a")), "other cl"),
        (
            ([0, 1, 0, 1], INT),
            ([0, 2, 0, 1], INT),
            "test has a number beyond 1, the last class of",
        ),
        ((list("abab"), TEXT), (list("abcd"), TEXT), "c, d have no training images"),
        (([0, 1, 0, 1], INT), (list("abcd"), TEXT), "numbers in one split and texts in the other"),
    ]
    for number, (train, test, told) in enumerate(cases):
        root = tmp_path / str(number)
        small(root / "train", *train)
        small(root / "test", *test)
        with pytest.raises(ConfigError, match=told):
            opened(save_splits(root, "train", "test"), label="label")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (
            {"label": "lable"},
            "no such column. Its columns are image, label. Did you mean .*=label?",
        ),
        ({"column": "imgae"}, "Did you mean data.column=image?"),
        ({"column": "label"}, "holds int64, but encoded images are needed"),
        ({"label": "image"}, "is the column of the images"),
    ],
)
def test_columns_that_are_wrong(tmp_path: Path, settings: dict, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        opened(small(tmp_path, [0, 1, 0, 1]), **settings)


def test_which_column_holds_the_images(tmp_path: Path) -> None:
    column = images_of([content(0)] * 3)
    two = save(tmp_path / "2", {"a": column, "b": column}, {"a": IMAGE, "b": IMAGE})
    with pytest.raises(ConfigError, match=r"2 columns of images: a, b\. Name one with data.column"):
        opened(two)
    opened(two, column="b")
    none = save(tmp_path / "0", {"a": pa.array([content(0)])}, {"a": {"_type": "Value"}})
    with pytest.raises(ConfigError, match="no column of images among a"):
        opened(none)
    opened(none, column="a")
    numbers = pa.array([[[1, 2], [3, 4]]])
    array = save(tmp_path / "a", {"a": numbers}, {"a": {"shape": [2, 2], "_type": "Array2D"}})
    with pytest.raises(ConfigError, match=r"holds list<.*cast_column\(\"a\", datasets.Image"):
        opened(array, column="a")


def test_rows_without_an_image(tmp_path: Path) -> None:
    cells = [content(0), None, b"junk", content(1), b"", content(2)]
    columns = {"image": images_of(cells), "label": pa.array([0, None, 0, 1, 0, 0])}
    root = save(tmp_path, columns, {"image": IMAGE, "label": INT})
    with pytest.raises(ConfigError) as caught:
        opened(root)
    told = caught.value.problems
    assert "2 rows of" in told[0] and "no image in data.column=image, such as row 1" in told[0]
    assert "1 row of" in told[1] and "no format that is known" in told[1] and "row 2" in told[1]
    data = opened(root, on_bad_file="skip", label="label")
    lines = prepared(data)
    assert data._names["train"] == ["000000.png", "000003.png", "000005.png"]
    assert data._values["train"].tolist() == [0, 1, 0]
    assert any("3 .bin (such as 000001.bin)" in line for line in lines)


def test_a_row_that_is_no_whole_image_is_named(tmp_path: Path) -> None:
    root = save(tmp_path, {"image": images_of([content(0), content(1)[:200]])}, {"image": IMAGE})
    with pytest.raises(ConfigError, match=r"data-00000-of-00001\.arrow!/000001\.png"):
        prepared(opened(root))


def test_paths_are_followed_inside_only(tmp_path: Path) -> None:
    root, secret = tmp_path / "set", tmp_path / "secret.png"
    secret.write_bytes(content(9))
    (root / "deep").mkdir(parents=True)
    (root / "deep/a.jpg").write_bytes(content(1, "JPEG"))
    (root / "link.png").symlink_to(secret)

    def saved(path: str) -> Path:
        cells = images_of([content(0), None, content(2)], ["x.png", path, None])
        return save(root, {"image": cells}, {"image": IMAGE})

    for path in ("deep/a.jpg", str(root / "deep/a.jpg")):
        rows = open_saved(str(saved(path)), None, None, False, 3).rows["train"]
        assert [*rows.names_below("")] == ["000000.png", "000001.jpg", "000002.png"]
        assert rows.read("000001.jpg") == content(1, "JPEG") and rows.read("000002.png") == content(
            2
        )
    for path in (str(secret), "../secret.png", "link.png", "missing.png", "/dev/zero", "a\0b"):
        with pytest.raises(ConfigError, match="rather than hold the image, and there is no such"):
            opened(saved(path))


def change(root: Path, name: str, **values: Any) -> None:
    file = root / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def cut(root: Path, last: int) -> None:
    file = next(root.glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:last])


STRUCTURE = [
    (lambda r: (r / "state.json").unlink(), "neither state.json nor dataset_dict.json"),
    (lambda r: (r / "dataset_info.json").unlink(), "dataset_info.json cannot be read"),
    (lambda r: (r / "state.json").write_text("{"), "state.json cannot be read"),
    (lambda r: (r / "state.json").write_text("[" * 100_000), "state.json cannot be read"),
    (lambda r: (r / "state.json").write_text("[]"), "holds no JSON object"),
    (lambda r: change(r, "state.json", _data_files=None), "no names of files"),
    (lambda r: change(r, "state.json", _data_files=[{"filename": "../x"}]), "no names of files"),
    (lambda r: change(r, "state.json", _data_files=[{"filename": 3}]), "no names of files"),
    (lambda r: change(r, "state.json", _data_files=[{"filename": "x"}]), "lacks 1 of 1 file .*: x"),
    (lambda r: change(r, "state.json", _indices_files=[{"filename": "i"}]), r"flatten_indices\(\)"),
    (lambda r: change(r, "dataset_info.json", features=[1]), "no columns"),
    (lambda r: save_splits(r, "../x"), "no names of folders"),
    (lambda r: save_splits(r, "train"), "train/dataset_info.json cannot be read"),
    (lambda r: cut(r, 0), "cannot be read .its end is missing"),
    (lambda r: cut(r, -8), "its end is missing"),
    (lambda r: cut(r, 500), "its end is missing"),
    (lambda r: next(r.glob("*.arrow")).write_bytes(b"ARROW1" + b"\xff" * 50), "cannot be read"),
]


@pytest.mark.parametrize(("damage", "told"), STRUCTURE)
def test_folders_that_are_damaged(tmp_path: Path, damage: Any, told: str) -> None:
    root = small(tmp_path / "set", [0, 1, 0, 1])
    damage(root)
    with pytest.raises(ConfigError, match=told):
        opened(root, label="label")


def test_bytes_that_are_flipped_are_a_sentence_or_other_pixels(tmp_path: Path) -> None:
    root = small(tmp_path, [0, 1, 0, 1])
    file = next(root.glob("*.arrow"))
    whole = file.read_bytes()
    values = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = np.frombuffer(whole, np.uint8).copy()
        at = values.integers(0, 1400, 3)
        damaged[at] = values.choice([0, 1, 0x7F, 0xFF], 3)
        file.write_bytes(damaged.tobytes())
        try:
            rows = open_saved(str(root), None, "label", True, 3).rows["train"]
        except ConfigError:
            refused += 1
            continue
        ends = rows.starts + rows.sizes
        assert (rows.starts >= 0).all() and (rows.sizes >= 0).all() and (ends <= len(whole)).all()
    assert refused > 10


def test_files_that_differ(tmp_path: Path) -> None:
    root = small(tmp_path, [0, 1, 0, 1], shards=2)
    other = small(tmp_path / "other", list("abab"), TEXT, shards=2)
    name = "data-00001-of-00002.arrow"
    (root / name).write_bytes((other / name).read_bytes())
    with pytest.raises(ConfigError, match="numbers in some files, and texts in others"):
        opened(root, label="label")
    plain = small(tmp_path / "plain", shards=2)
    (root / name).write_bytes((plain / name).read_bytes())
    with pytest.raises(ConfigError, match=f"{name} cannot be read .it has 0 columns label"):
        opened(root, label="label")


def test_no_rows_and_compression(tmp_path: Path) -> None:
    empty = save(tmp_path / "empty", {"image": images_of([])}, {"image": IMAGE})
    with pytest.raises(ConfigError, match="has no rows"):
        opened(empty)
    packed = small(tmp_path / "packed", options=pa.ipc.IpcWriteOptions(compression="lz4"))
    with pytest.raises(ConfigError, match="is compressed"):
        opened(packed)


def test_places_that_are_no_saved_set(tmp_path: Path) -> None:
    for root, told in (
        (tmp_path / "none", "does not exist"),
        (tmp_path, "neither state.json .* use data=folder"),
        ("s3://bucket/set", "folders of this machine"),
    ):
        with pytest.raises(ConfigError, match=told):
            opened(root)
    with pytest.raises(ConfigError, match=r"data.root is not set"):
        SavedImages(seed=0)
    root = small(tmp_path / "set")
    with pytest.raises(ConfigError, match="write data=hf"):
        ImageFolder(seed=0, root=str(root))


def test_members(tmp_path: Path) -> None:
    rows = open_saved(str(small(tmp_path)), None, None, False, 3).rows["train"]
    assert list_members(rows) == [f"{i:06d}.png" for i in range(4)] and not list_members(rows, "a/")
    member = Member(rows, "000002.png")
    assert member.read() == content(2) and file_size(member) == len(content(2))
    assert str(member).endswith("data-00000-of-00001.arrow!/000002.png") and not member.is_remote
    for name in ("2.png", "000002.jpg", "000004.png", "000002.png/x", "٠٠٠٠٠٢.png", ""):
        assert not rows.holds(name)
        with pytest.raises(OSError, match="there is no"):
            Member(rows, name).read()
    file = next(tmp_path.glob("*.arrow"))
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(OSError, match="has changed since the start"):
        member.read()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_formats_are_told_by_their_first_bytes(kind: str) -> None:
    head = np.frombuffer(content(0, kind)[:12], np.uint8)
    suffix = SUFFIXES[kinds_of(head[None])[0]]
    extensions = Image.registered_extensions()
    assert extensions[suffix] == kind


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b"\0\0\0\x1cftypavif", ".avif"),
        (b"\0\0\0\x18ftypheic", ".heic"),
        (b"\0\0\0\x18ftypmp42", ".bin"),
        (b"qoif\0\0", ".qoi"),
        (b"MM\0*", ".tif"),
        (b"P6\n3", ".pnm"),
        (b"P7\n3", ".bin"),
        (b"RIFF\1\1\1\1WAVE", ".bin"),
        (b"\xff\xd8", ".bin"),
        (b"", ".bin"),
    ],
)
def test_other_formats(head: bytes, suffix: str) -> None:
    heads = np.frombuffer(head.ljust(12, b"\0"), np.uint8)[None].repeat(2, 0)
    assert [SUFFIXES[kind] for kind in kinds_of(heads)] == [suffix] * 2


def test_without_pyarrow_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = small(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=r"pip install 'gantrain\[hf\]'"):
        opened(root)


def test_large_batches_are_told_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_table, "_CHUNK", 2)
    cells = [content(0), content(1, "JPEG"), b"BM", b"x", content(2, "GIF")]
    root = save(tmp_path, {"image": images_of(cells)}, {"image": IMAGE}, batch=5)
    rows = open_saved(str(root), None, None, True, 3).rows["train"]
    suffixes = [name.partition(".")[2] for name in rows.names_below("")]
    assert suffixes == ["png", "jpg", "bmp", "bin", "gif"]
    assert [rows.read(name) for name in rows.names_below("")] == cells


def _sum(data: SavedImages, queue: Any) -> None:
    queue.put(float(data.item(5)["image"].sum()))


@pytest.mark.ci
def test_a_spawned_process_reads_the_same(tmp_path: Path) -> None:
    data = opened(small(tmp_path, [0, 1, 0, 1]), label="label", cache="none")
    prepared(data)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_sum, args=(data, queue))
    process.start()
    assert queue.get(timeout=120) == float(data.item(5)["image"].sum())
    process.join()
