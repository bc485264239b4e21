"""Tensor attention, exact and low-rank, against loops over all tuples of keys."""

import contextlib
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.attention import tensor
from touchstone.attention.exact import attention
from touchstone.attention.polynomial import low_rank_attention, polynomial_factors
from touchstone.attention.tensor import low_rank_tensor_attention, tensor_attention, tensor_factors
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.exponential import exp_coefficients, exp_degree
from touchstone.functions.monomials import monomial_plan
from touchstone.linalg.kronecker import khatri_rao

ROUNDING = 1e-12  # sums of a few hundred terms of size e^2 in float64


def instance(n, ms, d, c, seed, dtype="float64", bound=1.0):
    rng = np.random.default_rng(seed)

    def draw(rows, columns):
        return rng.uniform(-bound, bound, (rows, columns)).astype(dtype)

    return draw(n, d), [draw(m, d) for m in ms], [draw(m, c) for m in ms]


def by_loops(Q, Ks, Vs, weigh, scale):
    """One query and one tuple at a time; ``weigh`` takes all logits of a query."""
    tuples = list(itertools.product(*(range(len(K)) for K in Ks)))
    out = np.zeros((len(Q), Vs[0].shape[1]))
    for i, q in enumerate(Q.astype(float)):
        logits = []
        for at in tuples:
            product = q.copy()
            for K, j in zip(Ks, at, strict=True):
                product = product * K[j].astype(float)
            logits.append(scale * math.fsum(product))
        weights = weigh(np.array(logits))
        for w, at in zip(weights, tuples, strict=True):
            value = np.ones(out.shape[1])
            for V, j in zip(Vs, at, strict=True):
                value = value * V[j].astype(float)
            out[i] += w * value
        out[i] /= math.fsum(weights)
    return out


def exponentials(logits):
    return np.exp(logits - np.max(logits))


def polynomial(coefficients):
    return lambda logits: np.polynomial.polynomial.polyval(logits, coefficients)


sizes = st.tuples(
    st.integers(1, 6),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(1, 3),
)


# -- exact -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=sizes,
    scale=st.floats(-2, 2),
    block=st.one_of(st.none(), st.integers(1, 7)),
    seed=st.integers(0, 99),
)
def test_exact_attention_by_loops(sizes, scale, block, seed):
    Q, Ks, Vs = instance(*sizes, seed)
    expected = by_loops(Q, Ks, Vs, exponentials, scale)
    T = tensor_attention(Q, Ks, Vs, scale=scale, block=block)
    assert T.shape == expected.shape
    np.testing.assert_allclose(T, expected, rtol=0, atol=ROUNDING)


@settings(max_examples=30, deadline=None)
@given(sizes=sizes, seed=st.integers(0, 99))
def test_as_matrix_attention_over_tuples(sizes, seed):
    # the Khatri-Rao products are keys and values of an ordinary attention
    Q, Ks, Vs = instance(*sizes, seed)
    expected = attention(Q, khatri_rao(*Ks), khatri_rao(*Vs), scale=0.7)
    np.testing.assert_allclose(tensor_attention(Q, Ks, Vs, scale=0.7), expected, rtol=0, atol=ROUNDING)


def test_order_two_is_attention():
    Q, Ks, Vs = instance(9, [7], 5, 3, seed=1)
    expected = attention(Q, Ks[0], Vs[0], scale=0.4)
    np.testing.assert_allclose(tensor_attention(Q, Ks, Vs, scale=0.4), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("logit", [1e3, 1e150])
def test_extreme_logits_pick_the_largest_tuple(logit):
    Q, Ks, Vs = np.array([[1.0], [-1.0]]), [np.array([[1.0], [-2.0]])] * 2, [np.array([[3.0], [5.0]])] * 2
    # logits of the four pairs, over the scale: 1, -2, -2, 4; and their negatives
    T = tensor_attention(Q, Ks, Vs, scale=logit)
    np.testing.assert_array_equal(T, [[25.0], [15.0]])


def test_equal_keys_weigh_equally():
    Q, Ks, Vs = instance(4, [5, 3], 3, 2, seed=2)
    Ks = [np.zeros_like(Ks[0]), Ks[1]]  # rank 0: every logit is zero
    expected = Vs[0].mean(axis=0) * Vs[1].mean(axis=0)
    np.testing.assert_allclose(tensor_attention(Q, Ks, Vs, scale=9.0), np.tile(expected, (4, 1)), rtol=1e-14)


def test_the_order_of_the_pairs_of_matrices_does_not_matter():
    Q, Ks, Vs = instance(5, [4, 3, 2], 3, 2, seed=3)
    T = tensor_attention(Q, Ks, Vs, scale=1.0)
    for order in itertools.permutations(range(3)):
        again = tensor_attention(Q, [Ks[s] for s in order], [Vs[s] for s in order], scale=1.0)
        np.testing.assert_allclose(again, T, rtol=0, atol=ROUNDING)
    # but keys and values belong together
    assert np.max(np.abs(tensor_attention(Q, Ks[:1] * 2, [Vs[0], Vs[0][::-1]], scale=1.0)
                         - tensor_attention(Q, Ks[:1] * 2, [Vs[0], Vs[0]], scale=1.0))) > 1e-2  # fmt: skip


def test_blocks_and_workers_do_not_matter(monkeypatch):
    Q, Ks, Vs = instance(23, [6, 5], 3, 2, seed=4)
    T = tensor_attention(Q, Ks, Vs, scale=1.0, block=23)
    for block, workers in ((1, 1), (4, 2), (100, 3)):
        again = tensor_attention(Q, Ks, Vs, scale=1.0, block=block, workers=workers)
        np.testing.assert_allclose(again, T, rtol=0, atol=1e-15)
    seen = []
    right = tensor.map_rows
    monkeypatch.setattr(
        tensor,
        "map_rows",
        lambda f, *arrays, block, **more: (seen.append(block), right(f, *arrays, block=block, **more))[1],
    )
    for limit, expected in ((90, 3), (89, 2), (29, 1), (10**6, 23)):  # 30 tuples a query
        monkeypatch.setattr(tensor, "LOGITS_PER_BLOCK", limit)
        np.testing.assert_allclose(tensor_attention(Q, Ks, Vs, scale=1.0), T, rtol=0, atol=1e-15)
        assert seen.pop() == expected
    assert tensor_attention(Q[:0], Ks, Vs, scale=1.0).shape == (0, 2)


def test_complex_step_differentiates():
    Q, Ks, Vs = instance(4, [3, 3], 3, 2, seed=5)
    rng = np.random.default_rng(6)
    for matrix in (Q, Ks[0], Ks[1], Vs[0]):
        step = rng.normal(size=matrix.shape)

        def f(t, matrix=matrix, step=step):
            moved = [x + t * step if x is matrix else x for x in (Q, *Ks, *Vs)]
            return tensor_attention(moved[0], moved[1:3], moved[3:], scale=0.8)

        difference = (f(1e-5) - f(-1e-5)) / 2e-5  # error of order 1e-10
        np.testing.assert_allclose(f(1e-30j).imag / 1e-30, difference, rtol=0, atol=1e-8)


# -- low rank --------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    sizes=sizes,
    degree=st.integers(0, 6),
    block=st.one_of(st.none(), st.integers(1, 7)),
    seed=st.integers(0, 99),
)
def test_low_rank_attention_is_the_polynomial_of_every_logit(sizes, degree, block, seed):
    Q, Ks, Vs = instance(*sizes, seed)
    scale = 1 / sizes[2]  # logits within [-1, 1]
    c = exp_coefficients(1.0, degree)
    U = tensor_factors(Q, Ks, c, scale=scale)
    assert len(U) == len(Ks) + 1
    assert all(
        u.shape == (len(x), math.comb(sizes[2] + degree, degree)) for u, x in zip(U, (Q, *Ks), strict=True)
    )
    P = polynomial(c)(scale * Q @ khatri_rao(*Ks).T)
    np.testing.assert_allclose(U[0] @ khatri_rao(*U[1:]).T, P, rtol=0, atol=ROUNDING)
    if P.min() > 0.05:  # then no row sum cancels
        expected = by_loops(Q, Ks, Vs, polynomial(c), scale)
        T = low_rank_tensor_attention(Q, Ks, Vs, c, scale=scale, block=block)
        np.testing.assert_allclose(T, expected, rtol=0, atol=20 * ROUNDING)


def test_order_two_is_low_rank_attention():
    Q, Ks, Vs = instance(9, [7], 3, 2, seed=7)
    c = exp_coefficients(1.0, 5)
    expected = polynomial_factors(Q, Ks[0], c, scale=1 / 3)
    for u, w in zip(tensor_factors(Q, Ks, c, scale=1 / 3), expected, strict=True):
        np.testing.assert_array_equal(u, w)
    T = low_rank_tensor_attention(Q, Ks, Vs, c, scale=1 / 3)
    np.testing.assert_allclose(T, low_rank_attention(*expected, Vs[0]), rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("order", [2, 3, 4])
def test_certified_degree_gives_entrywise_accuracy(order):
    n, d, eps = 12, 3, 1e-3
    bound = 1.4 ** (1 / order)
    radius = bound**order
    Q, Ks, Vs = instance(n, [n] * (order - 1), d, 2, seed=8, bound=bound)
    for x in (Q, *Ks):
        x[0] = bound
    Ks[-1][1] = -bound  # both ends of the interval occur
    logits = Q @ khatri_rao(*Ks).T / d
    assert np.max(np.abs(logits)) == pytest.approx(radius, rel=1e-14)
    exact = np.exp(logits)
    degree = exp_degree(radius, math.log(eps))
    errors = []
    for g in (degree, degree - 2):
        U = tensor_factors(Q, Ks, exp_coefficients(radius, g), scale=1 / d)
        errors.append(np.max(np.abs(U[0] @ khatri_rao(*U[1:]).T / exact - 1)))
    assert errors[0] <= eps < errors[1]
    T = low_rank_tensor_attention(Q, Ks, Vs, exp_coefficients(radius, degree), scale=1 / d)
    largest = math.prod(float(np.max(np.abs(V))) for V in Vs)
    assert np.max(np.abs(T - tensor_attention(Q, Ks, Vs, scale=1 / d))) <= 2 * eps * largest


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_are_kept(dtype):
    Q, Ks, Vs = instance(8, [6, 5], 3, 2, seed=9, dtype=dtype)
    c = exp_coefficients(1.0, 6)
    tolerance = 200 * np.finfo(dtype).eps
    for T, weigh in (
        (tensor_attention(Q, Ks, Vs, scale=np.float64(1 / 3)), exponentials),
        (low_rank_tensor_attention(Q, Ks, Vs, c, scale=np.float64(1 / 3)), polynomial(c)),
    ):
        assert T.dtype == np.dtype(dtype)
        np.testing.assert_allclose(T, by_loops(Q, Ks, Vs, weigh, 1 / 3), rtol=0, atol=tolerance)


def test_low_rank_blocks_and_workers_do_not_matter(monkeypatch):
    Q, Ks, Vs = instance(41, [37, 29], 3, 2, seed=10)
    c = exp_coefficients(1.0, 6)
    T = low_rank_tensor_attention(Q, Ks, Vs, c, scale=1 / 3, block=100)
    for block, workers in ((1, 1), (7, 2)):
        again = low_rank_tensor_attention(Q, Ks, Vs, c, scale=1 / 3, block=block, workers=workers)
        np.testing.assert_allclose(again, T, rtol=0, atol=ROUNDING)
    seen = []
    right = tensor.map_rows
    monkeypatch.setattr(
        tensor,
        "map_rows",
        lambda f, *arrays, block, **more: (seen.append(block), right(f, *arrays, block=block, **more))[1],
    )
    low_rank_tensor_attention(Q, Ks, Vs, exp_coefficients(1.0, 15), scale=1 / 3)
    assert set(seen) == {2**22 // (8 * (816 + 3))}  # rank 816 at degree 15
    seen.clear()
    row = 8 * (84 + 3)  # rank 84 at degree 6, two columns of values and the ones
    for limit, expected in (
        (20 * row, 20),
        (200 * row, 200),
        (200 * row - 1, 199),
        (0, 16),
        (2**40, 2048),
    ):
        monkeypatch.setattr(tensor, "_BLOCK_BYTES", limit)
        np.testing.assert_allclose(
            low_rank_tensor_attention(Q, Ks, Vs, c, scale=1 / 3), T, rtol=0, atol=ROUNDING
        )
        assert set(seen) == {expected}
        seen.clear()


def test_blas_keeps_to_one_thread(monkeypatch):
    entered = []

    @contextlib.contextmanager
    def note():
        entered.append(True)
        yield

    monkeypatch.setattr(tensor, "single_threaded_blas", note)
    low_rank_tensor_attention(*instance(6, [5, 4], 3, 2, seed=18), exp_coefficients(1.0, 3), scale=0.5)
    assert entered == [True]


def test_a_plan_may_be_reused():
    Q, Ks, Vs = instance(5, [4, 3], 3, 2, seed=11)
    c, plan = exp_coefficients(1.0, 4), monomial_plan(3, 4)
    T = low_rank_tensor_attention(Q, Ks, Vs, c, scale=0.5, plan=plan)
    np.testing.assert_array_equal(T, low_rank_tensor_attention(Q, Ks, Vs, c, scale=0.5))
    with pytest.raises(ValueError, match=r"plan of degree 5: expected 4"):
        tensor_factors(Q, Ks, c, scale=0.5, plan=monomial_plan(3, 5))


# -- every library, and counting -------------------------------------------------------------------------


def test_on_every_library(xp):
    Q, Ks, Vs = instance(11, [7, 6], 3, 2, seed=12)
    c = exp_coefficients(1.0, 5)
    q, ks, vs = xp.asarray(Q), [xp.asarray(K) for K in Ks], [xp.asarray(V) for V in Vs]
    for block in (None, 4):
        np.testing.assert_allclose(
            to_host(tensor_attention(q, ks, vs, scale=0.5, block=block)),
            tensor_attention(Q, Ks, Vs, scale=0.5), rtol=0, atol=ROUNDING,
        )  # fmt: skip
        np.testing.assert_allclose(
            to_host(low_rank_tensor_attention(q, ks, vs, c, scale=0.5, block=block)),
            low_rank_tensor_attention(Q, Ks, Vs, c, scale=0.5), rtol=0, atol=ROUNDING,
        )  # fmt: skip
    for u, w in zip(tensor_factors(q, ks, c, scale=0.5), tensor_factors(Q, Ks, c, scale=0.5), strict=True):
        np.testing.assert_allclose(to_host(u), w, rtol=1e-14)


@pytest.mark.parametrize("block", [None, 3, 64])
@pytest.mark.parametrize(("n", "ms", "d", "c"), [(13, [11, 5], 3, 2), (1, [1], 1, 1), (7, [4, 3, 2], 2, 3)])
def test_counts_of_shapes_are_those_of_data(n, ms, d, c, block):
    Q, Ks, Vs = instance(n, ms, d, c, seed=13)
    coefficients, plan = exp_coefficients(1.0, 4), monomial_plan(d, 4, table=False)
    runs = {
        "exact": lambda q, ks, vs, _: tensor_attention(q, ks, vs, scale=0.5, block=block),
        "low rank": lambda q, ks, vs, p: low_rank_tensor_attention(
            q, ks, vs, None if p else coefficients, scale=0.5, plan=p, block=block
        ),
        "factors": lambda q, ks, vs, p: tensor_factors(q, ks, None if p else coefficients, scale=0.5, plan=p),
    }
    for name, run in runs.items():
        with count() as executed:
            run(counted(Q), [counted(K) for K in Ks], [counted(V) for V in Vs], None)
        with count() as shapes:
            run(shape_only(n, d), [shape_only(m, d) for m in ms], [shape_only(m, c) for m in ms], plan)
        assert executed.numbers() == shapes.numbers(), name


@pytest.mark.parametrize("n", [5, 2**320])
def test_cost_of_the_exact_method(n):
    m1, m2, d, c = n, 2 * n, 3, 2
    with count() as costs:
        tensor_attention(
            shape_only(n, d), [shape_only(m, d) for m in (m1, m2)], [shape_only(m, c) for m in (m1, m2)],
            scale=1.0, block=n,
        )  # fmt: skip
    assert costs.multiply_adds == n * m1 * m2 * (d + c)
    assert costs.transcendentals == n * m1 * m2
    # a subtraction and an addition a tuple (n m1 m2 - n of them add); the scaled queries and their products
    # with the first keys; the products with the first values, summed; the division
    extra = n * (m1 * (d + 2 * c) + d + c)
    assert abs(costs.arithmetic - (2 * n * m1 * m2 + extra)) <= n * (c + 1)


@pytest.mark.parametrize("n", [40, 2**320])
@pytest.mark.parametrize("order", [2, 3, 4])
def test_cost_of_the_low_rank_method(n, order):
    d, c, degree = 3, 2, 5
    r = math.comb(d + degree, degree)
    arrays = shape_only(n, d), [shape_only(n, d)] * (order - 1), [shape_only(n, c)] * (order - 1)
    plan = monomial_plan(d, degree, table=False)
    with count() as costs:
        low_rank_tensor_attention(*arrays, None, scale=1.0, plan=plan, block=n)
    assert costs.multiply_adds == order * n * r * (c + 1)
    assert costs.arithmetic == order * n * (r - 1) + (order - 1) * r * (c + 1) + n * c
    with count() as costs:
        tensor_factors(*arrays[:2], None, scale=1.0, plan=plan)
    assert costs.operations == order * n * (r - 1) + n * r


def test_memory_does_not_grow_with_the_tuples():
    n, d, degree = 2**30, 3, 8
    with count() as costs:
        low_rank_tensor_attention(
            shape_only(n, d), [shape_only(n, d)] * 2, [shape_only(n, d)] * 2, None,
            scale=1.0, plan=monomial_plan(d, degree, table=False),
        )  # fmt: skip
    # the output of 24 n bytes; blocks are of megabytes
    assert costs.bytes_peak <= 24 * n + 2**27


# -- errors ----------------------------------------------------------------------------------------------


def calls(Q, Ks, Vs):
    c = exp_coefficients(1.0, 3)
    yield lambda: tensor_attention(Q, Ks, Vs, scale=1.0)
    yield lambda: low_rank_tensor_attention(Q, Ks, Vs, c, scale=1.0)


def test_bad_input_is_named():
    Q, Ks, Vs = instance(5, [4, 3], 3, 2, seed=14)
    cases = [
        ((Q, [], []), ValueError, r"Ks=\(\): expected at least one key matrix"),
        ((Q, Ks, Vs[:1]), ValueError, r"1 value matrices: expected 2"),
        ((Q[0], Ks, Vs), ValueError, r"Q of shape \(3,\): expected a matrix"),
        ((Q, [Ks[0], Ks[1][0]], Vs), ValueError, r"Ks\[1\] of shape \(3,\): expected a matrix"),
        ((Q, Ks, [Vs[0][:, 0], Vs[1]]), ValueError, r"Vs\[0\] of shape \(4,\): expected a matrix"),
        ((Q, [Ks[0], Ks[1][:, :2]], Vs), ValueError, r"Ks\[1\] of shape \(3, 2\): expected \(m, 3\)"),
        ((Q, [Ks[0], Ks[1][:0]], Vs), ValueError, r"Ks\[1\] of shape \(0, 3\): .* m >= 1"),
        ((Q[:, :0], [K[:, :0] for K in Ks], Vs), ValueError, r"Q of shape \(5, 0\): expected at least one"),
        ((Q, Ks, [Vs[0], Vs[1][1:]]), ValueError, r"Vs\[1\] of shape \(2, 2\): expected \(3, 2\)"),
        ((Q, Ks, [Vs[0], Vs[1][:, 1:]]), ValueError, r"Vs\[1\] of shape \(3, 1\): expected \(3, 2\)"),
        ((Q.astype(int), Ks, Vs), TypeError, r"Q of dtype int64: expected real or complex floating"),
        ((Q, [Ks[0], Ks[1].astype(int)], Vs), TypeError, r"Ks\[1\] of dtype int64"),
        ((Q, Ks, [Vs[0], Vs[1].astype(int)]), TypeError, r"Vs\[1\] of dtype int64"),
    ]  # fmt: skip
    for arguments, error, message in cases:
        for call in calls(*arguments):
            with pytest.raises(error, match=message):
                call()


@pytest.mark.parametrize("scale", [math.nan, math.inf, 1j])
def test_a_scale_that_is_no_number(scale):
    Q, Ks, Vs = instance(5, [4, 3], 3, 2, seed=15)
    with pytest.raises(ValueError, match=r"scale=.*expected a finite"):
        tensor_attention(Q, Ks, Vs, scale=scale)


def test_bad_coefficients_and_blocks():
    Q, Ks, Vs = instance(5, [4, 3], 3, 2, seed=16)
    with pytest.raises(ValueError, match=r"coefficients=None: expected c_0"):
        low_rank_tensor_attention(Q, Ks, Vs, None, scale=1.0)
    with pytest.raises(ValueError, match=r"scale=nan"):
        tensor_factors(Q, Ks, [1.0], scale=math.nan)
    with pytest.raises(ValueError, match=r"block=0"):
        low_rank_tensor_attention(Q, Ks, Vs, [1.0], scale=1.0, block=0)
    with pytest.raises(ValueError, match=r"block=0"):
        tensor_attention(Q, Ks, Vs, scale=1.0, block=0)
