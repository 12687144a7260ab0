"""Directions in w against numpy, closed forms and generators whose directions are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gantrain
from gantrain.engine.precision import Precision
from gantrain.errors import ConfigError
from gantrain.inference.attribution import attribute
from gantrain.inference.directions import (
    Sampling,
    find_between_examples,
    find_labels,
    find_pairs,
    find_pca,
    find_sefa,
    mean_difference,
    modulation_weights,
    pca,
    sample_w,
    sefa,
)
from gantrain.inference.model import Model
from gantrain.metrics.lpips import LPIPS
from tests.helpers import generators

SHIFT = 4.0


class ClassMapping(nn.Module):
    """w = z, moved along the axis of its class."""

    def forward(self, z: Tensor, c: Tensor | None = None, **_: object) -> Tensor:
        moved = z.clone()
        if c is not None:
            moved[:, : c.shape[1]] += SHIFT * c
        return moved[:, None].repeat(1, 2, 1)


class GreySynthesis(nn.Module):
    """The fourth entry of w is the grey of the image."""

    def forward(self, ws: Tensor, noise_mode: str = "const") -> Tensor:
        return torch.tanh(ws[:, 0, 3]).view(-1, 1, 1, 1).expand(-1, 3, 16, 16)


class KnownGenerator(nn.Module):
    z_dim, w_dim, num_ws, channels, resolution = 6, 6, 2, 3, (16, 16)

    def __init__(self, label_dim: int = 0) -> None:
        super().__init__()
        self.label_dim, self.mapping, self.synthesis = label_dim, ClassMapping(), GreySynthesis()


def known(label_dim: int = 0, names: list[str] | None = None, kind: str = "class") -> Model:
    about = {"dim": label_dim, "kind": kind, "names": names} if label_dim else None
    precision = Precision(torch.device("cpu"), "fp32")
    meta = {"data": {"labels": about}}
    return Model(Path("known.pt"), {"G": KnownGenerator(label_dim)}, meta, precision)


@pytest.fixture(scope="module")
def style(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return gantrain.load(generators.stylegan(tmp_path_factory.mktemp("style")))


def signed(vectors: np.ndarray) -> np.ndarray:
    return vectors * np.sign([row[np.abs(row).argmax()] for row in vectors])[:, None]


def test_pca_is_numpys(style: Model) -> None:
    found = find_pca(style, 4, Sampling(600))
    w = np.concatenate([style.mapping(style.latents([s]))[:, 0] for s in range(600)])
    centered = w.astype(np.float64) - w.astype(np.float64).mean(0)
    _, singular, rows = np.linalg.svd(centered, full_matrices=False)
    np.testing.assert_allclose(found.vectors, signed(rows[:4]), atol=1e-5)
    np.testing.assert_allclose(found.scale, singular[:4] / 599**0.5, rtol=1e-5)
    variance = singular**2
    np.testing.assert_allclose(
        found.quality["explained"], (variance / variance.sum())[:4], rtol=1e-5
    )
    assert found.names == ["pca0", "pca1", "pca2", "pca3"] and found.layers == tuple(range(6))


def test_pca_and_sefa_are_eigenvectors_in_float64() -> None:
    """The plain definitions: eigenvectors of the covariance of w, and of A^T A."""
    x = np.random.default_rng(0).normal(size=(200, 7)) * np.arange(1, 8) + 5
    for (vectors, shares), matrix in (
        (pca(torch.from_numpy(x), 4), np.cov(x.T)),
        (sefa([torch.from_numpy(part) for part in np.split(x, [50, 51])], 4), x.T @ x),
    ):
        values, columns = np.linalg.eigh(matrix)
        np.testing.assert_allclose(vectors, signed(columns.T[::-1][:4]), atol=1e-12)
        np.testing.assert_allclose(shares, values[::-1][:4] / values.sum(), rtol=1e-12)


def affines(model: Model) -> dict[int, nn.Module]:
    """The affine layers by name, as in the papers' figures."""
    S = model.style.synthesis
    names = ["b4.conv1", "b8.conv0", "b8.conv1", "b16.conv0", "b16.conv1"]
    return {i: S.get_submodule(f"{name}.affine") for i, name in enumerate(names)}


@pytest.mark.parametrize("run", ["stylegan", "stylegan3"])
def test_modulation_weights_are_those_that_each_w_meets(tmp_path: Path, run: str) -> None:
    model = gantrain.load(getattr(generators, run)(tmp_path))
    ws = torch.randn(1, model.style.num_ws, 16)
    met: list[tuple[int, Tensor]] = []

    def note(affine: nn.Module, args: tuple[Tensor], _: Tensor) -> None:
        [index] = [i for i in range(model.style.num_ws) if torch.equal(args[0], ws[:, i])]
        moved = affine.forward(torch.eye(16)) - affine.forward(torch.zeros(1, 16))
        met.append((index, moved.T))

    for name, module in model.style.synthesis.named_modules():
        if name.endswith("affine") and "torgb" not in name:
            module.register_forward_hook(note)  # type: ignore[arg-type]
    model.synthesis(ws)
    weights = model.style.synthesis.modulation_weights()  # type: ignore[operator]
    # In StyleGAN3 the first affine layer moves the canvas, and the last is the ToRGB's.
    expected = dict(met if run == "stylegan" else met[1:-1])
    assert weights.keys() == expected.keys()
    for index, weight in weights.items():
        torch.testing.assert_close(weight, expected[index], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layers", [None, (1, 2), (0, 5)])
def test_sefa_is_numpys(style: Model, layers: tuple[int, ...] | None) -> None:
    found = find_sefa(style, 3, Sampling(50, layers=layers))
    chosen = [a for i, a in affines(style).items() if layers is None or i in layers]
    # The weights as they act: the difference of the outputs for unit vectors.
    A = np.concatenate([(a(torch.eye(16)) - a(torch.zeros(1, 16))).detach().T for a in chosen])
    _, singular, rows = np.linalg.svd(A.astype(np.float64))
    np.testing.assert_allclose(np.abs(found.vectors.numpy() @ rows[:3].T), np.eye(3), atol=1e-4)
    share = singular[:3] ** 2 / (singular**2).sum()
    np.testing.assert_allclose(found.quality["explained"], share, rtol=1e-4)
    largest = found.vectors.gather(1, found.vectors.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()
    assert found.layers == (layers or tuple(range(6)))


def test_the_first_direction_of_sefa_changes_styles_most(style: Model) -> None:
    first = find_sefa(style, 1, Sampling(50)).vectors[0]

    def change(vector: Tensor) -> float:
        moved = [a(vector[None]) - a(torch.zeros(1, 16)) for a in affines(style).values()]
        return float(torch.cat(moved, 1).norm())

    torch.manual_seed(0)
    others = nn.functional.normalize(torch.randn(200, 16), dim=1)
    assert change(first) > 1.1 * max(map(change, others))


def test_sefa_of_stylegan3_leaves_canvas_and_colours_out(tmp_path: Path) -> None:
    model = gantrain.load(generators.stylegan3(tmp_path))
    S = model.style.synthesis
    weights = modulation_weights(model, None)
    names: list[str] = S.names[:-1]  # type: ignore[assignment,index]
    assert len(weights) == len(names) == model.style.num_ws - 2
    for name, weight in zip(names, weights, strict=True):
        affine = S.get_submodule(f"{name}.affine")
        moved = affine(torch.eye(16)) - affine(torch.zeros(1, 16))
        torch.testing.assert_close(weight, moved.T, rtol=1e-4, atol=1e-5)
    for layer in (0, model.style.num_ws - 1):
        with pytest.raises(ConfigError, match="none of these has a modulated convolution"):
            modulation_weights(model, [layer])
    with pytest.raises(ConfigError, match="use method=pca"):
        modulation_weights(known(), None)


def test_labels_find_a_known_boundary() -> None:
    said: list[str] = []
    found = find_labels(known(3, ["cat", "dog", "fox"]), Sampling(1500), said.append)
    assert found.names == ["cat", "dog", "fox"] and not said
    for i in range(3):
        axis = torch.zeros(6)
        axis[:3] = -0.5
        axis[i] = 1.0
        assert float(found.vectors[i] @ axis / axis.norm()) > 0.97
    assert (found.quality["accuracy"] > 0.95).all()
    w, _ = sample_w(known(3), Sampling(1500))
    np.testing.assert_allclose(found.scale, (w @ found.vectors.double().T).std(0), rtol=1e-5)


def test_a_class_without_images_is_left_out() -> None:
    model = known(2, ["old", "young"], "multi")
    model.meta["data"]["labels"]["examples"] = [[0.0, 0.0], [1.0, 0.0]]
    said: list[str] = []
    assert find_labels(model, Sampling(100), said.append).names == ["old"]
    assert "class young is left out" in said[0]
    model.meta["data"]["labels"]["examples"] = [[0.0, 0.0]]
    with pytest.raises(ConfigError, match="no class has images"):
        find_labels(model, Sampling(100), said.append)


def test_examples_find_what_tells_them_apart() -> None:
    torch.manual_seed(0)
    lpips = LPIPS().eval().requires_grad_(False)
    dark, bright = (torch.rand(6, 3, 16, 16) * 0.4 + low for low in (-0.9, 0.5))
    found, accuracy = find_between_examples(
        known(), lpips, (dark, bright), ("dark", "bright"), Sampling(100), batch=32
    )
    assert found.names == ["dark to bright"] and accuracy == 1
    assert float(found.vectors[0, 3]) > 0.8  # towards the second examples
    assert float(found.quality["accuracy"][0]) > 0.9


def test_pairs_are_mean_differences() -> None:
    torch.manual_seed(0)
    before = torch.randn(50, 2, 6)
    offset = torch.tensor([0.0, 3, 0, 4, 0, 0])
    found = find_pairs(known(), before, before + offset, Sampling(200))
    torch.testing.assert_close(found.vectors[0], offset / 5)
    assert float(found.quality["consistency"][0]) == pytest.approx(1)
    after = before.clone()
    after[:, 0] += offset
    after[:, 1, 0] += 9
    of_first = find_pairs(known(), before, after, Sampling(200, layers=[0]))
    torch.testing.assert_close(of_first.vectors[0], offset / 5, atol=1e-5, rtol=0)
    assert of_first.layers == (0,)
    assert "consistency" not in find_pairs(known(), before[:1], after[:1], Sampling(50)).quality
    with pytest.raises(ConfigError, match="do not differ"):
        find_pairs(known(), before, before, Sampling(50))


def test_consistency_is_the_mean_cosine_between_pairs() -> None:
    torch.manual_seed(0)
    difference = torch.randn(5, 4, dtype=torch.float64) + 1
    mean, consistency = mean_difference(torch.zeros(5, 4), difference)
    units = (difference / difference.norm(dim=1, keepdim=True)).numpy()
    expected = np.mean([units[i] @ units[j] for i in range(5) for j in range(5) if i != j])
    assert consistency == pytest.approx(expected)
    torch.testing.assert_close(mean, difference.mean(0))


def test_labels_choose_where_directions_are_found() -> None:
    w, labels = sample_w(known(3), Sampling(600, label=1))
    assert labels is not None and (labels[:, 1] == 1).all()
    assert float(w[:, 1].mean()) == pytest.approx(SHIFT, abs=0.2)


def test_attribution_exchanges_one_layer_at_a_time(style: Model) -> None:
    ws, others = (style.latent_inputs(seeds, None) for seeds in (range(5), range(5, 10)))
    others[:, 2] = ws[:, 2]
    found = attribute(style, ws, others, shown=3, batch=2)
    assert found.exchanged.shape == (6, 3, 3, 16, 16) and found.change[2] == 0
    before, squares = style.synthesis(ws), []
    for layer in range(6):
        mixed = ws.clone()
        mixed[:, layer] = others[:, layer]
        squares.append((style.synthesis(mixed) - before).square().mean().sqrt())
    torch.testing.assert_close(found.change.float(), torch.stack(squares).detach())
    torch.testing.assert_close(found.images, before[:3].detach().clamp(-1, 1))
    assert (found.change[[0, 1, 3, 4, 5]] > 0.01).all()
