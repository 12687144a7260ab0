"""Folders for the hub: the same model bit for bit, and a stranger's folder is data."""

import json
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import gantrain
from gantrain.errors import ConfigError
from gantrain.inference.model import Model
from gantrain.io import hub_folder
from gantrain.io.tensors import digest
from gantrain.networks.spec import self_describing, spec_of
from gantrain.networks.unet import UnetGenerator
from tests.helpers import generators


def pix2pix(run: Path) -> Path:
    """With what the others lack: batch norm, and dropout that goes on."""
    network = UnetGenerator(3, 3, ngf=2, downs=5, norm="batch", dropout=True)
    return generators.write(run, "gantrain.gans.pix2pix.Pix2Pix", {"ab": network})


def write(model: Model, folder: Path) -> Path:
    networks = model.networks.items()
    specs = {name: spec_of(network) for name, network in networks}
    weights = {name: network.state_dict() for name, network in networks}
    hub_folder.write(folder, specs, weights, model.meta)
    return folder


MAKERS: dict[str, Callable[[Path], Path]] = {
    "stylegan2": lambda run: generators.stylegan(run, generators.ANIMALS, encoder=True),
    "stylegan3": generators.stylegan3,
    "r3gan": generators.r3gan,
    "dcgan": generators.dcgan,
    "cyclegan": generators.cyclegan,
    "pix2pix": pix2pix,
}


SLOW = [pytest.param("stylegan3", marks=pytest.mark.ci)]


@pytest.mark.parametrize("name", [*(name for name in MAKERS if name != "stylegan3"), *SLOW])
def test_the_same_model_bit_for_bit(name: str, tmp_path: Path) -> None:
    model = gantrain.load(MAKERS[name](tmp_path / "run"))
    folder = write(model, tmp_path / "hub")
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", "model.safetensors"]
    for path in (folder, folder / "model.safetensors"):
        again = gantrain.load(path)
        assert again.meta == model.meta and again.test_mode == model.test_mode
        assert again.networks.keys() == model.networks.keys()
        for key, network in model.networks.items():
            before, after = network.state_dict(), again.networks[key].state_dict()
            assert all(torch.equal(x, after[k]) for k, x in before.items())
            assert [*before] == [*after]
        if model.directions:
            x = torch.rand(1, 3 if name == "pix2pix" else 1, 32, 32) * 2 - 1
            assert torch.equal(again.translate(x), model.translate(x))
        else:
            assert torch.equal(again.sample("0-3"), model.sample("0-3"))


def test_networks_may_share_a_buffer(tmp_path: Path) -> None:
    model = gantrain.load(generators.cyclegan(tmp_path / "run"))
    for name, buffer in model.networks["ab"].named_parameters():
        model.networks["ba"].get_parameter(name).data = buffer.data
    again = gantrain.load(write(model, tmp_path / "hub"))
    x = torch.rand(1, 1, 16, 16)
    assert torch.equal(again.translate(x, "ba"), model.translate(x, "ab"))


def test_places_are_left_out(tmp_path: Path) -> None:
    model = gantrain.load(generators.dcgan(tmp_path / "run"))
    data = {"root": "/srv/secret", "windows": "C:\\me", "home": "~/me", "depth": 8, "more": ["/x"]}
    data |= {"url": "http://box.local/set.zip", "inside": {"root": "/srv"}, "names": ["a/b", "c:d"]}
    model.meta["data"] = data
    model.meta["note"] = "of nobody's business"
    folder = write(model, tmp_path / "hub")
    meta = json.loads((folder / "config.json").read_text())["meta"]
    assert meta["data"] == {"depth": 8, "inside": {}, "names": ["a/b", "c:d"]}
    assert "note" not in meta


@self_describing
class Odd(nn.Module):
    def __init__(self, size: Any) -> None:
        super().__init__()


@pytest.mark.parametrize("size", [float("nan"), torch.ones(1), {1, 2}])
def test_arguments_that_json_does_not_have(size: Any, tmp_path: Path) -> None:
    network = Odd(size)
    with pytest.raises(ConfigError, match="cannot be written as JSON"):
        hub_folder.write(tmp_path / "hub", {"G": spec_of(network)}, {"G": {}}, {})
    assert not (tmp_path / "hub").exists()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("whole")
    return write(gantrain.load(generators.stylegan(home / "run")), home / "hub")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "hub")


CLASS, ARGS = "networks.G.target", "networks.G.args"
DEEP: Any = []
for _ in range(200):
    DEEP = [DEEP]
CONFIGS: dict[str, tuple[str, Any]] = {
    "a stranger's class": (CLASS, "canary.Net"),
    "a class of torch": (CLASS, "torch.nn.Linear"),
    "a function": (CLASS, "gantrain.networks.spec.spec_of"),
    "a module": (CLASS, "gantrain.networks.spec"),
    "no such class": (CLASS, "gantrain.networks.dcgan.Nothing"),
    "a way out": (CLASS, "gantrain.networks...os.system"),
    "no class": (CLASS, None),
    "another of ours": (CLASS, "gantrain.networks.dcgan.DCGANGenerator"),
    "a huge size": (f"{ARGS}.resolution", [2**20, 2**20]),
    "a huger size": (f"{ARGS}.resolution", [2**62, 2**62]),
    "beyond 64 bits": (f"{ARGS}.resolution", [2**64, 2**64]),
    "a huge width": (f"{ARGS}.channel_max", 2**40),
    "many layers": (f"{ARGS}.mapping_layers", 10**9),
    "another width": (f"{ARGS}.w_dim", 17),
    "no size": (f"{ARGS}.resolution", []),
    "zero": (f"{ARGS}.resolution", [0, 0]),
    "negative": (f"{ARGS}.z_dim", -1),
    "a text": (f"{ARGS}.z_dim", "16"),
    "a clamp in words": (f"{ARGS}.conv_clamp", "x"),
    "labels in a list": (f"{ARGS}.label_dim", []),
    "a NaN": (f"{ARGS}.channel_base", float("nan")),
    "infinity": ("meta.data.value_range", [0, float("inf")]),
    "a NaN beside": ("more", [float("nan")]),
    "an unknown argument": (f"{ARGS}.evil", 1),
    "arguments in a list": (ARGS, [1]),
    "deep nesting": (f"{ARGS}.resolution", DEEP),
    "no networks": ("networks", {}),
    "networks in a list": ("networks", []),
    "no meta": ("meta", None),
    "images in words": ("meta.nimg", "many"),
    "data in a list": ("meta.data", [1]),
    "labels of others": ("meta.data.labels", {"dim": "x"}),
    "a target in a list": ("meta.model", {"_target_": ["x"]}),
    "no checksum": ("sha256", None),
    "another checksum": ("sha256", "0" * 64),
    "another format": ("format", "gantrain-hub-2"),
    "another program": ("format", None),
    "one network more": ("networks.H", {"target": "x", "args": {}}),
    "one of another name": ("networks.a.b", 1),
}


def change(config: dict[str, Any], key: str, value: Any) -> None:
    *path, last = key.split(".")
    for name in path:
        config = config.setdefault(name, {})
    config[last] = value


@pytest.mark.parametrize("case", CONFIGS)
def test_a_hostile_description(case: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    (folder / "canary.py").write_text("open('imported', 'w'); Net = object")
    config = json.loads((folder / "config.json").read_text())
    change(config, *CONFIGS[case])
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError) as error:
        gantrain.load(folder)
    assert len(error.value.problems) == 1 and str(error.value).endswith(".")
    assert "canary" not in sys.modules and not (folder / "imported").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": 1e999}', "[" * 10**5, "\x00"])
def test_a_description_that_is_none(text: str, folder: Path) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        gantrain.load(folder)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any], *, signed: bool) -> None:
    """Change the tensors, and perhaps the checksum with them, as a stranger would."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    if signed:
        config = json.loads((folder / "config.json").read_text())
        nested: dict[str, dict[str, Any]] = {}
        for key, x in tensors.items():
            name, _, rest = key.partition(".")
            nested.setdefault(name, {})[rest] = x
        config["sha256"] = digest(nested)
        (folder / "config.json").write_text(json.dumps(config))


WEIGHT = "G.mapping.fc0.weight"
TENSORS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "one more": (lambda x: x.update({"G.more": torch.ones(1)}), "other names or shapes"),
    "of no network": (lambda x: x.update({"more": torch.ones(1)}), "names no such network"),
    "one less": (lambda x: x.pop(WEIGHT), "other names or shapes"),
    "another shape": (lambda x: x.update({WEIGHT: torch.ones(3, 3)}), "other names or shapes"),
    "none": (lambda x: x.clear(), "out of range"),
}


@pytest.mark.parametrize("case", TENSORS)
def test_other_tensors(case: str, folder: Path) -> None:
    alter, words = TENSORS[case]
    rewrite(folder, alter, signed=True)
    with pytest.raises(ConfigError, match=words):
        gantrain.load(folder)


def test_altered_weights(folder: Path) -> None:
    rewrite(folder, lambda x: x[WEIGHT].add_(1), signed=False)
    with pytest.raises(ConfigError, match="damaged or altered"):
        gantrain.load(folder)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ConfigError, match="is damaged"):
        gantrain.load(folder)


def test_pickles_are_not_read(folder: Path) -> None:
    class Touch:
        def __reduce__(self) -> Any:
            return Path.touch, (folder / "executed",)

    for name in ("pytorch_model.bin", "model.pt", "model.pkl"):
        (folder / name).write_bytes(pickle.dumps(Touch()))
    gantrain.load(folder)
    (folder / "model.safetensors").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(ConfigError, match="is damaged"):
        gantrain.load(folder)
    assert not (folder / "executed").exists()
