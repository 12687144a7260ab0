"""Exact resume of the generating GANs: everything that has state is on."""

import signal
from pathlib import Path

import pytest

from tests.helpers.command_line import differences, final_state, gantrain, interrupt, rows, start

pytestmark = pytest.mark.multi

COMMON = [
    "data=shapes", "data.resolution=16", "data.train_images=24", "data.test_images=2",
    "data.labels=true", "train.batch=4", "train.microbatch=2", "train.epochs=null",
    "train.ema_rampup=0.5", "lr.unit=image", "evaluation.test_images=0",
    "tracking.every_kimg=0.03", "tracking.grid_every_kimg=0", "tracking.to=[]",
    "checkpoint.keep=9", "name=run",
]  # fmt: skip
COMMANDS = {
    "stylegan": [
        "model=stylegan", "model.z_dim=8", "model.w_dim=8", "model.channel_base=64",
        "model.channel_max=8", "model.ada_kimg=0.5", "model.ada_target=-0.9", "model.r1_interval=3",
        "model.adversarial_kimg=0.1", "model.lambda_latent=1", "model.lambda_image=1",
        "train.kimg=0.24", "checkpoint.every_kimg=0.05", "train.ema_kimg=0.05",
    ],
    "r3gan": [
        "model=r3gan", "model.z_dim=8", "model.channel_base=64", "model.channel_max=8",
        "model.penalty_interval=2", "model.augment_p.final=0.9", "model.gamma.shape=linear",
        "train.ema_kimg.final=0.05", "train.kimg=0.24", "checkpoint.every_kimg=0.05",
    ],
    "stylegan3": [
        "model=stylegan3", "model.config=r", "model.z_dim=8", "model.w_dim=8",
        "model.channel_base=64", "model.channel_max=4", "model.ada_kimg=0.5",
        "model.ada_target=-0.9", "model.r1_interval=3", "model.blur_kimg=0.15",
        "train.kimg=0.24", "checkpoint.every_kimg=0.05",
    ],
    "dcgan": [
        "model=dcgan", "model.z_dim=8", "model.g_width=8", "model.d_width=4", "lr.schedule=cosine",
        "train.kimg=0.4", "checkpoint.every_kimg=0.05", "train.ema_kimg=0.05",
    ],
}  # fmt: skip


OTHERS = [pytest.param(name, marks=pytest.mark.ci) for name in ("dcgan", "stylegan3")]


@pytest.fixture(scope="module", params=["stylegan", "r3gan", *OTHERS])
def straight(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that nothing happened to."""
    folder = tmp_path_factory.mktemp("straight") / request.param
    folder.mkdir()
    # Cold: with another order in sets than the run that is compared with it.
    gantrain(folder, *COMMON, *COMMANDS[request.param], "out=.", cold=True)
    return folder / "run"


def test_killed_and_resumed_equals_undisturbed(straight: Path, tmp_path: Path) -> None:
    model = straight.parent.name
    command = [*COMMON, *COMMANDS[model]]
    process = start(tmp_path, *command, "runtime.workers=2")
    run = tmp_path / "runs" / "run"
    interrupt(process, run, checkpoints=2, how=signal.SIGKILL)
    stopped_at = final_state(run)["nimg"]
    gantrain(tmp_path, "resume=runs/run", "runtime.workers=0")
    ours, theirs = final_state(run), final_state(straight)
    assert stopped_at < theirs["nimg"]
    if model == "r3gan":
        row = rows(straight)[-1]
        assert row["augment/p"] == row["schedule/model.augment_p"] > 0.8
        group = theirs["optimizers"]["D"]["param_groups"][0]
        assert group["betas"][1] == pytest.approx(row["schedule/optimizer.betas.1"] ** (2 / 3))
        assert group["lr"] == row["lr/D"] < row["lr/G"] < 6e-5
    if model.startswith("stylegan"):
        ada = theirs["gan"]["ada._extra_state"]
        assert ada["p"] > 0 and ada["arriving"] is not None
        assert theirs["gan"]["G.G.mapping.w_avg"].norm() > 0
    if model == "stylegan3":
        assert theirs["gan"]["G.G.synthesis.L3_36_8.magnitude_ema"] != 1
    if model == "stylegan":
        assert theirs["gan"]["pl_mean"] > 0
        assert any(key.startswith("G.E.") for key in theirs["gan"])
    for state in (ours, theirs):
        state.pop("note")
    assert differences(ours, theirs) == []
    assert rows(run) == rows(straight)
