"""Models on the hub, which stands in on this machine."""

import json
import pickle
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import gantrain
from gantrain.commands.studio import TOOLS
from gantrain.errors import ConfigError
from gantrain.io import hub as models
from gantrain.io.hub import Address
from gantrain.networks.spec import spec_of
from gantrain.snapshot import save_snapshot
from gantrain.studio import generating
from gantrain.studio.open_run import Folders, OpenRun
from tests.helpers import generators
from tests.helpers.hub_stand_in import Files, Hub, connect, serving
from tests.io.test_hub_folder import write

pytest.importorskip("huggingface_hub")
FACES = "anna/faces"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    home = tmp_path_factory.mktemp("made")
    folder = write(gantrain.load(generators.dcgan(home / "run")), home / "hub")
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as hub:
        connect(hub, monkeypatch, tmp_path / "cache")
        yield hub


@pytest.mark.parametrize("text", ["hub:anna/faces", "hub:a.b-c/d_e@v1", "hub:a/b@feature/x.y"])
def test_addresses(text: str) -> None:
    assert models.is_address(text) and not [*models.problems("run", text)]
    assert str(models.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["hub:", "hub:anna", "hub:/faces", "hub:a/b/c", "hub:a/..", "hub:a/b@", "hub:a/b@-x",
     "hub:a/b@../x y", "hub:a b/c", "hub:a/b@v1@v2", "hub:https://x/y"],
)  # fmt: skip
def test_what_is_no_address(text: str) -> None:
    [problem] = models.problems("run", text)
    assert problem.startswith(f"run={text} is no address") and "hub:OWNER/NAME@REV" in problem
    with pytest.raises(ConfigError, match="is no address"):
        gantrain.load(text)


def test_the_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    [problem] = models.problems("run", "hub:anna/faces")
    assert "pip install 'gantrain[hub]'" in problem


def test_the_model_and_its_commit(hub: Hub, files: Files, tmp_path: Path) -> None:
    sha = hub.add(FACES, {**files, "README.md": b"#", "evil.py": b"x", "model.pt": b"x"})
    model = gantrain.load("hub:anna/faces")
    assert model.meta["hub"] == f"hub:anna/faces@{sha}" and model.meta["nimg"] == 12500
    assert {path.name for path in model.file.parent.iterdir()} == set(files)
    folder = tmp_path / "plain"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    local = gantrain.load(folder)
    assert torch.equal(model.sample("0-3"), local.sample("0-3")) and "hub" not in local.meta


def test_revisions(hub: Hub, files: Files) -> None:
    first = hub.add(FACES, files)
    config = json.loads(files["config.json"])
    config["meta"]["nimg"] = 7
    second = hub.add(FACES, {"config.json": json.dumps(config).encode()})
    hub.repositories[FACES].refs |= {"v1": first, "feature/x": second}
    for revision, sha in {"v1": first, first: first, "main": second, "feature/x": second}.items():
        model = gantrain.load(f"hub:{FACES}@{revision}")
        assert model.meta["hub"] == f"hub:{FACES}@{sha}"
        assert model.meta["nimg"] == (12500 if sha == first else 7)
    with pytest.raises(ConfigError, match="has no such branch, tag or commit 'v2'"):
        gantrain.load(f"hub:{FACES}@v2")


def test_a_file_does_not_say_that_it_is_of_the_hub(tmp_path: Path) -> None:
    run = generators.dcgan(tmp_path / "run")
    model = gantrain.load(run)
    model.meta["hub"] = "hub:anna/faces@0"
    specs = {"G": spec_of(model.networks["G"])}
    save_snapshot(model.file, model.networks, specs, model.meta)
    assert "hub" not in gantrain.load(run).meta
    assert "hub" not in gantrain.load(write(model, tmp_path / "folder")).meta


def test_the_studio_names_the_model_and_leaves_the_cache_alone(
    hub: Hub, files: Files, tmp_path: Path
) -> None:
    sha = hub.add(FACES, files)
    model = gantrain.load(f"hub:{FACES}")
    run = OpenRun("faces", model, TOOLS, Folders(tmp_path / "studio"), {"device": "cpu"})
    call = generating.of_seed(run, 3, generating.Look())
    words = f"""gantrain generate 'run="hub:{FACES}@{sha}"' seeds=3 device=cpu"""
    assert call.text == words
    assert run.generate(call).shown.is_file() and run.home == tmp_path / "studio/faces"
    assert {path.name for path in model.file.parent.iterdir()} == set(files)


def test_one_commit_although_another_is_pushed(
    hub: Hub, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = hub.add(FACES, files)
    read = models.hub_folder.read_config

    def meanwhile(file: Path) -> Any:
        hub.add(FACES, {"model.safetensors": b"newer"})
        return read(file)

    monkeypatch.setattr(models.hub_folder, "read_config", meanwhile)
    assert models.fetch(Address(FACES))[0] == Address(FACES, sha)
    assert ("GET", f"/{FACES}/resolve/{sha}/model.safetensors") in hub.asked


def test_without_a_connection_the_cache_is_used(
    hub: Hub, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = hub.add(FACES, files)
    gantrain.load(f"hub:{FACES}")
    hub.faults = {"config.json": "silent", "model.safetensors": "silent"}
    assert gantrain.load(f"hub:{FACES}").meta["hub"].endswith(sha)
    with socket.create_server(("127.0.0.1", 0)) as free:
        hub.server_address = free.getsockname()
    connect(hub, monkeypatch, tmp_path / "cache")
    assert gantrain.load(f"hub:{FACES}").meta["hub"].endswith(sha)
    with pytest.raises(ConfigError, match="cannot be reached, and the cache does not have it"):
        gantrain.load(f"hub:{FACES}@v9")


@pytest.mark.parametrize("fault", ["silent", 500, 503, "dead"])
def test_a_hub_that_fails(hub: Hub, files: Files, fault: int | str) -> None:
    hub.add(FACES, files)
    hub.faults = {"model.safetensors": fault}
    with pytest.raises(ConfigError, match=r"run=hub:anna/faces: the hub .*") as error:
        gantrain.load(f"hub:{FACES}")
    assert len(str(error.value)) < 300 and "\n" not in str(error.value)


def test_a_connection_that_is_cut_goes_on(hub: Hub, files: Files) -> None:
    hub.add(FACES, files)
    hub.faults = {"model.safetensors": "cut"}
    assert gantrain.load(f"hub:{FACES}").meta["nimg"] == 12500 and hub.faults == {}


def test_other_bytes_than_were_written(hub: Hub, files: Files) -> None:
    hub.add(FACES, files)
    hub.faults = {"model.safetensors": "altered"}
    with pytest.raises(ConfigError, match="damaged or altered"):
        gantrain.load(f"hub:{FACES}")
    hub.faults = {}
    assert gantrain.load(f"hub:{FACES}").meta["nimg"] == 12500  # not what the cache had


def test_who_may_see_it(hub: Hub, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("anna/gated", files, gated=True)
    hub.add("anna/own", files, private=True)
    hub.add_user("good", "anna")
    with pytest.raises(ConfigError, match=r"is gated: ask for access at https://hugg.*anna/gated"):
        gantrain.load("hub:anna/gated")
    for name in ("own", "nothing"):
        with pytest.raises(ConfigError, match="no such model on the hub, or it is private"):
            gantrain.load(f"hub:anna/{name}")
    monkeypatch.setenv("HF_TOKEN", "good")
    gantrain.load("hub:anna/own")


def test_pickles_are_named_and_not_downloaded(hub: Hub, files: Files) -> None:
    hub.add("anna/old", {"config.json": files["config.json"], "pytorch_model.bin": b"x"})
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin is a pickle, .* not downloaded"):
        gantrain.load("hub:anna/old")
    hub.add("anna/bare", {"README.md": b"#", "nested/model.pkl": pickle.dumps(1)})
    with pytest.raises(ConfigError, match=r"nested/model\.pkl is a pickle"):
        gantrain.load("hub:anna/bare")
    hub.add("anna/empty", {"README.md": b"#"})
    with pytest.raises(ConfigError, match=r"is no model of gantrain: it has no config\.json and"):
        gantrain.load("hub:anna/empty")
    assert not any(method == "GET" and "resolve" in path and ".json" not in path
                   for method, path in hub.asked)  # fmt: skip


@pytest.mark.parametrize("text", [b'{"library_name": "diffusers"}', b"{}", b"[", b"\xff\xfe"])
def test_a_stranger_s_description_comes_first(hub: Hub, files: Files, text: bytes) -> None:
    hub.add("anna/other", {**files, "config.json": text})
    with pytest.raises(ConfigError, match=r"config\.json"):
        gantrain.load("hub:anna/other")
    assert not any("model.safetensors" in path for _, path in hub.asked)


def upload(folder: Path, files: Files, to: Address, private: bool = False) -> models.Upload:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    models.check_access(to, private)
    return models.upload(folder, to, private)


def test_an_upload_is_one_commit(
    hub: Hub, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_user("good", "anna", lab="write")
    monkeypatch.setenv("HF_TOKEN", "good")
    made = upload(tmp_path / "x", files, Address("lab/faces"), private=True)
    repository = hub.repositories["lab/faces"]
    assert repository.private and len(repository.commits) == 2  # its creation, and this
    sha = repository.refs["main"]
    assert str(made.address) == f"hub:lab/faces@{sha}" and made.url.endswith("/lab/faces")
    assert {k: x for k, x in repository.commits[sha].items() if k[0] != "."} == files
    assert gantrain.load(str(made.address)).meta["nimg"] == 12500
    branch = upload(tmp_path / "x", {**files, "README.md": b"#"}, Address("lab/faces", "half"))
    assert repository.refs["main"] == sha and repository.refs["half"] == branch.address.revision
    assert repository.private  # as it was


REFUSED = {
    "no token": ("", "anna/faces", False, "needs a token: log in with hf auth login"),
    "unknown token": ("bad", "anna/faces", False, "does not know the token"),
    "reads only": ("read", "anna/faces", False, "may only read: make one with write access"),
    "not a member": ("good", "berta/faces", False, "not a member of berta: write to=anna or lab"),
    "a reader there": ("good", "club/faces", False, "you may only read in club"),
    "public": ("good", "anna/public", True, "exists and is public, and private=true does not"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_anything_is_uploaded(
    case: str, hub: Hub, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, name, private, words = REFUSED[case]
    hub.add_user("good", "anna", lab="write", club="read")
    hub.add_user("read", "anna", role="read")
    hub.add("anna/public", files)
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(ConfigError, match=words) as error:
        upload(tmp_path / "x", files, Address(name), private)
    assert str(error.value).startswith(f"to={name}") and hub.written == []


@pytest.mark.parametrize("where", ["create", "preupload/main", "commit/main", "batch"])
@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_refused_later(
    where: str,
    status: int,
    hub: Hub,
    files: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub.add_user("good", "anna")
    monkeypatch.setenv("HF_TOKEN", "good")
    hub.faults = {where: status}
    with pytest.raises(ConfigError, match=r"^to=anna/new: ") as error:
        upload(tmp_path / "x", files, Address("anna/new"))
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


def test_a_card_that_the_hub_does_not_take(
    hub: Hub, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add_user("good", "anna")
    monkeypatch.setenv("HF_TOKEN", "good")
    card = b"---\nlicense: nonsense\n---\n"
    with pytest.raises(ConfigError, match=r'(?i)invalid metadata.*"license" is unknown'):
        upload(tmp_path / "x", {**files, "README.md": card}, Address("anna/new"))
