"""The notebooks run from the first cell to the last, in a Jupyter kernel."""

from pathlib import Path

import nbformat
import pytest

from scripts.run_notebooks import NOTEBOOKS, execute

FILES = sorted(NOTEBOOKS.glob("*.ipynb"))
SMALL = "kimg = 0.02"  # a training of 20 images


@pytest.mark.ci
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_notebook_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    outputs = [x for cell in execute(file, tmp_path, SMALL).cells for x in cell.get("outputs", [])]
    shown = [kind for output in outputs for kind in output.get("data", {})]
    assert shown.count("image/png") >= 2 and "text/html" in shown  # pictures and a table
    [run] = (tmp_path / "runs").iterdir()
    assert (run / "result.json").is_file()
    printed = "".join(output.get("text", "") for output in outputs)
    assert "Error" not in printed and "img/s" not in printed  # the reports are one output,
    [bar] = [x for x in outputs if "<progress" in x.get("data", {}).get("text/html", "")]
    assert 'max="20"' in bar["data"]["text/html"]
    assert "img/s" in bar["data"]["text/plain"] and len(printed.splitlines()) < 25


def test_the_outputs_are_those_of_the_cells() -> None:
    assert [file.stem for file in FILES] == ["first_cyclegan", "first_stylegan"]
    for file in FILES:
        code = [x for x in nbformat.read(file, as_version=4).cells if x.cell_type == "code"]
        assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
        assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
        assert "/work/" not in file.read_text() and "/tmp/" not in file.read_text()
