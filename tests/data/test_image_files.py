import numpy as np
import pytest
from PIL import Image

from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import image_size
from gantrain.data.image_files import is_image, list_images, load_image, unread_kinds
from tests.helpers.picture_sets import array, picture


def test_listing_is_recursive_sorted_and_knows_its_extensions(tmp_path):
    names = ["b/1.JPG", "b/c/2.webp", "a.png", "z.tiff", "m.PPM", "k.bmp", "k.txt", ".x.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert found == ["a.png", "b/1.JPG", "b/c/2.webp", "k.bmp", "m.PPM", "z.tiff"]


def test_linked_folders_are_followed_and_circles_end(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1.png").touch()
    (tmp_path / "set" / "link").symlink_to(tmp_path / "real")
    (tmp_path / "real" / "circle").symlink_to(tmp_path / "set")
    assert [path.name for path in list_images(tmp_path / "set")] == ["1.png"]


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tif", "tiff", "ppm"])
def test_formats_decode_to_rgb(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    picture(1).save(path, quality=95)
    image = load_image(path, 3).pixels
    assert image.shape == (40, 48, 3) and image.dtype == np.uint8
    assert image_size(path) == (40, 48)
    error = np.abs(image.astype(int) - np.asarray(picture(1), int)).mean()
    assert error < (4 if ending in ("jpg", "webp") else 1e-9)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_honoured(tmp_path, orientation):
    upright = picture(2, 24, 36)
    stored = {
        1: (),
        2: (Image.Transpose.FLIP_LEFT_RIGHT,),
        3: (Image.Transpose.ROTATE_180,),
        4: (Image.Transpose.FLIP_TOP_BOTTOM,),
        5: (Image.Transpose.TRANSPOSE,),
        6: (Image.Transpose.ROTATE_90,),
        7: (Image.Transpose.TRANSVERSE,),
        8: (Image.Transpose.ROTATE_270,),
    }[orientation]
    turned = upright
    for operation in stored:
        turned = turned.transpose(operation)
    exif = Image.Exif()
    exif[274] = orientation
    turned.save(tmp_path / "x.png", exif=exif)
    assert (np.asarray(load_image(tmp_path / "x.png", 3).pixels) == np.asarray(upright)).all()
    assert image_size(tmp_path / "x.png") == (24, 36)


def test_gray_and_color_convert(tmp_path):
    picture(3).save(tmp_path / "rgb.png")
    picture(3).convert("L").save(tmp_path / "gray.png")
    picture(3).convert("1").save(tmp_path / "one.png")
    picture(3).quantize(16).save(tmp_path / "palette.png")
    gray = array(picture(3).convert("L"))
    assert (load_image(tmp_path / "rgb.png", 1).pixels == gray).all()
    assert (load_image(tmp_path / "gray.png", 3).pixels == gray).all()
    both = load_image(tmp_path / "rgb.png", 2).pixels
    assert (both[..., :1] == gray).all() and (both[..., 1] == 255).all()
    assert set(np.unique(np.asarray(load_image(tmp_path / "one.png", 1).pixels))) == {0, 255}
    wanted = np.asarray(picture(3).quantize(16).convert("RGB"))
    assert (np.asarray(load_image(tmp_path / "palette.png", 3).pixels) == wanted).all()
    alpha = np.asarray(load_image(tmp_path / "rgb.png", 4).pixels)
    assert (alpha[:, :, :3] == np.asarray(picture(3))).all() and (alpha[:, :, 3] == 255).all()


def with_alpha(opaque: bool) -> Image.Image:
    image = picture(4).convert("RGBA")
    if not opaque:
        image.putpixel((3, 3), (1, 2, 3, 128))
    return image


def test_alpha_is_kept_with_4_channels_and_dropped_only_when_opaque(tmp_path):
    with_alpha(False).save(tmp_path / "clear.png")
    with_alpha(True).save(tmp_path / "opaque.png")
    assert load_image(tmp_path / "clear.png", 4).pixels[3, 3].tolist() == [1, 2, 3, 128]
    assert (
        np.asarray(load_image(tmp_path / "opaque.png", 3).pixels) == np.asarray(picture(4))
    ).all()
    for channels in (1, 3):
        with pytest.raises(ImageFault, match="transparency"):
            load_image(tmp_path / "clear.png", channels)


def test_a_transparent_palette_is_refused(tmp_path):
    picture(4).quantize(16).save(tmp_path / "x.png", transparency=0)
    with pytest.raises(ImageFault, match="transparency"):
        load_image(tmp_path / "x.png", 3)


def test_cmyk_becomes_rgb(tmp_path):
    picture(5).convert("CMYK").save(tmp_path / "x.jpg", quality=95)
    wanted = array(Image.open(tmp_path / "x.jpg").convert("RGB"))
    assert (load_image(tmp_path / "x.jpg", 3).pixels == wanted).all()
    assert np.abs(wanted.astype(int) - array(picture(5))).mean() < 4


def test_other_color_modes_are_refused(tmp_path):
    picture(5).convert("LAB").save(tmp_path / "x.tif")
    with pytest.raises(ImageFault, match="is in colour mode LAB: save it as RGB or grayscale"):
        load_image(tmp_path / "x.tif", 3)


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "tif", "webp", "ppm"])
def test_truncated_files_are_unreadable(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    picture(6, 80, 80).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(ImageFault, match="unreadable"):
        load_image(path, 3)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
def test_other_contents_are_unreadable(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    for read in (image_size, lambda path: load_image(path, 3).pixels):
        with pytest.raises(ImageFault, match="unreadable"):
            read(tmp_path / "x.png")


def test_files_of_other_kinds_are_counted_and_notes_are_not():
    names = ["a/0.mat", "1.MAT", "film.mov", "plain", "dataset.json", "read.me", "notes.TXT"]
    kinds = "2 .mat (such as a/0.mat), 1 .mov (such as film.mov), 1 without an ending (such as "
    assert unread_kinds(names) == f"{kinds}plain), 1 .me (such as read.me)"
    assert unread_kinds(["dataset.json"]) == ""
    assert "1 of 1 more kinds" in unread_kinds([f"x.{letter}" for letter in "abcdefghi"])


@pytest.mark.parametrize("ending", ["jfif", "gif", "avif", "tga", "qoi", "pnm", "dib", "apng"])
def test_what_pillow_reads_exactly_is_an_image_from_version_2_on(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    image = picture(1).quantize(64) if ending == "gif" else picture(1)
    image.save(path, quality=95)
    assert is_image(path.name) and is_image(path.name.upper()) and not is_image(path.name, 1)
    error = np.abs(
        load_image(path, 3).pixels.astype(int) - np.asarray(image.convert("RGB"), int)
    ).mean()
    assert error < (4 if ending in ("jfif", "avif") else 1e-9)
