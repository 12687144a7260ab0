"""Run the notebooks in docs/notebooks and keep their outputs in them.

python scripts/run_notebooks.py [FOLDER]

Needs `pip install nbclient ipykernel`. FOLDER (default: a temporary one) receives the runs.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[1] / "docs" / "notebooks"


def execute(file: Path, folder: Path, settings: str = "") -> nbformat.NotebookNode:
    """Run a notebook and return it with its outputs.

    Args:
        file: the notebook.
        folder: where it runs.
        settings: Python code to run after the cell with the tag "parameters".

    Raises:
        CellExecutionError: a cell raised an exception.
    """
    notebook = nbformat.read(file, as_version=4)
    [cell] = [x for x in notebook.cells if "parameters" in x.metadata.get("tags", [])]
    source = cell.source
    cell.source = f"{source}\n{settings}"
    client = NotebookClient(notebook, timeout=3600, resources={"metadata": {"path": str(folder)}})
    client.execute()
    cell.source = source
    return notebook


def main(folder: Path) -> None:
    """Run all notebooks and write their outputs into them."""
    for file in sorted(NOTEBOOKS.glob("*.ipynb")):
        print(file)
        notebook = execute(file, folder)
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times, which differ from run to run
        nbformat.write(notebook, file)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
