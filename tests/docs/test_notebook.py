"""The notebooks of examples/ run from top to bottom, with small searches."""

import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "examples").glob("*.ipynb"))
USUAL, SMALL = "draws, starts = 8192, 12", "draws, starts = 64, 1"
# Of nbclient and the kernel, not of what they run.
pytestmark = pytest.mark.filterwarnings("ignore")


def shown(cell):
    """What a cell shows, by its kind."""
    return {kind: text for output in cell.outputs for kind, text in output.get("data", {}).items()}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.name for path in NOTEBOOKS])
def test_notebook_runs_and_shows_results(path, tmp_path, monkeypatch):
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept in the repository"
    notebook.cells[1].source = notebook.cells[1].source.replace(USUAL, SMALL)
    assert SMALL in notebook.cells[1].source
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    )
    client.create_kernel_manager()
    # The kernel of the tests' own Python, whatever kernels this machine has.
    client.km.kernel_spec.argv[0] = sys.executable
    client.execute()
    kinds = [shown(cell) for cell in notebook.cells if cell.cell_type == "code"]
    assert any("largest strain" in kind.get("text/html", "") for kind in kinds)
    assert any("image/png" in kind for kind in kinds)
    assert any("xarray" in kind.get("text/html", "") for kind in kinds)
