"""Bases that make columns orthonormal, on each of the three ways to them."""

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.instances.matrices import matrix_with_spectrum
from touchstone.linalg import whitening as module
from touchstone.linalg.leverage import leverage_scores
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.linalg.whitening import Rows, condition_limits, rank_tolerance, smallest_norm, whitening


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 12), d=st.integers(1, 8), rank=st.integers(0, 8), seed=st.integers(0, 99))
def test_columns_become_orthonormal_and_keep_their_span(n, d, rank, seed):
    rng = stream(seed)
    rank = min(rank, n, d)
    A = rng.standard_normal((n, rank)) @ rng.standard_normal((rank, d))
    T = whitening(A)
    assert T.shape == (d, np.linalg.matrix_rank(A, rtol=1e-9))
    Q = A @ T
    np.testing.assert_allclose(Q.T @ Q, np.eye(T.shape[1]), atol=1e-8)
    np.testing.assert_allclose(Q @ (Q.T @ A), A, atol=1e-8 * (1 + np.abs(A).max()))


@pytest.mark.parametrize("decades", [0, 2, 4, 5.5, 7, 9])
def test_how_nearly(decades, xp):
    A = matrix_with_spectrum(60, 4, 10.0 ** (-decades * np.linspace(0, 1, 4)), stream(1))
    Q = A @ to_host(whitening(xp.asarray(A)))
    # orthonormal to u κ^2 on the first way (to κ = 980), u κ on the others; with room for 20 roundings
    kappa = 10.0**decades
    assert np.max(np.abs(Q.T @ Q - np.eye(4))) <= 20 * 2.0**-53 * (kappa**2 if kappa < 980 else kappa)


@pytest.mark.parametrize(("kappa", "way"), [(975, 1), (985, 2), (9.55e5, 2), (9.65e5, 3)])
def test_where_the_ways_part(monkeypatch, kappa, way):
    """u^(-3/16) = 981 and u^(-3/8) = 961548, of the condition number itself, not a bound of it."""
    seen = []
    for name in ("_repair", "_from_triangle"):
        real = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a, real=real, name=name: seen.append(name) or real(*a))
    # two columns of norm 1 at an angle t have condition number 1 / tan(t / 2)
    t = 2 * np.arctan(1 / kappa)
    A = np.array([[1, np.cos(t)], [0, np.sin(t)], [0, 0]])
    whitening(A)
    assert seen == {1: [], 2: ["_repair"], 3: ["_from_triangle", "_repair"]}[way]


@pytest.mark.parametrize("d", [1, 3, 4, 7])
def test_scores_add_up_over_panels_of_columns(monkeypatch, d):
    monkeypatch.setattr(module, "PANEL", 3)
    A = stream(0, "panels", d).standard_normal((20, d))
    Q, _ = scipy.linalg.qr(A, mode="economic")
    np.testing.assert_allclose(leverage_scores(A), np.sum(Q * Q, axis=1), rtol=1e-12)


def test_the_condition_of_orthonormal_columns_is_one():
    assert module._condition(np.eye(3), np.eye(3), 10.0) == 1.0
    assert module._condition(np.diag([2.0, 1.0]), np.diag([0.5, 1.0]), 10.0) == 2.0


def test_limits():
    once, twice = condition_limits(np.float64, np)
    assert once == pytest.approx(2 ** (53 * 3 / 16))
    assert twice == pytest.approx(once**2)
    once, twice = condition_limits(np.float32, np)
    assert once == pytest.approx(2 ** (24 * 3 / 16))
    assert twice == pytest.approx(once**2)
    assert rank_tolerance(1e-10, 5, np.float64, np) == 1e-10
    assert rank_tolerance(0, 5, np.float64, np) == pytest.approx(40 * 2.0**-52, abs=0)
    assert rank_tolerance(1e-10, 5, np.float32, np) == pytest.approx(40 * 2.0**-23, abs=0)
    assert smallest_norm(np.float64, 9, np) == pytest.approx(3 * np.sqrt(2.0**-1022 * 2.0**52), abs=0)


def test_float32_and_sparse_rows():
    rng = stream(2)
    columns, values = rng.integers(0, 4, (40, 2)), rng.standard_normal((40, 2)).astype(np.float32)
    A = SparseRows(columns, values, 4)
    T = whitening(A)
    assert T.dtype == np.float32
    Q = A.dense() @ T
    np.testing.assert_allclose(Q.T @ Q, np.eye(4), atol=1e-5)


def test_threads_and_blocks_change_nothing(monkeypatch):
    A = matrix_with_spectrum(700, 5, 10.0 ** -np.linspace(0, 4, 5), stream(3))
    monkeypatch.setattr(module, "ENTRIES_PER_BLOCK", 5 * 60)
    first = whitening(A)
    np.testing.assert_array_equal(whitening(A, workers=2), first)
    monkeypatch.setattr(module, "ENTRIES_PER_BLOCK", 1 << 17)
    Q, P = A @ first, A @ whitening(A)
    np.testing.assert_allclose(Q @ Q.T, P @ P.T, atol=1e-11)


def test_the_triangle_is_that_of_one_factorisation(monkeypatch):
    A, start = stream(4).standard_normal((90, 3)), np.diag([1.0, 2.0, 0.0])
    monkeypatch.setattr(module, "ENTRIES_PER_BLOCK", 1)  # blocks of 12 rows, the least
    R = Rows(A, np.full(90, 4.0), np.array([1.0, 2.0, 4.0])).triangle(start)
    expected = scipy.linalg.qr(np.vstack([start, 2 * A / [1, 2, 4]]), mode="r")[0][:3]
    np.testing.assert_allclose(np.abs(R), np.abs(expected), atol=1e-13)
    np.testing.assert_array_equal(Rows(A).largest(), np.max(np.abs(A), axis=0))


def test_the_size_of_blocks(monkeypatch):
    """What fits the cache of a core, 64 times as much on a GPU; some products take at least 8 d, 4 d rows."""
    seen = []
    real = module.map_rows
    monkeypatch.setattr(
        module, "map_rows", lambda *a, block, **k: seen.append(block) or real(*a, block=block, **k)
    )
    for d in (3, 100, 1000):
        rows = Rows(np.ones((5, d)))
        rows.map(lambda X: X, reduce="concatenate")
        rows.gram(1)
        rows.triangle(np.eye(d))
    assert seen == [10922, 10922, 10922, 327, 800, 400, 64, 8000, 4000]
    monkeypatch.setattr(module, "block_factor", lambda like: 64)
    Rows(np.ones((5, 100))).map(lambda X: X, reduce="concatenate")
    assert seen[-1] == 64 * 2**15 // 100


@pytest.mark.parametrize(("n", "d"), [(50, 3), (900, 100)])
def test_counts_without_data_are_those_with_data(n, d):
    for shape in ((n, d), (d - 1, d)):
        with count() as with_data:
            whitening(counted(stream(5).uniform(0.1, 1, shape)))
        with count() as without:
            whitening(shape_only(*shape))
        if shape[0] == n:
            assert with_data.numbers() == without.numbers()
            assert without.multiply_adds == n * d**2 + (d**3 - d) // 6 + d**3
        else:  # a matrix with fewer rows than columns has less than full rank, which only data shows
            assert with_data.multiply_adds <= without.multiply_adds


def test_bad_input_is_named():
    for shape in [(3,), (0, 2), (2, 0), (2, 2, 2)]:
        with pytest.raises(
            ValueError, match=r"A of shape .*: expected a matrix with a row and a column or more"
        ):
            whitening(np.ones(shape))
    with pytest.raises(TypeError, match="A of dtype complex128: expected real floating numbers"):
        whitening(np.ones((2, 2)) + 0j)
    with pytest.raises(ValueError, match=r"A of shape \(2, 2\): expected finite entries"):
        whitening(np.array([[1, np.nan], [0, 1]]))
