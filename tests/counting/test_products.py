"""Prices of matrix products under square and rectangular exponents."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.counting.array import Product
from touchstone.counting.products import (
    LATEST,
    STRASSEN,
    TABLE,
    log2_price,
    log2_sum,
    price,
    rectangular_exponent,
    tiling,
)

TRACES = st.lists(
    st.builds(Product, *[st.integers(1, 2**40)] * 3, st.integers(1, 10**6)), min_size=1, max_size=4
)


@given(TRACES)
def test_omega_three_is_the_exact_number_of_multiply_adds(trace):
    exact = sum(m * k * n * c for m, k, n, c in trace)
    assert price(trace, 3) == exact
    assert isinstance(price(trace, 3), int)
    assert log2_price(trace, 3) == pytest.approx(math.log2(exact), rel=1e-12)
    # the same by the two other ways: square tiles of omega = 3, and the classical rectangular exponent;
    # logarithms of about 150 leave a relative error of 150 eps ln 2 times a few in the price
    assert price(trace, profile=tiling(3)) == pytest.approx(exact, rel=1e-11)
    assert price(trace, profile="classical") == pytest.approx(exact, rel=1e-11)


@given(TRACES, st.sampled_from([2.0, LATEST, STRASSEN, 3.0]))
def test_square_tiling_by_the_formula_and_by_its_profile(trace, omega):
    direct = math.fsum(c * (m * k * n / min(m, k, n) ** 3) * min(m, k, n) ** omega for m, k, n, c in trace)
    assert price(trace, omega) == pytest.approx(direct, rel=1e-11)
    assert price(trace, profile=tiling(omega)) == pytest.approx(direct, rel=1e-11)


@given(TRACES)
def test_cheaper_exponents_are_cheaper(trace):
    slack = 1 + 1e-11  # rounding of logarithms, as above
    assert price(trace, STRASSEN) <= price(trace, 3) * slack
    assert price(trace, LATEST) <= price(trace, STRASSEN) * slack
    assert price(trace, profile="table") <= price(trace, LATEST) * slack
    assert price(trace, 2.0) <= price(trace, profile="table") * slack


def test_rectangles_that_the_table_makes_free():
    n = 2.0**40
    thin = [Product(2**40, 2**10, 2**40, 1)]  # a = 1/4 < 0.321334: as fast as reading the output
    assert price(thin, profile="table") == pytest.approx(n * n, rel=1e-12)
    assert price(thin, 3) == 2**90
    assert price([Product(2**40, 1, 2**40, 1)], profile="table") == pytest.approx(n * n, rel=1e-12)
    assert price([Product(2**40, 1, 1, 3)], profile="table") == pytest.approx(3 * n, rel=1e-12)
    assert price([Product(1, 1, 1, 5)], profile="table") == pytest.approx(5)


def test_a_long_side_is_cut_or_read_from_the_table():
    long = [Product(2**10, 2**10, 2**20, 1)]  # a = 2 in units of the smallest side
    assert log2_price(long, profile="table") == pytest.approx(10 * 3.250035)
    assert 1 + LATEST > 3.250035  # the table beats cutting into squares


def test_order_of_sides_does_not_matter():
    prices = {
        round(log2_price([Product(*sides, 7)], profile="table"), 9)
        for sides in [(8, 64, 1024), (64, 8, 1024), (1024, 64, 8), (1024, 8, 64)]
    }
    assert len(prices) == 1


def test_table_is_convex_rising_and_within_the_trivial_bounds():
    slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in itertools.pairwise(TABLE)]
    assert slopes == sorted(slopes)
    assert slopes[0] == 0
    assert slopes[-1] < 1
    for a, omega in TABLE:
        assert max(2, 1 + a) <= omega <= tiling(LATEST)(a) + 1e-12
    assert dict(TABLE)[1.0] == LATEST == 2.371339


@pytest.mark.parametrize("profile", ["table", "classical", tiling(STRASSEN), tiling(LATEST)])
def test_exponents_at_the_ends(profile):
    assert rectangular_exponent(0, profile) == 2
    square = rectangular_exponent(1, profile)
    assert rectangular_exponent(7, profile) <= square + 6 + 1e-12
    assert rectangular_exponent(7, profile) >= 8


def test_table_entries_and_straight_lines_between_them():
    for a, omega in TABLE:
        assert rectangular_exponent(a) == pytest.approx(omega, abs=1e-12)
    assert rectangular_exponent(0.3) == 2
    assert rectangular_exponent(0.45) == pytest.approx((2.009280 + 2.042776) / 2)
    assert rectangular_exponent(3) == pytest.approx(4.250035)
    # mu with omega(1, mu, 1) = 1 + 2 mu is 0.5275 to four digits: a known value that pins the table's middle
    assert rectangular_exponent(0.5275) - 2.055 == pytest.approx(0, abs=5e-5)


def test_big_integers():
    n = 2**320
    trace = [Product(n, 4, n, 10**90), Product(n, n, n, 1)]
    assert price(trace, 3) == 4 * n * n * 10**90 + n**3
    assert log2_price([Product(n, n, n, 1)], LATEST) == pytest.approx(320 * LATEST)
    assert log2_price([Product(n, n, n, 1)], profile="table") == pytest.approx(320 * LATEST)
    assert log2_price([Product(2**5000, 2**1000, 2**5000, 1)], profile="table") == pytest.approx(10000)
    with pytest.raises(OverflowError, match="log2_price"):
        price([Product(2**500, 2**500, 2**500, 1)], LATEST)


def test_nothing_to_pay():
    assert price([], 3) == 0
    assert price([], LATEST) == 0
    assert log2_price([], LATEST) == -math.inf
    assert price([Product(0, 3, 4, 2)], LATEST) == 0
    assert log2_sum([3.0, 3.0]) == 4.0


@pytest.mark.parametrize(
    "call",
    [
        lambda: price([], 1.9),
        lambda: price([], 3.1),
        lambda: price([]),
        lambda: price([], 3, profile="table"),
        lambda: price([], profile="unknown"),
        lambda: tiling(4),
        lambda: rectangular_exponent(-0.1),
        lambda: rectangular_exponent(math.inf),
        lambda: rectangular_exponent(math.nan),
        lambda: rectangular_exponent(0.5, "unknown"),
    ],
)
def test_bad_input(call):
    with pytest.raises(ValueError, match="expected"):
        call()
