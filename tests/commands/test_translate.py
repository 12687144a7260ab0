"""gantrain translate: size, name and pixels are kept, bad files reported, work never done twice."""

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantrain as package
from gantrain.data.bit_depth import ImageFault
from gantrain.data.decode import decode, image_size, lift_size_limit
from gantrain.errors import ConfigError
from gantrain.networks.resnet import ResnetGenerator
from tests.helpers.command_line import finish, gantrain, start, wait_for
from tests.helpers.generators import write

HOME = Path(__file__).parents[1] / "helpers" / "identity"
PLUGIN = {"GANTRAIN_PLUGINS": "identity_net", "PYTHONPATH": str(HOME)}


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose two networks do nothing."""
    run = tmp_path_factory.mktemp("identity") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HOME))
        from identity_net import Identity  # pyright: ignore[reportMissingImports]

        write(run, "x.Identity", {"ab": Identity(), "ba": Identity()})
    return run


@pytest.fixture(scope="module")
def cyclegan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    run = tmp_path_factory.mktemp("cyclegan") / "run"
    network = ResnetGenerator(3, 3, ngf=4, blocks=1)
    return write(run, "gantrain.gans.cyclegan.CycleGAN", {"ab": network})


def picture(path: Path, mode: str, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(abs(hash((path.name, size))) % 2**32)
    depth = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode if mode != "P" else "RGB"]
    pixels = values.integers(0, 256, (*size, *depth), np.uint8)
    if mode == "RGBA":
        pixels[..., 3] = 255
    image = Image.fromarray(pixels)
    (image.quantize(200) if mode == "P" else image).save(path)


def test_what_cannot_be_stored_is_refused_before_it_is_read(identity: Path, tmp_path: Path) -> None:
    picture(tmp_path / "in/good.png", "RGB", (20, 30))
    (tmp_path / "in/damaged.jpg").write_bytes(b"no image")
    command = ["translate", f"run={identity}", "input=in", "output=out", "format=same", "depth=16"]
    said = gantrain(tmp_path, *command, environment=PLUGIN, code=1)
    assert "damaged.jpg has more than 8 bits per channel, which JPEG cannot store" in said
    assert (tmp_path / "out/good.png").is_file()


def test_an_identity_network_returns_every_pixel(identity: Path, tmp_path: Path) -> None:
    values = np.random.default_rng(7)
    modes = {"L": ".png", "RGB": ".png", "P": ".png", "RGBA": ".tif"}
    for number in range(24):
        mode = [*modes][number % 4]
        size = tuple(int(side) for side in values.integers(1, 40, 2))
        folder = ["", "deep/er", "other"][number % 3]
        picture(tmp_path / "in" / folder / f"{number}{modes[mode]}", mode, size)  # type: ignore[arg-type]
    command = ["translate", f"run={identity}", "input=in", "output=out", "batch=3"]
    said = gantrain(tmp_path, *command, environment=PLUGIN)
    assert "24 images in out" in said and "Warning" not in said
    for source in (tmp_path / "in").rglob("*.*"):
        result = (tmp_path / "out" / source.relative_to(tmp_path / "in")).with_suffix(".png")
        expected = np.asarray(Image.open(source).convert("RGB"))
        assert np.array_equal(np.asarray(Image.open(result)), expected), source
    page = (tmp_path / "out/index.html").read_text()
    assert page.count("<article>") == 24 and page.count("and back, ") == 24
    linked = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert all(link.startswith("data:") or (tmp_path / "out" / link).exists() for link in linked)


def test_a_bad_file_is_reported_and_the_rest_done(cyclegan: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"in/{name}.png", "RGB", (30, 21))
    (tmp_path / "in/b.png").write_bytes((tmp_path / "in/b.png").read_bytes()[:200])
    (tmp_path / "in/clear.png").parent.mkdir(exist_ok=True)
    Image.new("RGBA", (20, 20), (1, 2, 3, 9)).save(tmp_path / "in/clear.png")
    command = ["translate", f"run={cyclegan}", "input=in", "output=out"]
    said = gantrain(tmp_path, *command, code=1)
    assert "2 images in out" in said and "Traceback" not in said
    assert "b.png is unreadable" in said and "clear.png has transparency" in said
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png", "c.png"]


def test_what_is_there_is_not_made_again(cyclegan: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / f"in/{name}.png", "RGB", (24, 24))
    command = ["translate", f"run={cyclegan}", "input=in", "output=out", "gallery=0", "batch=1"]
    gantrain(tmp_path, *command)
    results = {path: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    (tmp_path / "out/b.png").unlink()
    (tmp_path / "out/.c.png.99.tmp").write_bytes(b"half of it")  # of a process that was killed
    os.utime(tmp_path / "out/a.png", (1, 1))
    assert "3 images, 2 of them done" in gantrain(tmp_path, *command)
    assert {path: path.read_bytes() for path in (tmp_path / "out").glob("*.png")} == results
    assert (tmp_path / "out/a.png").stat().st_mtime == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[0] == "a.png"

    said = gantrain(tmp_path, *command, "precision=bf16", code=2)
    assert "output=out holds results of another precision" in said
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    said = gantrain(tmp_path, *command, "output=full", code=2)
    assert "output=full holds other files and is left alone" in said


@pytest.mark.parametrize("change", ["another folder", "another size", "same size", "no record"])
def test_results_of_other_inputs_are_not_taken_for_done(
    identity: Path, tmp_path: Path, change: str
) -> None:
    for name in ("a", "b"):
        picture(tmp_path / f"in/{name}.png", "L", (24, 24))
    picture(tmp_path / "other/a.png", "RGB", (30, 20))
    command = ["translate", f"run={identity}", "input=in", "output=out", "gallery=0"]
    gantrain(tmp_path, *command, environment=PLUGIN)
    source, done = tmp_path / "in/a.png", ", 1 of them done"
    if change == "another folder":
        source, done, command[2] = tmp_path / "other/a.png", "", "input=other"
    elif change == "another size":
        picture(source, "RGB", (30, 20))
    elif change == "same size":
        content = source.read_bytes()
        pixels = np.asarray(Image.open(source))
        Image.fromarray(255 - pixels).save(source, compress_level=0)
        (tmp_path / "out/inputs.jsonl").write_text("")  # recorded for this length
        gantrain(tmp_path, *command, environment=PLUGIN)
        Image.fromarray(pixels).save(source, compress_level=0)
        assert content != source.read_bytes()
    else:
        (tmp_path / "out/inputs.jsonl").write_text('{"name": "b.png"}\n["a.png"]\nhalf a li')
        done = ""
    said = gantrain(tmp_path, *command, environment=PLUGIN)
    count = "1 image" if change == "another folder" else "2 images"
    assert f"{count}{done};" in said
    expected = np.asarray(Image.open(source).convert("RGB"))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out/a.png")), expected)
    others = "out also holds 1 result of other inputs."
    assert (others in said) == (change == "another folder")


def test_lost_geographic_tags_are_told(identity: Path, tmp_path: Path) -> None:
    picture(tmp_path / "in/plain.tif", "RGB", (8, 8))
    image = Image.open(tmp_path / "in/plain.tif")
    for name, tag in (("a", 33550), ("b", 34735)):
        image.save(
            tmp_path / f"in/{name}.tif",
            tiffinfo={tag: (1.0, 1.0, 0.0) if tag < 34000 else (1, 1, 0, 1)},
        )
    said = gantrain(
        tmp_path, "translate", f"run={identity}", "input=in", "output=out", environment=PLUGIN
    )
    assert "the results of 2 GeoTIFFs, such as" in said and "plain" not in said


def test_without_memory_the_rest_is_done(identity: Path, tmp_path: Path) -> None:
    for name, side in (("a", 8), ("b", 16), ("c", 24)):
        picture(tmp_path / f"in/{name}.png", "RGB", (side, side))
    command = ["translate", f"run={identity}", "input=in", "output=out"]
    said = gantrain(tmp_path, *command, environment={**PLUGIN, "TOO_LARGE": "16"}, code=1)
    assert "2 images in out" in said and "Traceback" not in said
    assert "in/b.png needs more memory than there is (CUDA out of memory" in said
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == ["a.png", "c.png"]


def test_very_large_images_are_read_with_tiles_only(
    cyclegan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    Image.new("L", (13_500, 13_500), 7).save(tmp_path / "in/a.png")
    with pytest.raises(ImageFault, match=r"more than 179 megapixels.*tile=2048"):
        decode(tmp_path / "in/a.png")
    with pytest.raises(ImageFault, match="more than 179 megapixels"):
        image_size(tmp_path / "in/a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    lift_size_limit()
    assert image_size(tmp_path / "in/a.png") == (13_500, 13_500)
    assert decode(tmp_path / "in/a.png").pixels.shape == (13_500, 13_500, 1)


def test_a_signal_stops_it_and_the_same_command_goes_on(cyclegan: Path, tmp_path: Path) -> None:
    for number in range(300):
        picture(tmp_path / f"in/{number:03d}.png", "RGB", (64, 64))
    command = ["translate", f"run={cyclegan}", "input=in", "output=out", "gallery=0", "batch=1"]
    process = start(tmp_path, *command)
    out = tmp_path / "out"
    wait_for(process, lambda: (out / "003.png").exists())
    process.send_signal(signal.SIGTERM)
    assert "Stopped by SIGTERM" in finish(process, 75)
    done = len(list(out.glob("*.png")))
    assert 3 < done < 300 and not list(out.glob(".*.tmp"))
    assert f"300 images, {done} of them done" in gantrain(tmp_path, *command)
    assert len(list(out.glob("*.png"))) == 300


@pytest.mark.ci
def test_slurm_s_sigterm_does_not_end_it_early(cyclegan: Path, tmp_path: Path) -> None:
    """A job that exits in its grace time counts as done, and is not queued again."""
    for number in range(60):
        picture(tmp_path / f"in/{number:03d}.png", "RGB", (64, 64))
    command = ["translate", f"run={cyclegan}", "input=in", "output=out", "gallery=0", "batch=1"]
    process = start(tmp_path, *command, environment={"SLURM_JOB_ID": "7"})
    wait_for(process, lambda: (tmp_path / "out/003.png").exists())
    process.send_signal(signal.SIGTERM)
    assert "60 images in out" in finish(process)
    assert len(list((tmp_path / "out").glob("*.png"))) == 60


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["input=nowhere"], "input=nowhere: there is no such image"),
        (["input=in", "direction=ba"], "cannot translate ba: it has direction=ab"),
        (["input=in", "direction=ac"], "direction=ac is not a choice"),
        (["input=in", "run=nowhere"], "run=nowhere: there is no such run"),
        (["input=in", "device=gpu"], "device=gpu is not a device"),
        (["input=in", "ouput=x"], "output"),
        (["input=in", "window=[40,400]", "value_range=[-9,9]"], "leave out the window"),
        ([], "input has no value"),
    ],
)
def test_mistakes(cyclegan: Path, tmp_path: Path, overrides: list[str], said: str) -> None:
    picture(tmp_path / "in/a.png", "RGB", (24, 24))
    command = ["translate", f"run={cyclegan}", "output=out", *overrides]
    output = gantrain(tmp_path, *command, code=2)
    assert said in output and "Traceback" not in output
    assert not (tmp_path / "out").exists()


def test_in_python(cyclegan: Path) -> None:
    g = package.load(cyclegan)
    x = torch.rand(2, 3, 32, 40) * 2 - 1
    assert torch.equal(g.translate(x, "ab"), g.networks["ab"](x))
    assert g.translate(torch.rand(1, 3, 9, 301), "ab").shape == (1, 3, 9, 301)
    assert g.translate(torch.rand(1, 3, 1, 2), "ab").shape == (1, 3, 1, 2)
    with pytest.raises(ConfigError, match="ab takes 3 channels, not 1"):
        g.translate(torch.rand(1, 1, 32, 32), "ab")
    with pytest.raises(ConfigError, match="is a snapshot of CycleGAN and cannot translate ba"):
        g.translate(x, "ba")


def test_the_only_direction_is_the_default(cyclegan: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ResnetGenerator(3, 3, ngf=4, blocks=1)
    write(tmp_path / "back", "gantrain.gans.cyclegan.CycleGAN", {"ba": network})
    g, x = package.load(tmp_path / "back"), torch.rand(2, 3, 32, 40) * 2 - 1
    assert g.directions == ["ba"] and torch.equal(g.translate(x), g.translate(x, "ba"))
    with pytest.raises(ConfigError, match="cannot translate ab: it has direction=ba alone"):
        g.translate(x, "ab")
    picture(tmp_path / "in/a.png", "RGB", (24, 24))
    gantrain(tmp_path, "translate", "run=back", "input=in", "output=out")
    page = (tmp_path / "out/index.html").read_text()
    assert "CycleGAN, b to a" in page and "and back" not in page
    gantrain(tmp_path, "translate", f"run={cyclegan}", "input=in", "output=there")
    named = gantrain(
        tmp_path, "translate", f"run={cyclegan}", "input=in", "output=there", "direction=ab"
    )
    assert "1 image, 1 of them done" in named  # the same results
