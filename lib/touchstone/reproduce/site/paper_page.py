"""The page of a paper: its notebook with outputs, the verdicts as cards, downloads, how to run it."""

from __future__ import annotations

import copy
import re
from html import escape, unescape
from typing import Any

from touchstone.reproduce.site.collect import Check, Entry, joined, tags
from touchstone.reproduce.site.parts import card, css, figure, picture, pill, pills
from touchstone.reproduce.site.places import Places
from touchstone.reproduce.site.text import Typesetter

ROOT = "../"
_VERDICT = re.compile(r'aria-label="Verdict on ([a-z0-9-]+): ')
_LINK = re.compile(r"\]\((?:\.\./)[a-z-]+/([a-z0-9-]+)\.ipynb(#[^)]*)?\)")
_TITLE = re.compile(rb"<title\b[^>]*>(.*?)</title>", re.S)
_ALT = re.compile(rb"<desc\b[^>]*>(.*?)</desc>", re.S)
_KEY = re.compile(rb'aria-labelledby="([\w.-]+?)-title\b')
_FINISH = re.compile(r"\bstudy\.finish\(\)")
_SUMMARY = re.compile(
    r"\A<table\b[^>]*><caption\b"
)  # of the verdicts so far, whose cards are shown in its place
_HEADING = re.compile(r"\A\s*#\s.*?(?:\n\s*\n|\Z)(?:.*?(?:\n\s*\n|\Z))?", re.S)
_WIDGETS = "application/vnd.jupyter.widget"


class PaperPage:
    """Makes the notebook that the generator reads, and the pictures that it points to.

    ``pictures`` holds, once ``notebook()`` has run, the drawings of executed cells that no ledger lists (wall
    clocks, the still pictures of *Explore*), by the address from the root of the site.
    """

    def __init__(self, entry: Entry, typeset: Typesetter, pages: set[str]) -> None:
        if entry.notebook is None:
            raise ValueError(f"{entry.slug} has no notebook that can be shown")
        self.entry, self.typeset, self.pages = entry, typeset, pages
        self.pictures: dict[str, bytes] = {}
        self._checks = {check.id: check for check in entry.checks}
        self._left = dict(self._checks)
        self._told = False
        """Whether the list of verdicts has found its place."""

    def notebook(self) -> dict[str, Any]:
        """The page as a notebook: every output is HTML that stands by itself."""
        source = self.entry.executed or self.entry.notebook
        assert source is not None
        run = copy.deepcopy(source)
        places = Places(run)
        shown: dict[int, list[Check]] = {}
        for check in self.entry.checks:
            place = places.shown(check.id)
            if place is not None:
                shown.setdefault(place, []).append(check)
        cells: list[dict[str, Any]] = []
        for number, cell in enumerate(run["cells"]):
            if "injected-parameters" in tags(cell):
                continue
            if cell["cell_type"] == "code":
                html = (
                    self._executed(cell) if self.entry.executed else self._from_ledger(places.figures(number))
                )
                html += [
                    card(self._left.pop(c.id), self.typeset, root=ROOT)
                    for c in shown.get(number, ())
                    if c.id in self._left
                ]
                if (
                    "explore" in tags(cell)
                    and not self.entry.executed
                    and "explore(" in joined(cell["source"])
                ):
                    html.append(_note("In JupyterLab this cell has sliders; <code>make lab</code> opens it."))
                if _FINISH.search(joined(cell["source"])):
                    html.append(self._verdicts())
                _append_code(cells, joined(cell["source"]), html)
            else:
                cells.append(_markdown(self._links(joined(cell["source"]))))
        if not self._told and self._checks:
            cells += [_markdown("## Verdicts"), _markdown(_raw(self._verdicts()))]
        self._insert_panel(cells)
        return {"cells": cells, "metadata": _metadata(), "nbformat": 4, "nbformat_minor": 4}

    def _executed(self, cell: dict[str, Any]) -> list[str]:
        """The outputs of a cell that was run."""
        html = []
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/svg+xml" in data:
                widget = any(name.startswith(_WIDGETS) for name in data)
                html.append(self._drawing(joined(data["image/svg+xml"]).encode(), widget))
            elif "text/html" in data:
                text = joined(data["text/html"])
                verdict = _VERDICT.search(text)
                check = self._left.pop(verdict[1], None) if verdict else None
                if check is not None:
                    html.append(card(check, self.typeset, root=ROOT))
                elif not (verdict and verdict[1] in self._checks) and not _SUMMARY.match(text):
                    html.append(f'<div class="ts-scroll">{self.typeset.html(text)}</div>')
            elif "text/plain" in data and not any(name.startswith(_WIDGETS) for name in data):
                html.append(f"<pre>{escape(joined(data['text/plain']))}</pre>")
            elif output.get("output_type") == "stream" and output.get("name") == "stdout":
                html.append(f"<pre>{escape(joined(output.get('text', '')))}</pre>")
        return html

    def _from_ledger(self, names: list[str]) -> list[str]:
        """What a cell that was not run would show: the figures that it draws."""
        drawings = {drawing["name"]: drawing for drawing in self.entry.drawings}
        return [figure(self.entry, drawings[name], root=ROOT) for name in names if name in drawings]

    def _drawing(self, svg: bytes, widget: bool) -> str:
        key = _KEY.search(svg)
        name = key[1].decode().removeprefix(f"{self.entry.slug}-") if key else ""
        for drawing in self.entry.drawings:
            if drawing["name"] == name and not widget:
                return figure(self.entry, drawing, root=ROOT)
        title, alt = (
            match and unescape(match[1].decode()) for match in (_TITLE.search(svg), _ALT.search(svg))
        )
        stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "picture"
        address = f"figures/{self.entry.slug}/run/{stem}.svg"
        number = 1
        while address in self.pictures:
            number += 1
            address = f"figures/{self.entry.slug}/run/{stem}-{number}.svg"
        self.pictures[address] = svg
        image = picture(ROOT + address, svg, " ".join((alt or title or "A picture").split()))
        caption = "<figcaption>In JupyterLab this picture has sliders.</figcaption>" if widget else ""
        return f'<figure class="ts-figure ts-full"><a href="{ROOT}{address}">{image}</a>{caption}</figure>'

    def _verdicts(self) -> str:
        """The list of verdicts, each leading to its card; cards shown nowhere in the notebook come after."""
        if self._told or not self._checks:
            return _note("There is no ledger, so there are no verdicts to list." if not self._checks else "")
        self._told = True
        rows = "".join(
            f'<li class="{css(check.verdict)}">{pill(check.verdict)} '
            f'<a href="#check-{escape(check.id)}">{escape(check.id)}</a> '
            f'<span class="ts-claim">{self.typeset.sentence(check.entry["says"])}</span></li>'
            for check in self.entry.checks
        )
        left = [card(check, self.typeset, root=ROOT) for check in self._left.values()]
        self._left = {}
        return f'<p>{pills(self.entry.counts)}</p><ul class="ts-list">{rows}</ul>' + "".join(left)

    def _links(self, source: str) -> str:
        """Links to other notebooks lead to their pages; where there is none, the words stay."""

        def to_page(match: re.Match[str]) -> str:
            slug, rest = match.groups()
            return f"]({slug}.ipynb{rest or ''})" if slug in self.pages else "](../papers.md)"

        return _LINK.sub(to_page, source)

    def _insert_panel(self, cells: list[dict[str, Any]]) -> None:
        """After the title and the citation: the verdicts in numbers, the downloads, how to run it."""
        panel = _markdown(_raw(self._panel()))
        first = joined(cells[0]["source"]) if cells and cells[0]["cell_type"] == "markdown" else ""
        head = _HEADING.match(first)
        if not head:
            cells[:0] = [_markdown(f"# {self.entry.paper.title}"), panel]
            return
        rest = first[head.end() :].strip()
        cells[:1] = [_markdown(head[0].strip()), panel, *([_markdown(rest)] if rest else [])]

    def _panel(self) -> str:
        entry = self.entry
        links = [
            f'<a href="{ROOT}downloads/{entry.slug}.ipynb" download>Notebook</a>',
            f'<a href="{ROOT}downloads/{entry.slug}.ledger.json" download>Ledger</a>'
            if entry.ledger_text
            else "",
            f'<a href="{ROOT}verdicts.html#paper={entry.slug}">Its rows in the table of verdicts</a>'
            if entry.checks
            else "",
        ]
        notes = "".join(f'<p class="ts-note">{self.typeset.sentence(remark)}</p>' for remark in entry.remarks)
        made = ""
        if entry.ledger:
            versions = ", ".join(f"{name} {version}" for name, version in entry.ledger["versions"].items())
            made = (
                f'<p class="ts-where">{escape(entry.ledger["profile"])} profile, seed '
                f"{entry.ledger['seed']}; "
                f"{escape(versions)}.</p>"
            )
        verdicts = f"<p>{pills(entry.counts)}</p>" if entry.checks else ""
        return (
            f'<div class="ts-panel">{verdicts}<p class="ts-links">{" · ".join(filter(None, links))}</p>'
            f"<p>Run it yourself: <code>make reproduce PAPERS={entry.slug}</code></p>{made}{notes}</div>"
        )


def _append_code(cells: list[dict[str, Any]], source: str, html: list[str]) -> None:
    """Add a code cell; one that shows nothing is joined with the code that follows it."""
    last = cells[-1] if cells else None
    if last is not None and last["cell_type"] == "code" and not last["outputs"]:
        last["source"] += "\n\n\n" + source
    else:
        metadata = {"tags": ["hide-input"]}
        last = {
            "cell_type": "code",
            "metadata": metadata,
            "source": source,
            "outputs": [],
            "execution_count": None,
        }
        cells.append(last)
    if html:
        data = {"text/html": "\n".join(html)}
        last["outputs"] = [{"output_type": "display_data", "data": data, "metadata": {}}]


def _markdown(source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": source}


def _raw(html: str) -> str:
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", html)), default=0))
    return f"{fence}{{raw}} html\n{html}\n{fence}"


def _note(html: str) -> str:
    return f'<p class="ts-note">{html}</p>' if html else ""


def _metadata() -> dict[str, Any]:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"kernelspec": kernel, "language_info": {"name": "python", "pygments_lexer": "ipython3"}}
