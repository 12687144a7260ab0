"""The demonstration keeps its promise: it beats doing nothing clearly, for every seed."""

import json
from pathlib import Path

import pytest

from tests.helpers.command_line import finish, start


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_demonstration(seed: int, tmp_path: Path) -> None:
    process = start(tmp_path, f"seed={seed}", "name=run")
    output = finish(process, timeout=900)
    result = json.loads((tmp_path / "runs/run/result.json").read_text())
    for scores in result["pairs"].values():
        model, nothing = scores["model"], scores["baseline"]
        assert model["l1"] < 0.9 * nothing["l1"]
        assert model["psnr"] > nothing["psnr"] + 4
        assert model["ssim"] > nothing["ssim"] + 0.1
    for text in ("runs/run", "grid-000005.000.png", "do nothing", "gantrain resume=runs/run"):
        assert text in output
