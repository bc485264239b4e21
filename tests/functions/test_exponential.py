"""Degrees, coefficients and values of the polynomials for the exponential, against multiple precision."""

import math
from statistics import median
from time import perf_counter

import array_api_strict
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.counting.array import count, counted
from touchstone.functions.exponential import (
    chebyshev_exp,
    chebyshev_exp_all_degrees,
    exp_coefficients,
    exp_degree,
    exp_radius,
    exp_tail_log,
)

DIGITS = 50


def exact_log_tail(radius, degree, kind):
    """The logarithm of the tail, term by term at 50 digits until a term is below 1e-30 of the sum."""
    with mpmath.workdps(DIGITS):
        radius, k, total = mpmath.mpf(radius), degree + 1, mpmath.mpf(0)
        while True:
            term = 2 * mpmath.besseli(k, radius) if kind == "chebyshev" else radius**k / mpmath.factorial(k)
            total += term
            if term < total * mpmath.mpf(10) ** -30 and k > radius:
                return mpmath.log(total)
            k += 1


def bessel_by_trapezoid(k, radius):
    """I_k(R) = (1/pi) int_0^pi e^{R cos x} cos(kx) dx; the trapezoid rule converges geometrically."""
    points = 200
    total = (mpmath.exp(radius) + (-1) ** k * mpmath.exp(-radius)) / 2
    for j in range(1, points):
        x = mpmath.pi * j / points
        total += mpmath.exp(radius * mpmath.cos(x)) * mpmath.cos(k * x)
    return total / points


def chebyshev_monomials(k):
    """Integer coefficients of T_k from the closed form, lowest power first."""
    c = [0] * (k + 1)
    if k == 0:
        return [1]
    for m in range(k // 2 + 1):
        ratio = math.factorial(k - m - 1) * k * 2 ** (k - 2 * m)
        c[k - 2 * m] = (-1) ** m * ratio // (2 * math.factorial(m) * math.factorial(k - 2 * m))
    return c


def reference_coefficients(radius, degree):
    """The monomial coefficients at 60 digits, by quadrature and closed form."""
    with mpmath.workdps(60):
        radius = mpmath.mpf(radius)
        total = [mpmath.mpf(0)] * (degree + 1)
        for k in range(degree + 1):
            weight = bessel_by_trapezoid(k, radius) * (2 if k else 1)
            for t, c in enumerate(chebyshev_monomials(k)):
                total[t] += weight * c / radius**t
        return total


# -- the degree ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["chebyshev", "taylor"])
@settings(deadline=None, max_examples=60)
@given(log10_radius=st.floats(-4, 2.3), log_eps=st.floats(-400, 5))
def test_degree_is_the_least_whose_exact_tail_is_small_enough(kind, log10_radius, log_eps):
    radius = 10.0**log10_radius
    target = mpmath.mpf(log_eps) - mpmath.mpf(radius)
    degree = exp_degree(radius, log_eps, kind)
    assert exact_log_tail(radius, degree, kind) <= target
    if degree > 0:
        assert exact_log_tail(radius, degree - 1, kind) > target


@pytest.mark.parametrize(
    ("radius", "log_eps"),
    [
        (8192.0, -8192.0),
        (1.6**2 * 7098, -7098.0),
        (1.0, -7098.0),
        (1e-3, -10_000.0),
        (10_000.0, -8.0),
        (10_000.0, 9_000.0),
    ],
)
def test_degree_far_beyond_float64(radius, log_eps):
    degree = exp_degree(radius, log_eps)
    target = mpmath.mpf(log_eps) - mpmath.mpf(radius)
    assert exact_log_tail(radius, degree, "chebyshev") <= target
    assert exact_log_tail(radius, degree - 1, "chebyshev") > target


@pytest.mark.parametrize(
    ("radius", "n", "degree"),
    [
        (math.sqrt(math.log(2**p)), 2**p, g)
        for p, g in [
            (8, 7),
            (10, 9),
            (12, 10),
        ]
    ],
)
def test_degrees_of_the_prototype(radius, n, degree):
    assert exp_degree(radius, -math.log(n)) == degree


@given(radius=st.floats(0, 50), log_eps=st.floats(-200, 0), step=st.floats(0.1, 20))
def test_degree_grows_with_accuracy_and_radius(radius, log_eps, step):
    degree = exp_degree(radius, log_eps)
    assert exp_degree(radius, log_eps - step) >= degree
    assert exp_degree(radius + step, log_eps) >= degree
    assert exp_degree(radius, log_eps, "taylor") >= degree  # Chebyshev needs no more than Taylor


def test_degree_at_the_edges():
    assert exp_degree(0, -1e4) == 0
    assert exp_degree(0.0, -1e4, "taylor") == 0
    assert exp_degree(0.5, 3) == 0  # any constant will do
    assert exp_degree(5e-324, -10) == 0
    assert exp_degree(1e-300, -600.0) == 0
    assert exp_degree(1e-300, -700.0) == 1  # 2 I_1 = 1e-300 = e^-690.8
    # a tolerance above e^{2R} asks for nothing, one below it for the middle of a rising Taylor series
    assert exp_degree(50.0, 100.0, "taylor") == 0
    assert exact_log_tail(50.0, exp_degree(50.0, 99.0, "taylor"), "taylor") <= 49


@pytest.mark.parametrize("radius", [-1.0, math.nan, math.inf, 1e8])
def test_degree_rejects_a_bad_radius(radius):
    for call in (lambda: exp_degree(radius, -1.0), lambda: exp_tail_log(radius, 3)):
        with pytest.raises(ValueError, match="radius="):
            call()
    with pytest.raises(ValueError, match="radius="):
        exp_coefficients(radius, 3)


def test_bad_arguments_are_named():
    for log_eps in (math.nan, math.inf, -math.inf, -1e16):
        with pytest.raises(ValueError, match="log_eps="):
            exp_degree(1.0, log_eps)
    for degree in (-1, 2.0, True):
        with pytest.raises(ValueError, match="degree="):
            exp_coefficients(1.0, degree)
        with pytest.raises(ValueError, match="degree="):
            exp_tail_log(1.0, degree)
    for call in (exp_degree, exp_tail_log, exp_coefficients):
        with pytest.raises(ValueError, match="kind='legendre'"):
            call(1.0, 2, "legendre")
    with pytest.raises(ValueError, match="dtype int64"):
        chebyshev_exp(np.arange(3), 1.0, 2)
    with pytest.raises(ValueError, match="float32"):
        chebyshev_exp(np.zeros(3, dtype=np.float32), 100.0, 2)
    with pytest.raises(ValueError, match="radius="):
        chebyshev_exp_all_degrees(np.zeros(3), 1000.0, 2)  # at the call, not at the first value


def test_degree_takes_milliseconds():
    def once():
        start = perf_counter()
        exp_degree(1.3**2 * 7098, -7098.0)
        return perf_counter() - start

    assert median(once() for _ in range(15)) < 0.01  # 0.5 ms on an idle core


@settings(deadline=None, max_examples=40)
@given(log10_radius=st.floats(-6, 4), share=st.floats(0, 1), kind=st.sampled_from(["chebyshev", "taylor"]))
def test_tail_against_multiple_precision(log10_radius, share, kind):
    radius = 10.0**log10_radius
    degree = int(radius + share * 60)
    gap = exp_tail_log(radius, degree, kind) - exact_log_tail(radius, degree, kind)
    # the expansion is good to 1e-10; logarithms of size L lose L * 1e-16 * a few
    assert abs(gap) <= 2e-10 + 1e-14 * abs(exp_tail_log(radius, degree, kind))


@pytest.mark.parametrize(
    ("radius", "degree"),
    [
        (1e-6, 44),
        (1e-3, 60),
        (1e-3, 200),
        (10.0, 300),
        (50.0, 600),
        (900.0, 500),
        (1500.0, 40),
        (5000.0, 3000),
    ],
)
def test_tail_where_the_expansion_takes_over(radius, degree):
    exact = exact_log_tail(radius, degree, "chebyshev")
    # four terms of the expansion: below 3e-11 from the 40th order on
    assert abs(exp_tail_log(radius, degree) - exact) <= 3e-11 + 1e-14 * abs(exact)


def test_tail_is_the_error_at_the_end_of_the_interval():
    radius, degree = 3.0, 8
    error = math.exp(radius) - float(chebyshev_exp(np.asarray(radius), radius, degree))
    # e^3 * 2^-52 of rounding in an error of 1.5e-4
    assert error == pytest.approx(math.exp(exp_tail_log(radius, degree)), rel=1e-9)
    assert exp_tail_log(0, 3) == -math.inf


# -- the radius ------------------------------------------------------------------------------------------


@given(st.integers(0, 60), st.floats(-60, -0.5), st.sampled_from(["chebyshev", "taylor"]))
@settings(deadline=None, max_examples=40)
def test_radius_is_the_largest_with_that_degree(degree, log_eps, kind):
    radius = exp_radius(degree, log_eps, kind)
    assert exp_degree(radius, log_eps, kind) <= degree
    assert exp_degree(radius * (1 + 1e-11) + 5e-324, log_eps, kind) > degree


def test_radius_at_the_ends():
    assert exp_radius(10**9, -1.0) == 1e7  # more than any radius needs
    assert exp_radius(0, -1e15) == 0.0  # no positive radius does with a constant
    with pytest.raises(ValueError, match="degree="):
        exp_radius(-1, -1.0)
    with pytest.raises(ValueError, match="log_eps="):
        exp_radius(3, math.nan)
    with pytest.raises(ValueError, match="kind="):
        exp_radius(3, -1.0, "fourier")


# -- coefficients ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("radius", "degree"), [(0.25, 4), (1.0, 0), (2.3, 7), (3.33, 12), (6.0, 18), (6.0, 3)]
)
def test_coefficients_are_correctly_rounded(radius, degree):
    expected = [float(c) for c in reference_coefficients(radius, degree)]
    assert exp_coefficients(radius, degree).tolist() == expected


def test_coefficients_may_be_negative_below_the_radius():
    assert exp_coefficients(6.0, 3)[0] < 0


def test_taylor_coefficients_and_the_limit_of_radius_zero():
    expected = [1 / math.factorial(t) for t in range(9)]
    assert exp_coefficients(2.0, 8, "taylor").tolist() == expected
    assert exp_coefficients(0, 8).tolist() == expected
    # the first correction to a Chebyshev coefficient is of order R^2
    assert exp_coefficients(1e-6, 8) == pytest.approx(expected, rel=1e-10)


def test_coefficients_are_a_fresh_array_every_time():
    c = exp_coefficients(1.0, 3)
    c[:] = 0
    assert exp_coefficients(1.0, 3)[0] > 0.9


def test_coefficients_beyond_float64():
    with pytest.raises(OverflowError, match="radius=1000"):
        exp_coefficients(1000.0, 4)


# -- values ----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(radius=st.floats(0.01, 6), degree=st.integers(0, 18), dtype=st.sampled_from(["float64", "float32"]))
def test_values_agree_with_the_coefficients(radius, degree, dtype):
    x = np.linspace(-radius, radius, 23).astype(dtype)
    c = exp_coefficients(radius, degree)
    with mpmath.workdps(40):
        exact = np.array(
            [float(mpmath.polyval([mpmath.mpf(a) for a in c[::-1]], mpmath.mpf(float(v)))) for v in x]
        )
    # degree + 1 terms, each at most e^R, a few roundings a term; and the rounding of c times R^t
    tolerance = 8 * (degree + 1) * np.finfo(dtype).eps * math.exp(radius)
    values = chebyshev_exp(x, radius, degree)
    assert values.dtype == x.dtype
    assert np.max(np.abs(values - exact)) <= tolerance
    for g, P in enumerate(chebyshev_exp_all_degrees(x, radius, degree)):
        assert np.max(np.abs(P - chebyshev_exp(x, radius, g))) <= tolerance
    assert g == degree


@pytest.mark.parametrize("degree", [0, 1, 2, 5])
def test_values_on_other_namespaces(degree):
    x = np.linspace(-2, 2, 12).reshape(3, 4)
    expected = chebyshev_exp(x, 2.0, degree)
    strict = chebyshev_exp(array_api_strict.asarray(x), 2.0, degree)
    assert np.array_equal(np.asarray(strict), expected)
    with count() as costs:
        values = chebyshev_exp(counted(x), 2.0, degree)
    assert np.array_equal(values.__to_host__(), expected)
    assert 0 < costs.operations <= (3 * degree + 6) * x.size
    for P, S in zip(
        chebyshev_exp_all_degrees(x, 2.0, degree),
        chebyshev_exp_all_degrees(array_api_strict.asarray(x), 2.0, degree),
        strict=True,
    ):
        assert P.shape == x.shape
        assert np.array_equal(P, np.asarray(S))


def test_values_at_a_degree_where_monomials_fail():
    radius = 60.0
    degree = exp_degree(radius, math.log(1e-3) + radius)  # error 1e-3 against e^0: e^-60 of the largest value
    x = np.linspace(-radius, radius, 1001)
    # error at most the tail, plus rounding of e^R a few degree times
    allowed = math.exp(exp_tail_log(radius, degree)) + 4 * degree * 2**-53 * math.exp(radius)
    assert np.max(np.abs(chebyshev_exp(x, radius, degree) - np.exp(x))) <= allowed


def test_values_at_radius_zero_and_nan():
    assert chebyshev_exp(np.zeros(2), 0.0, 4).tolist() == [1.0, 1.0]
    assert np.isnan(chebyshev_exp(np.array([np.nan, 0.0]), 1.0, 4)).tolist() == [True, False]
    assert np.isnan(chebyshev_exp(np.array([np.nan]), 1.0, 0)).all()
