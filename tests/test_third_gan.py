"""The design's acceptance test: a new GAN is one class and one YAML, nothing else changes."""

from pathlib import Path

import pytest
import torch

from gantrain.snapshot import load_snapshot
from tests.helpers.command_line import differences, final_state, gantrain

HOME = Path(__file__).parent / "helpers" / "third_gan"
COMMAND = [
    "--config-dir", str(HOME / "configs"),
    "model=striped", "data=shapes", "data.resolution=16", "data.train_images=8",
    "debug=smoke", "lr.schedule=constant", "name=run",
]  # fmt: skip


@pytest.mark.multi
def test_a_third_gan_trains_resumes_and_leaves_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"GANTRAIN_PLUGINS": "striped_gan", "PYTHONPATH": str(HOME)}
    gantrain(tmp_path, *COMMAND, "out=straight", "train.kimg=0.004", environment=extra)
    gantrain(tmp_path, *COMMAND, "out=runs", environment=extra)
    gantrain(tmp_path, *COMMAND, "out=runs", "resume=auto", "train.kimg=0.004", environment=extra)
    straight, resumed = (final_state(tmp_path / out / "run") for out in ("straight", "runs"))
    assert straight["nimg"] == 4 and straight["gan"]["steps"] == 4
    for state in (straight, resumed):
        state.pop("note")
    assert differences(straight, resumed) == []
    assert len(list((tmp_path / "runs" / "run" / "grids").glob("*.png"))) == 5

    monkeypatch.syspath_prepend(HOME)
    monkeypatch.setenv("GANTRAIN_PLUGINS", "striped_gan")
    G = load_snapshot(tmp_path / "runs" / "run").networks["G"]
    assert G(torch.zeros(2, 4)).shape == (2, 3, 16, 16)


def test_its_settings_are_checked_without_importing_it(tmp_path: Path) -> None:
    extra = {"GANTRAIN_PLUGINS": "striped_gan", "PYTHONPATH": str(HOME)}
    output = gantrain(tmp_path, *COMMAND, "model.z_dim=0", code=2, environment=extra)
    assert "model.z_dim=0 is out of range" in output
    output = gantrain(tmp_path, *COMMAND, code=2, environment={"PYTHONPATH": str(HOME)})
    assert "GANTRAIN_PLUGINS" in output
