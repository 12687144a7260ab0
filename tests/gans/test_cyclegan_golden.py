"""Six training steps equal those of the reference implementation, in both modes."""

import pytest
import torch
from torch import Tensor

from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.cyclegan import CycleGAN
from tests.helpers.golden_files import load, under

NAMES = {  # ours -> the reference's
    "G/adversarial_b": "G_A",
    "G/adversarial_a": "G_B",
    "G/cycle_a": "cycle_A",
    "G/cycle_b": "cycle_B",
    "G/identity_b": "idt_A",
    "G/identity_a": "idt_B",
    "D/b": "D_A",
    "D/a": "D_B",
}
# Their true gradient is 0 (instance norm follows), so rounding noise decides where Adam moves them.
FREE_G = {f"model.{i}.bias" for i in (1, 4, 7, 16, 19)}
FREE_D = {f"model.{i}.bias" for i in (2, 5, 8)}


def golden_gan(mode: str) -> tuple[CycleGAN, dict[str, Tensor]]:
    meta, golden = load("cyclegan_training_steps")
    images = ImageSpec(channels={"a": 3, "b": 3}, resolution=(32, 32))
    gan = CycleGAN(images, ngf=meta["ngf"], ndf=meta["ndf"], blocks=6, mode=mode)
    for ours, theirs in (("ab", "G_A"), ("ba", "G_B")):
        gan.G[ours].load_state_dict(under(golden, f"init/{theirs}/"))
    for ours, theirs in (("b", "D_A"), ("a", "D_B")):
        gan.D[ours].load_state_dict(under(golden, f"init/{theirs}/"))
    return gan, golden


def six_steps(mode: str) -> tuple[CycleGAN, dict[str, Tensor], list[dict[str, float]]]:
    gan, golden = golden_gan(mode)
    optimizers = build_optimizers(
        gan, torch.optim.Adam, {"lr": 2e-4, "betas": (0.5, 0.999), "fused": mode == "fast"}
    )
    runner = PhaseRunner(gan, optimizers, Precision(torch.device("cpu"), "fp32"), "halt")
    history = []
    for i in range(6):
        batch = {"a": golden["A"][i], "b": golden["B"][i]}
        runner.step([batch], Step(index=i, nimg=i))
        history.append(runner.stats.collect())
    return gan, golden, history


@pytest.mark.parametrize("mode", ["reference", "fast"])
def test_losses_of_six_steps(mode: str) -> None:
    _, golden, history = six_steps(mode)
    for i, losses in enumerate(history):
        for ours, theirs in NAMES.items():
            expected = float(golden[f"loss/{theirs}"][i])
            assert losses[f"loss/{ours}"] == pytest.approx(expected, rel=1e-5), (i, ours)


@pytest.mark.parametrize("mode", ["reference", "fast"])
def test_weights_after_six_steps(mode: str) -> None:
    gan, golden, _ = six_steps(mode)
    nets = {"G_A": gan.G["ab"], "G_B": gan.G["ba"], "D_A": gan.D["b"], "D_B": gan.D["a"]}
    compared = 0
    for theirs, net in nets.items():
        free = FREE_G if theirs.startswith("G") else FREE_D
        for key, value in net.state_dict().items():
            if key in free or (theirs.startswith("G") and ".conv_block." in key and "bias" in key):
                continue
            mean, norm = golden[f"final/{theirs}/{key}"].tolist()
            assert value.double().mean().item() == pytest.approx(mean, abs=1e-6), (theirs, key)
            assert value.double().norm().item() == pytest.approx(norm, rel=1e-4), (theirs, key)
            compared += 1
    assert compared == 2 * (18 + 1) + 2 * (5 + 2)
