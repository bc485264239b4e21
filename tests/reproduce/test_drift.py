"""The reports as a stranger meets them: complete, harmless as Markdown, never too long."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.reproduce.drift import LONGEST, drift_report, seeds_report
from touchstone.reproduce.seeds import Stability
from touchstone.reproduce.verify import Change, Comparison

COMMIT = "0123456789abcdef" * 2 + "01234567"


def outside_code(text):
    """What a renderer would read as Markdown: the text without its blocks and spans of code."""
    text = re.sub(r"(?ms)^(`{3,})text\n.*?^\1$", "", text)
    return re.sub(r"(`+)(?!`).*?[^`]\1(?!`)", "", text)


def test_no_drift():
    results = [Comparison("one", "full", compared=3), Comparison("two", "full", compared=1)]
    assert drift_report(results, "HEAD", COMMIT) == (
        "# No drift\n\n4 verdicts of 2 papers compared with `HEAD` (`0123456789ab`): 0 verdicts changed in "
        "0 papers.\n"
    )


def test_changed_verdicts_with_their_numbers():
    change = Change("c1", "supported", "refuted", (("x", "1.5", "2.5"), ("deep.y", "null", '"a|b"')))
    gone = Change("c2", "refuted", "missing")
    result = Comparison("one", "quick", [change, gone], remarks=["c3: new check, supported."], compared=2)
    text = drift_report([result, Comparison("two", "full", compared=5)], "v1", COMMIT)
    assert text.startswith("# Verdicts drifted\n\n7 verdicts of 2 papers compared with `v1`")
    assert "2 verdicts changed in 1 paper." in text
    assert "| `one` | `c1` | supported | **refuted** |" in text
    assert "| `one` | `c2` | refuted | **missing** |" in text
    assert "**supported → refuted**: `c1`" in text
    assert "| `x` | `1.5` | `2.5` |" in text
    assert '| `deep.y` | `null` | `"a\\|b"` |' in text
    assert "Run compared: `quick`." in text
    assert "c3: new check, supported." in text
    assert "two" not in text


def test_what_could_not_be_compared():
    result = Comparison("one", problems=["nothing fresh to compare. Run `touchstone reproduce one` first."])
    text = drift_report([result], "HEAD", COMMIT)
    assert text.startswith("# Verdicts drifted")
    assert "```text\nnothing fresh to compare. Run `touchstone reproduce one` first.\n```" in text


def test_remarks_are_told_after_the_drift():
    results = [
        Comparison("quiet", "full", remarks=["same verdicts, other numbers: c1."], compared=1),
        Comparison("loud", "full", [Change("c1", "supported", "inconclusive")], compared=1),
    ]
    text = drift_report(results, "HEAD", COMMIT)
    assert text.index("## loud") < text.index("## quiet: no drift")


def test_many_numbers_and_many_papers_are_cut_with_a_word():
    numbers = tuple((f"x{number}", "1", "2") for number in range(40))
    results = [
        Comparison(f"paper-{number}", "full", [Change("c1", "supported", "refuted", numbers)], compared=1)
        for number in range(300)
    ]
    one = drift_report(results[:1], "HEAD", COMMIT)
    assert "| `x24` | `1` | `2` |\n\nand 15 numbers more." in one
    assert "`x25`" not in one
    text = drift_report(results, "HEAD", COMMIT)
    assert len(text) <= LONGEST + 200
    [left_out] = re.findall(r"(\d+) papers more, left out here", text)
    assert int(left_out) + text.count("\n## paper-") == 300
    huge = [
        Comparison(f"p{n}", "full", [Change("c" * 60, "supported", "refuted")] * 9, compared=1)
        for n in range(200)
    ]
    assert "The table goes on." in drift_report(huge, "HEAD", COMMIT)
    assert len(drift_report(huge, "HEAD", COMMIT)) <= LONGEST + 200


HARMFUL = st.text(
    st.sampled_from(["`", "|", "\n", "*", "_", "<", ">", "@", "#", "[", "]", "(", "a", " ", "~", "\\"]),
    min_size=1,
)


@given(HARMFUL, HARMFUL, HARMFUL)
def test_nothing_that_a_notebook_wrote_acts_as_markdown(check, name, value):
    change = Change(check, "supported", "refuted", ((name, value, value),))
    result = Comparison("one", "full", [change], ["problem " + value], ["remark " + name], 1)
    rest = outside_code(drift_report([result], "HEAD", COMMIT))
    assert not set("<@[#") & set(rest.replace("# Verdicts drifted", "").replace("## one", ""))
    tables = [line for line in rest.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in tables} <= {4, 5}


@pytest.fixture
def moody():
    verdicts = {
        "steady": {1: "supported", 2: "supported", 3: "supported"},
        "moody": {1: "supported", 2: "refuted"},
    }
    numbers = {"moody": {2: {"ratio": 1.25}}}
    return Stability("one", "quick", (1, 2, 3), verdicts, numbers, {3: "cell 4 failed\nlong trace"})


def test_verdicts_that_change_with_the_seed(moody):
    text = seeds_report(
        [moody, Stability("two", "quick", (1, 2, 3), {"c": dict.fromkeys((1, 2, 3), "supported")})]
    )
    assert text.startswith(
        "# Verdicts that change with the seed\n\n1 paper of 2 stable under the seeds 1, 2, 3"
    )
    assert "`moody`: 1 supported, 1 refuted" in text
    assert '| 2 | refuted | `{"ratio": 1.25}` |' in text
    assert "seed 3: cell 4 failed\n" in text
    assert "long trace" not in text
    assert "steady" not in text
    assert "## two" not in text


def test_the_same_verdicts_under_every_seed():
    stable = Stability("two", "quick", (5, 6), {"c": {5: "supported", 6: "supported"}})
    assert seeds_report([stable]) == (
        "# The same verdicts under every seed\n\n1 paper of 1 stable under the seeds 5, 6 (quick profile).\n"
    )
    assert seeds_report([]).startswith("# The same verdicts")
