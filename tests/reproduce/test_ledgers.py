import json

import pytest

from touchstone.evidence.ledger import validate
from touchstone.reproduce.ledgers import (
    LedgerError,
    count_verdicts,
    describe_counts,
    read_ledger,
    stored_counts,
    verdicts,
)


def test_the_ledgers_of_these_tests_follow_the_schema(make):
    checks = [
        make.check(v.replace("_", "-"), v) for v in ("supported", "refuted", "inconclusive", "out_of_reach")
    ]
    validate(make.ledger("paper", *checks))


def test_verdicts_and_their_counts(make):
    checks = [
        make.check("c1"),
        make.check("c2", "out_of_reach"),
        make.check("c3"),
        make.check("c4", "refuted"),
    ]
    ledger = read_ledger(json.dumps(make.ledger("paper", *checks)), "paper")
    assert verdicts(ledger) == {"c1": "supported", "c2": "out of reach", "c3": "supported", "c4": "refuted"}
    assert count_verdicts(ledger) == {"supported": 2, "refuted": 1, "out of reach": 1}
    assert describe_counts(count_verdicts(ledger)) == "2 supported, 1 refuted, 1 out of reach"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda ledger: ledger.update(checks=[]), "no check"),
        (lambda ledger: ledger.update(checks={}), "no list of checks"),
        (lambda ledger: ledger.update(slug="other"), "is of 'other', expected 'paper'"),
        (lambda ledger: ledger["checks"].append(ledger["checks"][0]), "'c1' twice"),
        (lambda ledger: ledger["checks"][0].pop("id"), "without an id"),
        (lambda ledger: ledger["checks"][0].update(verdict="proved"), "unknown verdict 'proved'"),
        (lambda ledger: ledger["checks"][0].update(verdict=None), "unknown verdict None"),
        (lambda ledger: ledger["checks"].append(3), "without an id"),
        (lambda ledger: ledger.update(extra=1), "schema"),
        (lambda ledger: ledger["checks"][0].update(control=[]), "schema"),
    ],
)
def test_a_ledger_that_cannot_be_trusted(make, change, words):
    ledger = make.ledger("paper")
    change(ledger)
    with pytest.raises(LedgerError, match=words):
        read_ledger(json.dumps(ledger), "paper")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\xfa", b"3", b"[" * 100_000])
def test_what_is_no_ledger(content):
    with pytest.raises(LedgerError, match=r"not valid JSON|no list of checks"):
        read_ledger(content, "paper")


def test_counts_of_what_is_stored(make, tmp_path):
    assert stored_counts(tmp_path, "paper") is None
    (tmp_path / "ledger.json").write_text("{")
    assert stored_counts(tmp_path, "paper") == {}
    assert describe_counts({}) == "damaged ledger"
    (tmp_path / "ledger.json").write_text(json.dumps(make.ledger("paper")))
    assert stored_counts(tmp_path, "paper") == {"supported": 1}
    assert describe_counts(None) == "-"
