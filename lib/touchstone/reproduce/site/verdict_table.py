"""The table of all verdicts: complete without a script, filtered and sorted by ``verdicts.js``."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from touchstone.reproduce.ledgers import VERDICTS
from touchstone.reproduce.site.collect import Check, count
from touchstone.reproduce.site.parts import MARKS, css, pill
from touchstone.reproduce.site.text import Typesetter, plain

_COLUMNS = (
    ("verdict", "Verdict"),
    ("claim", "Claim and finding"),
    ("paper", "Paper"),
    ("kind", "Kind"),
    ("topic", "Topic"),
)


def verdict_table(checks: tuple[Check, ...], typeset: Typesetter, pages: set[str]) -> str:
    """The filters and the table. ``pages`` are the slugs of the papers that have a page."""
    if not checks:
        return '<p class="ts-note">No notebook has been run yet; <code>make reproduce</code> does it.</p>'
    return _filters(checks) + _table(checks, typeset, pages)


def _filters(checks: tuple[Check, ...]) -> str:
    numbers = count(checks)
    verdicts = "".join(
        f'<label class="ts-toggle {css(verdict)}"><input type="checkbox" name="verdict" value="{verdict}">'
        f'<span><span aria-hidden="true">{MARKS[verdict]}</span> {numbers[verdict]} {verdict}</span></label>'
        for verdict in VERDICTS
    )
    kinds = sorted({check.entry["kind"] for check in checks})
    topics = sorted({check.paper.topic for check in checks})
    titles = {check.paper.slug: plain(check.paper.title) for check in checks}
    papers = sorted(titles.items(), key=lambda item: item[1].lower())
    return (
        '<form class="ts-filters" id="ts-filters" role="search" aria-label="Filter the verdicts" hidden>'
        '<label class="ts-field ts-words">Search<input type="search" name="words" autocomplete="off" '
        'spellcheck="false" placeholder="words in the claim, the finding, the title, an author …"></label>'
        f'<fieldset class="ts-toggles"><legend>Verdict</legend>{verdicts}</fieldset>'
        f"{_select('kind', 'Kind', 'all kinds', [(kind, kind) for kind in kinds])}"
        f"{_select('topic', 'Topic', 'all topics', [(topic, topic) for topic in topics])}"
        f"{_select('paper', 'Paper', 'all papers', papers)}"
        '<p class="ts-outcome"><output id="ts-shown" role="status" aria-live="polite"></output> '
        '<button type="reset" class="ts-reset">Show all</button></p></form>'
    )


def _select(name: str, label: str, everything: str, values: Iterable[tuple[str, str]]) -> str:
    options = "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in values)
    return (
        f'<label class="ts-field">{label}<select name="{name}">'
        f'<option value="">{everything}</option>{options}</select></label>'
    )


def _table(checks: tuple[Check, ...], typeset: Typesetter, pages: set[str]) -> str:
    heads = "".join(
        f'<th scope="col" role="columnheader" data-column="{name}">{title}</th>' for name, title in _COLUMNS
    )
    rows = "\n".join(_row(check, typeset, pages) for check in checks)
    return (
        '<table class="ts-table" id="ts-table" role="table">'
        '<caption class="ts-hidden">Every check of every paper with its verdict</caption>'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead>\n'
        f'<tbody role="rowgroup">\n{rows}\n</tbody></table>'
        '<p class="ts-note" id="ts-none" hidden>No check fits these filters.</p>'
    )


def _row(check: Check, typeset: Typesetter, pages: set[str]) -> str:
    entry, paper = check.entry, check.paper
    key = escape(check.key)
    seen = f'<p class="ts-seen">{typeset.sentence(entry["seen"])}</p>' if entry["seen"] else ""
    title = typeset.sentence(paper.title)
    if paper.slug in pages:
        title = f'<a href="papers/{paper.slug}.html#check-{escape(check.id)}">{title}</a>'
    words = escape(
        " ".join((check.id, paper.slug, *paper.authors, str(paper.year), entry["source"], entry["says"]))
    )
    return (
        f'<tr id="{key}" role="row" data-verdict="{check.verdict}" data-kind="{escape(entry["kind"])}" '
        f'data-topic="{escape(paper.topic)}" data-paper="{paper.slug}" data-words="{words}">'
        f'<td role="cell">{pill(check.verdict)}</td>'
        f'<td role="cell"><p class="ts-says">{typeset.sentence(entry["says"])} '
        f'<a class="ts-row-link" href="#{key}" aria-label="Permanent link to {escape(check.id)}" '
        'title="Permanent link">#</a></p>'
        f'<p class="ts-found">{typeset.sentence(entry["sentence"])}</p>{seen}</td>'
        f'<td role="cell">{title}</td>'
        f'<td role="cell">{escape(entry["kind"])}</td><td role="cell">{escape(paper.topic)}</td></tr>'
    )
