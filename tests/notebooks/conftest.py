"""Notebooks as programs: run their code cells in this process, so that a test can plant a mistake first."""

import ast
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def verdicts(names):
    """check -> verdict, of what a notebook left behind."""
    return {v.id: v.verdict for v in names["study"].summary().verdicts}


@pytest.fixture
def run_notebook(tmp_path, monkeypatch):
    """run_notebook(path, until=None, **parameters) -> {check: verdict}.

    With ``until`` it stops after the check of that name.

    Sliders are left out: the cells below the heading "Explore" decide nothing.
    """
    pytest.importorskip("IPython")
    monkeypatch.setenv("TOUCHSTONE_OUTPUT", str(tmp_path / "artefacts"))

    def run(path, until=None, **parameters):
        names = {"__name__": "__main__"}
        for cell in code_cells(path):
            if "explore" in cell.metadata.get("tags", []):
                continue
            exec(compile(ast.parse(cell.source), str(path), "exec"), names)
            if "parameters" in cell.metadata.get("tags", []):
                unknown = set(parameters) - set(names)
                assert not unknown, f"{path.name} has no parameter {unknown}"
                names.update(parameters)
            if until and "study" in names and until in verdicts(names):
                break
        return verdicts(names)

    return run
