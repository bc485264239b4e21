"""The privacy rules judge audits and nothing else; test_audit_calibration measures how often they err."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from touchstone.evidence.audit import audit, audit_gaussian
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import encoded
from touchstone.evidence.rules.epsilon import EpsilonAtMost, MuAtMost
from touchstone.evidence.study import Study

RULE = EpsilonAtMost(why="w", eps=1.0, delta=0.0)
GAUSSIAN = MuAtMost(why="w", mu=1.0)


def laplace(scale=1.0, runs=2000, delta=0.0, conf=0.99):
    def mechanism(value, size, rng):
        return value + scale * rng.laplace(size=size)

    return audit(mechanism, 0.0, 1.0, delta=delta, runs=runs, rng=np.random.default_rng(0), conf=conf)


def normal(sigma=1.0, runs=1000, conf=0.99):
    def mechanism(value, size, rng):
        return value + sigma * rng.normal(size=size)

    return audit_gaussian(mechanism, 0.0, 1.0, runs=runs, rng=np.random.default_rng(0), conf=conf)


def test_the_limit_decides():
    found = laplace()
    for eps, outcome in (
        (found.eps_lower, "accepts"),
        (math.nextafter(found.eps_lower, 0), "rejects"),
        (found.eps_lower + 1, "accepts"),
    ):
        assert EpsilonAtMost(why="w", eps=eps, delta=0.0).judge(found).outcome == outcome
    found = normal()
    for mu, outcome in ((found.mu_lower, "accepts"), (math.nextafter(found.mu_lower, 0), "rejects")):
        assert MuAtMost(why="w", mu=mu).judge(found).outcome == outcome


def test_what_a_judgement_says():
    judged = RULE.judge(laplace(0.5))
    found = laplace(0.5)
    assert judged.outcome == "rejects"
    assert judged.limit == 1.0
    assert judged.numbers["eps_lower"] == found.eps_lower > 1
    assert judged.numbers["hits"] == list(found.certificate.hits)
    assert judged.numbers["event"] == str(found.event)
    assert judged.sentence.startswith("the audit proves ε ≥ 1.")
    assert encoded(judged.numbers)
    assert RULE.says == "no audit proves ε > 1 at δ = 0 with 99 % confidence"
    assert RULE.parameters() == {"eps": 1.0, "delta": 0.0, "conf": 0.99}
    assert "μ ≥" in GAUSSIAN.judge(normal()).sentence
    assert GAUSSIAN.says == "no audit proves μ > 1 with 99 % confidence"


def test_the_worst_of_several_pairs_decides():
    pairs = {"near": laplace(1.0, conf=0.995), "far": laplace(0.5, conf=0.995)}
    judged = RULE.judge(pairs)
    assert judged.outcome == "rejects"
    assert judged.numbers["worst_at"] == "far"
    assert judged.numbers["audits"] == 2
    assert RULE.judge([pairs["near"], pairs["near"]]).outcome == "accepts"
    assert GAUSSIAN.judge((normal(0.5, conf=0.995), normal(conf=0.995))).outcome == "rejects"


def test_equal_bounds_are_no_trivial_control():
    """Without noise every pair reaches the ceiling: a good control, not an empty one."""
    found = audit(
        lambda value, n, _: np.full(n, value),
        0.0,
        1.0,
        delta=0.0,
        runs=500,
        rng=np.random.default_rng(0),
        conf=0.995,
    )
    assert RULE.triviality([found, found]) is None
    assert RULE.judge([found, found]).outcome == "rejects"
    np.testing.assert_array_equal(RULE.values([found, found]), [found.eps_lower] * 2)


@pytest.mark.parametrize(
    ("rule", "measurement", "words"),
    [
        (RULE, 0.5, "expected Audit, got float"),
        (RULE, "audit", "expected Audit, got str"),
        (RULE, [], "at least one Audit"),
        (RULE, {"a": 1.0}, "audit a: expected Audit, got float"),
        (RULE, normal(), "expected Audit, got GaussianAudit"),
        (GAUSSIAN, laplace(), "expected GaussianAudit, got Audit"),
        (RULE, laplace(delta=1e-5), "made at delta=1e-05, expected 0.0"),
        (RULE, laplace(conf=0.95), "doubts add up to 0.05"),
        (RULE, [laplace(), laplace()], "conf=0.995"),
        (EpsilonAtMost(why="w", eps=6.0, delta=0.0), laplace(), "could prove eps up to 5.644"),
        (MuAtMost(why="w", mu=7.0), normal(), "could prove mu up to"),
    ],
)
def test_what_cannot_be_judged(rule, measurement, words):
    with pytest.raises(MeasurementError, match=words):
        rule.judge(measurement)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: EpsilonAtMost(why="w", eps=-1, delta=0.0), "eps=-1"),
        (lambda: EpsilonAtMost(why="w", eps=math.inf, delta=0.0), "eps=inf"),
        (lambda: EpsilonAtMost(why="w", eps=1, delta=1.0), "delta=1.0"),
        (lambda: EpsilonAtMost(why="w", eps=1, delta=-0.1), "delta=-0.1"),
        (lambda: EpsilonAtMost(why="w", eps=1, delta=0.0, conf=1.0), "conf=1.0"),
        (lambda: EpsilonAtMost(why="", eps=1, delta=0.0), "why"),
        (lambda: MuAtMost(why="w", mu=math.nan), "mu=nan"),
    ],
)
def test_bad_rules(make, words):
    with pytest.raises(ValueError, match=words):
        make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        RULE.eps = 2.0


def test_in_a_study(tmp_path, monkeypatch):
    monkeypatch.setenv("TOUCHSTONE_OUTPUT", str(tmp_path))
    study = Study("laplace-mechanism", profile="quick", seed=0, device="cpu")
    settings = {"kind": "privacy", "source": "definition", "read_in": "theorem", "rule": RULE}
    verdict = study.check(
        "private",
        says="Laplace noise of scale 1 is 1-private",
        claim=lambda: laplace(1.0),
        control=("half the noise", lambda: laplace(0.5)),
        **settings,
    )
    assert verdict.verdict == "supported"
    verdict = study.check(
        "not-private",
        says="half of it is 1-private",
        claim=lambda: laplace(0.5),
        control=("a quarter of the noise", lambda: laplace(0.25)),
        **settings,
    )
    assert verdict.verdict == "refuted"
    study.finish()
