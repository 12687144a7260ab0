"""Batches of real images: 8 bits for metrics, as they are stored for networks."""

import numpy as np
import torch

from gantrain.inference.features import RealImages
from gantrain.ops.value_range import to_float


def test_networks_get_the_values_that_the_data_set_stores() -> None:
    levels = [np.full((1, 2, 2), 1000 * i + 7, np.uint16) for i in range(3)]
    images = RealImages("x", 3, levels.__getitem__)
    stored = torch.cat([to_float(x) for x in images.stored(2)])
    assert torch.equal(stored, torch.stack([to_float(torch.from_numpy(x)) for x in levels]))
    batches = [*images.batches(2)]
    assert [len(x) for x in batches] == [2, 1] and batches[0].dtype == torch.uint8
    assert [int(x) for x in torch.cat(batches)[:, 0, 0, 0]] == [0, 4, 8]
