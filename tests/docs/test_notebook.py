"""The notebook runs from top to bottom, and shows what it says."""

import os
from pathlib import Path

import pytest

nbclient = pytest.importorskip(
    "nbclient", reason="nbclient is not installed: pip install -e .[docs]"
)
pytest.importorskip("ipykernel", reason="ipykernel is not installed: pip install -e .[docs]")
PATH = Path(__file__).parents[2] / "docs" / "walk.ipynb"


@pytest.mark.filterwarnings("ignore")
def test_it_runs(tmp_path, monkeypatch):
    import nbformat

    notebook = nbformat.read(PATH, as_version=4)
    for cell in notebook.cells:  # few steps and pictures here; the rest as printed
        cell.source = cell.source.replace("torch.randn(4,", "torch.randn(1,")
        cell.source = cell.source.replace("torch.full((4,)", "torch.full((1,)")
    quick = 'sampler_options={"steps": 20}, label="ship"'
    walk = next(cell for cell in notebook.cells if "def walk(config)" in cell.source)
    walk.source = walk.source.replace('label="ship"', quick)
    assert quick in walk.source
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = sum("image/png" in output.get("data", {}) for output in shown)
    words = "".join(output.get("text", "") for output in shown)
    assert pictures >= 18
    for title in ("original", "masked", "completions", "full generated images", "after 20 steps"):
        assert title in words


def test_its_outputs_are_stored():
    """Who reads it without running it sees the pictures."""
    import nbformat

    notebook = nbformat.read(PATH, as_version=4)
    shown = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not any(output.output_type == "error" for output in shown)
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 18
    assert PATH.stat().st_size < 1_000_000
