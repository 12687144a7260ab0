"""From features to numbers: FID, KID, precision and recall, density and coverage, IS."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from gantrain.metrics.fid import fid
from gantrain.metrics.inception_score import inception_score
from gantrain.metrics.kid import kid, kid_std
from gantrain.metrics.moments import Moments, moments
from gantrain.metrics.precision_recall import density_coverage, precision_recall
from tests.helpers.golden_files import GOLDEN


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "metrics_from_features.npz") as file:
        return {key: file[key] for key in file if key != "meta"}


@pytest.fixture(scope="module")
def features(golden: dict[str, np.ndarray]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(golden["real"]), torch.from_numpy(golden["fake"])


@pytest.mark.parametrize("chunk", [7, 100, 5000])
def test_golden(golden: dict[str, np.ndarray], features: tuple[Tensor, Tensor], chunk: int) -> None:
    real, fake = features
    found = {
        "fid": fid(moments(real, chunk), moments(fake, chunk)),
        "kid": kid(real, fake, chunk),
        **precision_recall(real, fake, chunk=chunk),
    }
    for name, value in found.items():
        assert value == pytest.approx(float(golden[name]), rel=1e-9), name


def test_a_set_against_itself(features: tuple[Tensor, Tensor]) -> None:
    real, _ = features
    assert fid(moments(real), moments(real)) < 1e-9
    assert precision_recall(real, real) == {"precision": 1.0, "recall": 1.0}
    assert density_coverage(real, real)["coverage"] == 1.0


def test_fid_of_gaussians_is_the_closed_form() -> None:
    """Equal rotations: |gap|^2 + sum (s1 - s2)^2 over the deviations."""
    draw = torch.Generator().manual_seed(0)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=draw, dtype=torch.float64))
    gap = torch.randn(6, generator=draw, dtype=torch.float64)
    s1, s2 = (torch.rand(6, generator=draw, dtype=torch.float64) + 0.1 for _ in range(2))
    first = Moments(10, torch.zeros(6, dtype=torch.float64), turn * s1.square() @ turn.T)
    second = Moments(10, gap, turn * s2.square() @ turn.T)
    wanted = float(gap.square().sum() + (s1 - s2).square().sum())
    assert fid(first, second) == pytest.approx(wanted, rel=1e-10)
    assert fid(second, first) == pytest.approx(wanted, rel=1e-10)


def test_fid_of_fewer_samples_than_dimensions() -> None:
    draw = torch.Generator().manual_seed(1)
    x, y = (torch.randn(20, 64, generator=draw) for _ in range(2))
    value = fid(moments(x), moments(y))
    assert 0 < value < 200 and value == pytest.approx(fid(moments(y), moments(x)), rel=1e-7)
    assert fid(moments(x), moments(x)) < 1e-6


def test_moments_are_those_of_numpy_also_far_from_zero() -> None:
    x = torch.randn(500, 9, generator=torch.Generator().manual_seed(2)) + 3000
    found = moments(x, chunk=33)
    assert np.allclose(found.cov, np.cov(x.double().numpy().T), rtol=1e-9)
    assert np.allclose(found.mean, x.double().numpy().mean(0))
    with pytest.raises(ValueError, match="at least 2 samples, not 1"):
        moments(x[:1])


def test_kid_is_unbiased_and_its_sums_are_right() -> None:
    draw = torch.Generator().manual_seed(3)
    x, y = torch.randn(30, 8, generator=draw), torch.randn(40, 8, generator=draw) + 1
    k = lambda a, b: (a.double() @ b.double().T / 8 + 1) ** 3  # noqa: E731
    xx, yy = k(x, x), k(y, y)
    wanted = (xx.sum() - xx.trace()) / (30 * 29) + (yy.sum() - yy.trace()) / (40 * 39)
    wanted -= 2 * k(x, y).mean()
    assert kid(x, y) == pytest.approx(float(wanted), rel=1e-12)
    same = [kid(*torch.randn(2, 50, 8, generator=draw)) for _ in range(200)]
    assert abs(np.mean(same)) < 3 * np.std(same) / math.sqrt(200)  # of equal distributions: 0
    assert min(same) < 0
    assert kid_std(x, y, 0) == kid_std(x, y, 0) and kid_std(x, y, 0, size=20) > 0
    assert kid_std(x, y, 0) > 1e-3  # subsets as large as the sets would all be the same


def test_precision_and_recall_see_what_is_wrong() -> None:
    draw = torch.Generator().manual_seed(4)
    real = torch.randn(300, 4, generator=draw)
    narrow = real[:1] + 0.01 * torch.randn(300, 4, generator=draw)  # one picture again and again
    found = precision_recall(real, narrow)
    assert found["precision"] > 0.9 and found["recall"] < 0.05
    far = torch.randn(300, 4, generator=draw) + 50
    assert precision_recall(real, far) == {"precision": 0.0, "recall": 0.0}
    assert density_coverage(real, far) == {"density": 0.0, "coverage": 0.0}
    good = density_coverage(real, torch.randn(300, 4, generator=draw))
    assert abs(good["density"] - 1) < 0.25 and good["coverage"] > 0.8
    assert density_coverage(real, narrow)["coverage"] < 0.1


def test_density_and_coverage_by_their_definition() -> None:
    draw = torch.Generator().manual_seed(5)
    real, fake = (torch.randn(40, 3, generator=draw, dtype=torch.float64) for _ in range(2))
    apart = torch.cdist(real, real)
    reach = apart.sort(1).values[:, 5]
    inside = torch.cdist(fake, real) <= reach
    wanted = {
        "density": float(inside.double().sum(1).mean() / 5),
        "coverage": float((torch.cdist(real, fake).min(1).values <= reach).double().mean()),
    }
    found = density_coverage(real, fake, chunk=11)
    assert found == pytest.approx(wanted, rel=1e-12)


def test_too_few_samples_are_said() -> None:
    few = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="more than 3 samples, not 3"):
        precision_recall(few, few)
    with pytest.raises(ValueError, match="at least 2 samples of each, not 1 and 3"):
        kid(few[:1], few)


def test_inception_score_of_known_cases() -> None:
    sure = 1000 * torch.eye(8).repeat(100, 1)  # every class, without doubt: as many as classes
    assert inception_score(sure)[0] == pytest.approx(8, rel=1e-9)
    assert inception_score(torch.zeros(100, 8)) == (pytest.approx(1), pytest.approx(0, abs=1e-9))
    one = 1000 * torch.eye(8)[:1].repeat(100, 1)
    assert inception_score(one)[0] == pytest.approx(1, rel=1e-9)
