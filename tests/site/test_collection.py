"""This collection itself: all that its pages are to say can be typeset."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from touchstone.reproduce.project import Project, Variant
from touchstone.reproduce.site.build import write_sources
from touchstone.reproduce.site.collect import Collection, collect, joined
from touchstone.reproduce.site.findings import refuted, repaired
from touchstone.reproduce.site.places import Places
from touchstone.reproduce.site.text import FORMULA, Typesetter

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def collection() -> Collection:
    return collect(Project(ROOT), Variant())


def test_everything_that_ledgers_say(collection: Collection, tmp_path: Path) -> None:
    typeset = Typesetter()
    write_sources(collection, typeset, tmp_path / "source", tmp_path / "extra")
    assert typeset.problems == []


def test_every_formula_of_prose_and_docstrings(collection: Collection) -> None:
    typeset = Typesetter()
    number = 0
    for entry in collection.with_pages:
        assert entry.notebook is not None
        for cell in entry.notebook["cells"]:
            if cell["cell_type"] == "markdown":
                for match in FORMULA.finditer(joined(cell["source"])):
                    typeset.formula(match["display"] or match["inline"], display=bool(match["display"]))
                    number += 1
    for path in sorted((ROOT / "lib").rglob("*.py")):
        for latex in re.findall(r":math:`([^`]+)`", path.read_text(encoding="utf-8")):
            typeset.formula(latex)
            number += 1
    assert typeset.problems == []
    assert number > 1000


def test_every_verdict_and_every_figure_has_its_place(collection: Collection) -> None:
    for entry in collection.with_pages:
        assert entry.notebook is not None
        places = Places(entry.notebook)
        assert [check.id for check in entry.checks if places.shown(check.id) is None] == [], entry.slug
        drawn = {name for number in range(len(entry.notebook["cells"])) for name in places.figures(number)}
        assert {figure["name"] for figure in entry.drawings} <= drawn, entry.slug


def test_every_refuted_claim_is_told_with_a_figure(collection: Collection) -> None:
    told = refuted(collection)
    assert len(told) == sum(check.verdict == "refuted" for check in collection.checks)
    for finding in (*told, *repaired(collection)):
        assert finding.figure is not None, finding.check.key
    for finding in told:
        assert finding.check.entry["seen"], f"{finding.check.key} does not say what was seen instead"
