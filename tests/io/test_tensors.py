"""The digest of tensors: what changes it, and what does not."""

from typing import Any

import pytest
import torch

from gantrain.io.tensors import digest, is_unaltered

CONTENT: dict[str, Any] = {"w": {"a": torch.ones(2, 3), "b": [torch.zeros(2)]}, "nimg": 7}


def test_order_and_layout_do_not_matter() -> None:
    same = {"nimg": 8, "w": {"b": (torch.zeros(2),), "a": torch.ones(3, 2).t()}}
    assert digest(same) == digest(CONTENT)


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.ones(3, 2), "b": [torch.zeros(2)]},  # another shape
        {"a": torch.ones(2, 3).double(), "b": [torch.zeros(2)]},
        {"a": torch.ones(2, 3), "b": [-torch.zeros(2)]},  # equal, but with other bits
        {"a": torch.ones(2, 3), "c": [torch.zeros(2)]},
        {"a": torch.ones(2, 3), "b": [torch.zeros(2), torch.zeros(0)]},
    ],
)
def test_every_difference_of_tensors_matters(other: dict[str, Any]) -> None:
    assert digest({"w": other}) != digest(CONTENT)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.bool])
def test_any_kind_of_number(dtype: torch.dtype) -> None:
    x = torch.tensor([0, 1]).to(dtype)
    assert digest([x]) == digest([x.clone()]) != digest([1 - x.float()])


def test_files_of_earlier_versions_have_none() -> None:
    assert is_unaltered(dict(CONTENT))
    assert not is_unaltered({**CONTENT, "sha256": "0"})
    whole = {**CONTENT, "sha256": digest(CONTENT)}
    assert is_unaltered(whole) and "sha256" not in whole
