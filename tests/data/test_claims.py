"""Files that hold more, or something else, than one plain image."""

import json
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from gantrain.data.bit_depth import ImageFault, PixelFormat, to_channels
from gantrain.data.decode import decode, image_size
from gantrain.data.image_files import load_image
from tests.helpers.picture_sets import picture


def fault(path: Path) -> str:
    with pytest.raises(ImageFault) as caught:
        decode(path)
    return str(caught.value)


def tiff(path: Path, shape: tuple[int, ...], dtype: Any = np.uint8, **options: Any) -> Path:
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    tifffile.imwrite(path, values, **options)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float16])
@pytest.mark.parametrize("options", [{}, {"truncate": True}, {"metadata": None}])
def test_pages_are_counted_and_refused(tmp_path: Path, dtype: Any, options: dict) -> None:
    path = tiff(tmp_path / "x.tif", (5, 20, 30), dtype, photometric="minisblack", **options)
    assert "holds 5 pages: save the wanted ones" in fault(path)


@pytest.mark.parametrize("shape", [(4, 20, 30, 3), (2, 2, 20, 20, 3)])
@pytest.mark.parametrize("truncate", [False, True])
def test_pages_of_colours_are_counted(tmp_path: Path, shape: Any, truncate: bool) -> None:
    path = tiff(tmp_path / "x.tif", shape, photometric="rgb", truncate=truncate)
    assert "holds 4 pages" in fault(path)


def test_imagej_and_ome_count_their_images(tmp_path: Path) -> None:
    path = tiff(tmp_path / "j.tif", (3, 20, 30), np.uint16, imagej=True, metadata={"axes": "CYX"})
    assert "holds 3 pages" in fault(path)
    channels = {"axes": "CYX"}
    path = tiff(tmp_path / "o.tif", (2, 20, 30), ome=True, metadata=channels)
    assert "holds 2 pages" in fault(path)
    whole = path = tiff(tmp_path / "one_page.tif", (3, 20, 30), np.uint16, imagej=True)
    with tifffile.TiffFile(whole) as file:  # as ImageJ writes more than 4 GB: one page, many images
        first, text = file.pages[0].asarray(), file.pages[0].description  # pyright: ignore
    tifffile.imwrite(path, first, description=text, metadata=None)
    assert "holds 3 pages" in fault(path)


def test_one_plain_image_is_no_stack(tmp_path: Path) -> None:
    for options in ({"imagej": True}, {"ome": True}, {"truncate": True}, {}):
        for shape in ((20, 30), (20, 20)):
            path = tiff(tmp_path / "x.tif", shape, np.uint16, **options)
            assert decode(path).pixels.shape == (*shape, 1)
        path = tiff(tmp_path / "x.tif", (20, 20, 3), photometric="rgb", **options)
        assert decode(path).pixels.shape == (20, 20, 3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_reduced_copies_are_no_pages(tmp_path: Path, dtype: Any) -> None:
    x = np.full((16, 16, 3), 7, dtype)
    with tifffile.TiffWriter(tmp_path / "x.tif") as file:
        file.write(x, photometric="rgb")
        file.write(x[::2, ::2], photometric="rgb", subfiletype=1)
    assert (decode(tmp_path / "x.tif").pixels == x).all()


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "avif"])
def test_animations_are_refused(tmp_path: Path, ending: str) -> None:
    more = [picture(2), picture(3)]
    picture(1).save(tmp_path / f"x.{ending}", save_all=True, append_images=more)
    assert "holds 3 frames (an animation)" in fault(tmp_path / f"x.{ending}")


def test_other_views_of_a_photo_are_left_out_with_a_note(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "x.mpo", save_all=True, append_images=[picture(2)], quality=95)
    found, note, *_ = decode(tmp_path / "x.mpo")
    assert note == "MPO" and np.abs(found.astype(int) - np.asarray(picture(1), int)).mean() < 4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(
    ("bands", "photometric", "extra"),
    [
        (2, "minisblack", ["unspecified"]),
        (4, "rgb", ["unspecified"]),
        (4, "minisblack", ["unspecified"] * 3),
        (4, "minisblack", None),
        (5, "rgb", ["unspecified"] * 2),
        (5, "rgb", ["unspecified", "unassalpha"]),
        (6, "minisblack", None),
    ],
)
@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_every_band_arrives_and_none_is_taken_for_a_colour(
    tmp_path: Path, dtype: Any, bands: int, photometric: str, extra: Any, planes: str
) -> None:
    shape = (20, 30, bands) if planes == "contig" else (bands, 20, 30)
    options = {"photometric": photometric, "planarconfig": planes, "extrasamples": extra}
    path = tiff(tmp_path / "x.tif", shape, dtype, **options)
    stored = tifffile.imread(path)
    stored = stored if planes == "contig" else np.moveaxis(stored, 0, 2)
    found = decode(path)
    assert found.pixels.dtype == dtype and (found.pixels == stored).all()
    assert not found.colors and found.alpha == (extra is not None and extra[-1] == "unassalpha")
    assert to_channels(found, bands).pixels is found.pixels
    for channels in {1, 3, 4, 7} - {bands, bands - 1}:
        wanted = f"has {bands} bands, and the" if bands in (2, 4) else f"has {bands} channels, not"
        with pytest.raises(ImageFault, match=f"{wanted}.*set its channels to {bands}"):
            to_channels(found, channels)


def test_alpha_comes_last(tmp_path: Path) -> None:
    options = {"photometric": "rgb", "extrasamples": ["unassalpha", "unspecified"]}
    told = fault(tiff(tmp_path / "x.tif", (20, 30, 5), **options))
    assert "has alpha before its last band" in told


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_three_bands_without_colours_are_three_channels(tmp_path: Path, dtype: Any) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(dtype)
    tifffile.imwrite(tmp_path / "x.tif", x, photometric="minisblack", planarconfig="contig")
    assert (decode(tmp_path / "x.tif").pixels == x).all()


@pytest.mark.parametrize("name", ["int8", "int16", "int32"])
def test_signed_integers_are_numbers_and_refused_without_a_range(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.tif"
    x = np.arange(-100, 20).reshape(12, 10).astype(name)
    tifffile.imwrite(path, x)
    assert (decode(path).pixels[..., 0] == x).all()
    told = f"holds {name} values: save it with unsigned 8 or 16 bits.*data.value_range="
    for depth in (8, 16):
        with pytest.raises(ImageFault, match=told):
            load_image(path, 1, PixelFormat(depth))
    for settings in (PixelFormat("float", -100, 100), PixelFormat(16, -100, 100, ranged=True)):
        found = load_image(path, 1, settings).pixels
        assert found.dtype == np.float32 and (found[..., 0] == x).all()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_premultiplied_alpha_of_deep_images_is_refused(tmp_path: Path, dtype: Any) -> None:
    """Pillow divides 8 bits by it; nothing does that for deep ones."""
    options = {"photometric": "rgb", "extrasamples": ["assocalpha"]}
    told = fault(tiff(tmp_path / "x.tif", (20, 30, 4), dtype, **options))
    assert "multiplied by alpha" in told


@pytest.mark.parametrize(("mode", "bands"), [("RGBA", 4), ("LA", 2)])
def test_targa_is_alpha_only_if_its_header_says_so(tmp_path: Path, mode: str, bands: int) -> None:
    picture(1).convert(mode).save(tmp_path / "x.tga")
    content = bytearray((tmp_path / "x.tga").read_bytes())
    assert content[17] & 0x0F == 8 and decode(tmp_path / "x.tga").pixels.shape[2] == bands
    content[17] &= 0xF0
    (tmp_path / "x.tga").write_bytes(content)
    assert f"has {bands} channels, and the file does not say" in fault(tmp_path / "x.tga")


def test_avif_of_more_than_8_bits_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (9, 8, 7)).save(tmp_path / "x.avif")
    assert decode(tmp_path / "x.avif").pixels.shape == (16, 16, 3)
    deep = imagecodecs.avif_encode(np.full((16, 16, 3), 900, np.uint16), bitspersample=10)
    (tmp_path / "x.avif").write_bytes(deep)
    assert "AVIF of more than 8 bits" in fault(tmp_path / "x.avif")


def test_a_strange_description_changes_nothing(tmp_path: Path) -> None:
    for shape in (None, "x", [], [2.5], ["a"], {}):
        text = json.dumps({"shape": shape, "truncated": True})
        tifffile.imwrite(
            tmp_path / "x.tif", np.ones((20, 30), np.uint8), description=text, metadata=None
        )
        assert decode(tmp_path / "x.tif").pixels.shape == (20, 30, 1)


@pytest.mark.parametrize("kind", ["ICO", "JPEG2000", "SGI", "PCX"])
def test_formats_without_an_ending_of_ours_are_not_read(tmp_path: Path, kind: str) -> None:
    """Of an icon Pillow would give the largest of its images without a word."""
    options = {"sizes": [(16, 16), (32, 32), (64, 64)]} if kind == "ICO" else {}
    Image.new("RGB", (64, 64), (9, 8, 7)).save(tmp_path / "x.png", format=kind, **options)
    assert "unreadable" in fault(tmp_path / "x.png")
    with pytest.raises(ImageFault, match="unreadable"):
        image_size(tmp_path / "x.png")
