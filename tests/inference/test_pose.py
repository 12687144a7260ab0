"""Transforms of the canvas are the inverse motions, and the anchor takes the pose out of w."""

from math import pi
from pathlib import Path

import pytest
import torch

import gantrain
from gantrain.inference import latent_sources
from gantrain.inference.pose import anchor, canvas_transform, motion, rotation, translation
from tests.helpers import generators


def test_the_canvas_is_asked_where_things_were() -> None:
    """A point that is moved is looked up where it came from."""
    point = torch.tensor([0.2, -0.1, 1.0], dtype=torch.float64)
    moved = translation(0.3, 0.1) @ rotation(pi / 2) @ point
    # A quarter turn counterclockwise, with y down: (x, y) -> (y, -x).
    assert moved.tolist() == pytest.approx([-0.1 + 0.3, -0.2 + 0.1, 1])
    back = canvas_transform([0.3, 0.1], 90).double() @ moved
    torch.testing.assert_close(back, point, rtol=0, atol=1e-6)


def test_a_motion_ends_at_its_transform_and_a_full_turn_where_it_began() -> None:
    steps = motion([0.2, 0.0], 40, 4)
    torch.testing.assert_close(steps[3], canvas_transform([0.2, 0.0], 40))
    torch.testing.assert_close(steps[1], canvas_transform([0.1, 0.0], 20))
    torch.testing.assert_close(motion([0, 0], 360, 5)[-1], torch.eye(3), rtol=0, atol=1e-6)


def test_an_image_moves_to_the_right_and_down(tmp_path: Path) -> None:
    model = gantrain.load(generators.stylegan3(tmp_path))
    with torch.no_grad():
        ws = model.mapping(model.latents(range(8)))
        still = model.synthesis(ws)
        moved = model.synthesis(ws, transform=canvas_transform([4 / 32, 2 / 32], 0))
    difference = moved[..., 2:, 4:] - still[..., :-2, :-4]
    assert difference.std() < 0.03 * still.std() and still.std() > 0.2


def test_anchored_images_have_the_pose_of_the_mean(tmp_path: Path) -> None:
    model = gantrain.load(generators.stylegan3(tmp_path))
    source = latent_sources.from_seeds(model, [0, 1], None, 1.0, None, 2)
    with torch.no_grad():
        [latents] = anchor(model, source)
    assert torch.equal(latents.values[:, 0], model.style.mapping.w_avg.expand(2, -1))
    [plain] = latent_sources.from_seeds(model, [0, 1], None, 1.0, None, 2)
    assert torch.equal(latents.values[:, 1:], plain.values[:, 1:])
    assert not torch.equal(latents.values[:, 0], plain.values[:, 0])
