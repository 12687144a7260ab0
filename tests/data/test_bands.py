"""Images of any number of bands: each is one for itself, and alpha is what the file calls so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from gantrain.data.bit_depth import ImageFault, Picture, PixelFormat, resize, to_channels
from gantrain.data.decode import decode, image_size
from gantrain.data.encode import write_image
from gantrain.data.folder import UnpairedFolder
from gantrain.data.image_folder import ImageFolder
from gantrain.data.pack import pack
from gantrain.errors import ConfigError
from gantrain.inference import image_io
from gantrain.inference.image_io import run_pixels
from gantrain.ops.value_range import to_float
from tests.helpers import deep_pictures, picture_sets

DTYPES: dict[Any, type] = {8: np.uint8, 16: np.uint16, "float": np.float32}
LAYOUTS = ("contig", "separate", "hwc", "chw", "pages")
BICUBIC = Image.Resampling.BICUBIC


def bands(path: Path, x: np.ndarray, layout: str = "contig") -> Path:
    """Write [H, W, C] without a word about alpha; the file, whose name depends on the layout."""
    planes = np.ascontiguousarray(np.moveaxis(x, 2, 0))
    if layout in ("hwc", "chw"):
        np.save(path.with_suffix(".npy"), x if layout == "hwc" else planes)
        return path.with_suffix(".npy")
    path = path.with_suffix(".tif")
    if layout == "pages":
        with tifffile.TiffWriter(path) as file:
            for plane in planes:
                file.write(plane, photometric="minisblack", metadata=None)
        return path
    options: dict[str, Any] = {"photometric": "minisblack", "metadata": None}
    if x.shape[2] == 1:
        tifffile.imwrite(path, x[..., 0], **options)
    else:
        tifffile.imwrite(path, x if layout == "contig" else planes, planarconfig=layout, **options)
    return path


def reading(layout: str) -> dict[str, Any]:
    if layout in ("hwc", "chw"):
        return {"array_layout": layout}
    return {"pages": "channels"} if layout == "pages" else {}


@pytest.mark.parametrize("channels", range(1, 14))
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("depth", DTYPES)
def test_training_and_translation_read_every_number_and_write_it_back(
    tmp_path: Path, channels: int, layout: str, depth: Any
) -> None:
    dtype = DTYPES[depth]
    given = {}
    for domain in "AB":
        (tmp_path / f"train{domain}").mkdir()
        for number in range(2):
            x = deep_pictures.random_pixels(number, (8, 12, channels), dtype)
            given[domain, number] = bands(tmp_path / f"train{domain}/{number}", x, layout), x
    data = UnpairedFolder(
        seed=0, root=str(tmp_path), resolution=[8, 12], preprocess="none", flip=False, depth=depth,
        channels_a=channels, channels_b=channels, cache="memory", pairing="serial",
        **reading(layout),
    )  # fmt: skip
    data.prepare(batch=1, multiple=4, log=lambda _: None)
    described = data.describe()
    assert described["pixels"]["a"]["alpha"] is False
    run = run_pixels(described, "a")
    formats = image_io.run_formats(described, **dict.fromkeys(described["formats"]))
    for number in range(2):
        file, x = given["A", number]
        trained = to_float(torch.from_numpy(data.train_item("a", number)))
        [source] = data.sources(print)["train_a"].files[number : number + 1]
        loaded = image_io.read(source, channels, run)
        assert torch.equal(loaded.x, trained) and loaded.x.shape == (channels, 8, 12)
        assert image_size(source) == (8, 12) and str(file) in str(source)
        result = tmp_path / f"{number}.tiff"
        image_io.write(result, loaded.x, run.result_dtype(loaded.dtype), run)
        found = decode(result).pixels
        assert found.dtype == dtype and found.shape == x.shape
        assert (np.abs(found - x).max() < 1.3e-7) if depth == "float" else (found == x).all()
    assert formats.describe() == described["formats"]


@pytest.mark.parametrize("depth", DTYPES)
@pytest.mark.parametrize("channels", [2, 4, 5, 13])
def test_each_band_is_resized_by_itself(depth: Any, channels: int) -> None:
    x = deep_pictures.random_pixels(1, (20, 24, channels), DTYPES[depth])
    found = resize(x, (13, 17), BICUBIC)
    for band in range(channels):
        assert (
            found[..., band] == resize(x[..., band : band + 1], (13, 17), BICUBIC)[..., 0]
        ).all()


def test_rgb_is_resized_like_its_bands() -> None:
    x = deep_pictures.random_pixels(1, (20, 24, 3), np.uint8)
    alone = [resize(x[..., i : i + 1], (13, 17), BICUBIC) for i in range(3)]
    assert (resize(x, (13, 17), BICUBIC) == np.concatenate(alone, axis=2)).all()


@pytest.mark.parametrize("dtype", DTYPES.values())
def test_bands_beside_an_alpha_are_weighted_by_it(tmp_path: Path, dtype: type) -> None:
    """RGB, near infrared and alpha: what is transparent does not bleed."""
    most = 1 if dtype is np.float32 else np.iinfo(dtype).max
    x = np.zeros((8, 8, 5), dtype)
    x[:, :4] = most
    tifffile.imwrite(
        tmp_path / "x.tif", x, photometric="rgb", extrasamples=["unspecified", "unassalpha"]
    )
    picture = decode(tmp_path / "x.tif")
    assert picture.alpha and not picture.colors
    found = resize(picture.pixels, (8, 20), BICUBIC, alpha=True).astype(float) / most
    seen = found[..., 4] > 0.1
    assert found[seen][:, :4].min() > 0.98
    opaque = picture._replace(pixels=np.full_like(x, most))
    assert to_channels(opaque, 4).pixels.shape == (8, 8, 4) and not to_channels(opaque, 4).alpha
    with pytest.raises(ImageFault, match="transparency, which 4 channels cannot store"):
        to_channels(picture, 4)


def test_the_published_layouts_of_8_bits(tmp_path: Path) -> None:
    """RGB with one to three undeclared samples, grey with one: all bands, or a sentence."""
    for name, photometric, count in (("rgb", "rgb", 4), ("rgb", "rgb", 6), ("g", "minisblack", 2)):
        x = deep_pictures.random_pixels(0, (9, 7, count), np.uint8)
        extra = ["unspecified"] * (count - (3 if name == "rgb" else 1))
        tifffile.imwrite(tmp_path / "x.tif", x, photometric=photometric, extrasamples=extra)
        found = decode(tmp_path / "x.tif")
        assert (found.pixels == x).all() and not found.alpha and not found.colors
        with pytest.raises(ImageFault, match=f"has {count} .*set its channels to {count}"):
            to_channels(found, 3)


def test_a_domain_does_not_mix_alpha_and_bands(tmp_path: Path) -> None:
    picture_sets.write_set(tmp_path)
    x = deep_pictures.random_pixels(0, (40, 48, 4), np.uint8)
    bands(tmp_path / "trainA/x", x)
    data = picture_sets.folder(tmp_path, channels_a=4)
    with pytest.raises(ConfigError, match=r"channel of .*p00.png is alpha, and that of .*x.tif an"):
        picture_sets.prepared(data)


def test_a_run_of_bands_takes_no_alpha_and_the_other_way_round(tmp_path: Path) -> None:
    deep_pictures.write(tmp_path / "rgba.png", np.full((8, 8, 4), 255, np.uint8))
    Image.new("RGB", (8, 8)).save(tmp_path / "rgb.png")
    band = bands(tmp_path / "b", np.full((8, 8, 4), 255, np.uint8))
    for file, alpha in ((tmp_path / "rgba.png", True), (tmp_path / "rgb.png", True), (band, False)):
        pixels = {"a": {"value_range": None, "alpha": alpha}}
        image_io.read(file, 4, run_pixels({"depth": 8, "pixels": pixels}, "a"))
        pixels["a"]["alpha"] = not alpha
        with pytest.raises(ImageFault, match="as its last channel, and the run was trained on"):
            image_io.read(file, 4, run_pixels({"depth": 8, "pixels": pixels}, "a"))


@pytest.mark.parametrize(("depth", "channels"), [(8, 4), (16, 4), ("float", 4), (8, 13), (16, 2)])
@pytest.mark.parametrize("limits", [None, [0, 400]])
def test_a_packed_set_holds_the_same_numbers(
    tmp_path: Path, depth: Any, channels: int, limits: list[float] | None
) -> None:
    (tmp_path / "set").mkdir()
    for number in range(3):
        x = deep_pictures.random_pixels(number, (20, 24, channels), DTYPES[depth])
        bands(tmp_path / f"set/{number}", x)
    settings: dict[str, Any] = {
        "seed": 0, "resolution": 16, "channels": channels, "depth": depth, "flip": False,
        "cache": "none", "value_range": limits, "clip": True,
    }  # fmt: skip
    plain = ImageFolder(root=str(tmp_path / "set"), **settings)
    assert pack(tmp_path / "x.zip", plain.sources(print), {}, {}) == 3
    packed = ImageFolder(root=str(tmp_path / "x.zip"), **settings)
    for data in (plain, packed):
        data.prepare(batch=1, multiple=1, log=lambda _: None)
    for number in range(3):
        assert (plain.train_item("image", number) == packed.train_item("image", number)).all()


def test_what_is_written_says_what_its_bands_are(tmp_path: Path) -> None:
    for channels in range(1, 8):
        for alpha in (False, True) if channels > 1 else (False,):
            x = deep_pictures.random_pixels(channels, (6, 5, channels), np.int16)
            write_image(tmp_path / "x.tif", x, alpha)
            found = decode(tmp_path / "x.tif")
            assert (found.pixels == x).all() and found.alpha == alpha
            assert found.colors == (channels - alpha in (1, 3))
            write_image(tmp_path / "x.npy", x, alpha)
            assert (np.load(tmp_path / "x.npy") == x).all()


def test_numbers_of_a_range_survive_the_way_through_a_network(tmp_path: Path) -> None:
    """Every number from -1024 to 3071 comes back as itself, as integers and as floats."""
    x = np.arange(-1024, 3072, dtype=np.int16).reshape(64, 64, 1)
    write_image(tmp_path / "x.tif", x)
    pixels = {"a": {"value_range": [-1024, 3071]}}
    for depth, dtype in ((16, np.int16), ("float", np.float32)):
        run = run_pixels({"depth": depth, "pixels": pixels}, "a")
        loaded = image_io.read(tmp_path / "x.tif", 1, run)
        assert loaded.x.min() == -1 and loaded.x.max() == 1
        kind = run.result_dtype(loaded.dtype)
        image_io.write(tmp_path / "y.tif", loaded.x, kind, run)
        found = decode(tmp_path / "y.tif").pixels
        assert found.dtype == dtype
        assert (found == x).all() if depth == 16 else np.abs(found - x).max() < 4095 * 2**-22
        assert torch.allclose(image_io.read_result(tmp_path / "y.tif", run), loaded.x, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "dtype", "fault"),
    [
        (PixelFormat(16, 0, 4095, True), np.uint16, ""),
        (PixelFormat(16, 0, 4095, True), np.int16, ""),
        (PixelFormat(16, 0, 4095, True), np.float32, ""),
        (PixelFormat(16, 0, 4095, True), np.uint8, "has 8 bits per channel, and data.value_range"),
        (PixelFormat(8, 0, 20, True), np.uint8, ""),
        (PixelFormat(8, 0, 20, True), np.uint16, "has 16 bits per channel: set data.depth=16"),
        (PixelFormat("float", -9, 9), np.int32, ""),
        (PixelFormat("float", -9, 9), np.uint16, "set data.depth=16 if they are numbers"),
        (PixelFormat("float", -9, 9), np.uint8, "holds integers, which value_range"),
    ],
)
def test_which_files_hold_numbers_of_a_range(
    settings: PixelFormat, dtype: type, fault: str
) -> None:
    x = np.arange(9).astype(dtype).reshape(3, 3, 1)
    if fault:
        with pytest.raises(ImageFault, match=fault):
            settings.convert(x)
        return
    assert settings.convert(x).dtype == np.float32 and (settings.convert(x) == x).all()
    scaled = settings.to_output(settings.convert(x))
    wanted = (x.astype(float) - settings.low) * 2 / (settings.high - settings.low) - 1
    assert np.abs(scaled - wanted).max() < 1e-6


def test_numbers_outside_are_refused_or_clipped_and_counted(tmp_path: Path) -> None:
    x = np.array([[0, 100], [5000, 4095]], np.uint16)[..., None]
    with pytest.raises(ImageFault, match=r"0 to 5000, outside value_range=\[0,4095\].*clip=true"):
        PixelFormat(16, 0, 4095, True).convert(x)
    clipping = PixelFormat(16, 0, 4095, True, clip=True)
    assert clipping.convert(x)[..., 0].tolist() == [[0, 100], [4095, 4095]]
    assert clipping.outside(x) == 1 and PixelFormat(16, clip=True).outside(x) == 0
    for value in (np.nan, np.inf):
        with pytest.raises(ImageFault, match="outside value_range"):
            clipping.convert(np.full((2, 2, 1), value, np.float32))
    for split in ("trainA", "trainB"):
        (tmp_path / split).mkdir()
        for number in range(2):
            tifffile.imwrite(tmp_path / f"{split}/{number}.tif", np.tile(x[..., 0], (8, 8)))
    for cache in ("memory", "disk", "disk"):  # the last time from the cache
        data = picture_sets.folder(
            tmp_path, resolution=16, depth=16, value_range_a=[0, 4095], clip=True, channels_a=1,
            channels_b=1, cache=cache, cache_dir=str(tmp_path / "cache"),
        )  # fmt: skip
        lines = picture_sets.prepared(data)
        assert any("128 of 512 values of train_a (0.25 of all, in 2 images)" in x for x in lines)
        assert not any("values of train_b" in line for line in lines)
        pixels = data.describe()["pixels"]
        assert pixels["a"]["value_range"] == [0, 4095] and pixels["b"]["value_range"] is None


def test_colors_convert_and_bands_do_not() -> None:
    x = deep_pictures.random_pixels(0, (4, 4, 3), np.uint8)
    assert to_channels(Picture(x), 1).pixels.shape == (4, 4, 1)
    with pytest.raises(ImageFault, match="has 3 channels, not 1: set its channels to 3"):
        to_channels(Picture(x, colors=False), 1)
