"""The page of a paper: what the notebook becomes before the generator sees it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from touchstone.reproduce.project import Variant
from touchstone.reproduce.site.collect import collect
from touchstone.reproduce.site.paper_page import PaperPage
from touchstone.reproduce.site.text import Typesetter


@pytest.fixture
def pages(specimen: Any, build: Any) -> dict[str, PaperPage]:
    collection = collect(build.fill(specimen).project, Variant())
    slugs = {entry.slug for entry in collection.with_pages}
    return {entry.slug: PaperPage(entry, Typesetter(), slugs) for entry in collection.with_pages}


def text(page: PaperPage) -> str:
    """All that the page says, prose and outputs, in its order."""
    parts = []
    for cell in page.notebook()["cells"]:
        parts.append(cell["source"])
        parts += [output["data"]["text/html"] for output in cell.get("outputs", ())]
    return "\n".join(parts)


def test_every_verdict_has_one_card_with_its_anchor(pages: dict[str, PaperPage]) -> None:
    for slug, names in (("alpha-paper", ["bound", "law"]), ("beta-paper", ["sharp", "lower", "close"])):
        found = re.findall(r'id="check-([a-z-]+)"', text(pages[slug]))
        assert sorted(found) == sorted(names)


def test_an_executed_page_shows_the_run(pages: dict[str, PaperPage]) -> None:
    told = text(pages["alpha-paper"])
    assert "old look" not in told  # the card stands in its place
    assert "so far" not in told
    assert "old summary" not in told  # and the list of verdicts in that of the summary
    assert "1 &lt; 2" in told
    assert 'src="../figures/alpha-paper/error.svg" alt="What error shows"' in told
    assert 'width="480" height="240"' in told


def test_a_still_picture_of_sliders_is_kept_beside_the_figures(pages: dict[str, PaperPage]) -> None:
    page = pages["alpha-paper"]
    told = text(page)
    assert list(page.pictures) == ["figures/alpha-paper/run/explore-f.svg"]
    assert 'alt="A still picture"' in told
    assert "sliders" in told
    assert "widget" not in json.dumps(page.notebook())


def test_a_page_without_a_run_shows_what_the_ledger_holds(pages: dict[str, PaperPage]) -> None:
    told = text(pages["beta-paper"])
    assert 'src="../figures/beta-paper/sharp.svg"' in told
    assert "has not been executed here" in told
    assert told.index('id="check-sharp"') < told.index("sharp.svg") < told.index('id="check-close"')
    assert "## Verdicts" in told  # the notebook has no place for them


def test_a_page_without_a_ledger_says_so(pages: dict[str, PaperPage]) -> None:
    assert "not been run yet" in text(pages["gamma-paper"])
    assert "verdicts cannot be shown" in text(pages["delta-paper"])


def test_the_panel_follows_title_and_citation(pages: dict[str, PaperPage]) -> None:
    cells = pages["alpha-paper"].notebook()["cells"]
    assert cells[0]["source"].startswith("# On alpha-paper")
    assert "Ada One and Ben Two" in cells[0]["source"]
    assert "ts-panel" in cells[1]["source"]
    assert "make reproduce PAPERS=alpha-paper" in cells[1]["source"]
    assert "../downloads/alpha-paper.ipynb" in cells[1]["source"]
    assert "../downloads/alpha-paper.ledger.json" in cells[1]["source"]
    assert cells[2]["source"].startswith("What the paper is about")
    assert ".ledger.json" not in text(pages["delta-paper"])  # a damaged one is not handed out


def test_text_of_ledgers_is_escaped(pages: dict[str, PaperPage]) -> None:
    told = text(pages["alpha-paper"])
    assert "<script" not in told
    assert "<img src=x" not in told
    assert "&lt;script&gt;" in told


def test_links_between_notebooks_lead_to_pages(pages: dict[str, PaperPage]) -> None:
    assert "[another](beta-paper.ipynb)" in text(pages["alpha-paper"])
    pages["alpha-paper"].pages = set()
    assert "[another](../papers.md)" in text(pages["alpha-paper"])


def test_code_is_folded_and_helpers_join_what_uses_them(pages: dict[str, PaperPage]) -> None:
    cells = [cell for cell in pages["alpha-paper"].notebook()["cells"] if cell["cell_type"] == "code"]
    assert all("hide-input" in cell["metadata"]["tags"] for cell in cells)
    (joined,) = (cell for cell in cells if "import math" in cell["source"])
    assert 'study.check("bound"' in joined["source"]
    assert not any("injected" in json.dumps(cell) for cell in cells)


def test_the_run_itself_is_left_as_it_is(pages: dict[str, PaperPage]) -> None:
    page = pages["alpha-paper"]
    before = json.dumps(page.entry.executed)
    first = json.dumps(page.notebook())
    assert json.dumps(page.entry.executed) == before
    again = PaperPage(page.entry, Typesetter(), page.pages)
    assert json.dumps(again.notebook()) == first


def test_the_rule_and_the_controls_are_told(pages: dict[str, PaperPage]) -> None:
    told = text(pages["alpha-paper"])
    assert "half the noise: <b>rejected</b>" in told
    assert "RatioAtMost: every ratio is at most 1" in told
    assert "n = 16, 32" in told
    assert "<b>Seen instead.</b> It stays; the <em>absolute</em> error falls" in told


def test_verdicts_that_decide_nothing(pages: dict[str, PaperPage]) -> None:
    told = text(pages["beta-paper"])
    lower = told.split('id="check-lower"')[1].split("</div>")[0]
    assert "Controls" not in lower  # out of reach: there is no rule
    close = told.split('id="check-close"')[1].split("</div>")[0]
    assert "half the noise: <b>not rejected</b>" in close
