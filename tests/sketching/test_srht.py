"""The subsampled randomised Hadamard transform against the matrix formed, its plan, and what it costs."""

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.linalg import hadamard

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.leaves import leaves
from touchstone.counting.shapes import shape_only
from touchstone.linalg import walsh_hadamard as transform
from touchstone.sketching import srht as module
from touchstone.sketching.srht import make_plan, srht


def rng(seed=0):
    return np.random.default_rng(seed)


def reference(m, n, seed, signs=True):
    """The matrix, from the same draws: the signs of all columns, then a permutation of all rows."""
    size, state = 2 ** math.ceil(math.log2(n)), rng(seed)
    D = 2 * state.integers(0, 2, n) - 1 if signs else np.ones(n)
    P = state.permutation(size)[:m]
    return hadamard(size)[P][:, :n] * D / math.sqrt(m)


def close(got, expected, atol=1e-13):
    np.testing.assert_allclose(
        to_host(got), expected, rtol=0, atol=atol * (1 + np.abs(expected).max(initial=0))
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 300), st.data(), st.sampled_from([1, 3, 8, 13]), st.booleans(), st.integers(0, 10**6))
def test_is_the_matrix_formed(n, data, c, signs, seed):
    m = data.draw(st.integers(1, 1 << (n - 1).bit_length()))
    A, Y = rng(seed).normal(size=(n, c)), rng(seed + 1).normal(size=(m, c))
    S, D = srht(m, n, rng(seed), signs=signs, like=A), reference(m, n, seed, signs)
    close(S.columns(range(n)), D)
    close(S @ A, D @ A)
    close(S.T @ Y, D.T @ Y)


@pytest.mark.parametrize(
    ("m", "n"), [(1, 300), (5, 300), (40, 300), (256, 300), (512, 300), (3, 3000), (60, 3000)]
)
@pytest.mark.parametrize("c", [1, 9])
def test_large_and_small_samples_on_every_library(xp, m, n, c):
    A, Y = rng(1).normal(size=(n, c)), rng(2).normal(size=(m, c))
    S, D = srht(m, n, rng(3), like=xp), reference(m, n, 3)
    close(S @ xp.asarray(A), D @ A)
    close(S.T @ xp.asarray(Y), D.T @ Y)
    close(S @ xp.asarray(A * (1 + 2j)), D @ A * (1 + 2j))
    close(S.T @ xp.asarray(Y * (1 + 2j)), D.T @ Y * (1 + 2j))


def test_all_rows_are_an_isometry():
    D = srht(128, 100, rng(), like=np).columns(range(100))
    np.testing.assert_allclose(D.T @ D, np.eye(100), atol=1e-15)


@pytest.mark.parametrize(("m", "n"), [(10, 64), (64, 64), (33, 64)])
def test_rows_are_orthogonal(m, n):
    D = srht(m, n, rng(), like=np).columns(range(n))
    np.testing.assert_allclose(D @ D.T, n / m * np.eye(m), atol=1e-14)


def test_a_larger_sketch_goes_on_where_the_smaller_ends():
    small, large = (srht(m, 50, rng(), like=np).columns(range(50)) * math.sqrt(m) for m in (7, 20))
    np.testing.assert_allclose(large[:7], small, rtol=1e-15)


def test_without_signs_a_constant_vector_is_concentrated():
    x = np.ones(64) / 8
    squares = [np.sum((srht(16, 64, rng(seed), signs=False, like=x) @ x) ** 2) for seed in range(40)]
    assert set(np.round(squares, 12)) == {0, 4}  # all of it in one row, which is drawn or not
    signed = [np.sum((srht(16, 64, rng(seed), like=x) @ x) ** 2) for seed in range(40)]
    # the variance is (2/16)(1 - 1/64)(48/63): five deviations are below 1.6
    assert max(np.abs(np.array(signed) - 1)) < 1.6


def test_signs_are_the_default():
    np.testing.assert_array_equal(
        srht(5, 20, rng(), like=np).columns(range(20)),
        srht(5, 20, rng(), signs=True, like=np).columns(range(20)),
    )


def test_every_row_is_drawn_as_often():
    rows = np.concatenate([to_host(srht(3, 7, rng(seed), like=np)._rows) for seed in range(4000)])
    counts = np.bincount(rows, minlength=8)
    # without replacement: the counts of N rows vary by (N - m) / (N - 1) less than independent draws
    statistic = np.sum((counts - 1500) ** 2 / 1500) * 7 / 5
    assert stats.chi2(7).sf(statistic) > 1e-6


# -- the plan --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("m", "n", "size", "inner", "outer"),
    [
        (256, 10_000, 2**14, 32, 313),  # eight rows a product; ceil(10000 / 32) blocks are not all zero
        (257, 10_000, 2**14, 64, 157),
        (1024, 4096, 4096, 128, 32),
        (1025, 4096, 4096, 4096, 1),  # 16 outer rows are not worth a step of their own
        (1, 4096, 4096, 1, 4096),
        (8, 4096, 4096, 1, 4096),
        (9, 4096, 4096, 2, 2048),
        (1, 16, 16, 16, 1),
        (1, 32, 32, 1, 32),
        (64, 2**20, 2**20, 64, 2**14),  # a table of 64 * 2^14 = 2^20 entries, not of 64 * 2^17
        (64, 2**20 + 1, 2**21, 128, 8193),
        (1, 1, 1, 1, 1),
    ],
)
def test_plan(m, n, size, inner, outer):
    rows = rng().permutation(size)[:m]
    plan = make_plan(rows, n, size, np.dtype("float32"))
    assert (plan.inner, plan.outer) == (inner, outer)
    if outer == 1:
        assert plan.table is None
        return
    assert plan.table.shape == (m, outer)
    assert plan.table.dtype == "float32"
    assert plan.table.size <= module.LARGEST_TABLE
    assert sorted(plan.order.tolist()) == list(range(m))
    seen = []
    for j, mine in plan.groups:
        assert (rows[plan.order[mine]] % inner == j).all()
        seen.extend(range(mine.start, mine.stop))
    assert seen == list(range(m))
    assert [j for j, _ in plan.groups] == sorted({int(r) % inner for r in rows})
    for row in (0, m - 1):
        i = int(rows[plan.order[row]]) // inner
        expected = [(-1) ** (i & k).bit_count() for k in range(outer)]
        assert plan.table[row].tolist() == expected


@pytest.mark.parametrize("workers", [1, 2, 50])
@pytest.mark.parametrize("m", [1, 5, 30, 128])
@pytest.mark.parametrize("per_product", [1, 8])
def test_blocks_threads_and_steps_change_nothing(monkeypatch, workers, m, per_product):
    monkeypatch.setattr(transform, "BYTES_PER_BLOCK", 1)
    monkeypatch.setattr(transform, "NUMBERS_PER_THREAD", 1)
    monkeypatch.setattr(module, "ROWS_PER_PRODUCT", per_product)
    monkeypatch.setattr(module, "LEAST_OUTER", 2)
    A, Y = rng(1).normal(size=(100, 21)), rng(2).normal(size=(m, 21))
    S, D = srht(m, 100, rng(3), like=A, workers=workers), reference(m, 100, 3)
    close(S @ A, D @ A)
    close(S.T @ Y, D.T @ Y)
    close(S @ (A * 1j), D @ A * 1j)
    close(S.T @ (Y * 1j), D.T @ Y * 1j)


def test_threads_that_were_asked_for(monkeypatch):
    asked, right = [], module.on_blocks
    monkeypatch.setattr(module, "on_blocks", lambda *a: asked.append(a[1:]) or right(*a))
    S = srht(256, 10_000, rng(), like=np, workers=3)
    S @ np.ones((10_000, 2))
    S.T @ np.ones((256, 2))
    assert asked == 2 * [((313 * 32, 2), np.dtype("float64"), 3)]  # the zeros beyond take no place


def test_a_plan_is_made_once_for_each_precision(monkeypatch):
    made, right = [], module.make_plan
    monkeypatch.setattr(module, "make_plan", lambda *a: made.append(a[3]) or right(*a))
    S = srht(5, 100, rng(), like=np.zeros(1, dtype="float32"))
    for dtype in ("float32", "float64", "float32", "complex64"):
        S @ np.ones((100, 2), dtype=dtype)
        S.T @ np.ones(5, dtype=dtype)
    assert made == [np.dtype("float32"), np.dtype("float64")]


@pytest.mark.parametrize("transpose", [False, True])
def test_memory_is_that_of_two_blocks(transpose):
    m, n, c = 64, 2**12 + 2**9, 300
    S = srht(m, n, rng(), like=np)
    S @ np.ones((n, 8))  # makes the plan
    X = np.ones((m, c) if transpose else (n, c))
    result = 8 * c * (n if transpose else m)
    tracemalloc.start()
    S.T @ X if transpose else S @ X
    peak = tracemalloc.get_traced_memory()[1] - result
    tracemalloc.stop()
    # and a block of sampled rows, sorted
    assert peak <= 2 * transform.BYTES_PER_BLOCK + 3 * 8 * m * 150 + 2**16


@pytest.mark.parametrize("per_block", [1, 3 * 2**7])
def test_other_libraries_take_blocks_of_columns(monkeypatch, per_block):
    import array_api_strict as strict

    monkeypatch.setattr(module, "NUMBERS_PER_GPU_BLOCK", per_block)
    widths, right = [], module.walsh_hadamard
    monkeypatch.setattr(module, "walsh_hadamard", lambda X: widths.append(X.shape) or right(X))
    A, Y = rng(1).normal(size=(100, 5)), rng(2).normal(size=(6, 5))
    S, D = srht(6, 100, rng(3), like=strict), reference(6, 100, 3)
    close(S @ strict.asarray(A), D @ A)
    close(S.T @ strict.asarray(Y), D.T @ Y)
    assert widths == 2 * ([(128, 3), (128, 2)] if per_block > 1 else [(128, 1)] * 5)


# -- costs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [False, True])
@pytest.mark.parametrize(
    ("n", "bits", "folds"),
    [(1, 0, 0), (2, 1, 0), (8, 3, 2), (9, 4, 2), (100, 7, 3), (200, 8, 3), (300, 9, 4)],
)
def test_counts(shapes, n, bits, folds):
    def make(*shape, dtype="float64"):
        return shape_only(shape, dtype=dtype) if shapes else counted(np.zeros(shape, dtype=dtype))

    m, c, k = 1 if n == 1 else 2, 5, 4
    with count() as costs:
        with costs.phase("draw") as draw:
            S = srht(m, n, rng(), like=make(1))
        with costs.phase("apply") as apply:
            S @ make(n, c)
        with costs.phase("transpose") as transpose:
            S.T @ make(m, c)
        with costs.phase("complex") as is_complex:
            S @ make(n, c, dtype="complex128")
        with costs.phase("columns") as columns:
            S.columns(make(k, dtype="int64"))
    assert (draw.moves, draw.operations) == (n + m, 0)
    once = c * (n + 2**bits * bits)
    for phase, operations, moves in (
        (apply, once, m * c),
        (transpose, once, n * c),
        (is_complex, 2 * once, m * c),
    ):
        assert phase.arithmetic == phase.operations == operations
        assert phase.moves == moves
    assert columns.arithmetic == columns.operations == (5 + 2 * folds) * m * k
    assert columns.moves == m * k + m + 2 * k


def test_what_it_holds_is_signs_and_rows():
    S = srht(5, 100, rng(), like=np)
    S @ np.ones(100)  # the plan is made of them
    assert sorted(len(x) for _, x in leaves(S) if isinstance(x, np.ndarray)) == [5, 100]


# -- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "n", "most"), [(9, 8, 8), (17, 9, 16), (2, 1, 1)])
def test_more_rows_than_there_are(m, n, most):
    with pytest.raises(ValueError, match=f"m={m}: expected at most {most}, which is n={n} rounded up"):
        srht(m, n, rng(), like=np)
    assert srht(most, n, rng(), like=np).shape == (most, n)


def test_workers():
    with pytest.raises(ValueError, match="workers=0"):
        srht(2, 4, rng(), like=np, workers=0)
