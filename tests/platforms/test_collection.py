"""On Windows the tests can at least be collected: what they import and name is there."""

from pathlib import Path

import pytest

from tests.platforms import emulation


@pytest.mark.slow
def test_every_module_of_the_tests_can_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests see Windows, too; plugins of pytest are made for the Linux that they see.
    variables = {"GANTRAIN_TEST_VIEW": "gantrain,tests,scripts"}
    variables |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    for name, value in variables.items():
        monkeypatch.setitem(emulation.ENVIRONMENT, name, value)
    words = ["-m", "pytest", "-p", "no:cacheprovider", "--assert=plain", "-o", "addopts="]
    words += ["--rootdir", str(emulation.ROOT), "-c", str(emulation.ROOT / "pyproject.toml")]
    words += ["-q", "--collect-only", "-m", "", str(emulation.ROOT / "tests")]
    process = emulation.start("windows", tmp_path / "drive", *words)
    said, _ = process.communicate(timeout=280)
    text = said.decode()
    assert process.returncode == 0, "\n".join(text.splitlines()[-60:])
    assert "tests/engine/test_trainer.py" in text and "test_signals.py" not in text
