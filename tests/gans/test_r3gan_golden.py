"""Six iterations of D, G and the average against the reference implementation's numbers."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from gantrain.engine.ema import EMA
from gantrain.engine.optim import build_optimizers, scheduled, set_scheduled
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans import latents
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.r3gan import R3GAN
from gantrain.networks.r3gan import R3GANDiscriminator, R3GANGenerator, from_reference_names
from gantrain.types import value_at
from tests.helpers.golden_files import load, under

META, ARRAYS = load("r3gan_training_steps")
TABLES, VALUES = load("r3gan_schedules")
BATCH = META["batch"]
RAMPS = {
    name: {
        "base": s["base_value"],
        "final": s["final_value"],
        "kimg": s["total_nimg"] / 1000,
        "shape": "cosine",
    }
    for name, s in META["schedules"].items()
}


def make_gan() -> R3GAN:
    """With the widths of the file, which no channel_base has."""
    gan = R3GAN(ImageSpec({"image": 3}, (16, 16), batch=BATCH), channel_max=8, gamma=RAMPS["gamma"])
    sizes = {"widths": META["G"]["WidthPerStage"], "blocks": [2, 2, 2], "group_width": 8}
    gan.G = R3GANGenerator([16, 16], z_dim=META["G"]["NoiseDimension"], **sizes)
    gan.D = R3GANDiscriminator([16, 16], **sizes)
    for network, key in ((gan.G, "G"), (gan.D, "D")):
        network.load_state_dict(from_reference_names(under(ARRAYS, f"init/{key}/")))
    return gan


@dataclass
class Trained:
    gan: R3GAN
    average: torch.nn.Module
    rows: list[dict[str, float]]
    first_norms: dict[str, dict[str, float]]
    dtype: torch.dtype


def train(dtype: torch.dtype, microbatch: int = BATCH) -> Trained:
    gan = make_gan().to(dtype)
    settings = {"lr": RAMPS["lr"], "betas": [0.0, RAMPS["beta2"]], "eps": META["eps"]}
    optimizers = build_optimizers(gan, torch.optim.Adam, settings)
    runner = PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), "fp32"), "halt")
    ema = EMA(gan.G, half_life={**RAMPS["ema_nimg"]})
    queue: list[Tensor] = []
    trained = Trained(gan, ema.network, [], {}, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "sample_z", lambda *_: queue.pop(0))
        for i, nimg in enumerate(ARRAYS["nimg"].tolist()):
            for optimizer in optimizers.values():
                set_scheduled(optimizer, scheduled(settings), 1.0, nimg)
            real = {k: ARRAYS[f"{k}/real/u8"][i].to(dtype) / 127.5 - 1 for k in "DG"}
            parts = zip(real["D"].split(microbatch), real["G"].split(microbatch), strict=True)
            queue += [z for k in "DG" for z in ARRAYS[f"{k}/z"][i].to(dtype).split(microbatch)]
            runner.step([{"image": d, "1/image": g} for d, g in parts], Step(i, nimg))
            assert queue == []
            if i == 0:  # G's gradient is that of its own phase: D's comes first
                trained.first_norms = {
                    k: {n: float(p.grad.norm()) for n, p in net.named_parameters()}  # type: ignore[union-attr]
                    for k, net in (("G", gan.G), ("D", gan.D))
                }
            ema.update(gan.G, BATCH, nimg)
            trained.rows.append(runner.stats.collect())
    return trained


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=["64", "32"])
def trained(request: pytest.FixtureRequest) -> Trained:
    return train(request.param)


def bits(trained: Trained) -> str:
    return "64" if trained.dtype == torch.float64 else ""


def test_losses(trained: Trained) -> None:
    golden = under(ARRAYS, f"loss{bits(trained)}/")
    rel = 1e-12 if bits(trained) else 2e-6
    for i, row in enumerate(trained.rows):
        weight = value_at(RAMPS["gamma"], int(ARRAYS["nimg"][i])) / 2
        found = {
            "D/adversarial": row["loss/D/adversarial"],
            "D/relativistic_logits": row["score/D/lead"],
            "D/r1": row["loss/D/r1"] / weight,
            "D/r2": row["loss/D/r2"] / weight,
            "G/adversarial": row["loss/G/adversarial"],
            "G/relativistic_logits": row["score/G/lead"],
        }
        assert found == pytest.approx({k: float(golden[k][i]) for k in found}, rel=rel)


@pytest.mark.parametrize("which", ["G", "D"])
def test_first_gradients(trained: Trained, which: str) -> None:
    golden = from_reference_names(under(ARRAYS, f"grad_norm{bits(trained)}/{which}/"))
    rel = 1e-12 if bits(trained) else 1e-6
    expected = {name: float(x) for name, x in golden.items()}
    assert trained.first_norms[which] == pytest.approx(expected, rel=rel, abs=1e-15)


@pytest.mark.parametrize("which", ["G", "D", "G_ema"])
def test_final_tensors(trained: Trained, which: str) -> None:
    network = {"G": trained.gan.G, "D": trained.gan.D, "G_ema": trained.average}[which]
    golden = from_reference_names(under(ARRAYS, f"final{bits(trained)}/{which}/"))
    rel = 1e-12 if bits(trained) else 1e-6
    state = {name: x.double() for name, x in network.state_dict().items()}
    assert state.keys() == golden.keys()
    for name, (mean, norm) in golden.items():
        assert float(state[name].norm()) == pytest.approx(float(norm), rel=rel), name
        assert float(state[name].mean()) == pytest.approx(float(mean), rel=rel, abs=rel), name


def test_final_images(trained: Trained) -> None:
    with torch.no_grad():
        images = trained.average(ARRAYS["final/z"].to(trained.dtype)).float()
    torch.testing.assert_close(images, ARRAYS["final/img_G_ema"], rtol=0, atol=1e-5)


def test_microbatches() -> None:
    """Pairs are in a microbatch, so that their gradients add up to that of the batch."""
    whole, parts = train(torch.float64), train(torch.float64, microbatch=2)
    for name, x in whole.gan.state_dict().items():
        if isinstance(x, Tensor):
            torch.testing.assert_close(parts.gan.state_dict()[name], x, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("preset", TABLES["presets"])
def test_schedules(preset: str) -> None:
    nimgs = VALUES[f"{preset}/nimg"].tolist()
    for name, (base, final) in TABLES["presets"][preset].items():
        kimg = 200_000 if preset.startswith("ImageNet") else 20_000
        ramp = {"base": base, "final": final, "kimg": kimg, "shape": "cosine"}
        found = [value_at(ramp, int(nimg)) for nimg in nimgs]
        assert found == pytest.approx(VALUES[f"{preset}/{name}"].tolist(), rel=1e-12), name
