"""Sums of convolutions: decomposition, recovery, exponential and attention, against dense matrices."""

import math
import re

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.attention import conv_basis
from touchstone.attention.conv_basis import (
    ConvBasis,
    conv_attention,
    conv_decompose,
    conv_exponential,
    conv_recover,
)
from touchstone.attention.exact import attention
from touchstone.counting.array import count, counted
from touchstone.counting.costs import ShapeOnlyError
from touchstone.counting.shapes import shape_only


def convolution(b, m, n):
    """conv(b, m) entry by entry, from its definition."""
    H = np.zeros((n, n))
    for j in range(n - m, n):
        for i in range(j, n):
            H[i, j] = b[i - j]
    return H


def written_out(bases, sizes, n):
    return sum(convolution(b, m, n) for b, m in zip(bases, sizes, strict=True))


def break_columns(H, tol=0.0):
    """Columns that are not the downward shift of the one before, one entry at a time."""
    n, breaks = len(H), []
    for j in range(n):
        before = [0.0] * n if j == 0 else [0.0, *H[: n - 1, j - 1]]
        if any(abs(H[i, j] - before[i]) > tol for i in range(j, n)):
            breaks.append(j)
    return breaks


@st.composite
def structured(draw, whole=False):
    """Bases and sizes of a random matrix; with ``whole`` the first block is the whole matrix."""
    n = draw(st.integers(1, 24))
    sizes = sorted(draw(st.sets(st.integers(1, n), min_size=1, max_size=6)), reverse=True)
    if whole:
        sizes = sorted({n, *sizes}, reverse=True)
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    return [rng.normal(size=m) for m in sizes], sizes, n


@settings(max_examples=60, deadline=None)
@given(structured(), st.integers(0, 3))
def test_operator_is_its_matrix(instance, c):
    bases, sizes, n = instance
    H, matrix = ConvBasis(bases, sizes, n), written_out(*instance)
    V = np.random.default_rng(n).normal(size=(n, c) if c else n)
    assert H.shape == H.T.shape == (n, n)
    np.testing.assert_allclose(H.dense(), matrix, atol=1e-14)
    np.testing.assert_allclose(H.T.dense(), matrix.T, atol=1e-14)
    np.testing.assert_allclose(H @ V, matrix @ V, atol=1e-12)
    np.testing.assert_allclose(H.T @ V, matrix.T @ V, atol=1e-12)
    np.testing.assert_allclose(H.T.T @ V, matrix @ V, atol=1e-12)
    assert float(H.maximum()) == pytest.approx(np.max(matrix[np.tri(n) > 0]), abs=1e-14)
    for column, m in zip(H.first_columns(), sizes, strict=True):
        np.testing.assert_allclose(column, matrix[n - m :, n - m], atol=1e-14)


@settings(max_examples=60, deadline=None)
@given(structured())
def test_decompose_finds_what_was_put_together(instance):
    bases, sizes, n = instance
    bases = [np.round(8 * b) for b in bases]  # whole numbers: sums are exact
    matrix = written_out(bases, sizes, n)
    kept = [i for i, b in enumerate(bases) if np.any(b)]
    if not kept:
        return
    H = conv_decompose(matrix)
    assert list(H.sizes) == [sizes[i] for i in kept] == [n - j for j in break_columns(matrix)]
    for b, i in zip(H.bases, kept, strict=True):
        np.testing.assert_array_equal(b, bases[i])
    np.testing.assert_array_equal(H.dense(), matrix)


@pytest.mark.parametrize(
    ("matrix", "terms"),
    [
        (np.tri(16), 1),
        (np.eye(16), 1),
        (np.diag(np.arange(1.0, 17)), 16),
        (np.tril(np.random.default_rng(0).normal(size=(16, 16))), 16),
        (convolution(np.asarray([0.0, 0, 5]), 3, 16), 1),
        (np.outer(np.arange(16) == 7, np.arange(16) == 3) * 1.0, 2),  # an entry, and what takes it back
        (np.outer(np.arange(16) == 15, np.arange(16) == 3) * 1.0, 1),  # in the last row nothing follows
        (np.ones((1, 1)), 1),
    ],
)
def test_number_of_terms(matrix, terms):
    H = conv_decompose(matrix)
    assert len(H.sizes) == terms == len(break_columns(matrix))
    np.testing.assert_allclose(H.dense(), matrix, atol=1e-14)


def test_tolerance_does_not_drift():
    n, step = 40, 1e-3  # every column differs from the one before by less than the tolerance
    matrix = np.tril(np.ones((n, n)) + step * np.arange(n))
    H = conv_decompose(matrix, tol=2.5 * step)
    assert len(H.sizes) == math.ceil(n / 3)
    assert np.max(np.abs(H.dense() - matrix)) <= 2.5 * step
    assert len(conv_decompose(matrix, tol=0.5 * step).sizes) == n
    assert len(conv_decompose(matrix, tol=n * step).sizes) == 1


@settings(max_examples=60, deadline=None)
@given(structured())
def test_exponential_is_entrywise(instance):
    H = ConvBasis(*instance)
    expected = np.tril(np.exp(written_out(*instance) - 0.7))
    E = conv_exponential(H, shift=0.7)
    assert E.sizes[0] == H.n
    np.testing.assert_allclose(E.dense(), expected, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(conv_exponential(H.T, shift=0.7).dense(), expected.T, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(conv_exponential(H).dense(), conv_exponential(H, shift=0.0).dense())


@settings(max_examples=60, deadline=None)
@given(structured(), st.integers(1, 4))
def test_attention_is_dense_attention(instance, d):
    n = instance[2]
    V = np.random.default_rng(d).uniform(-1, 1, (n, d))
    expected = attention(written_out(*instance), np.eye(n), V, scale=1.0, mask="causal")
    # logits within 10 of one another: rows lose at most e^10 of the digits
    np.testing.assert_allclose(conv_attention(ConvBasis(*instance), V), expected, atol=1e-9)


def test_threads_change_nothing(monkeypatch):
    H = planted(40, 3, np.random.default_rng(2))
    V = np.random.default_rng(3).uniform(-1, 1, (40, 20))
    np.testing.assert_array_equal(H.apply(V, workers=3), H @ V)
    np.testing.assert_array_equal(H.T.apply(V, workers=3), H.T @ V)
    np.testing.assert_array_equal(conv_attention(H, V, workers=3), conv_attention(H, V))
    right, asked = conv_basis.lower_toeplitz_apply, []

    def watched(*args, workers, **changes):
        asked.append(workers)
        return right(*args, workers=workers, **changes)

    monkeypatch.setattr(conv_basis, "lower_toeplitz_apply", watched)
    conv_attention(H, V)
    conv_attention(H, V, workers=2)
    H.apply(V)
    assert asked == [1, 1, 1, 2, 2, 2, 1, 1, 1]
    with pytest.raises(ValueError, match="workers=0"):
        conv_attention(H, V, workers=0)


def test_attention_with_large_logits_is_shifted_once():
    b = np.asarray([1000.0, 998.0, 1001.0, 999.0])
    V = np.arange(4.0)[:, None]
    expected = attention(ConvBasis([b], [4]).dense(), np.eye(4), V, scale=1.0, mask="causal")
    np.testing.assert_allclose(conv_attention(ConvBasis([b], [4]), V), expected, atol=1e-14)


def test_a_single_token():
    H = ConvBasis([np.asarray([3.0])], [1])
    np.testing.assert_allclose(conv_attention(H, np.asarray([[2.0, 5.0]])), [[2.0, 5.0]])


# -- recovery --------------------------------------------------------------------------------------------

T, DELTA = 4, 4.0


def planted(n, k, rng):
    sizes = [n, *sorted((int(m) for m in rng.choice(np.arange(T, n), k - 1, replace=False)), reverse=True)]
    bases = []
    for m in sizes:
        b = 0.3 * rng.normal(size=m)
        b[:T] = DELTA / T * rng.uniform(1.2, 2, T)
        bases.append(b)
    return ConvBasis(bases, sizes)


@settings(max_examples=80, deadline=None)
@given(st.integers(6, 90), st.integers(1, 8), st.sampled_from([0.0, 0.05, 0.2]), st.integers(0, 10**6))
def test_recovers_every_size(n, k, eps, seed):
    rng = np.random.default_rng(seed)
    k = min(k, n - T + 1)
    H = planted(n, k, rng)
    noisy = np.tril(H.dense() + eps * rng.uniform(-1, 1, (n, n)))
    probed = []

    def column(j):
        probed.append(j)
        return noisy[:, j]

    found = conv_recover(column, n, k, T, DELTA, eps)
    assert found.sizes == H.sizes
    assert len(probed) <= k * (math.ceil(math.log2(n)) + 1)
    assert np.max(np.abs(found.dense() - noisy)) <= 2 * eps + 1e-12
    for first, m in zip(found.first_columns(), found.sizes, strict=True):
        np.testing.assert_allclose(first, noisy[n - m :, n - m], atol=1e-12)


def test_a_break_in_the_very_next_and_in_the_last_column_that_the_window_fits():
    n = 20
    sizes = (n, n - 1, T)
    H = ConvBasis([np.full(m, 2.0) for m in sizes], sizes)
    assert conv_recover(lambda j: H.dense()[:, j], n, 3, T, DELTA, 0.2).sizes == sizes


def test_the_threshold_itself():
    n = 16
    H = ConvBasis([np.ones(n), np.full(8, 0.5)], (n, 8))  # the window's sum is 2, exactly
    for delta, eps, terms in [(2.0, 0.0, 2), (2.0 + 1e-9, 0.0, 1), (2.8, 0.1, 2), (2.9, 0.1, 1)]:
        assert len(conv_recover(lambda j: H.dense()[:, j], n, 2, T, delta, eps).sizes) == terms


def test_stops_where_there_is_no_further_break():
    H = ConvBasis([np.ones(16)], [16])
    assert conv_recover(lambda j: H.dense()[:, j], 16, 3, T, DELTA, 0.0).sizes == (16,)
    # nothing is left to search behind a block of the window's size
    H = ConvBasis([np.full(16, 2.0), np.full(T, 2.0)], (16, T))
    assert conv_recover(lambda j: H.dense()[:, j], 16, 3, T, DELTA, 0.0).sizes == (16, T)
    assert conv_recover(lambda j: np.ones(1), 1, 1, 1, 1.0, 0.0).sizes == (1,)


def test_few_columns_are_read():
    H, probed = ConvBasis([np.full(2**12, 2.0), np.full(77, 2.0)], (2**12, 77)), []
    matrix = H.dense()

    def column(j):
        probed.append(j)
        return matrix[:, j]

    assert conv_recover(column, 2**12, 2, T, DELTA, 0.0).sizes == H.sizes
    assert probed[0] == 0
    assert len(probed) <= 1 + 12 + 1


def test_the_search_leaves_out_the_column_that_opened_the_block():
    n = 2**6 + T  # 64 places for a break: 6 probes find the first, between column 0 and the break itself
    matrix, probed = ConvBasis([np.full(n, 2.0), np.full(n - 1, 2.0)], (n, n - 1)).dense(), []

    def column(j):
        probed.append(j)
        return matrix[:, j]

    assert conv_recover(column, n, 2, T, DELTA, 0.0).sizes == (n, n - 1)
    assert len(probed) == 1 + 6 + 1


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"n": 0}, "n=0"),
        ({"n": 16.0}, "n=16.0"),
        ({"k": 0}, "k=0"),
        ({"k": 17}, "k=17: expected an integer from 1 to n=16"),
        ({"k": True}, "k=True"),
        ({"T": 17}, "T=17"),
        ({"T": 0}, "T=0"),
        ({"eps": 0.5}, "delta=4.0, eps=0.5"),
        ({"eps": -0.1}, "eps=-0.1"),
        ({"delta": math.inf}, "delta=inf"),
        ({"delta": math.nan}, "delta=nan"),
        ({"column": lambda j: np.ones(15)}, r"column\(0\) of shape"),
    ],
)
def test_recover_refuses(changed, match):
    good = {"column": lambda j: np.ones(16), "n": 16, "k": 2, "T": T, "delta": DELTA, "eps": 0.1}
    with pytest.raises(ValueError, match=match):
        conv_recover(**(good | changed))


# -- libraries and counts --------------------------------------------------------------------------------


def test_on_every_library(xp):
    rng = np.random.default_rng(5)
    H = planted(21, 3, rng)
    V = rng.uniform(-1, 1, (21, 2))
    theirs = ConvBasis([xp.asarray(b) for b in H.bases], H.sizes)
    for ours, expected in [
        (theirs.dense(), H.dense()),
        (theirs.T @ xp.asarray(V), H.T @ V),
        (theirs.maximum(), H.maximum()),
        (conv_exponential(theirs).dense(), conv_exponential(H).dense()),
        (conv_attention(theirs, xp.asarray(V)), conv_attention(H, V)),
        (conv_decompose(theirs.dense(), 1e-9).dense(), H.dense()),
    ]:
        np.testing.assert_allclose(to_host(ours), expected, rtol=1e-12, atol=1e-12)
    matrix = xp.asarray(H.dense())
    assert conv_recover(lambda j: matrix[:, j], 21, 3, T, DELTA, 0.0).sizes == H.sizes


def test_single_precision_stays(xp):
    H = ConvBasis([xp.ones(5, dtype=xp.float32), xp.ones(2, dtype=xp.float32)], (5, 2))
    V = xp.ones((5, 1), dtype=xp.float32)
    for x in (H.dense(), H @ V, conv_attention(H, V), conv_exponential(H).bases[1], H.maximum()):
        assert x.dtype == xp.float32


@pytest.mark.parametrize("sizes", [(16, 9, 1), (12, 3), (1,)])
def test_shapes_alone_give_the_same_counts(sizes):
    def costs(make):
        with count() as costs:
            conv_attention(ConvBasis([make(m) for m in sizes], sizes, 16), make(16, 3))
        return costs

    executed, shapes = costs(lambda *s: counted(np.ones(s))), costs(shape_only)
    assert executed.numbers() == shapes.numbers()
    assert executed.ffts == shapes.ffts
    terms = len(sizes) + (sizes[0] < 16)
    assert sum(t.count for t in shapes.ffts) == terms * (2 * (3 + 1) + 1)
    assert shapes.transcendentals == sum(sizes) + (16 if sizes[0] < 16 else 0)


def test_a_size_that_no_memory_holds():
    n = 2**60
    with count() as costs:
        assert conv_attention(ConvBasis([shape_only(n)], [n]), shape_only(n, 2)).shape == (n, 2)
    assert 5 * 7 * n * 61 <= costs.arithmetic <= 1.1 * 5 * 7 * n * 61


def test_the_search_needs_data():
    with pytest.raises(ShapeOnlyError):
        conv_recover(lambda j: shape_only(16), 16, 2, T, DELTA, 0.0)


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bases", "sizes", "n", "match"),
    [
        ([], [], None, "0 bases"),
        ([np.ones(3)], [3, 2], None, "1 bases and 2 sizes"),
        ([np.ones(3), np.ones(3)], [3, 3], None, "sizes="),
        ([np.ones(2), np.ones(3)], [2, 3], None, "sizes="),
        ([np.ones(3)], [3], 2, "n=2"),
        ([np.ones(0)], [0], 2, "sizes="),
        ([np.ones(3)], [2], None, "expected \\(2,\\)"),
    ],
)
def test_basis_refuses(bases, sizes, n, match):
    with pytest.raises(ValueError, match=match):
        ConvBasis(bases, sizes, n)


def test_bases_come_from_one_library():
    with pytest.raises(TypeError):
        ConvBasis([np.ones(3), array_api_strict.ones(2)], [3, 2])


def test_products_refuse():
    H = ConvBasis([np.ones(3)], [3])
    for V in (np.ones(4), np.ones((3, 1, 1))):
        with pytest.raises(ValueError, match="V of shape"):
            H @ V
    H = ConvBasis([np.ones(3)], [3], 5)
    with pytest.raises(ValueError, match=r"V of shape \(4,\): expected \(5,\)"):
        H @ np.ones(4)
    with pytest.raises(ValueError, match=r"V of shape \(5, 1, 1\)"):
        H @ np.ones((5, 1, 1))
    with pytest.raises(ValueError, match="transposed"):
        conv_attention(H.T, np.ones((3, 1)))
    for V in (np.ones(3), np.ones((4, 1))):
        with pytest.raises(ValueError, match=re.escape(f"V of shape {V.shape}")):
            conv_attention(H, V)


@pytest.mark.parametrize(
    ("matrix", "tol", "match"),
    [
        (np.ones((2, 3)), 0.0, "H of shape"),
        (np.ones(3), 0.0, "H of shape"),
        (np.ones((0, 0)), 0.0, "H of shape"),
        (np.ones((3, 3)), 0.0, "above the diagonal"),
        (np.full((2, 2), np.nan), 0.0, "finite"),
        (np.diag([1.0, np.nan, 1.0]), 0.0, "finite"),
        (np.tri(2, k=1), 0.0, "above the diagonal"),
        (np.tri(5, k=1), 0.0, "above the diagonal"),
        (np.zeros((3, 3)), 0.0, "larger than tol"),
        (np.tri(3), 1.0, "larger than tol"),
        (np.tri(3), -1.0, "tol=-1.0"),
        (np.tri(3), math.nan, "tol=nan"),
    ],
)
def test_decompose_refuses(matrix, tol, match):
    with pytest.raises(ValueError, match=match):
        conv_decompose(matrix, tol)


def test_repr_says_what_it_is():
    H = ConvBasis([np.ones(3)], [3])
    assert repr(H) == "ConvBasis(1 terms, n=3)"
    assert repr(H.T) == "ConvBasis(1 terms, n=3, transposed)"
