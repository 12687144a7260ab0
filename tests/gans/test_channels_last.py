"""runtime.channels_last: no layer but the outermost sees NCHW, which would cost copies."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from gantrain.engine.gradients import prepare
from gantrain.gans.base import GAN, ImageSpec, Step
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.gans.r3gan import R3GAN
from gantrain.gans.stylegan import StyleGAN

SIDE = 32
INNER = 5  # channels; images have fewer


class ConvolutionInputs(TorchDispatchMode):
    """Collects the maps that enter convolutions, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.maps: list[tuple[torch.Size, bool]] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        maps = {"convolution": args[:1], "convolution_backward": args[:2]}.get(name, ())
        for x in maps:
            self.maps.append((x.shape, x.is_contiguous(memory_format=torch.channels_last)))
        return func(*args, **(kwargs or {}))


def gans() -> Iterator[tuple[GAN, dict[str, Tensor], set[int]]]:
    """Yield small GANs, their batches and the sides of maps that start as NCHW."""
    image = ImageSpec({"image": 3}, (SIDE, SIDE), batch=4)
    single = {"image": torch.rand(4, 3, SIDE, SIDE)}
    pair = {name: torch.rand(1, 3, SIDE, SIDE) for name in "ab"}
    domains = ImageSpec({"a": 3, "b": 3}, (SIDE, SIDE))
    for mode in ("fast", "reference"):
        yield CycleGAN(domains, ngf=8, ndf=8, mode=mode), dict(pair), set()  # pyright: ignore
    large = {name: torch.rand(1, 3, 128, 128) for name in "ab"}
    domains = ImageSpec({"a": 3, "b": 3}, (128, 128))
    yield CycleGAN(domains, generator="unet_128", ngf=8, ndf=8), large, set()
    # 8: D's last maps, whose gradient comes from a linear layer.
    yield DCGAN(image, g_width=32, d_width=8), dict(single), {8}
    settings: dict[str, Any] = {"augment": "fixed", "augment_p": 0.5, "channel_base": 256}
    # 4: the learned constant, and the minibatch standard deviation beside D's last maps.
    yield StyleGAN(image, **settings), dict(single), {4}
    small: dict[str, Any] = {"channel_base": 256, "augment_p": 0.5, "penalty_interval": 2}
    # 4: the learned start.
    yield R3GAN(image, **small), {**single, "1/image": single["image"]}, {4}


@pytest.mark.parametrize("index", range(6))
def test_inner_maps_are_nhwc(index: int) -> None:
    gan, batch, small = list(gans())[index]
    gan.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    batch = {k: x.contiguous(memory_format=torch.channels_last) for k, x in batch.items()}
    seen = 0
    for phase in gan.phases():
        if phase.full_precision:  # the second derivatives of penalties have layouts of their own
            continue
        entries = {**batch, **prepare(phase, batch, Step(0, 0))}
        with ConvolutionInputs() as inputs:
            for losses in phase.losses(entries, Step(0, 0)):
                sum(x for x in losses.values() if x.requires_grad).backward()  # type: ignore
        batch |= {name: x for name, x in entries.items() if name.startswith("fake")}
        inner = [x for x in inputs.maps if x[0][1] >= INNER and x[0][2] not in small]
        assert [shape for shape, is_nhwc in inner if not is_nhwc] == [], phase.name
        seen += len(inner)
    assert seen > 10
