"""The gradient of polynomial attention, against the complex step of the method as it is written down."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.attention.derivatives import attention_vjp
from touchstone.attention.polynomial import low_rank_attention, polynomial_factors
from touchstone.attention.polynomial_gradient import integrated_coefficients, polynomial_attention_vjp
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.differentiation import complex_step_gradient
from touchstone.functions.exponential import exp_coefficients, exp_degree
from touchstone.functions.monomials import monomial_plan

POSITIVE = [1.0, 1.0, 0.5, 0.1, 0.05]  # on [-1, 1]; nobody's exponential


def instance(n, m, d, c, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-1, 1, s) for s in [(n, d), (m, d), (m, c), (n, c)]]


def by_complex_steps(Q, K, V, G, coefficients, scale):
    def loss(Q, K, V):
        factors = polynomial_factors(Q, K, coefficients, scale=scale)
        return np.sum(G * low_rank_attention(*factors, V))

    return [
        complex_step_gradient(lambda x: loss(x, K, V), Q, check=False),
        complex_step_gradient(lambda x: loss(Q, x, V), K, check=False),
        complex_step_gradient(lambda x: loss(Q, K, x), V, check=False),
    ]


@settings(max_examples=40, deadline=None)
@given(
    *[st.integers(1, 6)] * 2,
    *[st.integers(1, 4)] * 2,
    st.integers(0, 4),
    st.integers(1, 7),
    st.integers(0, 10**6),
)
def test_is_the_complex_step(n, m, d, c, degree, block, seed):
    Q, K, V, G = instance(n, m, d, c, seed)
    coefficients = POSITIVE[: degree + 1]
    scale = 0.9 / d
    got = polynomial_attention_vjp(Q, K, V, G, coefficients, scale=scale, block=block)
    for x, y in zip(got, by_complex_steps(Q, K, V, G, coefficients, scale), strict=True):
        assert x.shape == y.shape
        np.testing.assert_allclose(x, y, atol=1e-13)


@pytest.mark.parametrize(("n", "m", "d", "degree"), [(7, 5, 3, 4), (5, 5, 1, 2), (4, 6, 2, 0), (3, 3, 4, 3)])
def test_on_every_library(xp, n, m, d, degree):
    arrays = instance(n, m, d, 2)
    coefficients = POSITIVE[: degree + 1]
    got = polynomial_attention_vjp(*(xp.asarray(x) for x in arrays), coefficients, scale=0.25, block=3)
    for x, y in zip(got, by_complex_steps(*arrays, coefficients, 0.25), strict=True):
        np.testing.assert_allclose(to_host(x), y, atol=1e-13)


def test_threads_and_blocks_change_nothing():
    arrays = instance(50, 40, 3, 2)
    one = polynomial_attention_vjp(*arrays, POSITIVE, scale=0.3, block=8)
    two = polynomial_attention_vjp(*arrays, POSITIVE, scale=0.3, block=8, workers=2)
    whole = polynomial_attention_vjp(*arrays, POSITIVE, scale=0.3)
    for a, b, c in zip(one, two, whole, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-13)


def test_certified_polynomial_gives_the_exact_gradient():
    Q, K, V, G = instance(60, 60, 3, 3)
    degree = exp_degree(1.0, -30.0)
    coefficients = integrated_coefficients(exp_coefficients(1.0, degree), 1.0)
    got = polynomial_attention_vjp(Q, K, V, G, coefficients, scale=1 / 3)
    for x, y in zip(got, attention_vjp(Q, K, V, G, scale=1 / 3), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-11)


def test_single_precision_and_mixed():
    arrays = [x.astype(np.float32) for x in instance(9, 8, 2, 2)]
    got = polynomial_attention_vjp(*arrays, POSITIVE, scale=0.5)
    assert {x.dtype for x in got} == {np.dtype(np.float32)}
    expected = by_complex_steps(*(x.astype(float) for x in arrays), POSITIVE, 0.5)
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)
    mixed = polynomial_attention_vjp(arrays[0].astype(float), *arrays[1:], POSITIVE, scale=0.5)
    for x, y in zip(mixed, expected, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5)


def test_counts():
    n, m, d, c, degree = 11, 9, 4, 2, 3

    def costs(make, coefficients):
        plan = monomial_plan(d, degree, table=make is not shape_only)
        with count() as costs:
            Q, K, V, G = make(n, d), make(m, d), make(m, c), make(n, c)
            polynomial_attention_vjp(Q, K, V, G, coefficients, scale=0.25, block=4, plan=plan)
        return costs.numbers()

    with_data = costs(lambda *s: counted(np.full(s, 0.5)), POSITIVE[: degree + 1])
    assert costs(shape_only, None) == with_data
    assert with_data["multiply_adds"] == 3 * (n + m) * 35 * (c + 1)


def test_memory_grows_by_upstream_and_values_only():
    def peak(n):
        Q = shape_only(n, 4)
        plan = monomial_plan(4, 5, table=False)
        with count() as costs:
            polynomial_attention_vjp(Q, Q, Q, Q, None, scale=0.25, block=16, plan=plan)
        return costs.numbers()["bytes_peak"]

    assert peak(2**100) - peak(2**99) <= 8 * 2**99 * (3 * 4 + 2 * 5)


@pytest.mark.parametrize("radius", [0.0, 0.5, 3.0])
def test_integrated_coefficients(radius):
    c = exp_coefficients(max(radius, 0.1), 6)
    integral = integrated_coefficients(c, radius)
    np.testing.assert_allclose(np.polynomial.polynomial.polyder(integral), c, rtol=1e-14)
    value = np.polynomial.polynomial.polyval(-radius, integral)
    np.testing.assert_allclose(value, np.exp(-radius), rtol=1e-13)
    x = np.linspace(-radius, radius, 201)
    eps = np.max(np.abs(np.polynomial.polynomial.polyval(x, c) / np.exp(x) - 1))
    errors = np.abs(np.polynomial.polynomial.polyval(x, integral) / np.exp(x) - 1)
    assert np.max(errors) <= eps + 1e-13


def test_bad_arguments():
    Q, K, V, G = instance(4, 5, 2, 3)
    with pytest.raises(ValueError, match="V of shape"):
        polynomial_attention_vjp(Q, K, V[:4], G, POSITIVE, scale=0.5)
    for wrong in (G[:, :2], G[:3], G[:, 0]):
        with pytest.raises(ValueError, match="G of shape"):
            polynomial_attention_vjp(Q, K, V, wrong, POSITIVE, scale=0.5)
    with pytest.raises(ValueError, match="scale="):
        polynomial_attention_vjp(Q, K, V, G, POSITIVE, scale=float("inf"))
    for coefficients in ([], [[1.0]], [np.nan]):
        with pytest.raises(ValueError, match="coefficients="):
            integrated_coefficients(coefficients, 1.0)
    for radius in (-1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="radius="):
            integrated_coefficients([1.0], radius)
