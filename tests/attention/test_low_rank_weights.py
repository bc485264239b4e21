"""Low-rank attention weights, against the polynomial of the logits formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.attention.derivatives import attention_vjp
from touchstone.attention.exact import attention_weights
from touchstone.attention.low_rank_weights import low_rank_weights
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.exponential import exp_coefficients
from touchstone.functions.monomials import monomial_plan


def formed(Q, K, coefficients, scale, mask):
    A = np.polynomial.polynomial.polyval(scale * Q @ K.T, coefficients)
    A = np.tril(A) if mask else A
    return A / A.sum(axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(
    *[st.integers(1, 9)] * 2,
    st.integers(1, 3),
    st.sampled_from([None, "causal"]),
    st.integers(1, 12),
    st.integers(0, 10**6),
)
def test_is_the_polynomial_of_the_logits(n, m, d, mask, block, seed):
    m = n if mask else m
    rng = np.random.default_rng(seed)
    Q, K = rng.uniform(-1, 1, (n, d)), rng.uniform(-1, 1, (m, d))
    c = [1.0, 1.0, 0.5, 0.1]  # positive on [-1, 1], nobody's exponential
    F = low_rank_weights(Q, K, c, scale=1 / d, mask=mask, block=block)
    expected = formed(Q, K, c, 1 / d, mask)
    np.testing.assert_allclose(F @ np.eye(m), expected, atol=1e-13)
    np.testing.assert_allclose(F.T @ np.eye(n), expected.T, atol=1e-13)


@pytest.mark.parametrize("mask", [None, "causal"])
def test_gradient_is_that_of_exact_attention(xp, mask):
    rng = np.random.default_rng(1)
    Q, K, V, G = (rng.uniform(-1, 1, (12, 2)) for _ in range(4))
    F = low_rank_weights(
        xp.asarray(Q), xp.asarray(K), exp_coefficients(1.0, 14), scale=0.5, mask=mask, block=5
    )
    got = attention_vjp(*(xp.asarray(x) for x in (Q, K, V, G)), scale=0.5, F=F)
    for x, y in zip(got, attention_vjp(Q, K, V, G, scale=0.5, mask=mask), strict=True):
        np.testing.assert_allclose(to_host(x), y, atol=1e-12)


def test_the_first_query_sees_its_own_key_only():
    Q = np.asarray([[1.0], [-0.5], [0.3]])
    F = low_rank_weights(Q, Q, exp_coefficients(1.0, 5), scale=1.0, mask="causal")
    np.testing.assert_allclose((F @ np.eye(3))[0], [1, 0, 0], atol=1e-15)


def test_plan_and_single_precision():
    Q = np.random.default_rng(2).uniform(-1, 1, (6, 2)).astype(np.float32)
    c = exp_coefficients(1.0, 7)
    F = low_rank_weights(Q, Q, c, scale=0.5, plan=monomial_plan(2, 7))
    product = F @ np.eye(6, dtype=np.float32)
    assert product.dtype == np.float32
    np.testing.assert_allclose(product, attention_weights(Q, Q, scale=0.5), rtol=1e-4)


@pytest.mark.parametrize("mask", [None, "causal"])
def test_counts(mask):
    n, d, c = 10, 2, exp_coefficients(1.0, 3)

    def costs(make, coefficients=c):
        with count() as costs:
            Q, V = make(n, d), make(n, d)
            plan = monomial_plan(d, 3, table=make is not shape_only)
            F = low_rank_weights(Q, Q, coefficients, scale=0.5, mask=mask, plan=plan, block=4)
            F @ V
        return costs.numbers()

    with_data = costs(lambda *s: counted(np.full(s, 0.5)))
    assert costs(shape_only, None) == with_data
    inside = (4 * 4 + 4 * 4 + 2 * 2) if mask else 0
    assert with_data["multiply_adds"] == 2 * n * 10 * (1 + d) + inside * (2 * 10 + 1 + d)


def test_other_masks():
    for mask in ("diagonal", np.ones((3, 3), dtype=bool)):
        with pytest.raises(ValueError, match="mask="):
            low_rank_weights(np.ones((3, 1)), np.ones((3, 1)), [1.0], scale=1.0, mask=mask)
