"""Newton's method on functions whose minima and orders are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import as_array_like, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.evidence.convergence import order_of_convergence
from touchstone.optimization.newton import ArmijoDamping, newton

CENTRE = np.array([0.5, -1.0])


# sum of cosh(x - c) - 1: convex, minimum 0 at c
def cosh_loss(x):
    return np.sum(np.cosh(x - CENTRE) - 1, axis=-1)


def cosh_grad(x):
    return np.sinh(x - CENTRE)


def cosh_hess(x):
    return np.cosh(x - CENTRE)[..., None] * np.eye(2)


# a double well in x, a parabola in y: minima at (±1, 0), a saddle at the origin
def well_loss(x):
    return (x[..., 0] ** 2 - 1) ** 2 / 4 + x[..., 1] ** 2


def well_grad(x):
    return np.stack([x[..., 0] ** 3 - x[..., 0], 2 * x[..., 1]], axis=-1)


def well_hess(x):
    first, second = 3 * x[..., 0] ** 2 - 1, np.full(x.shape[:-1], 2.0)
    return np.stack([first, second], axis=-1)[..., None] * np.eye(2)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6))
def test_one_step_solves_a_quadratic(d, seed):
    rng = np.random.default_rng(seed)
    B, solution, x0 = rng.normal(size=(d + 3, d)), rng.normal(size=d), rng.normal(size=d)
    H = B.T @ B
    x, trace = newton(lambda x: (x - solution) @ H, lambda x: H, x0, steps=1)
    np.testing.assert_allclose(x, solution, rtol=1e-7, atol=1e-9)
    assert trace.steps == 1
    np.testing.assert_allclose(trace.step_lengths, [np.linalg.norm(x - x0)], rtol=1e-12)


def test_a_single_start():
    x, trace = newton(cosh_grad, cosh_hess, CENTRE + np.array([0.8, -0.5]))
    np.testing.assert_allclose(x, CENTRE, atol=1e-14)
    assert trace.converged.shape == ()
    assert bool(trace.converged)
    assert trace.iterates.shape == (trace.steps + 1, 2)
    np.testing.assert_array_equal(trace.iterates[0], CENTRE + np.array([0.8, -0.5]))
    np.testing.assert_array_equal(trace.iterates[-1], x)
    lengths = np.linalg.norm(np.diff(trace.iterates, axis=0), axis=1)
    np.testing.assert_allclose(trace.step_lengths, lengths, atol=1e-15)
    assert trace.step_lengths[-1] < 1e-12 <= trace.step_lengths[-2]


def test_it_is_quadratic_or_better_and_the_chord_method_linear():
    starts = CENTRE + 0.3 * np.random.default_rng(0).normal(size=(6, 2))
    tilted = {
        "grad": lambda x: np.exp(x - CENTRE) - 1,  # no symmetry: exactly quadratic
        "hess": lambda x: np.exp(x - CENTRE)[..., None] * np.eye(2),
    }

    def order(hess, steps):
        _, trace = newton(tilted["grad"], hess, starts, tol=0, steps=steps)
        errors = np.linalg.norm(trace.iterates - CENTRE, axis=-1)
        return order_of_convergence(list(errors.T), floor=1e-14).order

    assert order(tilted["hess"], 6) == pytest.approx(2, abs=0.15)
    chord = order(lambda x: np.broadcast_to(1.3 * np.eye(2), (*x.shape, 2)), 15)
    assert chord == pytest.approx(1, abs=0.15)


def test_starts_do_not_touch_each_other_and_freeze_on_their_own():
    starts = CENTRE + np.array([[[0.0, 0.0], [1e-5, 0.0]], [[0.5, 0.2], [0.9, -0.9]]])
    asked = []

    def grad(x):
        asked.append(len(x))
        return cosh_grad(x)

    x, trace = newton(grad, cosh_hess, starts)
    assert x.shape == (2, 2, 2)
    assert trace.converged.shape == (2, 2)
    assert np.all(trace.converged)
    assert asked[0] == 4
    assert sorted(asked, reverse=True) == asked
    assert asked[-1] < 4
    assert len(asked) == trace.steps
    for at in np.ndindex(2, 2):
        alone, single = newton(cosh_grad, cosh_hess, starts[at])
        np.testing.assert_array_equal(x[at], alone)
        np.testing.assert_array_equal(trace.iterates[(slice(0, single.steps + 1), *at)], single.iterates)
        np.testing.assert_array_equal(trace.step_lengths[(slice(single.steps, None), *at)], 0.0)


def test_the_tolerance_is_a_strict_bound_on_the_step():
    grad, hess = (lambda x: x - 1.0), (lambda x: 2 * np.ones((*x.shape, 1)))  # steps 1/2, 1/4, ...
    for tol, expected in ((1 / 8, 4), (1 / 8 + 1e-9, 3)):
        _, trace = newton(grad, hess, np.zeros((1, 1)), tol=tol, steps=20)
        assert trace.steps == expected
        assert np.all(trace.converged)
    _, trace = newton(grad, hess, np.zeros((1, 1)), tol=0.0, steps=20)
    assert trace.steps == 20
    assert not np.any(trace.converged)


def test_no_steps():
    x, trace = newton(cosh_grad, cosh_hess, np.zeros((3, 2)), steps=0)
    np.testing.assert_array_equal(x, np.zeros((3, 2)))
    assert trace.iterates.shape == (1, 3, 2)
    assert trace.step_lengths.shape == (0, 3)
    assert trace.steps == 0
    assert not np.any(trace.converged)


def test_gradient_and_hessian_from_one_call():
    starts = np.array([[0.0, 0.0], [0.1, 0.1], [0.2, 0.2]])
    pair, _ = newton(lambda x: (cosh_grad(x), cosh_hess(x)), None, starts)
    np.testing.assert_array_equal(pair, newton(cosh_grad, cosh_hess, starts)[0])


def test_a_solver_of_ones_own():
    calls = []

    def solve(H, g):
        calls.append(H.shape)
        return 0.5 * np.linalg.solve(H, g[..., None])[..., 0]

    _, trace = newton(cosh_grad, cosh_hess, CENTRE + np.array([[1e-3, 0.0]]), solve=solve, steps=3)
    errors = np.abs(trace.iterates[:, 0, 0] - CENTRE[0])
    np.testing.assert_allclose(errors[1:] / errors[:-1], 0.5, rtol=1e-5)
    assert calls == [(1, 2, 2)] * 3


def test_a_step_that_is_not_finite_freezes_its_start_alone():
    def grad(x):
        return np.where(x > 5, np.nan, cosh_grad(x))

    starts = np.array([[9.0, 9.0], [0.0, 0.0]])
    with np.errstate(invalid="ignore", over="ignore"):
        x, trace = newton(grad, cosh_hess, starts)
    np.testing.assert_array_equal(x[0], starts[0])
    np.testing.assert_allclose(x[1], CENTRE, atol=1e-14)
    assert trace.converged.tolist() == [False, True]
    assert np.all(trace.step_lengths[:, 0] == 0)


def test_plain_newton_finds_the_saddle_and_damping_does_not():
    starts = np.array([[0.1, 0.5], [-0.2, -0.3], [0.4, 1.0]])
    plain, _ = newton(well_grad, well_hess, starts)
    np.testing.assert_allclose(plain[0], [0, 0], atol=1e-9)
    damped, trace = newton(well_grad, well_hess, starts, damping=ArmijoDamping(well_loss))
    np.testing.assert_allclose(damped, [[1, 0], [-1, 0], [1, 0]], atol=1e-9)
    losses = well_loss(trace.iterates)
    assert np.all(np.diff(losses, axis=0) <= 0)


def test_damping_takes_a_single_start_too():
    x, trace = newton(well_grad, well_hess, np.array([0.1, 0.5]), damping=ArmijoDamping(well_loss))
    together, _ = newton(well_grad, well_hess, np.array([[0.1, 0.5]]), damping=ArmijoDamping(well_loss))
    np.testing.assert_array_equal(x, together[0])
    assert bool(trace.converged)


def test_the_shift():
    damping = ArmijoDamping(well_loss)
    H = np.stack([np.diag([1.0, 3.0]), np.diag([-1.0, 3.0]), np.diag([-4.0, 3.0]), np.diag([0.0, 2.0])])
    shift = (damping.shifted(H) - H)[:, 0, 0]
    np.testing.assert_allclose(shift, [0, 1.5 + 3e-3, 6 + 4e-3, 2e-3], rtol=1e-12)
    np.testing.assert_allclose(damping.shifted(H) - H, shift[:, None, None] * np.eye(2), atol=1e-15)
    np.testing.assert_array_equal(damping.shifted(np.zeros((2, 2))), np.eye(2))
    # definite by a hair, and not
    barely = ArmijoDamping(well_loss, definite=0.25, lift=0.5)
    np.testing.assert_array_equal(barely.shifted(np.diag([1.0, 3.9])), np.diag([1.0, 3.9]))
    np.testing.assert_array_equal(barely.shifted(np.diag([1.0, 4.0])), np.diag([3.0, 6.0]))


def steps_of(damping, gradient, x=0.0, curvature=1.0):
    """The step from x on the line, where the Newton direction is -gradient / curvature."""
    solve = lambda H, g: g / H[..., 0]  # noqa: E731
    one = lambda v: np.array([[float(v)]])  # noqa: E731
    return float(damping(one(x), one(gradient), one(curvature)[..., None], solve)[0, 0])


@pytest.mark.parametrize(("allowed", "expected"), [(1.0, 1.0), (0.9, 0.5), (0.3, 0.25), (0.25, 0.25)])
def test_halving_stops_at_the_first_step_that_descends(allowed, expected):
    # falls by all that is promised up to `allowed`, and rises beyond
    loss = lambda x: np.where(x[..., 0] <= allowed, -x[..., 0], 1.0)  # noqa: E731
    assert steps_of(ArmijoDamping(loss), -1.0) == expected


def test_the_descent_that_is_asked_for():
    # direction 1 and gradient -1: the loss has to fall by slope * step; here it falls by 0.3 * step
    loss = lambda x: -0.3 * x[..., 0]  # noqa: E731
    assert steps_of(ArmijoDamping(loss, slope=0.29), -1.0) == 1.0
    assert steps_of(ArmijoDamping(loss, slope=0.31), -1.0) == 0.0
    # a fall of 0.3 min(step, 1/4): enough for a quarter, not for a half
    loss = lambda x: -0.3 * np.minimum(x[..., 0], 0.25)  # noqa: E731
    assert steps_of(ArmijoDamping(loss, slope=0.2), -1.0) == 0.25


def test_slack_lets_rounding_pass():
    loss = lambda x: np.where(x[..., 0] == 0, 0.0, 1e-12)  # noqa: E731
    assert steps_of(ArmijoDamping(loss, halvings=3), -1e-9) == 0.0
    assert steps_of(ArmijoDamping(loss, halvings=3, slack=2e-12), -1e-9) == 1e-9


def test_halvings_are_counted():
    tries = []

    def loss(x):
        tries.append(float(x[0, 0]))
        return np.where(x[..., 0] == 0, 0.0, 1.0)

    assert steps_of(ArmijoDamping(loss, halvings=3), -1.0) == 0.0
    assert tries == [0.0, 1.0, 0.5, 0.25, 0.125]
    tries.clear()
    assert steps_of(ArmijoDamping(loss, halvings=0), -1.0) == 0.0
    assert tries == [0.0, 1.0]


def test_what_is_assumed_unasked():
    damping = ArmijoDamping(well_loss)
    for least, shifted in ((0.99e-10, True), (1.01e-10, False)):
        H = np.diag([least, 1.0])
        assert np.any(damping.shifted(H) != H) == shifted
    for fall, step in ((0.99e-4, 0.0), (1.01e-4, 1.0)):
        assert steps_of(ArmijoDamping(lambda x, fall=fall: -fall * x[..., 0]), -1.0) == step
    # a loss that falls at the last try only
    last = 2.0**-20
    loss = lambda x: np.where(x[..., 0] <= last, -x[..., 0], 1.0)  # noqa: E731
    assert steps_of(ArmijoDamping(loss), -1.0) == last
    loss = lambda x: np.where(x[..., 0] <= last / 2, -x[..., 0], 1.0)  # noqa: E731
    assert steps_of(ArmijoDamping(loss), -1.0) == 0.0
    for length, frozen in ((0.99e-12, True), (1.01e-12, False)):
        _, trace = newton(lambda x, length=length: 0 * x + length, lambda x: np.ones((1, 1)), np.zeros(1))
        assert trace.steps == (1 if frozen else 100)


def test_only_those_that_failed_are_tried_again():
    sizes = []

    def loss(x):
        sizes.append(len(x))
        return np.where(x[..., 0] <= x[..., 1], -x[..., 0], 1.0)

    limits = np.array([1.0, 0.5, 0.1, 1.0])  # the second entry does not move
    x = np.stack([np.zeros(4), limits], axis=-1)
    gradient = np.stack([-np.ones(4), np.zeros(4)], axis=-1)
    damping = ArmijoDamping(loss)
    step = damping(x, gradient, np.broadcast_to(np.eye(2), (4, 2, 2)), lambda H, g: g)
    np.testing.assert_array_equal(step[:, 0], [1.0, 0.5, 0.0625, 1.0])
    assert sizes == [4, 4, 2, 1, 1, 1]


def test_a_loss_that_is_not_a_number_does_not_descend():
    loss = lambda x: np.where(x[..., 0] > 0.3, np.nan, -x[..., 0])  # noqa: E731
    assert steps_of(ArmijoDamping(loss), -1.0) == 0.25


def test_a_failed_search_freezes_the_start():
    loss = lambda x: np.where(np.sum(x * x, axis=-1) == 0.25, 0.0, 1.0)  # noqa: E731
    x, trace = newton(well_grad, well_hess, np.array([[0.5, 0.0]]), damping=ArmijoDamping(loss))
    np.testing.assert_array_equal(x, [[0.5, 0.0]])
    assert trace.steps == 1


def test_on_every_library(xp):
    starts = CENTRE + np.random.default_rng(0).normal(size=(5, 2)) / 2
    centre, eye = as_array_like(CENTRE, xp), as_array_like(np.eye(2), xp)

    def pair(x):
        return xp.sinh(x - centre), xp.cosh(x - centre)[..., None] * eye

    def loss(x):
        return xp.sum(xp.cosh(x - centre) - 1, axis=-1)

    for damping in (None, ArmijoDamping(loss)):
        x, trace = newton(pair, None, as_array_like(starts, xp), damping=damping, steps=20)
        np.testing.assert_allclose(to_host(x), np.broadcast_to(CENTRE, (5, 2)), atol=1e-13)
        assert to_host(trace.converged).all()


@pytest.mark.parametrize("lead", [(), (3,)])
def test_counts_without_data(lead):
    d, steps = 2, 4

    def run(x):
        from touchstone.counting import namespace as xp

        def pair(x):
            return xp.sinh(x), xp.cosh(x)[..., None] * xp.ones((d, d)) + xp.eye(d)

        with count() as costs:
            newton(pair, None, x, tol=0.0, steps=steps)
        return costs.multiply_adds, costs.transcendentals, len(costs.factorisations)

    shapes = run(shape_only(*lead, d))
    real = run(counted(np.full((*lead, d), 0.3)))
    assert shapes == real
    assert shapes[1] == steps * (2 * d + 1) * max(lead, default=1)  # sinh, cosh and the root of the length


def test_damped_counts_without_data_take_every_halving():
    from touchstone.counting import namespace as xp

    tries = []

    def loss(x):
        tries.append(x.shape)
        return xp.sum(x * x, axis=-1)

    damping = ArmijoDamping(loss, halvings=3)
    x, trace = newton(lambda x: (x, xp.ones((*x.shape, 2))), None, shape_only(4, 2), damping=damping, steps=2)
    assert tuple(x.shape) == (4, 2)
    assert trace.steps == 2
    assert tries == [(4, 2)] * 2 * (2 + 3)


def test_bad_arguments():
    for bad in (np.array(1.0), np.zeros((0, 2)), np.zeros((2, 0))):
        with pytest.raises(ValueError, match="x0 of shape"):
            newton(cosh_grad, cosh_hess, bad)
    for bad in (-1e-9, float("nan")):
        with pytest.raises(ValueError, match="tol="):
            newton(cosh_grad, cosh_hess, np.zeros(2), tol=bad)
    for bad in (-1, 2.0, True):
        with pytest.raises(ValueError, match="steps="):
            newton(cosh_grad, cosh_hess, np.zeros(2), steps=bad)
    with pytest.raises(ValueError, match=r"grad\(x\) of shape"):
        newton(lambda x: x[..., :1], cosh_hess, np.zeros(2))
    with pytest.raises(ValueError, match=r"hess\(x\) of shape"):
        newton(cosh_grad, lambda x: np.eye(2), np.zeros((3, 2)))


def test_bad_damping():
    for name in ("definite", "lift", "slack"):
        for bad in (-1.0, float("nan"), float("inf")):
            with pytest.raises(ValueError, match=f"{name}="):
                ArmijoDamping(well_loss, **{name: bad})
    for bad in (0.0, 1.0, float("nan")):
        with pytest.raises(ValueError, match="slope="):
            ArmijoDamping(well_loss, slope=bad)
    for bad in (-1, 1.5, True):
        with pytest.raises(ValueError, match="halvings="):
            ArmijoDamping(well_loss, halvings=bad)
