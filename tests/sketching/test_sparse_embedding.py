"""CountSketch and OSNAP: where their entries lie, against loops over columns; blocks, threads and costs."""

import math
import sys
import tracemalloc
import types
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.sketching import sparse_embedding as module
from touchstone.sketching.sparse_embedding import LAYOUTS, count_sketch, osnap


def rng(seed=0):
    return np.random.default_rng(seed)


def dense(S):
    return to_host(S.columns(range(S.shape[1])))


def block_ends(m, s):
    return [math.floor(j * m / s) for j in range(s + 1)]


# -- where the entries lie -------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 12), st.integers(1, 30), st.data(), st.sampled_from(LAYOUTS), st.integers(0, 10**6))
def test_entries(m, n, data, layout, seed):
    s = data.draw(st.integers(1, m))
    D = dense(osnap(m, n, s, rng(seed), layout=layout, like=np))
    nonzero = D != 0
    assert (nonzero.sum(axis=0) == s).all()  # different rows
    np.testing.assert_allclose(np.abs(D[nonzero]), 1 / math.sqrt(s), rtol=1e-15)
    if layout == "blocks":
        ends = block_ends(m, s)
        for low, high in pairwise(ends):
            assert (nonzero[low:high].sum(axis=0) == 1).all()


def test_the_draws_one_by_one():
    """The uniform layout in plain loops: R. Floyd's sampling, with a sign in the last bit of every draw."""
    m, n, s = 7, 50, 4
    state, expected = rng(5), np.zeros((m, n))
    chosen = [set() for _ in range(n)]
    for last in range(m - s, m):
        for j, draw in enumerate(state.integers(0, 2 * last + 2, n, dtype=np.int32).tolist()):
            row = last if draw // 2 in chosen[j] else draw // 2
            chosen[j].add(row)
            expected[row, j] = (-1) ** draw / 2
    np.testing.assert_array_equal(dense(osnap(m, n, s, rng(5), like=np)), expected)


def test_the_draws_block_by_block():
    m, n, s = 11, 50, 4
    state, expected = rng(5), np.zeros((m, n))
    for low, high in ((0, 2), (2, 5), (5, 8), (8, 11)):
        for j, draw in enumerate(state.integers(2 * low, 2 * high, n, dtype=np.int32).tolist()):
            expected[draw // 2, j] = (-1) ** draw / 2
    np.testing.assert_array_equal(dense(osnap(m, n, s, rng(5), layout="blocks", like=np)), expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_count_sketch_is_the_case_of_one_entry(layout):
    one = dense(osnap(6, 40, 1, rng(2), layout=layout, like=np))
    np.testing.assert_array_equal(dense(count_sketch(6, 40, rng(2), like=np)), one)


def test_uniform_is_the_default_layout():
    np.testing.assert_array_equal(
        dense(osnap(6, 40, 3, rng(2), like=np)), dense(osnap(6, 40, 3, rng(2), layout="uniform", like=np))
    )


def test_every_set_of_rows_and_every_sign_is_as_likely():
    m, s, n = 5, 2, 40_000
    D = dense(osnap(m, n, s, rng(), like=np))
    counts = [
        np.sum((D[i] * a > 0) & (D[j] * b > 0))
        for i, j in combinations(range(m), s)
        for a in (1, -1)
        for b in (1, -1)
    ]
    assert sum(counts) == n
    assert stats.chisquare(counts).pvalue > 1e-6  # a right sampler fails one seed in a million


def test_every_row_of_a_block_and_every_sign_is_as_likely():
    m, s, n = 8, 3, 40_000  # blocks of 2, 3 and 3 rows
    D = dense(osnap(m, n, s, rng(), layout="blocks", like=np))
    ends = block_ends(m, s)
    rows = [np.argmax(D[a:b] != 0, axis=0) * 2 + (D[a:b].sum(axis=0) < 0) for a, b in pairwise(ends)]
    counts = np.bincount(rows[0] * 36 + rows[1] * 6 + rows[2], minlength=4 * 6 * 6)
    assert stats.chisquare(counts).pvalue > 1e-6


def test_columns_are_independent():
    # rows and signs of two neighbouring columns, 16 pairs
    D = np.stack([dense(count_sketch(2, 2, rng(seed), like=np)) for seed in range(4000)])
    codes = np.argmax(D != 0, axis=1) * 2 + (D.sum(axis=1) < 0)
    assert stats.chisquare(np.bincount(codes[:, 0] * 4 + codes[:, 1], minlength=16)).pvalue > 1e-6


def test_more_rows_than_32_bits_hold():
    m = 2**31
    S = osnap(m, 6, 2, rng(1), like=np)
    assert S._entries.dtype == np.int64
    assert S._entries.max() > 2**31
    A = rng(2).normal(size=(6, 1))
    # S.T @ (S @ A) needs 2^31 rows; the entries alone tell whether they are read rightly
    rows, signs = S._entries >> 1, 1 - 2 * (S._entries & 1)
    assert (rows < m).all()
    block = S._block(slice(0, 6), A.dtype)
    np.testing.assert_array_equal(block.indices.reshape(6, 2), rows)
    np.testing.assert_array_equal(block.data.reshape(6, 2), signs / math.sqrt(2))
    assert osnap(2**30, 6, 2, rng(1), like=np)._entries.dtype == np.int32
    for draw in (module._uniform_rows, module._rows_in_blocks):  # in the dtype in which they are kept
        assert draw(2**30, 6, 2, rng(1)).dtype == np.int32
        assert draw(2**30 + 1, 6, 2, rng(1)).dtype == np.int64
    assert osnap(2**30 + 1, 6, 2, rng(1), layout="blocks", like=np)._entries.dtype == np.int64


# -- blocks and threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3, 50])
@pytest.mark.parametrize(("m", "n", "s"), [(3, 100, 1), (2, 97, 2), (5, 64, 3), (4, 5, 2)])
@pytest.mark.parametrize("columns", [1, 6])
def test_blocks_and_threads_change_nothing(monkeypatch, workers, m, n, s, columns):
    monkeypatch.setattr(module, "ENTRIES_PER_BLOCK", 1)
    monkeypatch.setattr(module, "ROWS_PER_BLOCK", 2)
    monkeypatch.setattr(module, "ROWS_PER_THREAD", 1)
    A, Y = rng(1).normal(size=(n, columns)), rng(2).normal(size=(m, columns))
    S = osnap(m, n, s, rng(), like=A, workers=workers)
    D = dense(S)
    np.testing.assert_allclose(S @ A, D @ A, atol=1e-12)
    np.testing.assert_allclose(S.T @ Y, D.T @ Y, atol=1e-12)
    B = sparse.random_array((n, 5), density=0.3, rng=rng(3), format="csr")
    np.testing.assert_allclose(S @ B, D @ B.toarray(), atol=1e-12)
    rows = SparseRows(rng(4).integers(0, 5, (n, 2)), rng(5).normal(size=(n, 2)), 5)
    np.testing.assert_allclose(S @ rows, D @ rows.dense(), atol=1e-12)


@pytest.mark.parametrize(
    ("m", "n", "s", "workers", "shares"),
    [
        (10, 2**16, 1, 1, [[2**16]]),
        (10, 2**17 - 1, 1, 1, [[2**17 - 1]]),  # blocks are never shorter than the cache allows
        (10, 2**17, 1, 1, [[2**16, 2**16]]),
        (10, 2**17, 4, 1, [[2**14] * 8]),  # the cache counts entries
        (10, 2**17, 1, 2, [[2**16], [2**16]]),
        (10, 2**17, 1, 3, [[2**16], [2**16]]),  # nor are threads started for less
        (10, 3 * 2**16, 1, 2, [[98304], [98304]]),
        (2**13, 2**17, 1, 1, [[2**17]]),  # 16 columns a row, so that sums of blocks are cheap
        (2**13, 2**18, 1, 1, [[2**17, 2**17]]),
        (2**13, 2**18 - 1, 1, 1, [[2**18 - 1]]),
        (2**15, 2**18, 1, 2, [[2**17], [2**17]]),  # 4 columns a row for a thread
        (2**15 + 1, 2**18, 1, 2, [[2**18]]),
        (10, 2**18 + 1, 1, 2, [[65537, 65537], [65537, 65534]]),
        (5, 7, 5, 4, [[7]]),
    ],
)
def test_shares_of_the_threads(monkeypatch, m, n, s, workers, shares):
    S = osnap(m, n, s, rng(), layout="blocks", like=np, workers=workers)
    got = S._shares()
    assert [[at.stop - at.start for at in blocks] for blocks in got] == shares
    flat = [at for blocks in got for at in blocks]
    assert [at.start for at in flat] == [0, *(at.stop for at in flat[:-1])]
    assert flat[-1].stop == n


def test_as_many_threads_as_shares(monkeypatch):
    asked, right = [], module.ThreadPoolExecutor
    monkeypatch.setattr(module, "ThreadPoolExecutor", lambda k: asked.append(k) or right(k))
    count_sketch(4, 2**17, rng(), like=np, workers=2) @ np.ones(2**17)
    assert asked == [2]
    count_sketch(4, 2**17, rng(), like=np) @ np.ones(2**17)
    assert asked == [2]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_is_that_of_a_block(dtype):
    A = np.ones((2**19, 10), dtype=dtype)
    S = count_sketch(100, 2**19, rng(), like=A)
    S @ A[: 2**19]
    tracemalloc.start()
    S @ A
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # codes, signs, rows and pointers of one block, two results, and the SciPy matrix around them
    assert peak <= 2**16 * (4 * 4 + 8 + 4) + 3 * 100 * 10 * A.itemsize + 2**14


# -- the way of a GPU ------------------------------------------------------------------------------------


@pytest.fixture
def as_cupy(monkeypatch):
    """NumPy arrays that pass for CuPy's, with SciPy in the place of CuPy's sparse matrices."""
    import array_api_compat

    cupy, cupyx = types.ModuleType("cupy"), types.ModuleType("cupyx")
    cupy.add = np.add
    fakes = {"cupy": cupy, "cupyx": cupyx, "cupyx.scipy": sparse, "cupyx.scipy.sparse": sparse}
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    monkeypatch.setattr(array_api_compat, "is_cupy_namespace", lambda xp: True)
    for name in ("_sums", "_gathers", "_spread"):  # not the way of NumPy
        monkeypatch.setattr(module._SparseEmbedding, name, None)


@pytest.mark.parametrize(("m", "n", "s"), [(5, 40, 1), (7, 40, 3), (4, 4, 4), (1, 1, 1), (50, 6, 2)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_products_of_a_gpu(as_cupy, m, n, s, dtype):
    A, Y = rng(1).normal(size=(n, 3)).astype(dtype), rng(2).normal(size=(m, 3)).astype(dtype)
    S = osnap(m, n, s, rng(), like=np.zeros(1, dtype="float32"))
    D = dense(S)
    expected = np.result_type("float32", dtype)
    for got, right in ((S @ A, D @ A), (S.T @ Y, D.T @ Y), (S @ A[:, 0], D @ A[:, 0])):
        assert got.dtype == expected
        np.testing.assert_allclose(got, right, atol=1e-5 if dtype == "float32" else 1e-13)
    rows = SparseRows(rng(4).integers(0, 5, (n, 2)), rng(5).normal(size=(n, 2)).astype(dtype), 5)
    got = S @ rows
    assert got.dtype == expected
    np.testing.assert_allclose(got, D @ rows.dense(), atol=1e-5 if dtype == "float32" else 1e-13)


# -- costs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shapes", [False, True])
def test_counts(shapes, layout):
    def make(*shape, dtype="float64"):
        return shape_only(shape, dtype=dtype) if shapes else counted(np.zeros(shape, dtype=dtype))

    m, n, s, c, k, d = 7, 23, 3, 4, 5, 6
    with count() as costs:
        with costs.phase("draw") as draw:
            S = osnap(m, n, s, rng(), layout=layout, like=make(1))
        with costs.phase("apply") as apply:
            S @ make(n, c)
        with costs.phase("transpose") as transpose:
            S.T @ make(m, c)
        with costs.phase("complex") as is_complex:
            S @ make(n, c, dtype="complex128")
        with costs.phase("rows") as rows:
            S @ SparseRows(make(n, 2, dtype="int64"), make(n, 2), d)
        with costs.phase("complex rows") as complex_rows:
            S @ SparseRows(make(n, 2, dtype="int64"), make(n, 2, dtype="complex64"), d)
        with costs.phase("columns") as columns:
            S.columns(make(k, dtype="int64"))
    assert (draw.moves, draw.operations) == (n * s, 0)
    for phase, adds, moves in (
        (apply, n * s * c, m * c),
        (transpose, n * s * c, n * c),
        (is_complex, 2 * n * s * c, m * c),
        (rows, 2 * n * s, m * d),
        (complex_rows, 4 * n * s, m * d),
    ):
        assert phase.multiply_adds == phase.operations == adds
        assert phase.moves == moves
    assert columns.arithmetic == columns.operations == 8 * k * s
    assert columns.moves == k * (m + 3 * s + 1)


def test_bytes_of_a_product_are_those_of_its_result():
    S, A = count_sketch(5, 40, rng(), like=counted(np.ones(1))), counted(np.ones((40, 3)))
    with count() as costs:
        S @ A
    assert costs.bytes_peak == 5 * 3 * 8


@pytest.mark.parametrize("layout", LAYOUTS)
def test_as_a_sparse_matrix(xp, layout):
    S = osnap(7, 20, 3, rng(), layout=layout, like=xp.empty((0,), dtype=xp.float32))
    matrix = S.sparse_matrix()
    assert (matrix.shape, matrix.nnz, matrix.dtype) == ((7, 20), 60, np.dtype("float32"))
    np.testing.assert_array_equal(matrix.toarray(), dense(S))
    with pytest.raises(TypeError):
        osnap(7, 20, 3, rng(), layout=layout, like=shape_only((1,))).sparse_matrix()


# -- what they refuse ------------------------------------------------------------------------------------


def test_more_entries_than_rows():
    with pytest.raises(ValueError, match="s=4: expected at most m=3"):
        osnap(3, 10, 4, rng(), like=np)
    assert osnap(3, 10, 3, rng(), like=np).touched == 3


@pytest.mark.parametrize("s", [0, -1, 1.0, True])
def test_entries_of_a_column(s):
    with pytest.raises(ValueError, match=f"s={s}: expected an integer >= 1"):
        osnap(3, 10, s, rng(), like=np)


@pytest.mark.parametrize("workers", [0, 1.5])
def test_workers(workers):
    with pytest.raises(ValueError, match=f"workers={workers}"):
        count_sketch(3, 10, rng(), like=np, workers=workers)


def test_layout():
    with pytest.raises(ValueError, match="layout='rows': expected one of 'uniform', 'blocks'"):
        osnap(3, 10, 2, rng(), layout="rows", like=np)
