"""Exported files know what they hold, and notice every flipped bit."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from gantrain.io import safetensors_file

TENSORS = {"a": torch.randn(3, 2), "b": torch.zeros(0, 2), "c": torch.tensor(1.5)}


def test_the_way_there_and_back(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(safetensors_file.to_bytes("ab", TENSORS, {"args": {"k": 1}}))
    content = safetensors_file.read(tmp_path / "x")
    assert content and content.network == "ab" and content.spec == {"args": {"k": 1}}
    assert all(torch.equal(content.tensors[key], value) for key, value in TENSORS.items())


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    whole = safetensors_file.to_bytes("G", TENSORS, {})
    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 1 << position % 8
        (tmp_path / "x").write_bytes(altered)
        assert safetensors_file.read(tmp_path / "x") is None, position


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_other_programs_files_have_no_digest(
    tmp_path: Path, metadata: dict[str, str] | None
) -> None:
    (tmp_path / "x").write_bytes(save(TENSORS, metadata=metadata))
    content = safetensors_file.read(tmp_path / "x")
    assert content and content.network is None and content.tensors.keys() == TENSORS.keys()
