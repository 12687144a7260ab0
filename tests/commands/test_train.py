"""What the train command leaves behind and says."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from gantrain.snapshot import load_snapshot
from tests.helpers.command_line import TINY, final_state, gantrain

pytestmark = pytest.mark.multi


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """(run directory, what was printed) of a run with everything on."""
    folder = tmp_path_factory.mktemp("run")
    shown = ["tracking.grid_every_kimg=0.004", "tracking.to=[tensorboard]", "train.ema_kimg=0.01"]
    tested = ["evaluation.test_images=2", "tracking.every_kimg=0.002"]
    output = gantrain(folder, *TINY, "train.kimg=0.008", *shown, *tested)
    return folder / "runs" / "cyclegan-shapes-001", output


def test_everything_is_there(told: tuple[Path, str]) -> None:
    run, _ = told
    found = {p.relative_to(run).parts[0] for p in run.rglob("*") if p.is_file()}
    assert found == {
        ".lock", "config.yaml", "overrides.yaml", "environment.json", "log.txt", "metrics.jsonl",
        "result.json", "grids", "checkpoints", "snapshots", "tensorboard",
    }  # fmt: skip
    assert sorted(p.name for p in (run / "grids").iterdir()) == [
        f"grid-000000.{n:03d}.png" for n in (0, 4, 8)
    ]


def test_config_holds_what_was_derived(told: tuple[Path, str]) -> None:
    run, output = told
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["ngf"] == 2
    assert config["derived"]["plan"]["total"] == 8
    assert config["derived"]["networks"]["G.ab"]["args"]["blocks"] == 1
    assert "model.ngf=2" in yaml.safe_load((run / "overrides.yaml").read_text())
    versions = json.loads((run / "environment.json").read_text())["versions"]
    assert versions["torch"] == torch.__version__
    assert "G.ab: ResnetGenerator in_channels=3 out_channels=3 ngf=2 blocks=1" in output


def test_the_end_names_everything(told: tuple[Path, str]) -> None:
    run, output = told
    result = json.loads((run / "result.json").read_text())
    assert result["nimg"] == 8 and set(result["pairs"]) == {"ab", "ba"}
    mean = sum(result["pairs"][d]["model"]["l1"] for d in ("ab", "ba")) / 2
    assert result["headline"] == pytest.approx(mean)
    for text in (
        "Done. Run directory: runs/cyclegan-shapes-001",
        "Images: runs/cyclegan-shapes-001/grids/grid-000000.008.png",
        "this model", "do nothing", "snapshot-000000.008.pt",
        "gantrain resume=runs/cyclegan-shapes-001 train.kimg=0.016",
    ):  # fmt: skip
        assert text in output
    assert (run / "log.txt").read_text().strip() in output


def test_snapshot_is_the_average_and_tells_no_paths(told: tuple[Path, str]) -> None:
    run, _ = told
    state, snapshot = final_state(run), load_snapshot(run)
    for key, value in snapshot.networks["ab"].state_dict().items():
        assert torch.equal(value, state["ema"][f"ab.{key}"])
    assert snapshot.meta["nimg"] == 8 and snapshot.meta["ema"]
    assert snapshot.meta["data"]["channels"] == {"a": 3, "b": 3}
    assert str(run.parents[1]) not in repr(snapshot.meta)


def test_halting_at_a_non_finite_gradient_is_a_sentence(tmp_path: Path) -> None:
    output = gantrain(tmp_path, *TINY, "name=run", "train.kimg=0.02", "optimizer.lr=1e30", code=1)
    assert "not finite at step" in output and "Traceback" not in output
    assert not list((tmp_path / "runs/run/checkpoints").glob("*"))  # nothing bad was saved


def test_skipped_steps_are_shown(tmp_path: Path) -> None:
    policy = ["train.on_nonfinite=skip", "optimizer.lr=1e30", "tracking.every_kimg=0.02"]
    output = gantrain(tmp_path, *TINY, "name=run", "train.kimg=0.02", *policy)
    assert "SKIPPED" in output and "non-finite steps" in output
    assert final_state(tmp_path / "runs/run")["skipped"] > 0
