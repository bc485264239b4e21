"""Attention in parts, joined, and causal attention by halves, against dense attention."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.attention.exact import attention
from touchstone.attention.parts import Part, causal_by_halves, exact_part, join_parts
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only


def instance(n, m, d, c, seed=0, size=1.0):
    rng = stream(seed, "parts", n, m, d, c)
    return size * rng.normal(size=(n, d)), rng.normal(size=(m, d)), rng.normal(size=(m, c))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.sampled_from([0.1, 300])
)
def test_a_part_is_attention(n, m, d, c, size):
    Q, K, V = instance(n, m, d, c, size=size)
    part = exact_part(Q, K, V)
    np.testing.assert_allclose(part.attention(), attention(Q, K, V, scale=1), rtol=1e-10, atol=1e-12)
    logits = Q @ K.T
    np.testing.assert_array_equal(part.levels, logits.max(axis=1))
    np.testing.assert_allclose(part.sums, np.exp(logits - part.levels[:, None]).sum(axis=1), rtol=1e-12)
    square = Q[: min(n, m)], K[: min(n, m)], V[: min(n, m)]
    expected = attention(*square, scale=1, mask="causal")
    np.testing.assert_allclose(exact_part(*square, causal=True).attention(), expected, rtol=1e-10, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(2, 12), st.integers(0, 99), st.sampled_from([1.0, 300.0]))
def test_joining_is_the_union_of_the_keys(n, m, seed, size):
    Q, K, V = instance(n, m, 3, 2, seed, size)
    cut = 1 + seed % (m - 1)
    first, second = exact_part(Q, K[:cut], V[:cut]), exact_part(Q, K[cut:], V[cut:])
    whole = exact_part(Q, K, V)
    for joined in (join_parts(first, second), join_parts(second, first)):
        np.testing.assert_allclose(joined.levels, whole.levels, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(joined.sums, whole.sums, rtol=1e-10)
        np.testing.assert_allclose(joined.numerator, whole.numerator, rtol=1e-9, atol=1e-12)


def test_levels_are_free():
    Q, K, V = instance(4, 6, 3, 2)
    first, second = exact_part(Q, K[:2], V[:2]), exact_part(Q, K[2:], V[2:])
    shift = np.array([-3.0, 0.0, 1.0, 30.0])
    moved = Part(first.numerator * np.exp(shift)[:, None], first.sums * np.exp(shift), first.levels - shift)
    np.testing.assert_allclose(join_parts(moved, second).attention(), attention(Q, K, V, scale=1), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 3), st.integers(1, 3))
def test_by_halves_is_causal_attention(n, leaf, d, c):
    Q, K, V = instance(n, n, d, c)
    got = causal_by_halves(Q, K, V, leaf, exact_part)
    np.testing.assert_allclose(got, attention(Q, K, V, scale=1, mask="causal"), rtol=1e-11, atol=1e-13)


def test_which_squares_are_asked_for():
    n, leaf, asked = 21, 4, []
    Q, K, V = instance(n, n, 2, 1)
    rows = {tuple(q): i for i, q in enumerate(Q)}, {tuple(k): j for j, k in enumerate(K)}

    def inner(q, k, v):
        first, last = rows[0][tuple(q[0])], rows[0][tuple(q[-1])]
        asked.append((first, last + 1, rows[1][tuple(k[0])], rows[1][tuple(k[-1])] + 1))
        return exact_part(q, k, v)

    causal_by_halves(Q, K, V, leaf, inner)
    assert asked == [(4, 8, 0, 4), (12, 16, 8, 12), (20, 21, 16, 20), (8, 16, 0, 8), (16, 21, 0, 16)]


def test_a_single_leaf_asks_for_nothing():
    def never(*_):
        raise AssertionError

    Q, K, V = instance(7, 7, 2, 2)
    expected = attention(Q, K, V, scale=1, mask="causal")
    for leaf in (7, 100):
        np.testing.assert_allclose(causal_by_halves(Q, K, V, leaf, never), expected, rtol=1e-12)


def test_the_join_can_be_replaced():
    Q, K, V = instance(8, 8, 2, 2)
    kept = causal_by_halves(Q, K, V, 4, exact_part, join=lambda later, square: later)
    np.testing.assert_allclose(kept[:4], attention(Q, K, V, scale=1, mask="causal")[:4])
    np.testing.assert_allclose(kept[4:], attention(Q[4:], K[4:], V[4:], scale=1, mask="causal"))


def test_on_every_library(xp):
    host = instance(19, 19, 3, 2)
    Q, K, V = (xp.asarray(x) for x in host)
    got = causal_by_halves(Q, K, V, 4, exact_part)
    np.testing.assert_allclose(to_host(got), attention(*host, scale=1, mask="causal"), rtol=1e-12)
    narrow = [xp.asarray(x, dtype=xp.float32) for x in host]
    assert causal_by_halves(*narrow, 4, exact_part).dtype == xp.float32


@pytest.mark.parametrize(("n", "leaf"), [(16, 4), (24, 4), (27, 4), (3, 8)])
def test_cost(n, leaf):
    d, c, tallies = 3, 2, []
    for make in (lambda *shape: counted(stream(0).normal(size=shape)), shape_only):
        QKV = make(n, d), make(n, d), make(n, c)
        with count() as costs:
            causal_by_halves(*QKV, leaf, exact_part)
        tallies.append((costs.operations, costs.multiply_adds, costs.moves, costs.bytes_peak))
    assert tallies[0] == tallies[1]
    pairs = sum(min(leaf, n - start) ** 2 for start in range(0, n, leaf))
    half = leaf
    while half < n:
        pairs += sum(max(0, min(2 * half, n - start) - half) * half for start in range(0, n, 2 * half))
        half *= 2
    assert tallies[0][1] == pairs * (d + c)


def test_cost_of_a_part_and_a_join():
    n, m, d, c = 5, 7, 3, 2
    for causal in (False, True):
        QKV = counted(np.ones((n, d))), counted(np.ones((m, d))), counted(np.ones((m, c)))
        with count() as costs:
            part = exact_part(*QKV, causal=causal)
        assert costs.multiply_adds == n * m * (d + c)
        assert costs.transcendentals == n * m
        assert costs.arithmetic == n * m + n * (m - 1)
        assert costs.comparisons == n * (m - 1) + 2 * n * m * causal
    with count() as costs:
        join_parts(part, part)
    assert costs.transcendentals == 2 * n
    assert costs.comparisons == n
    assert costs.arithmetic == 2 * n + 3 * n * c + 3 * n


@pytest.mark.parametrize(
    ("Q", "K", "V", "says"),
    [
        ((3,), (3, 2), (3, 1), "Q of shape"),
        ((3, 2), (0, 2), (0, 1), "K of shape"),
        ((3, 2), (3, 1), (3, 1), "K of shape .*expected 2 features"),
        ((3, 2), (3, 2), (4, 1), "V of shape .*expected 3 rows"),
        ((3, 2), (4, 2), (4, 1), "K of shape .*expected 3 rows"),
    ],
)
def test_shapes_that_do_not_fit(Q, K, V, says):
    with pytest.raises(ValueError, match=says):
        causal_by_halves(np.ones(Q), np.ones(K), np.ones(V), 2, exact_part)


@pytest.mark.parametrize("leaf", [0, -1, 2.0, True, math.nan])
def test_bad_leaf(leaf):
    with pytest.raises(ValueError, match="leaf="):
        causal_by_halves(*(np.ones((3, 2)) for _ in range(3)), leaf, exact_part)


@pytest.mark.parametrize("name", ["Q", "K", "V"])
def test_bad_dtype(name):
    arrays = {key: np.ones((3, 2), dtype=int if key == name else float) for key in "QKV"}
    with pytest.raises(TypeError, match=f"{name} of dtype int64"):
        exact_part(**arrays)
