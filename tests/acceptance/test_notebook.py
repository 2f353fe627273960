"""The notebook of the examples runs from its first cell to its last in a real kernel, and again."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fakes import write_learnable_base
from tunery.engine.catalog import Catalog

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "tunery.ipynb"
DEFAULT = 'base_model = "smollm2-135m-instruct"'
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the notebook, a few of its rows, and a data folder with a tiny base."""
    home = tmp_path / "home"
    Catalog(home).add(str(write_learnable_base(tmp_path / "tiny", max_position_embeddings=1024)))
    monkeypatch.setenv("TUNERY_HOME", str(home))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    for name, rows in (("messages.csv", 24), ("messages-held-out.csv", 8)):
        lines = (EXAMPLES / name).read_text("utf-8").splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[: rows + 1]), "utf-8")
    shutil.copy(NOTEBOOK, tmp_path)
    return tmp_path


def executed(folder: Path) -> list[Any]:
    """Run every cell with the tiny base; return the code cells."""
    notebook = nbformat.read(folder / NOTEBOOK.name, as_version=4)
    assert notebook.cells[1].source.endswith(DEFAULT)
    notebook.cells[1].source = notebook.cells[1].source.replace(DEFAULT, 'base_model = "tiny"')
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any) -> str:
    """Return what a cell printed and returned, as text, without the bars it drew meanwhile."""
    said = [output for output in cell.outputs if output.output_type != "display_data"]
    return "".join(output.get("text") or output["data"].get("text/plain", "") for output in said)


def test_the_notebook_runs(folder: Path) -> None:
    """Rows, a curve, a verdict, answers and an export; the second time the model is there already."""
    _, rows, tuned, verdict, answers, loaded, exported = executed(folder)

    assert "24 rows to tune on, 8 to measure with" in shown(rows)
    assert "TuningExample(" in shown(rows)
    assert [output for output in tuned.outputs if "<svg" in str(output.get("data", {}).get("image/svg+xml"))]
    assert "the tuned model" in shown(verdict)
    assert shown(answers).startswith("[")
    assert shown(loaded)[0] in "'\""
    assert "messages-adapter" in shown(exported)
    assert (folder / "messages-adapter" / "adapter_model.safetensors").is_file()


def test_the_notebook_is_committed_without_outputs() -> None:
    """Outputs of a run would be those of one machine, and make every change hard to read."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)

    nbformat.validate(notebook)
    assert not [cell for cell in notebook.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
