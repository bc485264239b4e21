"""The leading order against exact degrees and ranks at sizes where it has to show."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.functions.exponential import exp_degree
from touchstone.functions.exponential_leading_order import (
    leading_order_degree,
    leading_order_exponent,
    leading_order_radius,
)


@pytest.mark.parametrize("ratio", [0.01, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("log_n", [1e3, 1e5])
def test_degree_approaches_its_limit(ratio, log_n):
    exact = exp_degree(ratio * log_n, -log_n) / log_n
    # half a logarithm from the Bessel function's prefactor, and the rounding to a whole degree
    assert abs(exact - leading_order_degree(ratio)) <= (math.log(log_n) + 2) / log_n


@given(st.floats(0.05, 50))
def test_radius_is_the_inverse(ratio):
    assert leading_order_radius(leading_order_degree(ratio)) == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize(("ratio", "c"), [(0.1, 0.25), (1.0, 1.0), (0.5, 0.05)])
def test_exponent_is_that_of_the_rank(ratio, c):
    log_n = 1e6
    d, g = round(c * log_n), round(leading_order_degree(ratio) * log_n)
    log_rank = math.lgamma(d + g + 1) - math.lgamma(d + 1) - math.lgamma(g + 1)
    assert leading_order_exponent(ratio, c) == pytest.approx(1 + log_rank / log_n, abs=2e-5)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_refusals(bad):
    with pytest.raises(ValueError, match="ratio="):
        leading_order_degree(bad)
    with pytest.raises(ValueError, match="gamma="):
        leading_order_radius(bad)
    with pytest.raises(ValueError, match="c="):
        leading_order_exponent(1.0, bad)
