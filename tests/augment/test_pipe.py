"""The whole pipe: golden numbers, selection, derivatives, devices, number formats, tracing."""

from contextlib import nullcontext
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from gantrain.augment import pipe as module
from gantrain.augment.pipe import TRANSFORMS, AugmentPipe, Spec
from gantrain.augment.warp import STEPS
from tests.helpers import golden_files

META, GOLDEN = golden_files.load("augment")
_, R3GAN = golden_files.load("r3gan_augment")


def seeded(pipe: AugmentPipe, images: Tensor, p: float, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    return pipe(images, p)


@pytest.mark.parametrize("percentile", META["percentiles"])
@pytest.mark.parametrize("name", META["transforms"])
def test_each_transform_gives_the_golden_numbers(name: str, percentile: float) -> None:
    pipe = AugmentPipe("bgc")
    if name != "bgc":
        pipe.transforms = frozenset([name])
    got = pipe(GOLDEN["x"], 1.0, percentile=percentile)
    expected = GOLDEN[f"{name}/percentile{percentile}"]
    torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("percentile", META["percentiles"])
def test_cutout_and_the_pipe_of_r3gan_give_the_golden_numbers(percentile: float) -> None:
    for spec, name, atol in (("cutout", "cutout", 0), ("bgc_cutout", "pipe", 1e-4)):
        got = AugmentPipe(spec)(R3GAN["x"], 1.0, percentile=percentile)
        expected = R3GAN[f"{name}/percentile{percentile}"]
        torch.testing.assert_close(got, expected, atol=atol, rtol=0)


def test_a_group_may_have_a_share_of_p() -> None:
    """Of 4000 images: colour in 1 - (1 - 0.2)^5, cutout in 0.4; the other draws are the same."""
    images = torch.rand(4000, 3, 2, 2) * 2 - 1
    torch.manual_seed(0)
    drawn = AugmentPipe("bgc_cutout", {"color": 0.5}).draw(len(images), (2, 2), 0.4)
    torch.manual_seed(0)
    plain = AugmentPipe("bgc_cutout").draw(len(images), (2, 2), 0.4)
    recolored = (drawn["color"] != torch.eye(4)).flatten(1).any(1).double().mean()
    assert float(recolored) == pytest.approx(1 - 0.8**4 * 0.9, abs=0.03)  # lumaflip: half the time
    assert float((drawn["cutout"][:, 0] >= 0).double().mean()) == pytest.approx(0.4, abs=0.03)
    assert all(torch.equal(drawn[name], plain[name]) for name in ("geometry", "cutout"))


def test_every_spec_is_the_sum_of_its_letters() -> None:
    assert set(TRANSFORMS) == set(get_args(Spec))
    initials = {"b": "blit", "g": "geom", "c": "color", "f": "filter", "n": "noise"}
    for spec, transforms in TRANSFORMS.items():
        if spec.startswith("bg"):
            letters = spec.partition("_")[0]
            groups = [initials[letter] for letter in letters[:5]]
            groups += ["cutout"] * (len(letters) > 5 or "_cutout" in spec)
            assert transforms == sum((TRANSFORMS[group] for group in groups), ())
    assert TRANSFORMS["none"] == () and len(set(TRANSFORMS["bgcfnc"])) == 15


@pytest.mark.parametrize("spec", get_args(Spec))
def test_p_zero_changes_nothing_and_p_one_does(spec: Spec) -> None:
    pipe, images = AugmentPipe(spec), torch.rand(8, 3, 16, 16) * 2 - 1
    assert pipe(images, 0.0) is images
    assert torch.equal(pipe(images, 1.0), images) == (spec == "none")


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_must_be_a_probability(p: float) -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\]"):
        AugmentPipe("bgc")(torch.zeros(1, 3, 8, 8), p)


def test_images_that_were_not_selected_stay_bit_for_bit() -> None:
    images = torch.randn(400, 3, 8, 8)
    same = (seeded(AugmentPipe("bgc"), images, 0.05) == images).flatten(1).all(1).double().mean()
    # xflip and lumaflip act on 1/2 of the selected, rotate90 and, at 8 px, xint on 3/4.
    expected = 0.95**8 * 0.975**2 * (1 - 0.05 * 3 / 4) ** 2
    assert same == pytest.approx(expected, abs=0.1)


def test_images_of_a_batch_are_augmented_independently() -> None:
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    results = seeded(AugmentPipe("bgc"), image.expand(6, -1, -1, -1), 1.0)
    distances = torch.cdist(results.flatten(1), results.flatten(1)) + 10 * torch.eye(6)
    assert distances.min() > 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_shapes_and_seeds(channels: int) -> None:
    pipe, images = AugmentPipe("bgcfnc"), torch.randn(4, channels, 12, 20)
    first = seeded(pipe, images, 0.8)
    assert first.shape == images.shape and first.dtype == torch.float32
    assert torch.equal(first, seeded(pipe, images, 0.8))
    assert not torch.equal(first, seeded(pipe, images, 0.8, seed=1))


def test_alpha_moves_with_the_colors() -> None:
    grey = torch.randn(4, 1, 16, 16).expand(-1, 4, -1, -1)
    moved = seeded(AugmentPipe("bg"), grey, 1.0)
    torch.testing.assert_close(moved[:, 3], moved[:, 0])
    torch.testing.assert_close(seeded(AugmentPipe("bg"), grey[:, :1], 1.0), moved[:, :1])


def test_nothing_waits_for_the_device_and_the_draws_do_not_depend_on_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Tensors on "meta" have no values: reading one back, as a host would, is an error."""
    monkeypatch.setattr(module, "without_autocast", lambda _: nullcontext())  # meta has none
    pipe, images = AugmentPipe("bgcfnc"), torch.randn(4, 3, 16, 24)
    assert seeded(pipe, images.to("meta"), 0.8).shape == images.shape
    pipe.transforms -= {"noise"}  # whose field comes from the device's own generator
    seeded(pipe, images, 0.8)
    after = torch.random.get_rng_state()
    seeded(pipe, images.to("meta"), 0.8)
    assert torch.equal(torch.random.get_rng_state(), after)


def in_parts(
    pipe: AugmentPipe, images: Tensor, p: float, step: int | None = None
) -> tuple[Tensor, Tensor]:
    """Packed parameters, and what `apply` makes of them with the noise that `forward` adds."""
    size = (images.shape[2], images.shape[3])
    torch.manual_seed(0)
    drawn = pipe.draw(len(images), size, p)
    packed = pipe.pack(drawn, images)
    step = pipe.margin_step(drawn, size) if step is None else step
    return packed, pipe.apply(images, packed, step)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("spec", ["bg", "bgc", "color", "bgcfnc"])
def test_in_parts_and_all_at_once_as_one_by_one(spec: Spec, channels: int) -> None:
    pipe, images = AugmentPipe(spec), torch.randn(6, channels, 13, 22, dtype=torch.float64)
    for p in (0.1, 0.8):
        expected = seeded(pipe, images, p)
        for step in (None, STEPS):
            got = in_parts(pipe, images, p, step)[1]
            torch.testing.assert_close(got, expected, atol=1e-12, rtol=1e-12)
    half = images.bfloat16()
    got, expected = in_parts(pipe, half, 0.8)[1], seeded(pipe, half, 0.8)
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("spec", get_args(Spec))
def test_packed_parameters_have_one_shape_and_none_of_them_changes_an_image(spec: Spec) -> None:
    pipe, images = AugmentPipe(spec), torch.randn(5, 3, 16, 24)
    packed, same = in_parts(pipe, images, 0.0, STEPS)
    assert torch.equal(same, images)
    assert torch.equal(in_parts(pipe, images, 0.0)[1], images)
    again, moved = in_parts(pipe, images, 1.0)
    assert torch.equal(moved, images) == (spec == "none")
    assert packed.shape == again.shape and packed.dtype == again.dtype == torch.float32
    # A part of the rows is for a part of the images.
    if "n" not in spec:
        part = pipe.apply(images[1:3], again[1:3])
        torch.testing.assert_close(part, moved[1:3], atol=1e-5, rtol=1e-5)


class Counting(TorchDispatchMode):
    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(("spec", "most"), [("bgc", 150), ("bgcfnc", 240)])
def test_a_draw_is_few_operations_however_many_images(spec: Spec, most: int) -> None:
    pipe, counts = AugmentPipe(spec), []
    for images in (2, 64):
        with Counting() as counting:
            pipe.draw(images, (16, 16), 0.5)
        counts.append(counting.operations)
    assert counts[0] == counts[1] <= most


def traced_example(size: tuple[int, int]) -> tuple[AugmentPipe, list[Tensor], Tensor]:
    """A pipe; images, packed parameters and noise; other packed parameters."""
    pipe, images = AugmentPipe("bgcfnc"), torch.randn(3, 3, *size)
    packed, other = (pipe.pack(pipe.draw(3, size, p), images) for p in (0.9, 0.4))
    return pipe, [images, packed, torch.randn_like(images)], other


def test_a_trace_with_second_derivatives_is_what_was_traced() -> None:
    """At a size of its own: its constants are first needed within the trace."""
    pipe, inputs, other = traced_example((11, 14))

    def penalty(images: Tensor, packed: Tensor, noise: Tensor, theta: Tensor) -> list[Tensor]:
        images, theta = (x.detach().requires_grad_(True) for x in (images, theta))
        logits = (pipe.apply(images, packed, 3, noise).square() * theta).sum()
        [gradient] = torch.autograd.grad(logits, images, create_graph=True)
        r1 = gradient.square().sum()
        return [r1, *torch.autograd.grad(r1, [theta, images])]

    inputs.append(torch.randn(3, 11, 14))
    traced = make_fx(penalty, tracing_mode="fake", _allow_non_fake_inputs=True)(*inputs)
    for packed in (inputs[1], other):
        inputs[1] = packed
        for found, expected in zip(traced(*inputs), penalty(*inputs), strict=True):
            assert torch.equal(found, expected)


def test_half_precision_is_left() -> None:
    pipe, images = AugmentPipe("bgcf"), torch.randn(4, 3, 16, 16).bfloat16()
    expected = seeded(pipe, images.float(), 0.8)
    assert torch.equal(seeded(pipe, images, 0.8), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(seeded(pipe, images.float(), 0.8), expected)
    double = seeded(pipe, images.double(), 0.8).float()
    torch.testing.assert_close(double, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_derivatives_of_the_whole_pipe(channels: int) -> None:
    pipe = AugmentPipe("bgcfnc")
    images = torch.randn(2, channels, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: seeded(pipe, x, 0.9), images)
    assert torch.autograd.gradgradcheck(lambda x: seeded(pipe, x, 0.9), images)


def test_a_gradient_penalty_goes_through() -> None:
    """R1 = |d D(A(x)) / dx|^2 of a D that is linear in theta is quadratic in it (Euler: 2 R1)."""
    pipe = AugmentPipe("bgcfnc")
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    theta = torch.randn(3, 16, 16, dtype=torch.float64, requires_grad=True)
    logits = (seeded(pipe, images, 0.8).square() * theta).sum()
    (gradient,) = torch.autograd.grad(logits, images, create_graph=True)
    r1 = gradient.square().sum()
    (by_theta,) = torch.autograd.grad(r1, theta)
    assert r1 > 0
    torch.testing.assert_close((by_theta * theta).sum(), 2 * r1)
