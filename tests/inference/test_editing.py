"""Moves along directions, and the files that hold these."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import gantrain
from gantrain.errors import ConfigError
from gantrain.inference.edited_latents import LatentEdit
from gantrain.inference.editing import Direction, Directions, edit, find_direction, read_directions
from gantrain.inference.latent_sources import LatentBatch
from gantrain.inference.model import Model
from tests.helpers import generators

VECTORS = torch.eye(16)[:3]


def directions(**changes: object) -> Directions:
    quality = {"explained": torch.tensor([0.5, 0.3, 0.2]).double()}
    values = {"method": "pca", "names": ["a", "2", "b"], "vectors": VECTORS, "layers": (0, 1, 5)}
    values |= {"scale": torch.tensor([1.0, 2.0, 0.5]), "quality": quality, **changes}
    return Directions(**values)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return gantrain.load(generators.stylegan(tmp_path_factory.mktemp("edit")))


@pytest.fixture(scope="module")
def ws(model: Model) -> Tensor:
    return model.latent_inputs([0, 1], None)


def test_an_edit_is_a_step_in_standard_deviations(model: Model, ws: Tensor) -> None:
    moved = model.edit(ws, directions().pick(1), 1.5)
    expected = ws.clone()
    expected[:, [0, 1, 5], 1] += 3.0
    assert torch.equal(moved, expected)
    only = model.edit(ws, directions().pick(1), 1.5, layers="2-3")
    assert torch.equal(only[:, [0, 1, 4, 5]], ws[:, [0, 1, 4, 5]])
    assert not torch.equal(only, ws)


def test_strength_zero_leaves_images_as_they_are(model: Model, ws: Tensor) -> None:
    still = model.edit(ws, directions().pick("b"), 0.0)
    assert torch.equal(model.synthesis(still), model.synthesis(ws))
    moved = model.edit(ws, directions().pick("b"), 1.0)
    assert not torch.equal(model.synthesis(moved), model.synthesis(ws))


def test_what_does_not_fit_is_refused(ws: Tensor) -> None:
    direction = directions().pick(0)
    with pytest.raises(ConfigError, match="has 16 entries, and this generator's w has 8"):
        edit(ws[:, :, :8], direction, 1.0)
    with pytest.raises(ConfigError, match="meant for layers up to 5"):
        edit(ws[:, :4], direction, 1.0)
    with pytest.raises(ConfigError, match="goes up to 6, but this generator has the layers 0 to 5"):
        edit(ws, direction, 1.0, [0, 6])


def test_a_file_holds_everything(tmp_path: Path) -> None:
    directions().save(tmp_path / "d.npz")
    found = read_directions(tmp_path / "d.npz")
    assert (found.method, found.names, found.layers) == ("pca", ["a", "2", "b"], (0, 1, 5))
    assert torch.equal(found.vectors, VECTORS) and found.scale.tolist() == [1.0, 2.0, 0.5]
    assert torch.equal(found.quality["explained"], directions().quality["explained"])


def test_names_come_before_numbers(tmp_path: Path) -> None:
    file = tmp_path / "d.npz"
    directions().save(file)
    picked = {key: find_direction(f"{file}:{key}").name for key in ("a", "2", "b", "0", "1")}
    assert picked == {"a": "a", "2": "2", "b": "b", "0": "a", "1": "2"}
    assert directions().pick(2).name == "b"
    with pytest.raises(ConfigError, match="holds 3 directions: choose one"):
        find_direction(str(file))
    with pytest.raises(ConfigError, match=r"d.npz:7: 7 is not a direction: there are 0 to 2"):
        find_direction(f"{file}:7")
    with pytest.raises(ConfigError, match="no such file of directions"):
        find_direction(str(tmp_path / "other.npz"))
    directions(
        names=["only"], vectors=VECTORS[:1], scale=torch.ones(1), quality={}
    ).save(file)  # fmt: skip
    assert find_direction(str(file)).name == "only"


@pytest.mark.parametrize(
    "change",
    [
        {"directions": np.ones((3, 16), np.float32)},  # not of length 1
        {"directions": np.eye(16, dtype=np.float32)},  # more than names
        {"directions": np.zeros((0, 16), np.float32), "names": np.asarray([], str)},
        {"scale": np.asarray([1, np.nan, 1])},
        {"scale": np.asarray(1.0)},
        {"layers": np.asarray([-1])},
        {"layers": np.asarray([], np.int64)},
        {"names": np.asarray([{"a": 1}] * 3, dtype=object)},  # would be a pickle
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    directions().save(tmp_path / "d.npz")
    with np.load(tmp_path / "d.npz") as content:
        arrays = {**content, **change}
    np.savez(tmp_path / "bad.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"bad.npz is no .npz file of directions"):
        read_directions(tmp_path / "bad.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("text")
    np.savez(tmp_path / "w.npz", w=np.zeros((1, 6, 16)))
    for name in ("text.npz", "w.npz"):
        with pytest.raises(ConfigError, match=r"is no .npz file of directions"):
            read_directions(tmp_path / name)


def test_ranges_and_several_directions(ws: Tensor) -> None:
    first, second = (Direction(n, VECTORS[i], 2.0, (0, 1)) for i, n in enumerate("xy"))
    latents = LatentBatch(["p", "q"], ["seed 0", "seed 1"], ws, [7, 8])
    move = LatentEdit([first, second], [(-1, 1), (3, 3)], layers=[4])
    [p, q] = move.steps([latents], 3)
    assert p.names == ["p-edit00", "p-edit01", "p-edit02"] and p.seeds == [7, 7, 7]
    assert q.descriptions == [f"seed 1, {x} x, +3 y" for x in ("-1", "+0", "+1")]
    assert torch.equal(q.values[:, :4], ws[1:, :4].expand(3, -1, -1))
    torch.testing.assert_close(
        q.values[:, 4, :2] - ws[1, 4, :2], torch.tensor([[-2.0, 6], [0, 6], [2, 6]])
    )
    [film, _] = move.films([latents], 4, loop=True)
    assert torch.equal(film.values[[5, 4]], film.values[[1, 2]]) and len(film.values) == 6
    [film, _] = move.films([latents], 4, loop=False)
    assert len(film.values) == 4 and film.descriptions[0] == "seed 0, x -1 to +1, y +3 to +3"
    assert torch.equal(next(move.apply_all([latents])).values, move.apply(latents, 0.0).values)
