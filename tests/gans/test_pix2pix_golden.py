"""Five training steps, the U-Net and D of pairs equal those of the reference implementation."""

import pytest
import torch
from torch import Tensor, nn

from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision
from gantrain.gans.base import ImageSpec, Step
from gantrain.gans.pix2pix import Pix2Pix
from gantrain.networks.eval_mode import Dropout, set_test_mode
from gantrain.networks.patchgan import PatchDiscriminator, PixelDiscriminator
from gantrain.networks.unet import UnetGenerator
from tests.helpers.golden_files import load, under

CPU = Precision(torch.device("cpu"), "fp32")


class GivenDropout(nn.Module):
    """Dropout with a given mask of what is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.mask = torch.ones(())

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask.to(x.dtype) / 0.5


def with_given_masks(network: nn.Module) -> list[GivenDropout]:
    """Replace the dropouts, and return their stand-ins in the order of their execution."""
    given = []
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, Dropout):
                given.append(GivenDropout())
                setattr(module, name, given[-1])
    return given[::-1]  # the deepest level is the last one to be listed, and the first to run


def image(u8: Tensor, dtype: torch.dtype) -> Tensor:
    return u8.to(dtype) / 127.5 - 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("parts", ["kept graph", "second pass"])
def test_five_steps(dtype: torch.dtype, parts: str) -> None:
    meta, golden = load("pix2pix_training_steps")
    gan = Pix2Pix(ImageSpec({"a": 3, "b": 3}, (64, 64)), ngf=2, ndf=meta["ndf"], blocks=1)
    gan.G["ab"] = UnetGenerator(3, 3, meta["ngf"], meta["downs"], "batch", dropout=True)
    gan.G["ab"].load_state_dict(under(golden, "init/G/"))
    gan.D["b"].load_state_dict(under(golden, "init/D/"))
    (dropout,) = with_given_masks(gan.G)
    gan = gan.to(dtype)
    settings = {"lr": meta["lr"], "betas": (meta["beta1"], meta["beta2"])}
    optimizers = build_optimizers(gan, torch.optim.Adam, settings)
    runner = PhaseRunner(gan, optimizers, CPU, "halt")
    if parts == "second pass":
        runner._continued = set()
    passes = 0

    def count(*_: object) -> None:
        nonlocal passes
        passes += 1

    gan.G["ab"].register_forward_pre_hook(count)
    exact = dtype == torch.float64
    wide = "64" if exact else ""
    for i in range(meta["steps"]):
        dropout.mask = golden[f"iter{i}/mask/0"]
        batch = {name: image(golden[f"{name.upper()}/u8"][i], dtype) for name in "ab"}
        runner.step([batch], Step(i, i))
        if i == 0:
            torch.testing.assert_close(
                batch["fake"].detach(), golden["iter0/fake_B"].to(dtype), atol=5e-6, rtol=0
            )
            check_gradients(gan, under(golden, f"grad_norm{wide}/"), exact)
        found = runner.stats.collect()
        ours = {
            "G_GAN": found["loss/G/adversarial"],
            "G_L1": found["loss/G/l1"],
            "D_fake": 2 * found["loss/D/fake"],
            "D_real": 2 * found["loss/D/real"],
        }
        for name, value in ours.items():
            expected = golden[f"loss{wide}/{name}"][i].item()
            assert value == pytest.approx(expected, rel=1e-12 if exact else 2e-6), (i, name)
    assert passes == meta["steps"] * (1 if parts == "kept graph" else 2)
    check_final(gan, under(golden, f"final{wide}/"), exact)


def check_gradients(gan: Pix2Pix, norms: dict[str, Tensor], exact: bool) -> None:
    compared = 0
    for player, network in (("G", gan.G["ab"]), ("D", gan.D["b"])):
        for name, p in network.named_parameters():
            assert p.grad is not None
            expected = norms[f"{player}/{name}"].item()
            found = p.grad.double().norm().item()
            assert found == pytest.approx(expected, rel=1e-11 if exact else 2e-6, abs=1e-9), name
            compared += 1
    assert compared == len(norms)


def check_final(gan: Pix2Pix, expected: dict[str, Tensor], exact: bool) -> None:
    state = {f"G/{k}": x for k, x in gan.G["ab"].state_dict().items()}
    state |= {f"D/{k}": x for k, x in gan.D["b"].state_dict().items()}
    assert sum("running_var" in name for name in state) > 8
    for name, numbers in expected.items():
        mean, norm = numbers.tolist()
        tolerance = {"rel": 1e-11, "abs": 1e-13} if exact else {"rel": 2e-6, "abs": 1e-6}
        assert state[name].double().mean().item() == pytest.approx(mean, **tolerance), name
        assert state[name].double().norm().item() == pytest.approx(norm, **tolerance), name
    assert state.keys() == expected.keys()


def test_the_unet_in_every_mode() -> None:
    meta, golden = load("pix2pix_unet")
    net = UnetGenerator(3, 3, meta["ngf"], meta["downs"], "batch", dropout=True)
    net.load_state_dict(under(golden, "state/"))
    x = image(golden["x/u8"], torch.float32)
    assert_near(net.eval()(x), golden["y/eval"])
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.track_running_stats, norm.training = False, True
    assert_near(net(x), golden["y/batch_statistics"])
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.track_running_stats = True
    set_test_mode(net, "no_dropout")
    one_by_one = torch.cat([net.eval()(part) for part in x.split(1)])
    assert_near(net(x), one_by_one)
    (dropout,) = with_given_masks(net)
    dropout.mask = golden["mask/0"]
    assert_near(net.train()(x), golden["y/train"])
    after = under(golden, "after_train/")
    assert after.keys() == {k for k in net.state_dict() if "running" in k or "tracked" in k}
    for name, value in after.items():
        assert_near(net.state_dict()[name], value)


@pytest.mark.parametrize("kind", ["", "_pixel"])
def test_d_of_pairs(kind: str) -> None:
    meta, golden = load(f"pix2pix_discriminator{kind}")
    net = (
        PixelDiscriminator(4, meta["ndf"], "batch")
        if kind
        else PatchDiscriminator(6, meta["ndf"], norm="batch")
    )
    net.load_state_dict(under(golden, "state/"))
    pair = torch.cat([image(golden[f"{name}/u8"], torch.float32) for name in "AB"], 1)
    assert_near(net.eval()(pair), golden["y/eval"])
    assert_near(net.train()(pair), golden["y/train"])


def assert_near(x: Tensor, y: Tensor) -> None:
    torch.testing.assert_close(x, y, atol=5e-6, rtol=0)
