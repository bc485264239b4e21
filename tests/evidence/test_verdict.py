from __future__ import annotations

import itertools
from html.parser import HTMLParser

import pytest

from touchstone.evidence.rules import AllOf, Collapse, CollapsesBetter, RatioAtMost
from touchstone.evidence.study import Study
from touchstone.evidence.verdict import decide

OUTCOMES = ["accepts", "rejects", "straddles"]


@pytest.mark.parametrize("claim", OUTCOMES)
@pytest.mark.parametrize(
    "controls", [*itertools.product(OUTCOMES, repeat=1), *itertools.product(OUTCOMES, repeat=2)]
)
def test_the_whole_verdict_table(claim, controls):
    word, reason = decide(claim, {f"c{i}": outcome for i, outcome in enumerate(controls)})
    if all(outcome == "rejects" for outcome in controls) and claim != "straddles":
        assert word == {"accepts": "supported", "rejects": "refuted"}[claim]
        assert reason is None
    else:
        assert word == "inconclusive"
        for i, outcome in enumerate(controls):
            assert (f"c{i}" in reason) == (outcome != "rejects")


def test_no_control_no_decision():
    with pytest.raises(ValueError, match="at least one"):
        decide("accepts", {})


class Page(HTMLParser):
    """Collects tags, attributes and text, and fails on tags that do not nest."""

    void = frozenset({"br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.text, self.attributes = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_OUTPUT", str(tmp_path / "out"))
    return Study("a-paper", profile="quick", device="cpu")


def checked(study, claim, control=7.0, id="c1", **more):
    settings = {"kind": "bound", "says": r"error $\le 2\epsilon$", "source": "Lemma 1", "read_in": "abstract"}
    return study.check(
        id,
        **settings | more,
        rule=RatioAtMost(1, why="the lemma's constant"),
        claim=lambda: claim,
        control=("half the degree", lambda: control),
    )


def test_supported(study):
    verdict = checked(study, [0.5, 0.25])
    assert verdict.verdict == "supported"
    assert verdict.claim == [0.5, 0.25]
    assert verdict.controls == {"half the degree": 7.0}
    assert verdict.numbers == {"largest_ratio": 0.5, "ratios": 2}
    assert verdict.sentence == "The largest of 2 ratios is 0.5 (limit 1); the control is rejected."
    text = str(verdict).splitlines()
    assert text[0].startswith("[✓] SUPPORTED  c1 (bound; Lemma 1, read in the abstract)")
    assert "control: half the degree: the ratio is 7 (limit 1): rejected" in str(verdict)
    assert max(map(len, text)) <= 96
    assert repr(verdict) == str(verdict)


def test_refuted_tells_what_was_seen(study):
    verdict = checked(study, 3.0, seen="the error is $4\\epsilon$")
    assert verdict.verdict == "refuted"
    assert "although it also rejects the control" in verdict.sentence
    assert "Seen instead: the error is $4\\epsilon$" in str(verdict)
    assert "Seen instead" not in str(checked(study, 0.5, id="c2", seen="x"))


@pytest.mark.parametrize("claim", [0.5, 3.0])
def test_a_control_that_passes_leaves_it_open(study, claim):
    verdict = checked(study, claim, control=0.9)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason == "the rule does not reject the control ‘half the degree’"
    assert "NOT rejected" in str(verdict)


def test_straddling(study):
    collapse = {
        "kind": "threshold",
        "says": "s",
        "source": "s",
        "read_in": "theorem",
        "rule": CollapsesBetter(3, why="w"),
    }
    near, good, bad = (Collapse(0.1, {"r": spread}) for spread in (0.2, 0.9, 0.01))
    verdict = study.check("claim-open", **collapse, claim=lambda: near, control=("c", lambda: bad))
    assert (verdict.verdict, verdict.reason) == (
        "inconclusive",
        "the claim's own measurement straddles the limit",
    )
    verdict = study.check("control-open", **collapse, claim=lambda: good, control=("c", lambda: near))
    assert (verdict.verdict, verdict.reason) == (
        "inconclusive",
        "the interval of the control ‘c’ straddles the limit",
    )


def test_vacuous(study):
    verdict = checked(study, 0.5, trivial=("the zero answer", lambda: 0.8))
    assert verdict.verdict == "supported"
    assert verdict.vacuous
    assert "acuous at this size: the trivial answer meets the bound too" in str(verdict)
    assert "acuous at this size: the trivial answer meets the bound too" in verdict._repr_html_()
    earnest = checked(study, 0.5, id="c2", trivial=("the zero answer", lambda: 8.0))
    assert not earnest.vacuous
    assert "acuous" not in str(earnest)


def test_a_part_that_no_control_tests_is_named(study):
    rule = AllOf({"entries": RatioAtMost(1, why="w"), "output": RatioAtMost(1, why="w")})
    settings = {"kind": "bound", "says": "s", "source": "s", "read_in": "theorem", "rule": rule}
    controls = {
        "one": lambda: {"entries": 5.0, "output": 0.5},
        "two": lambda: {"entries": 0.5, "output": 5.0},
    }
    claim = lambda: {"entries": 0.5, "output": 0.1}  # noqa: E731
    verdict = study.check("partly", **settings, claim=claim, control=("one", controls["one"]))
    assert verdict.caveats == ("no control is rejected by the part ‘output’ of the rule",)
    assert "‘output’" in str(verdict)
    assert study.check("wholly", **settings, claim=claim, control=controls).caveats == ()


def test_html_escapes_and_keeps_formulas(study):
    verdict = checked(study, 0.5, says=r"$a<b$ & <script>alert(1)</script>", source='"Lemma" <1>')
    for html in (verdict._repr_html_(), study.summary()._repr_html_()):
        page = Page(html)
        assert "script" not in {tag for tag, *_ in page.attributes}
        assert "<script>" not in html
        assert "$a<b$ & <script>" in page.words
        assert "supported" in page.words


def test_html_suits_both_themes_and_loads_nothing(study):
    page = Page(checked(study, 0.5, trivial=("zero", lambda: 0.5))._repr_html_())
    tags = {tag for tag, *_ in page.attributes}
    assert not tags & {"img", "link", "script", "style", "iframe"}
    assert not {name for _, name, _ in page.attributes} & {"src", "href"}
    for tag, name, value in page.attributes:
        if name != "style":
            continue
        declared = dict(part.split(":", 1) for part in value.split(";") if ":" in part)
        if "color" in declared and declared["color"] != "inherit":
            assert "background" in declared, (tag, value)  # fixed text colour only on a ground of its own


def test_the_words_stand_out_on_their_pills():
    from touchstone.evidence.display import COLOURS, WORDS

    def luminance(colour):
        channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert set(COLOURS) == set(WORDS)
    for colour in COLOURS.values():
        assert 1.05 / (luminance(colour) + 0.05) >= 4.5  # WCAG AA for white text
