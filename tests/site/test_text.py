"""Sentences of ledgers as HTML."""

from __future__ import annotations

import pytest

from touchstone.reproduce.site.text import Typesetter, plain


def test_mathematics_stress_and_code() -> None:
    html = Typesetter().sentence("The *absolute* error $x^2$ of `study.check`.")
    assert html.startswith("The <em>absolute</em> error <math")
    assert html.endswith("</math> of <code>study.check</code>.")


def test_everything_else_is_escaped() -> None:
    html = Typesetter().sentence("<script>alert(1)</script> & `<b>` $a<b$")
    assert "<script" not in html
    assert "<b>" not in html
    assert "&lt;script&gt;" in html
    assert "&amp;" in html


@pytest.mark.parametrize(
    "text", ["5 $ and 6 $ more", "costs $5 or $6", "a * b * c", "snake*case*word", r"\$x\$"]
)
def test_signs_that_mean_themselves(text: str) -> None:
    html = Typesetter().sentence(text)
    assert "<math" not in html
    assert "<em>" not in html


def test_a_formula_of_its_own_line() -> None:
    assert 'display="block"' in Typesetter().sentence("so $$a=b$$ holds")


def test_html_is_typeset_outside_its_tags_only() -> None:
    html = Typesetter().html('<td title="$x$">$a&lt;b$ and $y$</td>')
    assert 'title="$x$"' in html
    assert html.count("<math") == 2
    assert "&lt;" in html


def test_what_cannot_be_typeset_is_shown_and_remembered_once() -> None:
    typeset = Typesetter()
    assert typeset.sentence(r"a $\unheardof<$ b") == r"a <code>\unheardof&lt;</code> b"
    typeset.sentence(r"$\unheardof<$")
    assert len(typeset.problems) == 1
    assert r"\unheardof" in typeset.problems[0]


def test_plain_text_for_titles() -> None:
    assert plain("Slope  $0.01$\n at most") == "Slope 0.01 at most"
    assert plain(r"Regression with $\ell_\infty$ Guarantee, $\ell_p$") == "Regression with ℓ∞ Guarantee, ℓₚ"
