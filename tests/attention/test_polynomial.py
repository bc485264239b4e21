"""Polynomial attention, as factors and fused, against the dense polynomial of the logits."""

import math
import tracemalloc

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.attention.polynomial import (
    low_rank_attention,
    monomial_weights,
    polynomial_attention,
    polynomial_factors,
)
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.exponential import exp_coefficients, exp_degree
from touchstone.functions.monomials import monomial_plan, monomials


def instance(n, m, d, columns, seed, dtype="float64", bound=1.5):
    rng = np.random.default_rng(seed)
    shapes = ((n, d), (m, d), (m, columns))
    return [rng.uniform(-bound, bound, shape).astype(dtype) for shape in shapes]


def dense_polynomial(Q, K, coefficients, scale):
    """P(scale Q K^T) by Horner's rule on the whole matrix, in float64."""
    logits = scale * (Q.astype(float) @ K.astype(float).T)
    P = np.zeros_like(logits)
    for c in coefficients[::-1]:
        P = P * logits + c
    return P


def dense_attention(Q, K, V, coefficients, scale):
    P = dense_polynomial(Q, K, coefficients, scale)
    return (P @ V.astype(float)) / np.sum(P, axis=1, keepdims=True)


def literal(Q, K, V, coefficients, *, scale, plan=None):
    return low_rank_attention(*polynomial_factors(Q, K, coefficients, scale=scale, plan=plan), V)


def tallies(costs):
    names = ("multiply_adds", "arithmetic", "transcendentals", "comparisons", "moves", "bytes_peak")
    return {name: getattr(costs, name) for name in names}


sizes = st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 5), st.integers(1, 4))


# -- values ----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=80)
@given(sizes=sizes, degree=st.integers(0, 8), block=st.integers(1, 25), seed=st.integers(0, 999))
def test_factors_and_fused_attention_are_the_dense_polynomial(sizes, degree, block, seed):
    Q, K, V = instance(*sizes, seed)
    scale = 1 / sizes[2]
    radius = 2.25  # entries of at most 1.5
    c = exp_coefficients(radius, degree)
    P = dense_polynomial(Q, K, c, scale)
    U1, U2 = polynomial_factors(Q, K, c, scale=scale)
    assert U1.shape == (sizes[0], math.comb(sizes[2] + degree, degree))
    # at most degree roundings a monomial; sum |c_t| radius^t <= 3 e^radius here, and the sum over monomials
    # of |weight q^a k^a| is that of the powers of sum |q_i k_i| scale <= radius
    size = float(np.sum(np.abs(c) * radius ** np.arange(degree + 1)))
    rounding = 4 * (degree + 4) * 2**-52 * size
    assert np.max(np.abs(U1 @ U2.T - P)) <= rounding
    # relative to the row sums of |P|, so that a degree too low for positive sums is judged fairly
    sums = np.sum(P, axis=1)
    if np.min(sums) > 0.05 * size * sizes[1]:
        expected = dense_attention(Q, K, V, c, scale)
        tolerance = 2 * 1.5 * rounding / 0.05
        assert np.max(np.abs(low_rank_attention(U1, U2, V) - expected)) <= tolerance
        fused = polynomial_attention(Q, K, V, c, scale=scale, block=block)
        assert np.max(np.abs(fused - expected)) <= tolerance


def test_weights_make_the_polynomial_of_a_sum():
    # sum_a w_a x^a = P(scale (x_1 + x_2 + x_3)), whatever product of rows x is
    c, x, plan = np.array([2.0, -1.0, 0.5, 3.0]), np.array([[0.5, -2.0, 1.5]]), monomial_plan(3, 3)
    weights = monomial_weights(plan, c, 0.25, x)
    assert weights.shape == (20,)
    assert monomials(x, plan) @ weights == pytest.approx(2.0, abs=1e-14)  # the entries of x add up to zero
    y = np.array([[1.0, 2.0, 5.0]])  # 0.25 * 8 = 2: 2 - 2 + 2 + 24
    assert monomials(y, plan) @ weights == pytest.approx(26.0, rel=1e-14)


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_widths_and_dtypes(d, dtype):
    Q, K, V = instance(33, 47, d, 3, seed=d, dtype=dtype)
    c = exp_coefficients(2.25, 7)
    expected = dense_attention(Q, K, V, c, 1 / d)
    # weights of order 1 to e^2.25 cancel at most e^4.5 = 90; a few roundings of each
    tolerance = 90 * 30 * np.finfo(dtype).eps
    for f in (literal, polynomial_attention):
        T = f(Q, K, V, c, scale=1 / d)
        assert T.dtype == np.dtype(dtype)
        assert np.max(np.abs(T - expected)) <= tolerance


def test_the_scale_is_the_one_given():
    Q, K, V = instance(40, 40, 4, 4, seed=1)
    c = exp_coefficients(2.25, 8)
    quarter, half = (dense_attention(Q, K, V, c, s) for s in (0.25, 0.5))
    assert np.max(np.abs(quarter - half)) > 0.1  # 1/d and 1/sqrt(d) are far apart on this instance
    for f in (literal, polynomial_attention):
        assert np.max(np.abs(f(Q, K, V, c, scale=0.25) - quarter)) < 1e-12


def test_every_coefficient_counts():
    Q, K, V = instance(30, 30, 3, 2, seed=2)
    c = exp_coefficients(2.25, 6)
    right = polynomial_attention(Q, K, V, c, scale=1 / 3)
    for t in range(1, 7):
        changed = c.copy()
        changed[t] *= 1.01
        for f in (literal, polynomial_attention):
            T = f(Q, K, V, changed, scale=1 / 3)
            assert np.max(np.abs(T - dense_attention(Q, K, V, changed, 1 / 3))) < 1e-12
            assert np.max(np.abs(T - right)) > 1e-8  # the highest power moves least


def test_certified_degree_gives_entrywise_accuracy():
    n, d = 256, 3
    bound = math.log(n) ** 0.25
    radius, eps = bound**2, 1 / n
    Q, K, V = instance(n, n, d, d, seed=3, bound=bound)
    Q[0], K[0], K[1] = bound, bound, -bound  # both ends of the interval occur
    degree = exp_degree(radius, math.log(eps))
    U1, U2 = polynomial_factors(Q, K, exp_coefficients(radius, degree), scale=1 / d)
    A = np.exp(Q @ K.T / d)
    assert np.max(np.abs(U1 @ U2.T / A - 1)) <= eps
    exact = A @ V / np.sum(A, axis=1, keepdims=True)
    T = polynomial_attention(Q, K, V, exp_coefficients(radius, degree), scale=1 / d)
    assert np.max(np.abs(T - exact)) <= 2 * eps * bound
    # two degrees fewer break the entrywise bound
    U1, U2 = polynomial_factors(Q, K, exp_coefficients(radius, degree - 2), scale=1 / d)
    assert np.max(np.abs(U1 @ U2.T / A - 1)) > eps


def test_one_token_and_equal_tokens():
    Q, K, V = instance(1, 1, 1, 1, seed=4)
    c = exp_coefficients(2.25, 5)
    assert polynomial_attention(Q, K, V, c, scale=1.0)[0, 0] == pytest.approx(V[0, 0], abs=1e-15)
    K, V = instance(9, 9, 4, 2, seed=5)[1:]
    for queries in (np.zeros((3, 4)), np.full((3, 4), 0.0)):
        for f in (literal, polynomial_attention):
            T = f(queries, K, V, c, scale=0.25)
            assert np.allclose(T, np.mean(V, axis=0), rtol=0, atol=1e-14)


def test_degree_zero_is_the_mean():
    Q, K, V = instance(5, 8, 3, 2, seed=6)
    for f in (literal, polynomial_attention):
        assert np.allclose(f(Q, K, V, [2.5], scale=1 / 3), np.mean(V, axis=0), rtol=0, atol=1e-14)


def test_nan_stays_in_its_query_and_spreads_from_a_key():
    Q, K, V = instance(6, 8, 3, 2, seed=7)
    c = exp_coefficients(2.25, 4)
    Q[2, 1] = np.nan
    for f in (literal, polynomial_attention):
        T = f(Q, K, V, c, scale=1 / 3)
        assert np.isnan(T).all(axis=1).tolist() == [False, False, True, False, False, False]
        assert not np.isnan(np.delete(T, 2, axis=0)).any()
    K[0, 0] = np.nan
    assert np.isnan(polynomial_attention(Q, K, V, c, scale=1 / 3)).all()


def test_neither_blocks_nor_workers_nor_plan_matter():
    Q, K, V = instance(301, 257, 4, 4, seed=8, dtype="float32")
    c = exp_coefficients(2.25, 7)
    plan = monomial_plan(4, 7)
    results = [
        polynomial_attention(Q, K, V, c, scale=0.25, block=block, plan=p)
        for block in (1, 64, 300, 1000, None)
        for p in (None, plan)
    ]
    for T in results:  # other blocks, another order of summation
        assert np.max(np.abs(T - results[0])) < 2e-6
    for workers in (2, 3):
        assert np.array_equal(
            polynomial_attention(Q, K, V, c, scale=0.25, block=64, workers=workers),
            polynomial_attention(Q, K, V, c, scale=0.25, block=64),
        )


def test_inputs_are_left_alone_and_may_be_views():
    Q, K, V = instance(20, 24, 3, 3, seed=9)
    c = exp_coefficients(2.25, 6)
    before = [x.copy() for x in (Q, K, V)]
    T = polynomial_attention(Q, K, V, c, scale=1 / 3, block=7)
    assert all(np.array_equal(x, y) for x, y in zip((Q, K, V), before, strict=True))
    views = [np.asfortranarray(np.repeat(x, 2, axis=0))[::2] for x in (Q, K, V)]
    assert np.array_equal(polynomial_attention(*views, c, scale=1 / 3, block=7), T)
    # a mixture of widths takes the wider one
    mixed = polynomial_attention(Q.astype("float32"), K, V, c, scale=1 / 3)
    assert mixed.dtype == np.float64


def test_complex_step_differentiates():
    Q, K, V = instance(5, 6, 3, 2, seed=10)
    c = exp_coefficients(2.25, 6)
    direction = np.random.default_rng(0).uniform(-1, 1, Q.shape)
    step = 1e-5
    for f in (literal, polynomial_attention):
        derivative = (
            f(Q + 1e-30j * direction, K.astype(complex), V.astype(complex), c, scale=1 / 3).imag / 1e-30
        )
        ahead, behind = (f(Q + s * direction, K, V, c, scale=1 / 3) for s in (step, -step))
        # the central difference errs by step^2 and by rounding over step
        assert np.max(np.abs(derivative - (ahead - behind) / (2 * step))) < 1e-8


# -- other namespaces, counts ----------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(sizes=sizes, degree=st.integers(0, 5), block=st.integers(1, 25), seed=st.integers(0, 99))
def test_every_namespace_gives_the_same_numbers(sizes, degree, block, seed):
    Q, K, V = instance(*sizes, seed, bound=0.5)
    c = exp_coefficients(0.3, degree)
    for f, extra in ((literal, {}), (polynomial_attention, {"block": block})):
        expected = f(Q, K, V, c, scale=1 / sizes[2], **extra)
        strict = f(*map(array_api_strict.asarray, (Q, K, V)), c, scale=1 / sizes[2], **extra)
        with count():
            values = f(*map(counted, (Q, K, V)), c, scale=1 / sizes[2], **extra)
        # the buffered steps are the plain ones; only the product itself may sum in another order
        assert np.max(np.abs(np.asarray(strict) - expected)) <= 1e-13
        assert np.max(np.abs(values.__to_host__() - expected)) <= 1e-13


@settings(deadline=None, max_examples=40)
@given(sizes=sizes, degree=st.integers(0, 6), block=st.integers(1, 25))
def test_shape_only_counts_are_the_executed_ones(sizes, degree, block):
    n, m, d, columns = sizes
    Q, K, V = instance(n, m, d, columns, seed=0, bound=0.5)
    c, r = exp_coefficients(0.3, degree), math.comb(d + degree, degree)
    shapes = [shape_only(*x.shape) for x in (Q, K, V)]
    for f, extra in ((literal, {}), (polynomial_attention, {"block": block})):
        with count() as executed:
            f(*map(counted, (Q, K, V)), c, scale=1 / d, **extra)
        assert executed.multiply_adds == (n + m) * r * (columns + 1)
        assert executed.transcendentals == executed.comparisons == 0
        if f is literal:
            assert executed.arithmetic == (n + m) * (r - 1) + n * r + n * columns
        for coefficients, table in ((c, True), (c, False), (None, True), (None, False)):
            with count() as sized:
                plan = monomial_plan(d, degree, table=table)
                T = f(*shapes, coefficients, scale=1 / d, plan=plan, **extra)
            assert T.shape == (n, columns)
            assert tallies(sized) == tallies(executed)
            assert sized.products == executed.products


def test_counts_at_sizes_no_memory_holds():
    n, d, degree = 2**320, 55, 127
    plan = monomial_plan(d, degree, table=False)
    for f in (literal, polynomial_attention):
        with count() as costs:
            f(*[shape_only(n, d)] * 3, None, scale=1 / d, plan=plan)
        assert costs.multiply_adds == 2 * n * plan.rank * (d + 1)


# -- memory ----------------------------------------------------------------------------------------------


def peak_beyond_output(n, workers):
    Q, K, V = instance(n, n, 4, 4, seed=0, dtype="float32", bound=1.8)
    c = exp_coefficients(3.4, 13)
    tracemalloc.start()
    try:
        T = polynomial_attention(Q, K, V, c, scale=0.25, workers=workers)
        return tracemalloc.get_traced_memory()[1] - T.nbytes
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_stays_bounded_at_many_tokens(workers):
    small, large = peak_beyond_output(2**13, workers), peak_beyond_output(2**17, workers)
    # a block holds 2 C(15, 2) = 210 features, 14 * 5 products, two rows of 5 sums, 2 * 4 inputs and outputs,
    # and a mebibyte is left for tables, sums over the keys and what the interpreter keeps
    block = 2048 * 4 * (210 + 70 + 10 + 16)
    for peak in (small, large):
        assert peak <= (workers + 1) * block + 2**20
    assert large - small < 2**19  # nothing grows with n; the full table would take 1.2 GiB


# -- errors ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [literal, polynomial_attention])
def test_bad_inputs_are_named(f):
    Q, K, V = instance(4, 5, 3, 2, seed=0)
    c = [1.0, 1.0]
    for bad, match in [
        ((Q[:, :2], K, V, c), "K of shape"),
        ((Q[:, :0], K[:, :0], V, c), "Q of shape"),
        ((Q[0], K, V, c), "Q of shape"),
        ((Q, K[0], V, c), "shape"),
        ((Q, K[:0], V[:0], c), "K of shape"),
        ((Q, K, V[:4], c), "V of shape"),
        ((Q, K, V[:, 0], c), "V of shape"),
        ((Q, K, V, []), "coefficients="),
        ((Q, K, V, [1.0, np.nan]), "coefficients="),
        ((Q, K, V, [[1.0]]), "coefficients="),
        ((Q, K, V, None), "coefficients=None"),
    ]:
        with pytest.raises(ValueError, match=match):
            f(*bad, scale=1 / 3)
    with pytest.raises(ValueError, match="scale="):
        f(Q, K, V, c, scale=math.nan)
    with pytest.raises(ValueError, match="plan of degree 2: expected 1"):
        f(Q, K, V, c, scale=1 / 3, plan=monomial_plan(3, 2))
    with pytest.raises(ValueError, match="plan with d=2: expected 3"):
        f(Q, K, V, c, scale=1 / 3, plan=monomial_plan(2, 1))
    with pytest.raises(ValueError, match="table=False"):
        f(Q, K, V, c, scale=1 / 3, plan=monomial_plan(3, 1, table=False))
    with pytest.raises(TypeError):
        f(Q, array_api_strict.asarray(K), V, c, scale=1 / 3)
    with pytest.raises(TypeError, match="K of dtype int64"):
        f(Q, np.ones((5, 3), dtype=np.int64), V, c, scale=1 / 3)
    with pytest.raises(TypeError):
        f(Q, K, V, c)  # no default scale


def test_bad_blocks_and_factors():
    Q, K, V = instance(4, 5, 3, 2, seed=0)
    for block in (0, -1):
        with pytest.raises(ValueError, match="block="):
            polynomial_attention(Q, K, V, [1.0], scale=1.0, block=block)
    with pytest.raises(ValueError, match="workers="):
        polynomial_attention(Q, K, V, [1.0], scale=1.0, workers=0)
    for U1, U2, W, match in [
        (np.ones((4, 2)), np.ones((5, 3)), V, "U2 of shape"),
        (np.ones((4, 2)), np.ones((4, 2)), V, "V of shape"),
        (np.ones(4), np.ones((5, 3)), V, "U1 of shape"),
    ]:
        with pytest.raises(ValueError, match=match):
            low_rank_attention(U1, U2, W)
