import torch

from gantrain.ops.precision import at_least_float32
from gantrain.ops.value_range import to_float, to_uint8


def test_every_pixel_value_survives_the_round_trip() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    floats = to_float(values)
    assert floats[0] == -1 and floats[255] == 1
    assert torch.equal(to_uint8(floats), values)
    assert torch.equal(to_uint8(to_float(to_uint8(floats.to(torch.float64)))), values)


def test_to_uint8_rounds_and_clamps() -> None:
    x = torch.tensor([-1.5, -1.0, 0.0, 0.0039, 1.0, 7.0])
    assert to_uint8(x).tolist() == [0, 0, 128, 128, 255, 255]


def test_widen_only_leaves_half_precision() -> None:
    for given, got in (
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ):
        assert at_least_float32(torch.zeros(1, dtype=given)).dtype == got
