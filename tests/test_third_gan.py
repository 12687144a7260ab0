"""The design's acceptance test: a new GAN is one class and one YAML, nothing else changes."""

from pathlib import Path

import pytest
import torch
import yaml

from gantrain.engine.optim import main_step_ratio
from gantrain.gans.base import Phase
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


@pytest.mark.multi
def test_its_run_is_used_without_its_configs(tmp_path: Path) -> None:
    """What docs/guides/adding-a-gan.md says of G is enough for every command."""
    guide = (Path(__file__).parents[1] / "docs/guides/adding-a-gan.md").read_text()
    (tmp_path / "my_configs/model").mkdir(parents=True)
    for language, file in (("python", "my_gan.py"), ("yaml", "my_configs/model/my_gan.yaml")):
        text = guide.partition(f"```{language}\n")[2].partition("```")[0]
        (tmp_path / file).write_text(text)
    extra = {"GANTRAIN_PLUGINS": "my_gan", "PYTHONPATH": str(tmp_path)}

    def run(*command: str, code: int = 0) -> str:
        return gantrain(tmp_path, *command, environment=extra, code=code)

    options = ["data=shapes", "data.resolution=16", "data.train_images=8", "train.batch=2"]
    options += [
        "train.epochs=null",
        "train.kimg=0.016",
        "tracking=none",
        "runtime.workers=0",
        "lr.unit=image",
    ]
    run("--config-dir", "my_configs", "name=run", "model=my_gan", *options, "model.critic_steps=4")
    run("resume=runs/run", "train.kimg=0.018")  # twice: what that has recorded must do as well
    run("resume=runs/run", "train.kimg=0.02")
    config = yaml.safe_load((tmp_path / "runs/run/config.yaml").read_text())
    assert config["model"]["critic_steps"] == 4 and config["data"]["train_images"] == 8
    steps = final_state(tmp_path / "runs/run")["optimizers"]
    moments = {name: optimizer["state"][0]["step"] for name, optimizer in steps.items()}
    assert moments == {"G": 3, "D": 10}  # G at steps 0, 4 and 8
    run("generate", "runs/run", "seeds=0-3")
    run("evaluate", "runs/run", "extractor=random", "num_images=8")
    run("doctor", "runs/run")
    run("export", "runs/run", "output=exported", "format=safetensors")
    run("report", "runs/run")
    assert "mine" not in run("compare", "runs") and len(list(tmp_path.glob("exported/G*"))) == 1


def test_a_player_that_steps_less_often_is_no_lazy_penalty() -> None:
    def phases(**more: bool) -> list[Phase]:
        return [
            Phase("G", "G", lambda *_: iter(()), 5, **more),
            Phase("D", "D", lambda *_: iter(())),
        ]

    assert main_step_ratio(phases(lazy=False), "G") == main_step_ratio(phases(), "D") == 1
    both = [Phase("D", "D", lambda *_: iter(())), Phase("r1", "D", lambda *_: iter(()), 16)]
    assert main_step_ratio(both, "D") == 16 / 17
    rare = [Phase("G", "G", lambda *_: iter(()), 2, lazy=False),
            Phase("pl", "G", lambda *_: iter(()), 4, full_precision=True)]  # fmt: skip
    assert main_step_ratio(rare, "G") == pytest.approx(0.5 / 0.75)
