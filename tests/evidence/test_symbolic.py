import numpy as np
import pytest
import sympy

from touchstone.evidence.differentiation import complex_step_gradient, complex_step_hessian
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.symbolic import (
    symbolic_gradient,
    symbolic_hessian,
    symbolic_jacobian,
    symbols_of,
)


def cross_entropy(A, b, exp, log):
    def f(x):
        e = [exp(z) for z in A @ x]
        return -sum(bi * log(ei / sum(e)) for bi, ei in zip(b, e, strict=True))

    return f


def test_gradient_and_hessian_of_cross_entropy():
    rng = np.random.default_rng(0)
    A, b, x = rng.standard_normal((3, 2)), np.array([0.2, 0.3, 0.5]), rng.standard_normal(2)
    exact = cross_entropy(A, b, sympy.exp, sympy.log)
    numeric = cross_entropy(A, b, np.exp, np.log)
    gradient = symbolic_gradient(exact, 2).at(x)
    # a few tens of roundings on the complex step's side, none on the exact one
    np.testing.assert_allclose(complex_step_gradient(numeric, x), gradient, atol=64 * 2.0**-53)
    hessian = symbolic_hessian(exact, 2).at(x)
    step = complex_step_hessian(numeric, x)
    assert np.all(np.abs(step.value - hessian) <= 10 * step.error)


def test_expressions_are_exact():
    gradient = symbolic_gradient(lambda x: x[0] ** 3 * x[1], 2)
    x0, x1 = gradient.symbols
    assert gradient.expressions.tolist() == [3 * x0**2 * x1, x0**3]
    # the float 0.1 of the function's own data is the fraction that it is
    tenth = symbolic_gradient(lambda x: 0.1 * x[0], 1).expressions[0]
    assert tenth == sympy.Rational(0.1) != sympy.Rational(1, 10)


def test_matrix_arguments():
    X = np.array([[2.0, 1.0], [0.5, 3.0]])
    determinant = symbolic_gradient(lambda X: X.det(), (2, 2), container="matrix")
    np.testing.assert_array_equal(determinant.at(X), [[3.0, -0.5], [-1.0, 2.0]])
    square = symbolic_jacobian(lambda X: X * X, (2, 2), container="matrix")
    assert square.expressions.shape == (2, 2, 2, 2)
    expected = np.einsum("ai,jb->abij", np.eye(2), X) + np.einsum("ai,jb->abij", X, np.eye(2))
    np.testing.assert_array_equal(square.at(X), expected)
    trace = symbolic_hessian(lambda X: np.trace(X @ X.T), (2, 3))
    np.testing.assert_array_equal(trace.at(np.ones((2, 3))).reshape(6, 6), 2 * np.eye(6))
    vector = symbolic_jacobian(lambda x: sympy.Matrix(X) * x, 2, container="matrix")
    np.testing.assert_array_equal(vector.at(np.zeros(2)), X)


def test_a_single_number():
    second = symbolic_hessian(lambda x: sympy.sin(x[()]), ())
    assert second.at(0.5) == -np.sin(0.5)


def test_cancellation_does_not_cost_digits():
    # x^8 - 1 at 1 + 2^-50, expanded about 0 so that floats would lose every digit
    f = symbolic_gradient(lambda x: sympy.expand((x[0] - 1) ** 8), 1)
    x = 1 + 2.0**-10
    assert f.at([x])[0] == 8 * (x - 1) ** 7
    assert symbolic_gradient(lambda x: sympy.exp(x[0]) - x[0], 1).at([0.0])[0] == 0


def test_bad_arguments():
    with pytest.raises(ValueError, match="between 1 and 64"):
        symbolic_gradient(lambda x: x.sum(), 65)
    with pytest.raises(ValueError, match="between 1 and 64"):
        symbolic_gradient(lambda x: sympy.Integer(0), 0)
    with pytest.raises(ValueError, match="container"):
        symbolic_gradient(lambda x: x[0], 1, container="list")
    with pytest.raises(ValueError, match="one or two axes"):
        symbolic_gradient(lambda x: x[0], (1, 1, 1), container="matrix")
    with pytest.raises(ValueError, match="expected a scalar"):
        symbolic_gradient(lambda x: x, 3)
    with pytest.raises(ValueError, match="SymPy expressions"):
        symbolic_gradient(lambda x: object(), 1)
    derivative = symbolic_gradient(lambda x: sympy.log(x[0]), 1)
    with pytest.raises(ValueError, match="shape"):
        derivative.at([1.0, 2.0])
    for bad in ([np.nan], [np.inf]):
        with pytest.raises(MeasurementError, match="finite real"):
            derivative.at(bad)
    with pytest.raises(MeasurementError):
        derivative.at([0.0])
    with pytest.raises(MeasurementError, match="finite real"):
        symbolic_gradient(lambda x: sympy.sqrt(x[0]), 1).at([-1.0])


def test_symbols_are_named_by_their_place():
    assert [str(s) for s in symbols_of((2, 2), "A").ravel()] == ["A_0_0", "A_0_1", "A_1_0", "A_1_1"]
    assert str(symbols_of(())[()]) == "x"
