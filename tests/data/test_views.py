"""Pages, frames, arrays, slices and stacks of files as images."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from gantrain.data.archive import Member
from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import count_images, decode, image_size
from gantrain.data.folder import UnpairedFolder
from gantrain.data.stack import match_names
from gantrain.data.views import Formats, Stack, View, parse_part, part_names, split_suffix
from gantrain.errors import ConfigError
from tests.helpers import deep_pictures

CHANNELS, FIRST, EACH = (Formats(pages=pages) for pages in ("channels", "first", "each"))
HWC, CHW = Formats(array_layout="hwc"), Formats(array_layout="chw")


def volume(dtype: Any, shape: tuple[int, ...] = (5, 20, 30)) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"truncate": True},
        {"metadata": None},
        {"imagej": True},
        {"ome": True},
        {"tile": (16, 16)},
    ],
)
def test_pages_of_a_tiff(tmp_path: Path, dtype: Any, options: dict) -> None:
    if options.get("imagej") and dtype is np.int16:
        pytest.skip("ImageJ has no signed integers")
    x, path = volume(dtype), tmp_path / "x.tif"
    tifffile.imwrite(path, x, photometric="minisblack", **options)
    joint = decode(View(path, CHANNELS))
    assert (joint.pixels == np.moveaxis(x, 0, 2)).all() and joint.pixels.dtype == dtype
    assert not joint.colors and not joint.alpha
    assert (decode(View(path, FIRST)).pixels[..., 0] == x[0]).all()
    assert count_images(path, EACH) == 5 and count_images(path, CHANNELS) == 1
    for number in range(5):
        assert (decode(View(path, EACH, number)).pixels[..., 0] == x[number]).all()
    assert image_size(View(path, CHANNELS)) == (20, 30)
    with pytest.raises(ImageFault, match=r"holds 5 pages.*data.pages=channels"):
        decode(path)


def test_pages_that_do_not_go_together(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(volume(np.uint8, (20, 30)), photometric="minisblack")
        file.write(volume(np.uint8, (10, 30)), photometric="minisblack")
    with pytest.raises(ImageFault, match="pages of different sizes"):
        decode(View(tmp_path / "x.tif", CHANNELS))
    assert decode(View(tmp_path / "x.tif", EACH, 1)).pixels.shape == (10, 30, 1)


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_frames_of_an_animation(tmp_path: Path, ending: str) -> None:
    frames = [np.full((8, 10, 3), value, np.uint8) for value in (10, 90, 200)]
    first, *rest = map(Image.fromarray, frames)
    path = tmp_path / f"x.{ending}"
    first.save(path, save_all=True, append_images=rest, lossless=True)
    with pytest.raises(ImageFault, match=r"holds 3 frames .*data.pages=first"):
        decode(path)
    joint = decode(View(path, CHANNELS))
    assert (joint.pixels == np.concatenate(frames, axis=2)).all() and not joint.colors
    assert count_images(path, EACH) == 3
    for number, frame in enumerate(frames):
        found = decode(View(path, EACH, number)).pixels
        assert (found[..., :3] == frame).all()
    assert (decode(View(path, FIRST)).pixels[..., :3] == frames[0]).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float16, np.float32])
def test_arrays(tmp_path: Path, dtype: Any) -> None:
    x = volume(dtype, (20, 30, 7))
    np.save(tmp_path / "flat.npy", x[..., 0])
    np.save(tmp_path / "hwc.npy", x)
    np.save(tmp_path / "chw.npy", np.moveaxis(x, 2, 0))
    np.save(tmp_path / "fortran.npy", np.asfortranarray(x))
    np.savez(tmp_path / "one.npz", x)
    np.savez_compressed(tmp_path / "two.npz", scan=x, mask=x[..., 0] > 3)
    stored = np.float32 if np.dtype(dtype).kind == "f" else dtype
    for name, formats in (
        ("hwc.npy", HWC),
        ("chw.npy", CHW),
        ("fortran.npy", HWC),
        ("one.npz", HWC),
        ("two.npz", Formats(array_layout="hwc", array_name="scan")),
    ):
        found = decode(View(tmp_path / name, formats))
        assert (found.pixels == x).all() and found.pixels.dtype == stored and not found.colors
        assert image_size(View(tmp_path / name, formats)) == (20, 30)
    assert (decode(tmp_path / "flat.npy").pixels == x[..., :1]).all()
    for name, told in (("hwc.npy", "array_layout=hwc"), ("two.npz", "holds 2 arrays .mask, scan")):
        for read in (decode, image_size):
            with pytest.raises(ImageFault, match=told):
                read(tmp_path / name)
    with pytest.raises(ImageFault, match="has no array x"):
        decode(View(tmp_path / "two.npz", Formats(array_name="x")))
    with pytest.raises(ImageFault, match="holds true and false"):
        decode(View(tmp_path / "two.npz", Formats(array_name="mask")))


def test_64_bits_become_32_in_arrays(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((4, 5))
    np.save(tmp_path / "x.npy", x)
    found = decode(tmp_path / "x.npy").pixels
    assert found.dtype == np.float32 and (found[..., 0] == x.astype(np.float32)).all()
    np.save(tmp_path / "x.npy", np.zeros((4, 5), np.int64))
    with pytest.raises(ImageFault, match="holds int64 values"):
        decode(tmp_path / "x.npy")


def header(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (header("(100000, 100000)"), "is cut off: it claims"),
        (header("(0, 5)"), "is an array of the shape"),
        (header("(2, 2, 2, 2)") + bytes(64), "is an array of the shape"),
        (header("(4, 4)", "|O") + bytes(200), "holds Python objects"),
        (header("(4, 4)", "<c8") + bytes(200), "holds complex64 values"),
        (header("(-4, 4)") + bytes(200), "is "),
        (header("__import__('os').system('false')"), "is unreadable"),
        (b"\x93NUMPY\x09\x00" + bytes(99), "unreadable|version 9"),
        (b"", "is unreadable"),
        (b"PK\x03\x04", "is unreadable"),
    ],
)
@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_hostile_arrays_are_one_sentence(
    tmp_path: Path, content: bytes, told: str, ending: str
) -> None:
    path = tmp_path / f"x.{ending}"
    if ending == "npz" and content[:6] == b"\x93NUMPY":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("a.npy", content)
    else:
        path.write_bytes(content)
    for read in (decode, image_size) if "values" not in told else (decode,):
        with pytest.raises(ImageFault, match=told):
            read(path)


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    np.save(tmp_path / "x.npy", np.array([[Evil()]], object), allow_pickle=True)
    with pytest.raises(ImageFault, match="Python objects"):
        decode(tmp_path / "x.npy")
    assert not (tmp_path / "touched").exists()


def test_names_of_parts() -> None:
    assert part_names("a/scan.nii.gz", 3) == [f"a/scan#{i}.nii.gz" for i in range(3)]
    assert part_names("x.tif", 1) == ["x.tif"] and part_names("x#1.tif", 1) == ["x#1#0.tif"]
    assert part_names("x.tif", 11)[3] == "x#03.tif"
    for name in ("a/scan.nii.gz", "x#1.tif", "b#/c.gif"):
        for count in (1, 12):
            for index, part in enumerate(part_names(name, count)):
                file, number = parse_part(part)
                assert file == name and (number == index or part == name)
    assert split_suffix("a.b/c.NII.GZ") == ("a.b/c", ".NII.GZ")


def unpaired(**settings: Any) -> UnpairedFolder:
    data = UnpairedFolder(
        seed=0, resolution=16, cache="none", flip=False, preprocess="crop", **settings
    )
    data.prepare(batch=1, multiple=4, log=lambda _: None)
    return data


def test_every_page_is_an_image(tmp_path: Path) -> None:
    for split in ("trainA", "trainB"):
        (tmp_path / split).mkdir()
        tifffile.imwrite(tmp_path / split / "x.tif", volume(np.uint8), photometric="minisblack")
        Image.new("L", (30, 20)).save(tmp_path / split / "y.png")
    data = unpaired(root=str(tmp_path), pages="each", channels_a=1, channels_b=1)
    assert data.train_count("a") == 6
    assert [data.sources(print)["train_a"].names[i] for i in (0, 4, 5)] == [
        "x#0.tif",
        "x#4.tif",
        "y.png",
    ]
    wanted = volume(np.uint8)[2][2:18, 7:23]
    assert (data.train_item("a", 2)[0] == wanted).all()


def stacked_set(root: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for folder, channels, ending in (("rgb", 3, "png"), ("depth", 1, "tif"), ("b", 3, "png")):
        for number in range(3):
            x = deep_pictures.random_pixels(number + channels, (20, 24, channels), np.uint8)
            (root / folder / "train").mkdir(parents=True, exist_ok=True)
            deep_pictures.write(root / folder / f"train/{number}.{ending}", x)
            arrays[f"{folder}{number}"] = x
    return arrays


def test_stacked_folders(tmp_path: Path) -> None:
    arrays = stacked_set(tmp_path)
    roots = {"root_a": [str(tmp_path / "rgb"), str(tmp_path / "depth")]}
    data = unpaired(**roots, root_b=str(tmp_path / "b"), channels_a=4)
    for number in range(3):
        wanted = np.concatenate([arrays[f"rgb{number}"], arrays[f"depth{number}"]], axis=2)
        found = data.train_item("a", number)
        assert (found == wanted[2:18, 4:20].transpose(2, 0, 1)).all()
    described = data.describe()["pixels"]
    assert described["a"]["stacked"] == 2 and described["b"]["stacked"] == 1
    assert described["a"]["alpha"] is False
    (tmp_path / "depth/train/2.tif").rename(tmp_path / "depth/train/9.tif")
    with pytest.raises(ConfigError) as caught:
        unpaired(**roots, root_b=str(tmp_path / "b"), channels_a=4)
    assert "1 of its 3 images has no partner of the same name there: 2.png" in str(caught.value)
    assert "no partner of the same name there: 9.tif" in str(caught.value)
    with pytest.raises(ConfigError, match="same folder or one is inside"):
        unpaired(**roots, root_b=str(tmp_path / "depth"), channels_a=4)


def test_stacks_that_do_not_fit_are_named(tmp_path: Path) -> None:
    for name, x in (
        ("a.png", np.zeros((8, 8, 3), np.uint8)),
        ("b.png", np.zeros((8, 9, 1), np.uint8)),
        ("c.png", np.zeros((8, 8, 1), np.uint16)),
        ("d.png", np.zeros((8, 8, 4), np.uint8)),
    ):
        deep_pictures.write(tmp_path / name, x)
    for name, told in (("b", "has 9 x 8 pixels"), ("c", "holds uint16 values"), ("d", "has alpha")):
        with pytest.raises(ImageFault, match=told):
            decode(Stack((tmp_path / "a.png", tmp_path / f"{name}.png")))
    with pytest.raises(ConfigError, match="x holds 1 more than once"):
        match_names(["x", "y"], [["1.png", "1.jpg"], ["1.png"]])


def test_arrays_in_archives(tmp_path: Path) -> None:
    x = volume(np.uint16, (6, 8))
    file = io.BytesIO()
    np.save(file, x)
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.npy", file.getvalue())
    member = Member(tmp_path / "x.zip", "a.npy")
    assert (decode(member).pixels[..., 0] == x).all() and image_size(member) == (6, 8)


def test_heic_is_read_and_deep_ones_are_refused(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif", reason="needs gantrain[heic]")
    x = np.full((16, 16, 3), 90, np.uint8)
    heif.from_pillow(Image.fromarray(x)).save(tmp_path / "x.heic", quality=-1)
    found = decode(tmp_path / "x.heic").pixels
    assert found.shape == (16, 16, 3) and np.abs(found.astype(int) - 90).max() < 3
    assert image_size(tmp_path / "x.heic") == (16, 16)
    deep = heif.from_bytes("RGB;16", (16, 16), (x.astype(np.uint16) * 257).tobytes())
    deep.save(tmp_path / "y.heic", quality=-1)
    with pytest.raises(ImageFault, match="HEIF of more than 8 bits"):
        decode(tmp_path / "y.heic")
