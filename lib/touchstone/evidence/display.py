"""How verdicts look: a badge and a table in HTML, the same in plain text.

The HTML takes its text colour from the page and its lines from translucent greys, so that it reads on light
and dark themes alike, and loads nothing from outside. LaTeX between dollar signs is left to the page.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from touchstone.evidence.numbers import shown

if TYPE_CHECKING:
    from touchstone.evidence.verdict import Verdict

WORDS = {
    "supported": ("✓", "supported"),
    "refuted": ("✗", "refuted"),
    "inconclusive": ("?", "inconclusive"),
    "out_of_reach": ("–", "out of reach"),
}
# each at a contrast of 5 or more under white text, distinct without red against green
COLOURS = {
    "supported": "#00664a",
    "refuted": "#a33b00",
    "inconclusive": "#5f5f5f",
    "out_of_reach": "#3b5b92",
}
WIDTH = 96
READ_IN = {
    "theorem": "read in the theorem",
    "abstract": "read in the abstract",
    "reconstructed": "reconstructed",
}


def _controls(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Name, sentence and fate of every control and of the trivial answer."""
    fate = {"rejects": "rejected", "accepts": "NOT rejected", "straddles": "straddles the limit"}
    rows = [
        (f"control: {side.name}", side.judgement.sentence, fate[side.judgement.outcome])
        for side in verdict.control_sides
    ]
    if verdict.trivial_side is not None:
        side = verdict.trivial_side
        fate = {"rejects": "does not meet it", "accepts": "meets it too", "straddles": "straddles the limit"}
        rows.append((f"trivial: {side.name}", side.judgement.sentence, fate[side.judgement.outcome]))
    return rows


def _where(verdict: Verdict) -> str:
    return f"{verdict.kind}; {verdict.source}, {READ_IN[verdict.read_in]}"


def _remarks(verdict: Verdict) -> list[str]:
    from touchstone.evidence.verdict import VACUOUS

    remarks = []
    if verdict.verdict == "refuted" and verdict.seen:
        remarks.append(f"Seen instead: {verdict.seen}")
    if verdict.vacuous:
        remarks.append(VACUOUS[0].upper() + VACUOUS[1:] + ".")
    return remarks + [caveat[0].upper() + caveat[1:] + "." for caveat in verdict.caveats]


# -- plain text ------------------------------------------------------------------------------------------


def verdict_text(verdict: Verdict) -> str:
    """The badge in plain text: the verdict, the claim, the finding, a line each control."""
    mark, word = WORDS[verdict.verdict]
    rule = f"  rule: {verdict.rule.says}" if verdict.rule is not None else None
    lines = [
        f"[{mark}] {word.upper()}  {verdict.id} ({_where(verdict)})",
        f"  claim: {verdict.says}",
        rule,
        f"  found: {verdict.sentence}",
        *(f"  {name}: {sentence}: {fate}" for name, sentence, fate in _controls(verdict)),
        *(f"  note: {remark}" for remark in _remarks(verdict)),
    ]
    return "\n".join(
        textwrap.fill(line, WIDTH, subsequent_indent="      ", break_long_words=False)
        for line in lines
        if line
    )


def summary_text(verdicts: Sequence[Verdict], title: str) -> str:
    """The table of verdicts in plain text."""
    rows = [(v.id, WORDS[v.verdict][1], v.sentence) for v in verdicts]
    id_width = max((len(row[0]) for row in rows), default=2)
    lines = [f"{title}: {count_words(verdicts)}"]
    for name, word, sentence in rows:
        head = f"  {name:<{id_width}}  {word:<12}  "
        lines.append(textwrap.fill(head + sentence, WIDTH + 24, subsequent_indent=" " * len(head)))
    return "\n".join(lines)


def count_words(verdicts: Sequence[Verdict]) -> str:
    """How many of each verdict, in words."""
    counts = Counter(v.verdict for v in verdicts)
    parts = [f"{counts[word]} {WORDS[word][1]}" for word in WORDS if counts[word]]
    return ", ".join(parts) or "nothing checked yet"


# -- HTML ------------------------------------------------------------------------------------------------

_LINE = "1px solid rgba(128,128,128,.35)"
_CELL = "padding:.3em .8em .3em 0;text-align:left;vertical-align:top;white-space:normal"


def _pill(word: str) -> str:
    mark, text = WORDS[word]
    return (
        f'<span style="display:inline-block;background:{COLOURS[word]};color:#fff;font-weight:600;'
        'border:1px solid rgba(255,255,255,.35);border-radius:1em;padding:.1em .8em;white-space:nowrap">'
        f'<span aria-hidden="true">{mark}</span> {text}</span>'
    )


def _small(text: str) -> str:
    return f'<span style="opacity:.8;font-size:.9em">{text}</span>'


def verdict_html(verdict: Verdict) -> str:
    """The badge: pill, claim, one sentence with the numbers and the limit, a row each control."""
    rows = [("found", verdict.sentence, "")]
    if verdict.rule is not None:
        rows.append(("rule", f"{verdict.rule.says}; {verdict.rule.why}", ""))
    rows += _controls(verdict)
    body = "".join(
        f'<tr style="background:none"><th scope="row" style="{_CELL};font-weight:600">{escape(name)}</th>'
        f'<td style="{_CELL}">{_text(sentence)}{f" — <b>{escape(fate)}</b>" if fate else ""}</td></tr>'
        for name, sentence, fate in rows
    )
    remarks = "".join(
        f'<div style="margin-top:.4em;border-left:3px solid {COLOURS["refuted"]};padding-left:.6em">'
        f"{_text(remark)}</div>"
        for remark in _remarks(verdict)
    )
    where = escape(f"{verdict.id} · {_where(verdict)}")
    return (
        f'<div role="group" aria-label="Verdict on {escape(verdict.id)}: {WORDS[verdict.verdict][1]}" '
        f'style="border:{_LINE};border-left:6px solid {COLOURS[verdict.verdict]};border-radius:6px;'
        'padding:.6em 1em;margin:.6em 0;max-width:60em;color:inherit;line-height:1.45">'
        f"<div>{_pill(verdict.verdict)} {_small(where)}</div>"
        f'<div style="margin:.4em 0">{_text(verdict.says)}</div>'
        '<table style="border-collapse:collapse;border:none;margin:0;color:inherit;font-size:.95em">'
        f"{body}</table>"
        f"{remarks}</div>"
    )


def summary_html(verdicts: Sequence[Verdict], title: str) -> str:
    """The table of verdicts: check, verdict, claim, what was found, how the controls fared."""
    cell = f"{_CELL};border-top:{_LINE}"
    heads = "".join(
        f'<th scope="col" style="{_CELL}">{head}</th>'
        for head in ("check", "verdict", "claim", "found", "controls")
    )
    rows = "".join(
        f'<tr style="background:none"><th scope="row" style="{cell};white-space:nowrap">{escape(v.id)}</th>'
        f'<td style="{cell}">{_pill(v.verdict)}</td><td style="{cell}">{_text(v.says)}</td>'
        f'<td style="{cell}">{_text(" ".join([v.sentence, *_remarks(v)]))}</td>'
        f'<td style="{cell}">{_fates(v)}</td></tr>'
        for v in verdicts
    )
    return (
        f'<table style="border-collapse:collapse;border:none;color:inherit;line-height:1.4">'
        f'<caption style="text-align:left;color:inherit;padding-bottom:.4em"><b>{escape(title)}</b>: '
        f"{escape(count_words(verdicts))}</caption>"
        f'<thead><tr style="background:none">{heads}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _fates(verdict: Verdict) -> str:
    return "<br>".join(
        f"{escape(name)}: <b>{escape(fate)}</b>" for name, _, fate in _controls(verdict)
    ) or escape("none: not decided by running")


def _text(value: Any) -> str:
    """Escaped text; dollar signs stay, so that the page typesets the LaTeX between them."""
    return escape(value if isinstance(value, str) else shown(value), quote=False)
