"""The pages that are made of all ledgers together."""

from __future__ import annotations

import re
from typing import Any

import pytest

from touchstone.reproduce.project import Variant
from touchstone.reproduce.site import pages
from touchstone.reproduce.site.collect import Collection, collect
from touchstone.reproduce.site.text import Typesetter
from touchstone.reproduce.site.verdict_table import verdict_table


@pytest.fixture
def collection(specimen: Any, build: Any) -> Collection:
    return collect(build.fill(specimen).project, Variant())


def test_the_table_has_a_row_a_check_with_a_link_to_it(collection: Collection) -> None:
    html = verdict_table(collection.checks, Typesetter(), {"alpha-paper"})
    for key in (
        "alpha-paper.bound",
        "alpha-paper.law",
        "beta-paper.sharp",
        "beta-paper.lower",
        "beta-paper.close",
    ):
        assert html.count(f'<tr id="{key}"') == 1
        assert f'href="#{key}"' in html
    assert 'href="papers/alpha-paper.html#check-law"' in html
    assert "papers/beta-paper.html" not in html  # no page, no link
    assert 'data-verdict="out of reach"' in html


def test_the_table_is_complete_without_a_script(collection: Collection) -> None:
    html = verdict_table(collection.checks, Typesetter(), set())
    assert re.search(r"<form [^>]*\bhidden>", html)  # the filters are of no use then
    assert "<tr hidden" not in html


def test_text_of_ledgers_is_escaped(collection: Collection, build: Any) -> None:
    html = verdict_table(collection.checks, Typesetter(), set()) + pages.findings(collection, Typesetter())
    assert "<script" not in html
    assert "<img src=x" not in html
    assert "Privacy &amp; &lt;Noise&gt;" in html


def test_filters_offer_what_there_is(collection: Collection) -> None:
    html = verdict_table(collection.checks, Typesetter(), set())
    for kind in ("bound", "rate", "hardness", "comparison"):
        assert f'<option value="{kind}">' in html
    assert '<option value="identity">' not in html
    assert '<option value="privacy">' in html
    assert "2</span>" not in html
    assert "2 supported" in html
    assert "1 refuted" in html


def test_a_table_of_nothing_says_so() -> None:
    assert "No notebook has been run yet" in verdict_table((), Typesetter(), set())


def test_findings_tell_claim_and_sight_with_the_figure(collection: Collection) -> None:
    html = pages.findings(collection, Typesetter())
    law = html.split('id="alpha-paper.law"')[1].split("</article>")[0]
    assert "<b>Claim.</b>" in law
    assert "<b>Seen instead.</b> It stays" in law
    assert 'src="figures/alpha-paper/law.svg"' in law
    assert "The slope is 0.01" in law
    assert "bound</a> (supported)" in law
    assert html.index("## Refuted") < html.index("## Repaired") < html.index("## Undecided")


def test_findings_without_any(specimen: Any) -> None:
    specimen.register("a-paper")
    html = pages.findings(collect(specimen.project, Variant()), Typesetter())
    assert "Nothing so far" in html
    assert "## Repaired" not in html


def test_the_front_page_counts(collection: Collection) -> None:
    text = pages.index(collection, Typesetter(), ["cluster"], True)
    assert "5 checks of 2 papers; the register holds 5." in text
    assert "<b>2</b> supported" in text
    tree = text.split("{toctree}")[1]
    titled = ["How evidence works <how-evidence-works>", "Library <api/index>"]
    for name in ["verdicts", "findings", "papers", "gallery", "cluster", *titled]:
        assert f"\n{name}\n" in tree


def test_the_front_page_of_an_empty_collection(specimen: Any) -> None:
    text = pages.index(collect(specimen.project, Variant()), Typesetter(), [], False)
    assert "0 checks of 0 papers" in text
    assert "api/index" not in text
    assert "## A finding" not in text


def test_papers_by_topic(collection: Collection) -> None:
    text = pages.papers(collection, Typesetter())
    assert text.index("## Attention") < text.index("## Privacy") < text.index("## Society")
    assert "On epsilon-paper" in text.split("## Society")[1]
    assert "papers/epsilon-paper" not in text
    assert "Ada One and Ben Two, 2023" in text
    assert "not run yet" in text


def test_formulas_in_titles_are_set(specimen: Any, build: Any) -> None:
    build.fill(specimen)
    specimen.register("zeta-paper", "society", r"Regression with $\ell_\infty$ Guarantee")
    text = pages.papers(collect(specimen.project, Variant()), Typesetter())
    assert "Regression with <math" in text
    assert "$" not in text


def test_the_gallery_shows_every_figure_once(collection: Collection) -> None:
    text = pages.gallery(collection, Typesetter())
    for name in ("alpha-paper/error", "alpha-paper/law", "beta-paper/sharp"):
        assert text.count(f'<img class="ts-drawing" src="figures/{name}.svg"') == 1
    assert "## Society" not in text


def test_guides_keep_links_between_them_and_name_other_files(specimen: Any, build: Any) -> None:
    build.fill(specimen)
    docs = specimen.root / "docs"
    text = pages.guide((docs / "evidence.md").read_text(), specimen.root, docs)
    assert "the rules (`CONTRIBUTING.md`)" in text
    assert "[evidence](how-evidence-works.md)" in pages.guide(
        (docs / "cluster.md").read_text(), specimen.root, docs
    )
    kept = "```python\nx = f[a](b)\n```\n"
    assert pages.guide(kept, specimen.root, docs) == kept
    assert pages.guide("![p](verdict.png) [w](https://x.org) [h](#more)", specimen.root, docs) == (
        "![p](verdict.png) [w](https://x.org) [h](#more)"
    )


def test_the_readers_section_opens_the_guide_to_evidence() -> None:
    readme = "# A\n\n## How to read a verdict\n\nFour words.\n\n### Within\n\nMore.\n\n## Other\n\nNo.\n"
    reading = pages.section(readme, "How to read a verdict")
    assert reading == "## How to read a verdict\n\nFour words.\n\n### Within\n\nMore.\n"
    assert pages.section(readme, "Absent") == ""
    text = pages.how_evidence_works("# Evidence\n\nRules.\n", ["mutants.md"], False, reading)
    assert text.startswith("# Evidence")
    assert text.index("Four words.") < text.index("Rules.") < text.index("toctree")
    assert "\nmutants\n" in text
    assert "calibration" not in text
    assert pages.how_evidence_works(None, [], False, reading).count("Four words.") == 1


def test_a_fence_is_longer_than_any_inside() -> None:
    assert pages.raw("a ```` b").startswith("`````{raw}")
