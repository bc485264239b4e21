"""The volumetric potential, its gradient and the recovery loss, against n by n formulas and complex steps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.counting import prices
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.differentiation import complex_step_gradient, complex_step_jacobian
from touchstone.evidence.gaps import relative_gap
from touchstone.regression.volumetric import (
    volumetric_curvature,
    volumetric_curvature_apply,
    volumetric_gradient,
    volumetric_loss,
    volumetric_loss_gradient,
    volumetric_potential,
)

U = 2.0**-53


def instance(n, d, seed=0, mixed=False):
    """A, b, x, target, w with slacks that are not small; of both signs if ``mixed``."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n, d))
    b = -(1.5 + rng.uniform(size=n)) * (rng.choice([-1, 1], n) if mixed else 1)
    x = 0.1 * rng.normal(size=d)
    return A, b, x, rng.normal(size=d), rng.uniform(0.1, 1, n)


def spelled_out(A, b, x, target, w):
    """Everything by n by n matrices, as the formulas are printed."""
    s = A @ x - b
    A_x = np.diag(1 / s) @ A
    gram = A_x.T @ A_x
    P = A_x @ np.linalg.inv(gram) @ A_x.T
    sigma, P2 = np.diag(P), P * P
    g = -A_x.T @ sigma
    M = 3 * np.diag(sigma) - 2 * P2
    H = A_x.T @ M @ A_x
    r = g - target
    rho = A_x @ r
    D = np.diag(rho)
    bracket = -12 * np.diag(sigma * rho) + 6 * np.diag(P2 @ rho) + 6 * (D @ P2 + P2 @ D) - 8 * P * (P @ D @ P)
    S = np.diag(1 / s)
    return {
        "potential": np.log(np.linalg.det(gram)) / 2,
        "g": g,
        "H": H,
        "Q": A_x.T @ np.diag(sigma) @ A_x,
        "loss": (r @ r + np.sum((w * (A @ x)) ** 2)) / 2,
        "gradient": H @ r + A.T @ (w**2 * (A @ x)),
        "hessian": H @ H + A_x.T @ bracket @ A_x + A.T @ np.diag(w**2) @ A,
        "B": S @ (M @ A_x @ A_x.T @ M + bracket) @ S,
        "condition": np.linalg.cond(gram),
    }


def close(got, expected, slack=1e-12):
    expected = np.asarray(expected)
    np.testing.assert_allclose(to_host(got), expected, rtol=0, atol=slack * max(1, np.abs(expected).max()))


shapes = st.tuples(st.integers(1, 5), st.integers(0, 8)).map(lambda t: (t[0] + t[1], t[0]))


@settings(max_examples=80, deadline=None)
@given(shapes, st.integers(0, 10**6), st.booleans())
def test_is_what_the_formulas_say(shape, seed, mixed):
    A, b, x, target, w = instance(*shape, seed, mixed)
    expected = spelled_out(A, b, x, target, w)
    if not (expected["condition"] < 1e6 and np.min(np.abs(A @ x - b)) > 1e-2):
        return
    slack = 1e3 * U * expected["condition"] + 1e-13
    close(volumetric_potential(A, b, x), expected["potential"], slack)
    g, H = volumetric_gradient(A, b, x)
    close(g, expected["g"], slack)
    close(H, expected["H"], slack)
    loss, gradient, hessian = volumetric_loss(A, b, x, target, w)
    close(loss, expected["loss"], slack)
    close(gradient, expected["gradient"], slack)
    close(hessian, expected["hessian"], slack)
    close(volumetric_loss_gradient(A, b, x, target, w), expected["gradient"], slack)
    close(volumetric_curvature(A, b, x, target), expected["B"], slack)
    u = np.random.default_rng(seed).normal(size=(2, shape[0]))
    close(volumetric_curvature_apply(A, b, x, target, u), u @ expected["B"], slack)


@pytest.mark.parametrize("shape", [(12, 3), (9, 1), (5, 5), (1, 1), (30, 6)])
def test_each_is_the_derivative_of_the_one_before(shape):
    # complex steps know no formula: F to g, g to its Hessian, L to its gradient, that to its Hessian
    A, b, x, target, w = instance(*shape, seed=3)
    g, H = volumetric_gradient(A, b, x)
    _, gradient, hessian = volumetric_loss(A, b, x, target, w)
    tolerance = 1e3 * U * spelled_out(A, b, x, target, w)["condition"]
    assert relative_gap(g, complex_step_gradient(lambda y: volumetric_potential(A, b, y), x)) <= tolerance
    assert relative_gap(H, complex_step_jacobian(lambda y: volumetric_gradient(A, b, y)[0], x)) <= tolerance

    def loss(y):
        return volumetric_loss(A, b, y, target, w)[0]

    def slope(y):
        return volumetric_loss_gradient(A, b, y, target, w)

    assert relative_gap(gradient, complex_step_gradient(loss, x)) <= tolerance
    assert relative_gap(hessian, complex_step_jacobian(slope, x)) <= tolerance
    whole = complex_step_jacobian(lambda y: volumetric_loss(A, b, y, target, w)[1], x)
    assert relative_gap(hessian, whole) <= tolerance


def test_square_matrices_have_a_barrier_for_potential():
    # n = d: P = I, every score is one, and F = log |det A| - sum log |s|
    A, b, x, *_ = instance(4, 4, mixed=True)
    s = A @ x - b
    A_x = A / s[:, None]
    close(volumetric_potential(A, b, x), np.linalg.slogdet(A)[1] - np.sum(np.log(np.abs(s))))
    g, H = volumetric_gradient(A, b, x)
    close(g, -A_x.sum(axis=0))
    close(H, A_x.T @ A_x)


def test_one_column():
    # d = 1: the scores are the squares of a / s over their sum
    A, b, x, *_ = instance(7, 1, mixed=True)
    q = A[:, 0] / (A @ x - b)
    g, H = volumetric_gradient(A, b, x)
    sigma = q**2 / np.sum(q**2)
    close(g, [-np.sum(sigma * q)])
    close(H, [[3 * np.sum(sigma * q**2) - 2 * np.sum(sigma * q) ** 2]])


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 10**6))
def test_the_hessian_lies_between_q_and_three_q(shape, seed):
    A, b, x, target, w = instance(*shape, seed, mixed=True)
    expected = spelled_out(A, b, x, target, w)
    if not expected["condition"] < 1e8:
        return
    _, H = volumetric_gradient(A, b, x)
    root = np.linalg.inv(np.linalg.cholesky(expected["Q"]))
    values = np.linalg.eigvalsh(root @ H @ root.T)
    rounding = 1e3 * U * expected["condition"]
    assert 1 - rounding <= values.min()
    assert values.max() <= 3 + rounding


def test_batches_are_single_points_together():
    A, b, _, target, w = instance(11, 3)
    rng = np.random.default_rng(1)
    X, T = 0.1 * rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))
    V, scores = rng.normal(size=(2, 4, 11)), rng.uniform(size=(2, 4, 11))
    many = [
        volumetric_potential(A, b, X),
        *volumetric_gradient(A, b, X),
        *volumetric_loss(A, b, X, T, w),
        volumetric_loss_gradient(A, b, X, T, w),
        volumetric_loss_gradient(A, b, X, target, w, scores=scores),
        volumetric_curvature(A, b, X, T),
        volumetric_curvature_apply(A, b, X, T, V),
    ]
    for at in np.ndindex(2, 4):
        x, t = X[at], T[at]
        one = [
            volumetric_potential(A, b, x),
            *volumetric_gradient(A, b, x),
            *volumetric_loss(A, b, x, t, w),
            volumetric_loss_gradient(A, b, x, t, w),
            volumetric_loss_gradient(A, b, x, target, w, scores=scores[at]),
            volumetric_curvature(A, b, x, t),
            volumetric_curvature_apply(A, b, x, t, V[at]),
        ]
        for batch, single in zip(many, one, strict=True):
            close(batch[at], single)


def test_many_vectors_at_one_point():
    A, b, x, target, _ = instance(6, 2)
    u = np.random.default_rng(0).normal(size=(3, 6))
    got = volumetric_curvature_apply(A, b, x, target, u)
    close(got, u @ volumetric_curvature(A, b, x, target))


def test_one_weight_for_all_rows():
    A, b, x, target, _ = instance(6, 2)
    for one, each in zip(
        volumetric_loss(A, b, x, target, 2), volumetric_loss(A, b, x, target, np.full(6, 2.0)), strict=True
    ):
        close(one, each)
    close(
        volumetric_loss_gradient(A, b, x, target, 0.5),
        volumetric_loss_gradient(A, b, x, target, np.full(6, 0.5)),
    )
    close(volumetric_loss(A, b, x, target)[2], volumetric_loss(A, b, x, target, 0.0)[2])
    close(volumetric_loss_gradient(A, b, x, target), volumetric_loss(A, b, x, target)[1])


def test_scores_given_enter_the_residual_and_nothing_else():
    A, b, x, target, w = instance(9, 3)
    A_x = A / (A @ x - b)[:, None]
    scores = np.linspace(0.1, 0.9, 9)
    _, H = volumetric_gradient(A, b, x)
    expected = H @ (-A_x.T @ scores - target) + A.T @ (w**2 * (A @ x))
    close(volumetric_loss_gradient(A, b, x, target, w, scores=scores), expected)


def test_the_curvature_explains_the_hessian():
    A, b, x, target, w = instance(10, 3, mixed=True)
    B = volumetric_curvature(A, b, x, target)
    close(B, B.T, 1e-15)
    close(A.T @ (B + np.diag(w**2)) @ A, volumetric_loss(A, b, x, target, w)[2])


def test_on_every_library(xp):
    A, b, x, target, w = instance(8, 3)
    expected = spelled_out(A, b, x, target, w)
    a, bb, xx, t, ww = (xp.asarray(v) for v in (A, b, x, target, w))
    close(volumetric_potential(a, bb, xx), expected["potential"])
    for got, name in zip(volumetric_gradient(a, bb, xx), ("g", "H"), strict=True):
        close(got, expected[name])
    names = ("loss", "gradient", "hessian")
    for got, name in zip(volumetric_loss(a, bb, xx, t, ww), names, strict=True):
        close(got, expected[name])
    close(volumetric_loss_gradient(a, bb, xx, t, ww), expected["gradient"])
    close(volumetric_loss_gradient(a, bb, xx, t, 0.0), expected["gradient"] - A.T @ (w**2 * (A @ x)))
    close(volumetric_curvature(a, bb, xx, t), expected["B"])
    close(volumetric_curvature_apply(a, bb, xx, t, ww), expected["B"] @ w)


# -- accuracy --------------------------------------------------------------------------------------------


def test_an_ill_conditioned_matrix_costs_its_condition_once():
    # A T for a T of condition 7e7: g(A T, T^-1 x) = T^T g(A, x). The rounding of A T moves g by the condition
    # number times u; normal equations would lose its square, that is all digits
    A, b, *_ = instance(12, 2)
    A = np.round(A * 2**10) / 2**10
    T = np.asarray([[1.0, 1.0], [1.0, 1.0 + 2.0**-24]])
    y = np.asarray([0.125, -0.0625])
    g, H = volumetric_gradient(A, b, T @ y)
    got, got_H = volumetric_gradient(A @ T, b, y)
    back = np.linalg.inv(T)
    assert relative_gap(back.T @ got, g) < 1e3 * np.linalg.cond(T) * U < 1e-5
    assert relative_gap(got_H, T.T @ H @ T) < 1e3 * np.linalg.cond(T) * U


@pytest.mark.parametrize("power", [-300, 300])
def test_the_scale_of_the_slacks_does_not_matter(power):
    A, b, x, *_ = instance(7, 3)
    t = 2.0**power
    np.testing.assert_array_equal(volumetric_gradient(t * A, t * b, x)[0], volumetric_gradient(A, b, x)[0])
    assert volumetric_potential(t * A, t * b, x) == volumetric_potential(A, b, x)


def test_columns_of_very_different_sizes_are_independent_all_the_same():
    A, b, x, *_ = instance(7, 3)
    scale = 2.0 ** np.asarray([0, 200, -200])
    g, H = volumetric_gradient(A * scale, b, x / scale)
    expected_g, expected_H = volumetric_gradient(A, b, x)
    close(g / scale, expected_g)
    close(H / scale / scale[:, None], expected_H)


# -- costs -----------------------------------------------------------------------------------------------


CALLS = {
    "potential": lambda A, b, x, t, w: volumetric_potential(A, b, x),
    "gradient": lambda A, b, x, t, w: volumetric_gradient(A, b, x),
    "loss": volumetric_loss,
    "loss gradient": volumetric_loss_gradient,
    "loss gradient, scores given": lambda A, b, x, t, w: volumetric_loss_gradient(A, b, x, t, w, scores=w),
    "curvature": lambda A, b, x, t, w: volumetric_curvature(A, b, x, t),
    "curvature apply": lambda A, b, x, t, w: volumetric_curvature_apply(A, b, x, t, w),
}


def costs(call, arguments):
    with count() as spent:
        call(*arguments)
    return spent


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("shape", [(12, 4), (5, 5), (3, 1)])
def test_shapes_alone_cost_what_data_cost(name, shape):
    real = instance(*shape)
    executed = costs(CALLS[name], [counted(v) for v in real])
    shapes = costs(CALLS[name], [shape_only(*v.shape) for v in real])
    assert shapes.numbers() == executed.numbers()


def spent(name, n, d):
    real = [shape_only(n, d), shape_only(n), shape_only(d), shape_only(d), shape_only(n)]
    return costs(CALLS[name], real).multiply_adds


@pytest.mark.parametrize(("n", "d"), [(2**24, 512), (100, 7)])
def test_multiply_adds(n, d):
    # slacks; QR; the Gram matrix of the basis, its inverse and the dual basis
    rows = n * d + prices.qr(n, d)["multiply_adds"] + 2 * n * d**2 + d**3
    assert spent("potential", n, d) == rows + n * d**2 + 2 * prices.lu(d)["multiply_adds"]
    hessian = n * d + 2 * n * d**3 + n * d**2  # g, the moments there and back, the product
    assert spent("gradient", n, d) == rows + hessian
    # rho, mixed, row form of P^(2) rho, cubic form; the regulariser, A x and back, H r and H^2
    loss = n * d + n * d**2 + 3 * n * d**2 + n * d**2 + 3 * d**4 + n * d**2 + 2 * n * d + d**2 + d**3
    assert spent("loss", n, d) == rows + hessian + loss
    for name in ("loss gradient", "loss gradient, scores given"):
        assert spent(name, n, d) == rows + 2 * n * d**2 + 5 * n * d
    assert spent("curvature apply", n, d) == rows + 14 * n * d**2 + d**3 + 4 * n * d
    assert spent("curvature", n, d) == rows + 4 * n**2 * d + 4 * n * d**2 + 2 * n * d


def test_no_square_of_the_rows_is_held():
    for n, d in [(10**5, 3), (2**18, 64)]:
        arguments = [shape_only(n, d), shape_only(n), shape_only(d), shape_only(d), shape_only(n)]
        # a dozen copies of A: rows, basis, dual, P^(2) A_x and what is made on the way
        assert costs(CALLS["loss"], arguments).bytes_peak < 8 * n * d * 14


# -- bad arguments ---------------------------------------------------------------------------------------


def test_a_zero_slack():
    A, _, x, target, w = instance(5, 2)
    for call in CALLS.values():
        with pytest.raises(ValueError, match="without a zero entry"):
            call(A, A @ x, x, target, w)


def test_dependent_columns():
    A = np.asarray([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    with pytest.raises(ValueError, match="dependent columns"):
        volumetric_gradient(A, -np.ones(3), np.zeros(2))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"A": np.ones(3)}, "A of shape"),
        ({"A": np.ones((2, 3))}, "A of shape"),
        ({"A": np.ones((5, 0))}, "of shape"),
        ({"b": np.ones(4)}, "b of shape"),
        ({"x": np.ones(3)}, "x of shape"),
        ({"x": np.asarray(1.0)}, "x of shape"),
        ({"target": np.ones(3)}, "target of shape"),
        ({"target": np.asarray(1.0)}, "target of shape"),
        ({"w": np.ones(4)}, "w of shape"),
        ({"w": np.ones((1, 5))}, "w of shape"),
        ({"A": np.ones((5, 2), dtype=np.float32)}, "A of dtype float32: expected float64"),
        ({"b": np.ones(5, dtype=np.int64)}, "b of dtype"),
        ({"x": np.ones(2, dtype=np.float32)}, "x of dtype"),
        ({"target": np.ones(2, dtype=np.float32)}, "target of dtype"),
    ],
)
def test_arguments_that_do_not_fit(change, match):
    names = dict(zip(("A", "b", "x", "target", "w"), instance(5, 2), strict=True)) | change
    with pytest.raises(ValueError, match=match):
        volumetric_loss(*names.values())
    with pytest.raises(ValueError, match=match):
        volumetric_loss_gradient(*names.values())


def test_vectors_of_another_length():
    A, b, x, target, w = instance(5, 2)
    with pytest.raises(ValueError, match="scores of shape"):
        volumetric_loss_gradient(A, b, x, target, w, scores=np.ones(4))
    with pytest.raises(ValueError, match="u of shape"):
        volumetric_curvature_apply(A, b, x, target, np.ones(4))
    with pytest.raises(ValueError, match="target of shape"):
        volumetric_curvature_apply(A, b, x, np.ones(4), w)
