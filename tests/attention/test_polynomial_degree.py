"""Measured output errors and the degree chosen from them, against dense attention degree by degree."""

import math

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.attention.polynomial import polynomial_attention
from touchstone.attention.polynomial_degree import output_degree, output_errors
from touchstone.functions.exponential import chebyshev_exp, exp_coefficients, exp_degree


def instance(n, m, d, seed, bound, dtype="float64"):
    rng = np.random.default_rng(seed)
    return [rng.uniform(-bound, bound, (rows, d)).astype(dtype) for rows in (n, m, m)]


def attention_from(A, V):
    return (A @ V.astype(float)) / np.sum(A, axis=1, keepdims=True)


def dense_errors(Q, K, V, scale, radius, degree):
    """The error of every degree, from the whole matrix and Clenshaw's recurrence."""
    logits = scale * (Q.astype(float) @ K.astype(float).T)
    exact = attention_from(np.exp(logits), V)
    errors = []
    for g in range(degree + 1):
        P = chebyshev_exp(logits, radius, g)
        positive = np.all(np.sum(P, axis=1) > 0)
        errors.append(np.max(np.abs(attention_from(P, V) - exact)) if positive else math.inf)
    return np.array(errors)


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 12),
    m=st.integers(1, 30),
    d=st.integers(1, 4),
    degree=st.integers(0, 9),
    block=st.integers(1, 40),
    bound=st.floats(0.1, 1.6),
    seed=st.integers(0, 999),
)
def test_errors_of_every_degree(n, m, d, degree, block, bound, seed):
    Q, K, V = instance(n, m, d, seed, bound)
    measured = output_errors(Q, K, V, scale=1 / d, radius=bound**2, degree=degree, block=block)
    expected = dense_errors(Q, K, V, 1 / d, bound**2, degree)
    assert measured.shape == (degree + 1,)
    finite = np.isfinite(expected) & (expected < 1)  # row sums near zero decide nothing
    assert np.all(np.abs(measured[finite] - expected[finite]) <= 1e-10)
    assert np.all(measured[~finite] > 0.5)


def test_errors_do_not_depend_on_namespace_workers_or_width():
    Q, K, V = instance(8, 700, 3, 0, 1.5, dtype="float32")
    expected = output_errors(Q, K, V, scale=1 / 3, radius=2.25, degree=6, block=100)
    assert np.array_equal(
        output_errors(Q, K, V, scale=1 / 3, radius=2.25, degree=6, block=100, workers=2), expected
    )
    strict = [array_api_strict.asarray(x) for x in (Q, K, V)]
    assert np.allclose(
        output_errors(*strict, scale=1 / 3, radius=2.25, degree=6, block=100), expected, rtol=0, atol=1e-13
    )
    wide = [x.astype(float) for x in (Q, K, V)]  # measured in float64 whatever comes in
    assert np.array_equal(output_errors(*wide, scale=1 / 3, radius=2.25, degree=6, block=100), expected)


def test_a_radius_that_is_attained_by_rounded_entries():
    for bound in (1.1, 1.7, 1.8250928):
        Q, K, V = instance(4, 6, 4, 0, bound, dtype="float32")
        Q[0], K[0], K[1] = bound, bound, -bound
        errors = output_errors(Q, K, V, scale=0.25, radius=bound**2, degree=16)
        assert errors[16] < 1e-6


def test_row_sums_that_are_not_positive_are_infinitely_wrong():
    # all logits are -6, where the truncation of degree 3 on [-6, 6] is negative
    Q, K = np.full((1, 1), 6.0), np.full((4, 1), -1.0)
    assert chebyshev_exp(np.asarray(-6.0), 6.0, 3) < 0
    assert output_errors(Q, K, np.ones((4, 1)), scale=1.0, radius=6.0, degree=3)[3] == math.inf


@pytest.mark.parametrize("safety", [1.0, 2.0, 10.0])
def test_degree_is_the_least_that_passes(safety):
    n, d, tol = 60, 3, 1e-3
    Q, K, V = instance(n, 200, d, 1, 1.4)
    rng = np.random.default_rng(0)
    degree = output_degree(
        Q, K, V, scale=1 / d, radius=1.96, tol=tol, rng=rng, rows=n, safety=safety
    )  # all rows are looked at
    errors = dense_errors(Q, K, V, 1 / d, 1.96, 12)
    assert errors[degree] * safety <= tol
    assert np.all(errors[:degree] * safety > tol)
    T = polynomial_attention(Q, K, V, exp_coefficients(1.96, degree), scale=1 / d)
    assert np.max(np.abs(T - attention_from(np.exp(Q @ K.T / d), V))) <= tol / safety + 1e-12


def test_degree_from_a_sample_holds_on_all_rows():
    n, d = 1500, 4
    bound = math.log(n) ** 0.25
    Q, K, V = instance(n, n, d, 2, bound, dtype="float32")
    degree = output_degree(
        Q, K, V, scale=1 / d, radius=bound**2, tol=1 / n, rng=np.random.default_rng(5), workers=2
    )
    assert degree < exp_degree(bound**2, -math.log(n))  # the point of looking at the output
    T = polynomial_attention(Q, K, V, exp_coefficients(bound**2, degree), scale=1 / d)
    exact = attention_from(np.exp(Q.astype(float) @ K.astype(float).T / d), V)
    assert np.max(np.abs(T - exact)) <= 1 / n


def test_the_queries_of_largest_norm_are_looked_at():
    rng = np.random.default_rng(3)
    Q, K, V = instance(400, 300, 2, 4, 0.05)
    Q[77] = 1.5  # the only row with logits worth a polynomial
    K, V = K * 30, rng.uniform(-1, 1, (300, 2))
    arguments = {"scale": 0.5, "radius": 2.25, "tol": 1e-6, "safety": 1.0}
    needed = output_degree(Q[77:78], K, V, rng=rng, **arguments)
    others = output_degree(np.delete(Q, 77, axis=0), K, V, rng=rng, rows=399, **arguments)
    assert output_degree(Q, K, V, rng=rng, rows=4, **arguments) == needed > others


def test_degree_when_nothing_passes_or_everything_does():
    Q, K, V = instance(20, 20, 2, 6, 1.0)
    rng = np.random.default_rng(0)
    # no measurement shows 1e-18: the certified degree remains, 2 eps |V| = tol
    for tol in 1e-18 * 0.5 ** np.arange(8):  # at some of these a factor of two moves it
        certified = exp_degree(1.0, math.log(tol / (2 * np.max(np.abs(V)))))
        assert output_degree(Q, K, V, scale=0.5, radius=1.0, tol=tol, rng=rng) == certified
    assert output_degree(Q, K, 0 * V, scale=0.5, radius=1.0, tol=tol, rng=rng) == 0
    assert output_degree(Q, K, V, scale=0.5, radius=1.0, tol=100.0, rng=rng) == 0


def test_bad_inputs_are_named():
    Q, K, V = instance(5, 6, 2, 0, 1.0)
    good = {"scale": 0.5, "radius": 1.0}
    with pytest.raises(ValueError, match=r"radius=0\.1: expected at least"):
        output_errors(Q, K, V, scale=0.5, radius=0.1, degree=2)
    for radius in (0.0, -1.0, math.nan, 301.0):
        with pytest.raises(ValueError, match="radius="):
            output_errors(Q, K, V, scale=0.5, radius=radius, degree=2)
    for degree in (-1, 1.5, True):
        with pytest.raises(ValueError, match="degree="):
            output_errors(Q, K, V, degree=degree, **good)
    for bad, match in [((Q[0], K, V), "Q of"), ((Q, K[:0], V[:0]), "K of"), ((Q, K, V[:5]), "V of")]:
        with pytest.raises(ValueError, match=match):
            output_errors(*bad, degree=2, **good)
    rng = np.random.default_rng(0)
    for name, value in [("tol", 0.0), ("tol", math.nan), ("safety", -1.0), ("rows", 0)]:
        with pytest.raises(ValueError, match=f"{name}="):
            output_degree(Q, K, V, rng=rng, **{**good, "tol": 0.1, name: value})
    with pytest.raises(ValueError, match="V holds"):
        output_degree(Q, K, V * np.nan, tol=0.1, rng=rng, **good)
