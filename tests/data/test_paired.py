"""Pairs: which files belong together, and that both images see the same crop and mirror."""

import inspect
import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gantrain.data import remote
from gantrain.data.folder import UnpairedFolder
from gantrain.data.paired import PairedFolder
from gantrain.errors import ConfigError
from gantrain.io import download
from tests.helpers.loopback import Server, serving
from tests.helpers.picture_sets import array, picture, prepared


def pair(number: int, size: tuple[int, int] = (40, 48)) -> tuple[Image.Image, Image.Image]:
    """A picture and its negative, so that partners know each other."""
    a = picture(number, *size)
    return a, Image.fromarray(255 - np.asarray(a))


def side_by_side(file: Path, number: int, size: tuple[int, int] = (40, 48)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([np.asarray(x) for x in pair(number, size)], 1)).save(file)


def two_files(a: Path, b: Path, number: int, size: tuple[int, int] = (40, 48)) -> None:
    for file, image in zip((a, b), pair(number, size), strict=True):
        file.parent.mkdir(parents=True, exist_ok=True)
        image.save(file)


def write_pairs(root: Path, layout: str, train: int = 4, test: int = 3) -> Path:
    for split, start, count in (("train", 0, train), ("test", 10, test)):
        for i in range(start, start + count):
            a, b = {
                "sides": ("", ""),
                "trainA": (f"{split}A/{i}.png", f"{split}B/{i}.png"),
                "A/train": (f"A/{split}/{i}_A.png", f"B/{split}/{i}_B.jpg.png"),
                "train/A": (f"{split}/A/x/{i}.png", f"{split}/B/x/{i}.bmp"),
            }[layout]
            if layout == "sides":
                side_by_side(root / split / f"{i}.png", i)
            else:
                two_files(root / a, root / b.replace(".jpg", ""), i)
    return root


def folder(root: Path | None, **settings: Any) -> PairedFolder:
    values: dict[str, Any] = {"seed": 7, "resolution": 32, "cache": "none", **settings}
    return PairedFolder(root=None if root is None else str(root), **values)


def assert_pairs(data: PairedFolder, tolerance: int = 2) -> None:
    """Every b is the negative of its a, after crop, mirror and resize."""
    for position in range(2 * data.images_per_epoch):
        item = data.item(position)
        assert item["a"].shape == item["b"].shape
        difference = item["a"].astype(int) + item["b"].astype(int) - 255
        assert np.abs(difference).max() <= tolerance, position
    for i in range(data.test_count("a")):
        difference = data.test_item("a", i).astype(int) + data.test_item("b", i) - 255
        assert np.abs(difference).max() <= tolerance and data.test_name("a", i)


LAYOUTS = ("sides", "trainA", "A/train", "train/A")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("preprocess", ["resize_and_crop", "crop", "scale_width_and_crop", "none"])
def test_every_layout_gives_pairs(tmp_path: Path, layout: str, preprocess: str) -> None:
    data = folder(write_pairs(tmp_path / "set", layout), preprocess=preprocess, cache="memory")
    lines = prepared(data)
    assert data.has_pairs and data.kind == "paired"
    assert (data.train_count("a"), data.test_count("b"), data.held_count("a")) == (4, 3, 3)
    assert_pairs(data)
    crops = {data.item(position)["a"].tobytes() for position in range(40)}
    assert len(crops) > (4 if preprocess == "none" else 12)
    said = any("the left half of a picture is a, the right half b" in line for line in lines)
    assert said == (layout == "sides")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_other_direction(tmp_path: Path, layout: str) -> None:
    root = write_pairs(tmp_path / "set", layout)
    there, back = folder(root, channels_b=1), folder(root, channels_a=1, direction="ba")
    for data in (there, back):
        prepared(data)
    for i in range(3):
        for a, b in ("ab", "ba"):
            assert np.array_equal(there.test_item(a, i), back.test_item(b, i))
            assert np.array_equal(there.item(i)[a], back.item(i)[b])
    assert there.describe()["direction"] == "ab" and back.describe()["direction"] == "ba"


def test_halves_are_the_pixels_of_the_file(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set", "sides")
    data = folder(root, preprocess="none", flip=False)
    prepared(data)
    whole = array(Image.open(root / "train/2.png")).transpose(2, 0, 1)
    assert np.array_equal(data.train_item("a", 2), whole[..., :48])
    assert np.array_equal(data.train_item("b", 2), whole[..., 48:])


def test_val_serves_for_test_and_a_bare_folder_for_train(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set", "sides")
    (root / "test").rename(root / "val")
    data = folder(root)
    prepared(data)
    assert data.held_count("b") == 3
    data = folder(root / "train", held_out=1)
    prepared(data)
    assert (data.train_count("a"), data.held_count("a")) == (3, 1)
    assert_pairs(data)
    with pytest.raises(ConfigError, match=r"has val but not train/"):
        shutil.rmtree(root / "train")
        folder(root)


@pytest.mark.parametrize("layout", ["sides", "trainA"])
def test_a_zip_is_used_as_it_is(tmp_path: Path, layout: str) -> None:
    root = write_pairs(tmp_path / "set", layout)
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        for path in sorted(root.rglob("*.png")):
            file.write(path, f"pairs/{path.relative_to(root)}")
    packed, plain = folder(tmp_path / "set.zip"), folder(root)
    for data in (packed, plain):
        prepared(data)
    assert_pairs(packed)
    assert np.array_equal(packed.item(3)["b"], plain.item(3)["b"])


def test_nearest_mixes_no_colours(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for i in range(3):
        labels = draw.choice(np.array([0, 100, 200], np.uint8), (40, 48, 1)).repeat(3, 2)
        photo = draw.integers(0, 256, (40, 48, 3), np.uint8)
        (tmp_path / "train").mkdir(exist_ok=True)
        Image.fromarray(np.concatenate([photo, labels], 1)).save(tmp_path / f"train/{i}.png")
    data = folder(tmp_path, direction="ba", interpolation_a="nearest", cache="memory")
    prepared(data)
    assert all(set(np.unique(data.item(i)["a"])) <= {0, 100, 200} for i in range(6))
    assert len(np.unique(data.item(0)["b"])) > 50
    data = folder(tmp_path, direction="ba")
    prepared(data)
    assert len(np.unique(data.item(0)["a"])) > 50


def test_orphans_are_all_listed_or_left_out(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set", "trainA")
    (root / "trainB/1.png").rename(root / "trainB/one.png")
    (root / "testA/11.png").unlink()
    with pytest.raises(ConfigError, match="3 images without a partner of the same name") as error:
        prepared(folder(root))
    for name in ("trainA/1.png", "trainB/one.png", "testB/11.png"):
        assert f"  {root / name}" in error.value.problems
    data = folder(root, on_bad_file="skip")
    assert any("left out 3 images without a partner" in line for line in prepared(data))
    assert (data.train_count("a"), data.test_count("b")) == (3, 2)
    assert_pairs(data)


def broken_at(root: Path, kind: str) -> None:
    if kind == "odd":
        image = Image.open(root / "train/1.png")
        image.crop((0, 0, 95, 40)).save(root / "train/1.png")
    elif kind == "portrait":
        picture(1, 60, 40).save(root / "train/1.png")
    elif kind == "single":
        for i in range(20, 35):
            side_by_side(root / f"train/{i}.png", i)
        picture(1, 40, 48).save(root / "train/1.png")
    else:
        (root / "train/1.png").write_bytes((root / "train/1.png").read_bytes()[:300])


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("odd", "is 95 pixels wide, an odd number: its halves would differ in size"),
        ("portrait", "is 40 x 60 pixels, so its halves would be 20 x 60: it looks like one image"),
        ("single", "has the aspect of one half of the others: it looks like one image"),
        ("torn", ""),
    ],
)
def test_what_is_no_pair_is_told_before_the_first_step(
    tmp_path: Path, kind: str, told: str
) -> None:
    root = write_pairs(tmp_path / "set", "sides")
    broken_at(root, kind)
    with pytest.raises(ConfigError, match="cannot be used") as error:
        prepared(folder(root))
    assert any(f"{root}/train/1.png {told}" in text for text in error.value.problems)
    for cache in ("none", "memory"):
        data = folder(root, on_bad_file="skip", cache=cache)
        prepared(data)
        assert data.train_count("a") == data.train_count("b") == len(list(root.glob("train/*"))) - 1
        assert_pairs(data)


def test_partners_of_other_sizes(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set", "trainA")
    pair(1, (80, 96))[1].save(root / "trainB/1.png")  # twice as large: the same after the resize
    prepared(folder(root))
    with pytest.raises(ConfigError) as error:
        prepared(folder(root, preprocess="crop"))
    assert f"{root}/trainA/1.png is 48 x 40 pixels and its partner" in str(error.value)
    pair(2, (40, 40))[1].save(root / "trainB/2.png")
    with pytest.raises(ConfigError, match="1 pair cannot be used") as error:
        prepared(folder(root))
    assert "trainB/2.png 40 x 40: the images of a pair need the same size" in str(error.value)
    data = folder(root, on_bad_file="skip", cache="memory")
    prepared(data)
    assert data.train_count("b") == 3 and data.train_item("b", 2).shape == (3, 32, 32)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda root: (root / "x").mkdir(parents=True), "holds no images"),
        (lambda root: (root / "trainA").mkdir(parents=True), "has no folder trainB"),
        (lambda root: two_files(root / "trainA/a.png", root / "trainB/b.png", 0), "No image in"),
        (
            lambda root: [two_files(root / "trainA/a.png", root / "trainB" / b, 0)
                          for b in ("a.png", "a.bmp")],
            "a occurs more than once",
        ),
        (lambda root: side_by_side(root / "train/1.png", 1), "Only 1 usable"),
    ],
)  # fmt: skip
def test_folders_without_pairs(tmp_path: Path, make: Callable[[Path], Any], told: str) -> None:
    make(tmp_path / "set")
    with pytest.raises(ConfigError, match=told):
        prepared(folder(tmp_path / "set"))


def test_a_disk_cache_knows_the_halves(tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set", "sides")
    for direction in ("ab", "ba", "ab"):
        data = folder(root, cache="disk", cache_dir=str(tmp_path / "c"), direction=direction)
        prepared(data)
        plain = folder(root, direction=direction)
        prepared(plain)
        assert np.array_equal(data.item(5)["a"], plain.item(5)["a"])
    assert len(list((tmp_path / "c").glob("*.bin"))) == 2


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "_PAUSES", (0.0, 0.0))
    with serving() as running:
        yield running


def packed(root: Path, *more: tuple[tarfile.TarInfo, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        file.add(root, "facades")
        for info, data in more:
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return content.getvalue()


def test_a_published_set_is_fetched_once(server: Server, tmp_path: Path) -> None:
    root = write_pairs(tmp_path / "set", "sides")
    (root / "test").rename(root / "val")
    server.files["/facades.tar.gz"] = packed(root)
    for _ in range(2):
        data = folder(None, url=server.url("facades.tar.gz"), cache_dir=str(tmp_path / "cache"))
        prepared(data)
        assert len(server.asked) == 1 and data.train_count("a") == 4 and data.held_count("b") == 3
        assert_pairs(data)
    (unpacked,) = (path for path in (tmp_path / "cache").iterdir() if path.suffix != ".lock")
    assert unpacked.name.startswith("facades-") and (unpacked / "facades/train").is_dir()


def link(name: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (tarfile.TarInfo("../out.png"), "a path outside its folder"),
        (tarfile.TarInfo("/tmp/out.png"), "a path outside its folder"),
        (link("facades/link"), "a link or a device"),
        (link("facades/link", tarfile.LNKTYPE), "a link or a device"),
        (link("facades/pipe", tarfile.FIFOTYPE), "a link or a device"),
    ],
)
def test_a_malicious_tar_writes_nothing(tmp_path: Path, entry: tarfile.TarInfo, told: str) -> None:
    archive = tmp_path / "c/set.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(packed(write_pairs(tmp_path / "set", "sides"), (entry, b"")))
    with pytest.raises(ConfigError, match=told):
        remote.unpack(archive, tmp_path / "c/set")
    assert [*archive.parent.iterdir()] == [archive]


def test_a_torn_tar_or_one_that_grows_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "set.tar.gz"
    content = packed(write_pairs(tmp_path / "set", "sides"))
    for bad in (content[:-2000], b"nothing", content[:300] + bytes(20) + content[320:]):
        archive.write_bytes(bad)
        with pytest.raises(ConfigError, match=r"no readable tar\.gz archive"):
            remote.unpack(archive, tmp_path / "out")
    monkeypatch.setattr(remote, "_EXTRA_BYTES", 100_000)
    archive.write_bytes(packed(tmp_path / "set", (tarfile.TarInfo("big.png"), bytes(40_000_000))))
    with pytest.raises(ConfigError, match="holds far more than it claims"):
        remote.unpack(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_shared_setting_reaches_the_folders(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, Any] = {}
    original = UnpairedFolder.__init__

    def spy(self: UnpairedFolder, **settings: Any) -> None:
        seen.update(settings)
        original(self, seed=0, root=str(write_pairs(tmp_path, "sides")))

    monkeypatch.setattr(UnpairedFolder, "__init__", spy)
    own = {"self", "direction", "interpolation_a", "interpolation_b"}
    names = inspect.signature(PairedFolder.__init__).parameters.keys() - own
    given = {name: object() for name in names}  # unlike each other
    settings: dict[str, Any] = given
    PairedFolder(**settings)
    assert seen == {**given, "test_pairs": True}
