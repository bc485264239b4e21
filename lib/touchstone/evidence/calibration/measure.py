"""Measuring what the scenarios promise: outcomes counted, rates judged by exact one-sided bounds.

Each point has its own random streams, named by the rule, the scenario, the truth and the batch, so that
neither the number of workers nor another scenario changes what is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from touchstone.arrays import stream
from touchstone.evidence.calibration.scenario import RARELY, Promise, Scenario
from touchstone.evidence.proportions import clopper_pearson

CONFIDENCE = 0.99
BATCHES = 8
LOCATED = 0.002
"""A rate this close to its limit on both sides lies at the limit: no number of trials would tell."""
QUICK = (50, 60, 400)
"""Quick runs take this fraction of the trials, at least and at most so many."""

Verdict = Literal["within", "at the limit", "open", "beyond"]
ORDER: tuple[Verdict, ...] = ("within", "at the limit", "open", "beyond")


@dataclass(frozen=True)
class Point:
    """Outcomes at one truth."""

    truth: float
    effect: float
    trials: int
    accepts: int
    rejects: int

    def count(self, outcome: str) -> int:
        return self.rejects if outcome == "rejects" else self.accepts


@dataclass(frozen=True)
class Finding:
    """One promise held against its point.

    ``end`` is the one-sided 99 % Clopper–Pearson end that decides: the upper one of a rate that has to be
    rare, the lower one of a rate that has to be near 1. ``verdict``: ``"within"``, certified by that end;
    ``"beyond"``, the opposite end refutes it; ``"at the limit"``, both ends are within 0.2 percentage points
    of the limit, one on each side; ``"open"``, too few trials to tell.
    """

    promise: Promise
    effect: float
    events: int
    trials: int
    end: float
    verdict: Verdict

    @property
    def rate(self) -> float:
        return self.events / self.trials


@dataclass(frozen=True)
class Calibration:
    """What was measured of one scenario."""

    scenario: Scenario
    points: tuple[Point, ...]
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of its findings."""
        return worst(finding.verdict for finding in self.findings)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    return max(verdicts, key=ORDER.index, default="within")


def calibrate(
    scenarios: Sequence[Scenario], *, profile: str = "full", seed: int = 0, jobs: int = 1
) -> list[Calibration]:
    """Measure ``scenarios``. ``profile`` ``"full"`` certifies; ``"quick"`` takes seconds, draws no curve, and
    can only refute. ``jobs`` processes share the work and do not change the result.

    Raises ``ValueError`` for a bad argument, and ``MeasurementError`` for a scenario that its rule cannot
    judge.
    """
    if profile not in ("full", "quick"):
        raise ValueError(f"profile={profile!r}: expected 'full' or 'quick'")
    if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
        raise ValueError(f"jobs={jobs!r}: expected an integer >= 1")
    tasks = [
        (at, truth, batch, size)
        for at, scenario in enumerate(scenarios)
        for truth, trials in _plan(scenario, profile).items()
        for batch, size in enumerate(_sizes(trials))
    ]
    if jobs == 1:
        tallies = [outcomes(scenarios[at], truth, size, seed, batch) for at, truth, batch, size in tasks]
    else:
        from joblib import Parallel, delayed  # only where it is needed

        tallies = Parallel(n_jobs=jobs)(
            delayed(outcomes)(scenarios[at], truth, size, seed, batch) for at, truth, batch, size in tasks
        )
    seen: dict[tuple[int, float], Counter[str]] = {}
    for (at, truth, *_), tally in zip(tasks, tallies, strict=True):
        seen.setdefault((at, truth), Counter()).update(tally)
    return [
        _judged(scenario, {truth: tally for (which, truth), tally in seen.items() if which == at})
        for at, scenario in enumerate(scenarios)
    ]


def outcomes(scenario: Scenario, truth: float, trials: int, seed: int, batch: int = 0) -> Counter[str]:
    """How often the rule accepts, rejects and straddles in ``trials`` independent measurements."""
    rng = stream(seed, "calibration", scenario.rule.name, scenario.name, f"{truth:.12g}", batch)
    tally: Counter[str] = Counter()
    for measurement, times in scenario.sample(rng, truth, trials):
        tally[scenario.rule.judge(measurement).outcome] += times
    return tally


def verdict_of(misses: int, trials: int) -> Verdict:
    """Whether an event that has to be rare is."""
    low = clopper_pearson(misses, trials, CONFIDENCE, "lower")[0]
    high = clopper_pearson(misses, trials, CONFIDENCE, "upper")[1]
    if high <= RARELY:
        return "within"
    if low > RARELY:
        return "beyond"
    return "at the limit" if max(high - RARELY, RARELY - low) <= LOCATED else "open"


def _judged(scenario: Scenario, seen: dict[float, Counter[str]]) -> Calibration:
    points = {
        truth: Point(truth, scenario.effect(truth), tally.total(), tally["accepts"], tally["rejects"])
        for truth, tally in seen.items()
    }
    findings = []
    for promise in scenario.promises:
        point = points[round(promise.at, 12)]
        events = point.count(promise.outcome)
        misses = point.trials - events if promise.often else events
        if promise.often:
            end = clopper_pearson(events, point.trials, CONFIDENCE, "lower")[0]
        else:
            end = clopper_pearson(events, point.trials, CONFIDENCE, "upper")[1]
        findings.append(
            Finding(promise, point.effect, events, point.trials, end, verdict_of(misses, point.trials))
        )
    return Calibration(scenario, tuple(points.values()), tuple(findings))


def _plan(scenario: Scenario, profile: str) -> dict[float, int]:
    truths = scenario.truths()
    if profile == "full":
        return truths
    share, least, most = QUICK
    kept = {round(promise.at, 12) for promise in scenario.promises}
    return {truth: min(max(truths[truth] // share, least), most) for truth in truths if truth in kept}


def _sizes(trials: int) -> list[int]:
    """``trials`` in at most eight batches of nearly the same size."""
    batches = min(BATCHES, trials)
    return [trials // batches + (batch < trials % batches) for batch in range(batches)]
