"""Reference weights in, translated with, trained on, and out again, bit for bit."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import gantrain as package
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.ops.value_range import to_uint8
from tests.helpers import reference_pickles
from tests.helpers.command_line import TINY, gantrain, rows
from tests.helpers.golden_files import load, under
from tests.helpers.picture_sets import write_set
from tests.helpers.single_sets import write_pictures

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


def test_a_pickle_of_stylegan(tmp_path: Path) -> None:
    width = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8}
    torch.manual_seed(0)
    G = StyleGAN2Generator([16, 16], **width)
    D = StyleGAN2Discriminator([16, 16], channel_base=64, channel_max=8)
    networks = {name: (net.state_dict(), {}) for name, net in (("G_ema", G), ("D", D))}
    reference_pickles.write_stylegan(tmp_path / "network.pkl", networks, p=0.375)
    said = gantrain(tmp_path, "import", "source=network.pkl", "name=ffhq")
    assert "G_ema from network.pkl: StyleGAN2Generator resolution=[16, 16]" in said
    options = ["seeds=0-1", "noise=const", "device=cpu", "truncation_psi=1"]
    for run in ("runs/ffhq", "network.pkl"):
        gantrain(tmp_path, "generate", f"run={run}", f"out={run[-4:]}", *options)
    z = torch.stack([torch.from_numpy(np.random.RandomState(s).randn(8)) for s in (0, 1)])
    expected = to_uint8(G.eval()(z.float(), noise_mode="const"))
    for folder in ("ffhq", ".pkl"):
        for i in range(2):
            [file] = (tmp_path / folder).glob(f"*seed*{i}.png")
            image = torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1)
            assert torch.equal(image, expected[i])
    [command] = [line for line in said.splitlines() if "init_from=" in line]
    assert "model=stylegan data.resolution=16 model.z_dim=8" in command
    assert "augment_p" not in command and "model.channel_base=64" in command
    write_pictures(tmp_path / "pictures", ["0.png", "1.png", "2.png"])
    typed = [word.replace("DIR", "pictures") for word in command.split()[1:]]
    small = ["train.batch=2", "train.kimg=0.002", "runtime=cpu", "runtime.workers=0", "name=new"]
    said = gantrain(tmp_path, *typed, *small)
    assert "G.G, D.D" in said and "runs/ffhq was trained up to p=0.375" in said
    assert reached(tmp_path, "new") == 0.375
    from_file = [word for word in typed if "init_from" not in word]
    from_file += ["init_from=network.pkl", *small[:-1]]
    said = gantrain(tmp_path, *from_file, "name=file", "tracking.every_kimg=0.002")
    assert "ADA starts at 0.375 here; model.augment_p=0 starts anew." in said.replace("\n", " ")
    assert reached(tmp_path, "file") == 0.375
    said = gantrain(tmp_path, *from_file, "name=bound", "model.ada_max_p=0.2")
    assert reached(tmp_path, "bound") == 0.2
    said = gantrain(tmp_path, *from_file, "name=zero", "model.augment_p=0").replace("\n", " ")
    assert "ADA starts at 0 here; model.augment_p=0.375 goes on." in said
    assert reached(tmp_path, "zero") == 0
    said = gantrain(tmp_path, *from_file, "name=none", "model.augment=none")
    assert "was trained up to" not in said and reached(tmp_path, "none") == 0
    said = gantrain(tmp_path, "resume=runs/file", "train.kimg=0.004")  # the source is still null
    assert "Resuming" in said and reached(tmp_path, "file") == 0.375


def reached(home: Path, run: str) -> float:
    """Return the p of the last report; it cannot move within the first ADA interval."""
    return next(r["augment/p"] for r in reversed(rows(home / "runs" / run)) if "augment/p" in r)


def test_weights_that_no_training_has_are_imported_for_use(tmp_path: Path) -> None:
    _, golden = load("r3gan_networks_conditional")
    weights = {name: under(golden, f"state/{name}/") for name in "GD"}
    reference_pickles.write_r3gan(tmp_path / "r.pkl", weights)
    said = gantrain(tmp_path, "import", "source=r.pkl", "name=r")
    assert "It cannot be trained further here. Its stages have 2, 1 residual blocks" in said
    gantrain(tmp_path, "generate", "run=runs/r", "seeds=0-3", "device=cpu", "class=2")


def test_what_is_no_network_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"G": 1}))
    said = gantrain(tmp_path, "import", "source=x.pkl", "name=x", code=2)
    assert "is a pickle of no network" in said and not (tmp_path / "runs").exists()
    torch.save({"D": {"b4.out.weight": torch.ones(1)}}, tmp_path / "d.pt")
    said = gantrain(tmp_path, "import", "source=d.pt", "name=x", code=2)
    assert "holds no generator (G_ema or G)" in said


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a short run of CUT, exported as pth/ and imported again as runs/taken."""
    home = tmp_path_factory.mktemp("cut")
    tiny = [text for text in TINY if "pool_size" not in text]
    gantrain(home, "model=cut", *tiny, "model.head_width=6", "train.kimg=0.002", "name=own")
    gantrain(home, "export", "run=runs/own", "output=pth", "networks=all")
    (home / "said.txt").write_text(gantrain(home, "import", "source=pth", "name=taken"))
    return home


def test_cuts_networks_out_and_in_are_the_same(cut: Path) -> None:
    files = sorted(file.name for file in (cut / "pth").iterdir())
    assert files == ["latest_net_D.pth", "latest_net_F.pth", "latest_net_G.pth"]
    gantrain(cut, "export", "run=runs/taken", "output=again", "networks=all")
    for name in files:
        ours, theirs = (torch.load(cut / x / name, weights_only=True) for x in ("pth", "again"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    options = ["format=safetensors", "output=safe", "networks=all"]
    gantrain(cut, "export", "run=runs/own", *options)
    assert (cut / "safe/latest_net_F.safetensors").is_file()


def test_cut_trains_on_as_the_import_says(cut: Path) -> None:
    said = (cut / "said.txt").read_text()
    [line] = [line for line in said.splitlines() if "init_from=" in line]
    assert "model=cut" in line and "model.head_width=6" in line
    words = [w for w in line.split() if w.startswith(("model", "init"))]
    rest = [text for text in TINY if not text.startswith("model.")]
    said = gantrain(cut, *words, *rest, "train.kimg=0.002", "name=on")
    assert "Loaded the weights of G.ab, D.b, F.F from runs/taken." in said


def test_cut_is_translated_measured_and_examined(cut: Path) -> None:
    data = write_set(cut / "pictures", train=3, test=6)
    options = ["extractor=random", "metrics=[kid]", "device=cpu", f"data_root={data}"]
    said = gantrain(cut, "evaluate", "run=runs/taken", *options)
    assert "/ab" in said and "/ba" not in said
    gantrain(cut, "translate", "run=runs/own", f"input={data}/testA", "output=out", "gallery=2")
    assert len(list((cut / "out").glob("*.png"))) == 6
    gantrain(cut, "doctor", "run=runs/own", "samples=2", "device=cpu")
    gantrain(cut, "report", "run=runs/own")
    assert (cut / "runs/own/report.html").is_file()
    said = gantrain(
        cut, "export", "run=runs/own", "output=x", "networks=all", "format=onnx", code=2
    )
    assert "only generators" in said
    [snapshot] = (cut / "runs/own/snapshots").glob("snapshot-*.pt")
    said = gantrain(cut, "export", f"run={snapshot}", "output=x", "networks=all", code=2)
    assert "holds generators alone" in said
