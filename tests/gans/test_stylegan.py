"""What the golden trajectory cannot see: mixing, labels, augmentation, other losses, the cycle."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from gantrain.engine.checkpoint import shape_mismatches
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision, PrecisionName
from gantrain.gans import latents
from gantrain.gans.base import GAN, Batch, ImageSpec, Step
from gantrain.gans.stylegan import StyleGAN

TINY: dict[str, Any] = {
    "z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8, "mapping_layers": 2,
}  # fmt: skip


def make(side: int = 16, label_dim: int = 0, batch: int = 4, **settings: Any) -> StyleGAN:
    return StyleGAN(ImageSpec({"image": 3}, (side, side), label_dim, batch), **{**TINY, **settings})


def pictures(gan: StyleGAN, count: int = 4) -> Batch:
    side = gan.G["G"].resolution[0]
    batch = {"image": torch.rand(count, 3, side, side) * 2 - 1}
    if dim := gan.G["G"].label_dim:
        batch["label"] = torch.eye(dim)[torch.arange(count) % dim]
    return batch


def runner(gan: GAN, precision: PrecisionName = "fp32") -> PhaseRunner:
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 2e-3, "betas": (0.0, 0.99)})
    return PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), precision), "halt")


def only(losses: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
    [terms] = list(losses)
    return terms


def gradients_of_parts(
    gan: GAN, phase: str, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> list[Tensor]:
    """Gradients of a phase for 4 images as parts of 4, 2 and 1, with the same z; flattened."""
    z = torch.randn(4, 8, dtype=torch.float64)
    found = []
    for size in (4, 2, 1):
        parts = [{"image": batch["image"][i : i + size]} for i in range(0, 4, size)]
        queue = list(z.split(size))
        monkeypatch.setattr(latents, "sample_z", lambda *_, queue=queue: queue.pop(0))
        optimizers = build_optimizers(gan, torch.optim.SGD, {"lr": 0.0})
        run = PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), "fp32"), "halt")
        run.phases = [p for p in gan.phases() if p.name == phase]
        run.step(parts, Step(0, 0))
        player = getattr(gan, run.phases[0].player)
        grads = [p.grad.clone() for p in player.parameters() if p.grad is not None]
        found.append(torch.cat([g.flatten() for g in grads]))
    return found


def test_phases_and_rules() -> None:
    gan = make(32, batch=16)
    assert [(p.name, p.interval) for p in gan.phases()] == [
        ("G", 1), ("G_pl", 4), ("D", 1), ("D_r1", 16),
    ]  # fmt: skip
    assert gan.derived()["r1_gamma"] == pytest.approx(0.0002 * 32**2 / 16)
    assert [p.name for p in make(pl_weight=0, r1_gamma=0).phases()] == ["G", "D"]
    assert [p.name for p in make(loss="wgan_gp").phases()] == ["G", "G_pl", "D"]


@pytest.mark.parametrize("cutoff", [1, 3])
def test_style_mixing(cutoff: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gan = make()
    G, batch = gan.G["G"], pictures(gan)
    z = [torch.randn(4, 8), torch.randn(4, 8)]
    queue = list(z)
    monkeypatch.setattr(latents, "sample_z", lambda *_: queue.pop(0))
    ws = latents.sample_ws(G, {**batch, "cutoff": torch.tensor(cutoff)}, 4)
    one, two = (G.mapping(x) for x in z)
    assert torch.equal(ws[:, :cutoff], one[:, :cutoff])
    assert torch.equal(ws[:, cutoff:], two[:, cutoff:])


def test_style_mixing_happens_as_often_as_asked() -> None:
    num_ws = 6
    cutoffs = [int(latents.draw_cutoff(num_ws, 0.6)["cutoff"]) for _ in range(400)]
    mixed = [c for c in cutoffs if c < num_ws]
    assert len(mixed) / 400 == pytest.approx(0.6, abs=0.08)
    assert set(mixed) == set(range(1, num_ws)) and max(cutoffs) == num_ws
    assert latents.draw_cutoff(num_ws, 0) == latents.draw_cutoff(1, 0.9) == {}


def test_path_length_by_finite_differences() -> None:
    """||J^T y|| in float64, J from its columns."""
    gan = make(style_mixing_prob=0.0, noise="none").double()
    batch = {"image": torch.zeros(2, 3, 16, 16, dtype=torch.float64)}
    torch.manual_seed(5)
    with pytest.MonkeyPatch.context() as patch:
        z = torch.randn(1, 8, dtype=torch.float64)
        patch.setattr(latents, "sample_z", lambda *_: z)
        loss = only(gan.path_length(batch, Step(0, 0)))["path_length"]
    torch.manual_seed(5)
    torch.randn(1, 8, dtype=torch.float64)
    G = gan.G["G"]
    with torch.no_grad():
        ws = G.mapping(z)
        y = torch.randn_like(G.synthesis(ws, noise_mode="none")) / 16
        slopes, h = torch.zeros_like(ws), 1e-6
        for i in range(ws.shape[1]):
            for k in range(ws.shape[2]):
                step = torch.zeros_like(ws)
                step[0, i, k] = h
                ahead, behind = (
                    (G.synthesis(ws + s, noise_mode="none") * y).sum() for s in (step, -step)
                )
                slopes[0, i, k] = (ahead - behind) / (2 * h)
        length = slopes.square().sum(2).mean(1).sqrt()
    mean = 0.01 * length
    assert gan.pl_mean.item() == pytest.approx(mean.item(), rel=1e-5)
    assert loss.item() == pytest.approx(2 * (length - mean).square().item(), rel=1e-5)


def test_path_length_of_a_single_picture() -> None:
    """The reference takes half of 1, rounded down: none, and NaN."""
    gan = make(batch=1)
    loss = only(gan.path_length(pictures(gan, 1), Step(0, 0)))["path_length"]
    assert torch.isfinite(loss) and loss > 0


def test_a_path_length_that_is_not_finite_is_forgotten() -> None:
    """train.on_nonfinite=skip leaves that step out: the running mean must not keep it."""
    gan, batch = make(), pictures(make())
    only(gan.path_length(batch, Step(0, 0)))
    before = gan.pl_mean.clone()
    weight = gan.G["G"].synthesis.b16.torgb.weight
    good = weight.detach().clone()
    weight.data.fill_(torch.inf)
    assert not torch.isfinite(only(gan.path_length(batch, Step(4, 0)))["path_length"])
    assert torch.equal(gan.pl_mean, before)
    weight.data.copy_(good)
    assert torch.isfinite(only(gan.path_length(batch, Step(8, 0)))["path_length"])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_r1_by_finite_differences_through_the_augmentation(p: float) -> None:
    gan = make(augment="fixed", augment_p=p, r1_gamma=3.0, style_mixing_prob=0.0).double()
    x = pictures(gan, 1)["image"].double()
    [r1] = [phase for phase in gan.phases() if phase.name == "D_r1"]

    def score(images: Tensor) -> Tensor:
        torch.manual_seed(7)  # the same augmentation every time
        return gan.judge(images, {}).sum()

    torch.manual_seed(7)
    batch = {"image": x} | r1.prepare({"image": x}, Step(0, 0))
    loss = only(r1.losses(batch, Step(0, 0)))["r1"]
    direction, h = torch.randn_like(x), 1e-5
    with torch.no_grad():
        slope = (score(x + h * direction) - score(x - h * direction)) / (2 * h)
    y = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(score(y), y)
    assert slope.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-5)
    assert loss.item() == pytest.approx(1.5 * gradient.square().sum().item(), rel=1e-9)


def test_penalties_give_every_parameter_a_gradient() -> None:
    gan = make(noise="random", label_dim=3)
    run = runner(gan)
    for phase, player in (("G_pl", "G"), ("D_r1", "D")):
        run.phases = [p for p in gan.phases() if p.name == phase]
        run.step([pictures(gan)], Step(0, 0))
        assert [n for n, p in getattr(gan, player).named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("loss", ["vanilla", "hinge", "lsgan", "wgan_gp"])
@pytest.mark.parametrize("label_dim", [0, 3])
def test_every_loss_trains(loss: str, label_dim: int) -> None:
    gan = make(loss=loss, label_dim=label_dim)
    run = runner(gan)
    for index in range(2):
        run.step([pictures(gan)], Step(index, index * 4))
        gan.adapt(Step(index, index * 4))
    run.check()
    assert all(torch.isfinite(torch.tensor(v)) for v in run.stats.collect().values())


def test_fakes_carry_the_labels_of_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = make(label_dim=3)
    batch = pictures(gan)
    seen: list[Tensor] = []
    forward = gan.G["G"].mapping.forward

    def spy(z: Tensor, c: Tensor | None = None, **more: Any) -> Tensor:
        assert c is not None
        seen.append(c)
        return forward(z, c, **more)

    monkeypatch.setattr(gan.G["G"].mapping, "forward", spy)
    gan.sample_fakes(batch)
    gan.sample_fakes(batch, share=2)
    assert torch.equal(seen[0], batch["label"]) and torch.equal(seen[-1], batch["label"][:2])


def test_d_sees_augmented_pictures_and_ada_hears_of_the_real_ones() -> None:
    gan = make(augment="ada", augment_p=1.0, ada_max_p=1.0, augment_spec="bgc")
    batch = pictures(gan)
    assert not torch.equal(gan.judge(batch["image"], batch), gan.D(batch["image"]))
    shown: list[Tensor] = []
    gan.D.register_forward_pre_hook(lambda _, args: shown.append(args[0].detach()))
    run = runner(gan)
    run.phases = [p for p in gan.phases() if p.name in ("D", "D_r1")]
    run.step([batch], Step(0, 0))
    assert gan.ada.seen[1] == 8
    assert not any(torch.equal(x, batch["image"]) for x in shown) and len(shown) == 3
    assert make(augment="none", augment_p=1.0).augment(batch["image"], 1.0) is not None
    plain = make(augment="none", augment_p=1.0)
    assert torch.equal(plain.judge(batch["image"], batch), plain.D(batch["image"]))


def test_state_holds_what_resume_needs() -> None:
    gan = make()
    names = gan.state_dict()
    assert {"pl_mean", "ada.seen", "ada._extra_state", "G.G.mapping.w_avg"} <= set(names)


def test_bf16_trains_close_to_fp32() -> None:
    values = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(1)
        gan = make(32, augment="none")
        run = runner(gan, precision)
        torch.manual_seed(2)
        run.step([pictures(gan)], Step(0, 0))
        values.append(run.stats.collect())
    for name in ("loss/G/adversarial", "loss/D/real", "loss/D_r1/r1", "loss/G_pl/path_length"):
        assert values[1][name] == pytest.approx(values[0][name], rel=0.05, abs=1e-3), name


def test_the_latent_cycle() -> None:
    gan = make(lambda_latent=2.0, lambda_image=3.0, adversarial_kimg=0.008)
    assert set(gan.G) == {"G", "E"}
    run, batch = runner(gan), pictures(gan)
    before = [p.clone() for p in gan.G["E"].parameters()]
    run.step([batch], Step(1, 4))
    assert not any(name.startswith("loss/G/cycle") for name in run.stats.collect())
    assert all(torch.equal(a, b) for a, b in zip(before, gan.G["E"].parameters(), strict=True))
    run.step([batch], Step(2, 8))
    means = run.stats.collect()
    assert means["loss/G/cycle_latent"] > 0 and means["loss/G/cycle_image"] > 0
    assert not any(torch.equal(a, b) for a, b in zip(before, gan.G["E"].parameters(), strict=True))


def test_the_latent_cycle_learns_to_invert() -> None:
    """A fixed G and E alone: E(G(w)) approaches w."""
    gan = make(lambda_latent=1.0, style_mixing_prob=0.0, noise="none")
    G, E = gan.G["G"].requires_grad_(False), gan.G["E"]
    optimizer = torch.optim.Adam(E.parameters(), 2e-3)
    errors = []
    for _ in range(60):
        ws, fake = gan.sample_fakes({"image": torch.zeros(16, 3, 16, 16)})
        loss = gan.cycle.losses(gan.G, ws, fake, fake)["cycle_latent"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        errors.append(loss.item())
    assert sum(errors[-5:]) < 0.5 * sum(errors[:5])
    assert not any(p.requires_grad for p in G.parameters())


def test_preview() -> None:
    gan = make(label_dim=3, lambda_image=1.0)
    with torch.no_grad():
        columns = gan.preview(gan.G, pictures(gan))
    assert list(columns)[:2] == ["real", "G(E(real))"] and len(columns) == 8
    assert all(images.shape == (4, 3, 16, 16) for images in columns.values())


@pytest.mark.parametrize("phase", ["G", "D", "D_r1"])
def test_microbatches_give_the_gradient_of_the_batch(
    phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no statistic is taken over the batch, parts of it average to the whole."""
    gan = make(augment="none", noise="none", style_mixing_prob=0.0, mbstd_group=1).double()
    batch = {name: x.double() for name, x in pictures(gan).items()}
    found = gradients_of_parts(gan, phase, batch, monkeypatch)
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=1e-6, atol=1e-12)


def test_a_checkpoint_fits_or_says_what_does_not() -> None:
    gan = make()
    optimizers = {
        name: optimizer.state_dict() for name, optimizer in runner(gan).optimizers.items()
    }
    state = {"gan": gan.state_dict(), "optimizers": optimizers}
    assert shape_mismatches(state, make(augment="none")) == []
    assert (
        "G.E.b16.conv0.weight is absent in the checkpoint but (4, 4, 3, 3) now"
        in shape_mismatches(state, make(lambda_image=1.0))
    )
    assert shape_mismatches(state, make(freeze_d=2)) == [
        "D has 18 trained tensors in the checkpoint but 14 now"
    ]
