import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gantrain.data.shapes import UnpairedShapes
from gantrain.engine.precision import Precision
from gantrain.inference.translation import evaluate_pairs, pair_problems, translate
from gantrain.ops.value_range import to_float, to_uint8

CPU = Precision(torch.device("cpu"), "fp32")


def shapes() -> UnpairedShapes:
    data = UnpairedShapes(seed=0, resolution=32, train_images=2, test_images=5)
    data.prepare(batch=1, multiple=4, log=lambda _: None)
    return data


class Oracle(nn.Module):
    """Knows every answer."""

    def __init__(self, data: UnpairedShapes, direction: str) -> None:
        super().__init__()
        src, dst = direction
        self.answers = {data.test_item(src, i).tobytes(): data.test_item(dst, i) for i in range(5)}

    def forward(self, x: Tensor) -> Tensor:
        answer = self.answers[to_uint8(x).numpy().tobytes()]
        return to_float(torch.from_numpy(answer))[None]


def test_doing_nothing_gives_the_baseline() -> None:
    numbers = evaluate_pairs({"ab": nn.Identity(), "ba": nn.Identity()}, shapes(), 5, CPU)
    assert set(numbers) == {"ab", "ba"}
    for scores in numbers.values():
        assert scores["model"] == scores["baseline"]
        assert scores["model"]["l1"] > 5


def test_the_truth_is_perfect() -> None:
    data = shapes()
    networks: dict[str, nn.Module] = {d: Oracle(data, d) for d in ("ab", "ba")}
    for scores in evaluate_pairs(networks, data, 5, CPU).values():
        assert scores["model"]["l1"] == 0
        assert scores["model"]["ssim"] == pytest.approx(1)
        assert scores["model"]["psnr"] == 108


def test_limit() -> None:
    data = shapes()
    numbers = evaluate_pairs({"ab": nn.Identity()}, data, 1, CPU)
    a, b = (data.test_item(d, 0).astype(float) for d in "ab")
    assert numbers["ab"]["model"]["l1"] == pytest.approx(np.abs(a - b).mean())


class Pairs:
    """Test images of the given (h, w)."""

    def __init__(self, **sizes: list[tuple[int, int]]) -> None:
        self.sizes = sizes

    def test_count(self, domain: str) -> int:
        return len(self.sizes[domain])

    def test_item(self, domain: str, index: int) -> np.ndarray:
        channels = {"a": 1, "b": 3}[domain]  # other channels can be compared
        return np.zeros((channels, *self.sizes[domain][index]), np.uint8)

    def test_name(self, domain: str, index: int) -> str:
        return f"picture {index}"


def test_pairs_that_cannot_be_compared_are_all_listed() -> None:
    good = [(16, 20), (11, 11)]
    assert pair_problems(Pairs(a=good, b=good), 9) == []
    data = Pairs(a=[*good, (16, 20), (10, 40)], b=[*good, (20, 16), (10, 40), (1, 1)])
    unequal, small = pair_problems(data, 9)
    assert "picture 2 is 20x16 in domain a and 16x20 in b" in unequal
    assert "picture 3 is 40x10" in small and "11x11" in small
    assert pair_problems(data, 3) == [unequal]
    assert pair_problems(data, 0) == []


def test_translate_rounds_and_restores_the_mode() -> None:
    class Training(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            return x + 0.3 / 127.5

    network = Training().train()
    x = torch.randint(0, 256, (2, 3, 4, 4), dtype=torch.uint8)
    assert torch.equal(translate(network, x, CPU), x)
    assert network.training
