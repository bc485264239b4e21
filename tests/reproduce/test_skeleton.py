import json

import nbformat
import pytest

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.notebook import parse_notebook
from touchstone.reproduce.register import read_register
from touchstone.reproduce.skeleton import skeleton, write_skeleton


@pytest.fixture
def paper(collection):
    collection.register("paper")
    return read_register(collection.project)["paper"]


def test_it_is_a_valid_notebook_without_outputs(paper):
    notebook = nbformat.reads(skeleton(paper), as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert not parse_notebook(skeleton(paper)).stored_outputs


def test_it_has_the_house_shape(paper):
    cells = json.loads(skeleton(paper))["cells"]
    prose = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert prose.startswith("# Title of paper\n\nA. One and B. Two (2023).")
    headings = [line for line in prose.splitlines() if line.startswith("## ")]
    assert headings == [
        "## The instance",
        "## C1. The finding in one sentence",
        "## Explore",
        "## Verdicts",
        "## What this does not show",
    ]


def test_the_same_entry_gives_the_same_bytes(paper):
    assert skeleton(paper) == skeleton(paper)


def test_its_check_refuses_to_decide_anything(paper, tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_OUTPUT", str(tmp_path / "output"))
    *head, finish = parse_notebook(skeleton(paper)).code
    with pytest.raises(Exception, match="c1") as caught:
        exec("\n\n".join(head), {})
    assert isinstance(caught.value.__cause__, NotImplementedError)
    assert finish == "study.finish()"
    assert not (tmp_path / "output" / "ledger.json").exists()


def test_it_is_written_once(collection, paper):
    path = write_skeleton(collection.project, paper)
    assert path == collection.notebook("paper")
    path.write_text("precious")
    with pytest.raises(ReproductionError, match=r"notebooks/attention/paper\.ipynb exists already"):
        write_skeleton(collection.project, paper)
    assert path.read_text() == "precious"


def test_a_folder_that_cannot_be_written(collection, paper):
    (collection.root / "notebooks").touch()
    with pytest.raises(ReproductionError, match="cannot be written"):
        write_skeleton(collection.project, paper)
