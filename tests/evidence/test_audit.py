"""Audits as a user meets them: black boxes and scores in, a bound out, and clear errors."""

import itertools
import math
import time

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtri
from scipy.stats import binom, norm

from touchstone.evidence.audit import (
    LEAST_RUNS,
    Audit,
    GaussianAudit,
    audit,
    audit_gaussian,
    audit_losses,
    audit_losses_gaussian,
    epsilon_lower_bound,
    hockey_stick,
    hockey_stick_interval,
    mu_lower_bound,
)
from touchstone.evidence.audit_events import CHOOSING
from touchstone.evidence.privacy_curves import gaussian_dp_delta, gaussian_dp_epsilon, laplace_delta
from touchstone.evidence.proportions import clopper_pearson


def laplace_noise(value, runs, rng):
    return value + rng.laplace(size=runs)


def gaussian_noise(value, runs, rng):
    return value + rng.normal(size=runs)


def rng(seed=0):
    return np.random.default_rng(seed)


# -- the bound ---------------------------------------------------------------------------------------------


def test_the_bound_is_what_the_certificate_says():
    found = audit(laplace_noise, 0.0, 1.0, delta=0.01, runs=4000, rng=rng())
    certificate = found.certificate
    assert certificate.runs == (3000, 3000)
    lower = clopper_pearson(certificate.hits[0], 3000, 0.995, "lower")[0]
    upper = clopper_pearson(certificate.hits[1], 3000, 0.995, "upper")[1]
    assert found.eps_lower == pytest.approx(math.log((lower - 0.01) / upper), rel=1e-6)
    lower, upper = 0.005 ** (1 / 3000), 1 - 0.005 ** (1 / 3000)  # all hits, and none
    assert found.eps_ceiling == pytest.approx(math.log((lower - 0.01) / upper), rel=1e-9)
    assert found.conf == 0.99
    assert found.event is certificate.event


def test_the_gaussian_bound_is_what_the_certificate_says():
    found = audit_gaussian(gaussian_noise, 0.0, 1.0, runs=4000, rng=rng())
    certificate = found.certificate
    lower = clopper_pearson(certificate.hits[0], 3000, 0.995, "lower")[0]
    upper = clopper_pearson(certificate.hits[1], 3000, 0.995, "upper")[1]
    assert found.mu_lower == pytest.approx(ndtri(lower) - ndtri(upper), rel=1e-6)
    assert 0.7 < found.mu_lower < 1 < found.mu_ceiling
    assert found.epsilon_if_gaussian(1e-5) == gaussian_dp_epsilon(found.mu_lower, 1e-5)
    nothing = audit_gaussian(gaussian_noise, 0.0, 0.0, runs=1000, rng=rng())
    assert nothing.mu_lower == nothing.epsilon_if_gaussian(1e-5) == 0.0


@pytest.mark.parametrize("shift", [1.0, -1.0])
def test_a_million_runs_come_close_to_the_truth_in_seconds(shift):
    start = time.perf_counter()
    found = audit(laplace_noise, 0.0, shift, delta=0.0, runs=10**6, rng=rng())
    close = audit_gaussian(gaussian_noise, 0.0, shift, runs=10**6, rng=rng())
    assert time.perf_counter() - start < 20  # seconds; about half of one on an idle machine
    assert 0.95 < found.eps_lower <= 1.0
    assert 0.93 < close.mu_lower <= 1.0


def test_the_choosing_runs_do_not_certify():
    """Every fourth run separates the sides perfectly, the others say nothing."""
    data, neighbour = rng(1).normal(size=4000), rng(2).normal(size=4000)
    data[CHOOSING - 1 :: CHOOSING] += 100
    assert epsilon_lower_bound(data, neighbour, 0.0) == 0.0
    assert mu_lower_bound(data, neighbour) == 0.0


def test_sorted_and_drifting_runs_are_not_accused():
    data, neighbour = rng(1).laplace(size=4000), rng(2).laplace(size=4000)
    drift = np.linspace(0, 5, 4000)
    assert epsilon_lower_bound(np.sort(data), np.sort(neighbour), 0.0) < 0.3
    assert epsilon_lower_bound(data + drift, neighbour + drift, 0.0) < 0.3


def test_infinite_losses_are_events():
    data, neighbour = rng(1).normal(size=4000), rng(2).normal(size=4000)
    data[rng(3).random(4000) < 0.1] = math.inf  # outputs that the neighbour cannot give
    found = audit_losses(data, neighbour, delta=0.0)
    assert found.event.threshold == math.inf
    assert found.certificate.hits[1] == 0
    assert found.eps_lower > 3  # ln of 0.09 against 5.3/3000
    assert epsilon_lower_bound(-data, -neighbour, 0.0) == pytest.approx(found.eps_lower, rel=1e-12)
    # at a δ above their probability they prove nothing
    assert epsilon_lower_bound(data, neighbour, 0.15) < 0.3


@pytest.mark.parametrize("delta", [0.0, 0.01])
def test_swapping_the_inputs_swaps_the_event(delta):
    data, neighbour = rng(1).laplace(size=2000), rng(2).laplace(size=2000) + 2
    one, other = audit_losses(data, neighbour, delta=delta), audit_losses(neighbour, data, delta=delta)
    assert one.eps_lower == other.eps_lower
    assert {one.event.likelier_on, other.event.likelier_on} == {"data", "neighbour"}


@given(st.integers(0, 10**6), st.floats(0.05, 20), st.floats(-100, 100))
def test_the_scale_of_a_score_does_not_matter(seed, factor, offset):
    data, neighbour = rng(seed).laplace(size=400), rng(seed + 1).laplace(size=400) + 1
    moved = epsilon_lower_bound(factor * data + offset, factor * neighbour + offset, 0.0)
    assert moved == pytest.approx(epsilon_lower_bound(data, neighbour, 0.0), rel=1e-12)


def test_sides_of_different_lengths_and_integers():
    found = audit_losses(rng(1).integers(0, 3, 500), rng(2).integers(1, 4, 900), delta=0.0)
    assert found.certificate.runs in ((375, 675), (675, 375))
    assert found.eps_lower > 1  # values that one side never takes, each a third of the runs
    booleans = audit_losses(rng(1).random(900) < 0.9, rng(2).random(900) < 0.1, delta=0.0)
    assert booleans.eps_lower > 1.5  # ln 9 = 2.2


# -- black boxes -------------------------------------------------------------------------------------------


def test_blocks_do_not_change_the_answer():
    whole = audit(laplace_noise, 0.0, 1.0, delta=0.0, runs=2000, rng=rng(5))
    for block in (1500, 400, 1499):
        assert audit(laplace_noise, 0.0, 1.0, delta=0.0, runs=2000, rng=rng(5), block=block) == whole


def test_blocks_limit_what_is_drawn_at_once():
    sizes = []

    def mechanism(value, runs, generator):
        sizes.append(runs)
        return laplace_noise(value, runs, generator)

    audit(mechanism, 0.0, 1.0, delta=0.0, runs=1000, rng=rng(), block=200)
    assert sizes == [250, 250, 200, 200, 200, 150, 200, 200, 200, 150]


def test_a_given_score_is_used_and_may_be_infinite():
    def outside(outputs):
        return np.where(np.abs(outputs[:, 0]) > 1, np.inf, outputs[:, 1])

    def mechanism(value, runs, generator):
        return value + generator.uniform(-1, 1, size=(runs, 2))

    found = audit(
        mechanism, np.zeros(2), np.asarray([0.5, 0.0]), delta=0.0, runs=4000, rng=rng(), score=outside
    )
    assert found.event.score == "given"
    assert found.event.threshold == math.inf
    assert found.eps_lower > 4  # ln of 0.25 against 5.3/3000


def test_outputs_of_any_shape_and_library():
    shift = np.zeros((3, 2))
    shift[1, 1] = 4.0

    def matrices(value, runs, generator):
        return value + generator.normal(size=(runs, 3, 2))

    assert audit(matrices, np.zeros((3, 2)), shift, delta=1e-5, runs=4000, rng=rng()).eps_lower > 3

    def strict(value, runs, generator):
        return array_api_strict.asarray(value + generator.normal(size=(runs, 2)))

    for score in (None, lambda y: y[:, 0]):
        found = audit(strict, 0.0, 4.0, delta=1e-5, runs=2000, rng=rng(), score=score)
        assert found.eps_lower > 3


def test_a_release_without_noise_reaches_the_ceiling():
    found = audit(lambda value, runs, _: np.full(runs, value), 0.0, 1.0, delta=0.0, runs=1000, rng=rng())
    assert found.eps_lower == found.eps_ceiling > 4
    sure = audit_gaussian(lambda value, runs, _: np.full(runs, value), 0.0, 1.0, runs=1000, rng=rng())
    assert sure.mu_lower == pytest.approx(sure.mu_ceiling, rel=1e-9)
    same = audit(lambda value, runs, _: np.full(runs, 7.0), 0.0, 1.0, delta=0.0, runs=1000, rng=rng())
    assert same.eps_lower == 0.0


def test_common_random_numbers_do_no_harm():
    """Both sides see the same noise: each probability is still bounded by its own runs."""

    class Same:
        """Gives the neighbour the draws that the data had."""

        def __init__(self):
            self.calls = itertools.count()

        def __call__(self, value, runs, _):
            return laplace_noise(value, runs, np.random.default_rng(next(self.calls) // 2))

    for _ in range(3):
        assert audit(Same(), 0.0, 1.0, delta=0.0, runs=4000, rng=rng()).eps_lower <= 1.0


# -- hockey sticks -----------------------------------------------------------------------------------------


def test_hockey_sticks_agree_with_the_curves():
    noise = rng(4).normal(size=200_000)
    losses = 0.5 - noise  # ln of N(0, 1) over N(1, 1) at the noise
    for eps in (0.0, 0.5, 1.0, 2.0):
        low, high = hockey_stick_interval(losses, eps, conf=0.999)
        assert low <= gaussian_dp_delta(1.0, eps) <= high
        assert low <= hockey_stick(losses, eps) <= high
        assert high - low < 0.02
    noise = rng(5).laplace(size=200_000)
    losses = np.abs(noise - 1) - np.abs(noise)
    for eps in (0.0, 0.5, 0.9):
        low, high = hockey_stick_interval(losses, eps, conf=0.999)
        assert low <= laplace_delta(1.0, 1.0, eps) <= high
    assert hockey_stick(losses, 1.0) == pytest.approx(0.0, abs=1e-15)


def test_hockey_stick_takes_infinities_and_arrays():
    losses = np.concatenate([np.full(30, np.inf), np.full(70, -np.inf)])
    assert hockey_stick(losses, 50.0) == 0.3
    many = hockey_stick(losses, np.asarray([[0.0, 1.0], [5.0, 600.0]]))
    assert many.shape == (2, 2)
    assert np.all(many == 0.3)
    losses = np.linspace(-1, 3, 101)
    by_hand = [max(0.0, 1 - math.exp(0.7 - loss)) for loss in losses]
    assert hockey_stick(losses, 0.7) == pytest.approx(sum(by_hand) / 101, rel=1e-12)


@pytest.mark.parametrize(("mean", "n"), [(0.0, 10**6), (0.3, 100), (1.0, 1000), (1e-3, 10**4)])
def test_hockey_stick_interval_solves_the_entropy_bound(mean, n):
    losses = np.where(np.arange(n) < mean * n, np.inf, -np.inf)
    low, high = hockey_stick_interval(losses, 1.0)

    def divergence(q):
        terms = ((mean, q), (1 - mean, 1 - q))
        return sum(p * math.log(p / r) for p, r in terms if p > 0)

    for end, closed in ((low, 0.0), (high, 1.0)):
        if end != closed:
            assert n * divergence(end) == pytest.approx(math.log(100), rel=1e-6)
    assert (low == 0.0) == (mean == 0.0)
    assert (high == 1.0) == (mean == 1.0)
    if mean == 0:
        assert high == pytest.approx(4.6e-6, rel=0.01)


def test_hockey_stick_interval_covers():
    """Exactly, by summing over the counts of a two-valued loss: no simulation."""
    n, true = 200, 0.05
    for hits, chance in enumerate(binom.pmf(range(n + 1), n, true)):
        if chance > 1e-12:
            losses = np.where(np.arange(n) < hits, np.inf, -np.inf)
            low, high = hockey_stick_interval(losses, 1.0)
            assert low <= true or binom.sf(hits - 1, n, true) <= 0.01
            assert high >= true or binom.cdf(hits, n, true) <= 0.01


# -- power where it can be computed ------------------------------------------------------------------------


def test_the_expected_bound_is_near_the_best_fixed_event():
    """Against the best threshold known in advance, choosing costs little: Gaussian noise, ε at δ = 0.01."""
    runs, delta = 30_000, 0.01
    thresholds = np.linspace(-3, 3, 601)
    hits_on = norm.cdf(thresholds), norm.cdf(thresholds - 1)
    spread = [2.576 * np.sqrt(p * (1 - p) / (0.75 * runs)) for p in hits_on]
    best = np.max(np.log((hits_on[0] - spread[0] - delta)[150:] / (hits_on[1] + spread[1])[150:]))
    found = [audit(gaussian_noise, 0.0, 1.0, delta=delta, runs=runs, rng=rng(s)).eps_lower for s in range(20)]
    assert best - 0.25 < np.median(found) < best + 0.15


# -- bad input ---------------------------------------------------------------------------------------------

GOOD = np.zeros(LEAST_RUNS)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: epsilon_lower_bound(GOOD[1:], GOOD, 0.0), r"losses of shape \(63,\)"),
        (lambda: epsilon_lower_bound(GOOD, GOOD[None], 0.0), r"losses_neighbour of shape \(1, 64\)"),
        (lambda: epsilon_lower_bound(GOOD * np.nan, GOOD, 0.0), "losses: 64 of 64 are not numbers"),
        (lambda: epsilon_lower_bound(GOOD + 0j, GOOD, 0.0), "losses of dtype complex128"),
        (lambda: epsilon_lower_bound(GOOD, GOOD, 1.0), "delta=1.0"),
        (lambda: epsilon_lower_bound(GOOD, GOOD, math.nan), "delta=nan"),
        (lambda: epsilon_lower_bound(GOOD, GOOD, 0.0, conf=0.3), "conf=0.3"),
        (lambda: audit_losses_gaussian(GOOD, GOOD, conf=1.0), "conf=1.0"),
        (lambda: hockey_stick(GOOD, math.inf), "eps=inf"),
        (lambda: hockey_stick(GOOD[:3], 1.0), "losses of shape"),
        (lambda: hockey_stick_interval(GOOD, [1.0, 2.0]), "eps="),
        (lambda: run(runs=10), "runs=10"),
        (lambda: run(runs=1e3), "runs=1000.0"),
        (lambda: run(block=0), "block=0"),
        (lambda: run(rng=7), "rng=7"),
        (lambda: run(score=3), "score=3"),
        (lambda: run(mechanism=3), "mechanism=3"),
        (lambda: run(mechanism=lambda v, n, g: np.float64(1.0)), "mechanism: outputs of shape"),
        (lambda: run(mechanism=lambda v, n, g: g.normal(size=n + 1)), "expected 64 along the first axis"),
        (lambda: run(mechanism=lambda v, n, g: g.normal(size=(n, 1 + int(v)))), r"\(1,\) on data and \(2,\)"),
        (lambda: run(mechanism=lambda v, n, g: np.full(n, np.nan)), "not finite"),
        (lambda: run(mechanism=lambda v, n, g: np.full(n, "a")), "dtype"),
        (lambda: run(mechanism=lambda v, n, g: np.zeros((n, 0))), "no entries"),
        (lambda: run(mechanism=lambda v, n, g: v + rng(1).normal(size=n)), "repeats the first"),
        (lambda: run(score=lambda y: y[:-1]), r"score: shape \(63,\)"),
        (lambda: run(score=lambda y: y * np.nan), "score: 64 of 64 are not numbers"),
    ],
)
def test_bad_input_is_named(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def run(mechanism=gaussian_noise, **changes):
    return audit(mechanism, 0.0, 1.0, **({"delta": 0.0, "runs": 256, "rng": rng()} | changes))


def test_results_are_plain_values():
    found = run()
    assert isinstance(found, Audit)
    assert type(found.eps_lower) is float
    assert found == run()
    assert isinstance(audit_losses_gaussian(GOOD, GOOD), GaussianAudit)
