"""Pictures of every kind from files through the command line to files."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.data.decode import decode
from gantrain.snapshot import load_snapshot
from tests.helpers import deep_pictures
from tests.helpers.command_line import TINY, gantrain
from tests.helpers.generators import write

HOME = Path(__file__).parents[1] / "helpers" / "identity"
PLUGIN = {"GANTRAIN_PLUGINS": "identity_net", "PYTHONPATH": str(HOME)}
DTYPES = (np.uint8, np.uint16, np.float32)
SMALL = [option for option in TINY if option.startswith(("model.", "train.", "lr.", "tracking.g"))]


@pytest.mark.parametrize(
    "channels",
    [4, *(pytest.param(count, marks=pytest.mark.ci) for count in (1, 2, 3))],
)
def test_translate_keeps_size_name_depth_and_every_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int
) -> None:
    monkeypatch.syspath_prepend(str(HOME))
    from identity_net import Identity  # pyright: ignore[reportMissingImports]

    networks = {name: Identity(channels) for name in ("ab", "ba")}
    run = write(tmp_path / "run", "x.Identity", dict(networks))
    values = np.random.default_rng(channels)
    given: dict[str, np.ndarray] = {}
    for number in range(40):
        dtype = DTYPES[values.integers(3)]
        height, width = (int(side) for side in values.integers(1, 45, 2))
        ending = ".tif" if dtype is np.float32 else (".png", ".tif")[values.integers(2)]
        name = f"{('', 'deep/er/', 'other/')[values.integers(3)]}{number:02d}"
        path = tmp_path / f"in/{name}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        given[name] = deep_pictures.random_pixels(number, (height, width, channels), dtype)
        deep_pictures.write(path, given[name])
    for form, options in (("png", []), ("same", ["format=same"])):
        command = ["translate", f"run={run}", "input=in", f"output={form}", "batch=3", *options]
        assert f"40 images in {form}" in gantrain(tmp_path, *command, environment=PLUGIN)
    for name, wanted in given.items():
        results = [*tmp_path.glob(f"png/{name}.*"), *tmp_path.glob(f"same/{name}.*")]
        assert len(results) == 2
        assert results[0].suffix == (".tiff" if wanted.dtype == np.float32 else ".png")
        assert (tmp_path / f"in/{name}{results[1].suffix}").is_file()
        for result in results:
            found = decode(result).pixels
            assert found.dtype == wanted.dtype and found.shape == wanted.shape
            if wanted.dtype == np.float32:  # to [-1, 1] and back rounds the last bits
                assert np.abs(found - wanted).max() < 1.3e-7
            else:
                assert np.array_equal(found, wanted)
    assert (tmp_path / "png/index.html").read_text().count("<article>") == 40


def test_a_value_range_for_floats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HOME))
    from identity_net import Identity  # pyright: ignore[reportMissingImports]

    run = write(tmp_path / "run", "x.Identity", {"ab": Identity(1)}, value_range=[-40, 60])
    (tmp_path / "in").mkdir()
    x = deep_pictures.random_pixels(1, (9, 8, 1), np.float32) * 100 - 40
    deep_pictures.write(tmp_path / "in/x.tif", x)
    command = ["translate", f"run={run}", "input=in"]
    gantrain(tmp_path, *command, "output=out", environment=PLUGIN)  # the range of training
    assert np.abs(decode(tmp_path / "out/x.tiff").pixels - x).max() < 1e-4
    wide = [*command, "value_range=[-1000,1000]", "output=wide"]
    gantrain(tmp_path, *wide, environment=PLUGIN)
    assert np.abs(decode(tmp_path / "wide/x.tiff").pixels - x).max() < 1e-3
    said = gantrain(
        tmp_path, *command, "value_range=[0,1]", "output=no", environment=PLUGIN, code=1
    )
    assert "outside value_range=[0,1]" in said
    said = gantrain(tmp_path, *command, "value_range=[1]", "output=no", environment=PLUGIN, code=2)
    assert "value_range=[1] is not a range" in said


@pytest.mark.ci
def test_bands_have_every_depth(tmp_path: Path) -> None:
    from gantrain.networks.resnet import ResnetGenerator

    torch.manual_seed(0)
    network = ResnetGenerator(3, 3, ngf=4, blocks=1)
    run = write(tmp_path / "run", "gantrain.gans.cyclegan.CycleGAN", {"ab": network})
    (tmp_path / "in").mkdir()
    for number, dtype in enumerate(DTYPES):
        x = deep_pictures.random_pixels(5, (70, 90, 3), np.uint8)
        if dtype is not np.uint8:
            x = x.astype(dtype) * dtype(257) if dtype is np.uint16 else x.astype(dtype) / dtype(255)
        deep_pictures.write(tmp_path / f"in/{number}.tif", x)
    found = {}
    for name, options in (("whole", []), ("bands", ["tile=40"])):
        gantrain(tmp_path, "translate", f"run={run}", "input=in", f"output={name}", *options)
        for number, ending in enumerate((".png", ".png", ".tiff")):
            found[name, number] = decode(tmp_path / name / f"{number}{ending}").pixels.astype(float)
    scales = (255, 65535, 1)
    for number, scale in enumerate(scales):
        gap = np.abs(found["whole", number] - found["bands", number]).max()
        assert gap <= (1 if number < 2 else 2e-5)  # a level where a tie is rounded otherwise
        finest = found["whole", 2]
        assert np.abs(found["whole", number] / scale - finest).max() < 0.51 / scale + 1e-5


def domain(folder: Path, channels: int, dtype: type, ending: str, count: int = 4) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        x = deep_pictures.random_pixels(number, (40, 48, channels), dtype)
        deep_pictures.write(folder / f"{number}{ending}", x)


@pytest.mark.parametrize(
    ("a", "b", "options"),
    [
        pytest.param((1, np.uint8), (3, np.uint8), "data.channels_a=1", marks=pytest.mark.ci),
        ((1, np.uint8), (4, np.uint8), "data.channels_a=1 data.channels_b=4"),
        pytest.param(
            (2, np.uint16), (3, np.uint16), "data.depth=16 data.channels_a=2", marks=pytest.mark.ci
        ),
        ((3, np.float32), (1, np.uint16), "data.depth=float data.channels_b=1"),
        pytest.param(
            (3, np.uint16),
            (3, np.uint8),
            "data.depth=16 data.resolution=[16,24]",
            marks=pytest.mark.ci,
        ),
        ((3, np.uint8), (3, np.uint8), "data.preprocess_a=crop data.load_size_b=20"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_training_and_translating(tmp_path: Path, a: tuple, b: tuple, options: str) -> None:
    for split, (channels, dtype) in (("A", a), ("B", b)):
        ending = ".tif" if dtype is np.float32 else ".png"
        domain(tmp_path / f"set/train{split}", channels, dtype, ending)
        domain(tmp_path / f"set/test{split}", channels, dtype, ending, 2)
    command = ["name=run", "data=folder", "data.root=set", "data.resolution=16", *options.split()]
    command += [*SMALL, "model.lambda_identity=0", "data.test_pairs=true", "train.kimg=0.004"]
    command += ["evaluation.test_images=2", "tracking.grid_every_kimg=0.002"]
    gantrain(tmp_path, *command)
    described = load_snapshot(tmp_path / "runs/run").meta["data"]
    assert described["channels"] == {"a": a[0], "b": b[0]}
    assert len(list((tmp_path / "runs/run/grids").glob("*.png"))) > 1
    for direction, (source, target) in {"ab": (a, b), "ba": (b, a)}.items():
        folder = f"set/test{direction[0].upper()}"
        command = ["translate", "run=runs/run", f"input={folder}", f"output={direction}"]
        gantrain(tmp_path, *command, f"direction={direction}")
        for number in range(2):
            (result,) = (tmp_path / direction).glob(f"{number}.*")
            found = decode(result).pixels
            # The deeper of the run and the file.
            depth = {"16": np.uint16, "float": np.float32}.get(options[11:].split()[0], np.uint8)
            assert found.dtype == max(depth, source[1], key=DTYPES.index)
            assert found.shape == (40, 48, target[0])


@pytest.mark.ci
def test_two_domains_in_an_archive_through_the_command_line(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        for split in ("trainA", "trainB"):
            for number in range(3):
                x = deep_pictures.random_pixels(number, (20, 20, 3), np.uint8)
                file.writestr(f"set/{split}/{number}.png", deep_pictures.png(x))
    command = ["name=run", "data=folder", "data.root=set.zip", "data.resolution=16", *SMALL]
    said = gantrain(tmp_path, *command, "train.kimg=0.004", "runtime.workers=2")
    assert "3 training and no test folder images in a" in said


def test_cmyk_is_told_of(tmp_path: Path) -> None:
    for split in ("trainA", "trainB"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for number in range(2):
            x = deep_pictures.random_pixels(number, (20, 20, 3), np.uint8)
            image = Image.fromarray(x)
            (image.convert("CMYK") if split == "trainB" else image).save(
                tmp_path / "set" / split / f"{number}.jpg"
            )
    command = ["name=run", "data=folder", "data.root=set", "data.resolution=16", *SMALL]
    said = gantrain(tmp_path, *command, "train.kimg=0.002")
    assert "warning: 2 images in CMYK, such as set/trainB/0.jpg" in said
    command = ["translate", "run=runs/run", "input=set/trainB/1.jpg", "output=out"]
    said = gantrain(tmp_path, *command)
    assert "Warning: set/trainB/1.jpg is in CMYK" in said.replace(f"{tmp_path.resolve()}/", "")
    assert decode(tmp_path / "out/1.png").pixels.shape == (20, 20, 3)


def test_a_16_bit_picture_of_a_set_of_8_bits_is_told_before_the_first_step(tmp_path: Path) -> None:
    domain(tmp_path / "set/trainA", 3, np.uint8, ".png")
    domain(tmp_path / "set/trainB", 3, np.uint16, ".png")
    command = ["name=run", "data=folder", "data.root=set", "data.resolution=16", *SMALL]
    said = gantrain(tmp_path, *command, "train.kimg=0.002", code=2)
    assert "4 of 8 images cannot be used" in said
    assert "set/trainB/0.png has 16 bits per channel: set data.depth=16" in said


@pytest.mark.ci
def test_stylegan_on_16_bits_and_floats(tmp_path: Path) -> None:
    tiny = ["model=stylegan", "model.z_dim=8", "model.w_dim=8", "model.channel_base=128"]
    tiny += ["model.channel_max=8", "train.batch=2", "train.kimg=0.004", "data=folder"]
    tiny += ["data.resolution=16", "tracking.to=[]"]
    for name, dtype, depth in (("deep", np.uint16, "16"), ("floats", np.float32, "float")):
        domain(tmp_path / name, 1, dtype, ".tif")
        options = [f"data.root={name}", f"data.depth={depth}", "data.channels=1"]
        gantrain(tmp_path, f"name={name}", *tiny, *options)
        gantrain(tmp_path, "generate", f"run=runs/{name}", "seeds=0-1", f"out={name}-out")
