"""What is published of a run: the folder with its card, and its way to the hub and back."""

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

import gantrain as gantrain_package
from gantrain.commands.publishing import SAMPLES, Publication, publish
from gantrain.errors import ConfigError
from gantrain.inference.contact_sheet import image_grid
from gantrain.inference.pictures import to_picture
from gantrain.studio.calls import Call
from tests.helpers import generators
from tests.helpers.command_line import TINY, gantrain
from tests.helpers.hub_stand_in import Hub, environment, serving
from tests.helpers.picture_sets import picture

pytest.importorskip("huggingface_hub")
NAMES = ("README.md", "config.json", "model.safetensors")
MEASURE = ("extractor=random", "metrics=[kid]", "num_images=8")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place with the runs `dots` (DCGAN, measured) of pictures at an absolute path, and `two`."""
    folder = tmp_path_factory.mktemp("home")
    for i in range(8):
        file = folder / f"secret_pictures/{'cats' if i % 2 else 'dogs'}/{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture(i, 32, 32).save(file)
    small = ["model=dcgan", "model.g_width=8", "model.d_width=2", "train.kimg=0.016"]
    data = [f"data.root={folder}/secret_pictures", "data.resolution=32", "data.labels=true"]
    quiet = ["train.epochs=null", "tracking.to=[]", "train.batch=8", "seed=5"]
    gantrain(folder, "name=dots", *small, "data=folder", *data, *quiet)
    gantrain(folder, "evaluate", "run=dots", *MEASURE)
    gantrain(folder, *TINY, "name=two", "train.kimg=0.004")
    return folder


@pytest.fixture(scope="module")
def exported(home: Path) -> dict[str, tuple[Path, str]]:
    """The folders of both runs, and what the commands said."""
    said = {
        name: gantrain(home, "export", f"run={name}", "format=hub", f"output={name}-hub", *more)
        for name, more in {"dots": ["license=mit"], "two": ["pictures=true"]}.items()
    }
    return {name: (home / f"{name}-hub", text) for name, text in said.items()}


def front_matter(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def rows(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "evaluations.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["dots", "two"])
def test_nothing_private_is_in_the_folder(
    name: str, home: Path, exported: dict[str, tuple[Path, str]]
) -> None:
    folder, _ = exported[name]
    private = [str(home), str(Path.home()), os.getcwd()]
    private += ["secret_pictures", "pytest-of-", home.name, "tmp/"]
    for file in folder.rglob("*"):
        content = file.read_bytes()
        assert [text for text in private if text.encode() in content] == [], file.name
        if file.suffix in (".md", ".json"):  # no absolute path of any kind
            found = re.findall(r"(?<![\w:/.])(?:/[\w.-]+){2,}|~/|[A-Z]:\\", content.decode())
            assert found == [], file.name
            assert not re.search(rf"\b{re.escape(socket.gethostname())}\b", content.decode())


def test_the_model_in_the_folder_is_that_of_the_run(
    home: Path, exported: dict[str, tuple[Path, str]]
) -> None:
    for name in ("dots", "two"):
        run, again = (gantrain_package.load(x) for x in (home / f"runs/{name}", exported[name][0]))
        assert again.meta == run.meta
        if name == "dots":
            assert torch.equal(again.sample("0-7"), run.sample("0-7"))
        else:
            x = torch.rand(1, 3, 16, 16) * 2 - 1
            for way in ("ab", "ba"):
                assert torch.equal(again.translate(x, way), run.translate(x, way))


def test_the_card_of_a_generator(home: Path, exported: dict[str, tuple[Path, str]]) -> None:
    folder, said = exported["dots"]
    assert sorted(path.name for path in folder.iterdir()) == [*NAMES, SAMPLES]
    assert "Licence" not in said and str(folder.relative_to(home) / "README.md") in said
    front = front_matter(folder)
    assert front["license"] == "mit" and front["library_name"] == "gantrain"
    assert front["pipeline_tag"] == "unconditional-image-generation"
    assert front["tags"] == ["gan", "gantrain", "dcgan"]
    card = (folder / "README.md").read_text()
    for text in ("| images seen | 16 |", "| resolution | 32 x 32 pixels |", "| seed | 5 |"):
        assert text in card
    assert "- training images: 8" in card and "labels: 2 entries: cats, dogs" in card
    assert f"| trained with | gantrain {gantrain_package.__version__} |" in card
    assert "![Seeds 0 to 15, as the network makes them, not selected.](samples.png)" in card


def test_measurements_carry_their_protocol(
    home: Path, exported: dict[str, tuple[Path, str]]
) -> None:
    from huggingface_hub import ModelCard

    folder, _ = exported["dots"]
    [row] = rows(home / "runs/dots")
    [result] = front_matter(folder)["model-index"][0]["results"]
    assert result["dataset"]["split"] == "train"
    [metric] = result["metrics"]
    assert (metric["type"], metric["value"]) == ("kid_random-conv-64", row["value"])
    how, protocol = metric["args"], row["protocol"]
    assert how["generated images"] == 8 and how["resolution"] == "32 x 32"
    assert how["SHA-256 of the feature network"] == protocol["digest"]
    assert how["feature network"] == "random-conv-64" and how["resize"] == protocol["resize"]
    card = ModelCard((folder / "README.md").read_text())
    [parsed] = getattr(card.data, "eval_results")  # noqa: B009 (for pyright)
    assert parsed.metric_value == row["value"] and parsed.metric_name == row["name"]
    assert f"| {row['value']:.5g} | train |" in (folder / "README.md").read_text()


def test_only_measurements_of_these_weights(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "runs/dots", tmp_path / "run")
    [row] = rows(run)
    others = [
        row | {"snapshot": "0" * 64},
        row | {"value": None},
        {k: x for k, x in row.items() if k != "snapshot"} | {"training": True, "nimg": 8},
        {k: x for k, x in row.items() if k != "snapshot"}
        | {"training": True, "nimg": 16, "metric": "fid", "name": "fid8", "value": 3.5}
        | {"protocol": row["protocol"] | {"extractor": "inception-v3"}},
        row | {"value": 0.25},  # measured again
    ]
    with (run / "evaluations.jsonl").open("a") as file:
        file.writelines(json.dumps(one) + "\n" for one in others)
    publish(Publication(str(run), None, False, None), tmp_path / "hub")
    [result] = front_matter(tmp_path / "hub")["model-index"][0]["results"]
    found = {one["type"]: one["value"] for one in result["metrics"]}
    assert found == {"kid_random-conv-64": 0.25, "fid": 3.5}


def test_what_a_stranger_s_run_says_stays_text(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "runs/dots", tmp_path / "run")
    [row] = rows(run)
    evil = "x | y\n---\nlicense: evil\n# <script>"
    row |= {"name": evil, "metric": evil}
    row["protocol"] |= {"extractor": "/home/me/net.pth", "resize": evil}
    (run / "evaluations.jsonl").write_text(json.dumps(row))
    publish(Publication(str(run), None, False, None), tmp_path / "hub")
    card = (tmp_path / "hub/README.md").read_text()
    assert "/home/me" not in card and "license" not in front_matter(tmp_path / "hub")
    body = card.split("---\n", 2)[2]
    assert "<script>" not in body.replace("\\<script\\>", "") and "\nlicense: evil" not in body


def test_samples_are_those_of_the_model(exported: dict[str, tuple[Path, str]]) -> None:
    folder, _ = exported["dots"]
    model = gantrain_package.load(folder)
    images = [to_picture(x, {}) for x in model.sample("0-15", batch=4)]
    assert np.array_equal(np.asarray(Image.open(folder / SAMPLES)), np.asarray(image_grid(images)))


def test_the_card_of_a_translator(exported: dict[str, tuple[Path, str]]) -> None:
    folder, said = exported["two"]
    pairs = ["translations-ab.png", "translations-ba.png"]
    assert sorted(path.name for path in folder.iterdir()) == [*NAMES, *pairs]
    assert said.count("Licence: not stated.") == 1 and "license=mit" in said
    front, card = front_matter(folder), (folder / "README.md").read_text()
    assert front["pipeline_tag"] == "image-to-image" and "license" not in front
    assert "Licence: not stated." in card and "model-index" not in front
    assert "x = torch.zeros(1, 3, 256, 256)" in card
    assert Image.open(folder / pairs[0]).width > 2 * 96


def test_pictures_of_others_only_if_asked(home: Path, tmp_path: Path) -> None:
    for pictures, run, names in (
        (None, "two", NAMES),
        (False, "dots", NAMES),
        (True, "dots", (*NAMES, SAMPLES)),
    ):
        folder = tmp_path / f"{pictures}"
        publish(Publication(str(home / f"runs/{run}"), "mit", pictures, None), folder)
        assert sorted(path.name for path in folder.iterdir()) == sorted(names)


@pytest.mark.ci
def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    run = generators.cyclegan(tmp_path / "runs/c")
    words = ("export", f"run={run}", "format=hub", "output=out", "pictures=true")
    said = gantrain(tmp_path, *words, code=2)
    assert "does not name the data of the run" in said
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("format=hub license=My_Own", "license=My_Own is no identifier of the hub"),
        ("format=hub license=MIT", "Did you mean license=mit?"),
        ("format=onnx license=mit", "license applies to format=hub and format=space"),
        ("format=space pictures=true", "pictures applies to format=hub"),
        ("format=hub data_root=x", "data_root is for pictures=true"),
        ("format=hub load_from=hub:a/b", "load_from applies to format=space"),
        ("format=space load_from=a/b", "load_from=a/b is no address on the hub"),
        ("format=hub networks=all", "only generators are of use there"),
        ("format=hub truncation_psi=0.5", "truncation_psi applies to"),
    ],
)
def test_settings_that_do_not_fit(words: str, problem: str, home: Path) -> None:
    pairs = (word.split("=", 1) for word in words.split())
    settings = {key: yaml.safe_load(value) for key, value in pairs}
    call = Call("export", {"run": str(home / "runs/dots"), "output": "never", **settings})
    with pytest.raises(ConfigError, match=re.escape(problem)) as error:
        call.check()
    assert len(error.value.problems) == 1


@pytest.mark.ci
def test_what_exists_is_kept(home: Path, exported: dict[str, tuple[Path, str]]) -> None:
    words = ("export", "run=dots", "format=hub", "output=dots-hub")
    assert "already exists and is not overwritten" in gantrain(home, *words, code=2)


@pytest.mark.ci
def test_a_folder_in_use(home: Path, exported: dict[str, tuple[Path, str]]) -> None:
    said = gantrain(home, "generate", "run=dots-hub", "seeds=0-1")
    assert "3 files in generated/pictures-dots-hub-001" in said
    measure = ("evaluate", "run=dots-hub", *MEASURE)
    assert "add output=FILE" in gantrain(home, *measure, code=2)
    folder, _ = exported["dots"]
    assert sorted(path.name for path in folder.iterdir()) == [*NAMES, SAMPLES]


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serving() as hub:
        hub.add_user("good", "anna")
        yield hub


@pytest.mark.ci
def test_there_and_back(home: Path, hub: Hub, tmp_path: Path) -> None:
    online = environment(hub, tmp_path, "good")
    words = ("push", "run=dots", "to=anna/dots", "license=mit", "private=true")
    said = gantrain(home, *words, environment=online)
    sha = hub.repositories["anna/dots"].refs["main"]
    assert "Uploading to anna/dots as anna (a new repository is private):" in said
    assert re.search(r"  model\.safetensors  [\d.]+ [kM]B", said) and "  README.md  " in said
    assert f"{hub.url}/anna/dots\nLoad it: gantrain.load('hub:anna/dots@{sha}')" in said
    sent = hub.repositories["anna/dots"].commits[sha]
    assert str(home).encode() not in b"".join(sent.values())
    assert b'gantrain.load("hub:anna/dots")' in sent["README.md"] and b"# dots" in sent["README.md"]

    measure = ("evaluate", "run=hub:anna/dots", f"data_root={home}/secret_pictures", *MEASURE)
    gantrain(home, *measure, f"output={tmp_path}/values.jsonl", environment=online)
    [row], [own] = ([json.loads(x) for x in file.read_text().splitlines()] for file in
                    (tmp_path / "values.jsonl", home / "runs/dots/evaluations.jsonl"))  # fmt: skip
    assert row["hub"] == f"hub:anna/dots@{sha}" and "hub" not in own
    assert row["value"] == own["value"] and row["protocol"] == own["protocol"]

    here = home / "runs/dots"  # whose config.yaml is not that of the model
    gantrain(here, "push", "run=hub:anna/dots", "to=anna/again", environment=online)
    again = hub.repositories["anna/again"]
    card = again.commits[again.refs["main"]]["README.md"]
    assert b"| seed | not recorded |" in card and b"| images seen | 16 |" in card

    said = gantrain(home, "generate", f"run=hub:anna/dots@{sha}", "seeds=0-1", environment=online)
    assert "3 files in generated/pictures-dots-001" in said
    record = json.loads((home / "generated/pictures-dots-001/generate.json").read_text())
    assert record["snapshot"]["hub"] == f"hub:anna/dots@{sha}"
    assert len(list(tmp_path.rglob("snapshots/*/*"))) == 2  # nothing is written into the cache


@pytest.mark.ci
def test_a_push_is_refused_before_it_begins(home: Path, hub: Hub, tmp_path: Path) -> None:
    before = len(hub.written)
    words = ("push", "run=dots", "license=mit")
    online = environment(hub, tmp_path, "good")
    for more, problem in {
        ("to=dots",): "to=dots is no name on the hub: write to=OWNER/NAME",
        ("to=anna/dots", "revision=a b"): "revision=a b is no name of a branch",
        ("to=berta/dots",): "you are anna, not a member of berta",
    }.items():
        assert problem in gantrain(home, *words, *more, code=2, environment=online)
    assert len(hub.written) == before


def test_a_tuned_model_has_no_measurements_of_another(home: Path, tmp_path: Path) -> None:
    run = shutil.copytree(home / "runs/dots", tmp_path / "run")
    [file] = run.glob("snapshots/*.pt")
    content = torch.load(file, weights_only=True)
    content["meta"]["tuned"] = 5
    torch.save(content, file)
    [row] = rows(run)
    del row["snapshot"]
    (run / "evaluations.jsonl").write_text(json.dumps(row | {"training": True}))
    publish(Publication(str(run), None, False, None), tmp_path / "hub")
    assert "model-index" not in front_matter(tmp_path / "hub")


@pytest.mark.ci
def test_an_unwritable_place(home: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    words = ("export", "run=dots", "format=hub", f"output={tmp_path}/file/out")
    said = gantrain(home, *words, code=2)
    assert f"output={tmp_path}/file/out cannot be written" in said
    with pytest.raises(ConfigError, match="neither a snapshot file nor"):
        publish(Publication(str(tmp_path / "none"), None, None, None), tmp_path / "hub")
