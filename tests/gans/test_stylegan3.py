"""What the golden trajectory cannot see: labels, augmentation, defaults, precision, probes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.gans.base import Batch, ImageSpec, Step
from gantrain.gans.stylegan3 import StyleGAN3, view_blurred
from gantrain.ops.blur import blur, blur_taps
from tests.gans.test_stylegan import gradients_of_parts, only, pictures, runner

TINY: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4}


def make(side: int = 16, label_dim: int = 0, batch: int = 4, **settings: Any) -> StyleGAN3:
    images = ImageSpec({"image": 3}, (side, side), label_dim, batch)
    return StyleGAN3(images, **{**TINY, **settings})


@pytest.mark.parametrize(("side", "gamma"), [(128, 0.5), (256, 2), (512, 8), (1024, 32)])
def test_published_gammas(side: int, gamma: float) -> None:
    assert make(side).derived() == {"r1_gamma": gamma}


def test_phases_and_rules() -> None:
    gan = make(32, batch=16)
    assert [(p.name, p.interval) for p in gan.phases()] == [("G", 1), ("D", 1), ("D_r1", 16)]
    assert [p.name for p in make(r1_gamma=0).phases()] == ["G", "D"]
    assert make(r1_gamma=0.7).derived() == {"r1_gamma": 0.7}
    turning = make(config="r", batch=16)
    assert turning.derived() == {"r1_gamma": 2 / 16**2, "blur_sigma": 10, "blur_kimg": 100}
    # The generator of R has twice the channels, 1x1 convolutions; D does not change.
    assert gan.G["G"].synthesis.L1_36_4.weight.shape == (4, 4, 3, 3)
    assert turning.G["G"].synthesis.L1_36_8.weight.shape == (8, 8, 1, 1)
    name = "b16.conv0.weight"
    assert turning.D.get_parameter(name).shape == gan.D.get_parameter(name).shape
    assert gan.G["G"].mapping.w_avg_beta == 0.998 and gan.G["G"].num_ws == 16
    beta = gan.G["G"].synthesis.L0_36_4.magnitude_beta
    assert beta ** (20_000 / 16) == pytest.approx(0.5)


def test_running_means_move_in_ds_pass_alone() -> None:
    gan = make(augment="none")
    run, batch = runner(gan), pictures(gan)  # type: ignore[arg-type]
    names = [n for n, _ in gan.G.named_buffers() if n.endswith(("magnitude_ema", "w_avg"))]
    assert len(names) == 16

    def moved(phase: str) -> set[str]:
        before = {name: gan.G.state_dict()[name].clone() for name in names}
        run.phases = [p for p in gan.phases() if p.name == phase]
        run.step([batch], Step(0, 0))
        return {name for name in names if not torch.equal(gan.G.state_dict()[name], before[name])}

    assert moved("G") == set() and moved("D_r1") == set()
    assert moved("D") == set(names)
    with torch.no_grad():  # in training mode, too: the pass decides
        before = gan.G.state_dict()["G.mapping.w_avg"].clone()
        gan.preview(gan.G, batch)
    assert torch.equal(gan.G.state_dict()["G.mapping.w_avg"], before)


@pytest.mark.parametrize("label_dim", [0, 3])
def test_all_phases_train(label_dim: int) -> None:
    gan = make(label_dim=label_dim, augment_p=0.5, config="r", blur_kimg=0.01)
    run = runner(gan)
    for index in range(3):
        run.step([pictures(gan)], Step(index, index * 4))  # type: ignore[arg-type]
        gan.adapt(Step(index, index * 4))
    run.check()
    assert all(torch.isfinite(torch.tensor(v)) for v in run.stats.collect().values())
    assert gan.ada.seen[1] > 0 and set(gan.report()) == {"augment/p"}


def test_r1_by_finite_differences_through_blur_and_augmentation() -> None:
    gan = make(
        augment="fixed", augment_p=1.0, r1_gamma=3.0, config="r", blur_sigma=1.5, blur_kimg=1
    ).double()
    x = pictures(gan, 1)["image"].double()  # type: ignore[arg-type]
    [r1] = [phase for phase in gan.phases() if phase.name == "D_r1"]
    torch.manual_seed(7)
    batch: Batch = {"image": x} | r1.prepare({"image": x}, Step(0, 0))
    assert "blur" in batch
    loss = only(r1.losses(batch, Step(0, 0)))["r1"]

    def score(images: Tensor) -> Tensor:
        return gan.adversary.judge(images, batch, "real").sum()

    direction, h = torch.randn_like(x), 1e-5
    with torch.no_grad():
        slope = (score(x + h * direction) - score(x - h * direction)) / (2 * h)
    y = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(y), y)
    assert slope.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-5)
    assert loss.item() == pytest.approx(1.5 * gradient.square().sum().item(), rel=1e-9)


def test_d_sees_blurred_images_until_the_blur_has_faded() -> None:
    gan = make(config="r", augment="none", blur_kimg=0.02, r1_gamma=1.0, r1_interval=1)
    shown: list[Tensor] = []
    gan.D.register_forward_pre_hook(lambda _, args: shown.append(args[0].detach()))
    run, batch = runner(gan), pictures(gan)  # type: ignore[arg-type]
    run.step([batch], Step(0, 0))
    taps = gan.blur_of(0)["blur"]
    assert len(shown) == 4  # G's fakes; D's fakes and reals; the reals of R1
    for real in (shown[2], shown[3]):
        assert torch.equal(real, blur(batch["image"], taps))
    assert shown[0].std() < 0.1
    shown.clear()
    run.step([batch], Step(9, 19))  # sigma is half a pixel, ...
    assert not torch.equal(shown[2], batch["image"])
    shown.clear()
    run.step([batch], Step(10, 20))  # ... and 0
    assert torch.equal(shown[2], batch["image"])


def test_bfloat16_does_not_round_the_blurred_images() -> None:
    x, batch = torch.rand(2, 3, 16, 16), {"blur": blur_taps(2.0, 6)}
    with torch.autocast("cpu", torch.bfloat16):
        y = view_blurred(x, batch)
    assert torch.equal(y, blur(x, batch["blur"]))


def test_probes_see_what_d_sees_now() -> None:
    gan = make(config="r", augment="none", blur_kimg=0.02)
    x = pictures(gan)["image"]  # type: ignore[arg-type]
    blurred = gan.judge(x, {})
    assert torch.equal(blurred, gan.D(blur(x, gan.blur_of(0)["blur"])))
    gan.adapt(Step(9, 36))
    assert torch.equal(gan.judge(x, {}), gan.D(x))


def test_bf16_trains_close_to_fp32() -> None:
    values = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(1)
        gan = make(32, augment="none", r1_gamma=1.0)
        run = runner(gan, precision)
        torch.manual_seed(2)
        run.step([pictures(gan)], Step(0, 0))  # type: ignore[arg-type]
        values.append(run.stats.collect())
    for name in ("loss/G/adversarial", "loss/D/real", "loss/D/fake", "loss/D_r1/r1"):
        assert values[1][name] == pytest.approx(values[0][name], rel=0.05, abs=1e-3), name


@pytest.mark.parametrize("phase", ["G", "D", "D_r1"])
def test_microbatches_give_the_gradient_of_the_batch(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Magnitudes are those of a microbatch, so the fakes of D differ a little: fixed here."""
    gan = make(augment="none", mbstd_group=1).double()
    for module in gan.modules():
        if hasattr(module, "magnitude_beta"):
            module.magnitude_beta = 1.0
    batch = {name: x.double() for name, x in pictures(gan).items()}  # type: ignore[arg-type]
    found = gradients_of_parts(gan, phase, batch, monkeypatch)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-6, atol=1e-9)


def test_preview_and_state() -> None:
    gan = make(label_dim=3)
    with torch.no_grad():
        columns = gan.preview(gan.G, pictures(gan))  # type: ignore[arg-type]
    assert next(iter(columns)) == "real" and len(columns) == 7
    assert all(images.shape == (4, 3, 16, 16) for images in columns.values())
    wanted = {"ada.seen", "ada._extra_state", "G.G.mapping.w_avg", "G.G.synthesis.input.freqs"}
    assert wanted <= set(gan.state_dict())


@pytest.mark.parametrize("size", [(16, 32), (48, 48), (8, 8)])
def test_sizes_that_do_not_exist(size: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="squares, with a power of 2"):
        StyleGAN3(ImageSpec({"image": 3}, size), **TINY)
