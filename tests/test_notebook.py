"""The notebook of the documents runs from its first cell to its last, and shows pictures."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / "docs" / "notebook.ipynb"


def test_notebook_runs_offline_and_shows_its_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = tmp_path / "liqmap.toml"
    config.write_text(f'storage.path = "{tmp_path / "store"}"\nengine.workers = 1\n')
    monkeypatch.setenv("LIQMAP_CONFIG", str(config))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")  # of the kernel's own libraries
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, kernel_name="python3", timeout=240, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    assert {output.output_type for outputs in shown.values() for output in outputs} == {"execute_result"}
    assert all("text/html" in outputs[0].data for name, outputs in shown.items() if name != "bars")
    assert shown["draw"][0].data["text/html"].count("<img") == 2
    for name in ("draw", "bars", "heatmap"):
        png = base64.b64decode(shown[name][0].data["image/png"])
        with Image.open(io.BytesIO(png)) as picture:
            assert picture.width > 600
            assert len(picture.convert("RGB").resize((64, 64)).getcolors(4096) or ()) > 20


def test_notebook_is_kept_without_outputs_and_paths():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert notebook.metadata == {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    assert "/home/" not in NOTEBOOK.read_text()
