"""pix2pix beyond its published defaults; the numbers are those of test_pix2pix_golden.py."""

import pytest
import torch
from torch import nn

from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import NonFiniteGradient, OnNonfinite, PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans.base import Batch, ImageSpec, Step
from gantrain.gans.pix2pix import Pix2Pix
from gantrain.losses import ADVERSARIAL
from gantrain.networks.eval_mode import Dropout
from tests.engine.test_nan_tracing import Faulty, logarithm
from tests.engine.test_recorded_phase import assert_same
from tests.helpers.command_line import differences

CPU = Precision(torch.device("cpu"), "fp32")


def make(channels: tuple[int, int] = (3, 3), **settings: object) -> Pix2Pix:
    torch.manual_seed(0)
    images = ImageSpec(dict(zip("ab", channels, strict=True)), (16, 16))
    small = {"generator": "resnet", "ngf": 2, "ndf": 2, "blocks": 1, "d_layers": 1}
    return Pix2Pix(images, **{**small, **settings}).double()  # type: ignore[arg-type]


def batches(count: int, size: int = 2, channels: tuple[int, int] = (3, 3)) -> list[Batch]:
    draw = torch.Generator().manual_seed(1)
    return [
        {
            domain: torch.rand(size, n, 16, 16, generator=draw, dtype=torch.float64) * 2 - 1
            for domain, n in zip("ab", channels, strict=True)
        }
        for _ in range(count)
    ]


def runner_of(gan: Pix2Pix, policy: OnNonfinite = "halt") -> PhaseRunner:
    settings = {"lr": 2e-3, "betas": (0.5, 0.999)}
    return PhaseRunner(gan, build_optimizers(gan, torch.optim.Adam, settings), CPU, policy)


def train(runner: PhaseRunner, data: list[Batch], microbatch: int = 99) -> list[dict[str, float]]:
    rows = []
    for i, batch in enumerate(data):
        parts = zip(*(x.split(microbatch) for x in batch.values()), strict=True)
        runner.step([dict(zip(batch, part, strict=True)) for part in parts], Step(i, 2 * i))
        rows.append(runner.stats.collect())
    return rows


def assert_equal(ours: Pix2Pix, theirs: Pix2Pix) -> None:
    assert differences(ours.state_dict(), theirs.state_dict()) == []


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_second_pass_equals_the_kept_graph(norm: str) -> None:
    """Also in its dropout, and it leaves running statistics alone."""
    first, second = make(norm=norm), make(norm=norm)
    ours, theirs = runner_of(first), runner_of(second)
    theirs._continued = set()
    assert train(ours, batches(4)) == train(theirs, batches(4))
    assert_equal(first, second)
    counts = [x for name, x in first.G.state_dict().items() if "num_batches" in name]
    assert len(counts) == 7 * (norm == "batch") and all(x == 4 for x in counts)
    counts = [x for name, x in first.D.state_dict().items() if "num_batches" in name]
    assert len(counts) == (norm == "batch") and all(x == 12 for x in counts)  # three passes


def test_microbatches_average() -> None:
    settings = {"norm": "instance", "dropout": False}
    whole, parts = make(**settings), make(**settings)
    a, b = train(runner_of(whole), batches(4, 4)), train(runner_of(parts), batches(4, 4), 1)
    for ours, theirs in zip(b, a, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-9)
    for p, q in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-7, atol=1e-7)


def test_microbatches_of_batch_norm_move_its_statistics_by_their_mean() -> None:
    gan = make()
    (batch,) = batches(1)
    before = {k: x.clone() for k, x in gan.D.state_dict().items() if "running_mean" in k}
    alone = []
    for i in range(2):
        one = make()
        train(runner_of(one), [{k: x[i : i + 1] for k, x in batch.items()}])
        alone.append(one.D.state_dict())
    train(runner_of(gan), [batch], microbatch=1)
    # In the phase D; G's phase then sees another D, which two images have trained.
    for key, start in before.items():
        moved = gan.D.state_dict()[key] - start
        mean = (alone[0][key] + alone[1][key]) / 2 - start
        assert moved.norm() > 0 and (moved - mean).norm() < 0.35 * moved.norm()


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("settings", [{}, {"loss": "wgan_gp", "pool_size": 2}])
@pytest.mark.parametrize("sizes", [[2], [1, 1]])
def test_recorded_phases_compute_the_same(settings: dict[str, object], sizes: list[int]) -> None:
    assert_same(make(**settings), batches(4), sizes=sizes)


@pytest.mark.parametrize("loss", ["lsgan", "vanilla", "hinge", "wgan_gp"])
def test_losses_are_those_of_the_paper(loss: str) -> None:
    gan = make(loss=loss, dropout=False, norm="instance", lambda_l1=50.0)
    (batch,) = batches(1)
    a, b, game = batch["a"], batch["b"], ADVERSARIAL[loss]
    with torch.no_grad():
        fake = gan.G["ab"](a)
        fake_logits, real_logits = (gan.D["b"](torch.cat([a, x], 1)) for x in (fake, b))
    (row,) = train(runner_of(gan), [batch])
    with torch.no_grad():
        updated = gan.D["b"](torch.cat([a, fake], 1))  # G has played against the updated D
    assert row["loss/D/fake"] == pytest.approx(0.5 * game.fake(fake_logits).item(), rel=1e-9)
    assert row["loss/D/real"] == pytest.approx(0.5 * game.real(real_logits).item(), rel=1e-9)
    assert row["loss/G/adversarial"] == pytest.approx(game.generator(updated).item(), rel=1e-9)
    assert row["loss/G/l1"] == pytest.approx(50 * (fake - b).abs().mean().item(), rel=1e-9)
    assert ("loss/D/gp" in row) == (loss == "wgan_gp")


def test_weights_are_schedules_and_none_is_no_work() -> None:
    gan = make(lambda_l1=[[0, 0.0], [0.004, 100.0]], lambda_adversarial=0.0)
    rows = train(runner_of(gan), batches(3))
    assert [{k for k in row if k.startswith("loss/G")} for row in rows] == [
        set(), {"loss/G/l1"}, {"loss/G/l1"},
    ]  # fmt: skip
    assert "grad_norm/G" not in rows[0]


def test_the_pool_holds_pairs() -> None:
    gan = make(pool_size=3, channels=(1, 2), dropout=False)
    data = batches(2, channels=(1, 2))
    train(runner_of(gan), data)
    assert [x.shape for x in gan.pool.images] == [(3, 16, 16)] * 3
    assert torch.equal(gan.pool.images[0][:1], data[0]["a"][0])


@pytest.mark.parametrize("where", ["G", "D"])
def test_a_skipped_step_leaves_no_trace(where: str) -> None:
    def after(skipped: bool) -> tuple[PhaseRunner, Pix2Pix]:
        gan, fault = make(), Faulty(logarithm)
        network = gan.G["ab"].model if where == "G" else gan.D["b"].model
        assert isinstance(network, nn.Sequential)
        network.insert(1, fault)
        runner = runner_of(gan, "skip")
        for i, batch in enumerate(batches(4)):
            fault.armed = i == 2
            if skipped or i != 2:
                runner.step([batch], Step(i, 2 * i))
        return runner, gan

    (runner, gan), (_, expected) = after(True), after(False)
    assert [phase for _, phase, _ in runner.nonfinite_origins] == ["D", "G"]
    assert all(f"came in {where}." in origin for *_, origin in runner.nonfinite_origins)
    assert_equal(gan, expected)


def test_a_bad_number_is_traced() -> None:
    gan = make()
    gan.G["ab"].model.insert(2, Faulty(lambda x: (x - x.detach()).sqrt() + x))  # type: ignore[operator]
    with pytest.raises(NonFiniteGradient, match=r"came in G\.ab\.model\.2 \(Faulty\) in the backw"):
        train(runner_of(gan), batches(1))


def test_d_judges_pairs_and_previews_show_them() -> None:
    gan = make().eval()
    (batch,) = batches(1)
    logits = gan.judge_translation(batch["b"], batch["a"], "ab")
    pair = torch.cat([batch["a"], batch["b"]], 1)
    assert torch.equal(logits, gan.D["b"](pair).mean((1, 2, 3))) and logits.shape == (2,)
    assert list(gan.preview(gan.G, batch)) == ["real a", "fake b", "real b"]


def test_published_defaults() -> None:
    gan = Pix2Pix(ImageSpec({"a": 3, "b": 3}, (256, 256)))
    assert sum(p.numel() for p in gan.G.parameters()) == 54_413_955
    assert sum(p.numel() for p in gan.D.parameters()) == 2_768_705
    assert sum(isinstance(m, Dropout) for m in gan.modules()) == 3
    assert gan.size_multiple == 256
