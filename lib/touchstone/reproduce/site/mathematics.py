"""LaTeX to MathML, once and for all while the site is built: readers need no script and no download.

The conversion is that of ``latex2mathml``. What follows it here brings its output to MathML Core, the part
that browsers draw: styled letters become characters of their own, signs are marked as signs, and words such
as ln keep their distance.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from xml.etree import ElementTree as ET

FUNCTIONS = frozenset(
    (
        "arccos", "arcsin", "arctan", "arg", "cos", "cosh", "cot", "coth", "deg", "det", "dim", "exp", "gcd",
        "hom", "inf", "ker", "lg", "lim", "liminf", "limsup", "ln", "log", "max", "min", "Pr", "sec", "sin",
        "sinh", "sup", "tan", "tanh",
    )
)  # fmt: skip
_STYLES = {
    "double-struck": ("MATHEMATICAL DOUBLE-STRUCK", "DOUBLE-STRUCK"),
    "script": ("MATHEMATICAL SCRIPT", "SCRIPT"),
    "fraktur": ("MATHEMATICAL FRAKTUR", "BLACK-LETTER"),
    "bold": ("MATHEMATICAL BOLD", "BOLD"),
    "bold-italic": ("MATHEMATICAL BOLD ITALIC", "BOLD ITALIC"),
    "sans-serif": ("MATHEMATICAL SANS-SERIF", "SANS-SERIF"),
    "monospace": ("MATHEMATICAL MONOSPACE", "MONOSPACE"),
}
_SCRIPTED = ("msub", "msup", "msubsup", "munder", "mover", "munderover")
_OPERANDS = ("mi", "mn", "mtext", "mfrac", "msqrt", "mroot", *_SCRIPTED)
_IDENTIFIERS = "∂∇∞∅ℓ℘∀∃…⋯⋮⋱⊤⊥"
_OPENING, _CLOSING = "([{⟨⌊⌈", ")]}⟩⌋⌉!"
_FENCES = "|‖∣∥"
_ROWS = ("math", "mrow", "mstyle", "mtd", "msqrt")
_BREAKS = "=≤≥<>≈∼≡⊆⊂∈→⪯⪰≪≫∝,;"
_LONG, _SHORT = 24, 6
"""Characters from which on a formula may be broken, and the least that a piece holds."""
_THIN = "0.1667em"
# what the converter knows under another name only
_SYNONYMS = {
    "{aligned}": "{split}",
    "{gathered}": "{split}",
    r"\left<": r"\left\langle ",
    r"\right>": r"\right\rangle ",
    r"\bigoslash": r"\oslash",
}
# what it leaves as it was after \\Big
_DELIMITERS = {
    r"\{": "{", r"\}": "}", r"\|": "‖", r"\langle": "⟨", r"\rangle": "⟩", r"\lVert": "‖", r"\rVert": "‖",
    r"\lvert": "|", r"\rvert": "|", r"\lfloor": "⌊", r"\rfloor": "⌋", r"\lceil": "⌈", r"\rceil": "⌉",
}  # fmt: skip
# the converter hands text on as it is: what would be read as markup goes through it in disguise
_COVERED = {ord("<"): "\ue000", ord(">"): "\ue001"}
_UNCOVERED = {0xE000: "<", 0xE001: ">", 0xE002: "&"}
_SINGLE = re.compile(r"\\mathrm\s*\{\s*([A-Za-z])\s*\}")  # the converter would let it lean
_ESCAPED = re.compile(r"\\([_%&#$ ])")


class MathematicsError(Exception):
    """LaTeX that cannot be converted; the message says which."""


@cache
def mathml(latex: str, *, display: bool = False) -> str:
    """The ``<math>`` element for ``latex``, without dollar signs; ``display`` for a line of its own.

    Raises ``MathematicsError`` for LaTeX that the converter does not know.
    """
    from latex2mathml.converter import convert

    source = latex.strip()
    if display and "\\\\" in source and "\\begin" not in source:
        source = rf"\begin{{split}}{source}\end{{split}}"
    for unknown, known in _SYNONYMS.items():
        source = source.replace(unknown, known)
    source = _SINGLE.sub(r"\\text{\1}", source).replace(r"\&", "\ue002").translate(_COVERED)
    try:
        text = convert(source, display="block" if display else "inline")
        root = ET.fromstring(text.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1))
    except Exception as error:  # the converter raises a dozen kinds
        raise MathematicsError(f"${latex}$ is not mathematics that can be shown: {error!r}") from None
    for leaf in root.iter():
        text = (leaf.text or "").translate(_UNCOVERED)
        leaf.text = (_DELIMITERS.get(text) or _ESCAPED.sub(r"\1", text)) or None
    left = [leaf.text for leaf in root.iter() if leaf.text and "\\" in leaf.text]
    if left:
        raise MathematicsError(
            f"${latex}$ is not mathematics that can be shown: {left[0].strip()} is unknown"
        )
    for element in root.iter():
        _style_letters(element)
        _align(element)
    for element in root.iter():
        _merge_words(element)
        _mark_signs(element)
    for element in root.iter():
        _mark_fences(element)
        _mark_negatives(element)
        _space_functions(element)
    if not display and len("".join(root.itertext())) > _LONG:
        return "".join(ET.tostring(part, encoding="unicode") for part in _broken(root))
    return ET.tostring(root, encoding="unicode")


def _style_letters(element: ET.Element) -> None:
    """Replace ``mathvariant``, which browsers no longer read, by characters that carry the style."""
    style = element.get("mathvariant")
    if style == "italic":  # what a single letter is anyway
        del element.attrib["mathvariant"]
    elif style in _STYLES and element.text:
        element.text = "".join(_styled(char, style) for char in element.text)
        del element.attrib["mathvariant"]
        if element.tag == "mi" and len(element.text) == 1:
            element.set("mathvariant", "normal")  # else an italic of the styled letter is looked for


def _styled(char: str, style: str) -> str:
    words = unicodedata.name(char, "").replace("LATIN ", "").replace(" LETTER", "").replace("GREEK ", "")
    for prefix in _STYLES[style]:
        try:
            return unicodedata.lookup(f"{prefix} {words}")
        except KeyError:
            continue
    return char


def _align(element: ET.Element) -> None:
    """Alignment of table cells as a class: the attribute is not part of MathML Core."""
    side = element.attrib.pop("columnalign", None)
    if side in ("left", "right"):
        element.set("class", side)


def _merge_words(element: ET.Element) -> None:
    r"""``\mathrm{nnz}`` comes letter by letter; one element a word is upright and read as a word."""
    previous: ET.Element | None = None
    for child in list(element):
        upright = child.tag == "mi" and child.get("mathvariant") == "normal" and (child.text or "").isalpha()
        if upright and (child.text or "").isascii():
            if previous is not None:
                previous.text = (previous.text or "") + (child.text or "")
                previous.attrib.pop("mathvariant", None)
                element.remove(child)
                continue
            previous = child
        else:
            previous = None


def _mark_signs(element: ET.Element) -> None:
    """Signs that came as identifiers become operators, words that came as operators identifiers."""
    text = (element.text or "").strip()
    if element.tag == "mo" and ((len(text) > 1 and text.isalpha()) or text in ("∂", "∇", "∞")):
        element.tag = "mi"
    elif element.tag == "mi" and len(text) == 1 and text not in _IDENTIFIERS:
        if unicodedata.category(text)[0] in "SP":
            element.tag = "mo"
            element.attrib.pop("mathvariant", None)
    elif element.tag == "mi" and text.isdigit():
        element.tag = "mn"
    if element.tag == "mo" and element.text == "~" and not element.attrib:
        element.text = "∼"
    if element.tag == "mo" and element.text == "/":  # a browser would space it like a relation
        element.set("lspace", "0")
        element.set("rspace", "0")


def _mark_fences(element: ET.Element) -> None:
    """Bars open and close in turn, lest a browser space them like a relation. Brackets keep their size."""
    if not any(child.tag == "mtable" for child in element):
        for child in element:
            if child.tag == "mo" and (child.text or "") in tuple(_OPENING + _CLOSING) and not child.attrib:
                child.set("stretchy", "false")
    bars = [
        child
        for child in element
        if child.tag == "mo" and (child.text or "") in tuple(_FENCES) and "form" not in child.attrib
    ]
    closing = [
        (
            child,
            next((part for part in child if part.tag == "mo" and (part.text or "") in tuple(_FENCES)), None),
        )
        for child in element
        if child.tag in _SCRIPTED
    ]
    ordered = [
        bar
        for child in element
        for bar in (
            [child]
            if child in bars
            else [part for outer, part in closing if outer is child and part is not None]
        )
    ]
    if len(ordered) % 2:
        return
    for number, bar in enumerate(ordered):
        bar.set("form", "postfix" if number % 2 else "prefix")
        bar.set("fence", "true")
        if "stretchy" not in bar.attrib:
            bar.set("stretchy", "false")


def _mark_negatives(element: ET.Element) -> None:
    """A minus after a relation, a comma or an opening bracket belongs to what follows it."""
    before: ET.Element | None = None
    for child in element:
        if child.tag == "mo" and (child.text or "") in tuple("+-−±∓") and element.tag in _ROWS:
            is_sign = before is None or (before.tag == "mo" and not _closes(before)) or before.tag == "mspace"
            child.set("form", "prefix" if is_sign else "infix")
        before = child


def _closes(element: ET.Element) -> bool:
    return element.get("form") == "postfix" or (element.text or "") in tuple(_CLOSING)


def _broken(root: ET.Element) -> list[ET.Element]:
    """A long formula within a line, cut after its outermost relations and commas, where a line may end."""
    row = root[0] if len(root) == 1 and root[0].tag == "mrow" else root
    pieces: list[list[ET.Element]] = [[]]
    depth = 0
    for child in row:
        pieces[-1].append(child)
        text = (child.text or "") if child.tag == "mo" else ""
        depth += (text in tuple(_OPENING)) - (text in tuple(_CLOSING))
        if child.tag in _SCRIPTED and len(child) and (child[0].text or "") in tuple(_CLOSING):
            depth -= 1
        if (
            text in tuple(_BREAKS)
            and depth == 0
            and len("".join(x for e in pieces[-1] for x in e.itertext())) > _SHORT
        ):
            child.set("form", "infix")  # at the end of a row it would be taken for a postfix
            pieces.append([])
    if not pieces[-1]:
        pieces.pop()
    parts = []
    for piece in pieces:
        part = ET.Element("math", root.attrib)
        part.extend(piece)
        parts.append(part)
    return parts


def _space_functions(element: ET.Element) -> None:
    """A thin space between ln and what stands beside it, as in print."""
    children = list(element)
    if element.tag not in _ROWS:
        return
    for number in range(len(children) - 1, -1, -1):
        if not _is_function(children[number]):
            continue
        after = children[number + 1] if number + 1 < len(children) else None
        before = children[number - 1] if number else None
        if after is not None and _is_operand(after) and not _is_function(after):
            element.insert(number + 1, ET.Element("mspace", width=_THIN))
        if before is not None and (
            _is_operand(before) or (before.tag == "mo" and (before.text or "") in tuple(_CLOSING))
        ):
            element.insert(number, ET.Element("mspace", width=_THIN))


def _is_function(element: ET.Element) -> bool:
    if element.tag in _SCRIPTED and len(element):
        element = element[0]
    return element.tag == "mi" and (element.text or "") in FUNCTIONS


def _is_operand(element: ET.Element) -> bool:
    return element.tag in _OPERANDS or (element.tag in ("mrow", "mstyle") and len(element) > 0)
