"""Benchmark feature extraction: the cost of reading, generating and hashing beside Inception.

python scripts/benchmark_features.py [--images 256] [--side 64] [--device cpu] [--weights FILE]

Prints images per second of Inception alone (on images in memory, already 299 x 299), of the whole
path from a folder of PNG files, and of the path from a small StyleGAN2 without the generator's own
time. The values are medians of five runs.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gantrain.data.image_folder import ImageFolder
from gantrain.inference.features import FeatureCache, RealImages
from gantrain.metrics.extractor import Extractor, load_extractor
from gantrain.metrics.inception import SIDE, Inception
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.ops.value_range import to_uint8

BATCH, REPEATS = 32, 5


def median_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the median time of `work()`, after one warm-up run."""

    def run_once() -> float:
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begin

    run_once()
    return statistics.median(run_once() for _ in range(REPEATS))


def main() -> None:
    """Create the images and the weights, then print the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--weights", help="default: random weights, which are as fast")
    options = parser.parse_args()
    device, count, side = torch.device(options.device), options.images, options.side
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(options.weights or f"{folder}/inception.pth")
        if not options.weights:
            torch.save(Inception().state_dict(), weights)
        extractor = load_extractor("inception", [weights], "clean", device)
        images = Path(folder, "images")
        images.mkdir()
        rng = np.random.default_rng(0)
        for number in range(count):
            pixels = rng.integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(images / f"{number}.png")
        data = ImageFolder(seed=0, root=str(images), resolution=side, cache="none")
        data.prepare(batch=1, multiple=1, log=lambda _: None)
        report(extractor, data, count, device)


@torch.no_grad()
def report(extractor: Extractor, data: ImageFolder, count: int, device: torch.device) -> None:
    """Time the paths and print them."""
    resized = torch.rand(BATCH, 3, SIDE, SIDE, device=device) * 255
    network = extractor._network
    bare = median_seconds(lambda: [network(resized) for _ in range(count // BATCH)], device)

    def empty_cache() -> FeatureCache:
        return FeatureCache(extractor, None, None)

    def no_progress(_: int) -> None:
        pass

    def from_files() -> None:
        images = RealImages("benchmark", count, lambda i: data.train_item("image", i))
        empty_cache().real_features(images, BATCH, no_progress)

    G = StyleGAN2Generator(list(data.resolution), 3, 0, channel_base=1024, channel_max=64)
    G = G.eval().to(device)

    def generated() -> Iterator[Tensor]:
        for _ in range(count // BATCH):
            yield to_uint8(G(torch.randn(BATCH, G.z_dim, device=device), None)).cpu()

    files = median_seconds(from_files, device)
    generation = median_seconds(lambda: [*generated()], device)
    whole = median_seconds(lambda: empty_cache().fake_features(generated(), no_progress), device)
    print(f"{platform.processor() or platform.machine()}, {device}, torch {torch.__version__}")
    rows = (("bare", bare), ("PNG files", files), ("generator", whole - generation))
    for name, seconds in rows:
        share = f"{bare / seconds:6.1%} of the bare network"
        print(f"{name:<10} {count / seconds:8.1f} images/s   {share}")


if __name__ == "__main__":
    main()
