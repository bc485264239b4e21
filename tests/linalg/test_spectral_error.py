"""Relative spectra against SciPy's generalised eigenvalues."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.spectral_error import relative_eigenvalues, spectral_error


def pair(d, seed):
    rng = stream(seed)
    X, Y = rng.standard_normal((d + 3, d)), rng.standard_normal((d, d))
    return X.T @ X, Y + Y.T


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 7), st.integers(0, 999))
def test_eigenvalues_are_scipys(d, seed):
    H, K = pair(d, seed)
    expected = scipy.linalg.eigh(K, H, eigvals_only=True)
    condition = np.linalg.cond(H)
    np.testing.assert_allclose(
        relative_eigenvalues(H, K), expected, rtol=0, atol=1e-14 * condition * (1 + np.abs(expected).max())
    )


def test_on_every_library(xp):
    H, K = pair(4, 1)
    expected = scipy.linalg.eigh(K, H, eigvals_only=True)
    got = relative_eigenvalues(xp.asarray(H), xp.asarray(K))
    assert got.dtype == xp.float64
    np.testing.assert_allclose(to_host(got), expected, rtol=1e-10)
    gaps = np.abs(expected - 1)
    for norm, value in ((2, gaps.max()), ("fro", np.sqrt(np.sum(gaps**2))), ("nuc", np.sum(gaps))):
        error = spectral_error(xp.asarray(H), xp.asarray(K), norm)
        assert error.shape == ()
        assert float(error) == pytest.approx(value, rel=1e-10)


def test_batches_broadcast():
    pairs = [pair(3, seed) for seed in range(4)]
    H, K = (np.stack(x) for x in zip(*pairs, strict=True))
    each = np.stack([relative_eigenvalues(*p) for p in pairs])
    np.testing.assert_allclose(relative_eigenvalues(H, K), each, rtol=1e-12)
    np.testing.assert_allclose(
        relative_eigenvalues(H[:1], K)[2], relative_eigenvalues(H[0], K[2]), rtol=1e-12
    )
    np.testing.assert_allclose(relative_eigenvalues(H[0], K)[2], relative_eigenvalues(H[0], K[2]), rtol=1e-12)
    assert spectral_error(H, K).shape == (4,)


def test_a_matrix_against_itself_and_its_multiples():
    H, _ = pair(5, 2)
    np.testing.assert_allclose(relative_eigenvalues(H, H), np.ones(5), rtol=1e-12)
    for multiple in (-0.5, 0.0, 1.3):
        assert spectral_error(H, multiple * H) == pytest.approx(abs(multiple - 1), abs=1e-12)
        assert spectral_error(H, multiple * H, "nuc") == pytest.approx(5 * abs(multiple - 1), abs=1e-11)


def test_only_the_symmetric_part_counts():
    H, K = pair(4, 3)
    skew = np.triu(np.ones((4, 4)), 1) - np.tril(np.ones((4, 4)), -1)
    np.testing.assert_allclose(relative_eigenvalues(H + skew, K), relative_eigenvalues(H, K), rtol=1e-12)
    np.testing.assert_allclose(relative_eigenvalues(H, K + skew), relative_eigenvalues(H, K), rtol=1e-12)


def test_scaled_variables_change_nothing():
    H, K = pair(4, 4)
    s = 10.0 ** np.array([0, -90, 100, 7])
    got = relative_eigenvalues(s[:, None] * H * s, s[:, None] * K * s)
    np.testing.assert_allclose(got, relative_eigenvalues(H, K), rtol=1e-11)


def test_counts():
    H, K = pair(5, 5)
    with count() as with_data:
        spectral_error(counted(H), counted(K))
    with count() as without:
        spectral_error(shape_only(5, 5), shape_only(5, 5))
    assert with_data.numbers() == without.numbers()
    assert [x.kind for x in without.factorisations] == ["cholesky", "inv", "eigvalsh"]


@pytest.mark.parametrize(
    "H",
    [
        np.zeros((2, 2)),
        -np.eye(2),
        np.ones((2, 2)) * [[1, 2], [2, 1]],
        np.full((2, 2), np.nan),
        np.array([[1, np.nan], [np.nan, 1]]),
        np.diag([1, np.inf]),
    ],
)
def test_a_reference_that_is_not_definite(H):
    with pytest.raises(ValueError, match="H: expected symmetric positive definite matrices"):
        relative_eigenvalues(H, np.eye(2))
    with pytest.raises(ValueError, match="H: expected symmetric positive definite matrices"):
        relative_eigenvalues(np.stack([np.eye(2), H]), np.eye(2))


def test_bad_input_is_named():
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(ValueError, match=r"K of shape \(2, 2\): expected finite numbers"):
            relative_eigenvalues(np.eye(2), np.array([[1, bad], [bad, 1]]))
    for shape in [(2,), (2, 3), (0, 0), ()]:
        with pytest.raises(ValueError, match=r"H of shape .*: expected square matrices"):
            relative_eigenvalues(np.ones(shape), np.eye(2))
        with pytest.raises(ValueError, match=r"K of shape .*: expected square matrices"):
            relative_eigenvalues(np.eye(2), np.ones(shape))
    with pytest.raises(ValueError, match=r"K of shape \(3, 3\): expected 2 rows, as H has"):
        relative_eigenvalues(np.eye(2), np.eye(3))
    with pytest.raises(TypeError, match="H of dtype complex128: expected real floating"):
        relative_eigenvalues(np.eye(2) + 0j, np.eye(2))
    with pytest.raises(TypeError, match="K of dtype int64: expected real floating"):
        relative_eigenvalues(np.eye(2), np.eye(2, dtype=int))
    with pytest.raises(ValueError, match="norm=1: expected 2, 'fro' or 'nuc'"):
        spectral_error(np.eye(2), np.eye(2), 1)
