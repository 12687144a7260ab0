"""Random command lines end in an answer. The whole campaign: scripts/fuzz_overrides.py."""

import pytest

from scripts import fuzz_overrides


def test_a_hundred_command_lines() -> None:
    assert fuzz_overrides.campaign(100, seed=7) == []


def test_a_fault_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise KeyError("a fault")

    monkeypatch.setattr(fuzz_overrides.entry, "main", fail)
    found = fuzz_overrides.campaign(3, seed=7)
    assert [fault.error for fault in found] == ["KeyError: 'a fault'"] * 3
    assert found[0].argv == fuzz_overrides.command_line(0, 7, fuzz_overrides.keys())
