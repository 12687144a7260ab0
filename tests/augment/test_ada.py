import pytest
import torch

from gantrain.augment.ada import ADA


def run(ada: ADA, signs: list[float], batch: int = 16) -> list[float]:
    """p after every step, with D answering `signs[i]` on all real pictures of step i."""
    seen = []
    for index, sign in enumerate(signs):
        ada.observe(torch.full((batch,), sign))
        ada.update(index, batch)
        seen.append(ada.p)
    return seen


def test_p_moves_by_the_images_of_an_interval() -> None:
    p = run(ADA(target=0.6, kimg=1.0, interval=4), [5.0] * 13)
    # The first window is steps 1 to 4; what it has counted is read after step 8.
    assert p[:7] == [0.0] * 7
    assert p[7:11] == [pytest.approx(16 * 4 / 1000)] * 4
    assert p[11:] == [pytest.approx(2 * 16 * 4 / 1000)] * 2


@pytest.mark.parametrize("interval", [1, 3, 4])
def test_windows_are_those_of_the_reference_one_window_late(interval: int) -> None:
    """The reference adjusts p after steps interval, 2 interval, ... by the steps since."""
    signs = torch.randn(24, generator=torch.Generator().manual_seed(3)).sign().tolist()
    p, reference = 0.5, []
    for start in range(0, 24, interval):
        mean = sum(signs[start : start + interval]) / interval
        p += (1 if mean > 0.1 else -1) * 16 * interval / 5000
        reference.append(p)
    ours = run(ADA(target=0.1, p=0.5, kimg=5.0, interval=interval, max_p=1.0), signs)
    late = ours[interval - 1 :: interval]
    assert late == pytest.approx([0.5, *reference[:-1]])


def test_p_falls_below_the_target_and_not_below_0() -> None:
    assert run(ADA(target=0.6, p=0.1, kimg=1.0), [-1.0] * 40)[-1] == 0.0


def test_p_is_bounded_above_and_comes_back_at_once() -> None:
    ada = ADA(target=0.6, kimg=0.2, max_p=0.8)
    assert run(ada, [1.0] * 100)[-1] == 0.8
    falling = run(ada, [-1.0] * 16)
    assert falling[-1] < 0.5


@pytest.mark.parametrize(("share", "sign"), [(0.85, 1), (0.75, -1)])
def test_the_mean_sign_decides(share: float, sign: int) -> None:
    """target 0.6 is 80 % positive logits; their size does not matter."""
    ada = ADA(target=0.6, p=0.4, kimg=10.0)
    for index in range(9):
        positive = round(share * 1000)
        ada.observe(
            torch.cat([torch.full((positive,), 0.01), torch.full((1000 - positive,), -9.0)])
        )
        ada.update(index, 10)
    assert (ada.p - 0.4) * sign > 0


def test_a_fixed_p_stays() -> None:
    assert set(run(ADA(target=None, p=0.3), [1.0] * 20)) == {0.3}


@pytest.mark.parametrize("stop", [3, 4, 6, 8])
def test_resume_is_exact_between_and_at_updates(stop: int) -> None:
    torch.manual_seed(1)
    signs = torch.randn(24).sign().tolist()
    straight = run(ADA(kimg=1.0, p=0.2), signs)
    first, second = ADA(kimg=1.0, p=0.2), ADA(kimg=1.0, p=0.2)
    run(first, signs[:stop])
    second.load_state_dict(first.state_dict())
    assert second.p == first.p
    for index in range(stop, 24):
        second.observe(torch.full((16,), signs[index]))
        second.update(index, 16)
        assert second.p == straight[index]
