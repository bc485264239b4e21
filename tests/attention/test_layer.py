"""Layers and stacks of them, against the formula written out and the complex step."""

import array_api_strict
import numpy as np
import pytest

from touchstone.arrays import to_host
from touchstone.attention.layer import LayerWeights, layer, layer_vjp, stack, stack_vjp
from touchstone.attention.low_rank_weights import low_rank_weights
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.differentiation import complex_step_gradient
from touchstone.functions.exponential import exp_coefficients
from touchstone.functions.monomials import monomial_plan


def instance(n=6, d=3, heads=None, m=1, seed=0):
    rng = np.random.default_rng(seed)
    shape = (d, d) if heads is None else (heads, d, d)
    layers = [
        LayerWeights(rng.normal(size=shape), rng.normal(size=shape), rng.normal(size=(d, d)))
        for _ in range(m)
    ]
    return rng.normal(size=(n, d)), layers, rng.normal(size=(n, d))


def written_out(T, W, WV, scale, mask):
    A = np.exp(scale * T @ W @ T.T)
    A = np.tril(A) if mask else A
    return A / A.sum(axis=1, keepdims=True) @ T @ WV


@pytest.mark.parametrize("mask", [None, "causal"])
@pytest.mark.parametrize("heads", [None, 1, 3])
def test_layer_is_the_formula(xp, heads, mask):
    T, [(W, WV, _)], _ = instance(heads=heads)
    got = layer(xp.asarray(T), xp.asarray(W), xp.asarray(WV), scale=0.4, mask=mask)
    pairs = [(W, WV)] if heads is None else zip(W, WV, strict=True)
    expected = sum(written_out(T, a, b, 0.4, mask) for a, b in pairs)
    np.testing.assert_allclose(to_host(got), expected, atol=1e-12)


@pytest.mark.parametrize("mask", [None, "causal", "diagonal"])
@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("n", [1, 5])
def test_layer_vjp_is_the_complex_step(n, heads, mask):
    T, [(W, WV, _)], G = instance(n, heads=heads)
    seen = np.eye(n, dtype=bool) if mask == "diagonal" else mask
    arguments = [T, W, WV]
    got = layer_vjp(T, W, WV, G, scale=0.7, mask=seen)
    for i, gradient in enumerate(got):

        def loss(x, i=i):
            return np.sum(G * layer(*arguments[:i], x, *arguments[i + 1 :], scale=0.7, mask=seen))

        # a check by differences has nothing to hold on to where the gradient is zero
        expected = complex_step_gradient(loss, arguments[i], check=n > 1 and mask != "diagonal")
        assert gradient.shape == arguments[i].shape
        np.testing.assert_allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("mask", [None, "causal"])
@pytest.mark.parametrize("heads", [None, 2])
def test_stack_vjp_is_the_complex_step(residual, mask, heads):
    X, layers, C = instance(4, 2, heads, m=3)
    options = {"scale": 0.6, "bound": 1.3, "mask": mask, "residual": residual}
    tokens, attended = stack(X, layers, **options)
    got = stack_vjp(tokens, attended, layers, C * np.cos(tokens[-1]), **options)

    def loss(x):
        return np.sum(C * np.sin(stack(x, layers, **options)[0][-1]))

    np.testing.assert_allclose(got.X, complex_step_gradient(loss, X), atol=1e-12)
    for i, (W, WV, Wg) in enumerate(layers):

        def through(new, i=i):
            return np.sum(C * np.sin(stack(X, [*layers[:i], new, *layers[i + 1 :]], **options)[0][-1]))

        expected = complex_step_gradient(lambda w, WV=WV, Wg=Wg: through(LayerWeights(w, WV, Wg)), W)
        np.testing.assert_allclose(got.W[i], expected, atol=1e-12)
        expected = complex_step_gradient(lambda w, W=W, Wg=Wg: through(LayerWeights(W, w, Wg)), WV)
        np.testing.assert_allclose(got.WV[i], expected, atol=1e-12)


def test_stack_is_the_recursion(xp):
    X, layers, _ = instance(m=2)
    moved = [LayerWeights(*(xp.asarray(w) for w in weights)) for weights in layers]
    for residual in (False, True):
        T, A = stack(xp.asarray(X), moved, scale=0.5, bound=0.8, residual=residual)
        assert (len(T), len(A)) == (3, 2)
        expected = X
        for i, (W, WV, Wg) in enumerate(layers):
            attended = written_out(expected, W, WV, 0.5, None)
            np.testing.assert_allclose(to_host(A[i]), attended, atol=1e-12)
            expected = 0.8 * np.tanh(attended @ Wg) + (expected if residual else 0)
            np.testing.assert_allclose(to_host(T[i + 1]), expected, atol=1e-12)


@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("mask", [None, "causal"])
def test_weights_of_low_rank(xp, heads, mask):
    T, [(W, WV, _)], G = instance(heads=heads)
    T, W = 0.5 * T, 0.3 * W

    def weights(Q, K):
        return low_rank_weights(Q, K, exp_coefficients(2.0, 18), scale=0.5, mask=mask, block=4)

    assert np.max(np.abs(0.5 * T @ W @ T.T)) < 2
    got = layer_vjp(*(xp.asarray(x) for x in (T, W, WV, G)), scale=0.5, weights=weights)
    for x, y in zip(got, layer_vjp(T, W, WV, G, scale=0.5, mask=mask), strict=True):
        np.testing.assert_allclose(to_host(x), y, atol=1e-10)


@pytest.mark.parametrize("heads", [None, 2])
def test_counts(heads):
    n, d, r = 8, 2, 10
    shape = (d, d) if heads is None else (heads, d, d)

    def costs(make):
        plan = monomial_plan(d, 3, table=make is not shape_only)
        coefficients = None if make is shape_only else exp_coefficients(1.0, 3)
        T, G, W, Wg = make(n, d), make(n, d), make(*shape), make(d, d)
        layers = [LayerWeights(W, W, Wg)] * 2
        with count() as costs:
            stack_vjp(
                [T] * 3,
                [T] * 2,
                layers,
                G,
                scale=0.5,
                bound=1.0,
                residual=True,
                weights=lambda Q, K: low_rank_weights(Q, K, coefficients, scale=0.5, plan=plan),
            )
        return costs.numbers()

    with_data = costs(lambda *s: counted(np.full(s, 0.5)))
    assert costs(shape_only) == with_data
    inner, outer = 2 * n * r * (2 * d * d + 5 * d + 1) + 6 * n * d * d, 2 * n * d * d
    assert with_data["multiply_adds"] == 2 * ((heads or 1) * inner + outer)


def test_single_precision_stays():
    T = np.ones((3, 2), dtype=np.float32)
    W = np.eye(2, dtype=np.float32)
    tokens, attended = stack(T, [LayerWeights(W, W, W)], scale=np.float64(0.5), bound=1.0)
    gradient = stack_vjp(tokens, attended, [LayerWeights(W, W, W)], T, scale=0.5, bound=1.0)
    arrays = [tokens[-1], attended[0], gradient.X, gradient.W[0], gradient.WV[0]]
    assert {x.dtype for x in arrays} == {np.dtype(np.float32)}


def test_bad_arguments():
    T, [(W, WV, Wg)], G = instance(4, 2)
    with pytest.raises(ValueError, match="T of shape"):
        layer(T[0], W, WV, scale=1.0)
    with pytest.raises(ValueError, match=r"^W of shape"):
        layer(T, W[:1], WV, scale=1.0)
    with pytest.raises(ValueError, match=r"^WV of shape"):
        layer(T, W, np.ones((1, 1, 2, 2)), scale=1.0)
    with pytest.raises(ValueError, match="as W has"):
        layer(T, W, WV[None], scale=1.0)
    with pytest.raises(ValueError, match="at least one head"):
        layer(T, np.ones((0, 2, 2)), np.ones((0, 2, 2)), scale=1.0)
    with pytest.raises(ValueError, match="mask"):
        layer_vjp(T, W, WV, G, scale=1.0, mask="causal", weights=lambda Q, K: Q @ K.T)
    layers = [LayerWeights(W, WV, Wg)]
    for tokens, attended, several in [([T], [T], layers), ([T, T], [], layers), ([T, T], [T], layers * 2)]:
        with pytest.raises(ValueError, match=f"expected {len(several) + 1} and {len(several)}"):
            stack_vjp(tokens, attended, several, G, scale=1.0, bound=1.0)


def test_weights_of_another_library_are_refused():
    # NumPy would take them in silence and compute on the host
    W = array_api_strict.ones((2, 2))
    with pytest.raises(TypeError):
        layer(np.ones((3, 2)), W, W, scale=1.0)
