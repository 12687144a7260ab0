"""What would fail after the last step is refused before the first."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.command_line import TINY, gantrain

SIZES = {"trainA": (20, 20), "trainB": (20, 20), "testA": (20, 20), "testB": (24, 20)}


@pytest.mark.multi
def test_test_pairs_of_unequal_size(tmp_path: Path) -> None:
    for folder, (height, width) in SIZES.items():
        (tmp_path / "set" / folder).mkdir(parents=True)
        for i in range(2):
            pixels = np.full((height, width, 3), 50 * i, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "set" / folder / f"{i}.png")
    tiny = [text for text in TINY if not text.startswith(("data", "evaluation"))]
    settings = ["data=folder", "data.root=set", "data.preprocess=none", "data.test_pairs=true"]
    command = [*tiny, *settings, "data.cache=memory", "name=run", "train.kimg=0.001"]
    output = gantrain(tmp_path, *command, code=2)
    assert "2 problems" in output and "20x24 in b" in output and "Traceback" not in output
    assert not (tmp_path / "runs").exists()
    gantrain(tmp_path, *command, "evaluation.test_images=0")
