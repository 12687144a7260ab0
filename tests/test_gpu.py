"""What only a CUDA device can show; run with -m gpu."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import gantrain
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision, PrecisionName
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.stylegan import StyleGAN
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.ops.pixels import to_uint8
from gantrain.snapshot import save_snapshot
from tests.command_line import TINY as TINY_CYCLEGAN
from tests.command_line import gantrain as command

pytestmark = pytest.mark.gpu
TINY: dict[str, Any] = {"z_dim": 16, "w_dim": 16, "channel_base": 256, "channel_max": 16}


def losses(device: str, precision: PrecisionName, steps: int = 4) -> list[dict[str, float]]:
    """The first losses; the same weights and pictures on every device, without random numbers."""
    torch.manual_seed(0)
    gan = StyleGAN(
        ImageSpec({"image": 3}, (32, 32), batch=4), **TINY, noise="none", augment="none",
        style_mixing_prob=0.0, pl_weight=0.0, loss="vanilla",
    ).to(device)  # fmt: skip
    image = (torch.rand(4, 3, 32, 32) * 2 - 1).to(device)
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 2e-3, "betas": (0.0, 0.99)})
    runner = PhaseRunner(gan, optimizers, Precision(torch.device(device), precision), "halt")
    z = torch.randn(4, 16).to(device)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gantrain.gans.latents.draw_z", lambda *_: z)
        rows = []
        for index in range(steps):
            runner.step([{"image": image}], Step(index, 4 * index))
            rows.append(runner.stats.collect())
    runner.check()
    return rows


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("fp32", 1e-3), ("tf32", 2e-2), ("bf16", 0.1)]
)
def test_stylegan_trains_as_on_the_cpu(precision: PrecisionName, tolerance: float) -> None:
    ours, theirs = losses("cuda", precision), losses("cpu", "fp32")
    for a, b in zip(ours, theirs, strict=True):
        for name in ("loss/G/adversarial", "loss/D/real", "loss/D/fake"):
            assert a[name] == pytest.approx(b[name], rel=tolerance, abs=tolerance / 10), name


def test_a_seed_gives_the_same_picture_on_both(tmp_path: Path) -> None:
    G = StyleGAN2Generator([32, 32], **TINY)
    save_snapshot(tmp_path / "s.pt", {"G": G}, {"G": G.spec}, {"nimg": 0, "model": {}, "data": {}})  # type: ignore[dict-item]
    images = [
        gantrain.load(tmp_path / "s.pt", device=device).sample([1, 2, 3], psi=0.7)
        for device in ("cpu", "cuda")
    ]
    cpu, cuda = (to_uint8(x).int() for x in images)
    assert (cpu - cuda).abs().max() <= 1


def test_a_number_that_is_not_finite_is_traced_from_the_last_checkpoint(tmp_path: Path) -> None:
    """The device is not waited for, so the step is found again from the beginning."""
    options = ["runtime.device=cuda", "optimizer.lr=1e25", "train.kimg=0.012", "name=run"]
    here = {"CUDA_VISIBLE_DEVICES": "0"}
    said = command(tmp_path, *TINY_CYCLEGAN, *options, code=1, environment=here)
    assert "Going back to 0 kimg to find its origin." in said
    event = json.loads((tmp_path / "runs/run/events.jsonl").read_text())
    assert event["alarm"] == "nonfinite" and "of aten." in event["text"]
