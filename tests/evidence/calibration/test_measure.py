"""The yardstick itself: verdicts from counts, streams that do not depend on the workers, bad rules caught."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from touchstone.evidence.calibration.measure import calibrate, outcomes, verdict_of, worst
from touchstone.evidence.calibration.scenario import Promise, Scenario, each
from touchstone.evidence.calibration.scenarios import SCENARIOS
from touchstone.evidence.rules.all_correct import AllCorrect
from touchstone.evidence.rules.base import Judgement, Rule
from touchstone.evidence.rules.epsilon import MuAtMost
from touchstone.evidence.rules.exponent import ExponentAtMost
from touchstone.evidence.rules.failure_rate import FailureRateAtMost
from touchstone.evidence.rules.gap import GapAtMost
from touchstone.evidence.rules.monotone import Monotone
from touchstone.evidence.rules.ratio import RatioAtMost
from touchstone.evidence.rules.slopes import SlopesDoNotRise, SlopeWithin


@dataclass(frozen=True)
class Threshold(Rule):
    """Rejects numbers above ``limit``, straddles at it."""

    limit: float = 0.0

    @property
    def says(self) -> str:
        return "small"

    def judge(self, measurement):
        outcome = (
            "rejects" if measurement > self.limit else "accepts" if measurement < self.limit else "straddles"
        )
        return Judgement(outcome, {}, self.limit, "a number")


def scenario_with(rates: dict[float, float], *promises: Promise, trials: int = 1000, rule=None) -> Scenario:
    """A scenario whose measurement is +1 with the probability given for each truth, else -1."""
    draw = each(
        lambda rng, truth: 1.0 if rng.random() < np.interp(truth, list(rates), list(rates.values())) else -1.0
    )
    return Scenario(
        rule or Threshold(why="test"),
        "s",
        "effect",
        0.0,
        1.0,
        promises,
        draw,
        trials=trials,
        curve=50,
        span=(0.0, 1.0),
    )


ALARM, POWER = Promise("false alarm", 0.0, "w"), Promise("power", 1.0, "w")


@pytest.mark.parametrize(
    ("misses", "trials", "verdict"),
    [
        (0, 458, "open"),
        (0, 459, "within"),  # 1 - 0.01^(1/459) < 1 %
        (30, 6000, "within"),
        (60, 6000, "open"),
        (500, 50_000, "at the limit"),
        (600, 50_000, "beyond"),
        (50, 400, "beyond"),
        (1, 2, "open"),
        (2, 2, "beyond"),
    ],
)
def test_verdicts(misses, trials, verdict):
    assert verdict_of(misses, trials) == verdict


def test_the_worst_verdict_counts():
    assert worst([]) == "within"
    assert worst(["within", "at the limit"]) == "at the limit"
    assert worst(["open", "beyond", "within"]) == "beyond"


def test_counts_are_what_was_drawn():
    scenario = scenario_with({0.0: 0.0, 1.0: 1.0}, ALARM, POWER, Promise("acceptance", 0.0, "w"), trials=603)
    (found,) = calibrate([scenario])
    assert [p.effect for p in found.points] == [0, 0.25, 0.5, 0.75, 1]
    assert [p.trials for p in found.points] == [603, 50, 50, 50, 603]
    assert [(f.promise.kind, f.events, f.trials) for f in found.findings] == [
        ("false alarm", 0, 603),
        ("power", 603, 603),
        ("acceptance", 603, 603),
    ]
    assert found.verdict == "within"
    assert found.findings[0].end == pytest.approx(1 - 0.01 ** (1 / 603))
    assert found.findings[1].end == pytest.approx(0.01 ** (1 / 603))
    assert 0 < found.points[2].rejects < 50


def test_straddling_is_neither_accepting_nor_rejecting():
    scenario = replace(scenario_with({0.0: 0.0, 1.0: 1.0}, ALARM, POWER), sample=each(lambda rng, truth: 0.0))
    (found,) = calibrate([scenario], profile="quick")
    assert all((p.accepts, p.rejects) == (0, 0) for p in found.points)


def test_same_numbers_for_any_number_of_workers():
    scenarios = [
        scenario_with({0.0: 0.005, 1.0: 0.995}, ALARM, POWER),
        next(s for s in SCENARIOS if s.rule.name == "AllOf"),
    ]
    alone = calibrate(scenarios, profile="quick", seed=3)
    shared = calibrate(scenarios, profile="quick", seed=3, jobs=2)
    assert [c.points for c in alone] == [c.points for c in shared]
    other = calibrate(scenarios, profile="quick", seed=4)
    assert [c.points for c in alone] != [c.points for c in other]


def test_streams_do_not_depend_on_the_other_scenarios():
    scenario = scenario_with({0.0: 0.3, 1.0: 0.7}, ALARM, POWER)
    other = scenario_with({0.0: 0.1, 1.0: 0.9}, ALARM, POWER)
    assert calibrate([other, scenario])[1].points == calibrate([scenario])[0].points
    assert outcomes(scenario, 0.0, 100, 0, batch=1) != outcomes(scenario, 0.0, 100, 0, batch=2)


@pytest.mark.parametrize("settings", [{"profile": "gpu"}, {"jobs": 0}, {"jobs": True}])
def test_bad_settings(settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))}=.*expected"):
        calibrate([], **settings)


# -- a calibration that cannot fail proves nothing -------------------------------------------------------


class Deaf(ExponentAtMost):
    def judge(self, measurement):
        judged = super().judge(measurement)
        return replace(judged, outcome="accepts" if judged.outcome == "rejects" else judged.outcome)


class Slander(RatioAtMost):
    def judge(self, measurement):
        return replace(super().judge(measurement), outcome="rejects")


class Swapped(SlopeWithin):
    """The usual slip: the far end of the interval is held against the limit."""

    def judge(self, measurement):
        judged = super().judge(measurement)
        low, high = judged.interval
        return replace(judged, outcome="rejects" if low < self.low or high > self.high else "accepts")


BROKEN = {
    "half the confidence": (ExponentAtMost(1, slack=0.1, conf=0.5, why="w"), "false alarm"),
    "the slack forgotten": (ExponentAtMost(1, why="w"), "false alarm"),
    "never rejects": (Deaf(1, slack=0.1, why="w"), "power"),
    "always rejects": (Slander(1, roundoff=1e-9, why="w"), "false alarm"),
    "round-off forgotten": (GapAtMost(1e-9, why="w"), "false alarm"),
    "tolerance a thousand times too wide": (GapAtMost(1e-2, why="w"), "power"),
    "jitter forgotten": (SlopesDoNotRise(0.005, why="w"), "false alarm"),
    "wrong end of the interval": (Swapped(0.5, 0.9, why="w"), "false alarm"),
    "noise forgotten": (Monotone("rises", 0.5, why="w"), "false alarm"),
    "wrong direction": (Monotone("falls", 4.0, why="w"), "power"),
    "another claim": (MuAtMost(0.5, why="w"), "false alarm"),
    "a probability for another": (FailureRateAtMost(0.02, why="w"), "false alarm"),
    "a looser claim": (FailureRateAtMost(0.45, detects=0.99, why="w"), "power"),
    "an impossible margin": (AllCorrect(why="w", margin_at_least=1.0), "false alarm"),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_a_broken_rule_is_beyond_its_limits_even_in_a_quick_run(mistake):
    rule, kind = BROKEN[mistake]
    names = {cls.__name__ for cls in type(rule).__mro__}
    scenario = next(s for s in SCENARIOS if s.rule.name in names)
    if mistake == "an impossible margin":
        sound = scenario.sample
        scenario = replace(
            scenario,
            sample=lambda rng, t, n: (
                (replace(d, margins=np.zeros(len(d.truth))), k) for d, k in sound(rng, t, n)
            ),
        )
    (found,) = calibrate([replace(scenario, rule=rule)], profile="quick")
    assert found.verdict == "beyond"
    assert kind in {f.promise.kind for f in found.findings if f.verdict == "beyond"}
