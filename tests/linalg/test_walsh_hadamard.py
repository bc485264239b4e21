"""The Walsh-Hadamard transform against SciPy's Hadamard matrices, and what it costs."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import hadamard

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg import walsh_hadamard as module
from touchstone.linalg.walsh_hadamard import hadamard_entries, walsh_hadamard

# Sums of N numbers of size 1, added in a tree of small products: log2 N roundings, and a factor of a few.
ATOL = 1e-14


def close(got, expected, scale=1.0):
    np.testing.assert_allclose(
        got, expected, rtol=0, atol=ATOL * scale * (1 + np.abs(expected).max(initial=0))
    )


def butterflies(X):
    """The textbook's transform of the first axis: log2 N levels of sums and differences."""
    X, half = np.array(X), 1
    while half < len(X):
        box = X.reshape(len(X) // (2 * half), 2, half, -1)
        X = np.stack([box[:, 0] + box[:, 1], box[:, 0] - box[:, 1]], axis=1).reshape(X.shape)
        half *= 2
    return X


def test_the_two_references_agree():
    X = np.random.default_rng(0).normal(size=(2**7, 3))
    close(butterflies(X), hadamard(2**7) @ X)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 9),
    st.lists(st.integers(0, 11), max_size=2),
    st.data(),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_is_the_dense_product(bits, others, data, is_complex, seed):
    axis = data.draw(st.integers(0, len(others)))
    shape = (*others[:axis], 2**bits, *others[axis:])
    rng = np.random.default_rng(seed)
    X = rng.normal(size=shape)
    if is_complex:
        X = X + 1j * rng.normal(size=shape)
    expected = np.moveaxis(np.tensordot(hadamard(2**bits), X, axes=(1, axis)), 0, axis)
    for at in (axis, axis - len(shape)):
        got = walsh_hadamard(X, at)
        assert got.shape == shape
        assert got.dtype == X.dtype
        close(got, expected, 8)


@pytest.mark.parametrize("bits", [0, 1, 6, 7, 13])
@pytest.mark.parametrize("columns", [None, 1, 7, 8, 9])
def test_on_every_library(xp, bits, columns):
    X = np.random.default_rng(bits).normal(size=(2**bits,) if columns is None else (2**bits, columns))
    expected = butterflies(X)
    close(to_host(walsh_hadamard(xp.asarray(X))), expected, 8)
    if columns is not None:
        close(to_host(walsh_hadamard(xp.asarray(X.T), axis=1)), expected.T, 8)
        close(to_host(walsh_hadamard(xp.asarray(X.T), axis=-1)), expected.T, 8)


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_keeps_narrow_numbers_narrow(xp, dtype):
    X = np.random.default_rng(0).normal(size=(256, 9)).astype(dtype)
    got = walsh_hadamard(xp.asarray(X))
    assert to_host(got).dtype == dtype
    np.testing.assert_allclose(to_host(got), hadamard(256) @ X.astype(complex), rtol=0, atol=1e-4)


@pytest.mark.parametrize("columns", [1, 40])
def test_twice_is_a_multiple(columns):
    X = np.random.default_rng(0).normal(size=(2**12, columns))
    close(walsh_hadamard(walsh_hadamard(X)) / 2**12, X, 12)


def test_the_default_axis_is_the_first():
    X = np.random.default_rng(0).normal(size=(4, 2))
    close(walsh_hadamard(X), hadamard(4) @ X)


@pytest.mark.parametrize("columns", [1, 16])
def test_error_in_the_norm(columns):
    X = np.random.default_rng(0).normal(size=(2**14, columns)).astype("float32")
    exact = walsh_hadamard(X.astype("float64"))
    error = np.linalg.norm(walsh_hadamard(X) - exact, axis=0) / np.linalg.norm(exact, axis=0)
    assert np.all(error <= 2**-24 * 14)
    assert np.all(error > 0)


def test_not_a_number_spreads_and_huge_ones_do_not_overflow_early():
    X = np.zeros((64, 9))
    X[3, 2] = np.nan
    got = walsh_hadamard(X)
    assert np.isnan(got[:, 2]).all()
    assert not np.isnan(np.delete(got, 2, axis=1)).any()
    huge = np.full((64, 9), 2.0**1017)
    got = walsh_hadamard(huge)
    assert (got[0] == 2.0**1023).all()
    assert (got[1:] == 0).all()


def test_the_input_is_left_alone():
    X = np.random.default_rng(0).normal(size=(64, 9))
    copy = X.copy()
    walsh_hadamard(X)
    np.testing.assert_array_equal(X, copy)


# -- entries ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", range(8))
def test_entries_are_those_of_the_matrix(xp, bits):
    i = xp.arange(2**bits)
    np.testing.assert_array_equal(to_host(hadamard_entries(i[:, None], i, bits)), hadamard(2**bits))


@pytest.mark.parametrize("bits", [9, 16, 31, 32, 33, 40, 62])
def test_entries_of_matrices_that_no_memory_holds(bits):
    i, j = np.random.default_rng(bits).integers(0, 2**bits, (2, 200))
    expected = [(-1) ** (int(a) & int(b)).bit_count() for a, b in zip(i, j, strict=True)]
    assert hadamard_entries(i, j, bits).tolist() == expected


@pytest.mark.parametrize(
    ("bits", "operations"), [(0, 4), (1, 4), (2, 6), (3, 8), (4, 8), (5, 10), (8, 10), (9, 12), (62, 16)]
)
def test_cost_of_entries(bits, operations):
    with count() as costs:
        hadamard_entries(shape_only(3, 1, dtype="int64"), shape_only(5, dtype="int64"), bits)
    assert costs.arithmetic == 15 * operations
    assert costs.moves == 0


# -- cost ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "columns", "dtype", "parts"),
    [(0, 3, "float64", 1), (5, 3, "float32", 1), (9, 10, "float64", 1), (4, 2, "complex128", 2)],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_counts(bits, columns, dtype, parts, axis):
    n = 2**bits
    shape = (n, columns) if axis == 0 else (columns, n)

    def costs(X):
        with count() as costs:
            assert walsh_hadamard(X, axis).shape == shape
        return costs.numbers()

    numbers = costs(counted(np.ones(shape, dtype=dtype)))
    assert numbers == costs(shape_only(shape, dtype=dtype))
    assert numbers["arithmetic"] == numbers["operations"] == n * bits * columns * parts
    assert numbers["moves"] == n * columns
    assert numbers["bytes_peak"] == n * columns * np.dtype(dtype).itemsize


def test_counts_beyond_any_memory():
    with count() as costs:
        walsh_hadamard(shape_only(2**300, 7, dtype="float32"))
    assert (costs.arithmetic, costs.moves) == (2**300 * 300 * 7, 2**300 * 7)


def test_memory_is_that_of_two_blocks():
    X = np.ones((2**12, 600))  # 20 MB, five blocks
    walsh_hadamard(X[:, :16])
    tracemalloc.start()
    walsh_hadamard(X)
    peak = tracemalloc.get_traced_memory()[1] - X.nbytes
    tracemalloc.stop()
    assert 2 * module.BYTES_PER_BLOCK <= peak <= 2 * module.BYTES_PER_BLOCK + 2**16


# -- blocks and threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3, 50])
@pytest.mark.parametrize(("bits", "columns"), [(3, 1), (6, 5), (7, 8), (5, 21), (6, 40)])
def test_blocks_and_threads_change_nothing(monkeypatch, workers, bits, columns):
    monkeypatch.setattr(module, "BYTES_PER_BLOCK", 1)
    monkeypatch.setattr(module, "NUMBERS_PER_THREAD", 1)
    X = np.random.default_rng(0).normal(size=(2**bits, columns))
    close(walsh_hadamard(X, workers=workers), hadamard(2**bits) @ X, 8)
    close(walsh_hadamard(X[:, ::-1].T, axis=1, workers=workers), (hadamard(2**bits) @ X[:, ::-1]).T, 8)


@pytest.mark.parametrize(
    ("rows", "columns", "workers", "dtype", "expected"),
    [
        (2**14, 70, 1, "float64", [[(0, 32), (32, 64), (64, 70)]]),  # 32 columns of 2^14 numbers are 4 MiB
        (2**14, 70, 1, "float32", [[(0, 64), (64, 70)]]),
        (2**20, 17, 1, "float64", [[(0, 8), (8, 16), (16, 17)]]),  # but no fewer than eight
        (16, 8, 1, "float64", [[(0, 8)]]),
        (2**11, 7, 1, "float64", [[(i, i + 1) for i in range(7)]]),  # few columns go one by one
        (2**10, 7, 1, "float64", [[(0, 7)]]),  # unless they are short
        (2**11, 4, 1, "float64", [[(0, 4)]]),
        (2**11, 5, 1, "float64", [[(i, i + 1) for i in range(5)]]),
        (2**14, 0, 2, "float64", [[]]),
        (2**14, 64, 2, "float64", [[(0, 32)], [(32, 64)]]),
        (2**15, 16, 4, "float64", [[(0, 8)], [(8, 16)]]),  # no thread for fewer than eight columns
        (2**14, 31, 2, "float64", [[(0, 31)]]),  # a millisecond of work is not shared
        (2**14, 32, 2, "float64", [[(0, 16)], [(16, 32)]]),
        (2**14, 34, 2, "float64", [[(0, 17)], [(17, 34)]]),
        (2**18, 3, 2, "float64", [[(0, 1), (2, 3)], [(1, 2)]]),
        (2**17, 3, 2, "float64", [[(0, 1), (1, 2), (2, 3)]]),
    ],
)
def test_blocks_of_columns(monkeypatch, rows, columns, workers, dtype, expected):
    made, right = [], module.ThreadPoolExecutor

    class Pool(right):
        def __init__(self, threads):
            made.append(threads)
            super().__init__(1)  # in order, so that the shares can be told apart

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    kept = []
    buffers = module.Buffers
    monkeypatch.setattr(module, "Buffers", lambda *a: kept.append(a) or buffers(1, a[1]))
    shares = {}

    def run(at, _):
        shares.setdefault(len(kept), []).append((at.start, at.stop))

    module.on_blocks(run, (rows, columns), np.dtype(dtype), workers)
    assert (list(shares.values()) or [[]]) == expected
    assert made == ([len(expected)] if len(expected) > 1 else [])
    widest = max((b - a for share in expected for a, b in share), default=1)
    assert all(numbers == rows * widest for numbers, _ in kept if columns)


@pytest.mark.parametrize(
    ("rows", "columns", "asked"), [(2**14, 1, 1), (2**13, 1, 0), (2**11, 8, 1), (2**18, 16, 1)]
)
def test_blas_takes_one_thread(monkeypatch, rows, columns, asked):
    seen, right = [], module.single_threaded_blas
    monkeypatch.setattr(module, "single_threaded_blas", lambda: seen.append(1) or right())
    walsh_hadamard(np.ones((rows, columns)), workers=2)
    assert len(seen) == asked


@pytest.mark.parametrize(
    ("bits", "width", "factors"),
    [
        *[
            (0, 8, []),
            (1, 8, [1]),
            (2, 8, [2]),
            (3, 8, [3]),
            (4, 8, [2, 2]),
            (5, 8, [2, 3]),
            (7, 8, [2, 2, 3]),
        ],
        *[
            (14, 2, [2, 3, 3, 3, 3]),
            (0, 1, []),
            (1, 1, [1]),
            (6, 1, [6]),
            (7, 1, [1, 6]),
            (14, 1, [2, 3, 3, 6]),
        ],
    ],
)
def test_factors(bits, width, factors):
    assert module._factors(bits, width) == factors


def test_small_matrices_that_are_kept_cannot_be_changed():
    H = module._small(3, np.dtype("float32"))
    assert H is module._small(3, np.dtype("float32"))
    with pytest.raises(ValueError, match="read-only"):
        H[0, 0] = 2


@pytest.mark.parametrize("per_block", [1, 2**7, 3 * 2**7])
def test_other_libraries_take_blocks_of_columns(monkeypatch, per_block):
    import array_api_strict as strict

    monkeypatch.setattr(module, "NUMBERS_PER_GPU_BLOCK", per_block)
    made, right = [], strict.matmul
    monkeypatch.setattr(type(strict.ones(1)), "__matmul__", lambda a, b: made.append(b.shape) or right(a, b))
    X = np.random.default_rng(0).normal(size=(2**7, 5))
    close(to_host(walsh_hadamard(strict.asarray(X))), hadamard(2**7) @ X, 8)
    width = max(1, per_block // 2**7)
    widths = [width] * (5 // width) + ([5 % width] if 5 % width else [])
    assert made == [shape for w in widths for shape in ((1, 64, 2 * w), (64, 2, w))]


# -- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3,), (0,), (6, 2), (12,)])
def test_lengths_that_are_no_power_of_two(shape):
    with pytest.raises(ValueError, match="power of two along axis 0"):
        walsh_hadamard(np.ones(shape))


@pytest.mark.parametrize("axis", [2, -3, 0.0, True, None])
def test_axis(axis):
    with pytest.raises(ValueError, match="axis="):
        walsh_hadamard(np.ones((4, 4)), axis)


@pytest.mark.parametrize("workers", [0, -1])
def test_workers(workers):
    with pytest.raises(ValueError, match=f"workers={workers}"):
        walsh_hadamard(np.ones(4), workers=workers)


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_numbers(dtype):
    with pytest.raises(TypeError, match=f"X of dtype {dtype}"):
        walsh_hadamard(np.ones(4, dtype=dtype))


def test_a_number_is_no_array():
    with pytest.raises(ValueError, match="axis=0"):
        walsh_hadamard(np.ones(()))
