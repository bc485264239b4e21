"""Gradient descent against the iteration written out, and against what is known of quadratic functions."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import as_array_like, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.optimization.gradient_descent import gradient_descent


def quadratic(d, seed=0):
    rng = np.random.default_rng(seed)
    B = rng.normal(size=(d + 2, d))
    return B.T @ B, rng.normal(size=d), rng.normal(size=d)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 8), st.integers(0, 10**6))
def test_error_of_a_quadratic_is_a_power_of_the_iteration_matrix(d, steps, seed):
    H, solution, x0 = quadratic(d, seed)
    step = 1 / np.linalg.norm(H, 2)
    x, _ = gradient_descent(lambda x: (x - solution) @ H, x0, step, steps)
    error = np.linalg.matrix_power(np.eye(d) - step * H, steps) @ (x0 - solution)
    np.testing.assert_allclose(x - solution, error, atol=1e-12)


def test_trace_starts_with_the_start_and_ends_with_the_result():
    H, solution, x0 = quadratic(3)
    x, trace = gradient_descent(lambda x: (x - solution) @ H, x0, 0.05, 4, record=lambda x: x)
    assert len(trace) == 5
    np.testing.assert_array_equal(trace[0], x0)
    np.testing.assert_array_equal(trace[4], x)
    for before, after in pairwise(trace):
        np.testing.assert_allclose(after, before - 0.05 * (before - solution) @ H, rtol=1e-14)


def test_nothing_is_recorded_unasked():
    assert gradient_descent(lambda x: x, np.ones(2), 0.5, 3)[1] == []


def test_no_steps():
    x, trace = gradient_descent(lambda x: x, np.ones(2), 0.5, 0, record=np.sum)
    np.testing.assert_array_equal(x, np.ones(2))
    assert trace == [2.0]


def test_steps_of_a_schedule():
    x, _ = gradient_descent(lambda x: np.ones_like(x), np.zeros(1), lambda t: 2.0**-t, 4)
    assert x[0] == -(1 + 1 / 2 + 1 / 4 + 1 / 8)


def test_noise_joins_the_gradient_and_projection_comes_last():
    seen = []

    def noise(t):
        seen.append(t)
        return np.array([0.0, 10.0 * t])

    x, trace = gradient_descent(
        lambda x: x,
        np.array([4.0, 4.0]),
        0.5,
        2,
        noise=noise,
        project=lambda x: np.maximum(x, -1.0),
        record=list,
    )
    # 4 -> 2 -> 1 without noise; 4 -> 2 -> 2 - (2 + 10) / 2 = -4, cut at -1
    assert trace == [[4, 4], [2, 2], [1, -1]]
    assert seen == [0, 1]
    np.testing.assert_array_equal(x, [1, -1])


def test_the_start_is_not_projected():
    _, trace = gradient_descent(lambda x: x, np.array([-5.0]), 0.5, 1, project=np.abs, record=np.sum)
    assert trace == [-5.0, 2.5]


def test_a_batch_of_starts_is_the_starts_one_by_one():
    H, solution, _ = quadratic(3)
    X = np.random.default_rng(2).normal(size=(4, 2, 3))
    together, _ = gradient_descent(lambda x: (x - solution) @ H, X, 0.05, 6)
    for at in np.ndindex(4, 2):
        alone, _ = gradient_descent(lambda x: (x - solution) @ H, X[at], 0.05, 6)
        np.testing.assert_allclose(together[at], alone, rtol=1e-13)


def test_divergence_is_shown_and_not_stopped():
    _, trace = gradient_descent(lambda x: x, np.ones(1), 4.0, 30, record=lambda x: abs(float(x[0])))
    np.testing.assert_allclose(trace, 3.0 ** np.arange(31))


def test_on_every_library(xp):
    H, solution, x0 = (as_array_like(v, xp) for v in quadratic(3))
    x, _ = gradient_descent(lambda x: (x - solution) @ H, x0, 0.05, 5)
    host = [to_host(v) for v in (H, solution, x0)]
    expected, _ = gradient_descent(lambda x: (x - host[1]) @ host[0], host[2], 0.05, 5)
    np.testing.assert_allclose(to_host(x), expected, rtol=1e-13)


def test_counts_without_data():
    def run(H, x0):
        with count() as costs:
            gradient_descent(lambda x: x @ H, x0, 0.1, 7)
        return costs.multiply_adds, costs.arithmetic

    # a product, a scaled gradient and a difference a step
    assert run(shape_only(4, 4), shape_only(4)) == (7 * 16, 7 * 8)
    assert run(counted(np.eye(4)), counted(np.ones(4))) == (7 * 16, 7 * 8)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_bad_steps(bad):
    with pytest.raises(ValueError, match="step="):
        gradient_descent(lambda x: x, np.ones(1), bad, 1)
    with pytest.raises(ValueError, match=r"step\(1\)="):
        gradient_descent(lambda x: x, np.ones(1), lambda t: bad if t else 1.0, 2)


def test_bad_arguments():
    for bad in (-1, 1.5, True):
        with pytest.raises(ValueError, match="steps="):
            gradient_descent(lambda x: x, np.ones(1), 0.1, bad)
    with pytest.raises(ValueError, match="grad"):
        gradient_descent(lambda x: x[:1], np.ones(2), 0.1, 1)
