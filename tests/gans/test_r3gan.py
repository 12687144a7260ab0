"""What the golden trajectory cannot see: augmentation, labels, shapes, lazy penalties, presets."""

import math
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
import torch
from hydra import compose, initialize_config_dir
from torch import Tensor

from gantrain import build
from gantrain.augment.pipe import AugmentPipe
from gantrain.config import derived, paths
from gantrain.config.train import load
from gantrain.engine.ema import EMA
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision, PrecisionName
from gantrain.errors import ConfigError
from gantrain.gans import latents
from gantrain.gans.base import GAN, Batch, ImageSpec, Step
from gantrain.gans.r3gan import R3GAN
from gantrain.losses import relativistic, squared_gradient
from gantrain.networks.r3gan import R3GANDiscriminator, block_gain
from gantrain.types import value_at

TINY: dict[str, Any] = {"z_dim": 4, "channel_base": 64, "channel_max": 8}
RAMP = {"base": 0.0, "final": 1.0, "kimg": 0.01, "shape": "linear"}


def make(
    side: int = 16, label_dim: int = 0, batch: int = 4, channels: int = 3, **settings: Any
) -> R3GAN:
    return R3GAN(ImageSpec({"image": channels}, (side, side), label_dim, batch), **TINY | settings)


def perturbed(gan: R3GAN) -> R3GAN:
    """As after some training: no weight is 0 as W3 is at first."""
    torch.manual_seed(3)
    for parameter in gan.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return gan


def pictures(gan: R3GAN, count: int = 4) -> Batch:
    D = cast(R3GANDiscriminator, gan.D)
    shape = (count, D.channels, *D.resolution)
    batch = {name: torch.rand(shape) * 2 - 1 for name in ("image", "1/image")}
    if dim := D.label_dim:
        labels = torch.eye(dim)[torch.arange(count) % dim]
        batch |= {"label": labels, "1/label": labels}
    return batch


def runner(gan: GAN, precision: PrecisionName = "fp32", lr: float = 2e-4) -> PhaseRunner:
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": lr, "betas": (0.0, 0.9)})
    return PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), precision), "halt")


def only(losses: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
    [terms] = list(losses)
    return terms


def test_d_comes_first_and_penalties_have_a_phase_only_if_they_are_lazy() -> None:
    assert [(p.name, p.interval) for p in make().phases()] == [("D", 1), ("G", 1)]
    lazy = make(penalty_interval=8).phases()
    assert [(p.name, p.player, p.interval) for p in lazy] == [
        ("D", "D", 1), ("D_gp", "D", 8), ("G", "G", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_penalties_by_finite_differences_through_the_augmentation(p: float) -> None:
    gan = perturbed(make(gamma=3.0, augment_p=p)).double()
    batch = {name: x.double() for name, x in pictures(gan, 1).items()}
    [phase, _] = gan.phases()
    torch.manual_seed(7)
    batch |= phase.prepare(batch, Step(0, 0))
    z = torch.randn(1, 4, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "sample_z", lambda *_: z)
        terms = only(phase.losses(batch, Step(0, 0)))
    pairs = torch.cat([batch["image"], gan.G(z).detach()])
    with torch.no_grad():
        h, squares = 1e-6, torch.zeros(2, dtype=torch.float64)
        for i in range(pairs[0].numel()):
            step = torch.zeros_like(pairs).flatten(1)
            step[:, i] = h  # D mixes no images, so both can be moved at once
            step = step.view_as(pairs)
            ahead, behind = (gan.judge(pairs + s, batch, "pairs") for s in (step, -step))
            squares += ((ahead - behind) / (2 * h)).square()
    assert terms["r1"].item() == pytest.approx(1.5 * squares[0].item(), rel=1e-6)
    assert terms["r2"].item() == pytest.approx(1.5 * squares[1].item(), rel=1e-6)


def test_one_pass_over_pairs_is_two_passes() -> None:
    gan = perturbed(make(label_dim=3)).double()
    batch = {name: x.double() for name, x in pictures(gan).items()}
    z = torch.randn(4, 4, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "sample_z", lambda *_: z)
        terms = only(gan.discriminator_losses(batch | {"gamma": torch.tensor(2.0)}, Step(0, 0)))
    c = batch["label"]
    real, fake = batch["image"].requires_grad_(True), gan.G(z, c).detach().requires_grad_(True)
    logits = gan.D(real, c), gan.D(fake, c)
    assert terms["adversarial"].item() == pytest.approx(relativistic(*logits).item(), rel=1e-12)
    for name, score, x in (("r1", logits[0], real), ("r2", logits[1], fake)):
        assert terms[name].item() == pytest.approx(squared_gradient(score, x).mean().item())


def test_d_and_g_see_different_real_images_and_fakes_take_their_labels() -> None:
    gan = make(label_dim=3)
    batch = pictures(gan)
    batch["1/label"] = batch["label"].roll(1, 0)
    shown: list[tuple[Tensor, Tensor]] = []
    gan.D.register_forward_pre_hook(lambda _, args: shown.append((args[0].detach(), args[1])))
    made: list[Tensor] = []
    gan.G.register_forward_pre_hook(lambda _, args: made.append(args[1]))
    runner(gan).step([batch], Step(0, 0))
    (pairs, labels), (_, of_fake), (real, of_real) = shown
    assert torch.equal(pairs[:4], batch["image"]) and not torch.equal(pairs[4:], batch["image"])
    assert torch.equal(labels, batch["label"].repeat(2, 1))
    assert torch.equal(real, batch["1/image"])
    assert torch.equal(of_fake, batch["1/label"]) and torch.equal(of_real, batch["1/label"])
    assert torch.equal(made[0], batch["label"]) and torch.equal(made[1], batch["1/label"])


def no_loss(ahead: Tensor, behind: Tensor) -> Tensor:
    return 0 * (ahead + behind).sum()


def test_lazy_penalties_weigh_as_much_over_time_and_reach_every_parameter() -> None:
    gradients = []
    for interval in (1, 4):
        torch.manual_seed(0)
        gan = perturbed(make(penalty_interval=interval))
        run = runner(gan, lr=1e-30)
        name = {1: "D", 4: "D_gp"}[interval]
        run.phases = [p for p in gan.phases() if p.name == name]
        z = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(latents, "sample_z", lambda *_, z=z: z)
            if interval == 1:  # without the adversarial loss
                patch.setattr("gantrain.gans.r3gan.relativistic", no_loss)
            batch = pictures(gan)
            batch["image"] = torch.linspace(-1, 1, batch["image"].numel()).view_as(batch["image"])
            run.step([batch], Step(0, 0))
        assert [n for n, p in gan.D.named_parameters() if p.grad is None] == []
        gradients.append({n: p.grad.clone() for n, p in gan.D.named_parameters()})  # type: ignore[union-attr]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], 4 * gradient, rtol=1e-4, atol=1e-6)
        # D is piecewise linear in x: biases do not move its slope.
        assert (gradient == 0).all() == ("bias" in name), name


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(24, 16), (10, 16)])
def test_channels_and_rectangles(channels: int, size: tuple[int, int]) -> None:
    gan = R3GAN(ImageSpec({"image": channels}, size, 2, batch=4), **TINY, augment_p=0.5)
    run, batch = runner(gan), pictures(gan)
    assert batch["image"].shape == (4, channels, *size)
    run.step([batch], Step(0, 0))
    run.check()
    assert gan.G(torch.randn(2, 4), torch.eye(2)).shape == (2, channels, *size)


def test_schedules_reach_the_losses_and_the_probes() -> None:
    gan = make(gamma={**RAMP, "base": 4.0, "final": 2.0}, augment_p=RAMP)
    D, G = gan.phases()
    batch = pictures(gan)
    assert set(D.prepare(batch, Step(0, 0))) == {"gamma"} and gan.p == 0
    drawn = D.prepare(batch, Step(1, 5))
    assert float(drawn["gamma"]) == pytest.approx(3.0) and gan.p == pytest.approx(0.5)
    assert len(drawn["augment/pairs/cutout"]) == 8 and gan.report() == {"augment/p": gan.p}
    drawn = G.prepare(batch, Step(1, 10))
    assert not torch.equal(drawn["augment/real/color"], drawn["augment/fake/color"])
    assert not torch.equal(gan.judge(batch["image"], batch), gan.D(batch["image"]))


def test_the_first_step_moves_only_what_has_a_gradient() -> None:
    """W3 = 0 at first, so that blocks are the identity and W1, W2 wait for it."""
    torch.manual_seed(0)
    gan = make()
    before = {n: p.clone() for n, p in gan.D.named_parameters()}
    runner(gan).step([pictures(gan)], Step(0, 0))
    moved = {n for n, p in gan.D.named_parameters() if not torch.equal(p, before[n])}
    still = {n for n in before if any(part in n for part in ("conv1", "conv2", "bias"))}
    assert moved == set(before) - still


def test_initial_weights() -> None:
    """Standard deviations by He's rule, less for more blocks; labels scale neither G nor D."""
    torch.manual_seed(0)
    gan = R3GAN(ImageSpec({"image": 3}, (16, 16), 50, batch=4), z_dim=256, channel_max=256)
    gain = (2 / 1.04) ** 0.5 * 6**-0.25
    assert block_gain(6) == pytest.approx(gain)
    expected = {
        "G.stages.1.1.conv1.weight": gain / 256**0.5,
        "G.stages.1.1.conv2.weight": gain / (16 * 9) ** 0.5,
        "G.stages.0.0.basis": 1.0,
        "G.stages.0.0.linear.weight": 1 / 512**0.5,
        "G.to_image.weight": 1 / 256**0.5,
        "G.embed.linear.weight": 1 / 50**0.5,
        "D.stages.2.2.basis": 1 / 4,
        "D.embed.linear.weight": 1 / (50 * 256) ** 0.5,
    }
    parameters = dict(gan.named_parameters())
    for name, std in expected.items():
        assert float(parameters[name].detach().std()) == pytest.approx(std, rel=0.05), name
    assert all((p == 0).all() == ("conv3" in n or "bias" in n) for n, p in parameters.items())


PUBLISHED = [  # experiment, channels, label_dim; parameters of G and D; gamma, p, EMA; batch
    ("cifar10", 10, 20_781_952, 21_280_512, (0.05, 0.005), 0.55, 5000, 512),
    ("cifar10", 0, 20_732_160, 20_683_776, (0.05, 0.005), 0.55, 5000, 512),
    ("ffhq64", 0, 22_429_824, 22_381_440, (2, 0.2), 0.3, 500, 256),
    ("ffhq256", 0, 23_057_952, 23_009_568, (150, 15), 0.3, 500, 256),
    ("imagenet32", 1000, 82_914_304, 86_548_992, (0.5, 0.05), 0.5, 50_000, 4096),
    ("imagenet64", 1000, 103_570_432, 107_205_120, (1, 0.1), 0.4, 50_000, 4096),
]


@pytest.mark.parametrize(("name", "label_dim", "G", "D", "gamma", "p", "ema", "batch"), PUBLISHED)
def test_published_recipes(
    name: str,
    label_dim: int,
    G: int,
    D: int,
    gamma: tuple[float, float],
    p: float,
    ema: float,
    batch: int,
) -> None:
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        config = load(compose("train", [f"experiment=r3gan_{name}", "data.root=x"]), typed_keys=[])
    side = config.data["resolution"]
    settings = {key: value for key, value in config.model.items() if key != "_target_"}
    with torch.device("meta"):
        gan = R3GAN(ImageSpec({"image": 3}, (side, side), label_dim, batch), **settings)
    for player, count in (("G", G), ("D", D)):
        assert sum(x.numel() for x in getattr(gan, player).parameters()) == count
    last = 10**10
    assert [value_at(gan.gamma, n) for n in (0, last)] == pytest.approx(gamma)
    assert [value_at(gan.augment_p, n) for n in (0, last)] == pytest.approx([0, p])
    assert config.train.ema_kimg is not None and config.train.ema_rampup is None
    assert [value_at(config.train.ema_kimg, n) for n in (0, last)] == [0, ema]
    assert [value_at(config.optimizer["lr"], n) for n in (0, last)] == pytest.approx([2e-4, 5e-5])
    assert value_at(config.optimizer["betas"][1], last) == pytest.approx(0.99)
    assert config.train.batch == batch and config.data["flip"]
    assert bool(config.data["labels"]) == (name not in ("ffhq64", "ffhq256"))


def half_life(*typed: str) -> Callable[[int], float]:
    """images so far -> the half-life of G's average, of a config for 64 px."""
    with initialize_config_dir(version_base="1.3", config_dir=str(paths.config_dir())):
        config = load(compose("train", ["data.root=x", *typed]), typed_keys=[])
    config = derived.fill_in(config, (64, 64))
    plan = build.make_plan(config, images_per_epoch=100)

    def at(seen: int) -> float:
        # The average of 1 with a new 0, from which the half-life follows.
        source = torch.nn.Linear(1, 1)
        torch.nn.init.ones_(source.weight)
        ema = EMA(source, plan.ema_half_life, plan.ema_rampup)
        torch.nn.init.zeros_(source.weight)
        ema.update(source, 1000, seen)
        return 1000 * math.log(0.5) / math.log(max(float(ema.network.weight), 1e-30))  # type: ignore[arg-type]

    return at


def test_a_short_run_is_not_averaged_over_its_beginning() -> None:
    """The published half-life of 500 kimg would leave an average of the first images alone."""
    short = half_life("model=r3gan", "data=folder", "train.kimg=300")
    assert short(300_000) == pytest.approx(15_000, rel=1e-3)
    published = half_life("experiment=r3gan_ffhq64")
    default = half_life("model=r3gan", "data=folder")
    for seen in (4_000_000, 10_000_000, 15_000_000, 20_000_000):
        assert default(seen) == pytest.approx(published(seen)), seen
    assert published(20_000_000) == pytest.approx(500_000, rel=1e-2)


def test_bf16_trains_close_to_fp32() -> None:
    values = []
    for precision in ("fp32", "bf16"):
        torch.manual_seed(1)
        gan = perturbed(make(32))
        run = runner(gan, precision)
        torch.manual_seed(2)
        batch = pictures(gan)
        run.step([batch], Step(0, 0))
        values.append(run.stats.collect())
    for name in ("loss/G/adversarial", "loss/D/adversarial", "loss/D/r1", "loss/D/r2"):
        assert values[1][name] == pytest.approx(values[0][name], rel=0.05, abs=1e-3), name


def test_widths_that_groups_do_not_divide_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"multiples of 8"):
        make(channel_base=80, channel_max=20)


def test_preview() -> None:
    gan = make(label_dim=3)
    with torch.no_grad():
        columns = gan.preview(gan.G, pictures(gan))
    assert next(iter(columns)) == "real" and len(columns) == 7
    assert all(images.shape == (4, 3, 16, 16) for images in columns.values())


def test_the_pipe_is_that_of_the_paper() -> None:
    pipe = make().augment
    assert pipe.transforms == AugmentPipe("bgc").transforms | {"cutout"}
    assert pipe.shares == {"color": 0.5}


def test_labels_that_are_numbers() -> None:
    """The mean label is 0 for the networks: a constant beside it keeps the logits apart."""
    images = ImageSpec({"image": 3}, (16, 16), 1, batch=4, label_scale=[[30.0], [5.0]])
    gan = perturbed(R3GAN(images, **TINY))
    x, z = torch.randn(2, 3, 16, 16), torch.randn(1, 4)
    mean, above = torch.full((2, 1), 30.0), torch.full((2, 1), 35.0)
    logits = gan.D(x, mean)
    assert logits[0] != logits[1] and not torch.equal(gan.D(x, above), logits)
    embedded = gan.D.get_submodule("embed.linear").weight
    features = gan.D(x, above) - logits  # one deviation more: the first column alone
    assert torch.isfinite(features).all() and embedded.shape == (8, 2)
    assert not torch.equal(gan.G(z, mean[:1]), gan.G(z, above[:1]))
