"""`gantrain generate` on tiny untrained generators: what it leaves behind, says and refuses."""

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image, ImageSequence

import gantrain
from gantrain import config
from gantrain.commands import generate
from gantrain.config import paths
from gantrain.errors import ConfigError
from gantrain.networks.dcgan import DCGANGenerator
from gantrain.ops.value_range import to_uint8
from tests.helpers import generators
from tests.helpers.command_line import gantrain as command_line


@pytest.fixture(autouse=True)
def _hydra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        yield


def make(run: Path, *overrides: str) -> Path:
    """Run the command and return the folder it wrote to: the newest one."""
    generate.main(
        config.load("generate", compose("generate", [f"run={run}", "device=cpu", *overrides]))
    )
    return max(run.glob("generated/*"), key=lambda folder: folder.stat().st_mtime_ns)


def refused(run: Path, *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        make(run, *overrides)
    assert not (run / "generated").exists()
    return str(error.value)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


@pytest.fixture
def style(tmp_path: Path) -> Path:
    return generators.stylegan(tmp_path / "style", generators.ANIMALS)


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    return generators.stylegan(tmp_path / "cycle", encoder=True)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos" / "more"
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(values).save(folder.parent / "wide.png")
    Image.fromarray(values[..., 0]).resize((16, 16)).save(folder / "grey.png")
    return folder.parent


def test_pictures_and_what_made_them(style: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(style, "seeds=[0,5-6]", "class=dog", "truncation_psi=0.7", "save_w=true")
    assert folder.name == "pictures-000012.500-001"
    files = ["generate.json", "grid.png", "seed0000.png", "seed0005.png", "seed0006.png", "w.npz"]
    assert names(folder) == files
    model = gantrain.load(style)
    expected = to_uint8(model.sample([0, 5, 6], label="dog", psi=0.7)).permute(0, 2, 3, 1)
    for seed, picture in zip((0, 5, 6), expected, strict=True):
        assert np.array_equal(pixels(folder / f"seed{seed:04d}.png"), picture)
    record = json.loads((folder / "generate.json").read_text())
    assert record["settings"]["class"] == "dog" and record["settings"]["seeds"] == [0, "5-6"]
    assert record["files"]["seed0005.png"] == "seed 5: dog"
    assert record["snapshot"]["nimg"] == 12500
    assert record["snapshot"]["sha256"] == hashlib.sha256(model.file.read_bytes()).hexdigest()
    assert "StyleGAN from" in (said := capsys.readouterr().out) and str(folder) in said
    assert "class=null" not in said


def test_the_same_again_lies_beside_it_byte_for_byte(style: Path) -> None:
    asked = ("seeds=0-4", "noise=random", "save_w=true")
    first, again = make(style, *asked), make(style, *asked)
    assert (first.name[-3:], again.name[-3:]) == ("001", "002")
    for name in names(first):
        assert (first / name).read_bytes() == (again / name).read_bytes(), name


def test_another_batch_changes_no_picture(style: Path) -> None:
    folders = [make(style, "seeds=0-6", f"batch={batch}") for batch in (1, 3, 16)]
    for name in (f"seed{i:04d}.png" for i in range(7)):
        one, *others = [pixels(folder / name).astype(int) for folder in folders]
        for other in others:  # rounding to 8 bits may tip over
            assert np.abs(one - other).max() <= 1


def test_all_seeds_are_on_the_sheet(style: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(style)
    assert len(list(folder.glob("seed*.png"))) == 32
    sheet = pixels(folder / "grid.png")
    assert sheet.shape == (4 * 112 - 2, 8 * 98 - 2, 3)  # 14: captions
    for i in range(32):
        cell = sheet[i // 8 * 112 :, i % 8 * 98 :][:96:6, :96:6]
        assert np.array_equal(cell, pixels(folder / f"seed{i:04d}.png"))
    assert "seed s gets class s mod 3" in capsys.readouterr().out


def test_mean_picture(style: Path) -> None:
    folder = make(style, "seeds=0-3", "class=0", "truncation_psi=0", "grid=false")
    pictures = {path.read_bytes() for path in folder.glob("*.png")}
    assert len(pictures) == 1
    record = json.loads((folder / "generate.json").read_text())
    assert len(record["files"]) == 4


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_channels(tmp_path: Path, channels: int, mode: str) -> None:
    for run in (
        generators.stylegan(tmp_path / "s", channels=channels),
        generators.dcgan(tmp_path / "d", channels=channels),
        generators.r3gan(tmp_path / "r", channels=channels),
    ):
        folder = make(run, "seeds=0-2")
        for name in ("seed0000.png", "grid.png"):
            assert Image.open(folder / name).mode == mode
        make(run, "seeds=0-1", "interpolation.frames=2", "interpolation.format=webp")


def test_style_mixing(style: Path) -> None:
    table = ("style_mixing.rows=0-1", "style_mixing.columns=[4,7,9]", "batch=2", "class=0")
    folder = make(style, *table, "style_mixing.layers=0-2", "save_w=true")
    assert folder.name.startswith("mixing-")
    assert len(list(folder.glob("seed*-seed*.png"))) == 6
    sheet = pixels(folder / "grid.png")
    assert sheet.shape == (3 * 98 - 2, 4 * 98 - 2, 3)
    assert (sheet[:96, :96] == 255).all()
    model = gantrain.load(style)
    rows, columns = model.sample("0-1", label=0), model.sample([4, 7, 9], label=0)
    for i, picture in enumerate(to_uint8(columns).permute(0, 2, 3, 1)):
        cell = sheet[:96:6, (i + 1) * 98 :][:, :96:6]
        assert np.abs(cell.astype(int) - picture.numpy()).max() <= 1
    for i, picture in enumerate(to_uint8(rows).permute(0, 2, 3, 1)):
        cell = sheet[(i + 1) * 98 :, :96:6][:96:6]
        assert np.abs(cell.astype(int) - picture.numpy()).max() <= 1
    c = torch.eye(3)[[0]]
    ws = model.mapping(model.latents([1]), c)
    ws[:, :3] = model.mapping(model.latents([9]), c)[:, :3]
    expected = to_uint8(model.synthesis(ws))[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(pixels(folder / "seed0001-seed0009.png") - expected).max() <= 1
    torch.testing.assert_close(torch.from_numpy(np.load(folder / "w.npz")["w"])[5], ws[0])


def test_all_layers_mixed_are_the_columns_picture(style: Path) -> None:
    table = ("style_mixing.rows=[1,3]", "style_mixing.columns=[2,3]", "class=1")
    seeds = make(style, "seeds=[1,2,3]", "class=1")
    folder = make(style, *table, "style_mixing.layers=0-5")
    for row in (1, 3):
        for column in (2, 3):
            mixed = pixels(folder / f"seed000{row}-seed000{column}.png").astype(int)
            assert np.abs(mixed - pixels(seeds / f"seed000{column}.png")).max() <= 1
    lower = make(style, *table)
    assert "layers" in json.loads((lower / "generate.json").read_text())["settings"]["style_mixing"]
    corner = pixels(lower / "seed0003-seed0003.png").astype(int)
    assert np.abs(corner - pixels(seeds / "seed0003.png")).max() <= 1
    assert np.abs(pixels(lower / "seed0001-seed0002.png").astype(int) - corner).max() > 1


def test_a_video_closes(style: Path) -> None:
    folder = make(style, "seeds=0-2", "class=2", "interpolation.frames=4", "interpolation.fps=20")
    assert names(folder) == ["generate.json", "video.webp"] and folder.name.startswith("video-")
    frames = _frames(folder / "video.webp")
    assert len(frames) == 12
    keys = to_uint8(gantrain.load(style).sample("0-2", label=2)).permute(0, 2, 3, 1).numpy()
    for frame, key in zip(frames[::4], keys, strict=True):
        assert np.abs(frame - key).max() <= 1
    steps = [np.abs(a - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)]
    assert steps[-1] < 2 * max(steps[:-1]), "the last frame leads on to the first"


def test_an_open_video_of_a_generator_without_w(tmp_path: Path) -> None:
    run = generators.dcgan(tmp_path / "run")
    settings = ("interpolation.frames=3", "interpolation.format=gif", "interpolation.loop=false")
    folder = make(run, "seeds=0-2", *settings)
    frames = _frames(folder / "video.gif")
    assert len(frames) == 7
    last = to_uint8(gantrain.load(run).sample(2))[0].permute(1, 2, 0).numpy()
    assert np.abs(frames[-1] - last).mean() < 12


def _frames(path: Path) -> list[np.ndarray]:
    with Image.open(path) as video:
        return [np.asarray(f.convert("RGB"), float) for f in ImageSequence.Iterator(video)]


def test_real_pictures_beside_what_becomes_of_them(encoder: Path, photos: Path) -> None:
    folder = make(encoder, f"images={photos}", "batch=1", "save_w=true")
    assert names(folder) == ["generate.json", "grid.png", "image0000.png", "image0001.png", "w.npz"]
    files = json.loads((folder / "generate.json").read_text())["files"]
    assert files["image0000.png"] == str(photos / "more" / "grey.png")
    model = gantrain.load(encoder)
    grey = pixels(photos / "more" / "grey.png")[None].repeat(3, 0)
    ws = model.encode(torch.from_numpy(grey)[None] / 127.5 - 1)
    made = to_uint8(model.synthesis(ws))[0].permute(1, 2, 0).numpy()
    assert np.abs(pixels(folder / "image0000.png") - made.astype(int)).max() <= 1
    sheet = pixels(folder / "grid.png")[:96:6, :192:6]
    assert np.array_equal(sheet[:, :16], grey.transpose(1, 2, 0))
    assert np.array_equal(sheet[:, 16:], pixels(folder / "image0000.png"))


def test_real_pictures_mixed_with_seeds(encoder: Path, photos: Path) -> None:
    folder = make(encoder, f"images={photos / 'wide.png'}", "style_mixing.columns=0-1")
    assert {"image0000-seed0000.png", "image0000-seed0001.png"} <= set(names(folder))


def test_saved_w_makes_the_same_pictures(style: Path) -> None:
    first = make(style, "seeds=3-5", "truncation_psi=0.5", "save_w=true")
    again = make(style, f"w={first / 'w.npz'}")
    for i in range(3):
        assert np.array_equal(pixels(again / f"w000{i}.png"), pixels(first / f"seed000{3 + i}.png"))


def test_a_folder_of_ones_own_is_never_written_over(style: Path) -> None:
    generate.main(
        config.load(
            "generate", compose("generate", [f"run={style}", "seeds=0", "out=mine/pictures"])
        )
    )
    assert "seed0000.png" in names(Path("mine/pictures"))
    assert "already exists and is not overwritten" in refused(style, "out=mine/pictures")


def test_a_snapshot_file_by_itself(style: Path, tmp_path: Path) -> None:
    file = tmp_path / "snapshot-000099.000.pt"
    gantrain.load(style).file.rename(file)
    generate.main(config.load("generate", compose("generate", [f"run={file}", "seeds=0"])))
    assert (tmp_path / "generated" / "pictures-000099.000-001" / "seed0000.png").is_file()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["class=cow"], ["class=cow is not a class of this snapshot. Classes: cat, dog, fox."]),
        (["truncation_cutoff=7"], ["truncation_cutoff=7: this generator has only 6 layers"]),
        (
            ["images=photos"],
            ["images needs an encoder, which only snapshots of experiment=stylegan"],
        ),
        (
            ["style_mixing.rows=0", "style_mixing.columns=1", "style_mixing.layers=4-9", "class=9"],
            ["goes up to 9, but this generator has the layers 0 to 5", "class=9 is not a class"],
        ),
        (["seeds=3", "interpolation.frames=9"], ["interpolation needs two or more images"]),
    ],
)
def test_what_a_stylegan_refuses(
    style: Path, photos: Path, overrides: list[str], said: list[str]
) -> None:
    text = refused(style, *overrides)
    assert all(part in text for part in said) and text.count("\n") == len(said) - 1


def test_what_other_generators_refuse(tmp_path: Path) -> None:
    modern = generators.r3gan(tmp_path / "r3gan")
    text = refused(modern, "truncation_psi=0.7", "style_mixing.rows=0", "style_mixing.columns=1")
    assert "need StyleGAN's w, and" in text and "is a snapshot of R3GAN: it" in text
    assert text.count("\n") == 0
    plain = generators.dcgan(tmp_path / "dcgan")
    text = refused(plain, "truncation_psi=0.7", "save_w=true", "noise=none", "class=1")
    assert "truncation_psi, save_w, noise need StyleGAN's w, and" in text
    assert "is a snapshot of DCGAN: it generates images from seeds, and interpolates" in text
    assert "was trained without labels" in text and text.count("\n") == 1
    table = ("style_mixing.rows=0", "style_mixing.columns=1")
    assert "style_mixing needs StyleGAN's w" in refused(plain, *table)
    labelled = generators.dcgan(tmp_path / "labelled", generators.ANIMALS)
    assert "give one class= for the whole video" in refused(labelled, "interpolation.frames=2")
    translator = generators.cyclegan(tmp_path / "cyclegan")
    text = refused(translator, "truncation_psi=0.7")
    assert "CycleGAN, which has no latents to sample: its networks (ab, ba) translate" in text


def test_files_that_cannot_be_used(encoder: Path, photos: Path) -> None:
    (photos / "a.png").write_bytes(b"no picture")
    Image.new("LAB", (9, 9)).save(photos / "b.tif")
    text = refused(encoder, f"images={photos}")
    assert "a.png is unreadable" in text and "b.tif is in colour mode LAB" in text
    Path("empty").mkdir()
    assert "images=empty contains no images" in refused(encoder, "images=empty")
    np.savez("v.npz", v=np.zeros((1, 6, 16)))
    assert "is not an .npz file with an array w" in refused(encoder, "w=v.npz")
    np.savez("w.npz", w=np.zeros((1, 8, 16)))
    assert "has the shape [1, 8, 16], and this generator needs [N, 6, 16]" in refused(
        encoder, "w=w.npz"
    )
    np.savez("nan.npz", w=np.full((1, 6, 16), np.nan))
    assert "not finite" in refused(encoder, "w=nan.npz")
    np.save("object.npy", np.array([{}]), allow_pickle=True)
    assert "is not an .npz file" in refused(encoder, "w=object.npy")


@pytest.mark.multi
def test_the_command_line(style: Path, tmp_path: Path) -> None:
    made = command_line(tmp_path, "generate", f"run={style}", "seeds=0-1", "truncation_psi=0.7")
    assert "3 files in" in made and "pictures-000012.500-001" in made
    wrong = command_line(tmp_path, "generate", f"run={style}", "noise=rndom", "psi=1", code=2)
    assert "psi is not a key" in wrong and "Traceback" not in wrong
    wrong = command_line(tmp_path, "generate", f"run={style}", "noise=rndom", code=2)
    assert "Did you mean noise=random?" in wrong
    assert "run has no value" in command_line(tmp_path, "generate", code=2)


def test_truncation_towards_classes(style: Path) -> None:
    folder = make(style, "seeds=0-2", "truncation_psi=0", "truncation_center=class", "class=dog")
    first = pixels(folder / "seed0000.png").astype(int)
    assert np.abs(first - pixels(folder / "seed0002.png")).max() <= 1
    everywhere = make(style, "seeds=0", "truncation_psi=0", "class=dog")
    assert np.abs(first - pixels(everywhere / "seed0000.png")).max() > 1
    with pytest.raises(ConfigError, match="no effect with truncation_psi=1"):
        make(style, "truncation_center=class")


@pytest.mark.parametrize("depth", [16, "float"])
def test_packages_of_deep_colour_are_asked_for_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, depth: int | str
) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    size = {"z_dim": 4, "width": 4}
    for channels in (1, 3):
        networks = {"G": DCGANGenerator([8, 8], channels, **size)}
        generators.write(
            tmp_path / f"of{channels}", "gantrain.gans.dcgan.DCGAN", networks, depth=depth
        )
    if depth == "float":  # TIFF needs tifffile only, which is always there
        assert "seed0000.tiff" in names(make(tmp_path / "of3", "seeds=0", "grid=false"))
    else:
        assert "pip install 'gantrain[deep]'" in refused(tmp_path / "of3", "seeds=0")
    assert len(names(make(tmp_path / "of1", "seeds=0", "grid=false"))) == 2  # Pillow writes grey
    video = make(
        tmp_path / "of3", "seeds=0-1", "interpolation.frames=2", "interpolation.format=gif"
    )
    assert "video.gif" in names(video)


def test_grey_with_alpha(tmp_path: Path) -> None:
    run = generators.dcgan(tmp_path / "la", channels=2)
    folder = make(run, "seeds=0-3")
    for name in ("seed0000.png", "grid.png"):
        assert Image.open(folder / name).mode == "LA"
    video = make(run, "seeds=0-1", "interpolation.frames=2", "interpolation.format=gif")
    assert "video.gif" in names(video)


@pytest.fixture
def movable(tmp_path: Path) -> Path:
    return generators.stylegan3(tmp_path / "three")


def test_a_stylegan3_moves_and_turns(movable: Path) -> None:
    still = pixels(make(movable, "seeds=1", "save_w=true") / "seed0001.png").astype(int)
    moved = make(movable, "seeds=1", "transform.translate=[0.25,-0.125]")
    moved_pixels = pixels(moved / "seed0001.png").astype(int)
    assert np.abs(moved_pixels[:-4, 8:] - still[4:, :-8]).mean() < 0.05 * still.std()
    turned = make(movable, "seeds=1", "transform.rotate=360")
    assert np.abs(pixels(turned / "seed0001.png") - still).max() <= 1
    anchored = make(movable, "seeds=1", "transform.anchor=true", "save_w=true")
    assert np.abs(pixels(anchored / "seed0001.png") - still).max() > 20
    ws = np.load(anchored / "w.npz")["w"]
    w_avg = gantrain.load(movable).style.mapping.w_avg
    assert np.allclose(ws[0, 0], w_avg) and not np.allclose(ws[0, 1], w_avg)


def test_a_video_of_each_motion(movable: Path) -> None:
    folder = make(movable, "seeds=0-1", "transform.rotate=360", "transform.frames=5", "batch=2")
    assert folder.name.startswith("video-")
    assert names(folder) == ["generate.json", "seed0000.webp", "seed0001.webp"]
    with Image.open(folder / "seed0001.webp") as video:
        assert (video.n_frames, video.size) == (5, (32, 32))
        video.seek(4)  # a whole turn: lossless at this size
        last = np.asarray(video.convert("RGB")).astype(int)
    still = pixels(make(movable, "seeds=1") / "seed0001.png")
    assert np.abs(last - still).max() <= 1


def test_style_mixing_and_interpolation_of_a_moved_canvas(movable: Path) -> None:
    table = ("style_mixing.rows=0-1", "style_mixing.columns=5", "transform.rotate=45")
    assert "seed0000-seed0005.png" in names(make(movable, *table))
    video = ("seeds=0-1", "interpolation.frames=2", "transform.anchor=true")
    assert "video.webp" in names(make(movable, *video))


def test_what_cannot_be_moved(style: Path, movable: Path) -> None:
    text = refused(style, "transform.rotate=9", "transform.translate=[0.1,0]")
    assert "transform.translate, transform.rotate: only a generator such as StyleGAN3's" in text
    assert "noise: a StyleGAN3Generator has no noise" in refused(movable, "noise=random")
    for wrong, told in (
        (["transform.frames=9"], "there is none: add transform.rotate=360"),
        (["transform.translate=[1,2,3]"], "must be [x,y]"),
        # Further out the image would be noise, and at last NaN.
        (["transform.translate=[0,-1e30]"], "each a number of at least -1000"),
        (["transform.rotate=1e300"], "of at least -360000"),
        (
            ["transform.frames=9", "transform.rotate=9", "seeds=0-1", "interpolation.frames=3"],
            "transform.frames and interpolation exclude each other",
        ),
    ):
        assert told in refused(movable, *wrong)
