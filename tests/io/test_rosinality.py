"""Checkpoints of rosinality's stylegan2-pytorch, against that code's operations written out."""

import os
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gantrain.errors import ConfigError
from gantrain.io import rosinality
from gantrain.networks.stylegan2.discriminator import StyleGAN2Discriminator
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.snapshot import load_snapshot

Weights = dict[str, Tensor]
WIDTHS = {4: 8, 8: 8, 16: 4}
W_DIM, LAYERS = 6, 3
BLUR = torch.outer(*2 * [torch.tensor([1.0, 3, 3, 1])]) / 64


def make_generator() -> Weights:
    weights: Weights = {"input.input": torch.randn(1, 8, 4, 4)}
    for i in range(LAYERS):
        weights[f"style.{i + 1}.weight"] = torch.randn(W_DIM, W_DIM) * 100
        weights[f"style.{i + 1}.bias"] = torch.randn(W_DIM)

    def modulated(name: str, before: int, after: int, kernel: int) -> None:
        weights[f"{name}.conv.weight"] = torch.randn(1, after, before, kernel, kernel)
        weights[f"{name}.conv.modulation.weight"] = torch.randn(before, W_DIM)
        weights[f"{name}.conv.modulation.bias"] = torch.randn(before)
        if kernel == 3:
            weights[f"{name}.conv.blur.kernel"] = BLUR * 4
            weights[f"{name}.noise.weight"] = torch.randn(1)
            weights[f"{name}.activate.bias"] = torch.randn(after)
        else:
            weights[f"{name}.bias"] = torch.randn(1, after, 1, 1)

    modulated("conv1", 8, 8, 3)
    modulated("to_rgb1", 8, 3, 1)
    weights["noises.noise_0"] = torch.randn(1, 1, 4, 4)
    for k, side in enumerate((8, 16)):
        modulated(f"convs.{2 * k}", WIDTHS[side // 2], WIDTHS[side], 3)
        modulated(f"convs.{2 * k + 1}", WIDTHS[side], WIDTHS[side], 3)
        modulated(f"to_rgbs.{k}", WIDTHS[side], 3, 1)
        for i in (1, 2):
            weights[f"noises.noise_{2 * k + i}"] = torch.randn(1, 1, side, side)
    return weights


def make_discriminator() -> Weights:
    weights = {"convs.0.0.weight": torch.randn(4, 3, 1, 1), "convs.0.1.bias": torch.randn(4)}
    for k, (before, after) in enumerate(((4, 8), (8, 8))):
        start = f"convs.{k + 1}"
        weights[f"{start}.conv1.0.weight"] = torch.randn(before, before, 3, 3)
        weights[f"{start}.conv1.1.bias"] = torch.randn(before)
        weights[f"{start}.conv2.0.kernel"] = weights[f"{start}.skip.0.kernel"] = BLUR
        weights[f"{start}.conv2.1.weight"] = torch.randn(after, before, 3, 3)
        weights[f"{start}.conv2.2.bias"] = torch.randn(after)
        weights[f"{start}.skip.1.weight"] = torch.randn(after, before, 1, 1)
    weights |= {"final_conv.0.weight": torch.randn(8, 9, 3, 3), "final_conv.1.bias": torch.randn(8)}
    for i, features in enumerate((8 * 16, 8)):
        weights[f"final_linear.{i}.weight"] = torch.randn((8, 1)[i], features)
        weights[f"final_linear.{i}.bias"] = torch.randn((8, 1)[i])
    return weights


def act(x: Tensor, bias: Tensor) -> Tensor:
    return F.leaky_relu(x + bias.view(1, -1, *[1] * (x.ndim - 2)), 0.2) * 2**0.5


def linear(x: Tensor, weight: Tensor) -> Tensor:
    return F.linear(x, weight / weight.shape[1] ** 0.5)


def blur(x: Tensor, kernel: Tensor, pad: tuple[int, int]) -> Tensor:
    x = F.pad(x, (*pad, *pad))
    return F.conv2d(x, kernel[None, None].repeat(x.shape[1], 1, 1, 1), groups=x.shape[1])


def modulated(weights: Weights, name: str, x: Tensor, w: Tensor, up: bool, demod: bool) -> Tensor:
    kernel = weights[f"{name}.conv.weight"][0]
    style = linear(w, weights[f"{name}.conv.modulation.weight"])
    style = style + weights[f"{name}.conv.modulation.bias"]
    images = []
    for one, s in zip(x, style, strict=True):
        k = kernel / kernel[0].numel() ** 0.5 * s[None, :, None, None]
        if demod:
            k = k * (k.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        if up:
            y = F.conv_transpose2d(one[None], k.transpose(0, 1), stride=2)
            images.append(blur(y, BLUR * 4, (1, 1)))
        else:
            images.append(F.conv2d(one[None], k, padding=k.shape[-1] // 2))
    return torch.cat(images)


def generate(weights: Weights, z: Tensor) -> Tensor:
    w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    for i in range(1, LAYERS + 1):
        w = act(linear(w, weights[f"style.{i}.weight"] * 0.01), weights[f"style.{i}.bias"] * 0.01)

    def styled(name: str, x: Tensor, noise: int, up: bool) -> Tensor:
        x = modulated(weights, name, x, w, up, True)
        x = x + weights[f"{name}.noise.weight"] * weights[f"noises.noise_{noise}"]
        return act(x, weights[f"{name}.activate.bias"])

    x = styled("conv1", weights["input.input"].repeat(len(z), 1, 1, 1), 0, False)
    image = modulated(weights, "to_rgb1", x, w, False, False) + weights["to_rgb1.bias"]
    for k in range(2):
        x = styled(f"convs.{2 * k}", x, 2 * k + 1, True)
        x = styled(f"convs.{2 * k + 1}", x, 2 * k + 2, False)
        rgb = modulated(weights, f"to_rgbs.{k}", x, w, False, False) + weights[f"to_rgbs.{k}.bias"]
        spread = torch.zeros(*image.shape[:2], 2 * image.shape[2], 2 * image.shape[3])
        spread[..., ::2, ::2] = image
        image = rgb + blur(spread, BLUR * 4, (2, 1))
    return image


def judge(weights: Weights, x: Tensor) -> Tensor:
    def conv(x: Tensor, name: str, padding: int, stride: int = 1) -> Tensor:
        weight = weights[name]
        return F.conv2d(x, weight / weight[0].numel() ** 0.5, padding=padding, stride=stride)

    x = act(conv(x, "convs.0.0.weight", 0), weights["convs.0.1.bias"])
    for k in (1, 2):
        y = act(conv(x, f"convs.{k}.conv1.0.weight", 1), weights[f"convs.{k}.conv1.1.bias"])
        y = conv(blur(y, BLUR, (2, 2)), f"convs.{k}.conv2.1.weight", 0, 2)
        y = act(y, weights[f"convs.{k}.conv2.2.bias"])
        x = (y + conv(blur(x, BLUR, (1, 1)), f"convs.{k}.skip.1.weight", 0, 2)) / 2**0.5
    spread = (x.var(0, unbiased=False) + 1e-8).sqrt().mean()
    x = torch.cat([x, spread.expand(len(x), 1, 4, 4)], 1)
    x = act(conv(x, "final_conv.0.weight", 1), weights["final_conv.1.bias"]).flatten(1)
    x = act(linear(x, weights["final_linear.0.weight"]), weights["final_linear.0.bias"])
    return (linear(x, weights["final_linear.1.weight"]) + weights["final_linear.1.bias"])[:, 0]


def write(path: Path, **more: Any) -> tuple[Weights, Weights]:
    torch.manual_seed(0)
    G, D = make_generator(), make_discriminator()
    content = {"g": {k: x + 1 for k, x in G.items()}, "d": D, "g_ema": G}
    content |= {"g_optim": {"state": {}}, "args": Namespace(size=16), "ada_aug_p": 0.25}
    torch.save(content | more, path)
    return G, D


def test_the_generator_makes_the_same_images(tmp_path: Path) -> None:
    weights, _ = write(tmp_path / "550000.pt")
    G = load_snapshot(tmp_path / "550000.pt").networks["G"]
    assert isinstance(G, StyleGAN2Generator)
    z = torch.randn(3, W_DIM)
    expected = generate(weights, z)
    assert expected.std() > 0.1
    torch.testing.assert_close(G(z, noise_mode="const"), expected, rtol=1e-4, atol=1e-4)
    # That code measures the mean w when it needs it.
    torch.manual_seed(5)
    w = G.mapping(torch.randn(20_000, W_DIM))[:, 0]
    torch.testing.assert_close(G.mapping.w_avg, w.mean(0), rtol=0, atol=0.05 * float(w.std()))


def test_the_discriminator_gives_the_same_logits(tmp_path: Path) -> None:
    from gantrain.networks.reference import rebuild

    _, weights = write(tmp_path / "x.pt")
    D = rebuild(rosinality.read(tmp_path / "x.pt")["D"].weights, {})
    assert isinstance(D, StyleGAN2Discriminator)
    x = torch.randn(4, 3, 16, 16)
    torch.testing.assert_close(D(x), judge(weights, x), rtol=1e-4, atol=1e-4)


def test_what_else_is_in_it(tmp_path: Path) -> None:
    write(tmp_path / "x.pt")
    modules = rosinality.read(tmp_path / "x.pt")
    assert sorted(modules) == ["D", "G", "G_ema", "augment_pipe"]
    assert float(modules["augment_pipe"].weights["p"]) == 0.25


class Touch:
    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


def test_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("x.pt"), more=Touch())
    with pytest.raises(ConfigError, match=r"x\.pt is damaged, or no checkpoint of rosinality's"):
        load_snapshot("x.pt")
    assert not Path("executed").exists()
    torch.save({"args": Namespace(a=1), "model": {}}, "y.pt")
    with pytest.raises(ConfigError, match="it should hold G_ema, G or D"):
        load_snapshot("y.pt")


def test_other_files_are_none(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pt")
    assert not rosinality.is_checkpoint(tmp_path / "x.pt")
    assert not rosinality.is_checkpoint(tmp_path)
    write(tmp_path / "old.pt")
    content = torch.load(tmp_path / "old.pt", weights_only=False)
    torch.save(content, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert rosinality.is_checkpoint(tmp_path / "old.pt")
    assert "G_ema" in rosinality.read(tmp_path / "old.pt")
