"""Pictures of every depth and number of channels: what is in the file is what is trained on."""

import importlib.util
import zipfile
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from gantrain.data import decode as decoding
from gantrain.data.bit_depth import (
    ImageFault,
    Picture,
    PixelFormat,
    pixel_format,
    resize,
    to_channels,
)
from gantrain.data.decode import decode, holds_numbers, image_size
from gantrain.data.encode import encode_image, write_image
from gantrain.data.image_files import EXTENSIONS, load_image
from gantrain.data.image_folder import ImageFolder
from gantrain.errors import ConfigError
from gantrain.ops.value_range import to_float, to_integers, to_uint8
from tests.helpers import deep_pictures, picture_sets
from tests.helpers.picture_sets import array, picture

DTYPES = {"8": np.uint8, "16": np.uint16, "float": np.float32}
KINDS = [
    (ending, depth, channels)
    for ending in (".png", ".tif")
    for depth in DTYPES
    for channels in (1, 2, 3, 4)
    if (ending, depth) != (".png", "float")
]
DEEP = PixelFormat(16)


@pytest.mark.parametrize(("ending", "depth", "channels"), KINDS)
def test_every_number_of_every_kind_of_file_arrives(tmp_path, ending, depth, channels):
    path = tmp_path / f"x{ending}"
    wanted = deep_pictures.random_pixels(1, (19, 23, channels), DTYPES[depth])
    deep_pictures.write(path, wanted)
    found, note, colors, alpha = decode(path)
    assert found.dtype == wanted.dtype and found.shape == wanted.shape and not note
    assert colors and alpha == (channels in (2, 4))
    assert (found == wanted).all()
    assert image_size(path) == (19, 23) and holds_numbers(path) == (depth == "float")


@pytest.mark.parametrize(("ending", "depth", "channels"), KINDS)
def test_what_is_written_is_what_is_read(tmp_path, ending, depth, channels):
    path = tmp_path / f"x{ending}"
    wanted = deep_pictures.random_pixels(2, (9, 13, channels), DTYPES[depth])
    write_image(path, wanted, alpha=channels in (2, 4))
    found = decode(path).pixels
    assert found.dtype == wanted.dtype and (found == wanted).all()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_deep_pictures_are_turned_as_shallow_ones(tmp_path, orientation, ending, channels):
    for dtype in (np.uint8, np.uint16):
        x = deep_pictures.random_pixels(3, (5, 7, channels), np.uint8).astype(dtype)
        deep_pictures.write(tmp_path / f"{dtype.__name__}{ending}", x, orientation)
    shallow = decode(tmp_path / f"uint8{ending}").pixels
    deep = decode(tmp_path / f"uint16{ending}").pixels
    assert deep.dtype == np.uint16 and (deep == shallow).all()
    assert deep.shape[:2] == ((7, 5) if orientation > 4 else (5, 7))
    assert image_size(tmp_path / f"uint16{ending}") == deep.shape[:2]


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_both_orders_of_bytes(tmp_path, byteorder):
    for number, dtype in enumerate((np.uint16, np.float32)):
        for channels in (1, 3):
            x = deep_pictures.random_pixels(4, (5, 6, channels), dtype)
            path = tmp_path / f"{number}{channels}.tif"
            photometric = "rgb" if channels == 3 else "minisblack"
            tifffile.imwrite(path, x.squeeze(), byteorder=byteorder, photometric=photometric)
            assert (decode(path).pixels == x).all()


def test_compressed_and_planar_tiffs(tmp_path):
    x = deep_pictures.random_pixels(5, (20, 30, 3), np.uint16)
    tifffile.imwrite(tmp_path / "lzw.tif", x, compression="lzw", photometric="rgb")
    planes = np.ascontiguousarray(np.moveaxis(x, 2, 0))
    tifffile.imwrite(tmp_path / "planar.tif", planes, planarconfig="separate", photometric="rgb")
    for name in ("lzw", "planar"):
        assert (decode(tmp_path / f"{name}.tif").pixels == x).all()


def test_whole_numbers_go_round_exactly():
    for dtype, largest in ((np.uint8, 255), (np.uint16, 65535)):
        values = torch.from_numpy(np.arange(largest + 1).astype(dtype))
        floats = to_float(values)
        assert floats[0] == -1 and floats[-1] == 1
        assert torch.equal(to_integers(floats, values.dtype), values)
    eight = np.arange(256, dtype=np.uint8)
    sixteen = DEEP.convert(eight)
    assert sixteen.dtype == np.uint16 and (sixteen == eight * np.uint16(257)).all()
    assert torch.equal(to_uint8(torch.from_numpy(sixteen)), torch.from_numpy(eight))


@pytest.mark.parametrize("size", [(256, 256), (128, 512)])
def test_every_16_bit_value_goes_from_a_file_through_a_batch_to_a_file(tmp_path, size):
    values = np.arange(65536).astype(np.uint16).reshape(*size, 1)
    deep_pictures.write(tmp_path / "x.png", values)
    data = ImageFolder(
        seed=0, root=str(tmp_path), resolution=[*size], resize="none", channels=1, depth=16,
        flip=False, cache="memory",
    )  # fmt: skip
    data.prepare(batch=1, multiple=1, log=lambda _: None)
    x = to_float(torch.from_numpy(data.item(0)["image"]))
    write_image(tmp_path / "y.png", to_integers(x, torch.uint16).permute(1, 2, 0).numpy())
    assert (np.asarray(Image.open(tmp_path / "y.png")) == values[..., 0]).all()


def test_luma_is_pillows(tmp_path):
    everything = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    wanted = array(Image.fromarray(everything).convert("L"))
    assert (to_channels(Picture(everything), 1).pixels == wanted).all()
    deep = to_channels(Picture(everything.astype(np.uint16) * 257), 1).pixels
    assert np.abs(deep / 257 - wanted).max() <= 0.501
    floats = to_channels(Picture(everything.astype(np.float32) / 255), 1).pixels
    assert np.abs(floats * 255 - wanted).max() <= 0.51


@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("stored", [1, 2, 3, 4])
@pytest.mark.parametrize("wanted", [1, 2, 3, 4])
def test_channels(dtype, stored, wanted):
    x = deep_pictures.random_pixels(6, (4, 5, stored), dtype)
    opaque = x.copy()
    most = np.iinfo(dtype).max if dtype is not np.float32 else 1
    if stored in (2, 4):
        opaque[..., -1] = most
    has_alpha = stored in (2, 4)
    found, *_, alpha = to_channels(Picture(opaque, alpha=has_alpha), wanted)
    assert alpha == (wanted in (2, 4))
    assert found.shape == (4, 5, wanted) and found.dtype == dtype
    if wanted in (2, 4):
        assert (found[..., -1] == most).all()
    if stored in (2, 4) and wanted in (1, 3):
        with pytest.raises(ImageFault, match=f"transparency.*set its channels to {wanted + 1}"):
            to_channels(Picture(x, alpha=True), wanted)
    if stored == wanted:
        assert (to_channels(Picture(x, alpha=has_alpha), wanted).pixels == x).all()


@pytest.mark.parametrize("size", [(20, 31), (64, 80), (40, 48)])
def test_deep_resizing_is_that_of_8_bits_but_finer(size):
    by = Image.Resampling.BICUBIC
    x = array(picture(1))
    shallow = resize(x, size, by).astype(float)
    deep = resize(x.astype(np.uint16) * 257, size, by)
    floats = resize(x.astype(np.float32) / 255, size, by)
    assert deep.dtype == np.uint16 and floats.dtype == np.float32
    # 8 bits are rounded after each of the two directions.
    assert np.abs(deep / 257 - shallow).max() < 1.3 and np.abs(deep / 257 - shallow).mean() < 0.4
    assert np.abs(floats * 255 - deep / 257).max() < 0.02


def test_what_a_filter_adds_is_cut_off():
    edge = np.zeros((8, 8, 1), np.uint16)
    edge[:, 4:] = 65535
    found = resize(edge, (8, 64), Image.Resampling.BICUBIC)
    assert found.min() == 0 and found.max() == 65535
    floats = resize(edge.astype(np.float32) / 65535, (8, 64), Image.Resampling.BICUBIC)
    assert floats.min() == 0 and floats.max() == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_colors_of_transparent_pixels_do_not_bleed(dtype):
    most = np.iinfo(dtype).max if dtype is not np.float32 else 1
    x = np.zeros((8, 8, 4), dtype)
    x[:, :4] = (most, 0, 0, most)  # red; the right half is wholly transparent green
    x[:, 4:, 1] = most
    found = resize(x, (8, 20), Image.Resampling.BICUBIC, alpha=True).astype(float) / most
    seen = found[..., 3] > 0.1
    assert seen.any() and found[seen][:, 0].min() > 0.9 and found[seen][:, 1].max() < 0.1


def fault(path, channels: int = 3, settings: PixelFormat = DEEP) -> str:
    with pytest.raises(ImageFault) as caught:
        load_image(path, channels, settings)
    return str(caught.value)


def test_depths_that_do_not_fit_are_refused(tmp_path):
    for number, dtype in enumerate((np.uint16, np.float32, np.uint8)):
        deep_pictures.write(
            tmp_path / f"{number}.tif", deep_pictures.random_pixels(7, (4, 4, 3), dtype) + dtype(0)
        )
    assert "16 bits per channel: set data.depth=16" in fault(tmp_path / "0.tif", 3, PixelFormat())
    told = "set data.depth=float and data.value_range=[lowest,highest]"
    assert told in fault(tmp_path / "1.tif", 3, PixelFormat()) and told in fault(tmp_path / "1.tif")
    assert "holds integers" in fault(tmp_path / "0.tif", 3, PixelFormat("float", -5, 5))
    for name, most in (("0.tif", 65535), ("2.tif", 255)):
        found = load_image(tmp_path / name, 3, PixelFormat("float")).pixels
        assert found.dtype == np.float32
        assert (np.rint(found * most) == decode(tmp_path / name).pixels).all()


@pytest.mark.parametrize("value", [1.5, -0.1, np.nan, np.inf])
def test_floats_outside_of_the_range_are_named(tmp_path, value):
    x = deep_pictures.random_pixels(8, (4, 4, 1), np.float32)
    x[1, 2] = value
    deep_pictures.write(tmp_path / "x.tif", x)
    assert "outside value_range=[0,1]: widen the range" in fault(
        tmp_path / "x.tif", 1, PixelFormat("float")
    )


def test_numbers_that_nothing_holds_are_refused(tmp_path):
    x = np.arange(16).reshape(4, 4)
    for name, dtype in (("a", np.int16), ("b", np.uint32), ("c", np.int32)):
        tifffile.imwrite(tmp_path / f"{name}.tif", x.astype(dtype))
        assert "values: save it with unsigned 8 or 16 bits" in fault(tmp_path / f"{name}.tif")
    tifffile.imwrite(tmp_path / "d.tif", x / 3)
    assert "64-bit floats that 32 bits cannot" in fault(tmp_path / "d.tif", 1, PixelFormat("float"))
    tifffile.imwrite(tmp_path / "e.tif", x / 16)
    assert (load_image(tmp_path / "e.tif", 1, PixelFormat("float")).pixels[..., 0] == x / 16).all()
    white = np.zeros((4, 4), np.uint16)
    tifffile.imwrite(tmp_path / "g.tif", white, photometric="miniswhite")
    assert "colour mode MINISWHITE" in fault(tmp_path / "g.tif", 1)


def test_deep_netpbm_is_refused(tmp_path):
    raw = np.zeros((4, 6), ">u2").tobytes()
    (tmp_path / "x.pgm").write_bytes(b"P5 6 4 65535\n" + raw)
    (tmp_path / "x.ppm").write_bytes(b"P6 6 4 65535\n" + 3 * raw)
    for name in ("x.pgm", "x.ppm"):
        assert "more than 8 bits per channel: save it as PNG or TIFF" in fault(tmp_path / name)


@pytest.mark.parametrize("ending", [".png", ".tif"])
def test_truncated_deep_files_are_unreadable(tmp_path, ending):
    path = tmp_path / f"x{ending}"
    deep_pictures.write(path, deep_pictures.random_pixels(9, (60, 60, 3), np.uint16))
    path.write_bytes(path.read_bytes()[:12000])
    assert "unreadable" in fault(path)


def test_without_the_library_a_sentence_says_what_to_install(tmp_path, monkeypatch):
    def absent(name: str, *rest: Any) -> Any:
        return None if name == "imagecodecs" else find(name, *rest)

    find = importlib.util.find_spec
    for ending in (".png", ".tif"):
        for channels in (1, 3):
            x = deep_pictures.random_pixels(10, (5, 6, channels), np.uint16)
            deep_pictures.write(tmp_path / f"{channels}{ending}", x)
    monkeypatch.setattr(decoding.importlib.util, "find_spec", absent)
    assert "pip install 'gantrain[deep]'" in fault(tmp_path / "3.png")
    for name, channels in (("1.png", 1), ("1.tif", 1), ("3.tif", 3)):  # by Pillow and tifffile
        found = load_image(tmp_path / name, channels, DEEP).pixels
        assert found.shape == (5, 6, channels)
    with pytest.raises(ImageFault, match=r"pip install 'gantrain\[deep\]'"):
        write_image(tmp_path / "y.png", np.zeros((2, 2, 3), np.uint16))
    assert not (tmp_path / "y.png").exists()


def test_formats_that_cannot_hold_it_are_not_written(tmp_path):
    with pytest.raises(ImageFault, match="more than 8 bits per channel, which JPEG cannot store"):
        write_image(tmp_path / "x.jpg", np.zeros((2, 2, 1), np.uint16))
    with pytest.raises(ImageFault, match="which PNG cannot store"):
        write_image(tmp_path / "x.png", np.zeros((2, 2, 1), np.float32))
    with pytest.raises(ImageFault, match="transparency, which JPEG cannot store"):
        write_image(tmp_path / "x.jpg", np.zeros((2, 2, 4), np.uint8), alpha=True)
    with pytest.raises(ImageFault, match="has 4 bands, which PNG cannot store: use format=tiff"):
        write_image(tmp_path / "x.png", np.zeros((2, 2, 4), np.uint8))


@pytest.mark.parametrize("name", ["a.dcm", "a.nii.gz", "a.npz"])
def test_what_is_only_read_is_not_written(tmp_path, name):
    with pytest.raises(ImageFault, match=r"is read but not written: use format=tiff"):
        write_image(tmp_path / name, np.zeros((2, 2, 1), np.uint8))


def test_value_range_is_checked():
    assert pixel_format("float", [-2, 3]) == PixelFormat("float", -2.0, 3.0)
    assert pixel_format(16, [0, 4095]) == PixelFormat(16, 0.0, 4095.0, ranged=True)
    for depth, limits, told in (
        ("float", [1, 1], "is not a range"),
        ("float", [1], "is not a range"),
    ):
        with pytest.raises(ConfigError, match=told):
            pixel_format(depth, limits)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("cache", ["memory", "disk", "none"])
@pytest.mark.parametrize("depth", ["16", "float"])
def test_deep_sets_of_two_domains(tmp_path, cache, depth):
    dtype = DTYPES[depth]
    for number in range(12):
        x = deep_pictures.random_pixels(number, (32, 40, 3), dtype)
        split = ("trainA", "trainB", "testA", "testB")[number % 4]
        (tmp_path / split).mkdir(exist_ok=True)
        deep_pictures.write(tmp_path / split / f"{number}.tif", x)
    settings: dict[str, Any] = {"depth": 16 if depth == "16" else "float", "flip": False}
    if depth == "float":
        settings["value_range"] = [-1, 3]
    data = picture_sets.folder(
        tmp_path, preprocess="crop", cache=cache, cache_dir=str(tmp_path / "c"), pairing="serial",
        **settings,
    )  # fmt: skip
    picture_sets.prepared(data)
    found = data.item(0)["a"]
    whole = decode(tmp_path / "trainA" / "0.tif").pixels.transpose(2, 0, 1)
    assert data.describe()["depth"] == settings["depth"]
    if depth == "float":
        assert found.dtype == np.float32
        whole = (whole + 1) / 2 - 1
        assert np.abs(found).max() <= 1
    assert any(np.allclose(found, whole[:, :, left : left + 32], atol=1e-6) for left in range(9))
    assert data.test_item("b", 0).dtype == found.dtype


def test_every_domain_has_its_own_preprocessing(tmp_path):
    picture_sets.write_set(tmp_path / "set", height=50, width=60)
    data = picture_sets.folder(
        tmp_path / "set", resolution=[32, 24], preprocess_a="crop", load_size_b=[40, 44]
    )
    picture_sets.prepared(data)
    item = data.item(5)
    assert item["a"].shape == item["b"].shape == (3, 32, 24)
    whole = array(picture(0, 50, 60)).transpose(2, 0, 1)
    tested = data.test_item("a", 0)
    assert tested.shape == (3, 32, 24) and whole.shape == (3, 50, 60)
    described = data.describe()
    assert described["preprocess"] == {"a": "crop", "b": "resize_and_crop"}
    assert described["load_size"] == {"a": None, "b": [40, 44]}


@pytest.mark.parametrize("top", ["", "wrapped/"])
def test_two_domains_in_an_archive(tmp_path, top):
    root = picture_sets.write_set(tmp_path / "set")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        for path in sorted(root.rglob("*.png")):
            file.write(path, f"{top}{path.relative_to(root).as_posix()}")
    found = []
    for place in (root, tmp_path / "set.zip"):
        data = picture_sets.folder(place, test_pairs=True)
        picture_sets.prepared(data)
        found.append(data)
    plain, packed = found
    assert (plain.item(4)["b"] == packed.item(4)["b"]).all()
    assert (plain.test_item("a", 2) == packed.test_item("a", 2)).all()
    assert plain.test_name("a", 2) == packed.test_name("a", 2) == "p02"
    assert plain.describe()["fingerprint"] == packed.describe()["fingerprint"]
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        for path in (root / "trainB").iterdir():
            file.write(path, path.name)
    apart = picture_sets.folder(None, root_a=f"{root}/trainA", root_b=str(tmp_path / "b.zip"))
    picture_sets.prepared(apart)
    assert apart.images_per_epoch == 7


def test_partners_may_be_marked_by_their_domain(tmp_path):
    root = picture_sets.write_set(tmp_path / "set")
    for split in ("testA", "testB"):
        for path in (root / split).iterdir():
            path.rename(path.with_stem(f"{path.stem}_{split[-1]}"))
    data = picture_sets.folder(root, test_pairs=True)
    picture_sets.prepared(data)
    assert data.test_name("a", 1) == "p01_A" and data.test_name("b", 1) == "p01_B"


@pytest.mark.parametrize(
    "kind", sorted({*map(Image.registered_extensions().get, EXTENSIONS)} - {None, "HEIF"})
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_format_stores_an_image_or_refuses_it(tmp_path, kind, channels):
    """Whatever has been written has all channels, and the same values but for lossy formats."""
    x = deep_pictures.random_pixels(9, (8, 8, channels), np.uint8)
    if channels in (2, 4):
        x[0, 0, -1] = 0  # a colour that nobody sees
    try:
        content = encode_image(x, kind, alpha=channels in (2, 4))
    except ImageFault as fault:
        assert "leave out format=same" in str(fault)
        assert (kind, channels) in REFUSED
        return
    assert (kind, channels) not in REFUSED
    (tmp_path / "x.png").write_bytes(content)
    found = decode(tmp_path / "x.png").pixels
    wide = x if found.shape[2] == channels else x[..., [0, 0, 0, 1][: found.shape[2]]]
    assert found.shape == wide.shape and (channels in (1, 3)) == (found.shape[2] in (1, 3))
    if kind not in ("JPEG", "MPO", "AVIF"):
        assert (found == wide).all()


REFUSED = {(k, c) for k in ("JPEG", "MPO", "BMP", "DIB", "PPM", "GIF") for c in (2, 4)}
REFUSED |= {("GIF", 3), ("QOI", 1), ("QOI", 2)}
