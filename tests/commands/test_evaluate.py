"""gantrain evaluate, and measuring while training."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from gantrain.commands import evaluate as evaluate_command
from gantrain.config.check import load_settings
from gantrain.config.compose import config_loader, task_config
from gantrain.config.tools import EvaluateConfig
from gantrain.errors import ConfigError
from gantrain.metrics.inception import Inception
from gantrain.metrics.lpips import LPIPS
from gantrain.metrics.protocol import MetricValue, Protocol
from gantrain.metrics.requirements import Subject
from gantrain.runs.evaluation import append_evaluations
from gantrain.snapshot import load_snapshot
from tests.helpers.command_line import (
    TINY,
    differences,
    final_state,
    gantrain,
    gantrain_on_ranks,
    rows,
)

STYLEGAN = [
    "model=stylegan", "model.z_dim=8", "model.w_dim=8", "model.channel_base=128",
    "model.channel_max=8", "train.batch=4", "tracking.to=[]",
    "tracking.grid_every_kimg=0",
]  # fmt: skip
SMALL = [option for option in TINY if not option.startswith("data.test_images")]
SMALL += ["data.test_images=8"]
WATCHED = ["evaluation.every_kimg=0.004", "evaluation.extractor=random"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A translating run on drawn pictures, and a StyleGAN on a folder with classes."""
    folder = tmp_path_factory.mktemp("evaluate")
    values = np.random.default_rng(0)
    for number in range(24):
        path = folder / f"pictures/class{number % 2}/{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(values.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    gantrain(folder, "name=cyclegan", *SMALL, "train.kimg=0.004")
    data = ["data=folder", "data.root=pictures", "data.resolution=16", "data.labels=true"]
    gantrain(folder, "name=stylegan", *STYLEGAN, *data, "train.kimg=0.008")
    return folder


def evaluate(home: Path, run: str, *options: str, cache: str = "cache", code: int = 0) -> str:
    command = ["evaluate", f"run=runs/{run}", "extractor=random", "device=cpu", *options]
    return gantrain(home, *command, environment={"GANTRAIN_CACHE": cache}, code=code)


def recorded(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_translations_in_both_directions(home: Path) -> None:
    said = evaluate(home, "cyclegan")
    found = recorded(home / "runs/cyclegan/evaluations.jsonl")
    names = {row["name"] for row in found}
    for way in ("ab", "ba"):
        for name in ("fid8", "kid8", "fid_input8", "kid_input8"):
            assert f"{name}_random-conv-64/{way}" in names
        assert {f"l1_8/{way}", f"psnr_8/{way}", f"ssim_8/{way}"} <= names
    assert all(name in said for name in names) and len(found) == 14
    row = next(row for row in found if row["name"] == "fid8_random-conv-64/ab")
    protocol = row["protocol"]
    assert (protocol["real"], protocol["fake"], protocol["split"]) == (8, 8, "test")
    assert protocol["quantise"] == "round and clamp to 8 bits" and len(protocol["digest"]) == 64
    assert row["nimg"] == 4 and row["snapshot"] and row["versions"]["torch"]
    l1 = next(row["value"] for row in found if row["name"] == "l1_8/ab")
    assert 0 < l1 < 255


def test_of_pairs_all_metrics_come_by_themselves(home: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(LPIPS().state_dict(), tmp_path / "lpips.pth")
    options = [f"weights.lpips={tmp_path}/lpips.pth", f"output={tmp_path}/x.jsonl"]
    said = evaluate(home, "cyclegan", *options)
    metrics = {row["metric"] for row in recorded(tmp_path / "x.jsonl")}
    assert {"fid", "kid", "lpips", "l1", "psnr", "ssim"} <= metrics and "Without" not in said
    said = evaluate(home, "cyclegan", f"output={tmp_path}/y.jsonl")
    assert "Without lpips: extractor=random goes without weights" in said
    metrics = {row["metric"] for row in recorded(tmp_path / "y.jsonl")}
    assert "lpips" not in metrics and {"fid", "ssim"} <= metrics


@pytest.fixture(scope="module")
def usual_config(home: Path) -> EvaluateConfig:
    config = task_config(config_loader(None), "evaluate", [f"run={home}/runs/cyclegan"])
    return load_settings(EvaluateConfig, config)


PAIRS = Subject("pix2pix", True, True, False, channels=(3,), side=64, real=20)
LEFT_OUT = {
    "five bands": (replace(PAIRS, channels=(3, 5)), {"fid", "kid", "lpips"}, "5 channels"),
    "few pairs": (replace(PAIRS, real=4), {"fid", "kid"}, "There are only 4 real images"),
    "small images": (replace(PAIRS, side=12), {"lpips"}, "at least 16 pixels"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_cannot_be_measured_is_left_out_and_said(
    case: str,
    usual_config: EvaluateConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(evaluate_command.weights, "find", lambda name, log: [])
    subject, missing, reason = LEFT_OUT[case]
    names = evaluate_command._usual_metrics(subject, usual_config)
    assert set(names) == {"fid", "kid", "lpips", "l1", "psnr", "ssim"} - missing
    said = capsys.readouterr().out
    assert said.count("Without") == len(missing) and reason in said
    assert all(f"Without {name}: " in said for name in missing) and "leave it out" not in said


def test_without_a_network_lpips_alone_is_left_out(
    usual_config: EvaluateConfig,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(name: str, log: object) -> None:
        raise ConfigError("No network: download it by hand.")

    monkeypatch.setattr(evaluate_command.weights, "find", fail)
    names = evaluate_command._usual_metrics(PAIRS, usual_config)
    assert names == ["fid", "kid", "l1", "psnr", "ssim"]
    assert capsys.readouterr().out == "Without lpips: No network: download it by hand.\n"


def test_pictures_from_noise_with_labels(home: Path) -> None:
    metrics = "metrics=[fid,kid,precision_recall,density_coverage]"
    options = [metrics, "num_images=30"]
    evaluate(home, "stylegan", *options, "output=first.jsonl")
    evaluate(home, "stylegan", *options, "output=second.jsonl")  # from kept features
    evaluate(home, "stylegan", *options, "output=third.jsonl", "batch=7", cache="other")
    first, second, third = (recorded(home / f"{n}.jsonl") for n in ("first", "second", "third"))
    metrics = ["fid", "kid", "precision", "recall", "density", "coverage"]
    assert [row["metric"] for row in first] == metrics
    assert [row["value"] for row in second] == [row["value"] for row in first]
    for one, other in zip(first, third, strict=True):
        assert other["value"] == pytest.approx(one["value"], rel=1e-5, abs=1e-9)
        assert other["protocol"] == one["protocol"]
    assert first[0]["protocol"]["real"] == 24 and first[0]["protocol"]["fake"] == 30
    assert len(list((home / "cache/features").glob("*.npz"))) >= 1
    evaluate(home, "stylegan", *options, "output=seed.jsonl", "seed=500", "truncation_psi=0.5")
    [other, *_] = recorded(home / "seed.jsonl")
    assert other["value"] != first[0]["value"]
    assert other["protocol"]["truncation_psi"] == 0.5


def test_disentanglement_by_classes_and_by_examples(home: Path) -> None:
    torch.manual_seed(0)
    torch.save(LPIPS().state_dict(), home / "lpips.pth")
    options = ["metrics=[disentanglement]", "num_images=60", "weights.lpips=lpips.pth"]
    evaluate(home, "stylegan", *options, "output=classes.jsonl")
    by_class = recorded(home / "classes.jsonl")
    names = ["path_length60", "separability_z60", "separability_w60", "separability_chance60"]
    assert [row["name"] for row in by_class] == names
    assert by_class[3]["value"] == pytest.approx(2, abs=0.02)  # two classes, about equally often
    assert by_class[1]["protocol"]["labels"].startswith("asked for; halves predicted crosswise")
    assert "labels" not in by_class[0]["protocol"]
    gantrain(home, "generate", "run=runs/stylegan", "seeds=100-123", "out=own", "grid=false")
    own = sorted(home.glob("own/*.png"), key=lambda file: np.asarray(Image.open(file)).mean())
    for number, file in enumerate(own):  # darker and brighter ones
        (home / f"by_grey/{number // 12}").mkdir(parents=True, exist_ok=True)
        shutil.move(file, home / f"by_grey/{number // 12}")
    options[:1] = ["metrics=[separability]", "examples=[by_grey/0,by_grey/1]"]
    evaluate(home, "stylegan", *options, "output=examples.jsonl")
    by_example = recorded(home / "examples.jsonl")
    assert [row["name"] for row in by_example] == names[1:]
    assert "features of 12 + 12 examples (" in by_example[0]["protocol"]["labels"]
    assert 1 < by_example[2]["value"] <= 2


def test_equivariance_of_a_stylegan3(home: Path) -> None:
    model = ["model=stylegan3", "data=folder", "data.root=pictures", "data.resolution=16"]
    small = [text for text in STYLEGAN if text != "model=stylegan"]
    watched = ["evaluation.every_kimg=0.004", "evaluation.metrics=[eqt]", "evaluation.num_images=6"]
    gantrain(home, "name=stylegan3", *model, *small, *watched, "train.kimg=0.008")
    during = [row for row in recorded(home / "runs/stylegan3/evaluations.jsonl")]
    assert [row["name"] for row in during] == ["eqt6", "eqt6"]
    assert (home / "runs/stylegan3/snapshots/best.pt").exists()
    options = ["metrics=[eqt,eqr]", "num_images=10"]
    evaluate(home, "stylegan3", *options, "output=one.jsonl")
    evaluate(home, "stylegan3", *options, "output=three.jsonl", "batch=3")
    one, three = recorded(home / "one.jsonl"), recorded(home / "three.jsonl")
    assert [row["metric"] for row in one] == ["eqt", "eqr"]
    assert one[0]["value"] > one[1]["value"] > 5
    for ours, theirs in zip(one, three, strict=True):
        assert ours["value"] == pytest.approx(theirs["value"], abs=1e-2)
        assert ours["protocol"] == theirs["protocol"] and ours["protocol"]["quantise"] == "none"


def test_kept_features_know_when_a_picture_has_changed(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "pictures", tmp_path / "pictures")
    options = ["metrics=[fid]", f"data_root={tmp_path}/pictures"]
    evaluate(home, "stylegan", *options, f"output={tmp_path}/a.jsonl")
    victim = tmp_path / "pictures/class0/4.png"
    before = victim.read_bytes()
    pixels = np.asarray(Image.open(victim)).copy()
    pixels[3, 3] ^= 255
    Image.fromarray(pixels).save(victim, compress_level=0)
    evaluate(home, "stylegan", *options, f"output={tmp_path}/b.jsonl")
    victim.write_bytes(before)
    evaluate(home, "stylegan", *options, f"output={tmp_path}/c.jsonl")
    a, b, c = (recorded(tmp_path / f"{n}.jsonl")[0] for n in "abc")
    assert a["value"] == c["value"] != b["value"]
    assert a["protocol"]["data"] == c["protocol"]["data"] != b["protocol"]["data"]


@pytest.mark.ci
def test_the_real_network_with_weights_of_ones_own(home: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(Inception().state_dict(), tmp_path / "inception.pth")
    options = ["extractor=inception", f"weights.inception={tmp_path}/inception.pth", "resize=tf1"]
    options += ["metrics=[fid,inception_score]", "num_images=8", f"output={tmp_path}/x.jsonl"]
    said = evaluate(home, "stylegan", *options)
    assert "is not the published Inception" in said and "fid8_tf1" in said
    found = recorded(tmp_path / "x.jsonl")
    assert found[0]["protocol"]["extractor"] == "inception-2015-12-05"
    assert found[1]["metric"] == "inception_score" and found[1]["std"] >= 0


@pytest.mark.parametrize(
    ("run", "options", "told"),
    [
        ("stylegan", ["metrics=[l1]"], "StyleGAN generates images from noise"),
        ("cyclegan", ["metrics=[path_length]"], "path_length needs StyleGAN's w"),
        ("cyclegan", ["metrics=[fdi]"], "is not a metric. Did you mean fid?"),
        ("stylegan", ["metrics=[eqt]"], "eqt compares moved images with those of a moved canvas"),
        ("cyclegan", ["metrics=[separability]"], "separability is of latents"),
        ("stylegan", ["examples=[pictures,none]"], "there is no folder none"),
        ("stylegan", ["examples=[pictures,pictures]"], "examples is for metrics=[separability]"),
        ("stylegan", ["split=test"], "only 0 real images"),
        ("cyclegan", ["split=train"], "translations are evaluated on test images"),
        ("stylegan", ["num_images=3"], "num_images=3 is too small"),
        ("stylegan", ["data_root=nowhere"], "data.root=nowhere does not exist"),
        ("none", [], "there is no such run"),
        ("stylegan", ["extractor=inception", "weights.inception=none.pth"], "no such file"),
        ("stylegan", ["wieghts.lpips=x"], "weights"),
    ],
)
def test_mistakes(home: Path, run: str, options: list[str], told: str) -> None:
    said = evaluate(home, run, *options, "output=mistakes.jsonl", code=2)
    assert told in said and "Traceback" not in said


FAMILIES = {
    "cyclegan": [*SMALL, "evaluation.metrics=[kid,l1]"],
    "stylegan": [*STYLEGAN, "data=shapes", "data.resolution=16", "data.train_images=12",
                 "evaluation.metrics=[kid,precision_recall]", "evaluation.num_images=10"],
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_watching_changes_no_weight(tmp_path: Path, family: str) -> None:
    options = [*FAMILIES[family], "train.kimg=0.016", "tracking.every_kimg=0.008"]
    gantrain(tmp_path, "name=plain", *options)
    said = gantrain(tmp_path, "name=watched", *options, *WATCHED)
    plain, watched = (final_state(tmp_path / f"runs/{n}") for n in ("plain", "watched"))
    assert not differences(plain["gan"], watched["gan"])
    assert not differences(plain["optimizers"], watched["optimizers"])
    found = recorded(tmp_path / "runs/watched/evaluations.jsonl")
    assert sorted({row["nimg"] for row in found}) == [4, 8, 12, 16]
    reports = rows(tmp_path / "runs/watched")
    assert any(name.startswith("metric/kid") for name in reports[0])
    result = json.loads((tmp_path / "runs/watched/result.json").read_text())
    last = [row for row in found if row["nimg"] == 16]
    for row in last:
        assert result["metrics"][f"metric/{row['name']}"] == row["value"]
    assert f"0.016 kimg: {last[0]['name']}" in said.replace("\n", " ")
    by_time: dict[int, list[float]] = {}
    for row in found:
        if row["metric"] == "kid":
            by_time.setdefault(row["nimg"], []).append(row["value"])
    best = min(by_time, key=lambda nimg: sum(by_time[nimg]))
    assert load_snapshot(tmp_path / "runs/watched/snapshots/best.pt").meta["nimg"] == best


@pytest.mark.ci
def test_a_resumed_run_measures_the_same(tmp_path: Path) -> None:
    options = [*SMALL, *WATCHED, "checkpoint.every_kimg=0.004", "train.kimg=0.016"]
    options += ["lr.schedule=constant"]  # the budget of the first part says nothing
    gantrain(tmp_path, "name=whole", *options)
    gantrain(tmp_path, "name=parts", *options, "train.kimg=0.010")
    evaluations = tmp_path / "runs/parts/evaluations.jsonl"
    asked = {"metric": "fid", "nimg": 12, "value": 1.0, "name": "fid8"}  # by gantrain evaluate
    torn = '{"metric": "kid", "nimg": 10, "val'  # by a crash
    evaluations.write_text(f"{evaluations.read_text()}{json.dumps(asked)}\n{torn}")
    gantrain(tmp_path, *options, "resume=runs/parts")

    def values(name: str) -> list[Any]:
        found = recorded(tmp_path / f"runs/{name}/evaluations.jsonl")
        rows = {(r["nimg"], r["name"]): r["value"] for r in found if r.get("training")}
        return sorted((key, value) for key, value in rows.items() if key[0] != 10)

    assert values("parts") == values("whole")
    assert asked in recorded(evaluations)


def test_a_row_after_a_torn_one_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "evaluations.jsonl"
    value = MetricValue(
        "fid", 1.0, Protocol("random", "", "clean", 5, 5, "train", "", 1.0, False, 0)
    )
    append_evaluations(file, [value], {})
    file.write_text(file.read_text()[:-9])
    append_evaluations(file, [value, value], {})
    _, *whole = file.read_text().splitlines()
    assert [json.loads(line)["value"] for line in whole] == [1.0, 1.0]


@pytest.mark.ci
def test_enough_is_enough(tmp_path: Path) -> None:
    options = ["name=run", *SMALL, *WATCHED, "evaluation.metrics=[ssim]", "optimizer.lr=0.00000001"]
    options += ["evaluation.patience=2", "train.kimg=0.1"]
    said = gantrain(tmp_path, *options)
    assert "stopping early" in said
    result = json.loads((tmp_path / "runs/run/result.json").read_text())
    assert result["enough"] and result["nimg"] < 100
    assert "is finished" in gantrain(tmp_path, *options)
    assert list((tmp_path / "runs/run/snapshots").glob("snapshot-*.pt"))
    (tmp_path / "runs/run/result.json").unlink()  # as if killed in its last moment
    gantrain(tmp_path, *options)
    again = json.loads((tmp_path / "runs/run/result.json").read_text())
    assert again["enough"] and again["nimg"] == result["nimg"]
    gantrain(tmp_path, *options, "resume=auto", "evaluation.patience=3")
    more = json.loads((tmp_path / "runs/run/result.json").read_text())
    assert result["nimg"] < more["nimg"] < 100


@pytest.mark.multi
@pytest.mark.ci
def test_two_ranks_measure_as_one(tmp_path: Path) -> None:
    options = [*SMALL, *WATCHED, "train.batch=2", "train.kimg=0.008", "evaluation.patience=9"]
    gantrain(tmp_path, "name=one", *options, "train.microbatch=1")
    gantrain_on_ranks(tmp_path, 2, "name=two", *options)
    one, two = (recorded(tmp_path / f"runs/{n}/evaluations.jsonl") for n in ("one", "two"))
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        assert b["value"] == pytest.approx(a["value"], rel=1e-4) and a["nimg"] == b["nimg"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["evaluation.extractor=inception"], "run gantrain fetch weights=inception"),
        (["evaluation.inception=x.pth", "evaluation.extractor=inception"], "there is no such file"),
        (["evaluation.metrics=[lpips]"], "run gantrain fetch weights=lpips"),
        (["evaluation.metrics=[path_length]"], "fetch weights=lpips"),
        (["evaluation.metrics=[mid]"], "is not a metric"),
        (["evaluation.metrics=[]"], "evaluation.metrics is empty"),
        (
            ["evaluation.metrics=[kid]", "evaluation.extractor=random", "data.test_images=4"],
            "only 4 real images to compare with: kid needs at least 6",
        ),
        (["evaluation.best=fid"], "evaluation.best=fid is not measured"),
    ],
)
def test_what_cannot_be_measured_is_told_before_the_first_step(
    tmp_path: Path, options: list[str], told: str
) -> None:
    command = ["name=run", *SMALL, *WATCHED, "train.kimg=0.008", *options]
    said = gantrain(tmp_path, *command, environment={"GANTRAIN_CACHE": "cache"}, code=2)
    assert told in said and "Traceback" not in said
    assert not list(tmp_path.glob("runs/run/checkpoints/*"))


def test_compare_shows_what_was_measured_alike(home: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        shutil.copytree(home / "runs/stylegan", tmp_path / f"runs/{name}")
        (tmp_path / f"runs/{name}/evaluations.jsonl").unlink(missing_ok=True)
    shutil.copytree(home / "pictures", tmp_path / "pictures")
    options = ["extractor=random", "num_images=8", "metrics=[fid,kid]", "device=cpu"]
    for name, more in (("a", []), ("b", ["seed=900"])):
        gantrain(tmp_path, "evaluate", f"run=runs/{name}", *options, *more)
    said = gantrain(tmp_path, "compare", "runs/a", "runs/b", "csv=x.csv", "html=x.html")
    assert "metric/fid8_random-conv-64" in said and "Left out" not in said
    assert "metric/kid8_random-conv-64" in (tmp_path / "x.csv").read_text()
    assert "<th>metric/fid8_random-conv-64</th>" in (tmp_path / "x.html").read_text()
    gantrain(tmp_path, "evaluate", "run=runs/b", *options, "truncation_psi=0.5")
    said = gantrain(tmp_path, "compare", "runs/a", "runs/b")
    assert "was measured differently (truncation_psi 1.0 and 0.5); show it with force=true" in said
    asked = ["compare", "runs/a", "runs/b", "metrics=[metric/fid8_random-conv-64]"]
    assert "evaluate them in the same way, or add force=true" in gantrain(tmp_path, *asked, code=2)
    assert "metric/fid8" in gantrain(tmp_path, *asked, "force=true")
