"""Derivatives of attention, against the complex step and the formula with everything formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.attention.conv_basis import ConvBasis, conv_exponential
from touchstone.attention.derivatives import attention_vjp, score_gradient_apply
from touchstone.attention.exact import attention, attention_weights
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.differentiation import complex_step_gradient
from touchstone.linalg.row_normalised import RowNormalised


def gradient_in_logits(F, h, G):
    """p, formed."""
    return F * (G @ h.T) - np.sum(G * (F @ h), axis=1, keepdims=True) * F


@settings(max_examples=50, deadline=None)
@given(*[st.integers(1, 6)] * 4, st.booleans(), st.integers(0, 10**6))
def test_score_gradient_is_the_formula(n, m, d, c, transpose, seed):
    rng = np.random.default_rng(seed)
    F = attention_weights(rng.normal(size=(n, 2)), rng.normal(size=(m, 2)), scale=1.0)
    h, G, M = (rng.normal(size=s) for s in [(m, d), (n, d), (n if transpose else m, c)])
    p = gradient_in_logits(F, h, G)
    got = score_gradient_apply(F, h, G, M, transpose=transpose)
    np.testing.assert_allclose(got, (p.T if transpose else p) @ M, atol=1e-12)


@pytest.mark.parametrize("mask", [None, "causal", "diagonal"])
@pytest.mark.parametrize("n", [1, 6])
@pytest.mark.parametrize("scale", [1.0, 0.4])
def test_vjp_is_the_complex_step(n, mask, scale):
    rng = np.random.default_rng(n)
    Q, K, V, G = (rng.normal(size=(n, d)) for d in (3, 3, 2, 2))
    seen = np.eye(n, dtype=bool) if mask == "diagonal" else mask
    got = attention_vjp(Q, K, V, G, scale=scale, mask=seen)
    arguments = [Q, K, V]
    for i, gradient in enumerate(got):

        def loss(x, i=i):
            return np.sum(G * attention(*arguments[:i], x, *arguments[i + 1 :], scale=scale, mask=seen))

        # a check by differences has nothing to hold on to where the gradient is zero
        expected = complex_step_gradient(loss, arguments[i], check=n > 1 and mask != "diagonal")
        np.testing.assert_allclose(gradient, expected, atol=1e-13)


def test_vjp_of_other_numbers_of_keys(xp):
    rng = np.random.default_rng(0)
    Q, K, V, G = (rng.normal(size=s) for s in [(4, 3), (6, 3), (6, 2), (4, 2)])
    got = attention_vjp(*(xp.asarray(x) for x in (Q, K, V, G)), scale=0.5)
    for gradient, x, name in zip(got, (Q, K, V), "QKV", strict=True):

        def loss(y, name=name):
            return np.sum(G * attention(**({"Q": Q, "K": K, "V": V} | {name: y}), scale=0.5))

        assert tuple(gradient.shape) == x.shape
        np.testing.assert_allclose(to_host(gradient), complex_step_gradient(loss, x), atol=1e-13)


def test_weights_may_be_any_operator():
    rng = np.random.default_rng(3)
    n, sizes = 9, (9, 6, 2)
    logits = ConvBasis([rng.normal(size=m) for m in sizes], sizes)
    A = conv_exponential(logits)
    F = RowNormalised(A, like=np.ones(1))
    dense = attention_weights(logits.dense(), np.eye(n), scale=1.0, mask="causal")
    Q, K, V, G = (rng.normal(size=(n, d)) for d in (3, 3, 2, 2))
    for got, expected in zip(
        attention_vjp(Q, K, V, G, scale=0.3, F=F),
        attention_vjp(Q, K, V, G, scale=0.3, F=dense),
        strict=True,
    ):
        np.testing.assert_allclose(got, expected, atol=1e-12)


def test_single_precision_stays():
    Q = np.ones((3, 2), dtype=np.float32)
    assert {x.dtype for x in attention_vjp(Q, Q, Q, Q, scale=np.float64(0.5))} == {np.dtype(np.float32)}


def test_extreme_logits():
    Q = np.asarray([[1e3], [-1e3]])
    for gradient in attention_vjp(Q, Q, Q / 1e3, Q / 1e3, scale=1.0):
        assert np.all(np.isfinite(gradient))


def test_counts():
    def costs(make):
        with count() as costs:
            attention_vjp(make(5, 3), make(4, 3), make(4, 2), make(5, 2), scale=0.5)
        return costs.numbers()

    assert costs(shape_only) == costs(lambda *s: counted(np.ones(s)))


@pytest.mark.parametrize("wrong", ["h", "G", "M"])
def test_shapes_that_do_not_fit(wrong):
    given = {"h": np.ones((4, 2)), "G": np.ones((5, 2)), "M": np.ones((4, 3))}
    given[wrong] = np.ones((7, given[wrong].shape[1]))
    with pytest.raises(ValueError, match=f"{wrong} of shape"):
        score_gradient_apply(np.ones((5, 4)) / 4, *given.values())
    with pytest.raises(ValueError, match="G of shape"):
        score_gradient_apply(np.ones((5, 4)) / 4, np.ones((4, 2)), np.ones((5, 1)), np.ones((4, 1)))


def test_bad_arguments():
    Q = np.ones((3, 2))
    with pytest.raises(ValueError, match="scale="):
        attention_vjp(Q, Q, Q, Q, scale=float("nan"))
    with pytest.raises(ValueError, match="mask"):
        attention_vjp(Q, Q, Q, Q, scale=1.0, F=np.ones((3, 3)) / 3, mask="causal")
