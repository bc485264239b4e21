"""Bounds on sensitivities against queries found by search, exact sensitivities, and what they are made of."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.monomials import symmetric_power
from touchstone.instances.matrices import random_rows
from touchstone.linalg.leverage import leverage_scores
from touchstone.linalg.lewis import lewis_weights
from touchstone.linalg.sensitivities import lp_sensitivities
from touchstone.sketching.sensitivity_bounds import sensitivity_bounds, total_sensitivity_bound


def share(A, i, y, p):
    powers = np.abs(A @ y) ** p
    return powers[i] / np.sum(powers)


def best_share(A, i, p, rng, starts=3):
    """The largest share of row i that a search finds: a lower bound on its sensitivity."""
    found = [share(A, i, A[i], p)]
    for _ in range(starts):
        y = A[i] + 0.3 * rng.standard_normal(A.shape[1])
        result = minimize(lambda y: -share(A, i, y, p), y, method="Nelder-Mead")
        found.append(-result.fun)
    return max(found)


@pytest.mark.parametrize("p", [0.7, 1, 1.5, 2, 2.5, 3, 4, 5, 6])
@pytest.mark.parametrize("law", ["gaussian", "heavy_rows"])
def test_no_query_exceeds_them(law, p):
    A, rng = random_rows(14, 2, law, stream(4, law)), stream(5)
    bounds = sensitivity_bounds(A, p)
    assert np.sum(bounds) <= total_sensitivity_bound(2, p) * (1 + 1e-6)
    for i in range(14):
        assert best_share(A, i, p, rng) <= bounds[i] * (1 + 1e-9)


@pytest.mark.parametrize("iterations", [0, 1, 2])
@pytest.mark.parametrize("p", [0.7, 1, 1.5, 3, 5])
def test_bounds_hold_before_convergence(p, iterations):
    A, rng = random_rows(12, 2, "heavy_rows", stream(6)), stream(7)
    bounds = sensitivity_bounds(A, p, iterations=iterations)
    for i in range(12):
        assert best_share(A, i, p, rng, starts=2) <= bounds[i] * (1 + 1e-9)


def test_hoelder_before_convergence_written_out():
    A, p = stream(8).standard_normal((9, 3)), 1.0
    for p in (1.0, 3.0):
        w = lewis_weights(A, p, 2)
        tau = leverage_scores(A, w ** (1 - 2 / p))
        factor = np.max(tau / w) ** (1 - p / 2) if p < 2 else np.sum(w) ** (p / 2 - 1)
        expected = w ** (1 - p / 2) * tau ** (p / 2) * factor
        np.testing.assert_allclose(sensitivity_bounds(A, p, iterations=2), expected, rtol=1e-12)


def test_what_they_are_made_of():
    A = random_rows(30, 3, "heavy_rows", stream(9))
    np.testing.assert_array_equal(sensitivity_bounds(A, 2), leverage_scores(A))
    np.testing.assert_allclose(sensitivity_bounds(A, 4), leverage_scores(symmetric_power(A, 2)), rtol=1e-8)
    np.testing.assert_allclose(sensitivity_bounds(A, 6), leverage_scores(symmetric_power(A, 3)), rtol=1e-7)
    np.testing.assert_allclose(sensitivity_bounds(A, 1, iterations=60), lewis_weights(A, 1, 60), rtol=1e-9)
    np.testing.assert_allclose(
        sensitivity_bounds(A, 3, iterations=60), lewis_weights(A, 3, 60) * 3**0.5, rtol=1e-9
    )
    np.testing.assert_array_equal(sensitivity_bounds(A, 1), sensitivity_bounds(A, 1, iterations=30))


def test_exact_ones_lie_below_lewis_weights():
    A = random_rows(30, 3, "heavy_rows", stream(10))
    values, _ = lp_sensitivities(A)
    bounds = sensitivity_bounds(A, 1)
    assert np.all(values <= bounds * (1 + 1e-9))
    assert np.max(values / bounds) > 0.5  # and not by much


def test_leverage_is_attained():
    A = random_rows(20, 3, "gaussian", stream(11))
    tau = sensitivity_bounds(A, 2)
    inverse = np.linalg.inv(A.T @ A)
    np.testing.assert_allclose([share(A, i, inverse @ A[i], 2) for i in range(20)], tau, rtol=1e-12)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 8), d=st.integers(1, 4), p=st.sampled_from([1, 2, 3, 4]), seed=st.integers(0, 99))
def test_any_shape(n, d, p, seed):
    rng = stream(seed)
    A = np.vstack([rng.standard_normal((n, d)), np.zeros((1, d))])
    bounds = sensitivity_bounds(A, p)
    assert bounds.shape == (n + 1,)
    assert bounds[-1] == 0
    assert np.sum(bounds) <= total_sensitivity_bound(d, p) * (1 + 1e-4)
    for y in rng.standard_normal((20, d)):
        assert np.all(np.abs(A @ y) ** p <= bounds * np.sum(np.abs(A @ y) ** p) * (1 + 1e-9) + 1e-300)


@pytest.mark.parametrize("p", [2, 4, 6])
@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_powers_do_not_leave_the_range(p, scale):
    A = stream(12).standard_normal((12, 2))
    got = sensitivity_bounds(A * np.array([scale, 1.0]), p)
    np.testing.assert_allclose(got, sensitivity_bounds(A, p), rtol=1e-9)


@pytest.mark.parametrize("p", [4, 6])
def test_one_tiny_entry(p):
    A = stream(16).standard_normal((12, 2))
    A[3, 0] = 1e-160
    B = np.where(np.abs(A) < 1e-100, 0.0, A)
    np.testing.assert_allclose(sensitivity_bounds(A, p), sensitivity_bounds(B, p), rtol=1e-12)


def test_column_of_zeros():
    A = stream(13).standard_normal((12, 2))
    padded = np.hstack([A, np.zeros((12, 1))])
    np.testing.assert_allclose(sensitivity_bounds(padded, 4), sensitivity_bounds(A, 4), rtol=1e-10)


def test_totals():
    assert [total_sensitivity_bound(8, p) for p in (0.5, 1, 1.5, 2)] == [8] * 4
    assert [total_sensitivity_bound(8, p) for p in (4, 6)] == [36, 120]
    assert total_sensitivity_bound(1, 4) == 1
    assert total_sensitivity_bound(4, 3) == 8
    assert total_sensitivity_bound(4, 5) == 32
    for p in (4, 6, 8):
        assert total_sensitivity_bound(5, p) <= 5 ** (p / 2)
    for d in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="d="):
            total_sensitivity_bound(d, 2)
    with pytest.raises(ValueError, match="p="):
        total_sensitivity_bound(2, 0)


def test_on_every_library(xp):
    A = stream(14).standard_normal((10, 3))
    for p in (1, 2, 3, 4):
        got = sensitivity_bounds(xp.asarray(A), p)
        assert got.dtype == xp.float64
        np.testing.assert_allclose(to_host(got), sensitivity_bounds(A, p), rtol=1e-11)


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_counts(p):
    n, d = 30, 3
    with count() as executed:
        sensitivity_bounds(counted(stream(15).standard_normal((n, d))), p, iterations=4)
    with count() as shapes:
        sensitivity_bounds(shape_only(n, d), p, iterations=4)
    for name in ("multiply_adds", "arithmetic", "transcendentals", "comparisons"):
        assert getattr(shapes, name) == getattr(executed, name), name
    columns = math.comb(d + 1, 2) if p == 4 else d
    calls = 1 if p % 2 == 0 else 5
    with count() as once:
        leverage_scores(shape_only(n, columns), shape_only(n) if calls > 1 else None)
    assert executed.multiply_adds == calls * once.multiply_adds


def test_bad_inputs_are_named():
    for p in (0, -2, np.nan, "2"):
        with pytest.raises(ValueError, match="p="):
            sensitivity_bounds(np.ones((3, 2)), p)
    for p in (1, 2, 4):
        for shape in [(3,), (0, 2), (2, 0)]:
            with pytest.raises(ValueError, match="A of shape"):
                sensitivity_bounds(np.ones(shape), p)
        for dtype in (int, complex):
            with pytest.raises(TypeError, match="A of dtype"):
                sensitivity_bounds(np.ones((3, 2), dtype=dtype), p)
        with pytest.raises(ValueError, match="finite"):
            sensitivity_bounds(np.array([[1.0, np.nan], [1, 2], [3, 4]]), p)
