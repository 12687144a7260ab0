"""EQ-T of a StyleGAN3 beside what a StyleGAN2 has instead of a canvas to move.

StyleGAN2's input is a learned constant of 4 x 4. Here it is moved by as much as the images should
be, by its discrete Fourier transform (it wraps around) or bilinearly (its border is extended), and
noise is left out. "Standing still" is what a generator gets that ignores the motion.

    python scripts/measure_eqt.py runs/STYLEGAN2 runs/STYLEGAN3
"""

import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

import gantrain
from gantrain.inference.equivariance import moved_pairs
from gantrain.inference.model import Model
from gantrain.metrics import equivariance as eq

IMAGES = 100
Move = Callable[[Tensor, float, float], Tensor]  # [C, H, W], cells to the right and down


def by_fourier(constant: Tensor, x: float, y: float) -> Tensor:
    """Move periodically, band-limited."""
    h, w = constant.shape[-2:]
    turns = torch.fft.fftfreq(h)[:, None] * y + torch.fft.fftfreq(w) * x
    return torch.fft.ifft2(torch.fft.fft2(constant) * torch.exp(-2j * torch.pi * turns)).real


def bilinearly(constant: Tensor, x: float, y: float) -> Tensor:
    """Move with the border extended."""
    h, w = constant.shape[-2:]
    theta = torch.tensor([[[1.0, 0.0, -2 * x / w], [0.0, 1.0, -2 * y / h]]])
    grid = F.affine_grid(theta, [1, len(constant), h, w], align_corners=False)
    return F.grid_sample(constant[None], grid, padding_mode="border", align_corners=False)[0]


def motions(h: int, w: int) -> Iterator[tuple[int, int]]:
    """Yield the pixels (x, y) of each image, the same as `evaluate metrics=[eqt]` draws."""
    for seed in range(IMAGES):
        u = np.random.RandomState([1, seed]).uniform(-1, 1, 2)
        x, y = np.rint(u * eq.MAX_TRANSLATION * (w, h)).astype(int).tolist()
        yield x, y


@torch.no_grad()
def of_constant(model: Model, move: Move) -> float:
    """Return the EQ-T in dB of a StyleGAN2 whose constant is moved."""
    h, w = model.style.resolution
    weights = model.networks["G"].named_parameters()
    [constant] = [weight for name, weight in weights if name.endswith(".const")]
    still, (ch, cw) = constant.clone(), constant.shape[-2:]
    ws = model.mapping(model.latents(range(IMAGES)))

    def pairs() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for i, (x, y) in enumerate(motions(h, w)):
            before = model.synthesis(ws[i : i + 1], noise="none")
            constant.copy_(move(still, x * cw / w, y * ch / h))
            after = model.synthesis(ws[i : i + 1], noise="none")
            constant.copy_(still)
            reference, mask = eq.shift(before, x, y)
            yield reference, after, mask

    return eq.psnr(pairs())


@torch.no_grad()
def of_canvas(model: Model) -> tuple[float, float]:
    """Return the EQ-T in dB of a StyleGAN3, and that of its images standing still."""
    h, w = model.style.resolution
    ws = model.mapping(model.latents(range(IMAGES)))
    images = model.synthesis(ws).split(1)
    unmoved = (
        (reference, image, mask)
        for image, (x, y) in zip(images, motions(h, w), strict=True)
        for reference, mask in [eq.shift(image, x, y)]
    )
    return eq.psnr(moved_pairs(model, ws, "eqt", range(IMAGES))), eq.psnr(unmoved)


def main() -> None:
    """Print the table."""
    style2, style3 = map(gantrain.load, sys.argv[1:])
    moves: dict[str, Move] = {
        "by Fourier": by_fourier, "bilinearly": bilinearly, "standing still": lambda c, x, y: c,
    }  # fmt: skip
    for name, move in moves.items():
        print(f"StyleGAN2, constant {name}: {of_constant(style2, move):.1f} dB")
    moved, unmoved = of_canvas(style3)
    print(f"StyleGAN3, canvas: {moved:.1f} dB; standing still: {unmoved:.1f} dB")


if __name__ == "__main__":
    main()
