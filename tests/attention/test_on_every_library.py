"""The polynomial method on every array library, against NumPy."""

import numpy as np
import pytest

from touchstone.arrays import stream, to_host
from touchstone.attention.polynomial import low_rank_attention, polynomial_attention, polynomial_factors
from touchstone.attention.polynomial_degree import output_errors
from touchstone.functions.exponential import chebyshev_exp, exp_coefficients
from touchstone.functions.monomials import monomial_plan, monomials
from touchstone.instances.bounded import bounded_entries

R = 1.44
COEFFICIENTS = exp_coefficients(R, 7)
ROUNDING = 1e-13  # sums of 330 terms of size e^R in float64


@pytest.fixture
def instance(xp):
    return bounded_entries(37, 4, 1.2, stream(1), like=xp), bounded_entries(37, 4, 1.2, stream(1))


def close(x, y):
    np.testing.assert_allclose(to_host(x), y, rtol=ROUNDING, atol=ROUNDING)


def test_factors_and_their_product(instance):
    (Q, K, V), (Q0, K0, V0) = instance
    factors = polynomial_factors(Q, K, COEFFICIENTS, scale=1 / 4)
    expected = polynomial_factors(Q0, K0, COEFFICIENTS, scale=1 / 4)
    for x, y in zip(factors, expected, strict=True):
        close(x, y)
    close(low_rank_attention(*factors, V), low_rank_attention(*expected, V0))


@pytest.mark.parametrize("block", [None, 5])
def test_fused_attention(instance, block):
    (Q, K, V), (Q0, K0, V0) = instance
    close(
        polynomial_attention(Q, K, V, COEFFICIENTS, scale=1 / 4, block=block),
        polynomial_attention(Q0, K0, V0, COEFFICIENTS, scale=1 / 4),
    )


def test_monomials_and_the_polynomial_itself(instance):
    (Q, _, _), (Q0, _, _) = instance
    plan = monomial_plan(4, 5)
    close(monomials(Q, plan), monomials(Q0, plan))
    close(chebyshev_exp(Q, R, 9), chebyshev_exp(Q0, R, 9))


def test_output_errors(instance):
    arrays, hosts = instance
    close(
        output_errors(*arrays, scale=1 / 4, radius=R, degree=6),
        output_errors(*hosts, scale=1 / 4, radius=R, degree=6),
    )
