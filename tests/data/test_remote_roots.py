"""data.root as an address: the same images, order and labels as of a local copy."""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gantrain.data import decode
from gantrain.data.archive import Member
from gantrain.data.colorize import ColorizeFolder
from gantrain.data.folder import UnpairedFolder
from gantrain.data.image_folder import ImageFolder
from gantrain.data.loader import batches
from gantrain.data.paired import PairedFolder
from gantrain.data.roots import holds_two_domains
from gantrain.data.statistics import scan
from gantrain.data.views import Formats, View
from gantrain.errors import ConfigError
from gantrain.io.remote import objects
from gantrain.io.remote.blocks import BlockSettings
from gantrain.io.remote.objects import open_folder
from tests.helpers.picture_sets import picture, write_set
from tests.helpers.remote_stores import Proxy, forget, s3_server, upload, use
from tests.helpers.single_sets import write_labels, write_pictures
from tests.helpers.tar_files import pack_folder

SINGLE = [f"train/{kind}/{i}.png" for kind in ("cat", "dog") for i in range(4)] + ["test/dog/9.png"]


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Proxy, Any, Path]]:
    """Four sets, here and there: two (domains), pairs (of equal names), single, and big.tif."""
    here = tmp_path_factory.mktemp("here")
    write_set(here / "two")
    write_set(here / "pairs")
    for name in ("p05", "p06"):
        (here / f"pairs/trainB/{name}.png").unlink()
    write_pictures(here / "single", SINGLE)
    (here / "single/train/.hidden.png").write_bytes(b"x")
    (here / "single/notes.txt").write_bytes(b"x")
    write_pictures(here / "labels", ["0.png", "1.png", "2.png"])
    write_labels(here / "labels", [["0.png", "b"], ["1.png", "a"], ["2.png", "b"]])
    with s3_server() as (proxy, files):
        for name in ("two", "pairs", "single", "labels"):
            upload(here / name, files, f"bucket/{name}")
        yield proxy, files, here


@pytest.fixture
def store(stored, monkeypatch, tmp_path) -> tuple[Proxy, Any, Path]:
    use(stored[0], monkeypatch, tmp_path)
    return stored


def prepared(data: Any) -> Any:
    data.prepare(batch=1, multiple=4, log=lambda _: None)
    return data


def same(local: Any, remote: Any) -> None:
    """Every image, in the same order, and the same description but for the place."""
    for position in range(25):
        x, y = local.item(position), remote.item(position)
        assert x.keys() == y.keys() and all((x[key] == y[key]).all() for key in x)
    for stream in local.channels:
        assert local.test_count(stream) == remote.test_count(stream)
        for index in range(local.test_count(stream)):
            assert (local.test_item(stream, index) == remote.test_item(stream, index)).all()
            assert local.test_name(stream, index) == remote.test_name(stream, index)
    x, y = local.describe(), remote.describe()
    assert x.pop("folders") != y.pop("folders")
    assert set(y.pop("versions")) <= {
        "train",
        "test",
        *(f"{s}_{d}" for s in ("train", "test") for d in "ab"),
    }
    assert x == y


SETS = {
    "two": (UnpairedFolder, {}),
    "pairs": (PairedFolder, {}),
    "single": (ImageFolder, {"labels": True}),
    "labels": (ImageFolder, {"labels": True}),
    "single/train": (ColorizeFolder, {}),
}
PACKED = [name for name in SETS if "/" not in name]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("folder", n) for n in SETS] + [(kind, n) for kind in ("zip", "web") for n in PACKED],
)
def test_the_images_are_those_of_a_local_folder(store, name: str, kind: str) -> None:
    proxy, _, here = store
    make, settings = SETS[name]
    settings = {"seed": 3, "resolution": 32, "cache": "none", **settings}
    place = {
        "folder": f"s3://bucket/{name}",
        "zip": f"s3://bucket/{name}.zip",
        "web": f"{proxy.url}/bucket/{name}.zip",
    }[kind]
    local = make(root=str(here / name), **settings)
    remote = make(root=place, **settings)
    same(prepared(local), prepared(remote))


def test_domains_from_two_places(store) -> None:
    _, _, here = store
    settings = {"seed": 3, "resolution": 32, "cache": "none"}
    local = UnpairedFolder(
        root_a=str(here / "two/trainA"), root_b=str(here / "two/trainB"), **settings
    )
    mixed = UnpairedFolder(
        root_a="s3://bucket/two/trainA", root_b=str(here / "two/trainB"), **settings
    )
    same(prepared(local), prepared(mixed))
    with pytest.raises(ConfigError, match="mixes the domains"):
        UnpairedFolder(root_a="s3://bucket/two/", root_b="s3://bucket/two/trainB", **settings)


def test_stacked_folders(store) -> None:
    _, _, here = store
    settings = {"seed": 3, "resolution": 32, "cache": "none", "channels_a": 6}
    pairs = ([str(here / "pairs/trainA")] * 2, ["s3://bucket/pairs/trainA"] * 2)
    local, remote = (
        UnpairedFolder(root_a=a, root_b=str(here / "two/trainB"), **settings) for a in pairs
    )
    same(prepared(local), prepared(remote))


def test_tar_archives_are_those_of_a_local_folder(store, tmp_path) -> None:
    proxy, files, here = store
    (here / "tars").mkdir()
    pack_folder(here / "single", *[here / f"tars/x-{i:02d}.tar" for i in (9, 10)])
    pack_folder(here / "single", here / "whole.tar")
    upload(here / "tars", files, "bucket/tars")
    files.pipe("bucket/whole.tar", (here / "whole.tar").read_bytes())
    settings = {"seed": 3, "resolution": 32, "cache": "none", "labels": True}
    local = prepared(ImageFolder(root=str(here / "single"), **settings))
    for place in (
        *("s3://bucket/tars/x-{09..10}.tar", "s3://bucket/tars", "s3://bucket/tars/"),
        f"{proxy.url}/bucket/whole.tar",
    ):
        same(local, prepared(ImageFolder(root=place, **settings)))
    with pytest.raises(ConfigError, match=r"x-11\.tar does not exist"):
        ImageFolder(root="s3://bucket/tars/x-{09..11}.tar", **settings)


@pytest.mark.parametrize("kind", ["", ".zip"])
def test_the_second_start_fetches_nothing_but_the_stamps(store, monkeypatch, kind: str) -> None:
    proxy, _, _ = store
    settings = {"seed": 3, "root": f"s3://bucket/single{kind}", "resolution": 32, "cache": "none"}
    prepared(ImageFolder(**settings))
    fetched = len(proxy.asked)
    forget(monkeypatch)
    again = prepared(ImageFolder(**settings))
    [again.item(i) for i in range(20)]
    assert fetched > 0 and len(proxy.asked) == fetched


def test_resized_images_are_kept_by_version(store, tmp_path) -> None:
    """data.cache=disk: its key changes with the version of the file, at an equal size."""
    proxy, files, _ = store
    settings = {"seed": 3, "root": "s3://bucket/versions", "resolution": 32, "cache": "disk"}
    for number in range(3):
        files.pipe(f"bucket/versions/{number}.bmp", bmp(number))
    first = prepared(ImageFolder(**settings))
    proxy.asked.clear()
    assert (prepared(ImageFolder(**settings)).item(0)["image"] == first.item(0)["image"]).all()
    assert proxy.asked == []
    for number in range(3):
        files.pipe(f"bucket/versions/{number}.bmp", bmp(number + 10))
    other = prepared(ImageFolder(**settings))
    assert (other.item(0)["image"] != first.item(0)["image"]).any()
    x, y = first.describe(), other.describe()
    assert x["fingerprint"] == y["fingerprint"] and x["versions"] != y["versions"]


def bmp(number: int) -> bytes:
    """As large whatever the picture is."""
    target = io.BytesIO()
    picture(number).save(target, "BMP")
    return target.getvalue()


@pytest.mark.multi
@pytest.mark.parametrize("kind", ["", ".zip"])
def test_workers_load_what_one_process_does(store, kind: str) -> None:
    root = f"s3://bucket/single{kind}"
    data = prepared(ImageFolder(seed=3, root=root, resolution=32, cache="none"))
    streams = [batches(data, start=0, batch=4, workers=workers) for workers in (0, 2)]
    try:
        for x, y in itertools.islice(zip(*streams, strict=True), 8):
            assert all((x[key] == y[key]).all() for key in x)
    finally:
        for stream in streams:
            stream.close()


@pytest.mark.parametrize("kind", ["", ".zip"])
def test_a_change_in_the_middle_is_never_mixed(store, tmp_path, kind: str) -> None:
    _, files, here = store
    upload(here / "single", files, "bucket/changing")
    root = f"s3://bucket/changing{kind}"
    data = prepared(ImageFolder(seed=3, root=root, resolution=32, cache="none"))
    change(files, "changing")
    forget_all(tmp_path)
    with pytest.raises(ConfigError, match=r"changing.* has changed since the start"):
        next(batches(data, start=0, batch=4))


@pytest.mark.multi
def test_a_change_ends_the_wait_for_a_worker(store, tmp_path, monkeypatch) -> None:
    _, files, here = store
    monkeypatch.setattr(objects, "_RECENT", 0)
    upload(here / "single", files, "bucket/moving")
    data = prepared(ImageFolder(seed=3, root="s3://bucket/moving", resolution=32, cache="none"))
    stream = batches(data, start=0, batch=4, workers=1)
    try:
        change(files, "moving")
        with pytest.raises(ConfigError, match=r"moving.* has changed since the start"):
            for _ in range(30):
                forget_all(tmp_path)
                next(stream)
    finally:
        stream.close()


def change(files: Any, name: str) -> None:
    for one in SINGLE:
        files.pipe(f"bucket/{name}/{one}", b"other")
    files.pipe(f"bucket/{name}.zip", b"other")


def forget_all(tmp_path: Path) -> None:
    """Have no block, neither on disk nor in memory."""
    for path in (tmp_path / "cache/blocks").glob("*/*"):
        path.unlink(missing_ok=True)
    objects._recent = objects._Recent()


@pytest.mark.parametrize(("kind", "fault"), [("", "403"), (".zip", "503"), ("", "cut")])
def test_what_is_out_of_reach_is_no_bad_image(store, tmp_path, kind: str, fault: str) -> None:
    """on_bad_file=skip leaves out images that are damaged, not those behind a broken network."""
    settings = {"seed": 3, "root": f"s3://bucket/single{kind}", "resolution": 32, "cache": "none"}
    data = ImageFolder(**settings, on_bad_file="skip")
    forget_all(tmp_path)
    store[0].faults[:] = [fault] * 99
    for action in (prepared, lambda x: scan(x.sources(print), print)):
        with pytest.raises(ConfigError, match=r"bucket/single.* cannot be read"):
            action(data)
    store[0].faults.clear()
    assert prepared(data).images_per_epoch == 8


def test_no_reader_takes_a_broken_network_for_a_damaged_file(store, tmp_path) -> None:
    """Each of them has another answer for files that are damaged."""
    _, files, _ = store
    for suffix in ("png", "tif", "npy", "dcm", "nii", "gif"):
        files.pipe(f"bucket/kinds/x.{suffix}", b"content")
    folder = open_folder("data.root", "s3://bucket/kinds", BlockSettings(tmp_path, 10**9))
    store[0].faults[:] = ["403"] * 999
    for name in folder.files:
        file = Member(folder, name)
        view = View(file, Formats(pages="channels"))
        each = Formats(pages="each", slices=0)
        calls = [
            lambda f=file: decode.decode(f),
            lambda f=file: decode.image_size(f),
            lambda v=view: decode.decode(v),
        ]
        if not name.endswith("npy"):
            calls += [lambda f=file, e=each: decode.count_images(f, e)]
        if name.endswith(("tif", "npy")):
            calls += [lambda f=file: decode.holds_numbers(f), lambda f=file: decode.holds_bands(f)]
        if name.endswith("tif"):
            calls += [lambda f=file: decode.geotags(f)]
        if name.endswith(("png", "tif")):
            calls += [lambda f=file: decode.colour_profile(f)]
        for call in calls:
            with pytest.raises(ConfigError, match="denied"):
                call()


def test_damaged_images_are_still_told_by_name(store) -> None:
    _, files, here = store
    upload(here / "labels", files, "bucket/damaged")
    files.pipe("bucket/damaged/1.png", b"no picture")
    data = ImageFolder(seed=3, root="s3://bucket/damaged", resolution=32, cache="none")
    with pytest.raises(ConfigError, match=r"s3://bucket/damaged/1\.png is unreadable"):
        prepared(data)


@pytest.mark.parametrize("kind", ["", ".zip"])
def test_the_kind_of_a_set_and_its_faults(store, kind: str) -> None:
    assert holds_two_domains(f"s3://bucket/two{kind}")
    assert not holds_two_domains(f"s3://bucket/single{kind}")
    with pytest.raises(ConfigError, match=rf"s3://bucket/two{kind} holds images of two domains"):
        ImageFolder(seed=0, root=f"s3://bucket/two{kind}")
    with pytest.raises(ConfigError, match=r"has no folder trainA and no folder trainB: p"):
        UnpairedFolder(seed=0, root=f"s3://bucket/labels{kind}")


def test_a_file_that_is_no_archive(store) -> None:
    store[1].pipe("bucket/text.zip", b"text")
    with pytest.raises(ConfigError, match=r"s3://bucket/text\.zip is no readable zip archive"):
        ImageFolder(seed=0, root="s3://bucket/text.zip")


def test_other_formats_come_over_the_network_too(store, tmp_path) -> None:
    _, files, _ = store
    (tmp_path / "set").mkdir()
    for number in range(3):
        np.save(tmp_path / f"set/{number}.npy", np.asarray(picture(number)))
        Image.fromarray(np.asarray(picture(number + 5))).save(tmp_path / f"set/{number}.tif")
    upload(tmp_path / "set", files, "bucket/formats")
    settings = {"seed": 3, "resolution": 32, "cache": "none", "array_layout": "hwc"}
    local = ImageFolder(root=str(tmp_path / "set"), **settings)
    same(prepared(local), prepared(ImageFolder(root="s3://bucket/formats", **settings)))
