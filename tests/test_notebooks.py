"""Notebooks run from the first cell to the last, and are kept without what they printed."""

import ast
import os
from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("0*.ipynb"))
FIGURES = {"01": 2, "02": 9, "03": 1, "04": 1, "05": 1, "06": 1, "07": 0}
names = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def sources(path):
    """Return the code of a notebook, without magics."""
    cells = nbformat.read(path, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return "\n".join(line for line in code.splitlines() if not line.startswith("%"))


def executed(path, folder, size):
    """Return a notebook that was run in a folder."""
    notebook = nbformat.read(path, as_version=4)
    environment = {**os.environ, "NOTEBOOK_SIZE": size, "PYTHONWARNINGS": "ignore"}
    client = nbclient.NotebookClient(
        notebook, timeout=1200, resources={"metadata": {"path": str(folder)}}
    )
    client.execute(env=environment)
    return notebook


def figures(notebook):
    """Return how many figures a notebook shows."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_there_are_seven():
    assert [path.stem[:2] for path in NOTEBOOKS] == list(FIGURES)


@names
def test_a_notebook_is_kept_without_output_and_explains_itself(path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert notebook.cells[0].source.startswith("# ")
    assert sum(cell.cell_type == "markdown" for cell in notebook.cells) >= 0.6 * len(code)


@names
def test_only_public_names_are_used(path):
    for node in ast.walk(ast.parse(sources(path))):
        if isinstance(node, ast.Attribute):
            assert not node.attr.startswith("_")
        if isinstance(node, ast.ImportFrom):
            assert not any(alias.name.startswith("_") for alias in node.names)


@names
def test_a_notebook_runs(path, tmp_path):
    assert figures(executed(path, tmp_path, "small")) == FIGURES[path.stem[:2]]


@pytest.mark.slow
@names
def test_a_notebook_runs_at_its_real_size(path, tmp_path):
    executed(path, tmp_path, "full")
