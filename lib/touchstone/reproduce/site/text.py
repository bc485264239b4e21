"""Sentences of ledgers and of the register as HTML: mathematics between dollar signs, *stress*, `code`."""

from __future__ import annotations

import re
from html import escape, unescape

from touchstone.reproduce.site.mathematics import MathematicsError, mathml

# $$...$$, or $...$ without a space inside its ends, as Jupyter and MyST read it
FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<display>.+?)(?<!\\)\$\$|(?<![\\$])\$(?=\S)(?P<inline>[^$]+?)(?<=[^\s\\])\$(?!\d)", re.S
)
_CODE = re.compile(r"`([^`]+)`")
_STRESS = re.compile(r"(?<![\w*])\*(?=\S)([^*]+?)(?<=\S)\*(?![\w*])")
_TAG = re.compile(r"(<[^>]*>)")


class Typesetter:
    """Turns text into HTML and remembers what could not be typeset, once each."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def formula(self, latex: str, *, display: bool = False) -> str:
        """The formula as MathML; the LaTeX itself where it cannot be converted."""
        try:
            return mathml(latex, display=display)
        except MathematicsError as error:
            if str(error) not in self.problems:
                self.problems.append(str(error))
            return f"<code>{escape(latex)}</code>"

    def sentence(self, text: str) -> str:
        """One sentence of a ledger, escaped, with its mathematics, stress and code."""
        return self._pieces(text, _marked)

    def html(self, text: str) -> str:
        """HTML with its formulas typeset; nothing inside tags is touched."""
        return "".join(
            piece if piece.startswith("<") else self._pieces(piece, lambda plain: plain, escaped=True)
            for piece in _TAG.split(text)
        )

    def _pieces(self, text: str, plain, *, escaped: bool = False) -> str:  # type: ignore[no-untyped-def]
        parts, end = [], 0
        for match in FORMULA.finditer(text):
            latex = match["display"] or match["inline"]
            parts.append(plain(text[end : match.start()]))
            parts.append(self.formula(unescape(latex) if escaped else latex, display=bool(match["display"])))
            end = match.end()
        parts.append(plain(text[end:]))
        return "".join(parts)


def _marked(text: str) -> str:
    pieces = _CODE.split(text)
    return "".join(
        f"<code>{escape(piece, quote=False)}</code>"
        if number % 2
        else _STRESS.sub(r"<em>\1</em>", escape(piece.replace("\\$", "$"), quote=False))
        for number, piece in enumerate(pieces)
    )


_SIGNS = {r"\ell": "ℓ", r"_\infty": "∞", r"\infty": "∞", "_p": "ₚ", "_1": "₁", "_2": "₂"}


def plain(text: str) -> str:
    """The text without dollar signs, for places that take no mathematics, such as a title or an option."""
    for match in FORMULA.finditer(text):
        shown = match["display"] or match["inline"]
        for latex, sign in _SIGNS.items():
            shown = shown.replace(latex, sign)
        text = text.replace(match[0], shown)
    return re.sub(r"\s+", " ", text.replace("$", "")).strip()
