"""Leverage scores against exact rational arithmetic, SciPy's QR and SVD; the other uses of the projection."""

from fractions import Fraction

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.instances.matrices import matrix_with_spectrum, random_rows
from touchstone.linalg.leverage import (
    leverage_scores,
    projection,
    squared_projection_apply,
    statistical_dimension,
)
from touchstone.linalg.sparse_rows import SparseRows

U = 2.0**-53

TABLES = [(2**22, 1, True), (2**22 + 1, 1, False), (699050, 3, True), (699051, 3, False)]


def exact_scores(A, weights=None, ridge=0):
    """The definition in rational arithmetic, for the numbers as they are stored; full column rank."""
    n, d = A.shape
    rows = [[Fraction(float(x)) for x in row] for row in A]
    w = [Fraction(1)] * n if weights is None else [Fraction(float(x)) for x in weights]
    # Gauss-Jordan elimination on (Gram matrix, identity)
    table = [
        [
            sum(w[k] * rows[k][i] * rows[k][j] for k in range(n)) + (Fraction(float(ridge)) if i == j else 0)
            for j in range(d)
        ]
        + [Fraction(int(i == j)) for j in range(d)]
        for i in range(d)
    ]
    for i in range(d):
        pivot = next(k for k in range(i, d) if table[k][i])
        table[i], table[pivot] = table[pivot], table[i]
        table[i] = [x / table[i][i] for x in table[i]]
        for k in range(d):
            if k != i and table[k][i]:
                table[k] = [x - table[k][i] * y for x, y in zip(table[k], table[i], strict=True)]
    inverse = [row[d:] for row in table]
    forms = [sum(a[i] * inverse[i][j] * a[j] for i in range(d) for j in range(d)) for a in rows]
    return np.array([float(x * y) for x, y in zip(w, forms, strict=True)])


def by_svd(A, weights=None, ridge=0.0):
    """Row norms of the left singular vectors, columns of norm 1, cut at 1e-10."""
    n, d = A.shape
    B = A if weights is None else np.sqrt(weights)[:, None] * A
    B = np.vstack([B, np.sqrt(ridge) * np.eye(d)])
    norms = np.linalg.norm(B, axis=0)
    left, values, _ = np.linalg.svd(B / np.where(norms > 0, norms, 1), full_matrices=False)
    return np.sum(left[:n, values > 1e-10 * values[0]] ** 2, axis=1)


def laeuchli(d, eps):
    return np.vstack([np.ones(d), eps * np.eye(d)])


def laeuchli_scores(d, eps):
    return np.array([d / (d + eps**2), *[1 - 1 / (d + eps**2)] * d])


# -- right on every way ----------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 12),
    d=st.integers(1, 12),
    seed=st.integers(0, 99),
    weighted=st.booleans(),
    ridge=st.sampled_from([0.0, 0.0, 1e-3, 2.0]),
    method=st.sampled_from(["auto", "qr"]),
    workers=st.integers(1, 2),
)
def test_any_shape(n, d, seed, weighted, ridge, method, workers):
    rng = stream(seed)
    A = rng.standard_normal((n, d))
    w = rng.uniform(0, 2, n) * rng.integers(0, 2, n) if weighted else None
    scores = leverage_scores(A, w, ridge=ridge, method=method, workers=workers)
    # the least singular value of such a matrix is rarely below 1e-3: 1e-10 leaves three digits
    np.testing.assert_allclose(scores, by_svd(A, w, ridge), rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ["auto", "cholesky", "qr"])
@pytest.mark.parametrize(("ridge", "weighted"), [(0.0, False), (0.0, True), (0.7, True)])
def test_against_rational_arithmetic(method, ridge, weighted):
    rng = stream(1)
    A, w = rng.standard_normal((9, 3)), rng.uniform(0.1, 2, 9) if weighted else None
    exact = exact_scores(A, w, ridge)
    np.testing.assert_allclose(leverage_scores(A, w, ridge=ridge, method=method), exact, rtol=1e-13)


@pytest.mark.parametrize("method", ["auto", "cholesky", "qr"])
@pytest.mark.parametrize(("n", "d"), [(3000, 5), (1500, 130), (900, 300)])
def test_several_blocks_and_panels(n, d, method):
    rng = stream(2)
    A, w = rng.standard_normal((n, d)), rng.uniform(0.1, 2, n)
    Q = scipy.linalg.qr(np.sqrt(w)[:, None] * A, mode="economic")[0]
    expected = np.sum(Q**2, axis=1)
    one, two = (leverage_scores(A, w, method=method, workers=workers) for workers in (1, 2))
    np.testing.assert_allclose(one, expected, rtol=1e-12)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "law", ["gaussian", "student", "lognormal", "two_clusters", "heavy_rows", "planted_row"]
)
def test_every_law_of_rows(law):
    A = random_rows(400, 4, law, stream(3))
    scores = leverage_scores(A)
    np.testing.assert_allclose(scores, by_svd(A), rtol=1e-10)
    assert np.sum(scores) == pytest.approx(4, rel=1e-12)
    assert np.all((scores >= 0) & (scores <= 1 + 1e-14))


def test_on_every_library(xp):
    rng = stream(4)
    A, w, W = rng.standard_normal((8, 3)), rng.uniform(0.1, 2, 8), rng.uniform(0.1, 2, (2, 3, 8))
    B, v, V = (xp.asarray(x) for x in (A, w, W))
    for method in ("auto", "cholesky", "qr"):
        got = leverage_scores(B, v, ridge=0.5, method=method)
        assert got.dtype == xp.float64
        np.testing.assert_allclose(to_host(got), by_svd(A, w, 0.5), rtol=1e-13)
    got = to_host(leverage_scores(B, V))
    assert got.shape == W.shape
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(got[i, j], by_svd(A, W[i, j]), rtol=1e-13)
    deficient = xp.asarray(np.hstack([A, A[:, :1]]))
    np.testing.assert_allclose(to_host(leverage_scores(deficient, v)), by_svd(A, w), rtol=1e-13)
    np.testing.assert_allclose(
        to_host(statistical_dimension(B, 0.5)), np.sum(by_svd(A, None, 0.5)), rtol=1e-13
    )


def test_float32_stays_float32(xp):
    A = stream(5).standard_normal((40, 3))
    got = leverage_scores(xp.asarray(A, dtype=xp.float32), xp.asarray(np.full(40, 2.0), dtype=xp.float32))
    assert got.dtype == xp.float32
    np.testing.assert_allclose(to_host(got), by_svd(A), rtol=1e-5)


# -- accuracy: which way is taken, and what it costs -----------------------------------------------------


@pytest.mark.parametrize("d", [2, 7])
@pytest.mark.parametrize("exponent", range(10))
def test_laeuchli(d, exponent):
    """The classical breakdown of the Gram matrix: κ = sqrt(d + ε^2) / ε."""
    eps = 10.0**-exponent
    kappa = np.sqrt(d + eps**2) / eps
    gap = np.max(np.abs(leverage_scores(laeuchli(d, eps)) / laeuchli_scores(d, eps) - 1))
    # the documented errors with room for 20 roundings: u κ^2 to the first switch, u κ beyond, also in QR
    assert gap <= 20 * U * (kappa**2 if kappa <= 980 else kappa)
    qr = np.max(np.abs(leverage_scores(laeuchli(d, eps), method="qr") / laeuchli_scores(d, eps) - 1))
    assert qr <= 20 * U * kappa


def test_one_cholesky_pass_would_not_do():
    eps = 1e-6
    gap = np.max(np.abs(leverage_scores(laeuchli(5, eps), method="cholesky") / laeuchli_scores(5, eps) - 1))
    assert gap > 1e-7  # u κ^2 is 6e-4
    with pytest.raises(ValueError, match=r"method='cholesky': the Gram matrix in floating point .*'auto'"):
        leverage_scores(laeuchli(5, 1e-9), method="cholesky")


@pytest.mark.parametrize("decades", [0, 2, 2.9, 3.1, 4, 5, 5.9, 6.1, 7, 9])
def test_graded_spectrum(decades):
    """Relative errors of single scores against rational arithmetic, whatever the way."""
    A = matrix_with_spectrum(20, 4, 10.0 ** (-decades * np.linspace(0, 1, 4)), stream(6))
    gap = np.max(np.abs(leverage_scores(A) / exact_scores(A) - 1))
    kappa = 10.0**decades
    assert gap <= max(20 * U * kappa, 2e-10 if kappa <= 1e3 else 0)


@pytest.mark.parametrize("kappa", [1e4, 9e5, 1e7])
def test_several_small_singular_values(kappa):
    A = matrix_with_spectrum(20, 5, [1, 1, 1 / kappa, 1 / kappa, 1 / kappa], stream(31))
    assert np.max(np.abs(leverage_scores(A) / exact_scores(A) - 1)) <= 20 * U * kappa


@pytest.mark.parametrize("method", ["auto", "cholesky", "qr"])
def test_graded_columns_change_nothing(method):
    A = random_rows(50, 4, "gaussian", stream(7))
    scale = 10.0 ** np.array([0, -40, 60, -130])
    np.testing.assert_allclose(leverage_scores(A * scale, method=method), leverage_scores(A), rtol=1e-13)


@pytest.mark.parametrize("decades", [2, 4, 6, 8])
@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("method", ["auto", "qr"])
def test_graded_rows(decades, order, method):
    """Rows of very different lengths. The answer is right for rows each of which has rounding of its own
    size, and here the scores hardly depend on those: no factor κ."""
    A = stream(8).standard_normal((12, 3)) * 10.0 ** (-decades * np.linspace(0, 1, 12))[::order, None]
    gap = np.max(np.abs(leverage_scores(A, method=method) / exact_scores(A) - 1))
    assert gap <= 1e-10 if decades <= 2 and method == "auto" else gap <= 1e-12


def test_float32_switches_earlier():
    eps = 1e-3  # κ = 1700, beyond both limits of float32
    A = laeuchli(3, eps).astype(np.float32)
    got = leverage_scores(A)
    assert got.dtype == np.float32
    assert np.max(np.abs(got / laeuchli_scores(3, eps) - 1)) <= 20 * 2.0**-24 * 1700
    with pytest.raises(ValueError, match="not positive definite"):
        leverage_scores(laeuchli(3, 1e-4).astype(np.float32), method="cholesky")


# -- rank ------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 9), d=st.integers(1, 6), rank=st.integers(0, 6), seed=st.integers(0, 99))
def test_rank_deficient(n, d, rank, seed):
    rng = stream(seed)
    rank = min(rank, n, d)
    A = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d))
    for method in ("auto", "qr"):
        scores = leverage_scores(A, method=method)
        np.testing.assert_allclose(scores, by_svd(A), rtol=0, atol=1e-9)
        assert np.sum(scores) == pytest.approx(np.linalg.matrix_rank(A, rtol=1e-9), abs=1e-9)


def test_zero_rows_columns_and_weights():
    A = stream(9).standard_normal((6, 3))
    np.testing.assert_array_equal(leverage_scores(np.zeros((4, 2))), np.zeros(4))
    np.testing.assert_array_equal(leverage_scores(np.zeros((2, 4)), np.ones(2)), np.zeros(2))
    np.testing.assert_array_equal(leverage_scores(A, np.zeros(6)), np.zeros(6))
    np.testing.assert_array_equal(leverage_scores(A, np.zeros((2, 6))), np.zeros((2, 6)))
    wide = np.hstack([A, np.zeros((6, 1))])
    np.testing.assert_allclose(leverage_scores(wide), by_svd(A), rtol=1e-13)
    tall = np.vstack([A, np.zeros((2, 3))])
    np.testing.assert_allclose(leverage_scores(tall), [*by_svd(A), 0, 0], rtol=1e-13)
    assert leverage_scores(np.array([[3.0]])) == pytest.approx([1])


def test_the_cut_is_rtol_times_the_largest_singular_value():
    # columns of norm 1 at an angle: singular values cos and sin of half of it, times root 2
    angle = 2e-6
    A = np.array([[1.0, np.cos(angle)], [0.0, np.sin(angle)]])
    np.testing.assert_allclose(leverage_scores(A, rtol=0.9e-6), [1, 1], rtol=1e-9)
    for method in ("auto", "qr"):  # κ = 1e6 is beyond two Cholesky passes, so the cut is looked at
        np.testing.assert_allclose(leverage_scores(A, rtol=1.1e-6, method=method), [1, 0], atol=1e-9)
    np.testing.assert_allclose(leverage_scores(A, np.array([4.0, 4.0]), rtol=1.1e-6), [1, 0], atol=1e-9)


def test_rounding_is_never_a_direction():
    A = stream(10).standard_normal((30, 3))
    A = np.hstack([A, A @ [[0.1], [0.7], [-0.3]]])  # rank 3 up to rounding
    for rtol in (0, 1e-20, 1e-10):
        assert np.sum(leverage_scores(A, rtol=rtol)) == pytest.approx(3, abs=1e-12)
    narrow = leverage_scores(A.astype(np.float32))
    assert np.sum(narrow) == pytest.approx(3, abs=1e-5)


def test_a_ridge_that_is_too_small_to_matter_leaves_the_rank():
    A = stream(11).standard_normal((10, 3)) @ stream(12).standard_normal((3, 5))
    np.testing.assert_allclose(leverage_scores(A, ridge=1e-40), by_svd(A), rtol=1e-9)
    np.testing.assert_allclose(leverage_scores(A, ridge=1e-2), by_svd(A, None, 1e-2), rtol=1e-10)
    assert np.sum(leverage_scores(A, ridge=1e-2)) < 3


@pytest.mark.parametrize("ridge", [1e-4, 1e-7, 1e-9, 1e-13])
def test_a_ridge_on_every_way(ridge):
    """κ is about the root of 1 / ridge: one Cholesky pass, two, and QR."""
    A = matrix_with_spectrum(12, 4, [1, 0.3, 1e-4, 1e-7], stream(30))
    exact = exact_scores(A, None, ridge)
    np.testing.assert_allclose(leverage_scores(A, ridge=ridge), exact, rtol=2e-10)
    np.testing.assert_allclose(leverage_scores(A, ridge=ridge, method="qr"), exact, rtol=2e-10)


def test_ridge_and_columns_of_different_size():
    A = stream(13).standard_normal((15, 3)) * [1.0, 1e-3, 1e3]
    for method in ("auto", "cholesky", "qr"):
        got = leverage_scores(A, ridge=1e-2, method=method)
        np.testing.assert_allclose(got, exact_scores(A, None, 1e-2), rtol=1e-11)


# -- the range of floating point -------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e-300, 1e-200, 1e-160, 1e-150, 1e150, 1e160, 1e200, 1e307])
def test_huge_and_tiny_entries(size):
    A = stream(14).uniform(-1, 1, (20, 3))
    expected = by_svd(A)
    for method in ("auto", "qr"):
        np.testing.assert_allclose(leverage_scores(A * size, method=method), expected, rtol=1e-12)
    np.testing.assert_allclose(leverage_scores(A * size, np.ones((2, 20))), [expected] * 2, rtol=1e-12)


@pytest.mark.parametrize("size", [1e-300, 1e-290, 1e290])
def test_huge_and_tiny_weights(size):
    rng = stream(15)
    A, w = rng.standard_normal((20, 3)), rng.uniform(0.5, 1, 20)
    np.testing.assert_allclose(leverage_scores(A, w * size), by_svd(A, w), rtol=1e-12)
    np.testing.assert_allclose(leverage_scores(A, w[None, :] * size), [by_svd(A, w)], rtol=1e-12)


def test_weights_over_many_decades():
    rng = stream(16)
    A = rng.standard_normal((12, 3))
    w = 10.0 ** -rng.uniform(0, 12, 12)
    np.testing.assert_allclose(leverage_scores(A, w), exact_scores(A, w), rtol=1e-9)
    np.testing.assert_allclose(leverage_scores(A, w[None, :]), [exact_scores(A, w)], rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("method", ["auto", "qr"])
def test_entries_must_be_finite(bad, method):
    A = stream(17).standard_normal((6, 2))
    A[3, 1] = bad
    for weights in (None, np.ones(6), np.ones((2, 6))):
        with pytest.raises(ValueError, match=r"A of shape \(6, 2\): expected finite entries"):
            leverage_scores(A, weights, method=method)


# -- batches ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 1), (9, 4), (40, 17), (3, 5)])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize("method", ["auto", "qr"])
def test_a_batch_is_each_of_its_members(n, d, ridge, method):
    rng = stream(18)
    A, W = rng.standard_normal((n, d)), rng.uniform(0.1, 2, (2, 4, n))
    got = leverage_scores(A, W, ridge=ridge, method=method)
    assert got.shape == W.shape
    for at in np.ndindex(2, 4):
        np.testing.assert_allclose(got[at], by_svd(A, W[at], ridge), rtol=1e-9, atol=1e-12)


def test_ill_conditioned_members_of_a_batch_are_done_with_care():
    A, eps = laeuchli(3, 1.0), 1e-5
    W = np.ones((4, 4))
    W[1, 1:] = eps**2  # the same scores as laeuchli(3, eps)
    W[3, 2:] = 0  # rank 2
    got = leverage_scores(A, W)
    np.testing.assert_allclose(got[0], laeuchli_scores(3, 1), rtol=1e-14)
    np.testing.assert_allclose(got[1], laeuchli_scores(3, eps), rtol=20 * U / eps)
    np.testing.assert_array_equal(got[2], got[0])
    np.testing.assert_allclose(got[3], by_svd(A, W[3]), rtol=0, atol=1e-14)
    with pytest.raises(ValueError, match="'cholesky'"):
        leverage_scores(A, W, method="cholesky")


def test_large_batches_run_in_blocks(monkeypatch):
    from touchstone.linalg import leverage

    rng = stream(19)
    A, W = rng.standard_normal((6, 2)), rng.uniform(0.1, 2, (11, 6))
    whole = leverage_scores(A, W)
    monkeypatch.setattr(leverage, "WEIGHTS_PER_BLOCK", 20)
    np.testing.assert_array_equal(leverage_scores(A, W), whole)
    np.testing.assert_array_equal(leverage_scores(A, W, workers=2), whole)
    monkeypatch.setattr(leverage, "BATCH_ENTRIES", 6 * 3 - 1)  # one by one
    np.testing.assert_allclose(leverage_scores(A, W), whole, rtol=1e-13)


@pytest.mark.parametrize(("kappa", "alone"), [(975, 0), (985, 1)])
def test_a_member_is_left_to_itself_beyond_the_first_limit(monkeypatch, kappa, alone):
    """u^(-3/16) = 981. Two columns of norm 1 at an angle t have condition number 1 / tan(t / 2)."""
    from touchstone.linalg import leverage

    seen, real = [], leverage.orthonormal_scores
    monkeypatch.setattr(leverage, "orthonormal_scores", lambda *a: seen.append(a) or real(*a))
    t = 2 * np.arctan(1 / kappa)
    A = np.array([[1, np.cos(t)], [0, np.sin(t)], [0, 0]])
    np.testing.assert_allclose(leverage_scores(A, np.ones((2, 3))), [[1, 1, 0]] * 2, atol=1e-9)
    assert len(seen) == 2 * alone


@pytest.mark.parametrize(("n", "d", "table"), TABLES)
def test_a_table_has_at_most_four_million_entries(n, d, table):
    with count() as costs:
        leverage_scores(shape_only(n, d), shape_only(2, n))
    kinds = {x.kind for x in costs.factorisations}
    assert kinds == ({"inv"} if table else {"inv", "cholesky"})


def test_members_of_a_large_table_are_taken_one_at_a_time():
    n = 2**19
    with count() as costs:
        leverage_scores(shape_only(n, 1), shape_only(5, n))
    # the table, all results, and of one member its scores twice: rows times the table, times its weights
    assert costs.bytes_peak < 8 * n * (1 + 5 + 3)


def test_what_counts_as_zero_unless_told_otherwise():
    for angle, rank in ((3e-10, 2), (1.4e-10, 1)):  # singular values 1 and half the angle
        A = np.array([[1.0, 1.0], [0.0, angle]])
        assert np.sum(leverage_scores(A)) == pytest.approx(rank, abs=1e-5)
        assert float(statistical_dimension(A, 0)) == pytest.approx(rank, abs=1e-5)
        assert np.trace(projection(A)) == pytest.approx(rank, abs=1e-5)


def test_an_empty_batch():
    assert leverage_scores(np.ones((3, 2)), np.ones((0, 3))).shape == (0, 3)


# -- sparse rows -----------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), d=st.integers(1, 8), k=st.integers(1, 4), seed=st.integers(0, 99))
def test_sparse_rows(n, d, k, seed):
    rng = stream(seed)
    A = SparseRows(rng.integers(0, d, (n, k)), rng.standard_normal((n, k)), d)
    w = rng.uniform(0.1, 2, (2, n))
    for ridge in (0.0, 0.5):
        np.testing.assert_allclose(leverage_scores(A, ridge=ridge), by_svd(A.dense(), None, ridge), atol=1e-9)
        got = leverage_scores(A, w, ridge=ridge)
        for i in range(2):
            np.testing.assert_allclose(got[i], by_svd(A.dense(), w[i], ridge), atol=1e-9)
    np.testing.assert_allclose(leverage_scores(A, method="qr"), by_svd(A.dense()), atol=1e-9)


def test_sparse_rows_on_every_library(xp):
    rng = stream(20)
    columns, values, w = rng.integers(0, 4, (30, 2)), rng.standard_normal((30, 2)), rng.uniform(0.1, 2, 30)
    A = SparseRows(xp.asarray(columns), xp.asarray(values), 4)
    expected = by_svd(SparseRows(columns, values, 4).dense(), w)
    for method in ("auto", "cholesky", "qr"):
        np.testing.assert_allclose(
            to_host(leverage_scores(A, xp.asarray(w), method=method)), expected, rtol=1e-12
        )


def test_sparse_rows_that_need_the_repair():
    eps = 1e-5  # κ = 1.7e5: two passes
    columns = np.array([[0, 1, 2], [0, 0, 0], [1, 1, 1], [2, 2, 2]])
    values = np.array([[1, 1, 1], [eps, 0, 0], [eps, 0, 0], [eps, 0, 0]], dtype=float)
    got = leverage_scores(SparseRows(columns, values, 3))
    np.testing.assert_allclose(got, laeuchli_scores(3, eps), rtol=20 * U * 2e5)


def test_complex_sparse_rows():
    rng = stream(21)
    columns, values = rng.integers(0, 4, (30, 2)), rng.standard_normal((30, 2))
    got = leverage_scores(SparseRows(columns, values + 0j, 4))
    np.testing.assert_allclose(got, by_svd(SparseRows(columns, values, 4).dense()), rtol=1e-12)


# -- the complex step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ridge", [0.0, 0.4])
def test_the_complex_step_gives_the_derivative(ridge):
    rng = stream(22)
    A, dA, w, dw = (rng.uniform(0.5, 1.5, s) for s in [(8, 3), (8, 3), 8, 8])
    h = 1e-30
    step = np.imag(leverage_scores(A + 1j * h * dA, w + 1j * h * dw, ridge=ridge)) / h
    t = 1e-6
    ahead, behind = (exact_scores(A + s * dA, w + s * dw, ridge) for s in (t, -t))
    np.testing.assert_allclose(step, (ahead - behind) / (2 * t), atol=1e-8)
    np.testing.assert_allclose(
        np.imag(leverage_scores(A, w + 1j * h * dw)) / h, _derivative(A, w, dw), atol=1e-12
    )
    batch = leverage_scores(A, np.stack([w + 1j * h * dw, w + 0j]), ridge=ridge)
    np.testing.assert_allclose(batch[1], exact_scores(A, w, ridge), atol=1e-13)


def _derivative(A, w, dw):
    """d (w_i h_i) = dw_i h_i - w_i sum_k (a_i^T G a_k)^2 dw_k, G the inverse Gram matrix."""
    forms = A @ np.linalg.solve(A.T @ (w[:, None] * A), A.T)
    return dw * np.diagonal(forms) - w * (forms**2 @ dw)


# -- the projection --------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 9),
    d=st.integers(1, 9),
    rank=st.integers(0, 9),
    batch=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_projection(n, d, rank, batch, seed):
    rng = stream(seed)
    rank = min(rank, n, d)
    A = rng.standard_normal((batch, n, rank)) @ rng.standard_normal((batch, rank, d))
    P = projection(A)
    assert P.shape == (batch, n, n)
    for some, one in zip(A, P, strict=True):
        basis = scipy.linalg.orth(some, rcond=1e-9) if rank else np.zeros((n, 0))
        np.testing.assert_allclose(one, basis @ basis.T, atol=1e-8)
        np.testing.assert_allclose(projection(some), one, atol=1e-12)
        np.testing.assert_allclose(np.diagonal(one), leverage_scores(some), atol=1e-8)


def test_projection_on_every_library(xp):
    A = stream(23).standard_normal((5, 2)) * [1e-100, 1e100]
    P = to_host(projection(xp.asarray(np.hstack([A, A[:, :1], np.zeros((5, 1))]))))
    Q = np.linalg.qr(A / np.linalg.norm(A, axis=0))[0]
    np.testing.assert_allclose(P, Q @ Q.T, atol=1e-14)


def test_projection_cuts_where_leverage_scores_do():
    angle = 2e-6
    A = np.array([[1.0, np.cos(angle)], [0.0, np.sin(angle)]])
    np.testing.assert_allclose(projection(A, rtol=0.9e-6), np.eye(2), atol=1e-9)
    np.testing.assert_allclose(projection(A, rtol=1.1e-6), [[1, 1e-6], [1e-6, 0]], atol=1e-9)


def test_the_cut_of_a_projection_is_for_columns_of_norm_1():
    t = 1e-3
    A = np.zeros((100, 3))
    A[:, 0] = 1
    A[:2, 1] = A[:2, 2] = [1, -1]
    A[2:4, 2] = [t, -t]
    # the last two columns, brought to norm 1, at an angle t: singular values root 2 and t / root 2. As they
    # stand, or divided by their largest entries, the first would make the largest singular value 10
    for rtol, rank in ((0.4 * t, 3), (0.6 * t, 2)):
        assert np.trace(projection(A, rtol=rtol)) == pytest.approx(rank, abs=1e-6)
        assert np.sum(leverage_scores(A, rtol=rtol, method="qr")) == pytest.approx(rank, abs=1e-6)


def test_projection_is_analytic_for_complex_input():
    rng = stream(24)
    A, dA, h = rng.standard_normal((6, 2)), rng.standard_normal((6, 2)), 1e-30
    P = projection(A)
    G = np.linalg.inv(A.T @ A)
    half = (np.eye(6) - P) @ dA @ G @ A.T
    np.testing.assert_allclose(np.imag(projection(A + 1j * h * dA)) / h, half + half.T, atol=1e-13)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 9),
    d=st.integers(1, 4),
    batch=st.integers(1, 3),
    k=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_squared_projection(n, d, batch, k, seed):
    rng = stream(seed)
    A = matrix_with_spectrum(n, min(d, n), rng.uniform(0.5, 1, min(d, n)), rng)
    A = np.stack([A * rng.uniform(0.5, 1) for _ in range(batch)])
    U, u = rng.standard_normal((batch, n, k)), rng.standard_normal((batch, n))
    got, one = squared_projection_apply(A, U), squared_projection_apply(A, u)
    assert got.shape == U.shape
    assert one.shape == u.shape
    for i in range(batch):
        squares = projection(A[i]) ** 2
        np.testing.assert_allclose(got[i], squares @ U[i], atol=1e-12)
        np.testing.assert_allclose(one[i], squares @ u[i], atol=1e-12)
        np.testing.assert_allclose(squared_projection_apply(A[i], u[i]), squares @ u[i], atol=1e-12)


def test_squared_projection_on_every_library(xp):
    rng = stream(25)
    A, U = rng.standard_normal((7, 3)), rng.standard_normal((7, 2))
    got = squared_projection_apply(xp.asarray(A), xp.asarray(U))
    np.testing.assert_allclose(to_host(got), projection(A) ** 2 @ U, atol=1e-13)
    # P∘P takes the ones to the leverage scores
    ones = to_host(squared_projection_apply(xp.asarray(A), xp.ones((7,), dtype=xp.float64)))
    np.testing.assert_allclose(ones, by_svd(A), atol=1e-13)


def test_squared_projection_is_analytic():
    rng = stream(26)
    A, dA, u, du = (rng.standard_normal(s) for s in [(6, 2), (6, 2), 6, 6])
    h = 1e-30
    step = np.imag(squared_projection_apply(A + 1j * h * dA, u + 1j * h * du)) / h
    P, dP = projection(A), np.imag(projection(A + 1j * h * dA)) / h
    np.testing.assert_allclose(step, 2 * (P * dP) @ u + P**2 @ du, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 9), d=st.integers(1, 9), ridge=st.floats(1e-3, 10), seed=st.integers(0, 99))
def test_statistical_dimension(n, d, ridge, seed):
    A = stream(seed).standard_normal((n, d))
    squares = np.linalg.svdvals(A) ** 2
    got = statistical_dimension(A, ridge, workers=2)
    assert got.shape == ()
    assert float(got) == pytest.approx(np.sum(squares / (squares + ridge)), rel=1e-9)
    assert float(statistical_dimension(A, 0)) == pytest.approx(min(n, d), abs=1e-9)
    assert float(statistical_dimension(np.hstack([A, A]), 0, rtol=0.5)) <= min(n, d) + 1e-9


# -- counts ----------------------------------------------------------------------------------------------


def counts(f, *shapes, data=True):
    rng = stream(27)
    with count() as costs:
        f(*(counted(rng.uniform(0.5, 1, s)) if data else shape_only(*s) for s in shapes))
    return costs


def test_counts_of_the_ordinary_way():
    n, d = 60, 4
    for costs in (counts(leverage_scores, (n, d), data=data) for data in (True, False)):
        assert costs.multiply_adds == n * d**2 + (d**3 - d) // 6 + d**3 + n * d**2 + n * d
        assert [(x.kind, x.count) for x in costs.factorisations] == [("cholesky", 1), ("inv", 1)]


def test_counts_of_panels():
    n, d = 1400, 150  # panels end at 64, 128, 150
    costs = counts(leverage_scores, (n, d), data=False)
    products = n * (64 * 64 + 128 * 64 + 150 * 22 + 150)
    assert costs.multiply_adds == n * d**2 + (d**3 - d) // 6 + d**3 + products
    # Gram matrices of two blocks (of 8 d rows); their scale, applied twice; Cholesky; the bound of the
    # condition number from row and column sums of two matrices; three panels
    gram, scale, triangle = d**2, 3 * d**2, d * (d - 1) // 2
    bound = 2 * (d**2 + 2 * d * (d - 1) + 2)
    assert costs.arithmetic == gram + scale + triangle + bound + 2 * n
    assert counts(leverage_scores, (1200, d), data=False).arithmetic == costs.arithmetic - gram - 2 * 200


def test_memory_is_that_of_a_block():
    """The result, a triangle or two, and one panel of as many rows as fill the cache, but of 64."""
    d = 10
    held = counts(leverage_scores, (2**30, d), data=False).bytes_peak - 8 * 2**30
    panel = 8 * (2**15 // d) * d
    assert panel < held < 1.5 * panel
    d = 1000
    held = counts(leverage_scores, (2**30, d), data=False).bytes_peak - 8 * 2**30
    assert held < 8 * (4 * d**2 + 2 * 64 * d)


def test_counts_of_sparse_rows():
    n, d, k = 50, 6, 2
    columns = stream(28).integers(0, d, (n, k))
    for data in (True, False):
        place = counted(columns) if data else shape_only(n, k, dtype="int64")
        with count() as costs:
            values = counted(np.ones((n, k))) if data else shape_only(n, k)
            leverage_scores(SparseRows(place, values, d), ridge=0.1)
        assert costs.multiply_adds == n * k * (k + 1) // 2 + (d**3 - d) // 6 + 2 * d**3


def test_counts_of_the_squared_projection():
    n, d, k = 20, 3, 2
    lu = d * (d - 1) * (2 * d - 1) // 6 + d * (d - 1) * d  # d right-hand sides
    costs = counts(squared_projection_apply, (n, d), (n, k))
    assert costs.multiply_adds == n * d**2 * (1 + 2 * k) + 2 * k * lu


WAYS = {
    "plain": lambda A, w, W: leverage_scores(A),
    "weights": lambda A, w, W: leverage_scores(A, w),
    "ridge": lambda A, w, W: leverage_scores(A, w, ridge=0.1),
    "batch": lambda A, w, W: leverage_scores(A, W),
    "batch, one by one": lambda A, w, W: leverage_scores(A, W, method="qr"),
    "qr": lambda A, w, W: leverage_scores(A, w, method="qr"),
    "qr, ridge": lambda A, w, W: leverage_scores(A, w, method="qr", ridge=0.2),
    "cholesky": lambda A, w, W: leverage_scores(A, w, method="cholesky"),
    "projection": lambda A, w, W: projection(A),
    "squared projection": lambda A, w, W: squared_projection_apply(A, w),
    "statistical dimension": lambda A, w, W: statistical_dimension(A, 0.3),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("n", "d"), [(60, 3), (1300, 140)])
def test_counts_without_data_are_those_with_data(way, n, d):
    if way == "projection":
        n = min(n, 200)
    with_data, without = (
        counts(WAYS[way], (n, d), (n,), (3, n), data=data).numbers() for data in (True, False)
    )
    assert with_data == without


def test_counts_at_sizes_that_no_memory_holds():
    n = 2**320
    costs = counts(leverage_scores, (n, 8), data=False)
    assert costs.multiply_adds == 2 * n * 64 + n * 8 + (512 - 8) // 6 + 512


# -- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((np.ones(3),), {}, ValueError, r"A of shape \(3,\): expected a matrix"),
        ((np.ones((0, 3)),), {}, ValueError, r"A of shape \(0, 3\): expected a row and a column or more"),
        ((np.ones((3, 0)),), {}, ValueError, r"A of shape \(3, 0\): expected a row and a column or more"),
        ((np.ones((3, 2), dtype=int),), {}, TypeError, "A of dtype int64: expected real or complex floating"),
        ((np.ones((3, 2)), np.ones(2)), {}, ValueError, r"weights of shape \(2,\): expected \(\.\.\., 3\)"),
        ((np.ones((3, 2)), np.ones(())), {}, ValueError, r"weights of shape \(\): expected \(\.\.\., 3\)"),
        ((np.ones((3, 2)), np.ones(3, dtype=int)), {}, TypeError, "weights of dtype int64"),
        ((np.ones((3, 2)), np.array([1, -1.0, 1])), {}, ValueError, r"weights between -1\.0 and 1\.0"),
        ((np.ones((3, 2)), np.array([1, np.nan, 1])), {}, ValueError, "weights between nan and nan"),
        ((np.ones((3, 2)), np.array([1, np.inf, 1])), {}, ValueError, r"weights between 1\.0 and inf"),
        ((np.ones((3, 2)),), {"ridge": -1}, ValueError, "ridge=-1: expected a finite number >= 0"),
        ((np.ones((3, 2)),), {"ridge": np.inf}, ValueError, "ridge=inf: expected"),
        ((np.ones((3, 2)),), {"ridge": np.nan}, ValueError, "ridge=nan: expected"),
        ((np.ones((3, 2)),), {"ridge": "1"}, ValueError, "ridge='1': expected"),
        ((np.ones((3, 2)),), {"rtol": 1}, ValueError, r"rtol=1: expected a number in \[0, 1\)"),
        ((np.ones((3, 2)),), {"rtol": -1e-9}, ValueError, r"rtol=-1e-09: expected"),
        ((np.ones((3, 2)),), {"method": "lu"}, ValueError, "'lu': expected one of 'auto', 'cholesky', 'qr'"),
        ((np.ones((3, 2)),), {"workers": 0}, ValueError, "workers=0: expected an integer >= 1"),
    ],
)  # fmt: skip
def test_bad_input_is_named(arguments, options, error, message):
    with pytest.raises(error, match=message):
        leverage_scores(*arguments, **options)


def test_bad_input_of_the_others():
    with pytest.raises(ValueError, match=r"A of shape \(3,\): expected \(\.\.\., n, d\)"):
        projection(np.ones(3))
    with pytest.raises(TypeError, match="A of dtype int64"):
        projection(np.ones((3, 2), dtype=int))
    with pytest.raises(ValueError, match="rtol=2"):
        projection(np.ones((3, 2)), rtol=2)
    for shape in [(2,), (2, 3), (3, 1, 1), ()]:
        with pytest.raises(
            ValueError, match=r"expected \(3,\) or \(3,\) and a number of vectors, A is \(3, 2\)"
        ):
            squared_projection_apply(np.ones((3, 2)), np.ones(shape))
    with pytest.raises(TypeError, match="u of dtype int64"):
        squared_projection_apply(np.ones((3, 2)), np.ones(3, dtype=int))
    with pytest.raises(TypeError, match="A of dtype int64"):
        squared_projection_apply(np.ones((3, 2), dtype=int), np.ones(3))
    with pytest.raises(ValueError, match="ridge=-1"):
        statistical_dimension(np.ones((3, 2)), -1)
    with pytest.raises(TypeError, match="Multiple"):
        leverage_scores(np.ones((3, 2)), counted(np.ones(3)))
