import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from touchstone.evidence.convergence import (
    Iterations,
    contraction_factor,
    iterations_to,
    order_of_convergence,
    rate_points,
)
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit
from touchstone.evidence.series import Series


def newton(f, df, x, root, steps=12):
    errors = [abs(x - root)]
    for _ in range(steps):
        x = x - f(x) / df(x)
        errors.append(abs(x - root))
    return errors


@given(st.floats(1.0, 3.0), st.floats(0.05, 0.9), st.integers(1, 4), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_the_exact_law_is_recovered(q, e0, runs, seed):
    rng = np.random.default_rng(seed)
    sequences = []
    for _ in range(runs):
        constant, errors = rng.uniform(0.3, 0.8), [e0]
        while errors[-1] > 1e-12 and len(errors) < 30:
            errors.append(constant * errors[-1] ** q)
        sequences.append(errors)
    used = [s for s in sequences if sum(e > 64 * 2.0**-52 for e in s) >= 3]
    if not used:
        with pytest.raises(MeasurementError, match="three consecutive"):
            order_of_convergence(sequences)
        return
    order = order_of_convergence(sequences)
    assert order.order == pytest.approx(q, abs=1e-9)
    assert order.robust == pytest.approx(q, abs=1e-9)
    assert order.interval[0] <= order.order <= order.interval[1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("newton", 2.0), ("halley", 3.0), ("secant", (1 + math.sqrt(5)) / 2), ("bisection", 1.0)],
)
def test_orders_of_known_methods(name, expected):
    """x e^x = a for several a: the interval over the runs contains the order and excludes the neighbours."""
    runs = []
    for a in np.linspace(0.5, 8, 12):
        root = float(optimize.brentq(lambda x, a=a: x * math.exp(x) - a, 0, 3, xtol=1e-15, rtol=1e-14))

        def f(x, a=a):
            return x * math.exp(x) - a

        x, y, errors = root + 0.25, root + 0.3, []
        low, high = root - 0.4, root + 0.6
        for _ in range(40):
            errors.append(abs(x - root))
            if errors[-1] < 1e-15:
                break
            d1, d2 = (1 + x) * math.exp(x), (2 + x) * math.exp(x)
            if name == "newton":
                x -= f(x) / d1
            elif name == "halley":
                x -= 2 * f(x) * d1 / (2 * d1 * d1 - f(x) * d2)
            elif name == "secant":
                if f(x) == f(y):
                    break
                x, y = x - f(x) * (x - y) / (f(x) - f(y)), x
            else:
                x = (low + high) / 2
                low, high = (x, high) if f(x) < 0 else (low, x)
                errors[-1] = (high - low) / 2
        runs.append(errors)
    order = order_of_convergence(runs, scale=3.0)
    assert order.order == pytest.approx(expected, abs=0.1)
    assert order.robust == pytest.approx(expected, abs=0.15)
    assert order.interval[1] - order.interval[0] < 0.3


def test_the_interval_covers_the_order_under_noise():
    # multiplicative noise of 20 % on errors of a quadratic method, 8 runs; nominal 95 %
    rng = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        runs = []
        for _ in range(8):
            e = [0.3 * rng.uniform(0.5, 1)]
            while e[-1] > 1e-6:
                e.append(0.7 * e[-1] ** 2 * math.exp(0.2 * rng.standard_normal()))
            runs.append(e)
        low, high = order_of_convergence(runs).interval
        hits += low <= 2 <= high
    # a binomial with 400 trials at 0.95 falls below 365 with probability 0.001
    assert hits >= 365


def test_one_short_run_has_an_order_but_no_interval():
    order = order_of_convergence([1e-1, 1e-2, 1e-4])
    assert order.order == pytest.approx(2)
    assert order.interval == (-math.inf, math.inf)
    assert order.pairs == 2
    assert order.local == pytest.approx((2.0,))


def test_rounding_and_the_early_steps_are_left_out():
    root = math.sqrt(2)
    errors = newton(lambda x: x * x - 2, lambda x: 2 * x, 50.0, root)
    assert errors[-1] < 1e-15
    everything = order_of_convergence(errors)
    late = order_of_convergence(errors, below=0.5)
    assert late.order == pytest.approx(2, abs=0.05)
    assert abs(everything.order - 2) > abs(late.order - 2)
    # without a floor the last, rounded errors would pull the order down
    with pytest.raises(MeasurementError, match="three consecutive"):
        order_of_convergence(errors, floor=0.1, below=0.5)


def test_linear_and_sublinear_methods_have_order_one():
    assert order_of_convergence([0.7**k for k in range(40)]).order == pytest.approx(1, abs=1e-9)
    assert order_of_convergence([1 / (k + 1) for k in range(200)]).order == pytest.approx(1, abs=0.1)


def test_contraction():
    found = contraction_factor([[1.0, 0.5, 0.1], [4.0, 1.0]])
    assert found.worst == 0.5
    assert found.factors == pytest.approx((0.5, 0.2, 0.25))
    assert found.mean == pytest.approx((0.5 * 0.2 * 0.25) ** (1 / 3))
    assert contraction_factor([1.0, 2.0, 1.0]).worst == 2
    assert contraction_factor([10.0, 9.0, 0.9, 0.09], below=1.0).factors == pytest.approx((0.1,))
    # a solver that is exact after one step, and one that stalls at rounding
    assert contraction_factor([1.0, 0.0]).worst == 2.0**-52
    assert contraction_factor([1.0, 1e-15, 2e-15, 3e-15]).factors == (1e-15,)
    with pytest.raises(MeasurementError, match="two consecutive"):
        contraction_factor([1.0])
    with pytest.raises(MeasurementError, match="two consecutive"):
        contraction_factor([0.0, 0.0])


@given(st.lists(st.floats(1e-9, 10), min_size=1, max_size=30), st.floats(1e-9, 20))
def test_iterations_to_is_the_first_time(errors, eps):
    expected = next((k for k, e in enumerate(errors) if e <= eps), None)
    if expected is None:
        with pytest.raises(MeasurementError, match="at best"):
            iterations_to(errors, eps)
    else:
        assert iterations_to(errors, eps) == expected
        assert isinstance(iterations_to(errors, eps), int)
        np.testing.assert_array_equal(iterations_to(errors, [eps, 20.0]), [expected, 0])


def test_steps_feed_the_linear_fit_and_the_series():
    runs = [[c * 0.4**k for k in range(60)] for c in (1.0, 7.0, 1e-3)]
    eps = 10.0 ** -np.arange(1, 10)
    x, y = rate_points(runs, eps)
    fit = linear_fit(x, y)
    assert fit.slope == pytest.approx(1 / math.log(2.5), rel=0.02)
    assert fit.r2 > 0.99
    steps = iterations_to(runs[0], eps)
    assert Series((1 / eps).tolist(), steps.tolist()).decades == pytest.approx(8)
    plain = rate_points(runs[1], [1e-3], relative=False)[1]
    assert plain == [math.ceil(math.log(7e3) / math.log(2.5))]


def test_divergence_is_an_error_and_not_a_number_of_steps():
    with pytest.raises(MeasurementError, match="got 1 at best in 2 steps"):
        iterations_to([1.0, 5.0, math.inf], 0.5)


def test_iterations_as_a_callback():
    A = np.diag([1.0, 3.0, 9.0])
    solution = np.linalg.solve(A, np.ones(3))
    counter = Iterations(lambda x: np.linalg.norm(x - solution), start=np.zeros(3))
    optimize.minimize(lambda x: 0.5 * x @ A @ x - x.sum(), np.zeros(3), method="BFGS", callback=counter)
    assert counter.tally["iterations"] == len(counter.errors) - 1 > 2
    assert iterations_to(counter.errors, 1e-3) <= counter.tally["iterations"]
    assert counter.errors[0] == np.linalg.norm(solution)
    assert Iterations(abs).errors == []


def test_bad_arguments():
    good = [1.0, 0.5, 0.25]
    for errors in ([1.0, -0.5, 0.2], [1.0, math.nan, 0.2], [1.0, math.inf, 0.2], []):
        with pytest.raises(MeasurementError, match="errors"):
            order_of_convergence(errors)
        with pytest.raises(MeasurementError, match="errors"):
            contraction_factor(errors)
    for errors in ([1.0, math.nan], [-1.0], []):
        with pytest.raises(MeasurementError, match="errors"):
            iterations_to(errors, 0.1)
    with pytest.raises(MeasurementError, match="moves"):
        order_of_convergence([1.0, 1.0, 1.0])
    for keywords in ({"conf": 1.0}, {"below": 0.0}, {"floor": 0.0}, {"scale": -1.0}, {"floor": math.nan}):
        with pytest.raises(ValueError, match=next(iter(keywords))):
            order_of_convergence(good, **keywords)
    for eps in (0.0, -1.0, [], [0.1, math.nan]):
        with pytest.raises(ValueError, match="eps"):
            iterations_to(good, eps)
        with pytest.raises((ValueError, TypeError)):
            rate_points(good, eps)
    with pytest.raises(MeasurementError, match="first error"):
        rate_points([0.0, 0.0], [0.1])
