"""Every notebook has the house shape, and every committed ledger is whole."""

import ast
import json
import tomllib
from pathlib import Path

import nbformat
import pytest

from touchstone.evidence.ledger import validate

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*/*.ipynb"))
REGISTER = {p["slug"]: p for p in tomllib.loads((ROOT / "papers.toml").read_text())["paper"]}
SCREENFUL = 40

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def cells(path, kind):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def test_there_are_notebooks():
    assert NOTEBOOKS


@each_notebook
def test_stands_in_the_register_under_its_topic(path):
    assert path.stem in REGISTER
    assert path.parent.name == REGISTER[path.stem]["topic"]


@each_notebook
def test_is_valid_and_stripped(path):
    nbformat.validate(nbformat.read(path, as_version=4))
    for cell in cells(path, "code"):
        assert not cell.outputs
        assert cell.execution_count is None


@each_notebook
def test_parameters(path):
    tagged = [c for c in cells(path, "code") if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    values = {t.id: ast.literal_eval(s.value) for s in ast.parse(tagged[0].source).body for t in s.targets}
    assert values == {"profile": "full", "seed": 0, "device": "auto"}


@each_notebook
def test_reads_like_an_article(path):
    text = cells(path, "markdown")
    paper = REGISTER[path.stem]
    assert text[0].source.startswith("# ")
    assert paper["title"] in text[0].source
    assert paper["authors"][0] in text[0].source
    headings = [line for c in text for line in c.source.splitlines() if line.startswith("## ")]
    assert any("Explore" in h for h in headings)
    assert any("does not show" in h for h in headings)


@each_notebook
def test_calls_the_library_and_computes_little_itself(path):
    for cell in cells(path, "code"):
        lines = cell.source.splitlines()
        assert len(lines) <= SCREENFUL, lines[0]
        for node in ast.walk(ast.parse(cell.source)):
            assert not isinstance(node, ast.ClassDef), f"class {node.name} belongs in lib/"


@each_notebook
def test_committed_evidence_is_whole(path):
    folder = ROOT / "figures" / path.stem
    ledger = json.loads((folder / "ledger.json").read_text())
    validate(ledger)
    assert (ledger["slug"], ledger["profile"], ledger["seed"]) == (path.stem, "full", 0)
    assert ledger["checks"]
    for check in ledger["checks"]:
        assert check["control"] or check["verdict"] == "out_of_reach", check["id"]
    for figure in ledger["figures"]:
        assert (folder / figure["file"]).is_file()
        assert len(figure["alt"]) > 40, f"{figure['name']}: the alt text should say what the picture shows"
