"""Nearest training pictures, and when they are suspicious."""

import pytest
import torch
from torch import Tensor

from gantrain.health.memorization import Nearest, NearestNeighborSearch, assess_memorization, embed


def pictures(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, 32, mode="bilinear")


TRAINING, HELD = pictures(300, 0), pictures(99, 1)


def nearest(samples: Tensor, *, mirrored: bool = False, part: int = 300) -> Nearest:
    search = NearestNeighborSearch(embed(samples), embed(samples.flip(3)) if mirrored else None)
    for images in TRAINING.split(part):
        search.update(embed(images))
    return search.result()


@pytest.mark.parametrize("part", [1, 7, 300])
def test_the_two_nearest_whatever_the_portions(part: int) -> None:
    samples = pictures(20, 2)
    found = nearest(samples, part=part)
    all_of_them = torch.cdist(embed(samples), embed(TRAINING))
    two = all_of_them.topk(2, dim=1, largest=False)
    assert torch.equal(found.index, two.indices[:, 0])
    assert torch.allclose(found.distance, two.values[:, 0], rtol=1e-4)
    assert torch.allclose(found.ratio, two.values[:, 0] / two.values[:, 1], rtol=1e-4)


def test_mirrored_copies_are_found_where_training_mirrors() -> None:
    turned = TRAINING[:5].flip(3)
    assert nearest(turned, mirrored=True).index.tolist() == [0, 1, 2, 3, 4]
    assert (nearest(turned, mirrored=True).distance < 1e-2).all()
    assert (nearest(turned).distance > 1).all()


def test_training_pictures_among_each_other_pass_over_themselves() -> None:
    own = torch.tensor([0, 17, 299])
    search = NearestNeighborSearch(embed(TRAINING[own]), own_indices=own)
    for images in TRAINING.split(64):
        search.update(embed(images))
    found = search.result()
    assert (found.index != own).all() and (found.distance > 1).all()


def test_pictures_learnt_by_heart_are_suspicious() -> None:
    torch.manual_seed(0)
    unseen = nearest(HELD)
    learnt = TRAINING[:40] + 0.1 * torch.randn(40, 3, 32, 32)
    some = torch.cat([learnt[:6], pictures(34, 3)])
    for samples, count in ((learnt, 40), (some, 6)):
        finding = assess_memorization(nearest(samples), unseen)
        assert finding.suspect and finding.count == count and finding.chance < 1e-3
        assert sorted(finding.order[:count]) == list(range(count))


def test_new_and_blurred_pictures_are_not() -> None:
    unseen = nearest(HELD)
    fresh = pictures(64, 4)
    for samples in (fresh, fresh / 4, torch.zeros_like(fresh)):  # near the mean: near to all
        finding = assess_memorization(nearest(samples), unseen)
        assert not finding.suspect and finding.count <= 2
    assert (nearest(fresh / 4).distance < unseen.distance.min()).float().mean() > 0.9


def test_noisy_copies_are_suspicious_on_the_whole() -> None:
    """Too far from their pictures to be near to anything, but each nearest to its own."""
    torch.manual_seed(0)
    copies = TRAINING[:64] + 2.5 * torch.randn(64, 3, 32, 32)
    found, unseen = nearest(copies), nearest(HELD)
    assert (found.distance > unseen.distance.min()).all()
    finding = assess_memorization(found, unseen)
    assert finding.count == 0 and finding.rank > 0.75 and finding.suspect
    alike = assess_memorization(nearest(pictures(400, 5)), unseen)
    assert 0.4 < alike.rank < 0.6 and abs(alike.sigmas) < 3 and not alike.suspect
    same = assess_memorization(unseen, unseen)
    assert same.rank == 0.5 and same.sigmas == 0


def test_chance_is_that_of_as_many_successes() -> None:
    from gantrain.health.memorization import _at_least

    assert _at_least(0, 10, 0.01) == pytest.approx(1)
    assert _at_least(1, 10, 0.01) == pytest.approx(1 - 0.99**10)
    assert _at_least(10, 10, 0.5) == pytest.approx(0.5**10)


def test_an_alarm_by_chance_is_rare() -> None:
    """Of real pictures of the same kind hardly any count, however few the unseen ones are."""
    for few in (9, 50, 99):
        unseen = nearest(HELD[:few])
        counts = [
            assess_memorization(nearest(pictures(64, 10 + s)), unseen).count for s in range(10)
        ]
        assert sum(counts) / 640 <= 2 / (few + 1)
        assert not any(
            assess_memorization(nearest(pictures(64, 10 + s)), unseen).suspect for s in range(10)
        )
