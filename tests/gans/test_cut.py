"""CUT: passes saved, draws, flips and players; the reference's numbers are in test_cut_golden."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gantrain.engine import seeding
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.errors import ConfigError
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.cut import CUT
from tests.gans.test_cyclegan import batches

CPU = torch.device("cpu")


def make(channels: tuple[int, int] = (3, 3), side: int = 16, **settings: Any) -> CUT:
    torch.manual_seed(0)
    images = ImageSpec(dict(zip("ab", channels, strict=True)), (side, side))
    small = {"ngf": 2, "ndf": 2, "blocks": 1, "d_layers": 2, "num_patches": 20, "head_width": 6}
    return CUT(images, **small | settings).double()


def train(gan: CUT, data: list[dict[str, Tensor]], microbatch: int = 99) -> list[dict[str, float]]:
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 2e-3, "betas": (0.5, 0.999)})
    runner = PhaseRunner(gan, optimizers, Precision(CPU, "fp32"), "halt")
    history = []
    for i, batch in enumerate(data):
        size = len(batch["a"])
        parts = [
            {k: v[j : j + microbatch] for k, v in batch.items()} for j in range(0, size, microbatch)
        ]
        runner.step(parts, Step(i, i * size, seeding.derive(0, "step", i)))
        history.append(runner.stats.collect())
    return history


@pytest.mark.parametrize("loss", ["lsgan", "vanilla", "hinge", "wgan_gp"])
@pytest.mark.parametrize("fast_cut", [False, True])
def test_fast_equals_reference(loss: str, fast_cut: bool) -> None:
    data = batches(5, size=2)
    settings = {"loss": loss, "nce_identity": not fast_cut, "flip_equivariance": fast_cut}
    slow, fast = (train(make(mode=mode, **settings), data) for mode in ("reference", "fast"))
    for theirs, ours in zip(slow, fast, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("settings", [{"norm": "batch"}, {"dropout": True}])
def test_what_mixes_or_drops_is_never_batched(settings: dict[str, Any]) -> None:
    data = batches(3, size=2)
    slow, fast = (train(make(mode=m, **settings), data) for m in ("reference", "fast"))
    assert fast == slow


@pytest.mark.parametrize("inputs", [["a"], ["a", "b"]])
def test_keys_from_the_translating_pass_are_those_of_a_pass_of_their_own(inputs: list[str]) -> None:
    gan, (batch,) = make(), batches(1, size=2)
    _, *features = gan.translate(torch.cat([batch[d] for d in inputs]))
    for i, d in enumerate(inputs):
        for found, expected in zip(features, gan.encode(batch[d]), strict=True):
            torch.testing.assert_close(
                found.chunk(len(inputs))[i], expected, atol=1e-13, rtol=1e-13
            )
    alone = gan.translate(batch["a"])[1:]
    assert all(torch.equal(x, y) for x, y in zip(alone, gan.encode(batch["a"]), strict=True))


@pytest.mark.parametrize(
    ("settings", "encoded", "decoded"),
    [
        # Images through the encoder: D's fake, a (and b), their translations, and the keys.
        ({"mode": "reference"}, 1 + 2 + 2 + 2, 3),
        ({}, 1 + 2 + 2, 3),
        ({"mode": "reference", "nce_identity": False}, 1 + 1 + 1 + 1, 2),
        ({"nce_identity": False}, 1 + 1 + 1, 2),
        ({"lambda_nce": 0}, 1 + 2, 3),
    ],
)
def test_passes(settings: dict[str, Any], encoded: int, decoded: int) -> None:
    gan, images = make(**settings), {"first": 0, "last": 0}

    def count(name: str) -> Any:
        def hook(_: nn.Module, args: tuple[Tensor]) -> None:
            images[name] += len(args[0])

        return hook

    gan.generator.model[1].register_forward_pre_hook(count("first"))
    gan.generator.model[-2].register_forward_pre_hook(count("last"))
    train(gan, batches(1))
    assert images == {"first": encoded, "last": decoded}


@pytest.mark.parametrize(
    "settings",
    [{}, {"nce_identity": False, "flip_equivariance": True}, {"spectral_norm": True}],
)
def test_microbatches_are_the_whole_batch(settings: dict[str, Any]) -> None:
    """Places and flips are shared, so that contrasts within images do not depend on the split."""
    data = batches(4, size=4)
    gans = [make(**settings) for _ in range(2)]
    whole, parts = train(gans[0], data), train(gans[1], data, microbatch=1)
    for a, b in zip(whole, parts, strict=True):
        assert b == pytest.approx(a, rel=1e-8)
    for p, q in zip(gans[0].parameters(), gans[1].parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-6, atol=1e-6)


def test_the_generator_is_judged_by_the_updated_discriminator() -> None:
    gan, (batch,) = make(lambda_nce=0), batches(1)
    fake = gan.generator(batch["a"]).detach()
    [losses] = train(gan, [batch])
    updated = (gan.D["b"](fake) - 1).square().mean().item()
    assert losses["loss/G/adversarial"] == pytest.approx(updated, rel=1e-12)


def test_every_player_moves_in_its_own_phase_alone() -> None:
    gan, (batch,) = make(), batches(1)
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 1e-3})
    assert list(optimizers) == ["D", "G", "F"]
    runner = PhaseRunner(gan, optimizers, Precision(CPU, "fp32"), "halt")
    for phase, movers in ((gan.phases()[0], {"D"}), (gan.phases()[1], {"G", "F"})):
        before = {k: p.detach().clone() for k, p in gan.named_parameters()}
        runner.phases = [phase]
        runner.step([dict(batch)], Step(0, 0))
        moved = {k[0] for k, p in gan.named_parameters() if not torch.equal(p, before[k])}
        assert moved == movers


def test_places_are_subsets_that_differ_between_layers_domains_and_steps() -> None:
    gan, (batch,) = make(side=32), batches(1, side=32)
    shapes = gan.generator.feature_shapes(32, 32, gan.layers)
    counts = [min(20, h * w) for _, h, w in shapes]
    drawn = []
    for seed in (1, 2, 1):
        entries = gan.prepare_patches(batch, Step(0, 0, seed))
        for d in "ab":
            assert sum(counts) == len(entries[f"patches_{d}"])
            for places, (_, h, w) in zip(
                entries[f"patches_{d}"].split(counts), shapes, strict=True
            ):
                assert len(places.unique()) == len(places) and places.min() >= 0
                assert places.max() < h * w
        drawn += [entries["patches_a"], entries["patches_b"]]
    assert torch.equal(drawn[0], drawn[4]) and torch.equal(drawn[1], drawn[5])
    assert not torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_half_of_the_steps_are_mirrored_and_both_phases_agree() -> None:
    gan, (batch,) = make(flip_equivariance=True, nce_identity=False), batches(1)
    flips = []
    for i in range(400):
        step = Step(i, i, seeding.derive(3, "step", i))
        for_d, for_g = gan.prepare_flip(batch, step), gan.prepare_patches(batch, step)
        assert ("flipped_a" in for_d) == ("flipped_a" in for_g)
        flips.append("flipped_a" in for_d)
    assert 160 < sum(flips) < 240
    assert not make().prepare_flip(batch, Step(0, 0))


def test_the_gradient_of_a_mirrored_step() -> None:
    """Beside differences of the loss, in the weight of each layer of G that matters most."""
    settings: dict[str, Any] = {"nce_identity": False, "lambda_nce": 10, "init_gain": 1.0}
    gan, (batch,) = make(flip_equivariance=True, **settings), batches(1)
    seed = next(s for s in range(99) if gan.prepare_flip(batch, Step(0, 0, s)))
    entries = {**batch, **gan.prepare_patches(batch, Step(0, 0, seed))}
    # The keys are constants: those of the weights before the differences.
    keys, encode = gan.encode(batch["a"]), gan.encode
    gan.encode = lambda x: keys if torch.equal(x, batch["a"]) else encode(x)  # type: ignore[method-assign]

    def loss() -> Tensor:
        [losses] = gan.generator_losses(dict(entries), Step(0, 0))
        return losses["adversarial"] + losses["nce"]

    parameters = [p for p in gan.G.parameters() if p.ndim == 4]
    for p, gradient in zip(parameters, torch.autograd.grad(loss(), parameters), strict=True):
        i, values = int(gradient.abs().argmax()), []
        for change in (1e-6, -2e-6):
            p.data.view(-1)[i] += change
            values.append(loss().item())
        p.data.view(-1)[i] += 1e-6
        slope = (values[0] - values[1]) / 2e-6
        assert gradient.view(-1)[i].item() == pytest.approx(slope, rel=1e-5)


def test_all_negatives_are_more() -> None:
    data = batches(1, size=3)
    few, all_of_them = (train(make(all_negatives=b), data)[0] for b in (False, True))
    assert all_of_them["loss/G/nce"] > few["loss/G/nce"]


def test_the_other_direction() -> None:
    (batch,) = batches(1)
    gan = make(direction="ba", nce_identity=False)
    assert list(gan.G) == ["ba"] and list(gan.D) == ["a"]
    assert set(train(gan, [batch])[0]) == {
        "loss/D/real", "loss/D/fake", "loss/G/adversarial", "loss/G/nce", "grad_norm/D",
        "grad_norm/G",
    }  # fmt: skip
    assert list(gan.preview(gan.G, batch)) == ["real b", "fake a", "identity a"]


def test_domains_of_different_channels_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"a have 1 channel and those of b 3.*model=cyclegan"):
        make(channels=(1, 3))


def test_layers_are_those_that_exist() -> None:
    assert make(nce_layers=[8, 0]).derived() == {"nce_layers": [0, 8]}
    with pytest.raises(ConfigError, match=r"layer 40.*nce_layers=null"):
        make(nce_layers=[0, 40])
    with pytest.raises(ConfigError, match=r"names no layer.*nce_layers=null"):
        make(nce_layers=[])


def test_initialization_is_xavier_of_gain_one_fiftieth() -> None:
    gan = make(ngf=32, head_width=128)
    weight = gan.F.mlp_2[2].weight  # type: ignore[index]
    assert weight.std().item() == pytest.approx(0.02 * (2 / 256) ** 0.5, rel=0.05)
    assert not any(p.any() for k, p in gan.named_parameters() if k.endswith("bias"))
