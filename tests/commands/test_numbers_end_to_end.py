"""Bands, ranges, arrays and tags of files through the command line: what went wrong once."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from gantrain.data.decode import decode
from gantrain.data.views import Formats, View
from tests.helpers import deep_pictures
from tests.helpers.command_line import TINY, gantrain
from tests.helpers.generators import write
from tests.helpers.medical_files import dicom, nifti

HOME = Path(__file__).parents[1] / "helpers" / "identity"
PLUGIN = {"GANTRAIN_PLUGINS": "identity_net", "PYTHONPATH": str(HOME)}
SMALL = [option for option in TINY if option.startswith(("model.", "train.", "lr.", "tracking.g"))]
HU = (-1024, 3071)


@pytest.fixture
def identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that writes a run whose network returns its input."""
    monkeypatch.syspath_prepend(str(HOME))
    from identity_net import Identity  # pyright: ignore[reportMissingImports]

    def make(channels: int = 1, **data: Any) -> Path:
        networks = {name: Identity(channels) for name in ("ab", "ba")}
        name = f"run{len(list(tmp_path.glob('run*')))}"
        return write(tmp_path / name, "x.Identity", dict(networks), **data)

    return make


def pixels(limits: tuple[float, float] | None, **more: Any) -> dict[str, Any]:
    own = {"value_range": limits and [*limits], "clip": False, "alpha": False, "stacked": 1, **more}
    return {"a": own, "b": own}


def translate(home: Path, run: Path, *options: str, code: int = 0) -> str:
    command = ["translate", f"run={run}", "input=in", *options]
    return gantrain(home, *command, environment=PLUGIN, code=code)


def test_hounsfield_units(tmp_path: Path, identity: Any) -> None:
    """Case ct_hu: floats, doubles and int16 are HU; levels are refused by name, as in training."""
    run = identity(depth="float", pixels=pixels(HU))
    (tmp_path / "in").mkdir()
    hu = np.random.default_rng(0).integers(*HU, (24, 20)).astype(np.int16)
    tifffile.imwrite(tmp_path / "in/f32.tif", hu.astype(np.float32))
    tifffile.imwrite(tmp_path / "in/f64.tif", hu.astype(np.float64))
    tifffile.imwrite(tmp_path / "in/int16.tif", hu)
    tifffile.imwrite(tmp_path / "in/uint16_plus_1024.tif", (hu + 1024).astype(np.uint16))
    Image.fromarray((hu // 16).astype(np.uint8)).save(tmp_path / "in/window_8bit.png")
    said = translate(tmp_path, run, "output=out", code=1)
    for name in ("uint16_plus_1024.tif", "window_8bit.png"):
        assert f"in/{name} holds integers, which value_range=[-1024,3071] does not apply" in said
    for name in ("f32", "f64", "int16"):
        found = decode(tmp_path / f"out/{name}.tiff").pixels
        assert found.dtype == np.float32 and np.abs(found[..., 0] - hu).max() < 1e-3
    for depth, dtype in (("16", np.int16), ("float", np.float32)):
        translate(tmp_path, run, f"output=o{depth}", f"depth={depth}", code=1)
        found = decode(tmp_path / f"o{depth}/f32.tiff").pixels
        assert found.dtype == dtype and np.abs(found[..., 0] - hu.astype(float)).max() < 1e-3
    said = translate(tmp_path, run, "output=o8", "depth=8", code=1)
    assert "results in [-1024,3071], which 8 bits cannot hold: use depth=16 or depth=float" in said


def test_metal_in_ct_is_clipped_only_if_asked_for(tmp_path: Path, identity: Any) -> None:
    """A wider range would rescale all other numbers."""
    run = identity(depth="float", pixels=pixels(HU))
    (tmp_path / "in").mkdir()
    tifffile.imwrite(tmp_path / "in/m.tif", np.array([[0, 9000], [-2000, 500]], np.float32))
    said = translate(tmp_path, run, "output=out", code=1)
    assert "clip the image to it with clip=true" in said and "widen" not in said
    said = translate(tmp_path, run, "output=out2", "clip=true")
    assert "m.tif has 2 of 4 values outside of [-1024,3071], which are clipped" in said
    found = decode(tmp_path / "out2/m.tiff").pixels[..., 0]
    assert np.allclose(found, [[0, 3071], [-1024, 500]], atol=1e-3)
    (tmp_path / "in/n.tif").write_bytes((tmp_path / "in/m.tif").read_bytes())
    clipping = identity(depth="float", pixels=pixels(HU, clip=True))
    assert "2 of 4 values" in translate(tmp_path, clipping, "output=out3")  # as in training


@pytest.mark.parametrize("ending", ["nii.gz", "npy", "tif", "dcm"])
def test_floats_of_a_run_whose_numbers_are_whole(
    tmp_path: Path, identity: Any, ending: str
) -> None:
    """They stay floats, and so their results are TIFF by themselves."""
    run = identity(depth=8, pixels=pixels((0, 200)), formats={"slices": 2})
    (tmp_path / "in").mkdir()
    x = np.random.default_rng(0).uniform(0, 200, (12, 10)).astype(np.float32)
    file = tmp_path / f"in/x.{ending}"
    if ending == "nii.gz":
        nifti(file, x[..., None])
    elif ending == "npy":
        np.save(file, x)
    elif ending == "tif":
        tifffile.imwrite(file, x)
    else:
        dicom(file, (x / 0.75).astype(np.uint16), RescaleSlope=0.75)
    translate(tmp_path, run, "output=out")
    [result] = (tmp_path / "out").glob("*.tiff")
    found = decode(result).pixels
    assert found.dtype == np.float32
    expected = decode(View(file, Formats(slices=2), 0 if "nii" in ending else None))
    np.testing.assert_allclose(found, expected.pixels, atol=1e-3)


def test_12_bits_in_files_of_16(tmp_path: Path) -> None:
    """Case mr_12bit_in_16: a warning with the key that mends it; results in the same numbers."""
    for split in ("trainA", "trainB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for number in range(3):
            x = deep_pictures.random_pixels(number, (24, 24, 1), np.uint16) // 16
            x[0, 0] = 4095
            tifffile.imwrite(tmp_path / f"set/{split}/{number}.tif", x[..., 0])
    options = ["data=folder", "data.root=set", "data.depth=16", "data.resolution=16"]
    options += ["data.channels_a=1", "data.channels_b=1"]
    said = gantrain(tmp_path, "prepare", *options)
    assert said.count("set data.value_range=[0,4095]") == 2
    ranged = [*options, "data.value_range=[0,4095]"]
    said = gantrain(tmp_path, "prepare", *ranged)
    assert "12-bit" not in said and "train_a holds numbers from 0 to 4095, 100% of" in said
    said = gantrain(tmp_path, "prepare", *options, "data.value_range_a=[0,1000]", code=1)
    assert "outside value_range=[0,1000]" in said and "set/trainB" not in said.split("cannot")[1]
    clipped = [*options, "data.value_range=[0,1000]", "data.clip=true", "pack=x.zip"]
    assert "values are clipped" in gantrain(tmp_path, "prepare", *clipped)
    gantrain(tmp_path, "name=run", *ranged, *SMALL, "train.kimg=0.002")
    gantrain(tmp_path, "translate", "run=runs/run", "input=set/trainA", "output=out")
    found = decode(tmp_path / "out/0.png").pixels
    assert found.dtype == np.uint16 and found.max() <= 4095


def test_the_depth_of_results(tmp_path: Path) -> None:
    """Case rgb8_to_depth16: from colours of 8 bits to depth maps of 16."""
    for split, channels, dtype in (("trainA", 3, np.uint8), ("trainB", 1, np.uint16)):
        (tmp_path / "set" / split).mkdir(parents=True)
        for number in range(3):
            x = deep_pictures.random_pixels(number, (24, 24, channels), dtype)
            deep_pictures.write(tmp_path / f"set/{split}/{number}.png", x)
    options = ["data=folder", "data.root=set", "data.depth=16", "data.channels_b=1"]
    options += ["data.resolution=16", "model.lambda_identity=0", "name=run"]
    gantrain(tmp_path, *options, *SMALL, "train.kimg=0.002")
    command = ["translate", "run=runs/run", "input=set/trainA"]
    found = {}
    for depth, dtype, ending in (
        ("run", np.uint16, "png"),
        ("16", np.uint16, "png"),
        ("8", np.uint8, "png"),
        ("float", np.float32, "tiff"),
    ):
        typed = [] if depth == "run" else [f"depth={depth}"]
        gantrain(tmp_path, *command, f"output=o{depth}", *typed)
        found[depth] = decode(tmp_path / f"o{depth}/0.{ending}").pixels
        assert found[depth].dtype == dtype and found[depth].shape == (24, 24, 1)
    assert (found["run"] == found["16"]).all()
    assert np.abs(found["8"] / 255 - found["float"]).max() < 0.51 / 255
    assert np.abs(found["16"] / 65535 - found["float"]).max() < 0.51 / 65535


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_bands_through_a_network(tmp_path: Path, identity: Any, kind: Any) -> None:
    """Cases bands4 and bands_8bit_dropped: all bands, or a sentence."""
    (tmp_path / "in").mkdir()
    x = deep_pictures.random_pixels(0, (20, 22, 4), kind)
    extra = {"extrasamples": ["unspecified"], "photometric": "rgb"}
    tifffile.imwrite(tmp_path / "in/nir.tif", x, **extra)
    extra["extrasamples"] *= 2
    tifffile.imwrite(
        tmp_path / "in/two.tif", deep_pictures.random_pixels(0, (9, 9, 5), kind), **extra
    )
    run = identity(4)
    for form, suffix in (("png", "tiff"), ("same", "tif"), ("tiff", "tiff"), ("npy", "npy")):
        said = translate(tmp_path, run, f"output={form}", f"format={form}", code=1)
        assert "two.tif has 5 channels, not 4: set its channels to 5" in said
        file = tmp_path / f"{form}/nir.{suffix}"
        found = np.load(file) if form == "npy" else decode(file).pixels
        assert found.dtype == kind and np.abs(found.astype(float) - x).max() < 1.3e-7
        assert form == "npy" or not decode(file).alpha
        assert (tmp_path / form / "index.html").read_text().count("<article>") == 1


def test_pages_and_arrays_are_translated(tmp_path: Path, identity: Any) -> None:
    (tmp_path / "in").mkdir()
    x = deep_pictures.random_pixels(0, (3, 12, 16), np.uint16)
    tifffile.imwrite(tmp_path / "in/x.tif", x, photometric="minisblack")
    said = translate(tmp_path, identity(1), "output=no", code=1)
    assert "x.tif holds 3 pages" in said and "or set pages=channels" in said
    translate(tmp_path, identity(1), "output=each", "pages=each")
    for number in range(3):
        assert (decode(tmp_path / f"each/x#{number}.png").pixels[..., 0] == x[number]).all()
    assert "3 images, 3 of them done" in translate(
        tmp_path, tmp_path / "run1", "output=each", "pages=each"
    )
    translate(tmp_path, identity(1), "output=first", "pages=first", "format=npy")
    assert (np.load(tmp_path / "first/x.npy")[..., 0] == x[0]).all()
    (tmp_path / "in/x.tif").unlink()
    np.save(tmp_path / "in/x.npy", x)
    run = identity(3, depth=16, formats={"array_layout": "chw"}, pixels=pixels(None))
    translate(tmp_path, run, "output=chw")  # as in training
    assert (decode(tmp_path / "chw/x.png").pixels == np.moveaxis(x, 0, 2)).all()


def test_stacked_inputs_are_translated(tmp_path: Path, identity: Any) -> None:
    x = deep_pictures.random_pixels(0, (12, 16, 4), np.uint8)
    for folder, part in (("rgb", x[..., :3]), ("depth", x[..., 3:])):
        (tmp_path / folder).mkdir()
        deep_pictures.write(tmp_path / folder / "x.png", part)
    run = identity(4, depth=8, pixels=pixels(None, stacked=2))
    command = ["translate", f"run={run}", "output=out"]
    said = gantrain(tmp_path, *command, "input=rgb", environment=PLUGIN, code=2)
    assert "stacked from 2 folders: give input=[DIR1,DIR2]" in said
    gantrain(tmp_path, *command, "input=[rgb,depth]", environment=PLUGIN)
    assert (decode(tmp_path / "out/x.tiff").pixels == x).all()


GEOTAGS = {33550: (1.0, 1.0, 0.0), 33922: (0.0, 0.0, 0.0, 5e5, 4e6, 0.0)}


def test_geographic_tags_are_kept(tmp_path: Path, identity: Any) -> None:
    """Case geotiff: tags 33550, 33922, 34735 and 42113."""
    (tmp_path / "in").mkdir()
    x = deep_pictures.random_pixels(0, (12, 16, 3), np.uint16)
    tags: list[Any] = [(code, 12, len(value), value, True) for code, value in GEOTAGS.items()]
    keys = (1, 1, 0, 1, 1024, 0, 1, 1)
    tags += [(34735, 3, len(keys), keys, True), (42113, 2, 2, "0", True)]
    tifffile.imwrite(tmp_path / "in/s2.tif", x, photometric="rgb", extratags=tags)
    for form, name in (("same", "s2.tif"), ("tiff", "s2.tiff")):
        assert "Warning" not in translate(tmp_path, identity(3), f"output={form}", f"format={form}")
        with tifffile.TiffFile(tmp_path / form / name) as file:
            found = file.pages[0].tags  # pyright: ignore[reportAttributeAccessIssue]
            for code, value in GEOTAGS.items():
                assert found[code].value == value
            assert found[34735].value == keys and found[42113].value == "0"
        assert (decode(tmp_path / form / name).pixels == x).all()
    said = translate(tmp_path, identity(3), "output=png")
    assert "1 GeoTIFF, such as" in said and "format=tiff and format=same keep them" in said


@pytest.mark.parametrize(
    ("dtype", "ending"),
    [(np.uint8, "png"), (np.uint16, "png"), (np.uint8, "jpg"), (np.uint16, "tif")],
)
def test_colour_profiles_are_kept(tmp_path: Path, identity: Any, dtype: Any, ending: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    (tmp_path / "in").mkdir()
    x = deep_pictures.random_pixels(0, (12, 16, 3), dtype)
    file = tmp_path / f"in/x.{ending}"
    if dtype is np.uint8:
        Image.fromarray(x).save(file, icc_profile=profile)
    elif ending == "tif":
        tags: list[Any] = [(34675, 7, len(profile), profile, True)]
        tifffile.imwrite(file, x, photometric="rgb", extratags=tags)
    else:
        from gantrain.data.encode import Extras, encode_image

        file.write_bytes(encode_image(x, "PNG", extras=Extras(profile)))
    for form in ("png", "same", "tiff"):
        translate(tmp_path, identity(3), f"output={form}", f"format={form}")
        [result] = (tmp_path / form).glob("x.*")
        if result.suffix in (".tif", ".tiff"):
            with tifffile.TiffFile(result) as opened:
                tag = opened.pages[0].tags[34675]  # pyright: ignore[reportAttributeAccessIssue]
                assert bytes(tag.value) == profile
        else:
            assert Image.open(result).info["icc_profile"] == profile
        assert ending == "jpg" or (decode(result).pixels == x).all()
    said = translate(tmp_path, identity(3), "output=npy", "format=npy")
    assert "the results of 1 image, such as" in said and "have no colour profile" in said


@pytest.mark.parametrize(("space", "mode"), [(b"CMYK", "CMYK"), (b"GRAY", "L")])
def test_profiles_of_other_colours_than_the_results_are_left_out(
    tmp_path: Path, identity: Any, space: bytes, mode: str
) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profile = profile[:16] + space + profile[20:]
    (tmp_path / "in").mkdir()
    Image.new(mode, (16, 12)).save(tmp_path / "in/x.jpg", icc_profile=profile)
    for form in ("png", "same"):
        said = translate(tmp_path, identity(3), f"output={form}", f"format={form}")
        assert "in/x.jpg, have no colour profile" in said
        [result] = (tmp_path / form).glob("x.*")
        opened = Image.open(result)
        assert opened.mode == "RGB" and "icc_profile" not in opened.info


def test_files_of_no_known_kind_are_counted(tmp_path: Path) -> None:
    """Cases mixed_npy_png and mixed_gif_jfif: nothing is left out without a word."""
    for split in ("trainA", "trainB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for number in range(2):
            picture = Image.fromarray(deep_pictures.random_pixels(number, (32, 32, 3), np.uint8))
            picture.save(tmp_path / f"set/{split}/{number}.png")
            picture.save(tmp_path / f"set/{split}/{number}.gif")
            picture.save(tmp_path / f"set/{split}/{number}.jfif", format="JPEG")
            picture.save(tmp_path / f"set/{split}/{number}.avif")
            (tmp_path / f"set/{split}/{number}.mat").touch()
    command = ["data=folder", "data.root=set", "data.resolution=32"]
    said = gantrain(tmp_path, "prepare", *command, "report=r.json")
    assert json.loads((tmp_path / "r.json").read_text())["splits"]["train_a"]["usable"] == 8
    assert "set/trainA that are not read as images: 2 .mat (such as 0.mat)" in said
    np.save(tmp_path / "set/trainA/x.npy", np.zeros((32, 32, 3)))
    said = gantrain(tmp_path, "prepare", *command, code=1)
    assert "set/trainA/x.npy holds floats: set data.depth=float" not in said
    assert "x.npy is an array of the shape [32, 32, 3]: say which axis holds the channels" in said


@pytest.mark.ci
def test_training_on_13_bands(tmp_path: Path) -> None:
    """Grids show chosen bands; metrics of features refuse; doctor and packs work."""
    for split in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for number in range(3):
            x = np.zeros((24, 24, 13), np.uint16)
            x[..., 3] = 10000  # the fourth is shown as red
            tifffile.imwrite(
                tmp_path / f"set/{split}/{number}.tif",
                x,
                photometric="minisblack",
                planarconfig="contig",
            )
    command = ["data=folder", "data.root=set", "data.depth=16", "data.value_range=[0,10000]"]
    command += ["data.channels_a=13", "data.channels_b=13", "data.resolution=16"]
    said = gantrain(tmp_path, *command, "data.show=[14,3,2]", *SMALL, "train.kimg=1", code=2)
    assert "data.show=[14, 3, 2] are not bands to show" in said and "from 1 to 13" in said
    gantrain(
        tmp_path, "name=run", *command, "data.show=[4,3,2]", *SMALL, "train.kimg=0.004",
        "tracking.grid_every_kimg=0.002", "tracking.health_every_kimg=0.002",
        "tracking.every_kimg=0.001",
    )  # fmt: skip
    grid = np.asarray(Image.open(sorted((tmp_path / "runs/run/grids").glob("*.png"))[-1]))
    assert grid[60, 48].tolist() == [255, 0, 0]
    rows = [json.loads(x) for x in (tmp_path / "runs/run/metrics.jsonl").read_text().splitlines()]
    assert any(key.startswith("health/") for row in rows for key in row)
    said = gantrain(tmp_path, "evaluate", "run=runs/run", "metrics=[fid]", code=2)
    assert "fid needs grey or RGB images, and these have 13 channels" in said
    assert "No alarms" in gantrain(tmp_path, "doctor", "run=runs/run")
    gantrain(tmp_path, "translate", "run=runs/run", "input=set/testA", "output=out")
    assert decode(tmp_path / "out/0.tiff").pixels.shape == (24, 24, 13)
    gantrain(tmp_path, "prepare", *command, "pack=x.zip")
    gantrain(tmp_path, "name=packed", *command, "data.root=x.zip", *SMALL, "train.kimg=0.002")


def test_signed_integers_of_unknown_range_are_refused(tmp_path: Path, identity: Any) -> None:
    """Case int8: -1 was once read as 255."""
    (tmp_path / "in").mkdir()
    x = np.arange(-100, 20).reshape(12, 10).astype(np.int8)
    tifffile.imwrite(tmp_path / "in/x.tif", x)
    said = translate(tmp_path, identity(1), "output=out", code=1)
    assert "holds int8 values" in said and "with value_range=[lowest,highest]" in said
    translate(tmp_path, identity(1), "output=out2", "value_range=[-128,127]")
    found = decode(tmp_path / "out2/x.tiff").pixels
    assert found.dtype == np.int8 and (found[..., 0] == x).all()
