"""Reference weights in, translated with, trained on, and out again, bit for bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import gantrain as package
from tests.helpers.command_line import TINY, gantrain
from tests.helpers.golden_files import load, under
from tests.helpers.picture_sets import write_set

pytestmark = pytest.mark.multi


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reference's files, imported as runs/taken."""
    home = tmp_path_factory.mktemp("import")
    (home / "theirs").mkdir()
    _, golden = load("cyclegan_training_steps")
    for part in ("G_A", "G_B", "D_A", "D_B"):
        torch.save(under(golden, f"init/{part}/"), home / f"theirs/latest_net_{part}.pth")
    said = gantrain(home, "import", "source=theirs", "name=taken")
    assert "G.ab from theirs/latest_net_G_A.pth: ResnetGenerator" in said
    assert "D.b from theirs/latest_net_D_A.pth: PatchDiscriminator" in said
    [command] = [line for line in said.splitlines() if "init_from=" in line]
    (home / "command.txt").write_text(command)
    return home


def test_round_trip_is_exact(home: Path) -> None:
    gantrain(home, "export", "run=runs/taken", "output=ours")
    for part in ("G_A", "G_B"):
        ours, theirs = (
            torch.load(home / folder / f"latest_net_{part}.pth", weights_only=True)
            for folder in ("ours", "theirs")
        )
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert "already exists" in gantrain(home, "export", "run=runs/taken", "output=ours", code=2)
    gantrain(home, "export", "run=runs/taken", "output=safe", "format=safetensors")
    assert load_file(home / "safe/latest_net_G_A.safetensors").keys() == theirs.keys()


def test_it_translates(home: Path) -> None:
    g = package.load(home / "runs/taken")
    assert sorted(g.networks) == ["ab", "ba"]
    assert g.translate(torch.zeros(1, 3, 9, 17), "ba").shape == (1, 3, 9, 17)


def test_it_is_measured_on_pictures_that_one_names(home: Path) -> None:
    data = write_set(home / "theirs_too", train=3, test=6)
    said = gantrain(home, "evaluate", "run=runs/taken", "extractor=random", "device=cpu", code=2)
    assert "does not name the data of the run" in said and "data_root=DIR" in said
    options = ["extractor=random", "metrics=[kid]", "device=cpu", f"data_root={data}"]
    said = gantrain(home, "evaluate", "run=runs/taken", *options)
    assert "kid6_random-conv-64/ab" in said and "kid6_random-conv-64/ba" in said
    assert len((home / "runs/taken/evaluations.jsonl").read_text().splitlines()) == 4


def test_training_goes_on_from_it_as_the_import_says(home: Path) -> None:
    words = [
        w for w in (home / "command.txt").read_text().split() if w.startswith(("model.", "init"))
    ]
    tiny = [text for text in TINY if not text.startswith("model.")]
    words += ["data.resolution=64", "train.kimg=0.002", "name=on"]
    said = gantrain(home, *tiny, *words)
    assert "Loaded the weights of G.ab, G.ba, D.a, D.b from runs/taken." in said


def test_mistakes(home: Path) -> None:
    assert "already exists" in gantrain(home, "import", "source=theirs", "name=taken", code=2)
    assert "source has no value" in gantrain(home, "import", "name=x", code=2)
    assert "no such file" in gantrain(home, "import", "source=nowhere", "name=x", code=2)
    assert not (home / "runs/x").exists()


@pytest.fixture(scope="module")
def pix2pix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the reference's G and D of pix2pix, imported as runs/taken."""
    home = tmp_path_factory.mktemp("import-pix2pix")
    (home / "theirs").mkdir()
    _, golden = load("pix2pix_training_steps")
    for part in ("G", "D"):
        torch.save(under(golden, f"init/{part}/"), home / f"theirs/latest_net_{part}.pth")
    said = gantrain(home, "import", "source=theirs", "name=taken")
    assert "downs=6 norm=batch dropout=True test_mode=as_trained" in said
    assert "D.b from theirs/latest_net_D.pth: PatchDiscriminator in_channels=6" in said
    assert "Dropout leaves no trace" in said
    [command] = [line for line in said.splitlines() if "init_from=" in line]
    (home / "command.txt").write_text(command)
    return home


def test_pix2pix_goes_round(pix2pix: Path) -> None:
    gantrain(pix2pix, "export", "run=runs/taken", "output=ours")
    ours, theirs = (
        torch.load(pix2pix / folder / "latest_net_G.pth", weights_only=True)
        for folder in ("ours", "theirs")
    )
    assert ours.keys() == theirs.keys() and any("running_mean" in key for key in ours)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    g = package.load(pix2pix / "runs/taken")
    assert g.algorithm == "Pix2Pix" and g.test_mode == "as_trained"
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    g = package.load(pix2pix / "runs/taken", test_mode="no_dropout")
    network = g.networks["ab"]  # a batch of 1 in training mode, but for the dropout
    for module in network.modules():
        module.training = not isinstance(module, torch.nn.Dropout)
    with torch.no_grad():
        expected = network(x)
    g = package.load(pix2pix / "runs/taken", test_mode="no_dropout")
    torch.testing.assert_close(g.translate(x), expected, atol=2e-6, rtol=0)


def test_pix2pix_is_trained_on(pix2pix: Path) -> None:
    words = (pix2pix / "command.txt").read_text().split()
    assert "model=pix2pix" in words and "data=paired" in words
    words = [w for w in words if w.startswith(("model", "init"))]
    tiny = [text for text in TINY if not text.startswith(("model.", "data.resolution"))]
    said = gantrain(pix2pix, *tiny, *words, "data.resolution=64", "train.kimg=0.002", "name=on")
    assert "Loaded the weights of G.ab, D.b from runs/taken." in said
