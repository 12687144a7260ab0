"""What only a CUDA device can show; run with -m gpu.

Losses and gradients of every GAN and phase against float64 on the CPU, the ways that exist for CUDA
alone, and what is carried from one device to the other.
"""

import copy
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gantrain
from gantrain.augment.ada import ADA
from gantrain.augment.bilinear import sample_bilinear, sample_by_gather
from gantrain.engine import seeding
from gantrain.engine.precision import Precision, PrecisionName
from gantrain.gans.image_pool import ImagePool
from gantrain.metrics.extractor import load_extractor
from gantrain.metrics.inception import Inception
from gantrain.networks.stylegan2.generator import StyleGAN2Generator
from gantrain.ops import fir
from gantrain.ops.reflect import pad_by_slices, reflect_pad_sides
from gantrain.ops.value_range import to_float, to_integers, to_uint8
from gantrain.snapshot import save_snapshot
from tests.helpers import device_cases
from tests.helpers.command_line import TINY as TINY_CYCLEGAN
from tests.helpers.command_line import differences, final_state
from tests.helpers.command_line import gantrain as command
from tests.helpers.device_cases import CASES, errors, gradients, typical_errors

pytestmark = pytest.mark.gpu
CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
TINY: dict[str, Any] = {"z_dim": 16, "w_dim": 16, "channel_base": 256, "channel_max": 16}
STYLEGAN = [
    "model=stylegan", "data=shapes", "data.resolution=16", "data.train_images=16",
    "model.z_dim=8", "model.w_dim=8", "model.channel_base=64", "model.channel_max=8",
    "train.batch=4", "tracking.to=[]", "tracking.grid_every_kimg=0",
]  # fmt: skip
HERE = {"CUDA_VISIBLE_DEVICES": "0"}  # the other tests hide it


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_float32_is_that_of_the_cpu(case: str, parts: int) -> None:
    """1e-5, or what a CPU's float32 keeps where rounding counts for more (R1 of two images)."""
    found, usual = (typical_errors(case, device, parts) for device in (CUDA, CPU))
    for name, error in found.items():
        assert error < max(1e-5, 10 * usual[name]), (name, found, usual)


@pytest.mark.parametrize("case", CASES)
def test_tf32_and_bf16_are_as_exact_as_their_formats(case: str) -> None:
    """bf16: about as far from float64 as on a CPU, whose autocast rounds at other places. TF32 has
    3 bits more."""
    exact = gradients(case, CPU, dtype=torch.float64)
    rounded = errors(gradients(case, CPU, "bf16"), exact)
    for precision, share in (("bf16", 2.0), ("tf32", 0.5)):
        found = errors(gradients(case, CUDA, precision), exact)  # type: ignore[arg-type]
        for name, error in found.items():
            # Penalties are computed outside of autocast: there a CPU shows float32.
            assert error < max(share * rounded[name], 2e-2), (precision, name, found, rounded)


@pytest.mark.parametrize("kind", ["cuda graphs", "compiled", "both"])
@pytest.mark.parametrize("case", ["cyclegan", "dcgan", "r3gan", "stylegan", "stylegan labels"])
def test_recorded_phases_are_those_without_a_recording(case: str, kind: str) -> None:
    """Graphs: bit for bit, in deterministic mode. Compiled: sums in another order."""
    torch.use_deterministic_algorithms(kind == "cuda graphs", warn_only=True)
    try:
        plain, recorded = (
            device_cases.train_recorded(case, CUDA, *kinds)
            for kinds in ((), (kind != "cuda graphs", kind != "compiled"))
        )
    finally:
        torch.use_deterministic_algorithms(False)
    for name, expected in plain.items():
        if kind == "cuda graphs":
            assert torch.equal(recorded[name], expected), name
        else:
            error = (recorded[name] - expected).norm() / expected.norm().clamp_min(1e-3)
            assert error < 2e-3, (name, error)


def test_uncompiled_and_compiled_steps_agree() -> None:
    """Inductor reads torch's TF32 switches: with some mixes of them it raises."""
    for precision in ("fp32", "tf32", "bf16"):
        Precision(CUDA, precision)
        seeding.seed_all(0, seeding.INIT)
        network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1568, 4))
        network = network.to(CUDA)
        x = torch.randn(2, 3, 16, 16, device=CUDA)
        compiled = torch.compile(network, mode="max-autotune-no-cudagraphs")
        with Precision(CUDA, precision).autocast():
            expected, found = network(x).float(), compiled(x).float()
        assert (found - expected).norm() < 2e-2 * expected.norm(), precision


@pytest.mark.parametrize("way", ["kernel", "kernel, NHWC", "plain", "compiled"])
@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (1, 4, 7, 12)])
@pytest.mark.parametrize("name", ["upsample2d", "downsample2d"])
def test_resampling_and_its_derivatives(
    name: str, shape: tuple[int, ...], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way == "plain":
        monkeypatch.setattr(fir, "_kernel_runs", lambda device: False)
    else:
        assert fir._kernel_runs(CUDA)
    if name == "downsample2d" and shape[2] % 2:
        shape = (*shape[:2], 8, 12)

    def run(device: torch.device, dtype: torch.dtype) -> list[Tensor]:
        draw = torch.Generator().manual_seed(0)
        x = torch.randn(shape, generator=draw, dtype=torch.float64).to(device, dtype)
        if way == "kernel, NHWC":
            x = x.contiguous(memory_format=torch.channels_last)
        x.requires_grad_(True)
        resample = partial(getattr(fir, name), taps=fir.fir_taps([1, 3, 3, 1]))
        if way == "compiled":  # the compiler differentiates once
            y = torch.compile(resample)(x)
            return [part.double().cpu() for part in (y, *torch.autograd.grad(y.square().sum(), x))]
        y = resample(x)
        [grad] = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        [second] = torch.autograd.grad(grad.square().sum(), x)
        return [part.detach().double().cpu() for part in (y, grad, second)]

    Precision(CUDA, "fp32")
    for found, exact in zip(run(CUDA, torch.float32), run(CPU, torch.float64), strict=True):
        assert (found - exact).norm() < 1e-5 * exact.norm()


def test_what_repeats_itself_exactly_is_what_is_fast() -> None:
    """The ways for runtime.deterministic=true, and that they do repeat themselves."""
    images = torch.randn(2, 3, 12, 12, device=CUDA, requires_grad=True)
    grid = torch.rand(2, 20, 20, 2, device=CUDA) * 2.4 - 1.2
    for fast, slow in (
        (lambda x: sample_bilinear(x, grid), lambda x: sample_by_gather(x, grid)),
        (lambda x: reflect_pad_sides(x, 3, 5, 2, 7), lambda x: pad_by_slices(x, 3, 5, 2, 7)),
    ):
        expected = fast(images)
        [grad] = torch.autograd.grad(expected.square().sum(), images)
        torch.use_deterministic_algorithms(True)
        try:
            again = []
            for _ in range(2):
                found = slow(images)
                again.append(torch.autograd.grad(found.square().sum(), images)[0])
        finally:
            torch.use_deterministic_algorithms(False)
        assert torch.allclose(found, expected, atol=1e-5) and torch.equal(*again)
        assert torch.allclose(again[0], grad, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_whole_numbers_survive_the_way_through_the_device(dtype: torch.dtype) -> None:
    values = torch.arange(256 if dtype == torch.uint8 else 65536).to(dtype)
    there = to_float(values.to(CUDA, non_blocking=True))
    assert torch.equal(there.cpu(), to_float(values))
    assert torch.equal(to_integers(there, dtype).cpu().int(), values.int())


def test_ada_moves_as_on_the_cpu() -> None:
    """The numbers arrive by themselves, four steps late, and are read when they are there."""
    moved = []
    for device in (CPU, CUDA):
        ada = ADA(kimg=1.0).to(device)
        ps = []
        for index in range(40):
            ada.observe(torch.full((8,), 1.0 if index < 24 else -1.0, device=device))
            ada.update(index, batch=8)
            ps.append(ada.p)
        moved.append(ps)
    assert moved[0] == moved[1] and max(moved[0]) > 0.1


def test_a_pool_comes_back_to_the_device() -> None:
    pool = ImagePool(3).to(CUDA)
    pool(torch.rand(5, 3, 4, 4, device=CUDA))
    state = {"images": [image.cpu() for image in pool.get_extra_state()["images"]]}
    again = ImagePool(3).to(CUDA)
    again.set_extra_state(state)
    assert {image.device for image in again.images} == {CUDA}


def test_seeds_reach_the_device_and_streams_leave_it_alone() -> None:
    torch.cuda.init()
    seeding.seed_all(0, "train", 3)
    expected = torch.rand(4, device=CUDA)
    seeding.seed_all(0, "train", 3)
    first = torch.rand(2, device=CUDA)
    state = torch.cuda.get_rng_state()
    with seeding.stream(0, seeding.PREVIEW):
        torch.rand(100, device=CUDA)
    assert torch.equal(torch.cuda.get_rng_state(), state)
    seeding.seed_all(0, "train", 3)
    assert torch.equal(torch.rand(4, device=CUDA), expected)
    assert torch.equal(first, first.clamp(0, 1))


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_features_are_in_float32_whatever_is_trained_in(precision: PrecisionName) -> None:
    images = torch.randint(
        0, 256, (4, 3, 40, 40), generator=torch.Generator().manual_seed(0)
    ).byte()
    torch.manual_seed(0)
    network = Inception().eval()
    found = []
    for device in (CPU, CUDA):
        Precision(device, precision)
        extractor = load_extractor("random", [], "clean", device)
        moved = copy.deepcopy(network).to(device)
        extractor._network, extractor._apply = moved, lambda x, m=moved: m(_resized(x))
        found.append(extractor(images).double().cpu())
    assert (found[0] - found[1]).norm() < 1e-4 * found[0].norm()


def _resized(images: Tensor) -> Tensor:
    from gantrain.metrics.resize import resize

    return resize(images, 299, "clean")


def test_a_seed_gives_the_same_picture_on_both(tmp_path: Path) -> None:
    """Also of a snapshot that was written on the device."""
    G = StyleGAN2Generator([32, 32], 3, **TINY)
    pictures = []
    for where in (CPU, CUDA):
        file = tmp_path / f"{where.type}.pt"
        spec, meta = {"G": G.spec}, {"nimg": 0, "model": {}, "data": {}}
        save_snapshot(file, {"G": G.to(where)}, spec, meta)  # type: ignore[dict-item]
        for device in ("cpu", "cuda"):
            model = gantrain.load(file, device=device)
            pictures.append(to_uint8(model.sample([1, 2, 3], psi=0.7)).cpu().int())
    assert all((picture - pictures[0]).abs().max() <= 1 for picture in pictures)


@pytest.mark.parametrize("options", [TINY_CYCLEGAN, STYLEGAN], ids=["cyclegan", "stylegan"])
@pytest.mark.parametrize("way", ["cpu to cuda", "cuda to cpu"])
def test_a_run_goes_on_on_the_other_device(tmp_path: Path, way: str, options: list[str]) -> None:
    first, second = way.split(" to ")
    steps = ["checkpoint.every_kimg=0.004", "tracking.every_kimg=0.028", "name=run"]
    command(
        tmp_path, *options, *steps, "train.kimg=0.02", f"runtime.device={first}", environment=HERE
    )
    more = ["resume=runs/run", "train.kimg=0.04", f"runtime.device={second}"]
    said = command(tmp_path, *more, environment=HERE)
    assert "Resuming at 0.02 kimg." in said
    assert final_state(tmp_path / "runs/run")["nimg"] == 40


@pytest.mark.parametrize("options", [TINY_CYCLEGAN, STYLEGAN], ids=["cyclegan", "stylegan"])
def test_resuming_is_exact_where_that_is_asked_for(tmp_path: Path, options: list[str]) -> None:
    exact = ["runtime.deterministic=true", "runtime.device=cuda", "tracking.every_kimg=0.028"]
    run = [*options, *exact, "lr.schedule=constant"]
    command(tmp_path, *run, "name=straight", "train.kimg=0.048", environment=HERE)
    command(tmp_path, *run, "name=run", "train.kimg=0.02", environment=HERE)
    command(tmp_path, "resume=runs/run", "train.kimg=0.048", environment=HERE)
    states = [final_state(tmp_path / "runs" / name) for name in ("straight", "run")]
    for state in states:
        state.pop("note")
    assert differences(*states) == []


def test_auto_is_tf32_and_the_run_says_so(tmp_path: Path) -> None:
    said = command(tmp_path, *TINY_CYCLEGAN, "train.kimg=0.002", environment=HERE)
    name = Precision(CUDA, "auto").name
    assert f"cuda:0, {name};" in said
    assert name == ("tf32" if torch.cuda.get_device_capability() >= (8, 0) else "fp32")


def test_no_memory_left_is_a_sentence(tmp_path: Path) -> None:
    huge = ["train.batch=2048", "data.resolution=256", "data.train_images=8", "model.ngf=64"]
    options = [*TINY_CYCLEGAN, *huge, "runtime.device=cuda", "train.kimg=4.096", "name=run"]
    said = command(tmp_path, *options, "runtime.workers=0", code=2, environment=HERE)
    assert "Out of memory on cuda:0." in said and "Traceback" not in said
    assert "train.microbatch=1024" in said


def test_a_number_that_is_not_finite_is_traced_from_the_last_checkpoint(tmp_path: Path) -> None:
    """The device is not waited for, so the step is found again from the beginning."""
    options = ["runtime.device=cuda", "optimizer.lr=1e25", "train.kimg=0.012", "name=run"]
    said = command(tmp_path, *TINY_CYCLEGAN, *options, code=1, environment=HERE)
    assert "Going back to 0 kimg to find its origin." in said
    event = json.loads((tmp_path / "runs/run/events.jsonl").read_text())
    assert event["alarm"] == "nonfinite" and "from aten." in event["text"]


def test_every_case_has_a_gradient_in_every_phase() -> None:
    for case in CASES:
        found = gradients(case, CUDA)
        assert all(value.norm() > 0 for name, value in found.items() if "losses" not in name), case
        assert {phase.name for phase in device_cases.make(case).phases()} <= found.keys()
