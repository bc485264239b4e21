"""The report: same bytes for the same seed, a table that keeps to its schema, a picture that is whole."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest

from touchstone.evidence.calibration import report
from touchstone.evidence.calibration.measure import calibrate
from touchstone.evidence.calibration.scenarios import SCENARIOS
from touchstone.evidence.numbers import encoded
from touchstone.evidence.rules.exponent import ExponentAtMost

FOLDER = Path(__file__).parents[3] / "figures" / "_calibration"


def few(*names: str, trials: int = 600):
    """Some scenarios with few trials, as a full run would measure them."""
    return [
        replace(s, trials=trials, curve=20, promises=tuple(replace(p, trials=None) for p in s.promises))
        for s in SCENARIOS
        if s.rule.name in names
    ]


@pytest.fixture(scope="module")
def calibrations():
    return calibrate(few("ExponentAtMost", "Monotone", "FailureRateAtMost", "AllOf"))


@pytest.fixture(scope="module")
def written(calibrations):
    return report.files(calibrations, "full", 0)


def test_same_bytes_again(written):
    again = calibrate(few("ExponentAtMost", "Monotone", "FailureRateAtMost", "AllOf"), jobs=2)
    assert report.files(again, "full", 0) == written


def test_table(written):
    table = json.loads(written["calibration.json"])
    jsonschema.validate(table, report.schema())
    assert [row["rule"] for row in table["calibrations"]].count("FailureRateAtMost") == 3
    for row in table["calibrations"]:
        for promise in row["promises"]:
            assert promise["rate"] == pytest.approx(promise["events"] / promise["trials"], rel=1e-5)
            (point,) = (p for p in row["points"] if p["effect"] == promise["effect"])
            side = "rejects" if promise["kind"] in ("false alarm", "power") else "accepts"
            assert promise["events"] == point[side]


def test_page(calibrations, written):
    page = written["calibration.md"].decode()
    for name in ("ExponentAtMost", "Monotone", "FailureRateAtMost", "AllOf"):
        assert f"| {name} |" in page
    assert "(calibration.svg)" in page
    assert report.headline(calibrations) in page
    for line in report.remarks(calibrations):
        assert f"- {line}" in page
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in tables} == {11, 9}


def test_picture(calibrations, written):
    svg = written["calibration.svg"].decode()
    root = ElementTree.fromstring(svg)
    texts = {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"ExponentAtMost", "Monotone", "FailureRateAtMost", "AllOf", "1 %", "99 %"} <= texts
    assert root.find("{http://www.w3.org/2000/svg}desc").text == report.alt(calibrations)
    assert root.find("{http://www.w3.org/2000/svg}title").text == report.headline(calibrations)


def test_headline_names_who_misses():
    sound, broken = few("ExponentAtMost"), few("SlopesDoNotRise")
    spoilt = replace(sound[0], rule=ExponentAtMost(1, slack=0.1, conf=0.5, why="w"))
    assert "beyond a limit: none" in report.headline(calibrate(broken))
    found = calibrate([spoilt, *broken])
    assert report.headline(found).endswith("beyond a limit: ExponentAtMost")
    assert report.headline(found).startswith("1 of 2 rules")
    assert any(
        line.startswith("ExponentAtMost, ") and line.endswith(": beyond") for line in report.remarks(found)
    )
    assert "| **no** |" in report.page(found, "quick", 0)


def test_run_refuses_what_is_not_documented_or_not_covered():
    with pytest.raises(ValueError, match="Monotone: power is measured by no scenario"):
        report.run(few("ExponentAtMost"), profile="quick")


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.01, "1.00 %"),
        (0.00456, "0.456 %"),
        (0.99, "99.00 %"),
        (0.9912, "99.120 %"),
        (0.5, "50.0 %"),
        (0.25, "25.0 %"),
        (2e-5, "0.00200 %"),
    ],
)
def test_percentages(rate, text):
    assert report._percent(rate) == text


def test_quick_run_refutes_no_rule(tmp_path, capsys):
    """Each rule's promises on a few hundred trials; the certificates are those of the full run."""
    status = report.main("quick", tmp_path)
    printed = capsys.readouterr().out
    assert status == 0, printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["calibration.json", "calibration.md"]
    jsonschema.validate(json.loads((tmp_path / "calibration.json").read_text("utf-8")), report.schema())


def test_committed_report_is_of_these_scenarios():
    """After changing a setting, a promise or a scenario run ``touchstone calibrate`` again."""
    table = json.loads((FOLDER / "calibration.json").read_text("utf-8"))
    jsonschema.validate(table, report.schema())
    assert (table["profile"], table["seed"]) == ("full", 0)
    promised = {
        (
            s.rule.name,
            s.name,
            json.dumps(encoded(s.rule.parameters())),
            tuple((p.kind, p.words) for p in s.promises),
        )
        for s in SCENARIOS
    }
    reported = {
        (
            row["rule"],
            row["scenario"],
            json.dumps(row["settings"]),
            tuple((p["kind"], p["says"]) for p in row["promises"]),
        )
        for row in table["calibrations"]
    }
    assert reported == promised
    assert {name for name in ("calibration.md", "calibration.svg") if not (FOLDER / name).exists()} == set()


def test_committed_report_finds_every_rule_within_its_limits():
    table = json.loads((FOLDER / "calibration.json").read_text("utf-8"))
    missed = [
        f"{row['rule']}, {row['scenario']}"
        for row in table["calibrations"]
        if row["verdict"] in ("beyond", "open")
    ]
    assert missed == []
