"""gantrain project: real images into latent space."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.metrics.lpips import LPIPS
from tests.helpers import generators
from tests.helpers.command_line import gantrain
from tests.helpers.single_sets import write_pictures

pytestmark = pytest.mark.multi
QUICK = ["steps=3", "device=cpu", "weights.lpips=lpips.pth"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four runs, images, and weights of LPIPS that mean nothing."""
    home = tmp_path_factory.mktemp("project")
    torch.save(LPIPS().state_dict(), home / "lpips.pth")
    generators.stylegan(home / "style")
    generators.stylegan(home / "labels", generators.ANIMALS, encoder=True)
    generators.stylegan3(home / "moves")
    generators.r3gan(home / "plain", doublings=2)
    write_pictures(home / "photos", ["a.png", "b.jpg", "below/a.png", "w.png"])
    return home


def arrays(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as content:
        return dict(content)


def test_latents_images_and_a_sheet(home: Path) -> None:
    said = gantrain(home, "project", "run=style", "input=photos", "output=out", *QUICK, "frames=2")
    assert "4 images in out" in said and "b  " in said and "without its noise" in said
    found = arrays(home / "out/below/a.npz")
    assert found["w"].shape == (6, 16) and "noise.b16.conv1.noise_const" in found
    together = arrays(home / "out/w.npz")["w"]
    assert together.shape == (4, 6, 16)
    names = ["a", "b", "below/a", "w.png"]  # w.npz is that of all
    each = [arrays(home / f"out/{name}.npz")["w"] for name in names]
    assert np.array_equal(np.stack(each), together)
    assert Image.open(home / "out/b.png").size == (16, 16)
    assert getattr(Image.open(home / "out/b.webp"), "n_frames", 1) == 2
    assert Image.open(home / "out/grid.png").height > 4 * 16
    gantrain(home, "generate", "run=style", "w=out/w.npz", "out=again", "device=cpu")
    assert len(list((home / "again").glob("w0*.png"))) == 4


def test_a_repeated_command_continues(home: Path) -> None:
    command = ["project", "run=style", "output=more", *QUICK, "noise_weight=0"]
    gantrain(home, *command, "input=photos/below")
    before = (home / "more/a.npz").stat().st_mtime_ns
    (home / "photos/below/c.png").write_bytes((home / "photos/a.png").read_bytes())
    said = gantrain(home, *command, "input=photos/below", "batch=1")
    assert "1 of 2 images is projected already" in said and "without its" not in said
    assert (home / "more/a.npz").stat().st_mtime_ns == before and (home / "more/c.npz").exists()
    (home / "photos/below/c.png").unlink()
    said = gantrain(home, *command, "input=photos/below", "seed=1", code=2)
    assert "holds results of another seed" in said


def test_a_video_of_the_way_as_mp4(home: Path) -> None:
    options = ["input=photos/a.png", "output=film", "frames=2", "format=mp4"]
    gantrain(home, "project", "run=style", *options, *QUICK)
    assert (home / "film/a.mp4").stat().st_size > 0


def test_a_tuned_generator_is_a_snapshot(home: Path) -> None:
    options = ["input=photos", "output=tuned", "space=w+", "tune=true", "tune_steps=2"]
    said = gantrain(home, "project", "run=style", *options, *QUICK)
    assert "Tuned for 2 steps" in said
    command = ["generate", "run=tuned/tuned.pt", "w=tuned/w.npz", "out=fine", "device=cpu"]
    gantrain(home, *command)
    record = json.loads((home / "fine/generate.json").read_text())
    assert record["snapshot"]["file"] == "tuned/tuned.pt"


@pytest.mark.parametrize("run", ["moves", "labels"])
def test_other_generators_with_w(home: Path, run: str) -> None:
    options = [f"run={run}", f"output=of_{run}", "class=dog"][: 2 + (run == "labels")]
    gantrain(home, "project", *options, "input=photos/a.png", *QUICK)
    assert arrays(home / f"of_{run}/a.npz")["w"].ndim == 2
    assert not (home / f"of_{run}/b.npz").exists()


def test_a_generator_without_w(home: Path) -> None:
    options = ["run=plain", "input=photos", "output=z"]
    said = gantrain(home, "project", *options, *QUICK, code=2)
    assert "space=w needs StyleGAN's w" in said
    gantrain(home, "project", *options, *QUICK, "space=z")
    z = arrays(home / "z/w.npz")["z"]
    assert z.ndim == 2 and len(z) == 4
    gantrain(home, "generate", "run=plain", "w=z/w.npz", "out=from_z", "device=cpu")
    assert len(list((home / "from_z").glob("w0*.png"))) == 4
    said = gantrain(home, "generate", "run=style", "w=z/w.npz", "out=no", "device=cpu", code=2)
    assert "is not an .npz file with an array w" in said


@pytest.mark.parametrize(
    ("options", "sentences"),
    [
        (["run=labels"], ["give the class of the images"]),
        (["run=labels", "class=wolf"], ["wolf"]),
        (["run=style", "class=dog"], ["was trained without labels"]),
        (["run=style", "start=encoder"], ["images needs an encoder"]),
        (["run=style", "input=nowhere", "frames=9"], ["no such file or folder", "only 3 steps"]),
        (["run=plain", "space=z", "tune=true"], ["tune=true needs w"]),
        (["run=style", "space=z", "start=encoder"], ["start=encoder gives w, not z"]),
        (["run=style", "space=z", "start=nearest"], ["start=nearest gives w, not z"]),
        (["run=style", "steps=0", "lr=0", "space=y"], ["steps=0", "lr=0", "space=y"]),
        (["run=style", "weights.lpips=photos/a.png"], ["cannot be read as weights"]),
    ],
)
def test_refusals(home: Path, options: list[str], sentences: list[str]) -> None:
    command = ["project", "input=photos", "output=never", *QUICK, *options]
    said = gantrain(home, *command, code=2)
    assert all(sentence in said for sentence in sentences), said
    assert not (home / "never").exists()
