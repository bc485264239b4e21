"""Deterministic, accessible SVG: same drawing, same bytes, and words for those who cannot see it."""

from __future__ import annotations

import io
import re
from xml.etree import ElementTree
from xml.sax.saxutils import escape, unescape

from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

_ROOT = re.compile(r"<svg\b[^>]*>")
# a formula of Matplotlib's: the text, and the pieces of it that are set in a face only Matplotlib has
_TEXT = re.compile(r"<text\b[^>]*>.*?</text>", re.DOTALL)
_SIZED = re.compile(
    r"""\s*<tspan x="(?P<x>[^"]*)" y="(?P<y>[^"]*)" style="(?P<style>[^"]*font-family: '?"""
    r"""(?P<family>STIXSize\w+|DejaVu Sans Display)'?[^"]*)">(?P<glyphs>[^<]*)</tspan>"""
)
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
    text = text[: root.start()] + head + words + _TEXT.sub(_with_outlines, text[root.end() :])
    ElementTree.fromstring(text)  # raises if what we inserted is not well formed
    return text.encode("utf-8")


def _with_outlines(text: re.Match[str]) -> str:
    """The formula with its stretched signs (roots, large brackets) as outlines beside the text.

    They come from faces that no reader has, in which any other face draws a sign of the wrong size.
    """
    outlines: list[str] = []

    def outline(piece: re.Match[str]) -> str:
        size = re.search(r"font-size: ([\d.]+)px", piece["style"])
        glyphs = unescape(piece["glyphs"])
        at = [[float(number) for number in piece[axis].split()] for axis in "xy"]
        xs, ys = (numbers * len(glyphs) if len(numbers) == 1 else numbers for numbers in at)
        face = FontProperties(family=piece["family"])
        for glyph, x, y in zip(glyphs, xs, ys, strict=True):
            path = TextPath((0, 0), glyph, size=float(size[1]) if size else 10.0, prop=face)
            outlines.append(f'<path d="{_path_data(path, x, y)}"/>')
        return ""

    kept = _SIZED.sub(outline, text[0])
    return kept + "".join(outlines)


def _path_data(path: TextPath, x: float, y: float) -> str:
    """An outline at (x, y) as SVG path commands: y runs down there."""
    commands = {path.MOVETO: "M", path.LINETO: "L", path.CURVE3: "Q", path.CURVE4: "C", path.CLOSEPOLY: "Z"}
    parts = []
    for points, code in path.iter_segments(curves=True, simplify=False):
        pairs = [] if code == path.CLOSEPOLY else points.reshape(-1, 2).tolist()
        parts.append(commands[code] + " ".join(f"{x + px:.3f} {y - py:.3f}" for px, py in pairs))
    return " ".join(parts)


def _clean(text: str) -> str:
    return escape(_UNPRINTABLE.sub("", text))
