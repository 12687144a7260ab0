"""Every command and every snippet of the documentation is run."""

import importlib.util
import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.metrics.inception import Inception
from gantrain.metrics.lpips import LPIPS
from gantrain.networks.resnet import ResnetGenerator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from tests.helpers.clips import pictures, write_clip
from tests.helpers.command_line import ENVIRONMENT, gantrain, start
from tests.helpers.published_sets import cifar10_folder, mnist_folder
from tests.helpers.reference_pickles import write_stylegan
from tests.helpers.running_studio import Studio
from tests.helpers.saved_sets import save_folder

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "CONTRIBUTING.md"]
# What makes a documented command small: any size of network is the same code.
SMALL_MODEL = {
    "r3gan": ["model.z_dim=8", "model.channel_base=64", "model.channel_max=8"],
    "stylegan": ["model.z_dim=8", "model.w_dim=8", "model.channel_base=128", "model.channel_max=8"],
    "dcgan": ["model.g_width=8", "model.d_width=2"],
    "my_gan": ["lr.unit=image"],
    "pix2pix": [
        "model.generator=resnet",
        "model.ngf=2",
        "model.ndf=2",
        "model.blocks=1",
        "lr.unit=image",
        "evaluation.test_images=1",
    ],
    "cut": ["model.ngf=2", "model.ndf=2", "model.blocks=1", "model.head_width=8", "lr.unit=image"],
    "fastcut": ["model.ngf=2", "model.ndf=2", "model.blocks=1", "lr.unit=image"],
    "cyclegan": [
        "model.ngf=2",
        "model.ndf=2",
        "model.blocks=1",
        "lr.unit=image",
        "evaluation.test_images=1",
    ],
}
PUBLISHED = {"data=cifar10": "data.root=published", "data=mnist": "data.root=published"}
SMALL = ["train.epochs=null", "train.kimg=0.004", "data.resolution=32"]
STRIPES = "gantrain name=stripes"  # the run that other commands go on with
NAMED = (
    "flowers",
    "moving",
    "things",
    "twoway",
    "cifar",
    "emoji",
    "photos",
    "oneway",
    "mine",
    "paired",
    "colors",
)  # runs that are put to use
PLACEHOLDER = re.compile(r"\b(NAME|DIR|FILE|N)\b|\.\.\.")  # a pattern, not a command
SHOWS = ("--help", "--cfg", "--info")  # print something and train nothing


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", document.read_text(), flags=re.DOTALL)


def lines(program: str, documents: Sequence[Path] = DOCUMENTS) -> list[str]:
    """Every line that begins with `program`, in code blocks and in tables, without its comment."""
    found: list[str] = []
    for document in documents:
        found += [line for block in blocks(document, "bash") for line in block.splitlines()]
        text = " ".join(document.read_text().split("\n"))  # a command may go over two lines
        found += re.findall(rf"`({program} [^`]+)`", text)
    kept = [line.split("  #")[0].strip() for line in found if line.startswith(f"{program} ")]
    return [line for line in dict.fromkeys(kept) if not PLACEHOLDER.search(line)]


def kind(command: str) -> str:
    """generate, translate, ...; train where no command is named."""
    word = command.split()[1]
    return "train" if "=" in word or word.startswith("-") else word


COMMANDS = lines("gantrain")
# Those of the README that one process runs; the others are for CI.
FIRST = [c for c in lines("gantrain", [README]) if "devices=" not in c and " -m " not in c]
# One of each kind starts with a Python of its own, as the reader's does (tests/command_line.py).
COLD = list({kind(command): command for command in COMMANDS[::-1]}.values())
# A published set is there already, as after its first use.
HERE = {"GANTRAIN_CACHE": "cache"}
# Trackers are tried without an account and without a server.
HERE |= {"WANDB_MODE": "offline", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
EXPORTS = HERE | dict(word.split("=", 1) for line in lines("export") for word in line.split()[1:])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with the pictures and files the documents speak of."""
    home = tmp_path_factory.mktemp("readme")
    values = np.random.default_rng(0)
    for root in ("my_photos", "my_pairs", "cache/horse2zebra", "apple2orange"):
        for name in ("trainA", "trainB", "testA", "testB"):
            path = home / root / name
            path.mkdir(parents=True)
            for i in range(6):
                pixels = values.integers(0, 256, (40, 48, 3), np.uint8)
                Image.fromarray(pixels).save(path / f"{i}.png")
    for number in range(6):
        for place in (f"my_pictures/class{number % 2}", "emoji"):
            path = home / place / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.integers(0, 256, (40, 48, 3), np.uint8)).save(path)
    save_folder(home / "my_pictures", home / "my_set")
    if importlib.util.find_spec("av"):
        for name in ("clip.mp4", "clips/a.mp4", "clips/b.mov"):
            write_clip(home / name, pictures(4))
    for number, frame in enumerate(pictures(3)):
        (home / "frames").mkdir(exist_ok=True)
        Image.fromarray(frame).save(home / f"frames/{number:04d}.png")
    torch.save(Inception().state_dict(), home / "inception.pth")
    torch.save(LPIPS().state_dict(), home / "lpips.pth")
    theirs = home / "checkpoints/horse2zebra"
    theirs.mkdir(parents=True)
    torch.save(ResnetGenerator(3, 3, 4, 1).state_dict(), theirs / "latest_net_G_A.pth")
    G = StyleGAN2Generator([16, 16], z_dim=8, w_dim=8, channel_base=64)
    write_stylegan(home / "network.pkl", {"G_ema": (G.state_dict(), {})})
    cifar10_folder(home / "published")
    mnist_folder(home / "published", exist_ok=True)
    for text in (
        b for document in DOCUMENTS for kind in ("python", "yaml") for b in blocks(document, kind)
    ):
        if name := re.match(r"# (my_\S+\.(?:py|yaml))\n", text):  # "# my_gan.py" is its file name
            (home / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (home / name[1]).write_text(text)
    return home


@pytest.fixture(scope="module")
def named(folder: Path) -> None:
    """The runs of NAMED, as their own commands make them."""
    for name in NAMED:
        [command] = [c for c in COMMANDS if f" name={name} " in c]
        run(folder, command)


@pytest.fixture(scope="module")
def stripes(folder: Path) -> Path:
    gantrain(folder, *small(STRIPES), "tracking.to=[tensorboard]", "tracking.every_kimg=0.001")
    return folder / "runs/stripes"


@pytest.fixture(scope="module")
def sweeps(folder: Path) -> None:
    """The sweeps that a later command compares; run again, they say what they recorded."""
    for command in COMMANDS:
        if " -m " in command and "launcher=local" in command and " name=" in command:
            run(folder, command)


@pytest.fixture(scope="module")
def imported(folder: Path) -> None:
    for command in (c for c in COMMANDS if c.startswith("gantrain import ")):
        run(folder, command)


@pytest.fixture(scope="module")
def directed(folder: Path, named: None) -> None:
    for command in (c for c in COMMANDS if c.startswith("gantrain directions ")):
        run(folder, command)


@pytest.fixture(scope="module")
def exported(folder: Path, imported: None) -> None:
    """The files that a snippet loads."""
    [command] = [c for c in COMMANDS if "format=torch_export" in c and " run=runs/zebras" in c]
    run(folder, command)


@pytest.fixture(scope="module")
def projected(folder: Path, named: None) -> None:
    for command in (c for c in COMMANDS if c.startswith("gantrain project ")):
        run(folder, command)


def run(folder: Path, command: str) -> str:
    """A documented command made small; what it prints."""
    return gantrain(folder, *small(command), environment=EXPORTS, cold=command in COLD)


def small(command: str) -> list[str]:
    """The command's words, then what makes it small (the last setting of a key wins)."""
    words = shlex.split(command)[1:]
    if any(word.startswith("resume=runs/") for word in words):
        return [*words, "train.epochs=null", "train.kimg=0.008"]  # the run as it was begun: small
    if words[0] in (
        "generate",
        "translate",
        "import",
        "export",
        "compare",
        "prepare",
        "report",
        "doctor",
    ):
        return words
    if words[0] == "directions":
        return [*words, "weights.lpips=lpips.pth", "samples=20", "seeds=0", "count=4"]
    if words[0] == "project":
        return [*words, "weights.lpips=lpips.pth", "steps=2", "tune_steps=2", "batch=2"]
    if words[0] == "evaluate":  # the published weights are not here
        mine = ["weights.inception=inception.pth", "weights.lpips=lpips.pth"]
        return [*words, *mine, "num_images=40"]
    models = [word.split("=")[1] for word in words if word.startswith(("model=", "experiment="))]
    found = [name for name in SMALL_MODEL for model in models if model.startswith(name)]
    model = found[0] if found else "cyclegan"
    budget = ["train.kimg=0.008"] if "resume=auto" in words else []
    budget += [place for data, place in PUBLISHED.items() if data in words]
    if any(word.startswith("data.resolution=[") for word in words):
        budget += ["data.resolution=[24,32]"]
    quiet = [] if any(word.startswith("tracking") for word in words) else ["tracking.to=[]"]
    return [*words, *SMALL_MODEL[model], *SMALL, *quiet, *budget]


def open_studio(folder: Path, command: str) -> None:
    """The page opens until Ctrl-C; without gradio a sentence says what to install."""
    words = shlex.split(command)[2:]
    if not importlib.util.find_spec("gradio"):
        assert "pip install 'gantrain[studio]'" in gantrain(folder, "studio", *words, code=2)
        return
    with Studio(folder, *words) as studio:
        studio.end(signal.SIGINT, 130)


def test_the_documents_name_commands() -> None:
    assert len(COMMANDS) > 12
    assert STRIPES in COMMANDS
    assert {kind(command) for command in COLD} == {kind(command) for command in COMMANDS}


@pytest.mark.multi
@pytest.mark.parametrize(
    "command",
    [pytest.param(c, marks=() if c in FIRST else pytest.mark.ci) for c in COMMANDS],
)
def test_command(command: str, folder: Path, request: pytest.FixtureRequest) -> None:
    if any(word in SHOWS for word in shlex.split(command)):
        assert gantrain(folder, *shlex.split(command)[1:]).strip()
        return
    if command.startswith("gantrain fetch"):  # without a network the sentence says what to do
        nowhere = {"https_proxy": "http://127.0.0.1:9", "GANTRAIN_CACHE": "empty"}
        words = shlex.split(command)[1:]
        said = gantrain(folder, *words, environment=nowhere, code=2, cold=command in COLD)
        assert "on another machine and put it into empty/weights" in said
        return
    if re.search(r" input=clips?\b", command):
        pytest.importorskip("av", reason="videos need PyAV: pip install 'gantrain[video]'")
    if "stripes" in command:
        request.getfixturevalue("stripes")
    if any(name in command for name in NAMED):
        request.getfixturevalue("named")
    if "root=packed.zip" in command:
        prepare = next(c for c in COMMANDS if "pack=packed.zip" in c)
        run(folder, prepare)
    if "run=runs/zebras" in command:
        request.getfixturevalue("imported")
    if "project" in command or "/w.npz" in command:
        request.getfixturevalue("projected")
    if command.startswith("gantrain compare sweeps/"):
        request.getfixturevalue("sweeps")
    if "directions" in command:
        request.getfixturevalue("directed")
    if command.startswith("gantrain studio"):
        open_studio(folder, command)
        return
    if "[disentanglement]" in command:
        process = start(folder, *small(command), environment=EXPORTS)
        said, _ = process.communicate(timeout=120)
        # A generator that has seen a few images may draw only what looks like one folder.
        assert process.returncode == 0 or "surest of are all like the" in said, said
        return
    if " import " in command:
        request.getfixturevalue("imported")
    elif command.startswith("gantrain directions "):
        return  # done: its folder is not overwritten
    elif "format=torch_export" in command:
        request.getfixturevalue("exported")
    elif command != STRIPES and not any(f" name={name} " in command for name in NAMED):
        output = run(folder, command)
        assert "has no effect" not in output
    if "resume=" in command:
        name = re.search(r"resume=runs/(\w+)| name=(\w+)", command)
        assert name
        result = folder / "runs" / (name[1] or name[2]) / "result.json"
        assert json.loads(result.read_text())["nimg"] == 8


@pytest.mark.multi
@pytest.mark.parametrize("command", lines("tensorboard"))
def test_tensorboard_finds_the_run(command: str, folder: Path, stripes: Path) -> None:
    words = ["-m", "tensorboard.main", *command.split()[1:], "--inspect"]
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "runs/stripes/tensorboard" in done.stdout and "loss/G/cycle_a" in done.stdout


@pytest.mark.multi
def test_python_snippets_of_the_documents(
    folder: Path, stripes: Path, named: None, exported: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for snippet in (s for d in DOCUMENTS for s in blocks(d, "python") if "# my_" not in s):
        scope: dict[str, object] = {}
        exec(snippet, scope)
        assert scope["y"].shape == scope["x"].shape  # type: ignore[attr-defined]


@pytest.mark.multi
def test_a_run_leaves_what_the_reference_lists(stripes: Path) -> None:
    text = (ROOT / "docs/reference/files.md").read_text()
    section = text.split("## What a run leaves\n")[1].split("```")[0]
    names = re.findall(r"`([a-z]+(?:\.[a-z]+|/(?:\*\.png)?))`", section)
    for name in ("evaluations.jsonl", "events.jsonl"):  # of what did not happen here
        names.remove(name)
    assert len(names) == 10
    for name in names:
        assert list(stripes.glob(name.rstrip("/"))), name


def test_the_readme_names_its_two_commands() -> None:
    text = README.read_text()
    for marker, command in (("run", ".venv/bin/gantrain"), ("tests", ".venv/bin/python -m pytest")):
        block = text.split(f"<!-- {marker} -->\n```bash\n")[1].split("```")[0]
        assert block.startswith("python3 -m venv .venv && .venv/bin/pip install")
        assert block.strip().endswith(command)


def test_links_of_the_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        text = re.sub(r"`[^`\n]+`", "", document.read_text())  # D[domain](x) is no link
        for link in re.findall(r"\]\(([^)#:]+)[^)]*\)|src=\"([^\"]+)\"", text):
            if (link[0] or link[1]).startswith("http"):
                continue
            target = document.parent / (link[0] or link[1])
            if document == ROOT / "docs/results.md" and link[1]:
                target = ROOT / "docs" / link[1]
            assert target.exists(), f"{document.name}: {target}"


def test_the_readme_is_short() -> None:
    assert README.read_text().count("\n") <= 150
