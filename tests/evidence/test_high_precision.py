import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.evidence.differentiation import complex_step_gradient
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.high_precision import (
    PrecisionError,
    as_floats,
    precise_curvature,
    precise_derivative,
    precise_gradient,
    precise_hessian,
    precise_jacobian,
)


def log_sum_exp(A):
    return lambda x: mpmath.log(sum(mpmath.exp(z) for z in A @ x))


def close(found, expected, digits):
    with mpmath.workdps(digits + 20):
        gap = max(abs(a - b) for a, b in zip(np.ravel(found), np.ravel(expected), strict=True))
        return gap <= mpmath.mpf(10) ** -digits * max(abs(b) for b in np.ravel(expected))


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([20, 50, 80]), st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_derivatives_of_log_sum_exp_to_the_digits_asked_for(n, d, digits, seed):
    rng = np.random.default_rng(seed)
    A, x, u, v = (rng.standard_normal(shape) for shape in ((n, d), d, d, d))
    with mpmath.workdps(digits + 30):
        e = np.array([mpmath.exp(z) for z in A @ np.array([mpmath.mpf(t) for t in x])])
        p = e / sum(e)
        gradient = A.T @ p
        hessian = A.T @ (np.diag(p) - np.outer(p, p)) @ A
        along, bend = gradient @ v, u @ hessian @ v
    f = log_sum_exp(A)
    assert close(precise_gradient(f, x, digits), gradient, digits - 4)
    assert close(precise_derivative(f, x, v, digits), along, digits - 5) or abs(along) < 1e-3
    if n > 1:  # one exponential alone has no curvature, and no relative digits
        largest = np.max(np.abs(as_floats(hessian)))
        assert (
            np.max(np.abs(as_floats(precise_hessian(f, x, digits)) - as_floats(hessian))) <= 1e-15 * largest
        )
        found = precise_curvature(f, x, u, v, digits)
        assert abs(found - bend) <= mpmath.mpf(10) ** (5 - digits) * (1 + abs(bend))


def test_jacobian_and_hessian_shapes_on_arrays():
    X = np.arange(1.0, 7.0).reshape(2, 3)
    jacobian = precise_jacobian(lambda X: X @ X.T, X)
    assert jacobian.shape == (2, 2, 2, 3)
    expected = np.zeros((2, 2, 2, 3))
    for a, b, i, j in np.ndindex(2, 2, 2, 3):
        expected[a, b, i, j] = (a == i) * X[b, j] + (b == i) * X[a, j]
    np.testing.assert_array_equal(as_floats(jacobian), expected)
    hessian = precise_hessian(lambda X: (X**3).sum(), X)
    assert hessian.shape == (2, 3, 2, 3)
    np.testing.assert_allclose(as_floats(hessian).reshape(6, 6), np.diag(6 * X.ravel()), atol=1e-50)


def test_mpmath_matrices():
    X = np.array([[2.0, 1.0], [0.5, 3.0]])
    cofactors = np.array([[3.0, -0.5], [-1.0, 2.0]])
    np.testing.assert_array_equal(as_floats(precise_gradient(mpmath.det, X, container="matrix")), cofactors)
    column = precise_jacobian(lambda x: mpmath.matrix(X) * x, np.ones(2), container="matrix")
    np.testing.assert_array_equal(as_floats(column), X)  # an n × 1 result is a vector
    quadratic = precise_hessian(lambda x: x.T * mpmath.matrix(X) * x, np.ones(2), container="matrix")
    np.testing.assert_array_equal(as_floats(quadratic), X + X.T)  # a 1 × 1 result is a scalar
    given = precise_gradient(lambda x: x[0, 0] ** 2, mpmath.matrix([[3]]), container="matrix")
    assert as_floats(given).tolist() == [[6.0]]


def test_numbers_and_complex_values():
    with mpmath.workdps(50):
        assert abs(precise_gradient(lambda x: mpmath.sin(x[()]), 1.0) - mpmath.cos(1)) < mpmath.mpf(10) ** -45
        assert abs(precise_hessian(lambda x: mpmath.sin(x[()]), 1.0) + mpmath.sin(1)) < mpmath.mpf(10) ** -45
    value = as_floats(precise_gradient(lambda x: mpmath.expj(x[0]), [0.5]))
    np.testing.assert_allclose(value, [1j * np.exp(0.5j)], rtol=1e-15)


def test_it_agrees_with_the_complex_step():
    A, x = np.random.default_rng(2).standard_normal((6, 3)), np.array([0.1, -0.7, 1.2])
    precise = as_floats(precise_gradient(log_sum_exp(A), x))
    step = complex_step_gradient(lambda x: np.log(np.sum(np.exp(A @ x))), x)
    np.testing.assert_allclose(step, precise, atol=1e-14)


ROUNDING = {
    "returns a float": lambda x: float(x[0]) ** 2,
    "returns a NumPy float": lambda x: np.float64(x[0]),
    "rounds and returns mpf": lambda x: mpmath.mpf(float(x[0])) ** 2,
    "rounds one entry": lambda x: mpmath.exp(x[0]) + mpmath.mpf(float(x[1])) ** 2,
    "rounds an intermediate result": lambda x: x[0] * mpmath.mpf(float(mpmath.exp(x[1]))),
}


@pytest.mark.parametrize("name", ROUNDING)
def test_functions_that_round_to_floats_are_refused(name):
    x = np.array([0.3, 0.9])
    for derivative in (precise_gradient, precise_hessian):
        with pytest.raises(PrecisionError):
            derivative(ROUNDING[name], x)


def test_kinks_and_noise_are_refused():
    with pytest.raises(PrecisionError, match="kink"):
        precise_gradient(lambda x: abs(x[0] - 1) + x[0] * 2, [1.0])
    with pytest.raises(PrecisionError, match="two steps"):
        precise_gradient(lambda x: mpmath.sqrt(abs(x[0])) * x[0] ** 0 * (1 if x[0] > 0 else -1), [0.0])
    with pytest.raises(PrecisionError):
        precise_gradient(lambda x: mpmath.floor(x[0] * 3) + x[0], [1.0])


def test_constant_and_linear_functions():
    assert as_floats(precise_gradient(lambda x: mpmath.mpf(3), np.ones(2))).tolist() == [0, 0]
    assert as_floats(precise_gradient(lambda x: 7, np.ones(2))).tolist() == [0, 0]
    assert as_floats(precise_hessian(lambda x: 3 * x[0] - x[1], np.ones(2))).tolist() == [[0, 0], [0, 0]]


def test_bad_arguments():
    def f(x):
        return x[0]

    with pytest.raises(ValueError, match="digits=10"):
        precise_gradient(f, [1.0], 10)
    with pytest.raises(ValueError, match="container='list'"):
        precise_gradient(f, [1.0], container="list")
    with pytest.raises(ValueError, match="at least one entry"):
        precise_gradient(f, np.zeros(0))
    with pytest.raises(ValueError, match="one or two"):
        precise_gradient(f, np.ones((1, 1, 1)), container="matrix")
    with pytest.raises(MeasurementError, match="x: expected finite"):
        precise_gradient(f, [np.nan])
    with pytest.raises(ValueError, match="x: expected real numbers"):
        precise_gradient(f, [1j])
    with pytest.raises(ValueError, match="expected a scalar"):
        precise_gradient(lambda x: x, [1.0, 2.0])
    with pytest.raises(MeasurementError, match="f: expected finite"):
        precise_gradient(lambda x: mpmath.inf * x[0], [1.0])
    for v, message in (([0.0], "non-zero"), ([1.0, 2.0], "shape of x")):
        with pytest.raises(ValueError, match=message):
            precise_derivative(f, [1.0], v)
