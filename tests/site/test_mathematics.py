"""Mathematics: what comes out is MathML that browsers draw, and nothing unknown passes in silence."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from touchstone.reproduce.site.mathematics import MathematicsError, mathml


def shape(latex: str, *, display: bool = False) -> str:
    """Tags and texts in one line, without attributes and without rows."""

    def told(element: ET.Element) -> str:
        inner = (element.text or "") + "".join(told(child) for child in element)
        return inner if element.tag in ("mrow", "math", "mstyle") else f"<{element.tag}>{inner}</>"

    return told(ET.fromstring(mathml(latex, display=display)))


def test_a_formula_is_mathml_of_its_kind() -> None:
    assert shape("n^{1+o(1)}") == "<msup><mi>n</><mn>1</><mo>+</><mi>o</><mo>(</><mn>1</><mo>)</></>"
    assert ET.fromstring(mathml("x")).get("display") == "inline"
    assert ET.fromstring(mathml("x", display=True)).get("display") == "block"


@pytest.mark.parametrize(
    ("latex", "letter"),
    [(r"\mathbb R", "ℝ"), (r"\mathbb E", "𝔼"), (r"\mathcal N", "𝒩"), (r"\mathcal L", "ℒ"),
     (r"\mathbf 1", "𝟏"), (r"\mathbf v", "𝐯"), (r"\mathfrak g", "𝔤"), (r"\mathbb 1", "𝟙")],
)  # fmt: skip
def test_styled_letters_are_characters_of_their_own(latex: str, letter: str) -> None:
    text = mathml(latex)
    assert letter in text
    assert "double-struck" not in text
    assert "script" not in text.replace("msub", "")


def test_upright_words_are_one_element() -> None:
    assert shape(r"\mathrm{nnz}(A)").startswith("<mi>nnz</>")
    assert shape(r"\operatorname{diag}(x)").startswith("<mi>diag</>")
    assert shape(r"\mathrm{d}x") == "<mtext>d</><mi>x</>"  # as an identifier, a single letter would lean


@pytest.mark.parametrize(
    "latex", [r"a\succeq b", r"a\preceq b", r"\langle a,b\rangle", r"a\ll b", r"a\oslash b"]
)
def test_signs_are_operators(latex: str) -> None:
    for leaf in ET.fromstring(mathml(latex)).iter():
        assert (leaf.tag == "mo") == (leaf.text in tuple("⪰⪯⟨⟩≪⊘,")) or leaf.text is None


def test_letters_that_look_like_signs_stay_letters() -> None:
    assert shape(r"\partial x") == "<mi>∂</><mi>x</>"
    assert shape(r"\nabla L\to\infty") == "<mi>∇</><mi>L</><mo>→</><mi>∞</>"


def test_bars_open_and_close() -> None:
    bars = [
        leaf for leaf in ET.fromstring(mathml(r"|f(x)|\le\lVert x\rVert_2")).iter() if leaf.text in ("|", "‖")
    ]
    assert [bar.get("form") for bar in bars] == ["prefix", "postfix", "prefix", "postfix"]
    odd = [leaf for leaf in ET.fromstring(mathml(r"P(x|y)")).iter() if leaf.text == "|"]
    assert odd[0].get("form") is None  # one bar alone is a relation


def test_functions_keep_their_distance() -> None:
    assert shape(r"n\ln n") == "<mi>n</><mspace></><mi>ln</><mspace></><mi>n</>"
    assert shape(r"\ln(n)") == "<mi>ln</><mo>(</><mi>n</><mo>)</>"
    assert shape(r"2\sin^2x") == "<mn>2</><mspace></><msup><mi>sin</><mn>2</></><mspace></><mi>x</>"


def test_aligned_lines() -> None:
    text = mathml(r"\begin{aligned}a&=b\\c&=d\end{aligned}", display=True)
    assert text.count("<mtr") == 2
    assert 'class="right"' in text
    assert "columnalign" not in text
    assert mathml(r"a&=b\\c&=d", display=True).count("<mtr") == 2  # as Jupyter takes it


def test_a_minus_after_a_relation_belongs_to_what_follows() -> None:
    def forms(latex: str) -> list[str | None]:
        return [leaf.get("form") for leaf in ET.fromstring(mathml(latex)).iter() if leaf.text == "−"]

    assert forms("a=-2") == ["prefix"]
    assert forms("-a-b") == ["prefix", "infix"]
    assert forms("(-a)-|b|-c") == ["prefix", "infix", "infix"]


def test_a_long_formula_within_a_line_can_be_broken() -> None:
    text = mathml(r"aaaaaaaa=bbbbbbbbbbbb\le f(c=d,e)+cccccccccc")
    assert text.count("<math ") == 3
    assert text.count("</mo></math>") + text.count("</mo></mrow></math>") == 2
    assert mathml(r"aaaaaaaa=bbbbbbbbbbbb\le f(c=d,e)+cccccccccc", display=True).count("<math ") == 1
    assert mathml("a=b").count("<math ") == 1


def test_delimiters_of_any_size() -> None:
    assert "{" in mathml(r"\Big\{x\Big\}")
    assert "⟨" in mathml(r"\Big\langle x\Big\rangle")
    assert "a_b" in mathml(r"\text{a\_b}")


def test_nothing_is_read_as_markup() -> None:
    assert "&lt;" in mathml("a<b")
    for latex in (
        r"\text{<b>}",
        r"\text{<img src=x onerror=1/>}",
        r"\text{<mi onclick='1'>x</mi>}",
        r"\text{a \& b}",
        r"\left<x\right>",
    ):
        tags = {element.tag for element in ET.fromstring(mathml(latex)).iter()}
        assert tags <= {"math", "mrow", "mtext", "mo", "mi", "mspace"}


@pytest.mark.parametrize("latex", [r"\unheardof x", r"\frac", r"\begin{nothing}a&b\end{nothing}"])
def test_what_is_unknown_is_an_error_that_names_it(latex: str) -> None:
    with pytest.raises(MathematicsError, match="is not mathematics") as error:
        mathml(latex)
    assert latex in str(error.value)
