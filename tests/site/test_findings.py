"""Findings are computed from ledgers, and their figures found in notebooks."""

from __future__ import annotations

from typing import Any

import pytest

from touchstone.reproduce.project import Variant
from touchstone.reproduce.site.collect import collect
from touchstone.reproduce.site.findings import refuted, repaired, undecided
from touchstone.reproduce.site.places import Places, figure_of


def found(specimen: Any) -> Any:
    return collect(specimen.project, Variant())


def test_each_kind_of_finding(specimen: Any, build: Any) -> None:
    collection = found(build.fill(specimen))
    assert [each.check.key for each in refuted(collection)] == ["alpha-paper.law"]
    # `bound` is named by the refuted check as the sentence that holds, `sharp` says that it is sharpened
    assert [each.check.key for each in repaired(collection)] == ["alpha-paper.bound", "beta-paper.sharp"]
    assert [each.check.key for each in undecided(collection)] == ["beta-paper.close"]
    (told,) = refuted(collection)
    assert told.figure is not None
    assert told.figure["name"] == "law"
    assert [check.id for check in told.beside] == ["bound"]


@pytest.mark.parametrize(
    ("source", "is_repaired"),
    [
        ("main lemma, sharpened", True),
        ("ours: the correction of the bound", True),
        ("abstract, restricted to a neighbourhood", True),
        ("abstract, with a weaker regulariser", True),
        ("abstract", False),
        ("Theorem 3, correctly read", False),
        ("ours: carries the count on", False),  # nothing is refuted beside it
    ],
)
def test_what_counts_as_repaired(specimen: Any, build: Any, source: str, is_repaired: bool) -> None:
    specimen.add("a-paper")
    specimen.leave("a-paper", [build.check("one", source=source)])
    assert bool(repaired(found(specimen))) == is_repaired


def test_our_own_sentence_beside_a_refuted_one_is_a_repair(specimen: Any, build: Any) -> None:
    specimen.add("a-paper")
    specimen.leave(
        "a-paper", [build.check("one", source="ours: as an absolute error"), build.check("two", "refuted")]
    )
    (each,) = repaired(found(specimen))
    assert [check.id for check in each.beside] == ["two"]


def test_only_what_is_supported_is_a_repair(specimen: Any, build: Any) -> None:
    specimen.add("a-paper")
    specimen.leave("a-paper", [build.check("one", "inconclusive", source="sharpened")])
    assert repaired(found(specimen)) == []


class TestPlaces:
    def places(self, build: Any, *cells: dict[str, Any]) -> Places:
        return Places(build.notebook(*cells))

    def test_the_figure_drawn_from_the_verdict_comes_first(self, build: Any) -> None:
        places = self.places(
            build,
            build.prose("## One"),
            build.code('c = study.check("one")'),
            build.code('with study.figure("near"):\n    pass'),
            build.prose("## Two"),
            build.code('with study.figure("drawn"):\n    plot(c.claim)'),
        )
        assert places.figure_of("one", {"near", "drawn"}) == "drawn"
        assert places.figure_of("one", {"near"}) == "near"
        assert places.figure_of("other", {"near"}) is None

    def test_else_the_next_of_the_section_else_the_one_before(self, build: Any) -> None:
        cells = [
            build.prose("## One"),
            build.code('with study.figure("before"):\n    pass'),
            build.code('study.check("one")'),
            build.code('with study.figure("after"):\n    pass'),
            build.prose("## Two"),
            build.code('with study.figure("elsewhere"):\n    pass'),
        ]
        places = self.places(build, *cells)
        assert places.figure_of("one", {"before", "after", "elsewhere"}) == "after"
        assert places.figure_of("one", {"before", "elsewhere"}) == "before"
        assert places.figure_of("one", {"elsewhere"}) is None

    def test_checks_made_in_a_loop(self, build: Any) -> None:
        source = 'readings = {"near": 1, "far": 2}\nc = {k: study.check(k) for k in readings}\nc["near"]'
        places = self.places(
            build,
            build.code(source),
            build.code('c["far"]'),
            build.code('with study.figure("f"):\n    c["far"]'),
        )
        assert places.shown("near") == 0
        assert places.shown("far") == 1
        assert places.figure_of("far", {"f"}) == "f"

    def test_checks_named_by_a_pattern(self, build: Any) -> None:
        source = 'def judge(family):\n    return study.check(f"error-{family}", kind="bound")'
        places = self.places(
            build, build.code(source), build.code("x = f'{a}{b}'"), build.code('judge("flat")')
        )
        assert places.shown("error-flat") == 0
        assert places.shown("cost-flat") is None
        assert places.shown("error-of-everything-else-there-is") is None  # the pattern fixes too little of it

    def test_where_a_verdict_is_shown(self, build: Any) -> None:
        places = self.places(
            build, build.code('c = study.check("one")'), build.code("x = 1"), build.code("c")
        )
        assert places.shown("one") == 2
        assert places.shown("two") is None

    def test_code_that_does_not_parse_is_passed_over(self, build: Any) -> None:
        places = self.places(
            build, build.code("%%bash\nls"), build.code("def"), build.code('study.check("one")')
        )
        assert places.shown("one") == 2

    def test_figures_of_a_cell(self, build: Any) -> None:
        places = self.places(
            build, build.code('with study.figure("a") as x, study.figure("b", alt="c") as y:\n    pass')
        )
        assert places.figures(0) == ["a", "b"]
        assert places.figures(1) == []


def test_a_check_without_a_place_takes_the_first_figure(specimen: Any, build: Any) -> None:
    specimen.add("a-paper", build.code("pass"))
    specimen.leave("a-paper", [build.check("one")], build.figure("error"))
    entry = found(specimen).entries[0]
    chosen = figure_of(entry, "one")
    assert chosen is not None
    assert chosen["name"] == "error"
    specimen.leave("a-paper", [build.check("one")])
    assert figure_of(found(specimen).entries[0], "one") is None
