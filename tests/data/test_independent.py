"""Two batches of real images a step: which images, on every rank and after a resume."""

import numpy as np
import torch

from gantrain.data.independent import IndependentBatches
from gantrain.data.loader import batches
from gantrain.data.shape_images import ShapeImages
from gantrain.gans.base import real_batch


class Numbers:
    def item(self, position: int) -> dict[str, np.ndarray]:
        value = np.array([position])
        return {"image": value, "label": -value}


def take(count: int, **settings: int) -> list[dict[str, torch.Tensor]]:
    source = batches(IndependentBatches(Numbers(), 2), **settings)  # type: ignore[arg-type]
    return [next(source) for _ in range(count)]


def test_each_position_holds_two_of_the_data_set() -> None:
    [first, second] = take(2, start=0, batch=3)
    assert first["image"].flatten().tolist() == [0, 2, 4]
    other = real_batch(first, 1)
    assert other["image"].flatten().tolist() == [1, 3, 5]
    assert torch.equal(other["label"], -other["image"]) and set(other) == {"image", "label"}
    assert second["image"].flatten().tolist() == [6, 8, 10]


def test_ranks_share_the_batch_and_a_resumed_run_goes_on() -> None:
    whole = take(2, start=4, batch=4)
    for index in range(2):
        parts = [take(2, start=4, batch=4, rank=rank, world=2)[index] for rank in range(2)]
        for name, x in whole[index].items():
            assert torch.equal(torch.cat([part[name] for part in parts]), x)
    [resumed] = take(1, start=8, batch=4)
    assert all(torch.equal(resumed[name], x) for name, x in whole[1].items())


def test_an_epoch_of_the_data_set_is_half_as_many_positions() -> None:
    data = ShapeImages(
        seed=0, resolution=16, train_images=12, test_images=1, labels=True, flip=False
    )
    data.prepare(batch=1, multiple=1, log=lambda _: None)
    source = IndependentBatches(data, 2)
    items = [source.item(position) for position in range(6)]
    shown = [item[name] for item in items for name in ("image", "1/image")]
    assert {x.tobytes() for x in shown} == {
        data.train_item("image", i).tobytes() for i in range(12)
    }
    plain = IndependentBatches(data, 1).item(5)
    assert plain.keys() == {"image", "label"}
    assert all(np.array_equal(plain[name], x) for name, x in data.item(5).items())
