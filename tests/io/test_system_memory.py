"""What systems say about memory; tests/platforms asks them."""

import math
from pathlib import Path

import pytest

from gantrain.io import system_memory

VM_STAT = """Mach Virtual Memory Statistics: (page size of 4096 bytes)
Pages free:                                4000.
Pages active:                            390522.
Pages inactive:                             500.
Pages wired down:                        152221.
"""


def test_macos_counts_free_and_inactive_pages() -> None:
    assert system_memory._available_of(VM_STAT) == 4500 * 4096


@pytest.mark.parametrize("text", ["", "Pages free: 4000.", VM_STAT.replace("Pages", "Blocks")])
def test_another_answer_says_nothing(text: str) -> None:
    assert system_memory._available_of(text) == math.inf


def test_linux_without_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system_memory.sys, "platform", "linux")
    assert 0 < system_memory.available_bytes() < math.inf
    monkeypatch.setattr(system_memory, "MEMORY_FILE", tmp_path / "none")
    assert system_memory.available_bytes() == math.inf
