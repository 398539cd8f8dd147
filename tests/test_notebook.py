"""The notebook runs from top to bottom, and is stored without outputs."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.builders import ROOT

NOTEBOOK = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)


def test_notebook_is_valid_and_stored_without_outputs():
    nbformat.validate(NOTEBOOK)
    assert [cell for cell in NOTEBOOK.cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.slow  # half a minute, with the start of a kernel
def test_notebook_runs_from_top_to_bottom(tmp_path):
    done = NotebookClient(NOTEBOOK.copy(), timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = "".join(output.get("text", "") for cell in done.cells for output in cell.get("outputs", []))
    assert shown.count("finished at step 30") == 4
    assert "in plain nets" in shown
    assert (tmp_path / "runs" / "notebook" / "report" / "index.html").is_file()
