"""Random matrices: each law as described, given singular values, the same numbers everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.arrays import stream, to_host
from touchstone.instances.matrices import HEAVY_ROWS, matrix_with_spectrum, random_rows

LAWS = ["gaussian", "student", "lognormal", "two_clusters", "heavy_rows", "planted_row"]

# tests of distributions: p below 1e-6 is a false alarm once in a million runs, and the seed is fixed
ALARM = 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 7), st.sampled_from(LAWS), st.integers(0, 99))
def test_rows_are_finite_of_the_shape_and_repeat(n, d, law, seed):
    A = random_rows(n, d, law, stream(seed))
    assert A.shape == (n, d)
    assert A.dtype == np.float64
    assert np.all(np.isfinite(A))
    np.testing.assert_array_equal(A, random_rows(n, d, law, stream(seed)))


@pytest.mark.parametrize("law", LAWS)
def test_the_same_numbers_on_every_library(law, xp):
    expected = random_rows(30, 3, law, stream(1))
    A = random_rows(30, 3, law, stream(1), like=xp)
    assert A.dtype == xp.float64
    np.testing.assert_array_equal(to_host(A), expected)
    narrow = random_rows(30, 3, law, stream(1), like=xp.zeros(1, dtype=xp.float32))
    np.testing.assert_array_equal(to_host(narrow), expected.astype(np.float32))


def test_gaussian_entries():
    A = random_rows(4000, 3, "gaussian", stream(2))
    assert stats.kstest(A.ravel(), "norm").pvalue > ALARM
    np.testing.assert_allclose(A.T @ A / 4000, np.eye(3), atol=6 * np.sqrt(2 / 4000))


def test_student_rows_are_scaled_as_a_whole():
    A = random_rows(20_000, 40, "student", stream(3))
    # 40 entries tell the scale of their row to about a tenth: as much noise goes into the references
    scales = np.sqrt(np.mean(A**2, axis=1))
    noise = np.sqrt(stats.chi2(40).rvs(20_000, random_state=0) / 40)
    p = {}
    for degrees in (2, 3, 4):
        reference = np.abs(stats.t(degrees).rvs(20_000, random_state=1)) * noise
        p[degrees] = stats.ks_2samp(scales, reference).pvalue
    assert p[3] > ALARM > max(p[2], p[4])


def test_lognormal_rows_are_scaled_as_a_whole():
    A = random_rows(4000, 40, "lognormal", stream(4))
    logs = np.log(np.mean(A**2, axis=1)) / 2
    assert stats.kstest((logs - np.mean(logs)) / np.std(logs), "norm").pvalue > ALARM
    # deviation 2 of the log of the scale; the log of a chi variable of 40 degrees adds 1 / 80 to its square
    assert np.std(logs) == pytest.approx(np.sqrt(4 + 1 / 80), abs=6 * 2 / np.sqrt(2 * 4000))


def test_two_clusters():
    n, d = 2000, 6
    A = random_rows(n, d, "two_clusters", stream(5))
    # the two centres are the two places where rows meet, 0.2 apart in each coordinate
    first = A[0]
    near = np.linalg.norm(A - first, axis=1) < 0.2 * 2 * np.sqrt(2 * d)
    assert 0.4 < np.mean(near) < 0.6
    for members in (A[near], A[~near]):
        spread = members - np.mean(members, axis=0)
        assert stats.kstest(spread.ravel() / 0.2, "norm").pvalue > ALARM


def test_centres_of_clusters_are_gaussian():
    centres = np.stack([random_rows(1, 8, "two_clusters", stream(seed))[0] for seed in range(400)])
    assert stats.kstest(centres.ravel() / np.sqrt(1 + 0.2**2), "norm").pvalue > ALARM


@pytest.mark.parametrize("n", [7, HEAVY_ROWS, 800])
def test_heavy_rows(n):
    A = random_rows(n, 100, "heavy_rows", stream(6))
    scales = np.sqrt(np.mean(A**2, axis=1)) / np.sqrt(n / 512)
    heavy = scales > 2.0 if n == 800 else np.ones(n, dtype=bool)
    assert np.sum(heavy) == min(n, 40) == min(n, HEAVY_ROWS)
    assert np.all((scales[heavy] > 3 * 0.7) & (scales[heavy] < 30 * 1.3))
    if n > 7:
        assert stats.kstest(scales[heavy], stats.uniform(3, 27).cdf).pvalue > 1e-3
    plain = A[~heavy]
    if len(plain):
        assert stats.kstest(plain.ravel(), "norm").pvalue > ALARM
        # anywhere among the rows, not the first of them
        assert np.ptp(np.flatnonzero(heavy)) > n / 2


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 99))
def test_planted_row(n, d, seed):
    A = random_rows(n, d, "planted_row", stream(seed))
    (planted,) = np.flatnonzero(A[:, -1])
    np.testing.assert_array_equal(A[planted], np.eye(d)[-1])
    others = np.delete(A, planted, axis=0)[:, :-1]
    assert np.all(others != 0)


def test_the_planted_row_is_anywhere():
    where = [np.argmax(random_rows(4, 2, "planted_row", stream(seed))[:, -1]) for seed in range(400)]
    assert stats.chisquare(np.bincount(where, minlength=4)).pvalue > ALARM


# -- given singular values -------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 99), st.floats(0, 8))
def test_singular_values_are_the_ones_given(n, d, seed, decades):
    sigma = 10.0 ** (-decades * np.linspace(0, 1, min(n, d)))
    A = matrix_with_spectrum(n, d, sigma, stream(seed))
    assert A.shape == (n, d)
    np.testing.assert_allclose(np.linalg.svdvals(A), sigma, rtol=0, atol=1e-14 * sigma[0] * max(n, d))


def test_zero_and_unordered_singular_values(xp):
    A = matrix_with_spectrum(5, 3, [0.0, 2.0, 1.0], stream(1), like=xp)
    assert A.dtype == xp.float64
    np.testing.assert_allclose(np.linalg.svdvals(to_host(A)), [2, 1, 0], atol=1e-15)
    np.testing.assert_array_equal(matrix_with_spectrum(3, 2, [0, 0], stream(1)), np.zeros((3, 2)))


def test_singular_vectors_are_haar():
    """Entries of U and V have mean 0 and the law of a coordinate on the sphere; QR alone would fix signs."""
    left, right = [], []
    for seed in range(600):
        A = matrix_with_spectrum(3, 2, [1.0, 0.0], stream(seed))  # u v^T
        left.append(A @ [1.0, 0.0] / np.linalg.norm(A @ [1.0, 0.0]))
        right.append(A[0] / np.linalg.norm(A[0]))
    # a coordinate on the sphere in three dimensions is uniform in [-1, 1]; an angle is uniform
    assert stats.kstest(np.ravel(left), stats.uniform(-1, 2).cdf).pvalue > ALARM
    angles = np.arctan2(*np.transpose(right))
    assert stats.kstest(angles, stats.uniform(-np.pi, 2 * np.pi).cdf).pvalue > ALARM


# -- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, -1, 1.5, True, None])
def test_bad_sizes(size):
    for name in ("n", "d"):
        sizes = {"n": 3, "d": 2, name: size}
        with pytest.raises(ValueError, match=f"{name}={size!r}: expected an integer >= 1"):
            random_rows(law="gaussian", rng=stream(0), **sizes)
        with pytest.raises(ValueError, match=f"{name}={size!r}: expected an integer >= 1"):
            matrix_with_spectrum(singular_values=[1, 1], rng=stream(0), **sizes)


def test_bad_law():
    with pytest.raises(ValueError, match="law='cauchy': expected one of 'gaussian', 'student'"):
        random_rows(3, 2, "cauchy", stream(0))


@pytest.mark.parametrize("sigma", [[1.0], [1.0, 1.0, 1.0], [[1.0, 1.0]], 1.0])
def test_wrong_number_of_singular_values(sigma):
    with pytest.raises(ValueError, match=r"expected \(2,\), the smaller side of \(3, 2\)"):
        matrix_with_spectrum(3, 2, sigma, stream(0))


@pytest.mark.parametrize("bad", [-1e-9, np.nan, np.inf])
def test_bad_singular_values(bad):
    with pytest.raises(ValueError, match=r"singular_values=.*: expected finite numbers >= 0"):
        matrix_with_spectrum(3, 2, [1.0, bad], stream(0))
