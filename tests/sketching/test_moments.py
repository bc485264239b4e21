r"""First and second moments of every family by exact formulas, and how well a subspace is kept.

Let v be the mean square of an entry of :math:`S^\top S` off the diagonal: 1/m for Gaussian entries, for the
CountSketch and the uniform layout; :math:`\sum_t1/(s^2\lvert B_t\rvert)` for row blocks :math:`B_t`;
:math:`\frac{1}{m}\frac{N-m}{N-1}` for m of N Hadamard rows without replacement. Independent signs make
different pairs uncorrelated, so for orthonormal columns U with rows :math:`u_i`

.. math::
    \mathbb E\lVert U^\top(S^\top S-I)U\rVert_F^2=v\sum_{i\ne j}(\lVert u_i\rVert^2\lVert u_j\rVert^2
        +\langle u_i,u_j\rangle^2)=v\,(d^2+d-2\textstyle\sum_i\lVert u_i\rVert^4),

while the diagonal is 1; Gaussian entries add the sum back. A mean of T draws is compared with its formula up
to 5 of its standard errors, which are taken from the draws: a right sketch fails for one seed in a million.
"""

import functools
import math

import numpy as np
import pytest
from scipy import stats

from touchstone.sketching.sparse_embedding import count_sketch
from touchstone.sketching.srht import srht

from .conftest import FAMILIES

RANDOM = [name for name in FAMILIES if name not in ("unsigned", "composition")]
SIZES = [(4, 8), (7, 12), (5, 5)]  # with a power of two, with zeros to fill up, with m = n


def variance(name, m, n):
    if name == "srht":
        size = 2 ** math.ceil(math.log2(n))
        return (size - m) / (size - 1) / m
    if name == "blocks":
        s = min(3, m)
        return sum(1 / ((t + 1) * m // s - t * m // s) for t in range(s)) / s**2
    return 1 / m


@functools.cache
def draws(name, m, n):
    """The matrices of 2000 sketches."""
    rng = np.random.default_rng(0)
    return np.stack([FAMILIES[name](m, n, rng, like=np).columns(range(n)) for _ in range(2000)])


def assert_mean(values, expected):
    """The mean over the first axis is what is expected, or all of them are up to rounding."""
    error = values.std(axis=0, ddof=1) / math.sqrt(len(values))
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - expected), 5 * error + 1e-13)


def basis(n, d, kind):
    if kind == "coherent":
        return np.eye(n)[:, :d]
    return np.linalg.qr(np.random.default_rng(n).normal(size=(n, d)))[0]


@pytest.mark.parametrize("name", [*RANDOM, "composition"])
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_gram_matrix(name, m, n):
    S = draws(name, m, n)
    G = S.mT @ S
    assert_mean(G, np.eye(n))
    if name == "composition":
        return
    off = ~np.eye(n, dtype=bool)
    assert_mean(G[:, off] ** 2, variance(name, m, n))
    if name == "gaussian":
        assert_mean((G[:, ~off] - 1) ** 2, 2 / m)
    else:
        np.testing.assert_allclose(G[:, ~off], 1, rtol=1e-14)


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(("m", "n"), SIZES)
def test_back_and_forth(name, m, n):
    """E |S^T S h|^2 = (1 + alpha) |h|^2."""
    h = np.random.default_rng(1).normal(size=n)
    S = draws(name, m, n)
    values = np.sum(((S @ h)[:, None, :] @ S)[:, 0] ** 2, axis=1) / (h @ h)
    if name == "gaussian":
        assert_mean(values, (m + n + 1) / m)
    else:
        assert_mean(values, 1 + (n - 1) * variance(name, m, n))


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize(("m", "n"), SIZES)
@pytest.mark.parametrize("kind", ["spread", "one", "two"])
def test_squared_length(name, m, n, kind):
    x = {"spread": np.arange(1.0, n + 1), "one": np.eye(n)[1], "two": np.eye(n)[0] - 2 * np.eye(n)[2]}[kind]
    x = x / np.linalg.norm(x)
    lengths = np.sum((draws(name, m, n) @ x) ** 2, axis=1)
    assert_mean(lengths, 1)
    fourth = 0 if name == "gaussian" else np.sum(x**4)
    assert_mean((lengths - 1) ** 2, 2 * variance(name, m, n) * (1 - fourth))


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.parametrize("kind", ["coherent", "random"])
def test_subspace(name, kind):
    m, n, d = 12, 32, 3
    U = basis(n, d, kind)
    SU = draws(name, m, n) @ U
    defect = np.sum((SU.mT @ SU - np.eye(d)) ** 2, axis=(1, 2))
    heavy = 0 if name == "gaussian" else np.sum(np.sum(U**2, axis=1) ** 2)
    assert_mean(defect, variance(name, m, n) * (d**2 + d - 2 * heavy))


# -- embeddings ------------------------------------------------------------------------------------------


def distortions(name, m, U, times):
    rng = np.random.default_rng(7)
    values = [
        np.linalg.svd(FAMILIES[name](m, len(U), rng, like=U) @ U, compute_uv=False) for _ in range(times)
    ]
    return np.array(values)


def few(failures, times, delta):
    """No more failures than a probability ``delta`` gives, but for one seed in a million."""
    return failures <= stats.binom.ppf(1 - 1e-6, times, delta)


@pytest.mark.parametrize("name", ["count", "uniform", "blocks", "gaussian"])
@pytest.mark.parametrize("kind", ["coherent", "random"])
def test_rows_that_are_promised_to_be_enough(name, kind):
    d, eps, delta, times = 4, 0.5, 0.2, 100
    m = math.ceil((d**2 + d) / (eps**2 * delta))
    squares = distortions(name, m, basis(500, d, kind), times) ** 2
    assert few(np.sum(np.abs(squares - 1).max(axis=1) > eps), times, delta)


@pytest.mark.parametrize("kind", ["coherent", "random"])
def test_rows_that_are_promised_to_be_enough_for_the_transform(kind):
    d, n = 4, 1024
    m = math.ceil(4 * (math.sqrt(d) + math.sqrt(8 * math.log(n * d))) ** 2 * math.log(d))
    assert m < n
    values = distortions("srht", m, basis(n, d, kind), 50)
    assert values.min() >= 0.40
    assert values.max() <= 1.48


@pytest.mark.parametrize("rows", [20, 60])
def test_one_entry_a_column_needs_quadratically_many_rows(rows):
    """Two of d coordinates fall into one row and a direction is lost: the birthday problem, exactly."""
    d, times = 10, 400
    lost = distortions("count", rows, basis(200, d, "coherent"), times)[:, -1] < 1e-8
    expected = 1 - math.prod(1 - i / rows for i in range(d))
    assert stats.binomtest(int(lost.sum()), times, expected).pvalue > 1e-6
    kept = distortions("uniform", rows, basis(200, d, "coherent"), times)[:, -1] > 1e-8
    assert kept.mean() > 1 - expected  # three entries a column are better


def test_a_sparse_sketch_of_sparse_coordinates_keeps_them_exactly():
    S = count_sketch(50, 200, np.random.default_rng(0), like=np)
    x = np.zeros(200)
    x[17] = 3.0
    assert np.linalg.norm(S @ x) == 3.0


def test_transform_of_more_and_more_rows_is_better_than_gaussian():
    """Without replacement the error shrinks by (N - m)/(N - 1), down to nothing."""
    U = basis(64, 3, "random")
    errors = [np.abs(distortions("srht", m, U, 60) - 1).max(axis=1).mean() for m in (16, 32, 48, 64)]
    gaussian = [np.abs(distortions("gaussian", m, U, 60) - 1).max(axis=1).mean() for m in (48, 64)]
    assert errors[0] > errors[1] > errors[2] > errors[3]
    assert errors[3] < 1e-14
    assert errors[2] < 0.8 * gaussian[0]
    assert srht(64, 64, np.random.default_rng(0), like=U).touched == 64
