"""The transform of tensor products against the matrix formed from the same draws, and what it costs."""

import functools
import math

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
from touchstone.linalg.kronecker import khatri_rao, kron
from touchstone.sketching.srht import srht
from touchstone.sketching.tensor_srht import tensor_srht

SHAPES = [(1,), (8,), (3,), (4, 4), (5, 3), (1, 6), (2, 1, 3), (3, 4, 2), (16, 16), (2, 3, 2, 3)]


def rng(seed=0):
    return np.random.default_rng(seed)


def full(n):
    """The order of the transform that n rows need."""
    size = 1
    while size < n:
        size *= 2
    return size


def reference(m, shape, seed, signs=True):
    """The matrix, from the same draws: the signs of one factor after the other, then m different rows."""
    state = rng(seed)
    factors = []
    for n in shape:
        D = 2 * state.integers(0, 2, n) - 1 if signs else np.ones(n)
        factors.append(hadamard(full(n))[:, :n] * D)
    P = state.choice(math.prod(full(n) for n in shape), m, replace=False)
    return functools.reduce(np.kron, factors)[P] / math.sqrt(m)


def close(got, expected):
    np.testing.assert_allclose(
        to_host(got), expected, rtol=0, atol=1e-13 * (1 + np.abs(expected).max(initial=0))
    )


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(SHAPES), st.data(), st.integers(1, 4), st.booleans(), st.integers(0, 10**6))
def test_is_the_matrix_formed(shape, data, c, signs, seed):
    m = data.draw(st.integers(1, math.prod(full(n) for n in shape)))
    n, draw = math.prod(shape), rng(seed + 1)
    A, Y = draw.normal(size=(n, c)), draw.normal(size=(m, c))
    S, D = tensor_srht(m, shape, rng(seed), signs=signs, like=A), reference(m, shape, seed, signs)
    assert S.shape == (m, n)
    assert S.factors == shape
    assert S.touched == m
    close(S.columns(range(n)), D)
    close(S @ A, D @ A)
    close(S @ A[:, 0], D @ A[:, 0])
    close(S.T @ Y, D.T @ Y)
    Xs = [draw.normal(size=(k, c)) for k in shape]
    close(S.product(*Xs), D @ khatri_rao(*Xs))
    close(S.product(*(X[:, 0] for X in Xs)), D @ khatri_rao(*Xs)[:, 0])
    Xs = [draw.normal(size=(k, s % 3 + 1)) for s, k in enumerate(shape)]
    close(S.kron(*Xs), D @ kron(*Xs))


def test_on_every_library(xp):
    shape, m = (6, 4), 13
    U, V, A = (rng(k).normal(size=s) for k, s in enumerate([(6, 3), (4, 3), (24, 2)]))
    S, D = tensor_srht(m, shape, rng(5), like=xp), reference(m, shape, 5)
    u, v, a = (xp.asarray(x) for x in (U, V, A))
    close(S.product(u, v), D @ khatri_rao(U, V))
    close(S.kron(u, v), D @ np.kron(U, V))
    close(S @ a, D @ A)
    close(S.T @ (S @ a), D.T @ (D @ A))
    close(S.columns([3, 3, 20]), D[:, [3, 3, 20]])
    close(S @ (a * (1 + 2j)), D @ A * (1 + 2j))
    close(S.T @ (S @ (a * 1j)), D.T @ (D @ A) * 1j)
    close(S.product(u * 1j, v), D @ khatri_rao(U, V) * 1j)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_precision(precision):
    S = tensor_srht(5, (4, 4), rng(), like=np.zeros(1, dtype=precision))
    u = np.ones(4, dtype="float32")
    assert S.product(u, u).dtype == precision
    assert S.kron(u[:, None], u[:, None]).dtype == precision
    assert (S @ np.ones(16, dtype="float32")).dtype == precision
    assert (S.T @ np.ones(5, dtype="float32")).dtype == precision
    assert S.columns([0]).dtype == precision
    assert S.product(u, u.astype("float64")).dtype == "float64"


def test_all_rows_are_an_isometry():
    D = tensor_srht(64, (5, 3, 2), rng(), like=np).columns(range(30))
    np.testing.assert_allclose(D.T @ D, np.eye(30), atol=1e-15)


def test_one_factor_has_the_law_of_the_plain_transform():
    """The entries of S^T S off the diagonal have variance (N - m)/(N - 1)/m, and mean zero."""
    values = {}
    for name, make in (
        ("tensor", lambda r: tensor_srht(4, (8,), r, like=np)),
        ("plain", lambda r: srht(4, 8, r, like=np)),
    ):
        draws = [make(rng(seed)).columns([1, 6]) for seed in range(3000)]
        values[name] = np.array([D[:, 0] @ D[:, 1] for D in draws])
        # the variance of a mean of 3000 squares in [0, 1], five deviations
        assert abs(np.mean(values[name] ** 2) - 4 / 7 / 4) < 5 * 0.5 / math.sqrt(3000)
    assert stats.ks_2samp(np.round(values["tensor"], 9), np.round(values["plain"], 9)).pvalue > 1e-6


def test_moments_of_two_factors():
    """Off the diagonal S^T S has mean square (N - m)/(N - 1)/m everywhere, as with independent signs."""
    m, shape, times = 6, (4, 4), 4000
    grams = np.stack(
        [
            D.T @ D
            for D in (tensor_srht(m, shape, rng(seed), like=np).columns(range(16)) for seed in range(times))
        ]
    )
    np.testing.assert_allclose(np.diagonal(grams, axis1=1, axis2=2), 1, rtol=1e-14)
    off = grams[:, ~np.eye(16, dtype=bool)]
    expected = (16 - m) / 15 / m
    error = off.std(axis=0, ddof=1) / math.sqrt(times)
    assert np.all(np.abs(off.mean(axis=0)) < 5 * error)
    squares = off**2
    error = squares.std(axis=0, ddof=1) / math.sqrt(times)
    assert np.all(np.abs(squares.mean(axis=0) - expected) < 5 * error + 1e-13)


def test_without_signs_a_constant_vector_is_concentrated():
    ones = np.ones(8) / math.sqrt(8)
    squares = {
        round(
            float(
                np.sum(tensor_srht(16, (8, 8), rng(seed), signs=False, like=ones).product(ones, ones) ** 2)
            ),
            12,
        )
        for seed in range(60)
    }
    assert squares == {0, 4}  # all of it in one of 64 rows, which is drawn or not
    signed = [
        np.sum(tensor_srht(16, (8, 8), rng(seed), like=ones).product(ones, ones) ** 2) for seed in range(60)
    ]
    assert np.std(signed) < 1.5  # variance at most 8/16


def test_signs_are_the_default():
    a, b = (
        tensor_srht(5, (4, 3), rng(), like=np, **more).columns(range(12)) for more in ({}, {"signs": True})
    )
    np.testing.assert_array_equal(a, b)


def test_the_first_rows_are_a_smaller_sketch():
    """Every row of the transform is as likely in first as in last place, although few are drawn of many."""
    m, shape = 3, (64, 128)  # so few of so many that they are drawn by rejection
    rows = np.array([to_host(tensor_srht(m, shape, rng(seed), like=np)._numbers()) for seed in range(3000)])
    assert rows.min() >= 0
    assert rows.max() < 2**13
    assert all(len(set(drawn)) == m for drawn in rows.tolist())
    for place in range(m):
        counts = np.bincount(rows[:, place] // 1024, minlength=8)
        assert stats.chisquare(counts).pvalue > 1e-6


def test_the_most_rows_that_a_number_names():
    S = tensor_srht(5, (2,) * 62, rng(), like=np)
    assert S.shape == (5, 2**62)
    with pytest.raises(ValueError, match="at most 2\\^62 rows"):
        tensor_srht(5, (2,) * 63, rng(), like=np)


def test_more_rows_than_memory_holds():
    shape = (2**10, 2**10, 2**10, 2**10, 2**10, 2**10)
    S = tensor_srht(7, shape, rng(), like=np)
    assert S.shape == (7, 2**60)
    xs = [rng(k).normal(size=(2**10, 1)) for k in range(6)]
    got = S.product(*xs)
    rows = [to_host(r) for r in S._rows]
    want = np.ones(7)
    for x, D, r in zip(xs, S._diagonals, rows, strict=True):
        want *= hadamard(2**10)[r] @ (D * x[:, 0])
    np.testing.assert_allclose(got[:, 0], want, rtol=1e-11)


def test_threads_that_were_asked_for(monkeypatch):
    from touchstone.sketching import tensor_srht as module

    asked, right = [], module.walsh_hadamard
    monkeypatch.setattr(
        module, "walsh_hadamard", lambda X, axis, *, workers: asked.append(workers) or right(X, axis)
    )
    S = tensor_srht(3, (4, 4), rng(), like=np, workers=3)
    S @ np.ones(16)
    S.T @ np.ones(3)
    S.product(np.ones(4), np.ones(4))
    assert asked == [3] * 6


# -- costs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [False, True])
def test_counts(shapes):
    def make(*shape, dtype="float64"):
        return shape_only(shape, dtype=dtype) if shapes else counted(np.zeros(shape, dtype=dtype))

    m, c = 5, 3
    with count() as costs:
        with costs.phase("draw") as draw:
            S = tensor_srht(m, (8, 4), rng(), like=make(1))
        with costs.phase("product") as product:
            S.product(make(8, c), make(4, c))
        with costs.phase("kron") as pairs:
            S.kron(make(8, 2), make(4, 3))
        with costs.phase("apply") as apply:
            S @ make(32, c)
        with costs.phase("transpose") as transpose:
            S.T @ make(m, c)
    assert (draw.moves, draw.operations) == (8 + 4 + 2 * m, 0)
    assert product.operations == c * (8 + 8 * 3 + 4 + 4 * 2) + m * c
    assert pairs.operations == 2 * (8 + 8 * 3) + 3 * (4 + 4 * 2) + m * 6
    full_apply = c * 32 * (2 + 5)
    numbers = 2 * m  # the numbers of the rows: a product and a sum
    assert apply.operations == full_apply + numbers
    assert transpose.operations == full_apply + numbers + m * c


def test_shapes_alone_cost_the_same_with_sizes_that_are_no_powers():
    def cost(make):
        with count() as costs:
            S = tensor_srht(5, (3, 5, 2), rng(), like=make(1))
            S.product(make(3), make(5), make(2))
            S.kron(make(3, 2), make(5, 1), make(2, 2))
            S.T @ (S @ make(30, 2))
            S.columns([1, 2, 29])
        return (costs.operations, costs.moves, costs.comparisons, costs.bytes_peak)

    assert cost(lambda *s: counted(np.ones(s))) == cost(lambda *s: shape_only(s))


def test_what_it_holds_is_signs_and_rows():
    S = tensor_srht(5, (6, 7), rng(), like=np)
    assert sorted(len(x) for _, x in leaves(S) if isinstance(x, np.ndarray)) == [5, 5, 6, 7]


# -- what it refuses -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("m", "shape", "message"),
    [
        (0, (2, 2), "m=0"),
        (2, (), "shape=()"),
        (2, 4, "shape=4"),
        (2, (2, 0), r"shape\[1\]=0"),
        (2, (2.0, 2), r"shape\[0\]=2.0"),
        (17, (3, 4), "m=17: expected at most 16"),
        (2, (2**31, 2**31, 2), "expected at most 2.62 rows"),
    ],
)
def test_sizes(m, shape, message):
    with pytest.raises(ValueError, match=message):
        tensor_srht(m, shape, rng(), like=np)


def test_workers_and_generator():
    with pytest.raises(ValueError, match="workers=0"):
        tensor_srht(2, (4,), rng(), like=np, workers=0)
    with pytest.raises(TypeError, match="rng=0"):
        tensor_srht(2, (4,), 0, like=np)


def test_factors_that_do_not_fit():
    S = tensor_srht(2, (4, 3), rng(), like=np)
    with pytest.raises(ValueError, match="1 factors: expected 2"):
        S.product(np.ones(4))
    with pytest.raises(ValueError, match=r"Xs\[1\] of shape \(4,\): expected \(3,\)"):
        S.product(np.ones(4), np.ones(4))
    with pytest.raises(ValueError, match="the same columns"):
        S.product(np.ones((4, 2)), np.ones((3, 1)))
    with pytest.raises(ValueError, match="the same columns"):
        S.product(np.ones((4, 1)), np.ones(3))
    with pytest.raises(ValueError, match=r"Xs\[0\] of shape \(4, 1, 1\)"):
        S.product(np.ones((4, 1, 1)), np.ones((3, 1, 1)))
    with pytest.raises(ValueError, match="expected matrices"):
        S.kron(np.ones((4, 1)), np.ones(3))
    with pytest.raises(TypeError, match=r"Xs\[1\] of dtype int"):
        S.kron(np.ones((4, 1)), np.ones((3, 1), dtype=int))
    with pytest.raises(TypeError):
        S.product(counted(np.ones(4)), counted(np.ones(3)))
