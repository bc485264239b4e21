"""Deterministic, accessible SVG: same drawing, same bytes, and words for those who cannot see it."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

_ROOT = re.compile(r"<svg\b[^>]*>")
_UNPRINTABLE = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(figure: Figure, key: str, title: str, alt: str) -> bytes:
    """``figure`` as SVG with ``title`` and the description ``alt`` in it, for a screen reader.

    ``key`` makes the ids of both unique on a page that shows several pictures. No date, no version, no
    random ids: the bytes depend on the drawing and on the version of Matplotlib alone. Call it inside the
    house style, which fixes the salt of the ids and keeps text as text.
    """
    buffer = io.BytesIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue().decode("utf-8")
    root = _ROOT.search(text)
    if root is None:  # a change in Matplotlib, not in the drawing
        raise RuntimeError("the SVG writer gave no <svg> element")
    names = f"{key}-title {key}-desc"
    head = root.group(0)[:-1] + f' role="img" aria-labelledby="{names}">'
    words = f'\n <title id="{key}-title">{_clean(title)}</title>\n <desc id="{key}-desc">{_clean(alt)}</desc>'
    text = text[: root.start()] + head + words + text[root.end() :]
    ElementTree.fromstring(text)  # raises if what we inserted is not well formed
    return text.encode("utf-8")


def _clean(text: str) -> str:
    return escape(_UNPRINTABLE.sub("", text))
