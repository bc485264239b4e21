"""Features whose inner products are a polynomial of inner products, against that polynomial."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import poisson

from touchstone import arrays
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.exponential import exp_coefficients
from touchstone.functions.monomials import feature_map, monomial_plan


def by_definition(X, coefficients, scale):
    """sqrt(c_t scale^t t!/a!) x^a, one entry at a time."""
    plan = monomial_plan(X.shape[1], len(coefficients) - 1)
    out = np.zeros((len(X), plan.rank))
    for i, x in enumerate(X):
        for j, a in enumerate(plan.exponents.tolist()):
            t = sum(a)
            weight = coefficients[t] * scale**t * math.factorial(t) / math.prod(map(math.factorial, a))
            out[i, j] = math.sqrt(weight) * math.prod(v**p for v, p in zip(x, a, strict=True))
    return out


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(0, 4),
    d=st.integers(1, 4),
    g=st.integers(0, 5),
    scale=st.sampled_from([1.0, 0.25, 2.0]),
    seed=st.integers(0, 99),
)
def test_against_the_definition_and_the_polynomial(n, d, g, scale, seed):
    rng = np.random.default_rng(seed)
    c = rng.uniform(0, 1, g + 1)
    Q, K = rng.uniform(-1.5, 1.5, (n, d)), rng.uniform(-1.5, 1.5, (3, d))
    left, right = feature_map(Q, c, scale=scale), feature_map(K, c, scale=scale)
    assert left.shape == (n, math.comb(d + g, g))
    np.testing.assert_allclose(left, by_definition(Q, c, scale), rtol=1e-12, atol=0)
    x = scale * (Q @ K.T)
    size = sum(c[t] * np.abs(scale * (np.abs(Q) @ np.abs(K).T)) ** t for t in range(g + 1))
    wanted = sum(c[t] * x**t for t in range(g + 1))
    assert np.all(np.abs(left @ right.T - wanted) <= 1e-13 * size)  # a few roundings a term


@pytest.mark.parametrize(("R", "s"), [(1, 2), (1, 3), (2, 4), (2, 6)])
def test_taylor_features_stand_for_the_exponential(R, s):
    # one-sided: the tail of the series, largest at the corner, where it is P[Poisson(R^2) > s]
    d, rng = 3, np.random.default_rng(0)
    c = exp_coefficients(R**2, s, "taylor")
    Q = np.concatenate([rng.uniform(0, R, (200, d)), np.full((1, d), R)])
    relative = 1 - (feature_map(Q, c, scale=1 / d) @ feature_map(Q, c, scale=1 / d).T) / np.exp(Q @ Q.T / d)
    assert np.min(relative) >= -1e-14
    assert np.max(relative) == relative[-1, -1] == pytest.approx(poisson.sf(s, R**2), rel=1e-9)


def test_every_library(xp):
    X = np.random.default_rng(0).uniform(0, 1, (5, 3))
    got = feature_map(xp.asarray(X), [1, 1, 0.5], scale=1 / 3)
    np.testing.assert_allclose(arrays.to_host(got), by_definition(X, [1, 1, 0.5], 1 / 3), rtol=1e-13)
    assert feature_map(xp.asarray(X, dtype=xp.float32), [1, 1, 0.5], scale=1 / 3).dtype == xp.float32


def test_between_zero_and_its_value_at_the_corner():
    X = np.random.default_rng(1).uniform(0, 2, (300, 3))
    features = feature_map(X, [1, 1, 1 / 2, 1 / 6], scale=1 / 3)
    top = feature_map(np.full((1, 3), 2.0), [1, 1, 1 / 2, 1 / 6], scale=1 / 3)
    assert np.all(features >= 0)
    assert np.all(features <= top)


def test_shapes_alone_are_counted_alike():
    tallies = []
    for X, c, plan in (
        (counted(np.ones((7, 3))), [1.0, 1.0, 0.5], None),
        (shape_only(7, 3), [1.0, 1.0, 0.5], None),
        (shape_only(7, 3), None, monomial_plan(3, 2, table=False)),
    ):
        with count() as costs:
            assert feature_map(X, c, scale=0.3, plan=plan).shape == (7, 10)
        tallies.append((costs.arithmetic, costs.transcendentals))
    assert tallies == [(7 * (2 * 10 - 1), 0)] * 3


def test_a_plan_changes_nothing():
    X = np.random.default_rng(2).normal(size=(4, 2))
    plan = monomial_plan(2, 2)
    assert np.array_equal(
        feature_map(X, [1, 2, 3], scale=0.5), feature_map(X, [1, 2, 3], scale=0.5, plan=plan)
    )


def test_negative_scale_where_only_even_powers_stand():
    X = np.array([[1.0, 2.0]])
    assert feature_map(X, [1, 0, 1], scale=-1) @ feature_map(X, [1, 0, 1], scale=-1).T == pytest.approx(26)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.ones(3)}, "X of shape"),
        ({"X": np.ones((2, 0))}, "X of shape \\(2, 0\\): expected \\(n, d\\) with d >= 1"),
        ({"coefficients": []}, "coefficients"),
        ({"coefficients": [[1.0]]}, "coefficients"),
        ({"coefficients": [1.0, math.nan]}, "finite"),
        ({"coefficients": None}, "shape-only"),
        ({"coefficients": None, "plan": monomial_plan(2, 1)}, "shape-only"),
        ({"coefficients": None, "X": shape_only(2, 2)}, "shape-only"),
        ({"coefficients": [1.0, -1.0]}, "c_t scale\\^t >= 0"),
        ({"scale": -1.0}, "c_t scale\\^t >= 0"),
        ({"plan": monomial_plan(2, 3)}, "degree 3"),
        ({"plan": monomial_plan(3, 1)}, "number of variables"),
    ],
)
def test_bad_arguments(arguments, message):
    good = {"X": np.ones((2, 2)), "coefficients": [1.0, 1.0], "scale": 1.0}
    with pytest.raises(ValueError, match=message):
        feature_map(**(good | arguments))
