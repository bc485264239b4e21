"""Each rule that rests on statistics, from check to ledger: supported, and refuted the other way round."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from touchstone.evidence import ledger
from touchstone.evidence.means import Estimate
from touchstone.evidence.rules import (
    Counts,
    CountsMatch,
    Draws,
    FailureRateAtLeast,
    FailureRateAtMost,
    Frequency,
    IntervalAbove,
    IntervalWithin,
    LinearIn,
    MeanWithin,
    Monotone,
    NoGrowth,
    OrderAtLeast,
    Paired,
    Points,
    RateMatches,
    RatioWithin,
    SameDistribution,
    Trials,
)
from touchstone.evidence.series import Series
from touchstone.evidence.study import OUTPUT_VARIABLE, Study

N = 2.0 ** np.arange(4, 12)
X = np.linspace(1, 10, 16)
P = [0.5, 0.3, 0.2]
Z = stats.norm.ppf((np.arange(2000) + 0.5) / 2000)  # as even as normal draws can be

PAIRS = {
    "failures": (FailureRateAtMost(0.1, why="w"), Trials(3, 100), Trials(100, 100)),
    "certified": (FailureRateAtMost(0.1, certify=True, why="w"), {8: Trials(0, 60)}, {8: Trials(60, 60)}),
    "exceeded": (FailureRateAtLeast(0.1, why="w"), np.ones(99, dtype=bool), np.zeros(99, dtype=bool)),
    "frequency": (RateMatches(0.1, why="w"), Frequency(500, 1000, 0.5), Frequency(0, 1000, 0.5)),
    "growth": (NoGrowth(0.1, why="w"), Series(N, 1 + 1 / N), {"a": Series(N, N), "b": Series(N, 2 * N)}),
    "line": (LinearIn("x", why="w"), Points(X, X), Points(X, np.full(16, np.inf))),
    "order": (
        OrderAtLeast(1.8, why="w"),
        [[0.5 ** (2**k) for k in range(6)]] * 3,
        [0.5**k for k in range(20)],
    ),
    "mean": (MeanWithin(-0.2, 0.2, why="w"), Z, Z + 1),
    "interval": (
        IntervalWithin(high=1, why="w"),
        Estimate(0.5, (-np.inf, 0.9), 0.99),
        Estimate(2, (1.5, np.inf), 0.99),
    ),
    "comparison": (
        IntervalAbove(effect=2, why="w"),
        Paired(Z[::100] + 3, Z[99::100]),
        Paired(Z[::100], Z[99::100] * 1.1),
    ),
    "law": (SameDistribution(0.1, why="w"), Draws(Z, stats.norm.cdf), Draws(2 * Z, stats.norm.cdf)),
    "samples": (SameDistribution(0.2, why="w"), {"a": Draws(Z, Z + 1e-3)}, {"a": Draws(Z, Z + 1)}),
    "counts": (CountsMatch(0.1, why="w"), Counts([2500, 1500, 1000], P), Counts([1000, 1500, 2500], P)),
    "order-of-values": (Monotone("falls", why="w"), 1 / N, {"a": N, "b": 1 / N}),
    "at-least": (RatioWithin(low=0.5, why="w"), [0.6, 0.9], [0.1, 0.9]),
}


@pytest.mark.parametrize("name", PAIRS)
def test_from_check_to_ledger(name, monkeypatch, tmp_path):
    monkeypatch.setenv(OUTPUT_VARIABLE, str(tmp_path))
    rule, true, false = PAIRS[name]
    study = Study("statistics", profile="quick")
    about = {"kind": "bound", "says": "s", "source": "t", "read_in": "theorem", "rule": rule}
    held = study.check("held", **about, claim=lambda: true, control=("broken", lambda: false))
    assert held.verdict == "supported", held
    failed = study.check("failed", **about, claim=lambda: false, control=("broken too", lambda: false))
    assert failed.verdict == "refuted", failed
    study.finish()
    written = json.loads((tmp_path / ledger.LEDGER).read_text(encoding="utf-8"))
    assert [check["rule"]["name"] for check in written["checks"]] == [rule.name] * 2
    assert written["checks"][0]["control"][0]["rejected"]
