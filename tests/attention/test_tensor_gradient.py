"""The gradient on tensor attention: the closed form against complex steps, the factored one against it."""

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.attention import tensor_gradient
from touchstone.attention.tensor_gradient import (
    low_rank_tensor_attention_gradient,
    tensor_attention_gradient,
)
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.differentiation import complex_step_gradient
from touchstone.functions.exponential import exp_coefficients, exp_degree
from touchstone.functions.monomials import monomial_plan
from touchstone.linalg.kronecker import khatri_rao, kron

ROUNDING = 1e-11  # sums of a few hundred terms of one size, with a softmax of logits of size one


def loss(As, X, Y, E, scale):
    """Entry by entry as it is defined, analytic in X."""
    logits = scale * As[0] @ X @ kron(As[1], As[2]).T
    weights = np.exp(logits - logits.real.max(axis=1, keepdims=True))
    outputs = weights @ (kron(As[3], As[4]) @ Y) / weights.sum(axis=1, keepdims=True)
    return np.sum((outputs - E) ** 2) / 2


def dense_instance(n, m, q, d, c, seed):
    rng = np.random.default_rng(seed)
    As = [0.7 * rng.standard_normal((rows, d)) for rows in (n, m, q, m, q)]
    return (
        As,
        0.5 * rng.standard_normal((d, d * d)),
        rng.standard_normal((d * d, c)),
        rng.uniform(-1, 1, (n, c)),
    )


def factored_instance(n, ms, d, c, seed, dtype="float64", width=None):
    """Inputs with structure, and the same problem in the dense form's terms for two key matrices."""
    rng = np.random.default_rng(seed)
    width = d if width is None else width

    def draw(*shape):
        return rng.uniform(-1, 1, shape).astype(dtype)

    return draw(n, d), [draw(m, d) for m in ms], [draw(m, c) for m in ms], [
        draw(rows, width) for rows in (n, *ms)
    ], draw(n, c)  # fmt: skip


def by_definition(Q, Ks, Hs, As, E, coefficients, scale):
    """All weights of all tuples, by the polynomial."""
    P = np.polynomial.polynomial.polyval(scale * Q @ khatri_rao(*Ks).T, coefficients)
    f, h = P / P.sum(axis=1, keepdims=True), khatri_rao(*Hs)
    S = f @ h
    p = f * ((S - E) @ h.T) - np.sum((S - E) * S, axis=1, keepdims=True) * f
    return scale * As[0].T @ p @ kron(*As[1:])


def close(a, b, tolerance=ROUNDING):
    np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * max(1e-3, np.max(np.abs(b))))


# -- the closed form -----------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(1, 4)] * 3, st.integers(1, 3), st.integers(1, 3)),
    scale=st.floats(-1.5, 1.5),
    seed=st.integers(0, 99),
)
def test_closed_form_by_complex_steps(sizes, scale, seed):
    As, X, Y, E = dense_instance(*sizes, seed)
    expected = complex_step_gradient(lambda X: loss(As, X, Y, E, scale), X)
    close(tensor_attention_gradient(As, X, Y, E, scale=scale), expected)


def test_extreme_logits_are_safe():
    As, X, Y, E = dense_instance(3, 4, 5, 2, 2, seed=1)
    gradient = tensor_attention_gradient(As, 1e4 * X, Y, E, scale=1.0)
    assert np.all(np.isfinite(gradient))  # one pair takes all the weight: nothing moves
    assert np.max(np.abs(gradient)) < 1e-6


@pytest.mark.parametrize(
    ("at", "shape", "message"),
    [
        ("A2", (3, 2), "A4"),
        ("A5", (9, 2), "A5"),
        ("X", (2, 3), "X of shape"),
        ("Y", (3, 2), "Y of shape"),
        ("E", (3, 7), "E of shape"),
    ],
)
def test_dense_shapes_that_do_not_fit(at, shape, message):
    As, X, Y, E = dense_instance(3, 4, 5, 2, 2, seed=2)
    given_ = {"X": X, "Y": Y, "E": E} | {f"A{s + 1}": A for s, A in enumerate(As)}
    given_[at] = np.zeros(shape)
    with pytest.raises(ValueError, match=message):
        tensor_attention_gradient(
            [given_[f"A{s}"] for s in range(1, 6)], given_["X"], given_["Y"], given_["E"], scale=1.0
        )


def test_dense_refusals():
    As, X, Y, E = dense_instance(3, 4, 5, 2, 2, seed=2)
    with pytest.raises(ValueError, match=r"Y of shape \(4,\): expected \(4, 1\)"):
        tensor_attention_gradient(As, X, Y[:, 0], E, scale=1.0)
    with pytest.raises(ValueError, match="expected five"):
        tensor_attention_gradient(As[:4], X, Y, E, scale=1.0)
    for scale in (np.nan, np.inf, 1j):
        with pytest.raises(ValueError, match="scale="):
            tensor_attention_gradient(As, X, Y, E, scale=scale)


# -- the factored one ------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(1, 7),
    ms=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    d=st.integers(1, 3),
    c=st.integers(1, 3),
    width=st.integers(1, 3),
    block=st.one_of(st.none(), st.integers(1, 7)),
    scale=st.sampled_from([0.5, -0.3, 1.0]),
    seed=st.integers(0, 99),
)
def test_factored_by_definition(n, ms, d, c, width, block, scale, seed):
    instance = factored_instance(n, ms, d, c, seed, width=width)
    coefficients = exp_coefficients(2.0, 8)  # positive on the logits: row sums are safe
    gradient = low_rank_tensor_attention_gradient(*instance, coefficients, scale=scale / d, block=block)
    assert gradient.shape == (width, width ** len(ms))
    close(gradient, by_definition(*instance, coefficients, scale / d))


def test_factored_is_the_dense_gradient_at_a_degree_beyond_rounding():
    rng = np.random.default_rng(3)
    n, d = 20, 3
    As = [rng.uniform(-1, 1, (n, d)) for _ in range(5)]
    X1, X2, X3, Y1, Y2 = rng.uniform(-1, 1, (5, d, d))
    E = rng.uniform(-1, 1, (n, d))
    Q, Ks = As[0] @ X1, [As[1] @ X2, As[2] @ X3]
    expected = tensor_attention_gradient(As, X1 @ khatri_rao(X2, X3).T, khatri_rao(Y1, Y2), E, scale=1 / d)
    radius = float(np.max(np.abs(Q @ khatri_rao(*Ks).T))) / d
    coefficients = exp_coefficients(radius, exp_degree(radius, -36.0))
    gradient = low_rank_tensor_attention_gradient(
        Q, Ks, [As[3] @ Y1, As[4] @ Y2], As[:3], E, coefficients, scale=1 / d
    )
    close(gradient, expected)


def test_rank_deficient_inputs():
    Q, Ks, Hs, As, E = factored_instance(6, [5, 4], 3, 2, seed=4)
    Ks[0][:] = 0  # all logits zero: equal weights
    As[1][:, 1] = As[1][:, 0]
    coefficients = exp_coefficients(1.0, 5)
    gradient = low_rank_tensor_attention_gradient(Q, Ks, Hs, As, E, coefficients, scale=0.5)
    close(gradient, by_definition(Q, Ks, Hs, As, E, coefficients, 0.5))
    np.testing.assert_allclose(gradient[:, :3], gradient[:, 3:6], rtol=1e-12)


def test_float32_is_kept():
    instance = factored_instance(30, [20, 10], 3, 2, seed=5, dtype="float32")
    coefficients = exp_coefficients(1.0, 6)
    gradient = low_rank_tensor_attention_gradient(*instance, coefficients, scale=np.float64(1 / 3))
    assert gradient.dtype == np.float32
    Q, Ks, Hs, As, E = instance
    wide = [[x.astype(float) for x in each] for each in (Ks, Hs, As)]
    close(gradient, by_definition(Q.astype(float), *wide, E.astype(float), coefficients, 1 / 3), 2e-5)


def test_blocks_fit_their_working_set_and_do_not_matter(monkeypatch):
    instance = factored_instance(41, [37, 29], 3, 2, seed=6)
    coefficients = exp_coefficients(1.0, 6)
    expected = low_rank_tensor_attention_gradient(*instance, coefficients, scale=1 / 3, block=100)
    seen, right = [], tensor_gradient.map_rows

    def note(f, *arrays, block, **more):
        seen.append(block)
        return right(f, *arrays, block=block, **more)

    monkeypatch.setattr(tensor_gradient, "map_rows", note)
    many = exp_coefficients(1.0, 15)  # rank 816
    low_rank_tensor_attention_gradient(*instance, many, scale=1 / 3)
    assert set(seen) == {2**22 // (8 * (2 * 816 + 3 * 4))}
    seen.clear()
    row = 8 * (2 * 84 + 3 * 4)  # rank 84 at degree 6; two columns and the ones, three inputs and one
    for limit, block in ((20 * row, 20), (200 * row, 200), (200 * row - 1, 199), (0, 16), (2**40, 2048)):
        monkeypatch.setattr(tensor_gradient, "_BLOCK_BYTES", limit)
        close(low_rank_tensor_attention_gradient(*instance, coefficients, scale=1 / 3), expected)
        assert set(seen) == {block}
        seen.clear()
    again = low_rank_tensor_attention_gradient(*instance, coefficients, scale=1 / 3, block=7, workers=2)
    close(again, expected)


def test_blas_keeps_to_one_thread(monkeypatch):
    entered = []

    @contextlib.contextmanager
    def note():
        entered.append(True)
        yield

    monkeypatch.setattr(tensor_gradient, "single_threaded_blas", note)
    instance = factored_instance(6, [5, 4], 3, 2, seed=10)
    low_rank_tensor_attention_gradient(*instance, exp_coefficients(1.0, 3), scale=0.5)
    assert entered == [True]


def test_what_does_not_fit():
    Q, Ks, Hs, As, E = factored_instance(6, [5, 4], 3, 2, seed=7)
    coefficients = exp_coefficients(1.0, 3)

    def run(**changed):
        given_ = {"Q": Q, "Ks": Ks, "Hs": Hs, "As": As, "E": E} | changed
        return low_rank_tensor_attention_gradient(*given_.values(), coefficients, scale=0.5)

    for changed, message in [
        ({"Ks": []}, "0 Ks, 2 Hs and 3 As"),
        ({"Hs": Hs[:1]}, "2 Ks, 1 Hs and 3 As"),
        ({"As": As[:2]}, "2 Ks, 2 Hs and 2 As"),
        ({"E": E[:5]}, "E of shape"),
        ({"As": [As[0][:4], *As[1:]]}, r"As\[0\] of shape"),
        ({"Hs": [Hs[0], Hs[1][:, :1]]}, r"Hs\[1\] of shape"),
        ({"As": [*As[:2], As[2][:, :2]]}, r"As\[2\] of shape"),
        ({"As": [As[0][:, :2], *As[1:]]}, r"As\[1\] of shape \(5, 3\): expected \(5, 2\)"),
        ({"Ks": [Ks[0], Ks[1][:, :2]]}, "K of shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            run(**changed)
    with pytest.raises(ValueError, match="plan of degree 4"):
        low_rank_tensor_attention_gradient(
            Q, Ks, Hs, As, E, coefficients, scale=0.5, plan=monomial_plan(3, 4)
        )


# -- every library, and counting -------------------------------------------------------------------------


def test_on_every_library(xp):
    Q, Ks, Hs, As, E = factored_instance(11, [7, 6], 3, 2, seed=8)
    coefficients = exp_coefficients(1.0, 5)
    moved = [xp.asarray(Q), *([xp.asarray(x) for x in each] for each in (Ks, Hs, As)), xp.asarray(E)]
    expected = low_rank_tensor_attention_gradient(Q, Ks, Hs, As, E, coefficients, scale=0.5)
    for block in (None, 4):
        gradient = low_rank_tensor_attention_gradient(*moved, coefficients, scale=0.5, block=block)
        close(to_host(gradient), expected)
    As, X, Y, E = dense_instance(5, 4, 3, 2, 2, seed=9)
    gradient = tensor_attention_gradient(
        [xp.asarray(A) for A in As], xp.asarray(X), xp.asarray(Y), xp.asarray(E), scale=0.5
    )
    close(to_host(gradient), tensor_attention_gradient(As, X, Y, E, scale=0.5))


@pytest.mark.parametrize("block", [None, 3])
@pytest.mark.parametrize(("n", "ms", "d", "c"), [(13, [11, 5], 3, 2), (1, [1], 1, 1), (7, [4, 3, 2], 2, 3)])
def test_counts_of_shapes_are_those_of_data(n, ms, d, c, block):
    def run(array, plan):
        rows = (n, *ms)
        with count() as costs:
            low_rank_tensor_attention_gradient(
                array(n, d), [array(m, d) for m in ms], [array(m, c) for m in ms],
                [array(m, d) for m in rows], array(n, c), exp_coefficients(1.0, 4), scale=0.5, plan=plan,
                block=block,
            )  # fmt: skip
        return costs

    rng = np.random.default_rng(0)
    data = run(lambda *shape: counted(rng.uniform(-1, 1, shape)), monomial_plan(d, 4))
    shapes = run(shape_only, monomial_plan(d, 4, table=False))
    for name in ("multiply_adds", "arithmetic", "transcendentals", "comparisons", "bytes_peak"):
        assert getattr(data, name) == getattr(shapes, name), name


def test_multiply_adds_in_closed_form():
    n, d, c, degree = 50, 3, 2, 5
    plan = monomial_plan(d, degree, table=False)
    X, H = shape_only(n, d), shape_only(n, c)
    with count() as costs:
        low_rank_tensor_attention_gradient(
            X, [X, X], [H, H], [X, X, X], H, None, scale=0.5, plan=plan, block=n
        )  # fmt: skip
    r = plan.rank
    forward, backward = 3 * n * r * (c + 1), 3 * n * r * d * (c + 1)
    assert costs.multiply_adds == forward + backward + d * d**2 * (c + 1) * r
    with count() as dense:
        tensor_attention_gradient([X] * 5, shape_only(d, d**2), shape_only(d**2, c), H, scale=0.5)
    pairs = n * n
    assert dense.multiply_adds == (
        n * pairs * (d**2 + 2 * c + d) + n * d * d**2 + pairs * d**2 * c + d * pairs * d**2
    )
