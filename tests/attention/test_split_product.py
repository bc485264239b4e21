"""The steps of one block on NumPy buffers, against plain arrays and against their definitions."""

import numpy as np
import pytest

from touchstone.attention import split_product
from touchstone.attention.polynomial import low_rank_attention, polynomial_attention, polynomial_factors
from touchstone.attention.polynomial_gradient import polynomial_attention_vjp
from touchstone.attention.split_product import (
    BufferedSplitSteps,
    SplitSteps,
    token_product,
    token_rows,
    token_sums,
)
from touchstone.functions.monomials import monomial_plan, monomials

COEFFICIENTS = [1.0, 1.0, 0.5, 0.1, 0.05]
TOKENS = [0, 1, 511, 512, 513, 1024, 1500]  # around whole pieces of 512


def some(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, shape)


@pytest.mark.parametrize("tokens", TOKENS)
@pytest.mark.parametrize("rows", [1, 4])
def test_products_over_tokens_are_plain_products(tokens, rows):
    M, B, A = some(rows, 3), some(3, tokens, seed=1), some(rows, tokens, seed=2)
    out = np.full((rows, tokens), np.nan)
    token_product(M, B, out)
    np.testing.assert_allclose(out, M @ B, rtol=1e-13, atol=1e-15)
    # sums of up to 1500 terms of size one, in another order: 1500 roundings at most
    np.testing.assert_allclose(token_sums(A, B), A @ B.T, atol=1500 * 2.0**-52)


@pytest.mark.parametrize(("dtype", "gap"), [(np.float32, 16), (np.float64, 8), (np.complex128, 4)])
def test_rows_are_a_cache_line_further_apart(dtype, gap):
    x = token_rows(3, 128, dtype)
    assert x.shape == (3, 128)
    assert x.strides[0] == (128 + gap) * x.itemsize
    assert x.strides[0] - 128 * x.itemsize == 64


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("tokens", [1, 7, 600])
def test_buffers_hold_what_plain_steps_return(d, tokens):
    """Twice, so that what an earlier and longer block left behind cannot show."""
    plan, columns = monomial_plan(d, 4), 3
    plain, buffered = SplitSteps(plan, columns), BufferedSplitSteps(plan, columns, 600, np.float64)
    for n in (600, tokens):
        X, V = some(n, d, seed=n), some(n, columns - 1, seed=n + 1)
        first, second = plain.features(X)
        got_first, got_second = buffered.features(X)
        assert len(got_first) == len(first)
        for got, want in zip([*got_first, got_second], [*first, second], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-14)
        W, got_W = plain.values(V, first[0]), buffered.values(V, got_first[0])
        np.testing.assert_array_equal(got_W, W)
        for A, got_A, width in zip(first, got_first, plain.widths, strict=False):
            want, got = plain.row_products(A, W), buffered.row_products(got_A, got_W)
            np.testing.assert_allclose(got, want, rtol=1e-14)
            sums = plain.sums(want, second[:width])
            np.testing.assert_allclose(buffered.sums(got, got_second[:width]), sums, atol=600 * 2.0**-52)
            contracted = plain.contract(sums, second[:width], A)
            got = buffered.contract(sums, got_second[:width], got_A)
            np.testing.assert_allclose(got, contracted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("d", [1, 2, 5])
def test_halves_make_all_monomials(d):
    """Every product of one of the first half, of degree t, and one of the prefix that goes with it, once."""
    plan = monomial_plan(d, 3)
    X = some(5, d)
    steps = SplitSteps(plan, 1)
    first, second = steps.features(X)
    products = [
        A[:, None, :] * second[None, :width, :] for A, width in zip(first, steps.widths, strict=False)
    ]
    got = np.concatenate([x.reshape(-1, 5) for x in products])
    want = monomials(X, plan).T
    assert got.shape == want.shape
    for token in range(5):
        np.testing.assert_allclose(np.sort(got[:, token]), np.sort(want[:, token]), rtol=1e-14)


@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
@pytest.mark.parametrize("d", [2, 3])
def test_many_tokens_and_a_rest(monkeypatch, d, dtype):
    """Blocks of whole pieces and a rest, through attention and its gradient; the steps are the fast ones."""
    monkeypatch.setattr(split_product, "_TOKENS", 4)
    Q, K, V, G = (some(*s, seed=i).astype(dtype) for i, s in enumerate([(23, d), (19, d), (19, 2), (23, 2)]))
    kwargs = {"scale": 0.9 / d}
    want = low_rank_attention(*polynomial_factors(Q, K, COEFFICIENTS, **kwargs), V)
    got = polynomial_attention(Q, K, V, COEFFICIENTS, block=10, **kwargs)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    whole = polynomial_attention_vjp(Q, K, V, G, COEFFICIENTS, block=1000, **kwargs)
    monkeypatch.setattr(split_product, "_TOKENS", 512)
    reference = polynomial_attention_vjp(Q, K, V, G, COEFFICIENTS, block=1, **kwargs)
    blocks = polynomial_attention_vjp(Q, K, V, G, COEFFICIENTS, block=10, workers=2, **kwargs)
    for x, y, z in zip(whole, reference, blocks, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(z, y, rtol=1e-11, atol=1e-13)


def test_pieces_are_what_blas_takes_without_packing():
    x = token_rows(3, 2048, np.float64)
    assert split_product._pieces(x).shape == (4, 3, 512)
    assert np.shares_memory(split_product._pieces(x), x)


def test_numbers_need_a_plan_with_a_table():
    plan = monomial_plan(4, len(COEFFICIENTS) - 1, table=False)
    with pytest.raises(ValueError, match="table"):
        polynomial_attention(some(5, 4), some(5, 4), some(5, 2), COEFFICIENTS, scale=0.1, plan=plan)
