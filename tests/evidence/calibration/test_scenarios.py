"""Every rule has a scenario, and every scenario measures what its rule's docstring says."""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats

from touchstone.evidence import rules
from touchstone.evidence.calibration.scenario import Promise, Scenario, binomial, each, tallied, undocumented
from touchstone.evidence.calibration.scenarios import SCENARIOS, concrete_rules, uncovered
from touchstone.evidence.rules.base import Judgement, Rule

IDS = [f"{s.rule.name}-{s.name}" for s in SCENARIOS]


def subclasses(kind: type) -> set[type]:
    return {kind} | {each for child in kind.__subclasses__() for each in subclasses(child)}


def test_every_rule_is_found():
    for module in pkgutil.iter_modules(rules.__path__):
        importlib.import_module(f"{rules.__name__}.{module.name}")
    known = {
        kind.__name__
        for kind in subclasses(Rule) - {Rule}
        if kind.__module__.startswith(f"{rules.__name__}.")
    }
    assert set(concrete_rules()) == known
    assert "Rule" not in known
    assert {"ExponentAtMost", "EpsilonAtMost", "MuAtMost", "AllOf"} <= known


def test_every_rule_has_a_scenario():
    assert uncovered() == []


def test_a_rule_without_a_scenario_is_missed():
    rest = tuple(s for s in SCENARIOS if s.rule.name != "Monotone")
    assert uncovered(rest) == ["Monotone: false alarm", "Monotone: power"]


def test_names_tell_scenarios_apart():
    assert max(Counter(IDS).values()) == 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=IDS)
def test_the_docstring_says_what_is_calibrated(scenario):
    assert undocumented(scenario) == []
    for promise in scenario.promises:
        if promise.kind == "false alarm":
            assert promise.at == scenario.hardest
        if promise.kind == "power":
            assert promise.at == scenario.stated


@pytest.mark.parametrize("scenario", SCENARIOS, ids=IDS)
def test_axis(scenario):
    truths = scenario.truths()
    assert {round(p.at, 12) for p in scenario.promises} <= set(truths)
    effects = [scenario.effect(truth) for truth in truths]
    assert effects == sorted(effects)
    assert min(effects) <= 0
    assert max(effects) >= 1 or all(p.kind != "power" for p in scenario.promises)
    assert scenario.truth(0) == pytest.approx(scenario.hardest)
    assert scenario.truth(1) == pytest.approx(scenario.stated)


# -- what the docstring check catches --------------------------------------------------------------------


@dataclass(frozen=True)
class Documented(Rule):
    """An effect of 0.2 is rejected with probability above 99 %, so is one of ``size``; the square too.

    True claims are rejected in at most 1 % of 2 000 runs.
    """

    size: float = 0.7

    @property
    def says(self) -> str:
        return "nothing"

    @property
    def large(self) -> float:
        """The effect that is never missed."""
        return 3.0

    def judge(self, measurement):  # noqa: ARG002
        return Judgement("accepts", {}, None, "nothing")


def scenario_of(at: float, words: str, stated: float | None = None) -> Scenario:
    stated = at if stated is None else stated
    rule = Documented(why="test")
    return Scenario(rule, "s", "effect", 0.0, stated, (Promise("power", at, words),), each(lambda rng, t: t))


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (0.2, "An effect of 0.2 is rejected with probability above 99 %"),
        (0.7, "so is one of ``size``"),
        (1.0, "the square too"),
        (3.0, "The effect that is never missed."),
        (2000.0, "True claims are rejected in at most 1 % of 2 000 runs."),
    ],
)
def test_stated_effects(at, words):
    assert undocumented(scenario_of(at, words)) == []


@pytest.mark.parametrize(
    ("at", "words", "fault"),
    [
        (0.3, "An effect of 0.2 is rejected with probability above 99 %", "at 0.3, expected a number of"),
        (0.99, "An effect of 0.2 is rejected with probability above 99 %", "expected a number"),
        (0.2, "An effect of 0.2 is detected", "the docstring does not say"),
        (0.8, "so is one of ``size``", "at 0.8, expected a number"),
        (1.5, "the square too", "at 1.5, expected a number"),
        (2.0, "The effect that is never missed.", "at 2, expected a number"),
    ],
)
def test_other_effects_than_the_stated(at, words, fault):
    (found,) = undocumented(scenario_of(at, words))
    assert fault in found
    assert found.startswith("Documented, s: power: ")


def test_power_is_measured_at_the_stated_effect():
    (found,) = undocumented(scenario_of(0.2, "An effect of 0.2 is rejected", stated=0.4))
    assert "measured at 0.2, expected 0.4 as stated" in found


def test_a_changed_docstring_is_noticed():
    scenario = next(s for s in SCENARIOS if s.rule.name == "ExponentAtMost")
    moved = tuple(replace(p, at=0.1) if p.kind == "power" else p for p in scenario.promises)
    assert len(undocumented(replace(scenario, promises=moved, stated=0.1))) == 1


# -- samples ---------------------------------------------------------------------------------------------


def test_samples_give_as_many_as_were_asked_for():
    rng = np.random.default_rng(0)
    one = each(lambda rng, truth: truth + rng.random())
    assert [times for _, times in one(rng, 0.5, 7)] == [1] * 7
    many = tallied(lambda rng, truth, n: rng.integers(0, 3, (n, 1)), lambda row, truth: (int(row[0]), truth))
    drawn = list(many(rng, 0.5, 1000))
    assert sum(times for _, times in drawn) == 1000
    assert [measurement for measurement, _ in drawn] == [(0, 0.5), (1, 0.5), (2, 0.5)]


@pytest.mark.parametrize("truth", [-0.2, 0.0, 0.3, 1.0, 1.4])
def test_binomial_counts(truth):
    sample = binomial(9, lambda p: p, lambda events, p: events)
    tally = np.zeros(10)
    for events, times in sample(np.random.default_rng(1), truth, 20_000):
        tally[events] = times
    assert tally.sum() == 20_000
    law = 20_000 * stats.binom.pmf(np.arange(10), 9, min(max(truth, 0), 1))
    # each count is binomial itself: five deviations, one in a million
    assert np.all(np.abs(tally - law) <= 5 * np.sqrt(law) + 1e-9)
