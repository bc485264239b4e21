"""Closed privacy curves against quadrature, 50-digit arithmetic, enumeration and Google's dp-accounting."""

import itertools
import math
from functools import partial

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import laplace, norm

from touchstone.evidence.privacy_curves import (
    analytic_gaussian_sigma,
    basic_composition,
    classical_gaussian_sigma,
    epsilon_at_delta,
    gaussian_dp_composition,
    gaussian_dp_delta,
    gaussian_dp_epsilon,
    gaussian_dp_mu,
    laplace_delta,
    optimal_composition_delta,
    truncated_gaussian_delta,
    truncated_laplace_delta,
)

# Quadrature is asked for 1e-13 a section over at most 160 sections, of which the one where the positive part
# begins (a corner in a section of width h, slope s) is the worst; closed forms add 1e-13.
QUADRATURE = 1e-9

LEVELS = (0.0, 0.05, 0.3, 0.7, 1.0, 2.5)
NUMBERS = st.floats(0.01, 20)


def by_quadrature(density, shift, eps, reach):
    """∫ (f(z) − e^ε f(z − shift))₊ dz over [−reach, reach], cut finely and at corners of the densities."""

    def gap(z):
        return max(density(z) - math.exp(eps) * density(z - shift), 0.0)

    ends = sorted({-reach, min(shift - reach, reach), 0.0, min(shift, reach), reach})
    grid = np.unique(np.concatenate([np.linspace(a, b, 41) for a, b in itertools.pairwise(ends)]))
    return sum(quad(gap, a, b, epsabs=1e-13, limit=200)[0] for a, b in itertools.pairwise(grid))


def truncated(density, distribution, bound):
    mass = distribution(bound) - distribution(-bound)
    return lambda z: density(z) / mass if abs(z) <= bound else 0.0


# -- one mechanism -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mu", [1e-4, 0.01, 0.27, 1.0, 3.0, 10.0, 60.0])
def test_gaussian_curve_agrees_with_fifty_digits(mu):
    with mpmath.workdps(60):
        for eps in (0.0, 1e-3, 0.1, 1.0, 3.0, 10.0, 50.0, 700.0):
            m, e = mpmath.mpf(mu), mpmath.mpf(eps)
            exact = mpmath.ncdf(m / 2 - e / m) - mpmath.exp(e) * mpmath.ncdf(-m / 2 - e / m)
            if exact > 1e-290:
                # the argument ε/μ of the tail carries a rounding of u ε/μ, squared in the exponent
                tolerance = 1e-11 + 1e-15 * (eps / mu) ** 2
                assert gaussian_dp_delta(mu, eps) == pytest.approx(float(exact), rel=tolerance)


@pytest.mark.parametrize("eps", LEVELS)
def test_gaussian_and_laplace_curves_agree_with_quadrature(eps):
    for shift, scale in ((1.0, 1.0), (1.0, 4.0), (3.0, 0.8)):
        exact = by_quadrature(partial(norm_density, scale=scale), shift, eps, 12 * scale)
        assert gaussian_dp_delta(shift / scale, eps) == pytest.approx(exact, abs=QUADRATURE)
        exact = by_quadrature(partial(laplace_density, scale=scale), shift, eps, 40 * scale)
        assert laplace_delta(shift, scale, eps) == pytest.approx(exact, abs=QUADRATURE)


@pytest.mark.parametrize("eps", LEVELS)
@pytest.mark.parametrize(
    ("shift", "scale", "bound"),
    [(1.0, 1.0, 3.0), (1.0, 1.0, 0.8), (0.1, 2.0, 1.0), (2.5, 1.0, 2.0), (1.0, 0.3, 4.0), (0.01, 1.0, 8.0)],
)
def test_truncated_curves_agree_with_quadrature(shift, scale, bound, eps):
    normal = truncated(partial(norm_density, scale=scale), norm(scale=scale).cdf, bound)
    exact = by_quadrature(normal, shift, eps, bound)
    assert truncated_gaussian_delta(shift, scale, bound, eps) == pytest.approx(exact, abs=QUADRATURE)
    two_sided = truncated(partial(laplace_density, scale=scale), laplace(scale=scale).cdf, bound)
    exact = by_quadrature(two_sided, shift, eps, bound)
    assert truncated_laplace_delta(shift, scale, bound, eps) == pytest.approx(exact, abs=QUADRATURE)


def norm_density(z, scale):
    return math.exp(-0.5 * (z / scale) ** 2) / (scale * math.sqrt(2 * math.pi))


def laplace_density(z, scale):
    return math.exp(-abs(z) / scale) / (2 * scale)


def test_truncation_leaks_however_large_eps_is():
    leak = (math.exp(1) - 1) / (2 * (math.exp(5) - 1))
    assert truncated_laplace_delta(1.0, 1.0, 5.0, 50.0) == pytest.approx(leak, rel=1e-12)
    assert epsilon_at_delta(lambda eps: truncated_laplace_delta(1.0, 1.0, 5.0, eps), leak / 2) == math.inf
    mass = norm.cdf(3) - norm.cdf(-3)
    leak = (norm.cdf(-2) - norm.cdf(-3)) / mass
    assert truncated_gaussian_delta(1.0, 1.0, 3.0, 1e6) == pytest.approx(leak, rel=1e-12)
    with mpmath.workdps(60):  # far below what 1 − cdf could show
        deep = (mpmath.ncdf(-mpmath.mpf(39)) - mpmath.ncdf(-mpmath.mpf(40))) / mpmath.erf(40 / mpmath.sqrt(2))
    # log Φ is right to u · 800 there, and so is the leak relative to itself
    assert truncated_gaussian_delta(1.0, 1.0, 40.0, 50.0) == pytest.approx(float(deep), rel=1e-12)


def test_far_truncation_and_separate_supports_are_the_limits():
    eps = np.asarray(LEVELS)
    far = truncated_gaussian_delta(1.0, 1.0, 30.0, eps)
    np.testing.assert_allclose(far, gaussian_dp_delta(1.0, eps), rtol=1e-12)
    far = truncated_laplace_delta(1.0, 1.0, 600.0, eps)
    np.testing.assert_allclose(far, laplace_delta(1.0, 1.0, eps), rtol=1e-12, atol=1e-200)
    for curve in (truncated_gaussian_delta, truncated_laplace_delta):
        assert np.all(curve(2.0, 1.0, 1.0, eps) == 1.0)
        assert np.all(curve(0.0, 1.0, 1.0, eps) == 0.0)


@given(shift=NUMBERS, scale=NUMBERS, bound=NUMBERS, eps=st.floats(0, 800), more=st.floats(1.0, 3.0))
def test_curves_are_probabilities_that_fall_in_eps_and_rise_in_shift(shift, scale, bound, eps, more):
    curves = (
        lambda move, level: gaussian_dp_delta(move / scale, level),
        lambda move, level: laplace_delta(move, scale, level),
        lambda move, level: truncated_gaussian_delta(move, scale, bound, level),
        lambda move, level: truncated_laplace_delta(move, scale, bound, level),
    )
    for curve in curves:
        here = curve(shift, eps)
        slack = 1e-12 * here + 1e-15  # roundings of either value
        assert 0 <= here <= 1
        assert curve(shift, eps + 0.1) <= here + slack
        assert curve(shift * more, eps) >= here - slack
        assert curve(shift, np.asarray([[eps, 0.0]]))[0, 0] == here


@given(shift=st.floats(0.1, 3), eps=st.floats(0, 3))
def test_truncation_never_makes_the_leak_vanish(shift, eps):
    for curve in (truncated_gaussian_delta, truncated_laplace_delta):
        assert curve(shift, 1.0, 4.0, eps) >= curve(shift, 1.0, 4.0, 700.0) > 0


# -- inverses ----------------------------------------------------------------------------------------------


@given(mu=st.floats(0.01, 30), delta=st.floats(1e-12, 0.5))
def test_epsilon_and_mu_invert_the_gaussian_curve(mu, delta):
    eps = gaussian_dp_epsilon(mu, delta)
    if eps == 0:
        assert gaussian_dp_delta(mu, 0.0) <= delta
    else:
        # δ has a logarithmic slope of at most (ε/μ + μ)/μ, times the root's 1e-13 of ε
        slope = (eps / mu + mu) / mu
        assert gaussian_dp_delta(mu, eps) == pytest.approx(delta, rel=1e-12 * (1 + slope * eps) + 1e-11)
        assert gaussian_dp_mu(eps, delta) == pytest.approx(mu, rel=1e-8)


def test_special_values_of_the_inverses():
    assert gaussian_dp_epsilon(0.0, 0.0) == 0.0
    assert gaussian_dp_epsilon(1.0, 0.0) == math.inf
    assert gaussian_dp_epsilon(math.inf, 0.5) == math.inf
    assert gaussian_dp_epsilon(1.0, 1.0) == 0.0
    assert gaussian_dp_delta(math.inf, 5.0) == 1.0
    assert epsilon_at_delta(lambda eps: laplace_delta(1.0, 0.5, eps), 0.0) == pytest.approx(2.0, abs=1e-12)
    assert epsilon_at_delta(lambda eps: laplace_delta(300.0, 1.0, eps), 0.0) == pytest.approx(300, rel=1e-12)


def test_the_classical_noise_is_sufficient_and_the_exact_noise_is_least():
    for eps, delta in itertools.product((0.1, 0.5, 1.0), (1e-3, 1e-5, 1e-8)):
        exact, classical = analytic_gaussian_sigma(2.0, eps, delta), classical_gaussian_sigma(2.0, eps, delta)
        assert exact < classical
        assert gaussian_dp_delta(2.0 / classical, eps) < delta
        assert gaussian_dp_delta(2.0 / exact, eps) == pytest.approx(delta, rel=1e-9)
        assert gaussian_dp_delta(2.0 / (0.999 * exact), eps) > delta * 1.001
    assert classical_gaussian_sigma(1.0, 1.0, 1e-5, rounds=16) == pytest.approx(
        4 * classical_gaussian_sigma(1.0, 1.0, 1e-5)
    )


# -- composition -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("eps_each", "delta_each", "rounds"), [(0.5, 0.0, 5), (1.0, 0.01, 4), (0.1, 0.2, 3)])
def test_optimal_composition_agrees_with_enumeration(eps_each, delta_each, rounds):
    """The four-outcome mechanism that attains (ε, δ), all products of it, and the sum of positive parts."""
    p = 1 / (1 + math.exp(-eps_each))
    on_data = [delta_each, (1 - delta_each) * p, (1 - delta_each) * (1 - p), 0.0]
    outcomes = list(itertools.product(range(4), repeat=rounds))
    data = np.asarray([math.prod(on_data[i] for i in outcome) for outcome in outcomes])
    neighbour = np.asarray([math.prod(on_data[3 - i] for i in outcome) for outcome in outcomes])
    for eps in (0.0, 0.3, 1.0, 2.2, rounds * eps_each):
        exact = np.sum(np.maximum(data - math.exp(eps) * neighbour, 0))
        assert optimal_composition_delta(eps_each, rounds, eps, delta_each) == pytest.approx(exact, abs=1e-13)


def test_optimal_composition_is_no_worse_than_basic_and_better_over_many_rounds():
    basic, _ = basic_composition([(0.1, 0.0)] * 100)
    assert optimal_composition_delta(0.1, 100, basic) == 0.0
    assert epsilon_at_delta(lambda eps: optimal_composition_delta(0.1, 100, eps), 1e-6) < 0.6 * basic
    assert optimal_composition_delta(800.0, 2, 1000.0) == pytest.approx(1.0)
    assert optimal_composition_delta(0.1, 3, 0.2, delta_each=1.0) == 1.0


@given(st.lists(st.floats(0, 5), min_size=1, max_size=6))
def test_gaussian_composition_is_that_of_one_vector(mus):
    assert gaussian_dp_composition(mus) == pytest.approx(float(np.linalg.norm(mus)), rel=1e-12)


def test_basic_composition_adds():
    assert basic_composition([(0.5, 0.1), (1.0, 0.2)]) == (1.5, pytest.approx(0.3))
    assert basic_composition([(1.0, 0.7), (1.0, 0.7)])[1] == 1.0
    assert gaussian_dp_composition([]) == 0.0


# -- Google's accountant -----------------------------------------------------------------------------------


@pytest.fixture
def distributions():
    pytest.importorskip("dp_accounting")
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution


def test_gaussian_agrees_with_google():
    accounting = pytest.importorskip("dp_accounting")
    for eps, delta in itertools.product((0.1, 1.0, 4.0), (1e-3, 1e-5, 1e-9)):
        theirs = accounting.get_sigma_gaussian(eps, delta)
        # their search stops at a relative 1e-12 of δ or so; ours at 1e-14 of log μ
        assert analytic_gaussian_sigma(1.0, eps, delta) == pytest.approx(theirs, rel=1e-6)
        theirs = accounting.get_epsilon_gaussian(1.7, delta)
        assert gaussian_dp_epsilon(1 / 1.7, delta) == pytest.approx(theirs, rel=1e-6)


# Their distributions round each loss up to a grid of 1e-4 (k times over k rounds), so that their δ at ε lies
# between ours at ε and ours at ε − k·1e-4.
GRID = 1e-4


def sandwiched(ours, theirs, eps, rounds=1):
    return ours(eps) * (1 - 1e-7) - 1e-12 <= theirs <= ours(max(eps - rounds * GRID, 0)) * (1 + 1e-7) + 1e-12


@pytest.mark.parametrize("eps", [0.2, 0.5, 0.9, 1.5])
def test_curves_agree_with_google(distributions, eps):
    theirs = distributions.from_laplace_mechanism(0.8, value_discretization_interval=GRID)
    assert sandwiched(partial(laplace_delta, 1.0, 0.8), theirs.get_delta_for_epsilon(eps), eps)
    theirs = distributions.from_gaussian_mechanism(1.3, value_discretization_interval=GRID).self_compose(4)
    mu = gaussian_dp_composition([1 / 1.3] * 4)
    connected = gaussian_dp_delta(mu, eps)
    # theirs connects the dots of the true curve (tighter than rounding) and truncates a mass of 1e-15
    assert theirs.get_delta_for_epsilon(eps) == pytest.approx(connected, rel=1e-4)


@pytest.mark.parametrize("eps", [0.2, 0.9, 2.0])
def test_optimal_composition_agrees_with_google(distributions, eps):
    from dp_accounting.pld.common import DifferentialPrivacyParameters

    each = distributions.from_privacy_parameters(DifferentialPrivacyParameters(0.3, 1e-3), GRID)
    theirs = each.self_compose(6).get_delta_for_epsilon(eps)
    assert sandwiched(lambda e: optimal_composition_delta(0.3, 6, e, 1e-3), theirs, eps, rounds=6)


@pytest.mark.parametrize("eps", [0.1, 0.4, 0.8, 3.0])
@pytest.mark.parametrize("law", ["gaussian", "laplace"])
def test_truncated_curves_agree_with_google(distributions, law, eps):
    """The noise on a grid of 1/500, as a pair of probability mass functions."""
    shift, scale, bound, step = 1.0, 1.5, 3.0, 1 / 500
    family = norm(scale=scale) if law == "gaussian" else laplace(scale=scale)
    cells = np.arange(round(2 * bound / step))
    edges = -bound + step * np.arange(len(cells) + 1)
    log_mass = np.log(np.diff(family.cdf(edges)) / (family.cdf(bound) - family.cdf(-bound)))
    moved = round(shift / step)
    theirs = distributions.from_two_probability_mass_functions(
        dict(enumerate(log_mass)),
        dict(enumerate(log_mass, start=moved)),
        value_discretization_interval=GRID,
        symmetric=False,
    ).get_delta_for_epsilon(eps)
    curve = truncated_gaussian_delta if law == "gaussian" else truncated_laplace_delta
    ours = partial(curve, shift, scale, bound)
    # coarse outputs lose at most the loss's change over one cell, shift·step/σ² (or a corner's cell)
    coarse = shift * step / scale**2
    assert ours(eps + coarse) - 1e-9 <= theirs <= ours(max(eps - GRID, 0.0)) + 1e-9


# -- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: gaussian_dp_delta(-1.0, 1.0), "mu=-1.0"),
        (lambda: gaussian_dp_delta(math.nan, 1.0), "mu=nan"),
        (lambda: gaussian_dp_delta(1.0, -0.1), "eps=-0.1"),
        (lambda: gaussian_dp_delta(1.0, [0.1, math.nan]), "eps="),
        (lambda: gaussian_dp_delta(1.0, []), "eps="),
        (lambda: gaussian_dp_epsilon(1.0, 1.5), "delta=1.5"),
        (lambda: gaussian_dp_mu(1.0, 0.0), "delta=0.0"),
        (lambda: analytic_gaussian_sigma(-1.0, 1.0, 0.1), "sensitivity=-1.0"),
        (lambda: classical_gaussian_sigma(1.0, 1.5, 1e-5), "eps=1.5"),
        (lambda: classical_gaussian_sigma(1.0, 1.0, 1e-5, rounds=0), "rounds=0"),
        (lambda: laplace_delta(1.0, 0.0, 1.0), "scale=0.0"),
        (lambda: laplace_delta(math.inf, 1.0, 1.0), "shift=inf"),
        (lambda: truncated_laplace_delta(1.0, 1.0, 0.0, 1.0), "bound=0.0"),
        (lambda: truncated_gaussian_delta(1.0, True, 1.0, 1.0), "sigma=True"),
        (lambda: basic_composition([]), "budgets"),
        (lambda: basic_composition([(1.0, 2.0)]), "delta=2.0"),
        (lambda: optimal_composition_delta(0.1, 2.5, 1.0), "rounds=2.5"),
        (lambda: epsilon_at_delta(lambda eps: 0.0, -0.1), "delta=-0.1"),
    ],
)
def test_bad_input_is_named(call, name):
    with pytest.raises(ValueError, match=name):
        call()
