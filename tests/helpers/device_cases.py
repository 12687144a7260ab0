"""Every GAN with its options, small: what is run on devices other than the CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from gantrain.engine import seeding
from gantrain.engine.optim import build_optimizers
from gantrain.engine.phase import PhaseRunner
from gantrain.engine.precision import Precision, PrecisionName
from gantrain.engine.recorded_phase import RecordedPhases
from gantrain.gans.base import GAN, Batch, ImageSpec, Step
from gantrain.gans.cut import CUT
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.gans.r3gan import R3GAN
from gantrain.gans.stylegan import StyleGAN
from gantrain.gans.stylegan3 import StyleGAN3

SIDE, BATCH, LABELS = 16, 4, 3


def _cyclegan(**options: Any) -> GAN:
    small: dict[str, Any] = {"ngf": 4, "ndf": 4, "blocks": 1, "d_layers": 1, "pool_size": 3}
    return CycleGAN(ImageSpec({"a": 3, "b": 3}, (SIDE, SIDE), batch=BATCH), **small | options)


def _cut(**options: Any) -> GAN:
    small: dict[str, Any] = {"ngf": 4, "ndf": 4, "blocks": 1, "d_layers": 1, "num_patches": 30}
    return CUT(ImageSpec({"a": 3, "b": 3}, (SIDE, SIDE), batch=BATCH), **small | options)


def _dcgan() -> GAN:
    # Without dropout, whose masks every device draws by itself.
    small: dict[str, Any] = {"g_width": 8, "d_width": 4, "dropout": 0.0}
    return DCGAN(ImageSpec({"image": 3}, (SIDE, SIDE), batch=BATCH), **small)


def _stylegan(labels: int = 0, **options: Any) -> GAN:
    small: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "channel_base": 128, "channel_max": 16}
    # With every transform of every image: else neutral parameters would look like constants.
    augment: dict[str, Any] = {"augment": "fixed", "augment_p": 1.0}
    images = ImageSpec({"image": 3}, (SIDE, SIDE), labels, BATCH)
    return StyleGAN(images, **small | augment | options)


def _stylegan3(labels: int = 0, **options: Any) -> GAN:
    small: dict[str, Any] = {"z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 4}
    augment: dict[str, Any] = {"augment": "fixed", "augment_p": 1.0}
    images = ImageSpec({"image": 3}, (SIDE, SIDE), labels, BATCH)
    return StyleGAN3(images, **small | augment | options)


def _r3gan(labels: int = 0, **options: Any) -> GAN:
    small: dict[str, Any] = {"z_dim": 8, "channel_base": 128, "channel_max": 16, "augment_p": 1.0}
    return R3GAN(ImageSpec({"image": 3}, (SIDE, SIDE), labels, BATCH), **small | options)


CASES: dict[str, Callable[[], GAN]] = {
    "cyclegan": _cyclegan,
    "cyclegan reference": lambda: _cyclegan(mode="reference"),
    "cyclegan wgan_gp": lambda: _cyclegan(loss="wgan_gp", norm="none"),
    "cyclegan batch norm": lambda: _cyclegan(norm="batch", discriminator="pixel", loss="vanilla"),
    "cyclegan resize spectral": lambda: _cyclegan(upsample="resize", spectral_norm=True),
    "cut": _cut,
    "cut reference": lambda: _cut(mode="reference", upsample="transpose", downsample="strided"),
    "cut fast": lambda: _cut(flip_equivariance=True, nce_identity=False, spectral_norm=True),
    "dcgan": _dcgan,
    "stylegan": _stylegan,
    "stylegan ada": lambda: _stylegan(augment="ada", ada_kimg=0.5),
    "stylegan labels": lambda: _stylegan(LABELS, augment_spec="bgcfnc"),
    "stylegan wgan_gp": lambda: _stylegan(loss="wgan_gp", r1_gamma=0.0),
    "stylegan hinge resnet": lambda: _stylegan(
        loss="hinge", g_architecture="resnet", d_architecture="skip"
    ),
    "stylegan orig": lambda: _stylegan(g_architecture="orig", d_architecture="orig", freeze_d=1),
    "r3gan": _r3gan,
    "r3gan labels": lambda: _r3gan(LABELS, penalty_interval=4),
    "stylegan cycle": lambda: _stylegan(lambda_latent=1.0, lambda_image=1.0),
    "stylegan3": _stylegan3,
    "stylegan3 blur labels": lambda: _stylegan3(LABELS, config="r"),
}


def make(case: str) -> GAN:
    """The GAN of a case, always with the same weights."""
    seeding.seed_all(0, seeding.INIT)
    return CASES[case]()


def pictures(case: str, position: int = 0) -> dict[str, Tensor]:
    """A batch as a data set gives it: uint8 pictures, and labels where the case has some."""
    draw = torch.Generator().manual_seed(position)
    shape = (BATCH, 3, SIDE, SIDE)
    streams = ("a", "b") if case.startswith(("cyclegan", "cut")) else ("image",)
    if case.startswith("r3gan"):
        streams = ("image", "1/image")
    batch = {name: torch.randint(0, 256, shape, generator=draw).byte() for name in streams}
    if case.endswith("labels"):
        for name in streams:
            classes = torch.randint(0, LABELS, (BATCH,), generator=draw)
            batch[name.replace("image", "label")] = torch.eye(LABELS)[classes]
    return batch


def gradients(
    case: str,
    device: torch.device,
    precision: PrecisionName = "fp32",
    dtype: torch.dtype = torch.float32,
    parts: int = 1,
    position: int = 0,
) -> dict[str, Tensor]:
    """Of every phase its losses and its gradient, as float64 on the CPU: {"D": [...], ...}.

    No phase changes the weights, and the random numbers are the same on every device and in every
    dtype.

    Args:
        parts: microbatches.
        position: of the batch.
    """
    gan = make(case).to(device, dtype)
    optimizers = build_optimizers(gan, torch.optim.SGD, {"lr": 0.0})
    runner = PhaseRunner(gan, optimizers, Precision(device, precision), "halt")
    streams = {
        name: (x if x.is_floating_point() else x.double() / 127.5 - 1).to(device, dtype)
        for name, x in pictures(case, position).items()
    }
    size = BATCH // parts
    batches: list[Batch] = [
        {name: x[i : i + size] for name, x in streams.items()} for i in range(0, BATCH, size)
    ]
    found: dict[str, Tensor] = {}
    for phase in gan.phases():
        runner.phases = [replace(phase, interval=1)]
        with numbers_of_the_host(dtype):
            runner.step(batches, Step(0, 0))
        losses = [v for k, v in runner.stats.collect().items() if k.startswith("loss/")]
        trained = [p for name in phase.players for p in getattr(gan, name).parameters()]
        grads = [p.grad.double().cpu().flatten() for p in trained if p.grad is not None]
        found[phase.name] = torch.cat(grads)
        found[f"{phase.name} losses"] = torch.tensor(losses, dtype=torch.float64)
    return found


def train_recorded(
    case: str, device: torch.device, compiled: bool = False, cuda_graphs: bool = False
) -> dict[str, Tensor]:
    """The weights and buffers after three steps of two microbatches, on the CPU."""
    gan = make(case).to(device)
    recorded = None
    if compiled or cuda_graphs:
        backend = "inductor" if device.type == "cuda" else "aot_eager"
        recorded = RecordedPhases(gan, compiled, cuda_graphs, backend=backend)
    optimizers = build_optimizers(gan, torch.optim.Adam, {"lr": 1e-3})
    runner = PhaseRunner(gan, optimizers, Precision(device, "fp32"), "halt", recorded=recorded)
    for index in range(3):
        streams = {
            name: (x if x.is_floating_point() else x.float() / 127.5 - 1).to(device)
            for name, x in pictures(case, index).items()
        }
        parts = {name: x.chunk(2) for name, x in streams.items()}
        runner.step([{k: x[i] for k, x in parts.items()} for i in range(2)], Step(index, index))
    runner.check()
    return {k: x.float().cpu() for k, x in gan.state_dict().items() if isinstance(x, Tensor)}


def errors(found: dict[str, Tensor], exact: dict[str, Tensor]) -> dict[str, float]:
    """|x - exact| / |exact| of every entry of `gradients`."""
    return {
        name: float((found[name] - value).norm() / value.norm().clamp_min(1e-30))
        for name, value in exact.items()
    }


def typical_errors(
    case: str, device: torch.device, parts: int = 1, batches: int = 4
) -> dict[str, float]:
    """The second smallest over some batches of the errors in float32, against float64 on the CPU.

    Not the largest, since in a batch now and then a sum falls on the other side of a ReLU's kink,
    and not the smallest, which chance may favour.
    """
    rows = []
    for position in range(batches):
        settings: dict[str, Any] = {"parts": parts, "position": position}
        exact = gradients(case, torch.device("cpu"), dtype=torch.float64, **settings)
        rows.append(errors(gradients(case, device, **settings), exact))
    return {name: sorted(row[name] for row in rows)[1] for name in rows[0]}


@contextmanager
def numbers_of_the_host(default: torch.dtype) -> Iterator[None]:
    """Random numbers come from the CPU's generator, drawn in float64, whatever the device.

    default: the dtype of those that are asked for without one.
    """

    def host(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def drawn(*size: Any, device: Any = None, dtype: Any = None, **_: Any) -> Tensor:
            found = draw(*size, dtype=torch.float64)
            return found.to(device or "cpu", dtype or default)

        return drawn

    def like(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda x, **_: draw(x.shape, dtype=torch.float64).to(x.device, x.dtype)

    randn, rand = torch.randn, torch.rand
    with mock.patch.multiple(
        torch, randn=host(randn), rand=host(rand), randn_like=like(randn), rand_like=like(rand)
    ):
        yield
