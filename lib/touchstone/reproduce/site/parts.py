"""Pieces of pages in HTML: the pill of a verdict, the card of a check, a figure. Every text is escaped."""

from __future__ import annotations

import re
from html import escape
from typing import Any

from touchstone.evidence.display import READ_IN
from touchstone.evidence.numbers import shown
from touchstone.reproduce.site.collect import Check, Entry
from touchstone.reproduce.site.text import Typesetter, plain

MARKS = {"supported": "✓", "refuted": "✗", "inconclusive": "?", "out of reach": "–"}
_FATES = {
    "control": {"rejects": "rejected", "accepts": "not rejected", "straddles": "straddles the limit"},
    "trivial": {"rejects": "does not meet it", "accepts": "meets it too", "straddles": "straddles the limit"},
}
_SIZE = re.compile(rb"""<svg\b[^>]*?\bviewBox=["']\s*[\d.+-]+[\s,]+[\d.+-]+[\s,]+([\d.]+)[\s,]+([\d.]+)""")
_POINT = 4 / 3  # pixels


def css(verdict: str) -> str:
    """The class that colours a verdict."""
    return "ts-" + verdict.replace(" ", "-")


def pill(verdict: str, number: int | None = None) -> str:
    """The word of a verdict in its colour, with a number before it where one is given."""
    count = f"{number} " if number is not None else ""
    return (
        f'<span class="ts-pill {css(verdict)}"><span aria-hidden="true">{MARKS[verdict]}</span> '
        f"{count}{escape(verdict)}</span>"
    )


def pills(counts: dict[str, int]) -> str:
    """The pills of all verdicts that occur."""
    return " ".join(pill(verdict, number) for verdict, number in counts.items() if number)


def where(check: Check) -> str:
    """The kind of a check and where its sentence was read."""
    entry = check.entry
    return f"{entry['kind']} · {entry['source']}, {READ_IN[entry['read_in']]}"


def card(check: Check, typeset: Typesetter, *, root: str, anchor: bool = True) -> str:
    """All of a check: verdict, claim, what was found, how the controls fared; the rule behind a fold."""
    entry = check.entry
    identity = f' id="check-{escape(check.id)}"' if anchor else ""
    seen = entry["seen"] if check.verdict == "refuted" or entry["seen"] else None
    lines = [
        f'<div class="ts-card {css(check.verdict)}"{identity} role="group" '
        f'aria-label="Verdict on {escape(check.id)}: {escape(check.verdict)}">',
        f'<p class="ts-head">{pill(check.verdict)} <span class="ts-id">{escape(check.id)}</span> '
        f'<span class="ts-where">{typeset.sentence(where(check))}</span> '
        f'<a class="ts-row-link" href="{root}verdicts.html#{escape(check.key)}" '
        f'aria-label="{escape(check.id)} in the table of all verdicts" title="In the table of all '
        'verdicts">#</a></p>',
        f'<p class="ts-says">{typeset.sentence(entry["says"])}</p>',
        f'<p class="ts-found"><b>Found.</b> {typeset.sentence(entry["sentence"])}</p>',
    ]
    if seen:
        lines.append(f'<p class="ts-seen"><b>Seen instead.</b> {typeset.sentence(seen)}</p>')
    if entry["vacuous"]:
        lines.append(
            '<p class="ts-seen"><b>Vacuous at this size</b>: the trivial answer meets the bound too.</p>'
        )
    lines += [f'<p class="ts-seen">{typeset.sentence(_capital(caveat))}.</p>' for caveat in entry["caveats"]]
    controls = _controls(entry)
    if controls:
        fates = "; ".join(f"{typeset.sentence(name)}: <b>{fate}</b>" for name, _, fate in controls)
        lines.append(f'<p class="ts-controls"><b>Controls.</b> {fates}.</p>')
    if entry["rule"] is not None:
        lines.append(_fold(entry, controls, typeset))
    lines.append("</div>")
    return "\n".join(lines)


def _controls(entry: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Name, sentence and fate of every control, and of the trivial answer."""
    rows = [(side["name"], side["sentence"], _FATES["control"][side["outcome"]]) for side in entry["control"]]
    trivial = entry["trivial"]
    if trivial is not None:
        rows.append(
            (f"trivial answer, {trivial['name']}", trivial["sentence"], _FATES["trivial"][trivial["outcome"]])
        )
    return rows


def _fold(entry: dict[str, Any], controls: list[tuple[str, str, str]], typeset: Typesetter) -> str:
    rule = entry["rule"]
    rows = [("Rule", f"{rule['name']}: {rule['says']}"), ("Why this limit", rule["why"])]
    rows += [
        (f"Control {name}" if not name.startswith("trivial") else _capital(name), text)
        for name, text, _ in controls
    ]
    rows += [("Sizes", "; ".join(f"{name} = {_grid(values)}" for name, values in entry["sizes"].items()))]
    body = "".join(
        f"<dt>{typeset.sentence(name)}</dt><dd>{typeset.sentence(text)}</dd>" for name, text in rows if text
    )
    return f"<details><summary>Rule, controls in numbers, sizes</summary><dl>{body}</dl></details>"


def _grid(values: Any) -> str:
    if not isinstance(values, list):
        return _number(values)
    if len(values) > 8:
        return f"{_number(values[0])}, {_number(values[1])}, …, {_number(values[-1])} ({len(values)} values)"
    return ", ".join(_number(value) for value in values)


def _number(value: Any) -> str:
    if isinstance(value, dict) and "log2" in value:  # an integer beyond all floats
        return f"$2^{{{value['log2']:g}}}$"
    return shown(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def picture(source: str, svg: bytes, alt: str, *, lazy: bool = True) -> str:
    """An image of a drawing, with its size, so that the page does not jump when it arrives."""
    size = _SIZE.search(svg)
    measures = ""
    if size:
        width, height = (round(float(number) * _POINT) for number in size.groups())
        measures = f' width="{width}" height="{height}"'
    loading = ' loading="lazy" decoding="async"' if lazy else ""
    return f'<img class="ts-drawing" src="{escape(source)}" alt="{escape(alt)}"{measures}{loading}>'


def figure(entry: Entry, drawing: dict[str, Any], *, root: str, caption: str = "", lazy: bool = True) -> str:
    """A figure of a paper, itself the link to the drawing alone; ``caption`` is HTML."""
    address = f"{root}figures/{entry.slug}/{drawing['file']}"
    below = f"<figcaption>{caption}</figcaption>" if caption else ""
    image = picture(address, entry.figures[drawing["file"]], plain(drawing["alt"]), lazy=lazy)
    return (
        f'<figure class="ts-figure ts-{escape(drawing["width"])}">'
        f'<a href="{escape(address)}">{image}</a>{below}</figure>'
    )
