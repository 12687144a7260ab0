"""Recorded phases compute what the same phases compute without a recording.

With backends that compile nothing, since inductor takes minutes on a CPU; see the end for those.
"""

import copy
import random
import shutil
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._dynamo.utils import counters

from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision, PrecisionName
from gantrain.engine.recorded_phase import RecordedPhases
from gantrain.errors import ConfigError
from gantrain.gans.base import GAN, Batch, ImageSpec, Phase, Step
from gantrain.gans.cut import CUT
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.gans.r3gan import R3GAN
from gantrain.gans.stylegan import StyleGAN
from gantrain.gans.stylegan3 import StyleGAN3
from gantrain.losses import squared_gradient
from gantrain.networks.stylegan2.layers import FullyConnected
from gantrain.networks.stylegan2.mapping import MappingNetwork
from gantrain.networks.stylegan3.generator import Config

STEPS = 5


def cyclegan(**settings: object) -> CycleGAN:
    images = ImageSpec({"a": 3, "b": 3}, (16, 16))
    small = {"blocks": 1, "ngf": 2, "ndf": 2, "d_layers": 1}
    return CycleGAN(images, **{**small, **settings})  # type: ignore[arg-type]


def stylegan(label_dim: int = 0, **settings: object) -> StyleGAN:
    images = ImageSpec({"image": 3}, (8, 8), label_dim, batch=4)
    small = {"z_dim": 4, "w_dim": 4, "channel_base": 32, "channel_max": 4, "augment_p": 0.6}
    lazy = {"r1_interval": 2, "pl_interval": 3, "ada_kimg": 0.1}
    return StyleGAN(images, **{**small, **lazy, **settings})  # type: ignore[arg-type]


def dcgan(**settings: object) -> DCGAN:
    return DCGAN(
        ImageSpec({"image": 3}, (8, 8), batch=4), z_dim=4, g_width=8, d_width=2, **settings
    )  # type: ignore[arg-type]


def r3gan(label_dim: int = 0, **settings: object) -> R3GAN:
    images = ImageSpec({"image": 3}, (8, 8), label_dim, batch=4)
    small = {"z_dim": 4, "channel_max": 8, "channel_base": 64}
    return R3GAN(images, **{**small, **settings})  # type: ignore[arg-type]


def batches(gan: GAN, size: int = 4, label_dim: int = 0) -> list[Batch]:
    draw = torch.Generator().manual_seed(7)
    side = (16, 16) if isinstance(gan, StyleGAN3) else (8, 8)
    streams = {"a": (16, 16), "b": (16, 16)} if gan.takes == "unpaired" else {"image": side}
    if gan.real_batches == 2:
        streams["1/image"] = (8, 8)

    def batch() -> Batch:
        images = {
            name: torch.rand(size, 3, *side, generator=draw, dtype=torch.float64) * 2 - 1
            for name, side in streams.items()
        }
        label = torch.eye(label_dim).double().repeat(size, 1)[:size] if label_dim else None
        names = [name.replace("image", "label") for name in streams]
        return images | ({} if label is None else dict.fromkeys(names, label))

    return [batch() for _ in range(STEPS)]


def train(
    gan: GAN,
    data: list[Batch],
    recorded: RecordedPhases | None,
    sizes: list[int] | None = None,
    precision: PrecisionName = "fp32",
) -> list[dict[str, float]]:
    """Train for some steps on microbatches of the given sizes; return the losses and scores."""
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 1e-3})
    device = Precision(torch.device("cpu"), precision)
    runner = PhaseRunner(gan, optimizers, device, "halt", recorded=recorded)
    rows = []
    for i, batch in enumerate(data):
        parts = {k: x.split(sizes or [len(x)]) for k, x in batch.items()}
        count = len(next(iter(parts.values())))
        step = Step(i, i * 4, seed=i)
        runner.step([{k: x[j] for k, x in parts.items()} for j in range(count)], step)
        gan.adapt(step)
        rows.append(runner.stats.collect())
    return rows


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def assert_same(
    gan: GAN, data: list[Batch], backend: str = "aot_eager", **settings: object
) -> RecordedPhases:
    """Train two copies, one of them recorded, and compare all that they computed."""
    twin = copy.deepcopy(gan)
    recorded = RecordedPhases(twin, compiled=True, cuda_graphs=False, backend=backend)
    expected = train(gan, data, None, **settings)  # type: ignore[arg-type]
    found = train(twin, data, recorded, **settings)  # type: ignore[arg-type]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12)
    state = twin.state_dict()
    for name, x in gan.state_dict().items():
        if isinstance(x, Tensor):
            torch.testing.assert_close(state[name], x, rtol=1e-10, atol=1e-12)
    return recorded


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("loss", ["lsgan", "wgan_gp"])
def test_cyclegan(loss: str) -> None:
    gan = cyclegan(loss=loss, pool_size=2)
    assert_same(gan, batches(gan, size=2))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("loss", ["lsgan", "wgan_gp"])
def test_cut(loss: str) -> None:
    """Two players of a phase; mirrored steps and others have recordings of their own."""
    small = {"blocks": 1, "ngf": 2, "ndf": 2, "d_layers": 1, "num_patches": 9, "head_width": 4}
    spec = ImageSpec({"a": 3, "b": 3}, (16, 16))
    # Adam would make steps of the rounding errors in biases in front of an instance norm.
    options = {"flip_equivariance": True, "spectral_norm": True, "norm": "none", "init_gain": 1.0}
    gan = CUT(spec, loss=loss, **options, **small)
    recorded = assert_same(gan, batches(gan, size=2), sizes=[1, 1])
    assert recorded.count == 4


@pytest.mark.usefixtures("float64")
def test_batch_norm_and_unequal_microbatches() -> None:
    gan = dcgan()
    recorded = assert_same(gan, batches(gan, size=6), sizes=[2, 2, 2])
    assert recorded.count == 2
    recorded = assert_same(gan, batches(gan, size=7), sizes=[2, 2, 3])
    assert recorded.count == 4  # the last microbatch has a recording of its own


@pytest.mark.usefixtures("float64")
def test_all_phases_of_stylegan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Penalties, labels, style mixing, noise, and augmentation with a p that is 0 at first."""

    def adapt(gan: StyleGAN, step: Step) -> None:
        gan.ada.p = 0.4 * step.index

    monkeypatch.setattr(StyleGAN, "adapt", adapt)
    gan = stylegan(label_dim=3, augment_spec="bgcfnc", augment_p=0.0)
    recorded = assert_same(gan, batches(gan, label_dim=3)[:3])
    # Once without and once with augmentation; the path length has none.
    assert recorded.count == 7


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("interval", [1, 2])
def test_all_phases_of_r3gan(interval: int) -> None:
    """Pairs, labels, penalties, a weight and a p that change, from p = 0 on."""
    ramps = [{"base": a, "final": b, "kimg": 0.01, "shape": "cosine"} for a, b in ((2, 1), (0, 1))]
    gan = r3gan(3, gamma=ramps[0], augment_p=ramps[1], penalty_interval=interval)
    recorded = assert_same(gan, batches(gan, label_dim=3))
    assert recorded.count == len(gan.phases())  # p = 0 has no recording of its own


@pytest.mark.usefixtures("float64")
def test_latent_cycle_and_critic() -> None:
    gan = stylegan(loss="wgan_gp", augment="none", lambda_latent=1.0, adversarial_kimg=0.008)
    recorded = assert_same(gan, batches(gan))
    assert recorded.count == 4  # G before and after the start of the cycle, G_pl, D


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("config", ["t", "r"])
def test_all_phases_of_stylegan3(config: Config) -> None:
    """The running means move inside the recording; the blur fades out after 8 images."""
    gan = StyleGAN3(
        ImageSpec({"image": 3}, (16, 16), batch=4), config=config, z_dim=4, w_dim=4,
        channel_base=32, channel_max=2, r1_interval=2, blur_kimg=0.008, augment_p=0.6,
    )  # fmt: skip
    recorded = assert_same(gan, batches(gan)[:4])
    assert recorded.count == (3 if config == "t" else 6)  # with the blur and without


def test_nothing_is_recorded_or_compiled_after_the_first_step() -> None:
    """Neither for a phase that is due later, nor for schedules, nor for a resumed run."""
    torch._dynamo.reset()
    counters.clear()
    gan = stylegan(augment="fixed").float()
    data = [{k: x.float() for k, x in batch.items()} for batch in batches(gan)]
    recorded = RecordedPhases(gan, compiled=True, cuda_graphs=False, backend="eager")
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 1e-3})
    precision = Precision(torch.device("cpu"), "fp32")
    runner = PhaseRunner(gan, optimizers, precision, "halt", recorded=recorded)
    graphs = []
    for i, batch in enumerate(data):
        for optimizer in optimizers.values():
            optimizer.param_groups[0]["lr"] = 1e-3 / (i + 1)
        runner.step([batch], Step(3 * i + 1, i * 4))  # no penalty is due in the first one
        gan.ada.p = 0.1 + 0.1 * i
        graphs.append((recorded.count, counters["stats"]["unique_graphs"]))
    assert graphs == [(4, 4)] * STEPS


class Plugin(GAN):
    """A GAN of somebody else; `losses` are those of its only phase."""

    def __init__(self, losses: object) -> None:
        super().__init__()
        self.G, self.D = nn.Linear(2, 2), nn.Linear(2, 1)
        self.phase = Phase("G", "G", losses)  # type: ignore[arg-type]

    def phases(self) -> list[Phase]:
        return [self.phase]


def run_plugin(losses: object) -> None:
    gan: Plugin = Plugin(lambda batch, step: losses(gan, batch, step))  # type: ignore[operator]
    train(gan, [{"x": torch.ones(4, 2)}], RecordedPhases(gan, True, False, backend="eager"))


class EveryOther(Plugin):
    """D in every step, G in every third; G leaves "fake" for H, which has no own step before."""

    def __init__(self) -> None:
        super().__init__(None)

    def phases(self) -> list[Phase]:
        return [
            Phase("D", "D", self.d),
            Phase("G", "G", self.g, 3, lazy=False),
            Phase("H", "D", self.h, 3, lazy=False),
        ]

    def d(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"x": self.D(self.G(batch["x"])).square().mean()}

    def g(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        fake = self.G(batch["x"] + torch.randn_like(batch["x"]))
        batch["fake"] = fake.detach()
        yield {"x": self.D(fake).mean()}

    def h(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"x": self.D(batch["fake"]).mean()}


def test_a_phase_that_is_first_due_after_a_resume_is_compiled_once() -> None:
    """Whichever player was trained last; and it has what an earlier phase would have left."""
    torch._dynamo.reset()
    counters.clear()
    torch.manual_seed(0)
    gan = EveryOther()
    twin = copy.deepcopy(gan)
    losses = []
    for trained in (gan, twin):
        recorded = (
            RecordedPhases(trained, True, False, backend="eager") if trained is twin else None
        )
        optimizers = build_optimizers(trained, torch.optim.SGD, {"lr": 0.1})
        precision = Precision(torch.device("cpu"), "fp32")
        runner = PhaseRunner(trained, optimizers, precision, "halt", recorded=recorded)
        for index in range(1, 5):
            runner.step([{"x": torch.ones(4, 2)}], Step(index, index))
        losses.append(runner.stats.collect())
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert {"loss/G/x", "loss/H/x"} <= losses[0].keys()
    assert counters["stats"]["unique_graphs"] == 3


def test_losses_that_read_the_step_are_refused() -> None:
    def losses(gan: GAN, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"x": gan.G(batch["x"]).mean() * min(step.nimg, 1)}

    with pytest.raises(ConfigError, match=r"phase G read step\.nimg.*Phase\.prepare"):
        run_plugin(losses)


def test_random_numbers_of_the_host_are_refused() -> None:
    def losses(gan: GAN, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"x": gan.G(batch["x"]).mean() * random.random()}

    with pytest.raises(ConfigError, match=r"random numbers on the host.*Phase\.prepare"):
        run_plugin(losses)


def test_random_numbers_of_numpy_are_refused_after_others() -> None:
    """Between two refills of numpy's generator only its position changes."""

    def losses(gan: GAN, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"x": gan.G(batch["x"]).mean() * float(np.random.rand())}

    def draw(batch: Batch, step: Step) -> Batch:
        return {"drawn": torch.tensor(np.random.rand())}

    gan = Plugin(None)
    gan.phase = Phase("G", "G", lambda batch, step: losses(gan, batch, step), prepare=draw)
    with pytest.raises(ConfigError, match="random numbers on the host"):
        train(gan, [{"x": torch.ones(4, 2)}], RecordedPhases(gan, True, False, backend="eager"))


def test_replaced_buffers_and_modules_of_two_names_are_refused() -> None:
    def replaces(gan: GAN, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        y = gan.G(batch["x"]).mean()
        gan.mean = 0.9 * gan.mean + y.detach()  # type: ignore[operator]
        yield {"x": y}

    gan = Plugin(lambda batch, step: replaces(gan, batch, step))
    gan.register_buffer("mean", torch.zeros(()))
    recorded = RecordedPhases(gan, True, False, backend="eager")
    with pytest.raises(ConfigError, match=r"replace the buffer mean.*in place"):
        train(gan, [{"x": torch.ones(4, 2)}], recorded)

    def plain(gan: GAN, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"x": gan.G(batch["x"]).mean()}

    twice = Plugin(lambda batch, step: plain(twice, batch, step))
    twice.again = twice.G
    recorded = RecordedPhases(twice, True, False, backend="eager")
    with pytest.raises(ConfigError, match="G and again of Plugin are one module"):
        train(twice, [{"x": torch.ones(4, 2)}], recorded)


def test_prepared_entries_may_not_take_the_names_of_the_batch() -> None:
    gan = Plugin(None)
    gan.phase = Phase("G", "G", gan.phase.losses, prepare=lambda batch, step: {"x": batch["x"]})
    with pytest.raises(ConfigError, match=r"phase G prepares has names of the batch \(x\)"):
        train(gan, [{"x": torch.ones(4, 2)}], None)


def test_errors_of_the_losses_are_not_errors_of_the_recording() -> None:
    def losses(gan: GAN, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        yield {"x": gan.G(batch["x"].T).mean()}

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        run_plugin(losses)


def test_branches_on_values_are_refused() -> None:
    def losses(gan: GAN, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        y = gan.G(batch["x"]).mean()
        yield {"x": y if y > 0 else -y}

    with pytest.raises(ConfigError, match=r"cannot be recorded.*runtime\.compile=false"):
        run_plugin(losses)


def test_a_phase_without_gradient_of_some_weights() -> None:
    """Such a weight keeps no gradient, and so Adam skips it, as without a recording."""

    class Partial(Plugin):
        def __init__(self) -> None:
            super().__init__(self.losses)
            self.G = nn.ModuleDict({"used": nn.Linear(2, 2), "unused": nn.Linear(2, 2)})

        def losses(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
            assert isinstance(self.G, nn.ModuleDict)
            yield {"x": self.G["used"](batch["x"]).mean()}

    gan = Partial()
    train(gan, [{"x": torch.ones(4, 2)}], RecordedPhases(gan, True, False, backend="eager"))
    assert gan.G["used"].weight.grad is not None  # type: ignore[index]
    assert gan.G["unused"].weight.grad is None  # type: ignore[index]


class Small(GAN):
    """StyleGAN's mapping against a layer with R1: products, noise, a buffer, double backward."""

    takes = "images"

    def __init__(self) -> None:
        super().__init__()
        self.G = MappingNetwork(4, 0, 4, num_ws=1, layers=2)
        self.D = nn.Sequential(FullyConnected(4, 4, "lrelu"), FullyConnected(4, 1))

    def phases(self) -> list[Phase]:
        return [Phase("G", "G", self.g), Phase("D_r1", "D", self.r1, 2, True)]

    def g(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        ws = self.G(torch.randn_like(batch["image"]), update_w_avg=True)
        yield {"x": F.softplus(-self.D(ws[:, 0])).mean()}

    def r1(self, batch: Batch, step: Step) -> Iterator[dict[str, Tensor]]:
        x = (batch["image"] + torch.randn_like(batch["image"])).requires_grad_(True)
        yield {"x": squared_gradient(self.D(x).sum(1), x).mean()}


@pytest.mark.ci
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor compiles with g++")
@pytest.mark.usefixtures("float64")
def test_inductor_computes_the_same_with_the_same_random_numbers() -> None:
    draw = torch.Generator().manual_seed(1)
    data = [{"image": torch.randn(4, 4, generator=draw)} for _ in range(3)]
    assert_same(Small(), data, backend="inductor")


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor compiles with g++")
@pytest.mark.usefixtures("float64")
def test_inductor_computes_the_same_for_all_phases_of_stylegan() -> None:
    gan = stylegan(augment="none")
    assert_same(gan, batches(gan)[:2], backend="inductor")


@pytest.mark.parametrize(("slowed", "says"), [(1, True), (0, False)])
def test_a_compiler_that_makes_a_step_slower_is_told(slowed: int, says: bool) -> None:
    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        def run(*arguments: Tensor) -> object:
            time.sleep(slowed)
            return results  # instead of computing them: faster than any phase

        results = graph(*inputs)
        return run

    said: list[str] = []
    gan = dcgan()
    recorded = RecordedPhases(gan, True, False, said.append, backend)  # type: ignore[arg-type]
    train(gan, [{"image": batches(gan)[0]["image"].float()}], recorded)
    slower = [line for line in said if "without compiling" in line]
    assert len(slower) == says
    if says:
        assert slower[0].startswith("Compiled, a step takes 2") and slower[0].endswith(
            " s: runtime.compile=false is faster."
        )


def test_bf16_computes_the_same() -> None:
    gan = cyclegan()
    # One step: after it, bf16 has made more of a difference of 1e-5 than a tolerance could tell.
    data = [{name: x.float() for name, x in batches(gan, size=1)[0].items()}]
    twin = copy.deepcopy(gan)
    expected = train(gan, data, None, precision="bf16")
    recorded = RecordedPhases(twin, True, False, backend="eager")
    found = train(twin, data, recorded, precision="bf16")
    # Gradients are added up in another order.
    assert found[0] == pytest.approx(expected[0], rel=1e-3)


def test_what_a_compiler_raises_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def backend(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., object]:
        raise ImportError("/x/c.so: file too short")

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/cache/compiled")
    gan = dcgan()
    recorded = RecordedPhases(gan, True, False, backend=backend)  # type: ignore[arg-type]
    told = r"phase D of DCGAN cannot be recorded \(ImportError: /x/c.so: file too short\): add "
    told += "runtime.compile=false, or delete /cache/compiled, which a start killed "
    with pytest.raises(ConfigError, match=told):
        train(gan, [{"image": batches(gan)[0]["image"].float()}], recorded)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="inductor compiles with g++")
@pytest.mark.usefixtures("float64")
def test_inductor_computes_the_same_for_all_phases_of_stylegan3() -> None:
    gan = StyleGAN3(
        ImageSpec({"image": 3}, (16, 16), batch=4), z_dim=4, w_dim=4, channel_base=32,
        channel_max=2, r1_interval=2, augment="none",
    )  # fmt: skip
    assert_same(gan, batches(gan)[:2], backend="inductor")
