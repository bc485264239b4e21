"""The calibration as a page, a table for programs, and a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from touchstone.evidence.calibration.measure import (
    CONFIDENCE,
    LOCATED,
    Calibration,
    Finding,
    Verdict,
    calibrate,
    worst,
)
from touchstone.evidence.calibration.scenario import OFTEN, RARELY, Scenario, undocumented
from touchstone.evidence.calibration.scenarios import SCENARIOS, uncovered
from touchstone.evidence.ledger import dump, versions, write_atomically
from touchstone.evidence.numbers import shown

SCHEMA_VERSION = 1
TABLE, PAGE, PICTURE = "calibration.json", "calibration.md", "calibration.svg"
IN_WORDS: dict[Verdict, str] = {
    "within": "yes",
    "at the limit": "at the limit",
    "open": "open: too few trials",
    "beyond": "**no**",
}


def main(profile: str = "full", out: Path | str | None = None, jobs: int = 1, seed: int = 0) -> int:
    """Calibrate every rule; write the table, the page and (full profile) the picture to the folder ``out``.

    With ``out=None`` nothing is written. Prints one line for each promise that is not kept for certain.
    Returns an exit status: 1 when a rule is beyond a limit, or (full profile) when the trials left one open.
    """
    calibrations = run(profile=profile, jobs=jobs, seed=seed)
    if out is not None:
        for name, content in files(calibrations, profile, seed).items():
            write_atomically(Path(out) / name, content)
    for line in remarks(calibrations, bad_only=profile == "quick"):
        print(line)
    print(headline(calibrations))
    bad = {"beyond"} if profile == "quick" else {"beyond", "open"}
    return int(any(c.verdict in bad for c in calibrations))


def run(
    scenarios: Sequence[Scenario] = SCENARIOS, *, profile: str = "full", seed: int = 0, jobs: int = 1
) -> list[Calibration]:
    """Calibrate ``scenarios``. Raises ``ValueError`` for a rule without a scenario, or a scenario that
    measures what no docstring says."""
    faults = [fault for scenario in scenarios for fault in undocumented(scenario)]
    faults += [f"{missing} is measured by no scenario" for missing in uncovered(tuple(scenarios))]
    if faults:
        raise ValueError("; ".join(faults))
    return calibrate(scenarios, profile=profile, seed=seed, jobs=jobs)


def files(calibrations: Sequence[Calibration], profile: str, seed: int) -> dict[str, bytes]:
    """What a calibration writes, by name. The same calibration gives the same bytes."""
    written = {
        TABLE: dump(table(calibrations, profile, seed)),
        PAGE: page(calibrations, profile, seed).encode(),
    }
    if profile == "full":
        from touchstone.evidence.calibration.figure import draw  # Matplotlib only where it is needed

        written[PICTURE] = draw(by_rule(calibrations), headline(calibrations), alt(calibrations))
    return written


def schema() -> dict[str, Any]:
    """The JSON Schema that every table follows."""
    return json.loads(
        resources.files("touchstone.evidence.calibration")
        .joinpath("calibration.schema.json")
        .read_text("utf-8")
    )


# -- the table -------------------------------------------------------------------------------------------


def table(calibrations: Sequence[Calibration], profile: str, seed: int) -> dict[str, Any]:
    """Everything that was measured, for programs (see ``calibration.schema.json``)."""
    return {
        "schema_version": SCHEMA_VERSION,
        "profile": profile,
        "seed": seed,
        "versions": versions(),
        "limits": {"false_alarm": RARELY, "power": OFTEN, "confidence": CONFIDENCE, "located": LOCATED},
        "calibrations": [_row(calibration) for calibration in calibrations],
    }


def _row(calibration: Calibration) -> dict[str, Any]:
    scenario = calibration.scenario
    return {
        "rule": scenario.rule.name,
        "scenario": scenario.name,
        "settings": scenario.rule.parameters(),
        "measure": scenario.measure,
        "hardest": scenario.hardest,
        "stated": scenario.stated,
        "verdict": calibration.verdict,
        "promises": [
            {
                "kind": found.promise.kind,
                "says": found.promise.words,
                "at": found.promise.at,
                "effect": found.effect,
                "trials": found.trials,
                "events": found.events,
                "rate": found.rate,
                "upper_end" if not found.promise.often else "lower_end": found.end,
                "verdict": found.verdict,
            }
            for found in calibration.findings
        ],
        "points": [
            {
                "effect": p.effect,
                "at": p.truth,
                "trials": p.trials,
                "accepts": p.accepts,
                "rejects": p.rejects,
            }
            for p in calibration.points
        ],
    }


# -- the page --------------------------------------------------------------------------------------------


def by_rule(calibrations: Sequence[Calibration]) -> dict[str, list[Calibration]]:
    """The calibrations of each rule, rules in alphabetical order."""
    found: dict[str, list[Calibration]] = {}
    for calibration in sorted(calibrations, key=lambda c: c.scenario.rule.name):
        found.setdefault(calibration.scenario.rule.name, []).append(calibration)
    return found


def headline(calibrations: Sequence[Calibration]) -> str:
    """The finding in one sentence."""
    verdicts = {name: worst(c.verdict for c in each) for name, each in by_rule(calibrations).items()}
    named = {verdict: [name for name in verdicts if verdicts[name] == verdict] for verdict in IN_WORDS}
    limits = f"false alarms at most {_limit_shown(RARELY)}, power at least {_limit_shown(OFTEN)}"
    beyond = f"beyond a limit: {', '.join(named['beyond']) or 'none'}"
    if len(named["open"]) > len(verdicts) / 2:  # a quick run, which can only refute
        return f"{len(verdicts)} rules held against {limits}, in too few trials to certify; {beyond}"
    parts = [f"{len(named['within'])} of {len(verdicts)} rules are certified: {limits} at the stated effect"]
    for verdict, words in (("at the limit", "at the limit"), ("open", "too few trials to tell")):
        if named[verdict]:
            parts.append(f"{words}: {', '.join(named[verdict])}")
    return "; ".join([*parts, beyond])


def remarks(calibrations: Sequence[Calibration], bad_only: bool = False) -> list[str]:
    """One line for each promise that is not certified."""
    return [
        f"{c.scenario.rule.name}, {c.scenario.name}: {found.promise.kind} {_percent(found.rate)} in "
        f"{found.trials} trials, {'lower' if found.promise.often else 'upper'} end {_percent(found.end)}: "
        f"{found.verdict}"
        for c in calibrations
        for found in c.findings
        if found.verdict == "beyond" or (found.verdict != "within" and not bad_only)
    ]


def alt(calibrations: Sequence[Calibration]) -> str:
    """What the picture shows, for those who do not see it."""
    rules = by_rule(calibrations)
    reach = [found for c in calibrations for found in c.findings]
    alarms = [found.rate for found in reach if found.promise.kind == "false alarm"]
    powers = [found.rate for found in reach if found.promise.kind == "power"]
    return (
        f"{len(rules)} panels, one a rule, with the probability of rejection on a logit axis against the "
        "effect in units of the one that the rule's docstring states, each curve with its one-sided "
        f"{_limit_shown(CONFIDENCE)} Clopper-Pearson bounds. Dashed lines mark {_limit_shown(RARELY)}, "
        f"{_limit_shown(OFTEN)} and the stated effect. At effect 0 the rates lie "
        f"between {_percent(min(alarms))} and {_percent(max(alarms))}, at effect 1 between "
        f"{_percent(min(powers))} and {_percent(max(powers))}. {headline(calibrations)}."
    )


def page(calibrations: Sequence[Calibration], profile: str, seed: int) -> str:
    """The table for a reader, in Markdown."""
    trials = sum(point.trials for c in calibrations for point in c.points)
    lines = [
        "# How far the rules can be trusted",
        "",
        f"**{headline(calibrations)}.**",
        "",
        _how_to_read(),
        "",
        _what_an_error_means(),
        "",
    ]
    if profile == "full":
        lines += [f"![{alt(calibrations)}]({PICTURE})", ""]
    lines += ["## False alarms and power", ""]
    lines += _markdown(
        (
            "rule",
            "setting",
            "trials",
            "false alarms",
            "upper end",
            "stated effect",
            "trials",
            "power",
            "lower end",
            "within limits",
        ),
        [row for each in by_rule(calibrations).values() for c in each if (row := _alarms_and_power(c))],
    )
    lines += [
        "",
        "## The other side: accepting",
        "",
        "A rule that works with intervals can also say that a measurement does not decide. Where the "
        "docstring promises how often a false claim is accepted, or a true one, that was measured too.",
        "",
    ]
    lines += _markdown(
        ("rule", "setting", "where the truth lies", "trials", "accepted", "limit", "bound", "within limits"),
        [row for each in by_rule(calibrations).values() for c in each for row in _accepting(c)],
    )
    doubtful = remarks(calibrations)
    lines += ["", "## Not certified", ""]
    lines += [f"- {line}" for line in doubtful] or ["Nothing: every promise is certified."]
    lines += [
        "",
        f"Profile `{profile}`, seed {seed}, {trials} measurements judged in {len(calibrations)} settings; "
        + ", ".join(f"{name} {version}" for name, version in versions().items())
        + ". Written by `touchstone calibrate`.",
        "",
    ]
    return "\n".join(lines)


def _how_to_read() -> str:
    return (
        "Every rule was let loose on synthetic data whose truth is known, as often as the table says. A "
        "**false alarm** is a rejection although the claim is true: were it common, this collection would "
        "slander sound papers. It is measured where the claim is true and hardest to tell from false (an "
        "exponent at the limit itself, a mechanism that uses up its whole budget), so anywhere else it is "
        "rarer. **Power** is the probability of rejecting a claim that is false by the *stated effect*, the "
        "one that the rule's docstring promises to detect; were it small, a `supported` would mean nothing. "
        "The figure shows what lies between: all effects from none to beyond the stated one. The limits are "
        f"false alarms of at most {_limit_shown(RARELY)} and a power of at least {_limit_shown(OFTEN)}."
    )


def _what_an_error_means() -> str:
    return (
        "No rate is taken at face value. *Upper end* and *lower end* are one-sided "
        f"{_limit_shown(CONFIDENCE)} Clopper–Pearson bounds, which hold for any probability and any number "
        "of trials. **yes** means that the bound itself keeps the limit. **no** means that the opposite "
        "bound breaks it. A rule that is built to err in exactly the permitted share of cases can never be "
        f"certified below it; where both bounds come within {shown(100 * LOCATED)} percentage points of the "
        "limit, one on each side, the table says **at the limit**. The rates hold for the data described in "
        "the table and for independent errors of the stated size: a notebook that feeds a rule other data "
        "(fewer sizes, noise twice as large, points that share a seed) has other rates. And they are rates "
        "of one check: of many checks of true claims, about as large a share may be rejected by chance as "
        "the column of false alarms says, which is why a rejection is first doubted and repeated with other "
        "seeds."
    )


def _alarms_and_power(calibration: Calibration) -> tuple[str, ...]:
    kinds = {found.promise.kind: found for found in calibration.findings}
    alarm, power = kinds.get("false alarm"), kinds.get("power")
    if alarm is None and power is None:
        return ()
    scenario = calibration.scenario
    return (
        scenario.rule.name,
        scenario.name,
        *(
            (str(alarm.trials), f"{alarm.events} ({_percent(alarm.rate)})", _percent(alarm.end))
            if alarm
            else ("", "", "")
        ),
        *(
            (
                f"{shown(scenario.stated)}: {scenario.measure}",
                str(power.trials),
                _percent(power.rate),
                _percent(power.end),
            )
            if power
            else ("", "", "", "")
        ),
        IN_WORDS[worst(found.verdict for found in (alarm, power) if found)],
    )


def _accepting(calibration: Calibration) -> list[tuple[str, ...]]:
    scenario = calibration.scenario
    return [
        (
            scenario.rule.name,
            scenario.name,
            f"{shown(found.promise.at)}: {scenario.measure}",
            str(found.trials),
            f"{found.events} ({_percent(found.rate)})",
            _limit(found),
            _percent(found.end),
            IN_WORDS[found.verdict],
        )
        for found in calibration.findings
        if found.promise.kind in ("acceptance", "false acceptance")
    ]


def _limit(found: Finding) -> str:
    return f"at least {_limit_shown(OFTEN)}" if found.promise.often else f"at most {_limit_shown(RARELY)}"


def _limit_shown(probability: float) -> str:
    return f"{shown(100 * probability)} %"


def _percent(rate: float) -> str:
    """Three digits of what is rare: of the rate, or of what it lacks to 1."""
    rare = min(rate, 1 - rate)
    if rare == 0:
        return "0 %" if rate == 0 else "100 %"
    digits = max(0, 2 - _exponent(100 * rare))
    return f"{100 * rate:.{digits}f} %"


def _exponent(x: float) -> int:
    return int(f"{x:.1e}".split("e")[1])


def _markdown(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
