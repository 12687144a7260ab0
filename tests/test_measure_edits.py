"""scripts/measure_edits.py: areas of colours, and examples that hold what their folder says."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gantrain.data.shapes import CLASSES, COLORS, draw_labelled
from gantrain.inference.editing import Direction
from scripts import measure_edits


def test_areas_are_those_of_the_colours() -> None:
    images, labels = draw_labelled("test", 40, 32)
    same = (images[:, None] == COLORS[:, :, None, None]).all(2)  # [N, 3 colours, H, W]
    found = measure_edits.areas(torch.from_numpy(images))
    np.testing.assert_allclose(found, 100 * same.mean((2, 3)), atol=1e-12)
    assert ((found > 0) == labels.astype(bool)).all()


def test_examples_hold_their_shape_or_not(tmp_path: Path) -> None:
    measure_edits.draw(tmp_path / "examples", 32, 10)
    for kind, name in enumerate(CLASSES):
        for folder, has_it in ((name, True), (f"without-{name}", False)):
            files = sorted((tmp_path / "examples" / folder).iterdir())
            pictures = np.stack([np.asarray(Image.open(file)) for file in files])
            found = measure_edits.areas(torch.from_numpy(pictures).permute(0, 3, 1, 2))
            assert len(files) == 10 and ((found[:, kind] > 0) == has_it).all()


def test_random_directions_have_the_same_length() -> None:
    direction = Direction("x", torch.tensor([0.6, 0.8, 0]), 2.5, (0, 1))
    first, second = measure_edits.random_directions(direction, 2)
    assert not torch.equal(first.vector, second.vector)
    for found in (first, second):
        torch.testing.assert_close(found.vector.norm(), torch.tensor(1.0))
        assert (found.scale, found.layers) == (2.5, (0, 1))
