"""Kernel sums and answers against attention itself, flat and through trees."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone import arrays
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.exponential import exp_coefficients
from touchstone.functions.monomials import feature_map
from touchstone.privacy.dyadic_tree import DyadicTree
from touchstone.privacy.kernel_sums import answer, kernel_sums


def attention(Q, K, V, weight):
    out = np.zeros((len(Q), V.shape[1]))
    for i, q in enumerate(Q):
        weights = [weight(q @ k) for k in K]
        for w, v in zip(weights, V, strict=True):
            out[i] += w * v
        out[i] /= sum(weights)
    return out


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 8),
    m=st.integers(1, 4),
    d=st.integers(1, 3),
    c=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_answers_are_attention_with_the_polynomial(n, m, d, c, seed):
    rng = np.random.default_rng(seed)
    K, Q, V = rng.uniform(0, 1, (n, d)), rng.uniform(0, 1, (m, d)), rng.normal(size=(n, c))
    coefficients = [1.0, 1.0, 0.5]
    phi = feature_map(K, coefficients, scale=1 / d)
    y = feature_map(Q, coefficients, scale=1 / d)
    N, Z = kernel_sums(phi, V)
    wanted = attention(Q, K, V, lambda z: 1 + z / d + (z / d) ** 2 / 2)
    flat = answer(y, N, Z)
    assert flat.shape == (m, c)
    np.testing.assert_allclose(flat, wanted, atol=1e-12)
    # the same through trees: both sides of every query's own feature
    top = feature_map(np.ones((1, d)), coefficients, scale=1 / d)[0]
    tree = DyadicTree(phi, np.concatenate([V, np.ones((n, 1))], axis=1), 3, bounds=top)
    before, after = tree.prefix(y)
    moments = (before + after)[1]
    np.testing.assert_allclose(answer(y, moments[:-1], moments[-1]), wanted, atol=1e-12)


def test_close_to_softmax_attention_at_a_high_degree():
    rng = np.random.default_rng(0)
    K, Q, V = rng.uniform(0, 1, (50, 3)), rng.uniform(0, 1, (5, 3)), rng.normal(size=(50, 2))
    c = exp_coefficients(1.0, 14, "taylor")
    N, Z = kernel_sums(feature_map(K, c, scale=1 / 3), V)
    np.testing.assert_allclose(
        answer(feature_map(Q, c, scale=1 / 3), N, Z), attention(Q, K, V, lambda z: np.exp(z / 3)), atol=1e-12
    )


def test_each_query_reads_its_own_sums():
    y, N, Z = (
        np.array([[1.0, 2.0], [3.0, 1.0]]),
        np.arange(12.0).reshape(3, 2, 2),
        np.array([[1.0, 1], [2, 2]]),
    )
    got = answer(y, N, Z)
    assert got.shape == (2, 3)
    for i in range(2):
        for c in range(3):
            assert got[i, c] == pytest.approx(y[i] @ N[c, i] / (y[i] @ Z[i]))


def test_a_normaliser_that_vanishes_is_not_hidden():
    with np.errstate(divide="ignore"):
        assert answer(np.ones((1, 1)), np.ones((1, 1)), np.zeros(1)) == np.inf
    assert answer(np.ones((1, 1)), np.ones((1, 1)), -np.ones(1)) == -1


def test_every_library(xp):
    rng = np.random.default_rng(1)
    phi, V, y = rng.uniform(0, 1, (6, 4)), rng.normal(size=(6, 2)), rng.uniform(0, 1, (3, 4))
    N, Z = kernel_sums(xp.asarray(phi), xp.asarray(V))
    np.testing.assert_allclose(arrays.to_host(N), V.T @ phi, atol=1e-13)
    np.testing.assert_allclose(arrays.to_host(Z), np.sum(phi, axis=0), atol=1e-13)
    wanted = (y @ phi.T @ V) / (y @ phi.T @ np.ones((6, 1)))
    np.testing.assert_allclose(arrays.to_host(answer(xp.asarray(y), N, Z)), wanted, atol=1e-12)
    own = xp.stack([N] * 3, axis=1), xp.stack([Z] * 3, axis=0)
    np.testing.assert_allclose(arrays.to_host(answer(xp.asarray(y), *own)), wanted, atol=1e-12)


def test_shapes_alone_are_counted_alike():
    tallies = []
    for phi, V, y in (
        (counted(np.ones((6, 4))), counted(np.ones((6, 2))), counted(np.ones((3, 4)))),
        (shape_only(6, 4), shape_only(6, 2), shape_only(3, 4)),
    ):
        with count() as costs:
            answer(y, *kernel_sums(phi, V))
        tallies.append((costs.multiply_adds, costs.arithmetic))
    assert tallies == [(6 * 4 * 2 + 3 * 4 * 3, tallies[0][1])] * 2
    assert 5 * 4 <= tallies[0][1] <= 6 * 4 + 3 * 2


def test_bad_shapes():
    for phi, V in (
        (np.ones(3), np.ones((3, 1))),
        (np.ones((3, 1)), np.ones(3)),
        (np.ones((3, 1)), np.ones((2, 1))),
    ):
        with pytest.raises(ValueError, match="expected \\(n, r\\)"):
            kernel_sums(phi, V)
    for shapes in (
        ((4,), (2, 4), (4,)),
        ((3, 4), (2, 4), (3, 4)),
        ((3, 4), (2, 3, 4), (4,)),
        ((3, 4), (2, 5), (5,)),
        ((3, 4), (2, 4), (5,)),
        ((3, 4), (4,), ()),
        ((3, 4), (2, 2, 4), (2, 4)),
        ((3, 4), (2, 1, 3, 4), (1, 3, 4)),
    ):
        with pytest.raises(ValueError, match="expected \\(m, r\\)"):
            answer(*(np.ones(shape) for shape in shapes))
