"""The notebooks of the collection, and how a test reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat

from .excerpt import excerpt, tags

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))


def quick(notebook: Any) -> Any:
    """``notebook`` with the quick profile on the processor as its own parameters."""
    (cell,) = (cell for cell in notebook.cells if "parameters" in tags(cell))
    cell.source += '\nprofile, device = "quick", "cpu"'
    return notebook


def whole(path: Path) -> Any:
    return quick(nbformat.read(path, as_version=4))


def sliders_only(path: Path) -> Any:
    return quick(excerpt(nbformat.read(path, as_version=4)))
