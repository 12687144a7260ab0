"""What the probes ask of a GAN, and that training doesn't notice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gantrain.data.shape_images import ShapeImages
from gantrain.data.shapes import UnpairedShapes
from gantrain.engine import seeding
from gantrain.engine.precision import Precision
from gantrain.gans.base import GAN, ImageSpec
from gantrain.gans.cyclegan import CycleGAN
from gantrain.gans.dcgan import DCGAN
from gantrain.gans.r3gan import R3GAN
from gantrain.gans.stylegan import StyleGAN
from gantrain.gans.stylegan3 import StyleGAN3
from gantrain.inference.probes import HealthProbe, can_be_probed
from gantrain.ops.value_range import to_float
from tests.engine.test_trainer import trainer
from tests.helpers.command_line import differences

CPU = Precision(torch.device("cpu"), "fp32")
STYLEGAN: dict[str, Any] = {
    "z_dim": 8, "w_dim": 8, "channel_base": 64, "channel_max": 8, "mapping_layers": 1,
}  # fmt: skip


def prepared(data: Any) -> Any:
    data.prepare(batch=1, multiple=1, log=lambda _: None)
    return data


def pairs() -> Any:
    return prepared(UnpairedShapes(seed=0, resolution=16, train_images=20, test_images=12))


def singles(labels: bool = False, test_images: int = 12) -> Any:
    return prepared(
        ShapeImages(
            seed=0, resolution=16, train_images=20, test_images=test_images, labels=labels
        )
    )  # fmt: skip


def cyclegan() -> GAN:
    """With batch norm, dropout and pools: all that a probe could disturb."""
    seeding.seed_all(0, seeding.INIT)
    small: dict[str, Any] = {"ngf": 2, "ndf": 2, "blocks": 1, "d_layers": 1, "pool_size": 2}
    return CycleGAN(ImageSpec({"a": 3, "b": 3}, (16, 16)), norm="batch", dropout=True, **small)


def single(kind: str, label_dim: int = 0) -> GAN:
    seeding.seed_all(0, seeding.INIT)
    images = ImageSpec({"image": 3}, (16, 16), label_dim, 4)
    if kind == "dcgan":
        return DCGAN(images, g_width=8, d_width=4)
    if kind == "r3gan":
        return R3GAN(images, z_dim=8, channel_base=64, channel_max=8, augment_p=0.5)
    augment: dict[str, Any] = {"augment": "fixed", "augment_p": 0.5}
    if kind == "stylegan3":
        return StyleGAN3(images, config="r", **augment, **STYLEGAN)
    return StyleGAN(images, **augment, **STYLEGAN)


def single_batches(nimg: int, label_dim: int = 0) -> Iterator[dict[str, Tensor]]:
    while True:
        generator = torch.Generator().manual_seed(nimg)
        batch = {"image": torch.randint(0, 256, (2, 3, 16, 16), generator=generator).byte()}
        batch["1/image"] = batch["image"].flip(3)  # R3GAN takes a second one
        if label_dim:
            batch["label"] = torch.rand(2, label_dim, generator=generator)
        yield batch
        nimg += 2


KINDS = ("cyclegan", "dcgan", "r3gan", "stylegan", "stylegan with labels", "stylegan3")


@pytest.mark.parametrize("kind", KINDS)
def test_training_does_not_notice(kind: str, tmp_path: Path) -> None:
    labels = 3 * kind.endswith("labels")
    states, seen = [], {}
    for probed in (False, True):
        gan = cyclegan() if kind == "cyclegan" else single(kind.split()[0], labels)
        data = pairs() if kind == "cyclegan" else singles(bool(labels))
        plan = {"health_every": 4 if probed else 0}
        run, recorder, _ = trainer(gan, tmp_path / str(probed), **plan)
        run.preview = None
        if kind != "cyclegan":
            run.batches = lambda nimg, dim=labels: single_batches(nimg, dim)
        run.probe = HealthProbe(gan, data, CPU, count=8, batch=3)
        run.train()
        states.append(run.state_dict())
        seen = recorder.rows[-1][1]
    assert differences(states[0], states[1]) == []
    places = ("ab", "ba") if kind == "cyclegan" else ("image",)
    for place in places:
        for name in ("logit_real", "logit_fake", "logit_held", "separation", "diversity"):
            assert f"health/{place}/{name}" in seen
        assert (f"health/{place}/hidden" in seen) == (kind == "cyclegan")


def test_probes_repeat_whatever_was_drawn_before(tmp_path: Path) -> None:
    gan = single("stylegan")
    run, _, _ = trainer(gan, tmp_path)
    run.probe = HealthProbe(gan, singles(), CPU, count=8, batch=4)
    first = run._run_probe()
    torch.rand(17)
    assert run._run_probe() == first


def test_logits_are_means_over_patches_of_fixed_pictures() -> None:
    seeding.seed_all(0, seeding.INIT)
    gan = CycleGAN(ImageSpec({"a": 3, "b": 3}, (16, 16)), ngf=2, ndf=2, blocks=1, d_layers=1)
    data = pairs()
    found = HealthProbe(gan, data, CPU, count=5, batch=2)()
    real = torch.stack([torch.from_numpy(data.train_item("b", i)) for i in (0, 4, 8, 12, 16)])
    held = torch.stack([torch.from_numpy(data.test_item("a", i)) for i in (0, 2, 4, 7, 9)])
    with torch.no_grad():
        assert found["ab/logit_real"] == pytest.approx(
            gan.D["b"](to_float(real)).mean().item(), abs=1e-7
        )
        assert found["ba/logit_held"] == pytest.approx(
            gan.D["a"](to_float(held)).mean().item(), abs=1e-7
        )


def test_without_held_out_pictures() -> None:
    found = HealthProbe(single("dcgan"), singles(test_images=0), CPU, count=8, batch=8)()
    assert "image/logit_held" not in found and "image/diversity" in found


def test_a_gan_of_another_kind_is_left_alone() -> None:
    from tests.helpers.third_gan.striped_gan import StripedGAN

    assert not can_be_probed(StripedGAN(ImageSpec({"a": 3, "b": 3}, (16, 16))))
    assert can_be_probed(cyclegan()) and can_be_probed(single("dcgan"))


def test_one_direction_has_no_way_back() -> None:
    both, one = cyclegan(), cyclegan()
    del one.G["ba"]  # type: ignore[operator]
    seeding.seed_all(1, seeding.HEALTH)
    expected = HealthProbe(both, pairs(), CPU, count=8, batch=8)()
    seeding.seed_all(1, seeding.HEALTH)
    found = HealthProbe(one, pairs(), CPU, count=8, batch=8)()
    assert "ab/hidden" in expected and "ab/hidden" not in found
    assert found == {k: x for k, x in expected.items() if k in found} and "ab/copy" in found
    assert not [name for name in found if name.startswith("ba/")]
