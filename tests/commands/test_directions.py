"""gantrain directions, and generate edit.*: what they leave behind, say and refuse."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantrain as library
from gantrain.inference.editing import read_directions
from gantrain.metrics.lpips import LPIPS
from tests.helpers import generators
from tests.helpers.command_line import gantrain
from tests.helpers.single_sets import write_pictures

pytestmark = pytest.mark.multi
QUICK = ["device=cpu", "samples=40", "seeds=0-1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs, two folders of images, weights of LPIPS that mean nothing, and directions."""
    home = tmp_path_factory.mktemp("directions")
    torch.save(LPIPS().state_dict(), home / "lpips.pth")
    generators.stylegan(home / "style", generators.ANIMALS)
    generators.stylegan(home / "cycle", encoder=True)
    generators.stylegan3(home / "moves")
    generators.r3gan(home / "plain")
    numbers = {"dim": 2, "kind": "float", "examples": [[0.0, 1.0], [1.0, 0.0]]}
    generators.stylegan(home / "numbers", numbers)
    write_pictures(home / "dark", ["a.png", "b.jpg"])
    write_pictures(home / "bright", ["a.png", "b.jpg", "c.png"])
    write_pictures(home / "one", ["a.png"])
    gantrain(home, "directions", "run=style", "output=pca", "count=3", *QUICK)
    return home


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def record(folder: Path, name: str = "directions.json") -> dict:
    return json.loads((folder / name).read_text())


def test_directions_a_record_and_a_sheet(home: Path) -> None:
    found = read_directions(home / "pca/directions.npz")
    assert found.names == ["pca0", "pca1", "pca2"] and found.vectors.shape == (3, 16)
    rows = record(home / "pca")["directions"]
    assert [row["name"] for row in rows] == found.names
    assert rows[0]["explained"] == float(found.quality["explained"][0])
    height, width = pixels(home / "pca/grid.png").shape[:2]
    assert height > 6 * 96 and width > 7 * 96  # 3 directions of 2 seeds, 7 strengths
    said = gantrain(home, "directions", "run=style", "output=pca", *QUICK, code=2)
    assert "output=pca already exists and is not overwritten" in said


@pytest.mark.parametrize("run", ["style", "moves"])
def test_sefa(home: Path, run: str) -> None:
    options = [f"run={run}", f"output=sefa_{run}", "method=sefa", "layers=2-4", "count=2"]
    said = gantrain(home, "directions", *options, *QUICK)
    assert "sefa0" in said and "explains" in said
    assert read_directions(home / f"sefa_{run}/directions.npz").layers == (2, 3, 4)


def test_labels_and_examples(home: Path) -> None:
    said = gantrain(home, "directions", "run=style", "output=labels", "method=labels", *QUICK)
    assert "cat" in said and "fox" in said and "guessing: 0.5" in said
    options = ["run=cycle", "output=examples", "method=labels", "examples=[dark,bright]"]
    said = gantrain(home, "directions", *options, "weights.lpips=lpips.pth", *QUICK)
    assert "Examples held out are told apart" in said
    assert read_directions(home / "examples/directions.npz").names == ["dark to bright"]
    assert 0 <= record(home / "examples")["accuracy_of_examples"] <= 1


def test_pairs(home: Path) -> None:
    ws = np.random.default_rng(0).standard_normal((4, 6, 16)).astype(np.float32)
    offset = np.eye(16, dtype=np.float32)[5] * -2
    for name, values in {"before": ws, "after": ws + offset, "fewer": ws[:3]}.items():
        np.savez(home / f"{name}.npz", w=values)
    options = ["run=cycle", "method=pairs", "before=before.npz", *QUICK]
    gantrain(home, "directions", *options, "output=pairs", "after=after.npz")
    found = read_directions(home / "pairs/directions.npz")
    np.testing.assert_allclose(found.vectors[0], offset / 2, atol=1e-5)
    assert found.quality["consistency"][0] == pytest.approx(1)
    said = gantrain(home, "directions", *options, "output=no", "after=fewer.npz", code=2)
    assert "before=before.npz has 4 latents and after=fewer.npz 3" in said
    assert not (home / "no").exists()


def test_what_each_layer_decides(home: Path) -> None:
    options = ["run=moves", "output=layers", "method=layers", "device=cpu", "samples=10"]
    said = gantrain(home, "directions", *options, "seeds=[3,3,5]")
    assert "shows 2 of 10 pairs" in said
    model = library.load(home / "moves")
    assert len(record(home / "layers")["change"]) == model.style.num_ws
    assert (home / "layers/grid.png").exists()


def test_edited_images_are_those_of_the_library(home: Path) -> None:
    edit = ["edit.direction=pca/directions.npz:1", "device=cpu", "noise=const"]
    gantrain(home, "generate", "run=style", "seeds=0-1", "out=same", *edit, "edit.strength=0")
    gantrain(home, "generate", "run=style", "seeds=0-1", "out=plain_images", "device=cpu")
    assert (pixels(home / "same/seed0001.png") == pixels(home / "plain_images/seed0001.png")).all()
    options = ["edit.strength=-1.5..3", "edit.steps=4", "edit.layers=2-3", "save_w=true", "batch=3"]
    gantrain(home, "generate", "run=style", "seeds=0-1", "out=steps", *edit, *options)
    with np.load(home / "steps/w.npz") as content:
        ws = torch.from_numpy(content["w"])
    model = library.load(home / "style")
    direction = read_directions(home / "pca/directions.npz").pick("pca1")
    before = model.latent_inputs([0, 1], model.label_batch([0, 1], None))
    for seed in (0, 1):
        for i, strength in enumerate([-1.5, 0, 1.5, 3]):
            expected = model.edit(before, direction, strength, layers=[2, 3])[seed]
            torch.testing.assert_close(ws[4 * seed + i], expected)
    about = record(home / "steps", "generate.json")
    assert about["files"]["seed0001-edit03.png"] == "seed 1: dog, +3 pca1"
    assert about["directions"][0]["name"] == "pca1" and len(about["directions"][0]["sha256"]) == 64
    assert about["settings"]["edit"]["strength"] == "-1.5..3"
    gantrain(home, "generate", "run=style", "seeds=0", "out=range", *edit, "edit.strength=-3..3")
    files = record(home / "range", "generate.json")["files"]
    assert (
        files["seed0000-edit06.png"].endswith(", +3 pca1") and len(files) == 7 + 1
    )  # and the grid


def test_edits_of_style_mixes(home: Path) -> None:
    table = ["style_mixing.rows=0-1", "style_mixing.columns=[4,7,9]", "style_mixing.layers=0-2"]
    edit = ["edit.direction=pca/directions.npz:1", "edit.strength=-2", "edit.layers=2-4"]
    options = ["run=style", "device=cpu", "save_w=true", "batch=2"]
    gantrain(home, "generate", *options, "out=mixes", *table)
    gantrain(home, "generate", *options, "out=moved", *table, *edit)
    before, after = (
        torch.from_numpy(np.load(home / f"{n}/w.npz")["w"]) for n in ("mixes", "moved")
    )
    direction = read_directions(home / "pca/directions.npz").pick(1)
    model = library.load(home / "style")
    torch.testing.assert_close(after, model.edit(before, direction, -2, layers="2-4"))
    sheets = [np.asarray(Image.open(home / f"{n}/grid.png")) for n in ("mixes", "moved")]
    assert (sheets[0][:96] == sheets[1][:96]).all()  # the columns stay as they are
    assert (sheets[0][:, :96] == sheets[1][:, :96]).all()  # and the rows
    assert (sheets[0][98:, 98:] != sheets[1][98:, 98:]).any()
    about = json.loads((home / "moved/generate.json").read_text())["files"]
    assert about["seed0001-seed0009.png"].endswith(", -2 pca1")


def test_edits_of_photos_and_videos(home: Path) -> None:
    edit = ["edit.direction=[pca/directions.npz:0,pca/directions.npz:pca2]", "device=cpu"]
    film = [*edit, "edit.strength=[-2..2,1]", "edit.frames=3"]
    gantrain(home, "generate", "run=cycle", "images=dark", "out=film", *film)
    assert getattr(Image.open(home / "film/image0000.webp"), "n_frames", 1) == 4  # there and back
    np.savez(home / "latents.npz", w=np.zeros((2, 6, 16), np.float32))
    gantrain(home, "generate", "run=cycle", "w=latents.npz", "out=photos", *edit)
    assert len(list((home / "photos").glob("w000*.png"))) == 2
    video = ["seeds=0-1", "interpolation.frames=2", *edit, "edit.strength=2"]
    gantrain(home, "generate", "run=cycle", "out=video", *video)
    assert (home / "video/video.webp").exists()


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (["run=plain"], ["directions needs StyleGAN's w"]),
        (["run=style", "layers=3-9"], ["layers goes up to 9", "layers 0 to 5"]),
        (["run=style", "count=17"], ["w of this generator has only 16 entries"]),
        (["run=style", "count=16", "samples=10"], ["need more than 10 samples"]),
        (["run=style", "method=sefa", "layers=5"], ["none of these has a modulated convolution"]),
        (["run=cycle", "method=labels"], ["method=labels needs a generator with classes"]),
        (["run=numbers", "method=labels"], ["method=labels needs a generator with classes"]),
        (["run=style", "method=labels", "class=cat"], ["compares all classes; remove class"]),
        (["run=style", "class=wolf"], ["wolf"]),
        (["run=style", "method=pairs"], ["needs before", "needs after"]),
        (["run=style", "before=x.npz"], ["before is for method=pairs", "no such file"]),
        (["run=style", "method=labels", "examples=[dark]"], ["examples takes two folders"]),
        (["run=style", "method=labels", "examples=[dark,no]"], ["there is no folder no"]),
        (["run=style", "method=labels", "examples=[dark,one]"], ["one holds one image"]),
        (["run=style", "method=layers", "layers=1"], ["compares all layers"]),
        (["run=style", "seeds=0-16"], ["the sheet has room for 16 seeds"]),
        (["run=style", "method=ica", "samples=1", "seeds=a"], ["method=ica", "samples=1", "seeds"]),
    ],
)
def test_refusals_of_directions(home: Path, options: list[str], sentences: list[str]) -> None:
    said = gantrain(home, "directions", "output=never", "device=cpu", *options, code=2)
    assert all(sentence in said for sentence in sentences), said
    assert not (home / "never").exists()


TABLE = ["style_mixing.rows=0", "style_mixing.columns=1"]
FIRST = "edit.direction=pca/directions.npz:0"


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (["edit.strength=2"], ["edit needs edit.direction"]),
        (["edit.direction=pca/directions.npz"], ["holds 3 directions: choose one"]),
        (["edit.direction=pca/directions.npz:3"], ["3 is not a direction: there are 0 to 2"]),
        (["edit.direction=pca/directions.npz:pca9"], ["Did you mean pca"]),
        (["edit.direction=lpips.pth:0"], ["is no .npz file of directions"]),
        (["edit.direction=gone.npz:0"], ["gone.npz: there is no such file"]),
        ([FIRST, "edit.layers=4-6"], ["goes up to 6", "layers 0 to 5"]),
        ([FIRST, "edit.layers=a"], ["edit.layers=a is not allowed"]),
        ([FIRST, "edit.strength=abc"], ["edit.strength=abc is neither a number"]),
        ([FIRST, "edit.strength=1e9"], ["is neither a number"]),
        ([FIRST, "edit.steps=3"], ["edit.steps needs a range"]),
        ([FIRST, "edit.strength=1..2", "edit.frames=1"], ["a video has two or more frames"]),
        ([FIRST, "edit.strength=1..2", "edit.steps=1"], ["a range has two or more images"]),
        ([FIRST, "edit.strength=1..2", "edit.steps=3", "edit.frames=3"], ["give one of them"]),
        ([FIRST, "edit.strength=[1,2]"], ["has 2 entries, and edit.direction has 1"]),
        (
            [FIRST, "edit.strength=0..1", "edit.frames=3", "interpolation.frames=3"],
            ["A range of edit.strength and interpolation.frames exclude"],
        ),
        (
            [FIRST, "edit.strength=0..1", "edit.steps=3", *TABLE],
            ["A range of edit.strength and style_mixing exclude each other"],
        ),
        ([FIRST, "run=plain"], ["edit needs StyleGAN's w"]),
        ([FIRST, "run=narrow"], ["has 16 entries, and this generator's w has 8"]),
    ],
)
def test_refusals_of_edits(home: Path, options: list[str], sentences: list[str]) -> None:
    if "run=narrow" in options and not (home / "narrow").exists():
        sizes = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4}
        network = generators.StyleGAN2Generator([16, 16], 3, 0, **sizes)
        generators.write(home / "narrow", "gantrain.gans.stylegan.StyleGAN", {"G": network})
    said = gantrain(home, "generate", "run=style", "out=never", "device=cpu", *options, code=2)
    assert all(sentence in said for sentence in sentences), said
    assert not (home / "never").exists()
