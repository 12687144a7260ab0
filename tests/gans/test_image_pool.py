"""The pool against a literal restatement of the published procedure."""

import torch
from torch import Tensor

from gantrain.gans.image_pool import ImagePool


def literal(stored: list[Tensor], size: int, batch: Tensor) -> list[Tensor]:
    out = []
    for image in batch:
        if len(stored) < size:
            stored.append(image)
            out.append(image)
        elif torch.rand(()) > 0.5:
            k = int(torch.randint(size, ()))
            out.append(stored[k])
            stored[k] = image
        else:
            out.append(image)
    return out


def test_pool_equals_the_published_procedure() -> None:
    pool, stored = ImagePool(3), []
    images = torch.arange(80.0).view(20, 4, 1, 1, 1)
    earlier = 0
    for batch in images:  # batches larger than the pool: images of one batch meet each other
        with torch.random.fork_rng():
            expected = literal(stored, 3, batch)
        got = pool(batch)
        assert torch.equal(got, torch.stack(expected))
        earlier += int((got != batch).sum())
    assert 20 < earlier < 50  # about half of 77


def test_first_images_come_back_and_later_ones_from_the_past() -> None:
    pool = ImagePool(50)
    first = torch.randn(50, 1, 2, 2)
    assert torch.equal(pool(first), first)
    later = pool(torch.zeros(400, 1, 2, 2))
    share = (later.flatten(1).abs().sum(1) > 0).float().mean()
    assert 0.05 < share < 0.3  # 50 old ones leave within the 400


def test_size_zero_is_off() -> None:
    x = torch.randn(2, 3, 4, 4)
    assert ImagePool(0)(x) is x


def test_pool_does_not_keep_batches_alive() -> None:
    pool = ImagePool(2)
    pool(torch.randn(2, 3, 4, 4))
    assert all(image.untyped_storage().nbytes() == 3 * 4 * 4 * 4 for image in pool.images)


def test_state_travels() -> None:
    pool, other = ImagePool(4), ImagePool(4)
    pool(torch.randn(3, 1, 2, 2))
    other.load_state_dict(pool.state_dict())
    x = torch.randn(6, 1, 2, 2)
    with torch.random.fork_rng():
        expected = pool(x)
    assert torch.equal(other(x), expected)
