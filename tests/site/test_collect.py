"""What the collection holds, and what it says of missing and damaged pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import Variant
from touchstone.reproduce.site.collect import Collection, Entry, collect


def only(found: Collection) -> Entry:
    (entry,) = found.entries
    return entry


def remarks(specimen: Any) -> str:
    return " ".join(only(collect(specimen.project, Variant())).remarks)


@pytest.fixture
def one(specimen: Any, build: Any) -> Any:
    """A paper that was run: one check, one figure."""
    cells = (
        build.code('c = study.check("one", kind="bound")\nc', build.badge("one", "supported")),
        build.code('with study.figure("error"):\n    c', build.output(svg=build.svg("a-paper", "error"))),
    )
    specimen.add("a-paper", *cells)
    specimen.execute("a-paper", *cells)
    specimen.leave("a-paper", [build.check("one")], build.figure("error"))
    return specimen


def test_a_paper_that_was_run(one: Any) -> None:
    found = collect(one.project, Variant())
    entry = only(found)
    assert entry.remarks == ()
    assert entry.executed is not None
    assert [(check.key, check.verdict) for check in found.checks] == [("a-paper.one", "supported")]
    assert entry.counts == {"supported": 1, "refuted": 0, "inconclusive": 0, "out of reach": 0}
    assert [figure["name"] for figure in entry.drawings] == ["error"]
    assert entry.figures["error.svg"].startswith(b"<svg")
    assert json.loads(entry.source or "")["nbformat"] == 4


def test_words_of_verdicts_are_those_of_the_pages(one: Any, build: Any) -> None:
    one.leave("a-paper", [build.check("one", "out_of_reach")])
    assert [check.verdict for check in collect(one.project, Variant()).checks] == ["out of reach"]


def test_a_paper_without_a_notebook_has_no_page(specimen: Any) -> None:
    specimen.register("b-paper")
    entry = only(collect(specimen.project, Variant()))
    assert not entry.has_page
    assert entry.remarks == ()


def test_a_notebook_that_was_never_run(one: Any) -> None:
    (one.root / "figures/a-paper/ledger.json").unlink()
    (one.root / "build/executed/full/a-paper.ipynb").unlink()
    entry = only(collect(one.project, Variant()))
    assert entry.has_page
    assert entry.checks == ()
    assert "not been run yet" in " ".join(entry.remarks)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"checks": []}',
        b'{"slug": "other", "checks": [{"id": "x", "verdict": "supported"}]}',
    ],
)
def test_a_damaged_ledger_is_told_and_nothing_else_is_lost(one: Any, content: bytes) -> None:
    (one.root / "figures/a-paper/ledger.json").write_bytes(content)
    entry = only(collect(one.project, Variant()))
    assert entry.has_page
    assert entry.checks == ()
    assert "verdicts cannot be shown" in " ".join(entry.remarks)


def test_a_ledger_that_breaks_the_schema(one: Any, build: Any) -> None:
    one.leave("a-paper", [build.check("one", kind="astrology")])
    assert "verdicts cannot be shown" in remarks(one)


def test_an_empty_ledger(one: Any) -> None:
    one.leave("a-paper", [])
    assert "lists no check" in remarks(one)


def test_a_missing_figure(one: Any) -> None:
    (one.root / "figures/a-paper/error.svg").unlink()
    entry = only(collect(one.project, Variant()))
    assert entry.drawings == ()
    assert "error.svg is missing" in " ".join(entry.remarks)


def test_a_notebook_changed_since_it_was_executed(one: Any) -> None:
    path = one.root / "notebooks/attention/a-paper.ipynb"
    path.write_text(path.read_text().replace('kind=\\"bound\\"', 'kind=\\"rate\\"'))
    assert only(collect(one.project, Variant())).executed is None
    assert "before its last change" in remarks(one)


def test_prose_changed_since_it_was_executed_is_no_other_code(one: Any) -> None:
    path = one.root / "notebooks/attention/a-paper.ipynb"
    path.write_text(path.read_text().replace("What the paper is about", "What it is about"))
    assert only(collect(one.project, Variant())).executed is not None


def test_a_run_that_is_not_the_ledgers(one: Any, build: Any) -> None:
    one.leave("a-paper", [build.check("one", "refuted")])
    assert only(collect(one.project, Variant())).executed is None
    assert "another run than the ledger's" in remarks(one)


def test_a_damaged_executed_notebook(one: Any) -> None:
    (one.root / "build/executed/full/a-paper.ipynb").write_text("{")
    assert "executed notebook is damaged" in remarks(one)


def test_a_notebook_that_cannot_be_read(one: Any) -> None:
    (one.root / "notebooks/attention/a-paper.ipynb").write_text("not JSON")
    entry = only(collect(one.project, Variant()))
    assert not entry.has_page
    assert [check.id for check in entry.checks] == ["one"]  # its verdicts are told all the same
    assert "cannot be shown" in " ".join(entry.remarks)


def test_another_profile_has_its_own_folders(one: Any, build: Any) -> None:
    one.leave("a-paper", [build.check("quick-one")], folder="build/runs/quick")
    found = collect(one.project, Variant("quick"))
    assert [check.id for check in found.checks] == ["quick-one"]


def test_a_broken_register_is_an_error(specimen: Any) -> None:
    specimen.write("papers.toml", "[[paper]")
    with pytest.raises(ReproductionError, match="not valid TOML"):
        collect(specimen.project, Variant())


def test_topics_are_sorted(specimen: Any) -> None:
    for slug, topic in (("b", "society"), ("a", "attention"), ("c", "attention")):
        specimen.register(slug, topic)
    topics = collect(specimen.project, Variant()).topics
    assert [(topic, [entry.slug for entry in entries]) for topic, entries in topics.items()] == [
        ("attention", ["a", "c"]),
        ("society", ["b"]),
    ]
