"""Modules are imported without looking for garbage, and it is looked for again afterwards."""

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantrain.engine import startup


@pytest.fixture(autouse=True)
def _thawed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "looks.py").write_text("import gc\nFOUND = gc.isenabled()\n")
    (tmp_path / "broken.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    gc.unfreeze()
    yield
    gc.unfreeze()
    gc.enable()


@pytest.mark.parametrize("looking", [True, False])
def test_nobody_looks_while_a_module_is_imported(
    monkeypatch: pytest.MonkeyPatch, looking: bool
) -> None:
    monkeypatch.delitem(sys.modules, "looks", raising=False)
    if not looking:
        gc.disable()
    assert startup.import_without_gc("looks").FOUND is False
    assert gc.isenabled() is looking and gc.get_freeze_count() > 0


def test_what_is_there_already_keeps_no_memory() -> None:
    assert startup.import_without_gc("gantrain.engine.startup") is startup
    assert gc.get_freeze_count() == 0


def test_a_module_that_fails_changes_nothing_else() -> None:
    with pytest.raises(ZeroDivisionError):
        startup.import_without_gc("broken")
    assert gc.isenabled()
