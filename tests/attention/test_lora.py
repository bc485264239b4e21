"""Gradients in low-rank adapters, against complex steps and the formulas with everything formed."""

import itertools

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.attention.exact import attention, attention_weights
from touchstone.attention.lora import adapted_weight, adapter_gradients, lora_gradients, weight_gradients
from touchstone.attention.low_rank_weights import low_rank_weights
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.differentiation import complex_step_gradient
from touchstone.functions.exponential import exp_coefficients
from touchstone.functions.monomials import monomial_plan


def instance(rng, n=5, m=4, d=3, k=2, c=3, r=2):
    """Inputs, frozen weights, adapters and target, all of different sizes."""
    # halves: a softmax that saturates would lose digits on both sides
    X = [rng.normal(size=s) / 2 for s in [(n, d), (m, d + 1), (m, d + 2)]]
    W = {name: rng.normal(size=s) for name, s in zip("QKV", [(d, k), (d + 1, k), (d + 2, c)], strict=True)}
    adapters = {
        name: (rng.normal(size=(w.shape[0], r)) / 4, rng.normal(size=(r, w.shape[1])))
        for name, w in W.items()
    }
    return X, W, adapters, rng.normal(size=(n, c))


def loss(X, W, adapters, Y, alpha, scale):
    """By definition, analytic in every entry."""
    full = {name: W[name] + alpha / A.shape[0] * (B @ A) for name, (B, A) in adapters.items()}
    residual = attention(*(x @ full[name] for x, name in zip(X, "QKV", strict=True)), scale=scale) - Y
    return np.sum(residual * residual) / 2


def by_complex_step(X, W, adapters, Y, alpha, scale):
    result = {}
    for name, pair in adapters.items():
        gradients = []
        for which in (0, 1):

            def f(x, name=name, which=which, pair=pair):
                changed = (x, pair[1]) if which == 0 else (pair[0], x)
                return loss(X, W, adapters | {name: changed}, Y, alpha, scale)

            gradients.append(complex_step_gradient(f, pair[which], check=False))
        result[name] = gradients
    return result


@settings(max_examples=40, deadline=None)
@given(
    *[st.integers(1, 4)] * 6, st.integers(0, 10**6), st.sampled_from([0.5, 1.0]), st.sampled_from([-3.0, 4.0])
)
def test_six_gradients_are_the_complex_steps(n, m, d, k, c, r, seed, scale, alpha):
    X, W, adapters, Y = instance(np.random.default_rng(seed), n, m, d, k, c, r)
    got = lora_gradients(*X, W, adapters, Y, alpha=alpha, scale=scale)
    expected = by_complex_step(X, W, adapters, Y, alpha, scale)
    assert list(got) == ["Q", "K", "V"]
    for name in "QKV":
        for a, b, x in zip(got[name], expected[name], adapters[name], strict=True):
            assert a.shape == x.shape
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11 * (1 + np.max(np.abs(b))))


@pytest.mark.parametrize(
    "names", [names for size in range(4) for names in itertools.combinations("QKV", size)], ids="".join
)
def test_partial_adaptation_is_a_part(names):
    X, W, adapters, Y = instance(np.random.default_rng(1))
    some = {name: adapters[name] for name in names}
    full = {
        name: adapted_weight(W[name], *adapters[name], alpha=4) if name in some else W[name] for name in "QKV"
    }
    got = lora_gradients(*X, W, some, Y, alpha=4, scale=0.5)
    everything = weight_gradients(*X, full, Y, scale=0.5)
    assert set(got) == set(names)
    for name in names:
        for a, b in zip(got[name], adapter_gradients(everything[name], *some[name], alpha=4), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-13)


def test_on_every_library(xp):
    X, W, adapters, Y = instance(np.random.default_rng(2))
    got = lora_gradients(
        *map(xp.asarray, X),
        {name: xp.asarray(w) for name, w in W.items()},
        {name: tuple(map(xp.asarray, pair)) for name, pair in adapters.items()},
        xp.asarray(Y),
        alpha=4,
        scale=0.5,
    )
    expected = by_complex_step(X, W, adapters, Y, 4, 0.5)
    for name in "QKV":
        for a, b in zip(got[name], expected[name], strict=True):
            np.testing.assert_allclose(to_host(a), b, rtol=1e-10, atol=1e-12)


def test_weights_as_array_operator_or_function():
    X, W, adapters, Y = instance(np.random.default_rng(3), n=6, m=7)
    W = {name: w / 4 for name, w in W.items()}
    adapters = {name: (B / 4, A) for name, (B, A) in adapters.items()}
    full = {name: adapted_weight(W[name], *adapters[name], alpha=1) for name in "QKV"}
    Q, K = X[0] @ full["Q"], X[1] @ full["K"]
    radius = 1.01 * np.max(np.abs(Q @ K.T)) / 2
    seen = []

    def low_rank(Q, K):
        seen.append((Q, K))
        return low_rank_weights(Q, K, exp_coefficients(radius, 24), scale=0.5)

    expected = lora_gradients(*X, W, adapters, Y, alpha=1, scale=0.5)
    dense = attention_weights(Q, K, scale=0.5)
    for F in (dense, low_rank(Q, K), low_rank):
        got = lora_gradients(*X, W, adapters, Y, alpha=1, scale=0.5, F=F)
        for name in "QKV":
            for a, b in zip(got[name], expected[name], strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(seen[1][0], Q)
    np.testing.assert_allclose(seen[1][1], K)
    # weights that are handed in are used, not computed again
    uniform = np.full(dense.shape, 1 / dense.shape[1])
    got = weight_gradients(*X, full, Y, scale=0.5, F=uniform, of="V")["V"]
    V = X[2] @ full["V"]
    np.testing.assert_allclose(got, X[2].T @ uniform.T @ (uniform @ V - Y), rtol=1e-12)


def test_small_pieces_by_hand():
    W, B, A = np.asarray([[1.0, 2.0]]), np.asarray([[3.0, 1.0]]), np.asarray([[1.0, 0.0], [0.0, 5.0]])
    np.testing.assert_array_equal(adapted_weight(W, B, A, alpha=4), [[1 + 2 * 3, 2 + 2 * 5]])
    dB, dA = adapter_gradients(np.asarray([[7.0, -1.0]]), B, A, alpha=4)
    np.testing.assert_array_equal(dB, [[14, -10]])
    np.testing.assert_array_equal(dA, [[42, -6], [14, -2]])


def test_zero_residual_has_zero_gradients():
    X, W, adapters, _ = instance(np.random.default_rng(4))
    full = {name: adapted_weight(W[name], *adapters[name], alpha=4) for name in "QKV"}
    F = attention_weights(X[0] @ full["Q"], X[1] @ full["K"], scale=1.0)
    for pair in lora_gradients(*X, W, adapters, F @ (X[2] @ full["V"]), alpha=4, scale=1.0).values():
        for gradient in pair:
            assert np.max(np.abs(gradient)) < 1e-11


def test_extreme_logits_and_single_precision():
    X, W, adapters, Y = instance(np.random.default_rng(5))
    narrow = lora_gradients(
        *(np.float32(1e3 * x) for x in X),
        {name: np.float32(w) for name, w in W.items()},
        {name: tuple(np.float32(x) for x in pair) for name, pair in adapters.items()},
        np.float32(Y),
        alpha=np.float64(4),
        scale=np.float64(0.5),
    )
    for pair in narrow.values():
        for gradient in pair:
            assert gradient.dtype == np.float32
            assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("low_rank", [False, True])
@pytest.mark.parametrize("names", ["Q", "QV", "QKV"])
def test_counts_from_shapes(names, low_rank):
    def costs(make):
        X, W, adapters, Y = instance(np.random.default_rng(6), n=7, m=6)
        X, W = [make(*x.shape) for x in X], {name: make(*w.shape) for name, w in W.items()}
        adapters = {name: tuple(make(*x.shape) for x in adapters[name]) for name in names}
        plan = monomial_plan(2, 3)

        def factored(Q, K):
            return low_rank_weights(Q, K, np.ones(4), scale=0.5, plan=plan)

        with count() as costs:
            lora_gradients(
                *X, W, adapters, make(*Y.shape), alpha=4, scale=0.5, F=factored if low_rank else None
            )
        return costs.numbers()

    assert costs(shape_only) == costs(lambda *s: counted(np.full(s, 0.1)))


def test_frozen_weights_cost_nothing():
    def products(names):
        X, W, adapters, Y = instance(np.random.default_rng(7), n=9, m=8, d=3, k=2, c=3)
        arrays = [shape_only(*x.shape) for x in X]
        W = {name: shape_only(*w.shape) for name, w in W.items()}
        adapters = {name: tuple(shape_only(*x.shape) for x in adapters[name]) for name in names}
        with count() as costs:
            lora_gradients(*arrays, W, adapters, shape_only(*Y.shape), alpha=4, scale=0.5)
        return costs.multiply_adds

    n, m, k, c, r = 9, 8, 2, 3, 2
    nothing = n * 3 * k + m * 4 * k + m * 5 * c + n * m * (k + c)  # Q, K, V, logits, residual
    of_q = 3 * 3 * k * r + n * m * (c * k + c + k) + 3 * n * k
    of_k = 3 * 4 * k * r + n * m * (c * k + c + k) + 4 * m * k
    of_v = 3 * 5 * c * r + n * m * c + 5 * m * c
    assert products("") == nothing
    assert products("Q") == nothing + of_q
    assert products("K") == nothing + of_k
    assert products("V") == nothing + of_v
    assert products("QKV") == nothing + of_q + of_k + of_v


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"XQ": np.ones((5, 2))}, r"W of 'Q' of shape \(3, 2\): expected \(2, 'any'\)"),
        ({"XQ": np.ones(3)}, r"XQ of shape \(3,\): expected a matrix"),
        ({"XK": np.ones((4, 3))}, "W of 'K' of shape"),
        ({"XV": np.ones((3, 5))}, r"XV of shape \(3, 5\): expected 4 rows, as XK has"),
        ({"Y": np.ones((4, 3))}, r"Y of shape \(4, 3\): expected \(5, 3\)"),
        ({"Y": np.ones((5, 2))}, "Y of shape"),
        ({"alpha": float("nan")}, "alpha=nan: expected a finite real number"),
        ({"alpha": 1j}, "alpha=1j"),
        ({"scale": float("inf")}, "scale=inf: expected a finite real number"),
        ({"scale": 1j}, "scale=1j"),
        ({"W": {"Q": np.ones((3, 2))}}, "W with 'Q': expected 'Q', 'K', 'V'"),
    ],
)
def test_arguments_that_do_not_fit(change, message):
    (XQ, XK, XV), W, adapters, Y = instance(np.random.default_rng(8))
    given = {
        "XQ": XQ,
        "XK": XK,
        "XV": XV,
        "W": W,
        "adapters": adapters,
        "Y": Y,
        "alpha": 4,
        "scale": 1,
    } | change
    with pytest.raises(ValueError, match=message):
        lora_gradients(**given)


def test_adapters_that_do_not_fit():
    X, W, adapters, Y = instance(np.random.default_rng(9))
    B, A = adapters["Q"]
    for pair, message in [
        ((B[:, :1], A), r"A of shape \(2, 2\): expected \(1, 2\)"),
        ((B[:2], A), r"B of shape \(2, 2\): expected \(3, 'any'\)"),
        ((B, A[:, :1]), r"A of shape \(2, 1\): expected \(2, 2\)"),
        ((B[:, :0], A[:0]), r"B of shape \(3, 0\): expected at least one column"),
        ((B, A[0]), r"A of shape \(2,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            lora_gradients(*X, W, adapters | {"Q": pair}, Y, alpha=4, scale=1)
        with pytest.raises(ValueError, match=message):
            adapter_gradients(W["Q"], *pair, alpha=4)
    with pytest.raises(ValueError, match="W of shape"):
        adapted_weight(np.ones(3), B, A, alpha=4)
    with pytest.raises(ValueError, match="G of shape"):
        adapter_gradients(np.ones(3), B, A, alpha=4)
    with pytest.raises(ValueError, match="alpha="):
        adapter_gradients(W["Q"], B, A, alpha=float("inf"))
    with pytest.raises(ValueError, match="adapters of 'O': expected some of Q, K, V"):
        lora_gradients(*X, W, {"O": (B, A)}, Y, alpha=4, scale=1)
    with pytest.raises(ValueError, match=r"of=\('O',\): expected some of Q, K, V"):
        weight_gradients(*X, W, Y, scale=1, of="O")
    with pytest.raises(ValueError, match="W with 'Q': expected"):
        weight_gradients(*X, {"Q": W["Q"]}, Y, scale=1)
    with pytest.raises(ValueError, match=r"W of 'K' of shape \(4, 2\): expected \('any', 1\)"):
        weight_gradients(*X, W | {"Q": W["Q"][:, :1]}, Y, scale=1)


def test_arrays_of_different_libraries():
    X, W, adapters, Y = instance(np.random.default_rng(10))
    other = array_api_strict.asarray
    B, A = adapters["Q"]
    message = "different|multiple|Multiple"
    with pytest.raises(TypeError, match=message):
        adapted_weight(W["Q"], B, other(A), alpha=4)
    with pytest.raises(TypeError, match=message):
        adapted_weight(other(W["Q"]), B, A, alpha=4)
    with pytest.raises(TypeError, match=message):
        adapter_gradients(W["Q"], other(B), A, alpha=4)
    for at in range(3):
        mixed = [other(x) if at == i else x for i, x in enumerate(X)]
        with pytest.raises(TypeError, match=message):
            weight_gradients(*mixed, W, Y, scale=1)
    with pytest.raises(TypeError, match=message):
        weight_gradients(*X, W, other(Y), scale=1)
    for name in "QKV":
        with pytest.raises(TypeError, match=message):
            weight_gradients(*X, W | {name: other(W[name])}, Y, scale=1)
