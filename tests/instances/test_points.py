"""Points on the sphere: length, law, and the same numbers on every library."""

import math

import numpy as np
import pytest
from scipy import stats

from touchstone.arrays import to_host
from touchstone.instances.points import uniform_sphere


@pytest.mark.parametrize(("n", "d"), [(1, 1), (5, 1), (1, 7), (40, 3)])
def test_rows_have_length_one(n, d):
    X = uniform_sphere(n, d, np.random.default_rng(0))
    assert X.shape == (n, d)
    np.testing.assert_allclose(np.sum(X**2, axis=1), 1, atol=1e-14)


def test_in_one_dimension_both_signs():
    X = uniform_sphere(200, 1, np.random.default_rng(0))
    assert set(X.ravel()) == {-1.0, 1.0}


@pytest.mark.parametrize("d", [2, 3, 6])
def test_law_of_a_coordinate(d):
    # (1 + x)/2 of a uniform unit vector is Beta((d - 1)/2, (d - 1)/2)
    X = uniform_sphere(4000, d, np.random.default_rng(d))
    for column in (X[:, 0], X[:, -1]):
        assert stats.kstest((1 + column) / 2, stats.beta((d - 1) / 2, (d - 1) / 2).cdf).pvalue > 1e-3
    if d == 2:
        angle = np.arctan2(X[:, 1], X[:, 0]) / (2 * math.pi) + 0.5
        assert stats.kstest(angle, stats.uniform.cdf).pvalue > 1e-3


def test_on_every_library(xp):
    X = uniform_sphere(4, 3, np.random.default_rng(5), like=xp.zeros(1))
    np.testing.assert_array_equal(to_host(X), uniform_sphere(4, 3, np.random.default_rng(5)))


@pytest.mark.parametrize("bad", [0, -1, 2.0, True])
def test_sizes(bad):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="n="):
        uniform_sphere(bad, 3, rng)
    with pytest.raises(ValueError, match="d="):
        uniform_sphere(3, bad, rng)
