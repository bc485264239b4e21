"""A small site, built by the command and read in a browser from the disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .browser import PHONE, Window, launched, serious, too_wide, window
from .conftest import check, code, fill, make_specimen
from .links import broken, read

BULK, EACH = 10, 50
KINDS = ("bound", "scaling", "identity", "rate", "privacy")
WORDS = ("supported", "refuted", "inconclusive", "out_of_reach", "supported")  # of the first paper of fifty
PAGES = (
    "index", "verdicts", "findings", "papers", "gallery", "how-evidence-works", "calibration", "mutants",
    "cluster", "papers/alpha-paper", "papers/beta-paper", "api/index", "api/touchstone.sums.plain", "search",
)  # fmt: skip


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The site of the specimen and ten papers of fifty checks each, and what the command said."""
    specimen = fill(make_specimen(tmp_path_factory.mktemp("site") / "collection"))
    for number in range(BULK):
        slug = f"bulk-{number}"
        specimen.add(slug, code("pass"), topic=("optimization", "regression")[number % 2])
        specimen.leave(
            slug,
            [
                check(
                    f"c-{k}", "supported" if number else WORDS[k % 5], kind=KINDS[k % 5],
                    says=rf"For $n\ge{k}$ it is $\widetilde O(n^{{{k}/2}}\log n)$, number {number}-{k}.",
                )
                for k in range(EACH)
            ],
        )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "touchstone.reproduce.cli", "--root", str(specimen.root), "site", "--strict"],
        env={**os.environ, "COLUMNS": "200"}, capture_output=True, text=True, timeout=250, check=False,
    )  # fmt: skip
    return specimen.root / "build" / "site", done


@pytest.fixture(scope="session")
def site(built: tuple[Path, Any]) -> Path:
    assert built[1].returncode == 0, built[1].stderr
    return built[0]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    # closed before another file in this process opens one: Playwright allows no second one beside it
    with launched() as made:
        yield made


@pytest.fixture
def tab(chromium: Any) -> Iterator[Window]:
    with window(chromium) as made:
        yield made


def shown(page: Any) -> list[str]:
    """The keys of the rows that can be seen, in their order."""
    return page.evaluate(
        "[...document.querySelectorAll('#ts-table tbody tr')].filter(r => r.offsetParent).map(r => r.id)"
    )


# -- what lies on the disk -------------------------------------------------------------------------------


def test_the_command_tells_what_it_made(built: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    site, done = built
    assert done.returncode == 0, done.stderr
    assert "wrote build/site/index.html" in done.stdout
    assert "delta-paper: Its verdicts cannot be shown" in done.stderr
    assert "gamma-paper: It has not been run yet" in done.stderr
    assert not (site.parent / "site.work").exists()


def test_every_page_is_there(site: Path) -> None:
    for name in PAGES:
        assert (site / f"{name}.html").is_file(), name


def test_every_link_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    assert broken(site) == []
    assert len(read(site)) > 20


def test_downloads_are_the_files_themselves(site: Path) -> None:
    root = site.parent.parent
    made = (site / "downloads/alpha-paper.ipynb").read_bytes()
    assert made == (root / "notebooks/attention/alpha-paper.ipynb").read_bytes()
    made = (site / "downloads/alpha-paper.ledger.json").read_bytes()
    assert made == (root / "figures/alpha-paper/ledger.json").read_bytes()
    assert not (site / "downloads/delta-paper.ledger.json").exists()


def test_no_page_is_large(site: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in site.rglob("*.html")}
    assert max(sizes.values()) < 1_500_000, max(sizes, key=lambda name: sizes[name])
    assert sizes["index.html"] < 60_000


# -- in the browser --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound_by_day(site: Path, tab: Window, name: str) -> None:
    page = tab.open(site / f"{name}.html", "paper=alpha-paper" if name == "verdicts" else "")
    assert page.title()
    assert page.locator("h1").count() == 1
    assert serious(page) == []
    tab.assert_clean()


@pytest.mark.parametrize(
    "name", ["index", "verdicts", "findings", "gallery", "papers/alpha-paper", "calibration"]
)
def test_a_page_is_sound_by_night_and_on_a_phone(site: Path, chromium: Any, name: str) -> None:
    with window(chromium, size=PHONE, scheme="dark") as tab:
        page = tab.open(site / f"{name}.html", "paper=beta-paper" if name == "verdicts" else "")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        light = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).map(Number)"
        )
        assert max(light) < 60
        assert too_wide(page) == []
        assert serious(page) == []
        tab.assert_clean()


@pytest.mark.parametrize(
    "name", ["papers", "how-evidence-works", "papers/beta-paper", "api/touchstone.sums.plain", "search"]
)
def test_a_phone_shows_a_page_without_scrolling_sideways(site: Path, chromium: Any, name: str) -> None:
    with window(chromium, size=PHONE) as tab:
        assert too_wide(tab.open(site / f"{name}.html")) == []


def test_text_of_a_ledger_runs_nothing(site: Path, tab: Window) -> None:
    for name in ("verdicts", "findings", "papers/alpha-paper"):
        page = tab.open(site / f"{name}.html")
        assert "broken in" not in page.title()
        assert page.locator("img[src=x]").count() == 0
    tab.assert_clean()


def test_mathematics_is_drawn(site: Path, tab: Window) -> None:
    page = tab.open(site / "papers/alpha-paper.html")
    fraction = page.locator("math mfrac").first
    parts = [fraction.locator(":scope > *").nth(k).bounding_box() for k in (0, 1)]
    assert parts[0]["y"] + parts[0]["height"] <= parts[1]["y"] + 1  # numerator above denominator
    total = page.locator("math[display=block] munderover, math[display=block] msubsup").first.bounding_box()
    assert total["height"] > 25
    assert "$" not in page.locator("article").inner_text()
    families = page.evaluate(
        "document.fonts.ready.then(() => [...document.fonts].filter(f => f.status === 'loaded').map(f "
        "=> f.family))"
    )
    assert any("Touchstone Math" in family for family in families)


def test_a_file_that_is_missing_is_noticed(tab: Window, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<img src="_static/touchstone.svg" alt="missing"><script src="gone.js"></script>')
    tab.open(page)
    for name in ("touchstone.svg", "gone.js"):
        assert any(name in error and "ERR_FILE_NOT_FOUND" in error for error in tab.errors)
    with pytest.raises(AssertionError):
        tab.assert_clean()


class TestVerdicts:
    @pytest.fixture
    def page(self, site: Path, tab: Window) -> Iterator[Any]:
        yield tab.open(site / "verdicts.html")
        tab.assert_clean()

    def test_filtering_by_verdict_kind_topic_and_paper(self, page: Any) -> None:
        assert len(shown(page)) == BULK * EACH + 5
        page.get_by_role("checkbox", name="refuted").check()
        refuted = shown(page)
        assert "alpha-paper.law" in refuted
        assert len(refuted) == EACH // 5 + 1
        assert page.locator("#ts-shown").inner_text() == f"{len(refuted)} of {BULK * EACH + 5} checks"
        page.get_by_role("checkbox", name="inconclusive").check()
        assert len(shown(page)) == 2 * EACH // 5 + 2
        page.get_by_label("Topic").select_option("attention")
        assert shown(page) == ["alpha-paper.law"]
        page.get_by_label("Kind").select_option("bound")
        assert shown(page) == []
        assert page.locator("#ts-none").is_visible()
        page.get_by_role("button", name="Show all").click()
        page.wait_for_function("location.hash === ''")
        assert len(shown(page)) == BULK * EACH + 5
        page.get_by_label("Paper").select_option("beta-paper")
        assert shown(page) == ["beta-paper.sharp", "beta-paper.lower", "beta-paper.close"]

    def test_searching(self, page: Any) -> None:
        box = page.get_by_role("searchbox", name="Search", exact=False).and_(page.locator("[name=words]"))
        box.fill("SHARPENED lemma")
        assert shown(page) == ["beta-paper.sharp"]
        box.fill("number 3-17")
        assert shown(page) == ["bulk-3.c-17"]
        box.fill(r"\lVert V")
        assert "alpha-paper.bound" in shown(page)
        box.fill("ada")
        assert len(shown(page)) == BULK * EACH + 5

    def test_sorting(self, page: Any) -> None:
        before = shown(page)
        button = page.get_by_role("columnheader", name="Verdict").get_by_role("button")
        button.click()
        words = page.evaluate(
            "[...document.querySelectorAll('#ts-table tbody tr')].map(r => r.dataset.verdict)"
        )
        assert [word for k, word in enumerate(words) if k == 0 or words[k - 1] != word] == [
            "refuted", "inconclusive", "supported", "out of reach",
        ]  # fmt: skip
        head = page.get_by_role("columnheader", name="Verdict")
        assert head.get_attribute("aria-sort") == "ascending"
        button.click()
        assert head.get_attribute("aria-sort") == "descending"
        assert page.evaluate("document.querySelector('#ts-table tbody tr').dataset.verdict") == "out of reach"
        button.click()
        assert head.get_attribute("aria-sort") is None
        assert shown(page) == before

    def test_by_keyboard_alone(self, page: Any) -> None:
        page.locator("[name=words]").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        assert page.get_by_role("checkbox", name="refuted").is_checked()
        assert len(shown(page)) == EACH // 5 + 1

    def test_the_address_holds_the_view(self, page: Any, site: Path, tab: Window) -> None:
        page.get_by_role("checkbox", name="out of reach").check()
        page.locator("[name=words]").fill("beta")
        page.get_by_role("columnheader", name="Kind").get_by_role("button").click()
        fragment = page.evaluate("location.hash").removeprefix("#")
        assert fragment == "verdict=out+of+reach&words=beta&sort=kind"
        again = tab.open(site / "verdicts.html", fragment)
        assert shown(again) == ["beta-paper.lower"]
        assert again.locator("[name=words]").input_value() == "beta"
        assert again.get_by_role("checkbox", name="out of reach").is_checked()
        assert again.get_by_role("columnheader", name="Kind").get_attribute("aria-sort") == "ascending"

    def test_every_row_has_a_link_that_leads_to_it(self, page: Any, site: Path, tab: Window) -> None:
        page.locator("[id='bulk-7.c-33'] .ts-row-link").click()
        page.wait_for_function("location.hash === '#bulk-7.c-33'")
        again = tab.open(site / "verdicts.html", "bulk-7.c-33")
        row = again.locator("[id='bulk-7.c-33']")
        assert row.bounding_box()["y"] < 900
        assert row.bounding_box()["y"] > 0
        assert row.evaluate("row => row.matches(':target')")
        row.get_by_role("link", name="On bulk-7").click()
        again.wait_for_url("**/papers/bulk-7.html#check-c-33")
        again.locator("[id='check-c-33']").wait_for(state="visible")

    def test_filtering_is_not_felt(self, page: Any) -> None:
        """Half a thousand rows: from the key to the finished layout in less than a tenth of a second."""
        milliseconds = page.evaluate(
            """() => {
                const box = document.querySelector('[name=words]');
                const times = [];
                for (const words of ['number', 'number 3', '', 'refuted', 'n', '', 'number 4-1']) {
                    const started = performance.now();
                    box.value = words;
                    box.dispatchEvent(new Event('input', {bubbles: true}));
                    document.body.getBoundingClientRect();
                    times.push(performance.now() - started);
                }
                return times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
            }"""
        )
        assert milliseconds < 100

    def test_without_a_script_the_table_is_complete(self, site: Path, chromium: Any) -> None:
        with window(chromium, script=False) as tab:
            page = tab.open(site / "verdicts.html")
            assert page.locator("#ts-table tbody tr").count() == BULK * EACH + 5
            assert page.locator("#ts-table tbody tr").last.is_visible()
            assert not page.locator("#ts-filters").is_visible()


def test_the_search_of_the_site_finds_pages(site: Path, tab: Window) -> None:
    page = tab.page
    page.goto((site / "search.html").as_uri() + "?q=total")
    page.wait_for_selector("#search-results li a")
    assert any(
        "touchstone.sums.plain" in link
        for link in page.locator("#search-results li a").evaluate_all("a => a.map(x => x.href)")
    )
    page.locator("#search-results li a").first.click()
    page.wait_for_load_state()
    tab.assert_clean()


def test_day_and_night_can_be_chosen(site: Path, tab: Window) -> None:
    page = tab.open(site / "index.html")
    for theme in ("dark", "light"):
        page.locator(".theme-switch-button").locator("visible=true").first.click()
        page.get_by_role("button", name=theme.capitalize()).locator("visible=true").first.click()
        assert page.evaluate("document.documentElement.dataset.theme") == theme
    tab.assert_clean()


def test_figures_are_drawn_and_do_not_move_the_page(site: Path, tab: Window) -> None:
    page = tab.open(site / "papers/alpha-paper.html")
    image = page.locator("img.ts-drawing").first
    image.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('img.ts-drawing').naturalWidth > 0")
    assert image.get_attribute("alt") == "What error shows"
    assert image.get_attribute("width") == "480"


def test_code_unfolds(site: Path, tab: Window) -> None:
    page = tab.open(site / "papers/alpha-paper.html")
    source = page.get_by_text("study.check(", exact=False).first
    assert not source.is_visible()
    page.locator("details summary").filter(has_text="Show the code").nth(1).click()
    assert source.is_visible()
