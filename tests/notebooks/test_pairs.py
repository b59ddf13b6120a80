"""Every notebook is a pair: a percent script, and an .ipynb made from it, without outputs."""

from __future__ import annotations

from pathlib import Path

import jupytext
import nbformat
import pytest
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PAIRS = sorted({file.stem for file in FOLDER.glob("*") if file.suffix in (".py", ".ipynb")})


def cells(notebook: NotebookNode) -> list[tuple[str, str]]:
    """What a reader sees; ids are drawn anew whenever the pair is made."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def read_pair(name: str) -> tuple[NotebookNode, NotebookNode]:
    script = jupytext.read(FOLDER / f"{name}.py")
    return script, nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def test_there_are_notebooks() -> None:
    assert "01_from_scene_to_map" in PAIRS


@pytest.mark.parametrize("name", PAIRS)
def test_both_halves_say_the_same(name: str) -> None:
    script, notebook = read_pair(name)
    assert cells(script) == cells(notebook), (
        f"run: jupytext --to ipynb --update notebooks/{name}.py"
    )


@pytest.mark.parametrize("name", PAIRS)
def test_no_outputs_are_kept(name: str) -> None:
    _, notebook = read_pair(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    for cell in code:
        assert cell.outputs == []
        assert cell.execution_count is None


@pytest.mark.parametrize("name", PAIRS)
def test_the_notebook_is_valid_and_runs_on_the_usual_kernel(name: str) -> None:
    script, notebook = read_pair(name)
    nbformat.validate(notebook)
    for half in (script, notebook):
        assert half.metadata.kernelspec.name == "python3"
    assert notebook.metadata.jupytext.formats == "ipynb,py:percent"


@pytest.mark.parametrize("name", PAIRS)
def test_nothing_private_is_called(name: str) -> None:
    """A notebook arranges and explains with public names; and shows no path of a machine."""
    script, _ = read_pair(name)
    source = "\n".join(cell.source for cell in script.cells if cell.cell_type == "code")
    assert "import _" not in source
    assert "._" not in source
    assert "/home/" not in source
