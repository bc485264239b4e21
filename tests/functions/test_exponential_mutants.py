"""What planted mistakes showed the other tests of the exponential's polynomials to miss."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest

from touchstone.functions.exponential import (
    _DEBYE,
    chebyshev_exp,
    chebyshev_exp_all_degrees,
    exp_coefficients,
    exp_degree,
    exp_tail_log,
)


def test_the_largest_arguments_are_the_stated_ones():
    assert exp_degree(1e7, 0.0) > 1e7
    assert exp_degree(1.0, -1e15) > 1e13
    with pytest.raises(ValueError, match="radius="):
        exp_degree(math.nextafter(1e7, math.inf), 0.0)
    with pytest.raises(ValueError, match="log_eps="):
        exp_degree(1.0, -math.nextafter(1e15, math.inf))
    with pytest.raises(ValueError, match="radius="):
        exp_tail_log(np.nextafter(1e7, np.inf), 3)


def test_debyes_polynomials_follow_their_recurrence():
    # u_{k+1}(t) = t^2 (1 - t^2) u_k'(t) / 2 + (1/8) int_0^t (1 - 5 s^2) u_k(s) ds, u_0 = 1 (DLMF 10.41.9);
    # an error in the last places is far below every degree, but it is an error in what the comment says
    u = {0: Fraction(1)}  # power of t -> coefficient
    for k, (numerators, denominator) in enumerate(_DEBYE, start=1):
        following: dict[int, Fraction] = {}
        for power, c in u.items():
            for to, value in (
                (power + 1, c * power / 2 + c / (8 * (power + 1))),
                (power + 3, -c * power / 2 - 5 * c / (8 * (power + 3))),
            ):
                following[to] = following.get(to, Fraction(0)) + value
        u = {power: c for power, c in following.items() if c}
        stated = {k + 2 * j: Fraction(n, denominator) for j, n in enumerate(reversed(numerators))}
        assert u == stated


def test_on_the_interval_of_radius_zero_every_truncation_is_one():
    zeros = np.zeros(3)
    for degree in range(5):
        np.testing.assert_array_equal(chebyshev_exp(zeros, 0.0, degree), 1.0)
    assert [P.tolist() for P in chebyshev_exp_all_degrees(zeros, 0.0, 4)] == 5 * [[1.0, 1.0, 1.0]]


def coefficients_by_whole_numbers(radius, degree, digits):
    """The monomial coefficients with the Chebyshev polynomials as lists of integers."""
    before, now = [1], [0, 1]
    polynomials = [before, now]
    for _ in range(degree - 1):
        following = [0, *(2 * c for c in now)]
        for t, c in enumerate(before):
            following[t] -= c
        before, now = now, following
        polynomials.append(now)
    with mpmath.workdps(digits):
        total = [mpmath.mpf(0)] * (degree + 1)
        for k, polynomial in enumerate(polynomials[: degree + 1]):
            weight = mpmath.besseli(k, radius) * (2 if k else 1)
            for t, c in enumerate(polynomial):
                total[t] += weight * c / mpmath.mpf(radius) ** t
        return total


@pytest.mark.parametrize(("radius", "degree"), [(20.0, 40), (0.5, 60), (40.0, 12)])
def test_coefficients_are_correctly_rounded_where_64_bits_would_not_do(radius, degree):
    expected = [float(c) for c in coefficients_by_whole_numbers(radius, degree, 300)]
    assert exp_coefficients(radius, degree).tolist() == expected


def test_one_coefficient_beyond_float64_is_enough():
    finite = [abs(c) < 1.7e308 for c in coefficients_by_whole_numbers(720.0, 60, 900)]
    assert any(finite)
    assert not all(finite)
    with pytest.raises(OverflowError, match="degree=60"):
        exp_coefficients(720.0, 60)
