"""The notebooks in a real JupyterLab: run all cells, move a slider, see the picture change.

By default the sliders of every notebook on what they stand on, and one notebook whole; with
``TOUCHSTONE_LAB=whole`` all of them whole, some minutes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from .collection import NOTEBOOKS, sliders_only, whole
from .jupyterlab import Lab, jupyterlab

WHOLE = NOTEBOOKS if os.environ.get("TOUCHSTONE_LAB") == "whole" else NOTEBOOKS[:1]
SECONDS = 5.0
"""From the key to the picture, in a browser on a machine that may have other work; a second is asked of the
slider itself, by ``test_sliders``."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with jupyterlab(tmp_path_factory.mktemp("lab")) as opened:
        yield opened


def drive(lab: Lab, name: str, notebook: object) -> list[float]:
    """Run the notebook, move the first slider of each panel; the seconds until the pictures changed."""
    nbformat.write(notebook, lab.folder / name)
    try:
        lab.run(name)
        times = [lab.slide(panel) for panel in lab.panels()]
    finally:
        lab.close_notebook()
    lab.assert_clean()
    return times


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_sliders_move_pictures(lab: Lab, path: Path) -> None:
    times = drive(lab, path.name, sliders_only(path))
    assert len(times) >= 2
    assert max(times) < SECONDS


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
@pytest.mark.timeout(600)
def test_whole_notebooks(lab: Lab, path: Path) -> None:
    assert max(drive(lab, f"whole-{path.name}", whole(path))) < SECONDS


def test_a_cell_that_fails_is_noticed(lab: Lab) -> None:
    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    broken.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(broken, lab.folder / "broken.ipynb")
    try:
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            lab.run("broken.ipynb")
    finally:
        lab.close_notebook()
    lab.assert_clean()
