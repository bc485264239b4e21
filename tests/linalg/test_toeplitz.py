"""Products with triangular Toeplitz matrices, against SciPy's dense ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import toeplitz

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.toeplitz import lower_toeplitz_apply


def dense(b, size):
    return np.tril(toeplitz(b[:size]))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.integers(0, 3), st.integers(0, 5), st.booleans(), st.integers(0, 10**6))
def test_is_the_dense_product(size, extra, c, transpose, seed):
    rng = np.random.default_rng(seed)
    b = rng.normal(size=size + extra)
    V = rng.normal(size=(size, c) if c else size)
    T = dense(b, size)
    expected = (T.T if transpose else T) @ V
    # the FFT's error is absolute: u log2(N) times the norms, and a factor of a few
    tolerance = 1e-15 * 8 * (1 + np.log2(size + 1)) * np.linalg.norm(b) * np.linalg.norm(V)
    got = lower_toeplitz_apply(b, size, V, transpose=transpose)
    assert got.shape == V.shape
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 8, 9])
def test_nothing_wraps_around(size):
    # one at the far corner and one beyond the matrix: the first must land in the last row, the second nowhere
    b = np.zeros(size + 1)
    b[size - 1], b[size] = 1.0, 1e9
    V = np.eye(size)
    np.testing.assert_allclose(lower_toeplitz_apply(b, size, V), dense(b, size), atol=1e-14)
    np.testing.assert_allclose(lower_toeplitz_apply(b, size, V, transpose=True), dense(b, size).T, atol=1e-14)


def test_on_every_library(xp):
    rng = np.random.default_rng(0)
    b, V = rng.normal(size=6), rng.normal(size=(5, 2))
    for transpose in (False, True):
        got = lower_toeplitz_apply(xp.asarray(b), 5, xp.asarray(V), transpose=transpose)
        expected = lower_toeplitz_apply(b, 5, V, transpose=transpose)
        np.testing.assert_allclose(to_host(got), expected, rtol=0, atol=1e-14)


def test_single_precision_stays(xp):
    b = xp.asarray(np.arange(1, 6), dtype=xp.float32)
    got = lower_toeplitz_apply(b, 5, xp.ones((5, 1), dtype=xp.float32))
    assert got.dtype == xp.float32
    np.testing.assert_allclose(to_host(got)[:, 0], np.cumsum(np.arange(1, 6)), rtol=1e-5)


@pytest.mark.parametrize("size", [1, 5, 8, 9])
def test_counts(size):
    def costs(make):
        with count() as costs:
            lower_toeplitz_apply(make(size), size, make(size, 3))
        return costs

    executed, shapes = costs(lambda *s: counted(np.ones(s))), costs(shape_only)
    assert executed.numbers() == shapes.numbers()
    (transform,) = shapes.ffts
    assert transform.kind == "real"
    assert transform.count == 2 * 3 + 1
    half = transform.length // 2
    assert size <= half < 2 * size
    assert half & (half - 1) == 0


def test_sizes_that_no_memory_holds():
    n = 2**60
    with count() as costs:
        assert lower_toeplitz_apply(shape_only(n), n, shape_only(n, 2)).shape == (n, 2)
    assert costs.ffts[0].length == 2 * n


@pytest.mark.parametrize(
    ("b", "size", "V", "error", "match"),
    [
        (np.ones(3), 4, np.ones(4), ValueError, "b of shape"),
        (np.ones((4, 1)), 4, np.ones(4), ValueError, "b of shape"),
        (np.ones(4), 4, np.ones(3), ValueError, "V of shape"),
        (np.ones(4), 4, np.ones((4, 1, 1)), ValueError, "V of shape"),
        (np.ones(4), 0, np.ones(0), ValueError, "size=0"),
        (np.ones(4), True, np.ones(1), ValueError, "size=True"),
        (np.ones(4), 4.0, np.ones(4), ValueError, "size=4.0"),
        (np.ones(4, dtype=int), 4, np.ones(4), TypeError, "b of dtype"),
        (np.ones(4), 4, np.ones(4, dtype=complex), TypeError, "V of dtype"),
    ],
)
def test_bad_arguments(b, size, V, error, match):
    with pytest.raises(error, match=match):
        lower_toeplitz_apply(b, size, V)
