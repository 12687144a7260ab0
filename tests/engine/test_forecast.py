from collections.abc import Callable

import pytest
import torch

from gantrain.engine import forecast
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN, ImageSpec, Phase
from gantrain.gans.stylegan import StyleGAN
from gantrain.gans.stylegan3 import StyleGAN3
from tests.engine.test_trainer import differences, small_cyclegan


def small_stylegan() -> StyleGAN:
    small = {"z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 8}
    return StyleGAN(ImageSpec({"image": 3}, (16, 16), batch=2), augment_p=0.5, **small)  # type: ignore[arg-type]


def small_stylegan3() -> StyleGAN3:
    small = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4}
    return StyleGAN3(ImageSpec({"image": 3}, (16, 16), batch=2), config="r", **small)  # type: ignore[arg-type]


CPU = Precision(torch.device("cpu"), "fp32")


@pytest.mark.parametrize("make", [small_cyclegan, small_stylegan, small_stylegan3])
def test_a_forecast_changes_nothing(make: Callable[[], GAN]) -> None:
    gan = make()
    names = ["a", "b"] if gan.takes == "unpaired" else ["image"]
    images = {name: torch.rand(2, 3, 16, 16) * 2 - 1 for name in names}
    before = {key: value.clone() for key, value in gan.state_dict().items() if "_extra" not in key}
    grads = [p.requires_grad for p in gan.parameters()]
    random = torch.get_rng_state()
    assert 0 < forecast.seconds_per_image(gan, images, CPU) < 60
    after = {key: value for key, value in gan.state_dict().items() if "_extra" not in key}
    assert differences(before, after) == [] and torch.equal(torch.get_rng_state(), random)
    assert [p.requires_grad for p in gan.parameters()] == grads and [*images] == names
    assert all(p.grad is None for p in gan.parameters())


def test_lazy_phases_count_by_their_share(monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        now = 0.0

    gan = small_cyclegan()

    def losses(seconds: float):
        def run(batch, step):
            Clock.now += seconds
            yield {"x": gan.G["ab"].state_dict()["model.1.weight"].sum()}

        return run

    phases = [Phase("G", "G", losses(6)), Phase("D", "D", losses(32), interval=16)]
    monkeypatch.setattr(type(gan), "phases", lambda self: phases)
    monkeypatch.setattr(forecast.time, "perf_counter", lambda: Clock.now)
    images = {"a": torch.zeros(2, 3, 16, 16)}
    assert forecast.seconds_per_image(gan, images, CPU) == (6 + 32 / 16) / 2


@pytest.mark.parametrize(
    ("seconds", "images", "told"),
    [
        (1.0, 80_000, None),
        (0.05, 25_000_000, "a kimg takes about 50 s, and the 25000 kimg of this budget"),
        (5.0, 25_000_000, "a kimg takes about 83 min"),
        (8.0, 100_000, "about 2.2 hours, and the 100 kimg of this budget about 9 days. A day makes "
         "about train.kimg=11."),
    ],
)  # fmt: skip
def test_what_is_said(seconds: float, images: int, told: str | None) -> None:
    text = forecast.advice(seconds, images, 256)
    assert text is None if told is None else told in (text or "")


@pytest.mark.parametrize(("side", "smaller"), [(256, 64), (128, 64), (96, 48), (64, 32)])
def test_the_advice_is_smaller_than_the_images(side: int, smaller: int) -> None:
    text = forecast.advice(1.0, 1_000_000, side)
    assert text and f"Smaller images (data.resolution={smaller}) and narrower networks" in text
