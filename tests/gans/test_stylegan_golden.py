"""Six iterations of all four phases against the reference implementation's numbers."""

import math

import pytest
import torch
from torch import Tensor

from gantrain.engine.ema import EMA
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans import latents
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.stylegan import StyleGAN
from gantrain.ops.precision import at_least_float32
from tests.helpers.golden_files import load, under

META, ARRAYS = load("stylegan2_training_steps")
BATCH = META["batch"]
CONSTANT = ("resample_filter",)


def make_gan() -> StyleGAN:
    gan = StyleGAN(
        ImageSpec({"image": 3}, (16, 16), batch=BATCH),
        z_dim=16, w_dim=16, mapping_layers=2, channel_base=256, channel_max=16,
        noise="none", mbstd_group=2, style_mixing_prob=0.0, r1_gamma=META["r1_gamma"],
        pl_weight=META["pl_weight"], augment="none",
    )  # fmt: skip
    for network, prefix in ((gan.G["G"], "init/G/"), (gan.D, "init/D/")):
        tensors = {k: v for k, v in under(ARRAYS, prefix).items() if not k.endswith(CONSTANT)}
        missing = network.load_state_dict(tensors, strict=False)
        assert missing.unexpected_keys == []
        assert all("noise" in key for key in missing.missing_keys)  # the file's G has none
    return gan


class Draws:
    """What the golden run drew, instead of torch's random numbers."""

    def __init__(self) -> None:
        self.z: list[Tensor] = []
        self.noise = torch.empty(0)

    def draw_z(self, count: int, z_dim: int, device: torch.device) -> Tensor:
        return self.z.pop(0)[:count]

    def randn_like(self, x: Tensor) -> Tensor:
        assert self.noise.shape == x.shape
        return self.noise


@pytest.fixture(scope="module")
def trained() -> tuple[StyleGAN, EMA, list[dict[str, float]]]:
    gan, draws = make_gan(), Draws()
    settings = {"lr": META["lr"], "betas": META["betas"], "eps": META["eps"]}
    optimizers = build_optimizers(gan, torch.optim.Adam, settings)
    runner = PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), "fp32"), "halt")
    ema = EMA(gan.G, half_life=BATCH * math.log(0.5) / math.log(META["ema_beta"]))
    rows = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latents, "sample_z", draws.draw_z)
        patch.setattr(torch, "randn_like", draws.randn_like)
        for i in range(META["iters"]):
            due = [f"iter{i}/{p}/z" for p in ("Gmain", "Greg", "Dmain")]
            draws.z = [ARRAYS[key] for key in due if key in ARRAYS]
            draws.noise = ARRAYS.get(f"iter{i}/Greg/pl_noise", draws.noise)[: BATCH // 2]
            runner.step([{"image": ARRAYS[f"iter{i}/real"]}], Step(i, i * BATCH))
            assert draws.z == []
            ema.update(gan.G, BATCH)
            rows.append(runner.stats.collect())
    return gan, ema, rows


Trained = tuple[StyleGAN, EMA, list[dict[str, float]]]


@pytest.mark.parametrize(
    ("golden", "ours"),
    [
        ("Gmain/Loss/G/loss", ["loss/G/adversarial"]),
        ("Greg/Loss/G/reg", ["loss/G_pl/path_length"]),
        ("Dmain/Loss/D/loss", ["loss/D/fake", "loss/D/real"]),
        ("Dmain/Loss/scores/real", ["score/D/logit_real"]),
        ("Dmain/Loss/scores/fake", ["score/D/logit_fake"]),
        ("Dreg/Loss/D/reg", ["loss/D_r1/r1"]),
    ],
)
def test_losses(trained: Trained, golden: str, ours: list[str]) -> None:
    expected = {int(i): value for i, value in ARRAYS[f"loss/{golden}"].tolist()}
    for i, row in enumerate(trained[2]):
        assert (i in expected) == (ours[0] in row)
        if i in expected:
            value = sum(row[name] for name in ours)
            assert value == pytest.approx(expected[i], rel=1e-5, abs=2e-6)


def test_path_length_mean(trained: Trained) -> None:
    assert trained[0].pl_mean.item() == pytest.approx(ARRAYS["pl_mean"].item(), rel=1e-5)


@pytest.mark.parametrize("which", ["G", "D", "G_ema"])
def test_final_tensors(trained: Trained, which: str) -> None:
    gan, ema, _ = trained
    network = {"G": gan.G["G"], "D": gan.D, "G_ema": ema.network["G"]}[which]  # type: ignore[index]
    state = network.state_dict()
    compared = 0
    for name, (mean, norm) in under(ARRAYS, f"final/{which}/").items():
        if name.endswith(CONSTANT):
            continue
        tensor = at_least_float32(state[name]).double()
        assert tensor.norm().item() == pytest.approx(norm.item(), rel=1e-4), name
        assert tensor.mean().item() == pytest.approx(mean.item(), rel=1e-4, abs=2e-5), name
        compared += 1
    assert compared >= 18
