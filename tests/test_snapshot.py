import pickle
import shutil
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from gantrain import snapshot
from gantrain.errors import ConfigError
from gantrain.inference import model
from gantrain.io import safetensors_file
from gantrain.io.tensors import digest
from gantrain.networks.dcgan import DCGANGenerator
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.spec import spec_of
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.snapshot import NoSnapshotError, load_snapshot, save_snapshot
from tests.helpers.command_line import gantrain
from tests.helpers.golden_files import load, under


def write(path: Path) -> ResnetGenerator:
    net = ResnetGenerator(1, 3, ngf=2, blocks=1)
    save_snapshot(path, {"ab": net}, {"ab": net.spec}, {"nimg": 5, "data": {"channels": {"a": 1}}})
    return net


def test_a_snapshot_needs_nothing_else(tmp_path: Path) -> None:
    net = write(tmp_path / "snapshots" / "snapshot-000000.005.pt")
    for path in (tmp_path, tmp_path / "snapshots" / "snapshot-000000.005.pt"):
        snapshot = load_snapshot(path)
        x = torch.randn(1, 1, 8, 8)
        assert torch.equal(snapshot.networks["ab"](x), net(x))
        assert not snapshot.networks["ab"].training
        assert snapshot.meta == {"nimg": 5, "data": {"channels": {"a": 1}}}


def test_the_newest_of_a_run_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "snapshots" / "snapshot-000000.005.pt")
    newest = write(tmp_path / "snapshots" / "snapshot-000010.000.pt")
    weight = load_snapshot(tmp_path).networks["ab"].state_dict()["model.1.weight"]
    assert torch.equal(weight, newest.state_dict()["model.1.weight"])


def test_a_torn_newest_one_is_passed_over(tmp_path: Path) -> None:
    older = write(tmp_path / "snapshots" / "snapshot-000000.005.pt")
    torn = tmp_path / "snapshots" / "snapshot-000000.010.pt"
    torn.write_bytes((tmp_path / "snapshots" / "snapshot-000000.005.pt").read_bytes()[:-100])
    with pytest.warns(UserWarning, match=r"010.pt is damaged: the older snapshot-000000.005.pt"):
        found = load_snapshot(tmp_path).networks["ab"].state_dict()
    assert torch.equal(found["model.1.weight"], older.state_dict()["model.1.weight"])
    said: list[str] = []
    model.load(tmp_path, say=said.append)
    assert len(said) == 1
    (tmp_path / "snapshots" / "snapshot-000000.005.pt").unlink()
    with pytest.raises(ConfigError, match=r"010.pt is damaged"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize("kind", ["snapshot", "checkpoint"])
def test_an_altered_newest_one_is_passed_over(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tensors are not those that were written, though the file is whole."""
    write(tmp_path / "snapshots" / "snapshot-000000.005.pt")
    net = ResnetGenerator(1, 3, ngf=2, blocks=1)
    gan = {f"G.ab.{key}": value for key, value in net.state_dict().items()}
    state = {"note": {"networks": {"G.ab": net.spec}}, "gan": gan, "nimg": 10}
    state["sha256"] = digest(state)
    newest = tmp_path / f"{kind}s" / f"{kind}-000000.010.pt"
    if kind == "snapshot":
        write(newest)
        state = torch.load(newest, weights_only=True)
    newest.parent.mkdir(exist_ok=True)
    torch.save(state, newest)
    assert load_snapshot(tmp_path).file == newest
    weights = state["gan"] if kind == "checkpoint" else state["weights"]["ab"]
    next(iter(weights.values())).view(-1)[0] += 1
    torch.save(state, newest)
    read: list[Path] = []
    plain = snapshot.load_plain_dict
    monkeypatch.setattr(snapshot, "load_plain_dict", lambda f: (read.append(f), plain(f))[1])
    with pytest.warns(UserWarning, match=rf"{newest.name} is damaged: the older snapshot-"):
        assert load_snapshot(tmp_path).file.name == "snapshot-000000.005.pt"
    assert len(read) == 2  # each once


def test_files_that_are_none_get_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "s.pt"
    write(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="damaged"):
        load_snapshot(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(ConfigError, match="is not a gantrain snapshot"):
        load_snapshot(path)
    with pytest.raises(ConfigError, match="neither a snapshot file nor a run directory"):
        load_snapshot(tmp_path)


@pytest.mark.parametrize("content", [[1], {"model.1.weight": torch.ones(1)}, nn.Linear(1, 1)])
def test_other_programs_files_get_a_sentence(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "s.pt")
    with pytest.raises(ConfigError, match=r"not a gantrain snapshot|not a snapshot"):
        load_snapshot(tmp_path / "s.pt")


def test_a_zip_of_something_else(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "s.pt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ConfigError, match="not a snapshot"):
        load_snapshot(tmp_path / "s.pt")


@pytest.mark.parametrize(
    ("target", "args"),
    [
        ("gantrain.networks.missing.Net", {}),
        ("gantrain.networks.resnet.Missing", {}),
        ("gantrain.networks.resnet.ResnetGenerator", {"unknown": 1}),
        ("gantrain.networks.resnet.ResnetGenerator", {"in_channels": 2, "out_channels": 3}),
    ],
)
def test_networks_of_another_version(tmp_path: Path, target: str, args: dict[str, int]) -> None:
    net = ResnetGenerator(1, 3, ngf=2, blocks=1)
    spec = {"target": target, "args": args}
    save_snapshot(tmp_path / "s.pt", {"ab": net}, {"ab": spec}, {"versions": {"gantrain": "9"}})
    with pytest.raises(ConfigError, match=r"cannot be rebuilt.*written by gantrain 9") as error:
        load_snapshot(tmp_path / "s.pt")
    assert len(error.value.problems) == 1 and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("target", "advice"),
    [
        ("torch.hub.load", False),
        ("os.system", False),
        ("gantrain.networksevil.X", False),
        ("system", False),
        ("my_gan.Net", True),
    ],
)
def test_only_own_networks_are_built(tmp_path: Path, target: str, advice: bool) -> None:
    net = nn.Linear(1, 1)
    save_snapshot(tmp_path / "s.pt", {"ab": net}, {"ab": {"target": target, "args": {}}}, {})
    with pytest.raises(ConfigError, match=f"needs the class {target}") as error:
        load_snapshot(tmp_path / "s.pt")
    assert ("set GANTRAIN_PLUGINS=" in str(error.value)) == advice  # only where it would help


def test_code_is_named(tmp_path: Path) -> None:
    torch.save({"x": zipfile.ZipFile}, tmp_path / "s.pt")
    with pytest.raises(ConfigError, match=r"it names zipfile\.ZipFile, which is code"):
        load_snapshot(tmp_path / "s.pt")
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"G_ema": 1}))
    with pytest.raises(ConfigError, match="is a pickle of no network; it should hold G_ema"):
        load_snapshot(tmp_path / "x.pkl")


@pytest.mark.parametrize("form", ["named.safetensors", "named.pth", "nested.pt", "one.pth"])
def test_generators_of_a_reference_code(tmp_path: Path, form: str) -> None:
    _, golden = load("stylegan3_t")
    weights = under(golden, "state/")
    named = {f"G_ema.{key}": x for key, x in weights.items()}
    if form.endswith("safetensors"):
        save_file(named, tmp_path / form)
    else:
        content = {"named.pth": named, "nested.pt": {"G": weights}, "one.pth": weights}[form]
        torch.save(content, tmp_path / form)
    snapshot = load_snapshot(tmp_path / form)
    images = snapshot.networks["G"](golden["z"])
    torch.testing.assert_close(images, golden["img"], rtol=0, atol=1e-4)
    assert snapshot.meta["ema"] == form.startswith("named")


def test_an_exported_generator_is_used_like_a_snapshot(tmp_path: Path) -> None:
    net = StyleGAN2Generator([8, 8], channel_base=32, z_dim=4, w_dim=4).eval()
    path = tmp_path / "G.safetensors"
    path.write_bytes(safetensors_file.to_bytes("G", net.state_dict(), spec_of(net)))
    z = torch.randn(2, 4)
    again = load_snapshot(path).networks["G"]
    assert torch.equal(again(z, noise_mode="const"), net(z, noise_mode="const"))
    damaged = bytearray(path.read_bytes())
    damaged[-1] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ConfigError, match="is damaged or not a snapshot"):
        load_snapshot(path)


def test_tensors_of_no_generator(tmp_path: Path) -> None:
    torch.save({"model.1.weight": torch.ones(1)}, tmp_path / "latest_net_G.pth")
    with pytest.raises(ConfigError, match=r"nor a generator of the reference code .* import"):
        load_snapshot(tmp_path / "latest_net_G.pth")


def test_altered_weights_are_noticed_and_older_files_still_load(tmp_path: Path) -> None:
    write(tmp_path / "s.pt")
    content = torch.load(tmp_path / "s.pt", weights_only=True)
    content["weights"]["ab"]["model.1.weight"][0] += 1
    torch.save(content, tmp_path / "s.pt")
    with pytest.raises(ConfigError, match="is damaged"):
        load_snapshot(tmp_path / "s.pt")
    del content["sha256"]
    torch.save(content, tmp_path / "s.pt")
    load_snapshot(tmp_path / "s.pt")


@pytest.mark.parametrize(
    "args", [{"ngf": 10**12}, {"ngf": 60000}, {"blocks": 10**9}, {"blocks": 60000}]
)
def test_a_file_gets_no_more_memory_than_it_holds(tmp_path: Path, args: dict[str, int]) -> None:
    net = ResnetGenerator(1, 3, ngf=2, blocks=1)
    spec = {"target": net.spec["target"], "args": {**net.spec["args"], **args}}  # type: ignore[dict-item, index]
    save_snapshot(tmp_path / "s.pt", {"ab": net}, {"ab": spec}, {})
    with pytest.raises(ConfigError, match="cannot be rebuilt"):
        load_snapshot(tmp_path / "s.pt")


def test_functions_are_no_networks(tmp_path: Path) -> None:
    spec = {"target": "gantrain.networks.layers.init_weights", "args": {}}
    save_snapshot(tmp_path / "s.pt", {"ab": nn.Linear(1, 1)}, {"ab": spec}, {})
    with pytest.raises(ConfigError, match="not a network class"):
        load_snapshot(tmp_path / "s.pt")


def test_plugins_can_be_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_plugin.py").write_text("from torch import nn\nclass Net(nn.Linear): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("GANTRAIN_PLUGINS", "other, my_plugin")
    net = nn.Linear(2, 1)
    spec = {"target": "my_plugin.Net", "args": {"in_features": 2, "out_features": 1}}
    save_snapshot(tmp_path / "s.pt", {"G": net}, {"G": spec}, {})
    x = torch.ones(1, 2)
    assert torch.equal(load_snapshot(tmp_path / "s.pt").networks["G"](x), net(x))
    sys.modules.pop("my_plugin")


@pytest.mark.parametrize(
    "model",
    [
        ["model=cyclegan", "model.ngf=2", "model.ndf=2", "model.blocks=1", "model.d_layers=1",
         "lr.unit=image"],
        ["model=cyclegan", "model.ngf=2", "model.ndf=2", "model.blocks=1", "model.d_layers=1",
         "lr.unit=image",
         "train.ema_kimg=0.01"],
        ["model=stylegan", "model.channel_base=64", "model.channel_max=8", "model.z_dim=8",
         "model.w_dim=8"],
        ["model=dcgan", "model.g_width=4", "model.d_width=2"],
        ["model=r3gan", "model.channel_base=64", "model.channel_max=8", "model.z_dim=8"],
    ],
    ids=["cyclegan", "average", "stylegan", "dcgan", "r3gan"],
)  # fmt: skip
def test_a_checkpoint_will_do(tmp_path: Path, model: list[str]) -> None:
    """A run in training, or one that was killed, has the newest generators in a checkpoint."""
    command = ["name=run", "data=shapes", "data.resolution=16", "data.train_images=8"]
    command += ["data.test_images=4", "train.batch=4", "train.epochs=null", "train.kimg=0.008"]
    command += ["tracking=none", "evaluation.test_images=1", "runtime=cpu", "runtime.workers=0"]
    gantrain(tmp_path, *command, *model)
    run = tmp_path / "runs/run"
    finished = load_snapshot(run)
    [snapshot] = run.glob("snapshots/*.pt")
    # Older than the checkpoint
    older = snapshot.rename(snapshot.with_name("snapshot-000000.004.pt"))
    found = load_snapshot(run)
    assert found.file.name == "checkpoint-000000.008.pt"
    assert found.meta == finished.meta and [*found.networks] == [*finished.networks]
    for name, network in finished.networks.items():
        expected = network.state_dict()
        weights = found.networks[name].state_dict()
        assert [*weights] == [*expected]
        assert all(torch.equal(weights[key], value) for key, value in expected.items())
    (run / "checkpoints/checkpoint-000000.008.pt").write_bytes(b"torn")
    with pytest.warns(UserWarning, match="008.pt is damaged: the older"):
        assert load_snapshot(run).file == older


def test_a_checkpoint_of_an_older_version_is_left_to_training(tmp_path: Path) -> None:
    net = write(tmp_path / "snapshots" / "snapshot-000000.005.pt")
    (tmp_path / "checkpoints").mkdir()
    state = {"gan": {f"G.ab.{k}": v for k, v in net.state_dict().items()}, "nimg": 9, "note": {}}
    torch.save(state, tmp_path / "checkpoints/checkpoint-000000.009.pt")
    assert load_snapshot(tmp_path).file.name == "snapshot-000000.005.pt"
    shutil.rmtree(tmp_path / "snapshots")
    with pytest.raises(NoSnapshotError):
        load_snapshot(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"note": {"networks": 3}}, {"note": {"networks": {"G.ab": {"target": "os.system"}}}},
     {"gan": [1]}, {"note": {"networks": {}, "data": 7}}, {"ema": {"ab.x": 1}}],
)  # fmt: skip
def test_a_checkpoint_of_a_stranger_is_a_sentence(tmp_path: Path, change: dict) -> None:
    net = ResnetGenerator(1, 3, ngf=2, blocks=1)
    state = {
        "gan": {f"G.ab.{key}": value for key, value in net.state_dict().items()},
        "note": {"networks": {"G.ab": net.spec}},
        **change,
    }
    torch.save(state, tmp_path / "c.pt")
    with pytest.raises(ConfigError):
        load_snapshot(tmp_path / "c.pt")


@pytest.mark.parametrize(
    "labels",
    [
        {"dim": 3, "kind": "multi", "names": ["a", "b", "c"], "examples": [[0, 0, 1]]},
        {"dim": 2, "kind": "class", "names": ["a", "b", "c"]},
        {"dim": 2, "kind": "multi", "names": ["a", "b"], "examples": [[10**400, 1]]},
        {"dim": 2, "kind": "float", "names": ["a", "b"], "examples": [[float("nan"), 1]]},
    ],
)
def test_labels_must_be_those_of_the_network(tmp_path: Path, labels: dict) -> None:
    net = DCGANGenerator([8, 8], 1, 2, z_dim=4, width=4)
    meta = {"data": {"labels": labels}}
    save_snapshot(tmp_path / "s.pt", {"G": net}, {"G": net.spec}, meta)
    with pytest.raises(ConfigError, match=r"is damaged: its .*labels"):
        load_snapshot(tmp_path / "s.pt")
    labels |= {"dim": 2, "names": ["a", "b"], "examples": [[0, 1]]}
    save_snapshot(tmp_path / "s.pt", {"G": net}, {"G": net.spec}, meta)
    assert model.load(tmp_path / "s.pt").sample([0], label="b").shape == (1, 1, 8, 8)


@pytest.mark.parametrize("base", [131072, 10**400])
def test_a_large_channel_base_is_no_large_network(tmp_path: Path, base: int) -> None:
    width = {"channel_base": base, "channel_max": 4}
    net = StyleGAN2Generator([8, 8], 1, z_dim=4, w_dim=4, mapping_layers=1, **width)
    save_snapshot(tmp_path / "s.pt", {"G": net}, {"G": net.spec}, {})
    assert load_snapshot(tmp_path / "s.pt").networks["G"].spec == net.spec
    args = {**width, "resolution": [8, 8], "channel_max": 10**9}
    save_snapshot(tmp_path / "s.pt", {"G": net}, {"G": {**spec_of(net), "args": args}}, {})
    with pytest.raises(ConfigError, match="channel_max=1000000000 is out of range"):
        load_snapshot(tmp_path / "s.pt")
