"""Products with triangular Toeplitz matrices, against SciPy's dense ones."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import toeplitz

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg import toeplitz as toeplitz_module
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
    # the way of the other libraries, on the same numbers
    other = to_host(lower_toeplitz_apply(counted(b), size, counted(V), transpose=transpose))
    assert other.shape == V.shape
    np.testing.assert_allclose(other, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("workers", [1, 2, 3, 50])
@pytest.mark.parametrize("per_thread", [1, 64 * 20, 1 << 18])
@pytest.mark.parametrize(("c", "dtype"), [(1, "float64"), (8, "float64"), (21, "float64"), (37, "float32")])
def test_blocks_of_columns_and_threads_change_nothing(monkeypatch, workers, per_thread, c, dtype):
    monkeypatch.setattr(toeplitz_module, "POINTS_PER_THREAD", per_thread)
    monkeypatch.setattr(
        toeplitz_module, "POINTS_PER_BLOCK", 1
    )  # a cache line of columns: 8, or 16 narrow ones
    rng = np.random.default_rng(c)
    b, V = rng.normal(size=30).astype(dtype), rng.normal(size=(30, c)).astype(dtype)
    V = V[:, ::-1]  # not contiguous
    got = lower_toeplitz_apply(b, 30, V, workers=workers)
    assert got.dtype == V.dtype
    np.testing.assert_allclose(got, dense(b, 30) @ V, rtol=0, atol=1e-12 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize(
    ("columns", "workers", "threads"),
    [(64, 8, 4), (64, 3, 3), (24, 8, 3), (24, 1, 1), (16, 8, 2), (15, 8, 1)],
)
def test_threads_come_with_blocks_and_with_work(monkeypatch, columns, workers, threads):
    # 59 points are enough, 60 the next length of small factors: 8 columns a block
    monkeypatch.setattr(toeplitz_module, "POINTS_PER_BLOCK", 1)
    monkeypatch.setattr(toeplitz_module, "POINTS_PER_THREAD", 16 * 60 if columns == 64 else 8 * 60)
    asked = threads_asked_for(monkeypatch)
    lower_toeplitz_apply(np.ones(30), 30, np.ones((30, columns)), workers=workers)
    assert asked == ([threads] if threads > 1 else [])
    lower_toeplitz_apply(np.ones(30), 30, np.ones((30, columns)))  # no more than asked for
    assert len(asked) <= 1


def threads_asked_for(monkeypatch):
    asked, right = [], toeplitz_module.ThreadPoolExecutor

    def watched(count):
        asked.append(count)
        return right(count)

    monkeypatch.setattr(toeplitz_module, "ThreadPoolExecutor", watched)
    return asked


@pytest.mark.parametrize(("size", "threads"), [(2**13, []), (2**14, [2])])
def test_only_work_of_many_milliseconds_is_shared(monkeypatch, size, threads):
    asked = threads_asked_for(monkeypatch)
    lower_toeplitz_apply(np.ones(size), size, np.ones((size, 64)), workers=8)
    assert asked == threads


def test_a_block_is_a_quarter_of_a_mebibyte(monkeypatch):
    seen, right = [], toeplitz_module.scipy_fft.rfft

    def watched(x, n=None):
        seen.append(x.nbytes)
        return right(x, n=n)

    monkeypatch.setattr(toeplitz_module.scipy_fft, "rfft", watched)
    lower_toeplitz_apply(np.ones(2**8), 2**8, np.ones((2**8, 128)))
    assert seen[1:] == [2**18, 2**18]


def test_a_block_holds_as_many_columns_as_the_cache_and_pads_little(monkeypatch):
    seen = []
    right = toeplitz_module.scipy_fft.rfft

    def watched(x, n=None):
        seen.append((x.shape, n))
        return right(x, n=n)

    monkeypatch.setattr(toeplitz_module.scipy_fft, "rfft", watched)
    monkeypatch.setattr(toeplitz_module, "POINTS_PER_BLOCK", 2048)
    lower_toeplitz_apply(np.ones(41), 41, np.ones((41, 55)))
    # 81 = 3^4 points are enough, and 25 rows of them fit 2048
    assert seen == [((41,), 81), ((25, 81), None), ((25, 81), None), ((5, 81), None)]
    seen.clear()
    monkeypatch.setattr(toeplitz_module, "POINTS_PER_BLOCK", 1)  # still a cache line of each row
    lower_toeplitz_apply(np.ones(41), 41, np.ones((41, 16)))
    assert seen == [((41,), 81), ((8, 81), None), ((8, 81), None)]
    seen.clear()
    lower_toeplitz_apply(np.ones(50), 50, np.ones(50))  # 99 has a factor 11, slow in real transforms
    assert seen == [((50,), 100), ((1, 100), None)]


def test_memory_is_that_of_a_block():
    n = 2**10
    b, V = np.ones(n), np.ones((n, 64))
    lower_toeplitz_apply(b, n, V)
    tracemalloc.start()
    result = lower_toeplitz_apply(b, n, V)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # three buffers of 2^15 floats, the spectrum of b and small change; all columns at once would be 2^17 each
    assert peak - result.nbytes <= 8 * (3 * 2**15 + 8 * n)


def test_inputs_are_left_alone_and_mixed_widths_take_the_wider():
    b, V = np.arange(1.0, 6), np.arange(10.0).reshape(5, 2)
    before = b.copy(), V.copy()
    lower_toeplitz_apply(b, 5, V, transpose=True)
    np.testing.assert_array_equal(b, before[0])
    np.testing.assert_array_equal(V, before[1])
    for narrow, wide in [(b.astype("float32"), V), (b, V.astype("float32"))]:
        got = lower_toeplitz_apply(narrow, 5, wide)
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, dense(b, 5) @ V, atol=1e-12)
    assert lower_toeplitz_apply(b, 5, V[:, :0]).shape == (5, 0)


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


def test_bad_workers():
    with pytest.raises(ValueError, match="workers=0: expected an integer >= 1"):
        lower_toeplitz_apply(np.ones(4), 4, np.ones(4), workers=0)
