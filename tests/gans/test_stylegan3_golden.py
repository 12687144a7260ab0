"""Five iterations of G, D and R1 against the reference implementation's numbers, T and R."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gantrain.engine.ema import EMA
from gantrain.engine.optim import LearningRate, build_optimizers, set_lr
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans import latents
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.stylegan3 import StyleGAN3
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan3.generator import StyleGAN3Generator
from tests.helpers.golden_files import load, under


def make_gan(config: Any, meta: dict[str, Any], arrays: dict[str, Tensor]) -> StyleGAN3:
    """The GAN with networks of the golden file: 6 layers, no clamp, a fast magnitude average."""
    G, D = meta["G"], meta["D"]
    images = ImageSpec({"image": 3}, (16, 16), batch=meta["batch"])
    gan = StyleGAN3(
        images, config=config, z_dim=8, w_dim=8, channel_base=128, channel_max=8,
        mbstd_group=2, r1_gamma=meta["r1_gamma"], r1_interval=meta["d_reg_interval"],
        blur_sigma=meta["blur_init_sigma"], blur_kimg=meta["blur_fade_kimg"] or None,
        augment="none",
    )  # fmt: skip
    gan.G["G"] = StyleGAN3Generator(
        *images.of_networks, config=config, z_dim=8, w_dim=8, num_layers=G["num_layers"],
        channel_base=G["channel_base"], channel_max=G["channel_max"], conv_clamp=None,
        magnitude_beta=G["magnitude_ema_beta"], w_avg_beta=G["mapping_kwargs"]["w_avg_beta"],
    )  # fmt: skip
    for network, prefix in ((gan.G["G"], "init/G/"), (gan.D, "init/D/")):
        network.load_state_dict(under(arrays, prefix))
    assert isinstance(gan.D, StyleGAN2Discriminator) and D["channel_max"] == 8
    return gan


class Trained:
    """A run of the five iterations."""

    def __init__(self, config: str) -> None:
        self.meta, self.arrays = load(f"stylegan3_{config}_training_steps")
        self.gan = make_gan(config, self.meta, self.arrays)
        settings = {"lr": self.meta["lr_G"], "betas": self.meta["betas"], "eps": self.meta["eps"]}
        optimizers = build_optimizers(self.gan, torch.optim.Adam, settings)
        rate = LearningRate("constant", 1, d_factor=self.meta["lr_D"] / self.meta["lr_G"])
        for name, optimizer in optimizers.items():
            set_lr(optimizer, rate.factor_of(name, 0))
        runner = PhaseRunner(self.gan, optimizers, Precision(torch.device("cpu"), "fp32"), "halt")
        batch = self.meta["batch"]
        self.ema = EMA(self.gan.G, self.meta["ema_kimg"] * 1000, self.meta["ema_rampup"])
        self.rows: list[dict[str, float]] = []
        self.gradients: dict[str, dict[str, float]] = {}
        z: list[Tensor] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(latents, "sample_z", lambda *_: z.pop(0))
            for optimizer in optimizers.values():
                optimizer.register_step_pre_hook(lambda *_: self._keep_gradients())
            for i in range(self.meta["iters"]):
                z += [self.arrays[f"iter{i}/{phase}/z"] for phase in ("Gmain", "Dmain")]
                real = self.arrays[f"iter{i}/real/u8"].float() / 127.5 - 1
                step = Step(i, i * batch)
                runner.step([{"image": real}], step)
                assert z == []
                self.ema.update(self.gan.G, batch, step.nimg)
                self.gan.adapt(step)
                self.rows.append(runner.stats.collect())

    def _keep_gradients(self) -> None:
        names = ("Gmain", "Dmain", "Dreg")
        if len(self.gradients) < len(names):
            phase = names[len(self.gradients)]
            player = self.gan.G["G"] if phase == "Gmain" else self.gan.D
            self.gradients[phase] = {
                name: -1.0 if p.grad is None else p.grad.double().norm().item()
                for name, p in player.named_parameters()
            }


@pytest.fixture(scope="module", params=["t", "r"])
def trained(request: pytest.FixtureRequest) -> Trained:
    return Trained(request.param)


@pytest.mark.parametrize(
    ("golden", "ours", "rel", "absolute"),
    [
        ("Gmain/Loss/G/loss", ["loss/G/adversarial"], 1e-5, 0.0),
        ("Dmain/Loss/D/loss", ["loss/D/fake", "loss/D/real"], 1e-5, 0.0),
        ("Dmain/Loss/scores/real", ["score/D/logit_real"], 0.0, 2e-5),
        ("Dmain/Loss/scores/fake", ["score/D/logit_fake"], 0.0, 2e-5),
        ("Dreg/Loss/D/reg", ["loss/D_r1/r1"], 1e-5, 0.0),
    ],
)
def test_losses(
    trained: Trained, golden: str, ours: list[str], rel: float, absolute: float
) -> None:
    expected = {int(i): value for i, value in trained.arrays[f"loss/{golden}"].tolist()}
    for i, row in enumerate(trained.rows):
        assert (i in expected) == (ours[0] in row)
        if i in expected:
            value = sum(row[name] for name in ours)
            assert value == pytest.approx(expected[i], rel=rel, abs=absolute), (golden, i)


@pytest.mark.parametrize("phase", ["Gmain", "Dmain", "Dreg"])
def test_gradients_of_the_first_step(trained: Trained, phase: str) -> None:
    expected = under(trained.arrays, f"grad_norm/{phase}/")
    found = trained.gradients[phase]
    assert found.keys() == expected.keys()
    for name, norm in expected.items():
        # R1 reaches biases through the minibatch standard deviation only: ill-conditioned.
        rel = 5e-3 if phase == "Dreg" and name.endswith("bias") else 1e-5
        assert found[name] == pytest.approx(norm.item(), rel=rel, abs=1e-9), name
    if phase == "Dreg":
        assert found["b4.out.bias"] == -1  # no gradient at all: Adam skips it


@pytest.mark.parametrize("which", ["G", "D", "G_ema"])
def test_final_tensors(trained: Trained, which: str) -> None:
    gan, ema = trained.gan, trained.ema
    network = {"G": gan.G["G"], "D": gan.D, "G_ema": ema.network["G"]}[which]  # type: ignore[index]
    state = network.state_dict()
    expected = under(trained.arrays, f"final/{which}/")
    assert state.keys() == expected.keys()
    for name, (_, norm) in expected.items():
        assert state[name].double().norm().item() == pytest.approx(norm.item(), rel=1e-5), name
    if which == "G_ema":
        for name, value in under(trained.arrays, "final_buffer/").items():
            torch.testing.assert_close(state[name], value, rtol=1e-5, atol=1e-7)


def test_running_means_and_the_blur_move(trained: Trained) -> None:
    sigmas = trained.arrays["blur_sigma"].tolist()
    for i, sigma in enumerate(sigmas):
        assert ("blur" in trained.gan.blur_of(i * trained.meta["batch"])) == (int(3 * sigma) > 0)
    before = under(trained.arrays, "init/G/")["mapping.w_avg"]
    assert not torch.equal(trained.gan.G["G"].mapping.w_avg, before)
