import math

import array_api_strict
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.evidence.differentiation import complex_step_gradient, directional_difference
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.gaps import relative_gap
from touchstone.evidence.tolerances import (
    condition_of_solve,
    condition_of_sum,
    identity_tolerance,
    measured_amplification,
    measured_condition,
    rounding_error,
    unit_roundoff,
)

U = 2.0**-53


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float64", U),
        ("float32", 2.0**-24),
        (np.float32, 2.0**-24),
        (np.dtype(np.complex128), U),
        (np.complex64, 2.0**-24),
        (float, U),
        (array_api_strict.float32, 2.0**-24),
    ],
)
def test_unit_roundoff(dtype, expected):
    assert unit_roundoff(dtype) == expected


@pytest.mark.parametrize("dtype", ["int64", "words", bool, None])
def test_types_without_a_roundoff(dtype):
    with pytest.raises(ValueError, match="floating-point"):
        unit_roundoff(dtype)


def test_rounding_error_by_the_formulas():
    assert rounding_error(1) == U / (1 - U)
    assert rounding_error(10**6) == pytest.approx(10**6 * U, rel=1e-9)
    n, failure = 10**6, 1e-9
    expected = math.sqrt(2 * math.log(2 * n / failure)) * math.sqrt(n) * U
    assert rounding_error(n, model="random", failure=failure) == pytest.approx(expected, rel=1e-9)
    # for few operations the random model would be above the bound, so the bound holds
    assert rounding_error(4, model="random") == rounding_error(4)


@given(st.integers(1, 10**5), st.floats(1.0, 1e4), st.sampled_from(["float64", "float32"]))
def test_the_tolerance_grows_with_what_it_is_derived_from(n, condition, dtype):
    tolerance = identity_tolerance(condition, dtype, n, ceiling=1e9)
    assert tolerance == 2 * condition * rounding_error(n, dtype)
    assert identity_tolerance(condition, dtype, n, exact_reference=True, ceiling=1e9) == tolerance / 2
    assert identity_tolerance(condition, dtype, n, reference_error=1e-3, ceiling=1e9) == tolerance + 1e-3
    assert identity_tolerance(condition, dtype, n, model="random", ceiling=1e9) <= tolerance
    assert identity_tolerance(2 * condition, dtype, n, ceiling=1e9) == 2 * tolerance


def test_inner_products_stay_within_the_rounding_error():
    # the reference adds exactly; the plain loop is the algorithm that γ_N is about
    rng = np.random.default_rng(0)
    used = []
    for n in (1, 2, 17, 400):
        for _ in range(20):
            x, y = rng.random(n), rng.random(n)
            total = 0.0
            for a, b in zip(x, y, strict=True):
                total = total + a * b
            exact = math.fsum(_exact_products(x, y))
            used.append(abs(total - exact) / exact / rounding_error(n))
            assert abs(total - exact) / exact <= rounding_error(n, model="random") + U
    assert max(used) <= 1  # all terms positive: κ = 1


def _exact_products(x, y):
    for a, b in zip(x, y, strict=True):
        with mpmath.workdps(40):
            product = mpmath.mpf(a) * mpmath.mpf(b)
            high = float(product)
            yield from (high, float(product - high))


# -- measured: true identities pass, altered ones do not --------------------------------------------------


def _orthogonal(n, rng):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


@pytest.mark.parametrize("exponent", [0, 2, 4, 6, 8])
def test_solving_ill_conditioned_systems(exponent):
    """A x = b by LU in float64 against 60 digits: x, and x with one part altered."""
    rng = np.random.default_rng(exponent)
    used = []
    for n in (3, 8, 16):
        for _ in range(6):
            A = (_orthogonal(n, rng) * np.logspace(0, -exponent, n)) @ _orthogonal(n, rng)
            b = A @ rng.standard_normal(n)
            with mpmath.workdps(60):
                exact = np.array(
                    mpmath.lu_solve(mpmath.matrix(A), mpmath.matrix(b)).T.tolist()[0], dtype=float
                )
            found = np.linalg.solve(A, b)
            # 3n roundings on a path through factorisation and two substitutions (Higham, Theorem 9.4)
            tolerance = identity_tolerance(condition_of_solve(A), "float64", 3 * n, exact_reference=True)
            gap = relative_gap(found, exact)
            used.append(gap / tolerance)
            assert gap <= tolerance
            altered = exact.copy()
            altered[int(np.argmax(np.abs(exact)))] *= 1 + 120 * tolerance
            assert relative_gap(found, altered) > tolerance
    # not so loose that it says nothing: within a few thousand of what rounding did somewhere
    assert max(used) > 1e-4


@given(st.integers(2, 60), st.integers(1, 8), st.floats(-8, 0), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_gradients_that_cancel(n, d, exponent, seed):
    """Aᵀ(Ax) - Aᵀb near the solution, against the complex step, with κ from the terms that cancel."""
    rng = np.random.default_rng(seed)
    A, x = rng.standard_normal((n, d)), rng.standard_normal(d)
    b = A @ x + 10.0**exponent * rng.standard_normal(n)
    terms = (A.T @ (A @ x), -A.T @ b)
    # each term is a sum of up to n d products that may cancel as well: charged by their absolute values
    parts = np.max(np.abs(A.T) @ (np.abs(A) @ np.abs(x)) + np.abs(A.T) @ np.abs(b))
    condition = parts / np.max(np.abs(terms[0] + terms[1]))
    assert condition >= 0.99 * condition_of_sum(*terms)
    reference = complex_step_gradient(lambda x: 0.5 * np.sum((A @ x - b) ** 2), x, check=False)
    tolerance = identity_tolerance(condition, "float64", n + d + 2, ceiling=1)
    gap = relative_gap(terms[0] + terms[1], reference)
    assert gap <= tolerance
    scale = np.max(np.abs(reference))
    altered = terms[0] + terms[1] + 120 * tolerance * scale * np.eye(d)[int(rng.integers(d))]
    assert relative_gap(altered, reference) > tolerance


def softmax(z):
    e = np.exp(z - z.real.max())
    return e / e.sum()


def softmax_terms(A, x, b, inner=1.0, outer=1.0):
    f = softmax(A @ x)
    return A.T @ (outer * f * (f - b)), A.T @ (-inner * f * (f @ (f - b)))


def softmax_gradient(A, x, b, **change):
    return sum(softmax_terms(A, x, b, **change))


def softmax_problems(logit_scale):
    rng = np.random.default_rng(5)
    for n, d in [(4, 1), (12, 3), (40, 6)] * 5:
        A, x = rng.standard_normal((n, d)), rng.standard_normal(d)
        x *= logit_scale / np.max(np.abs(A @ x))
        b = rng.dirichlet(np.ones(n))
        reference = complex_step_gradient(lambda x, A=A, b=b: 0.5 * np.sum((softmax(A @ x) - b) ** 2), x)
        # d for the logits, their size for the exponential, n each for normaliser, inner product and Aᵀ
        yield A, x, b, reference, d + math.ceil(logit_scale) + 3 * n + 10


@pytest.mark.parametrize("logit_scale", [0.3, 3.0, 10.0, 30.0])
def test_softmax_regression_with_a_measured_condition(logit_scale):
    """The gradient of softmax regression, each of its terms dropped or altered in turn."""
    caught, used, rng = 0, [], np.random.default_rng(6)
    for A, x, b, reference, operations in softmax_problems(logit_scale):
        # the softmax may saturate: its two terms then cancel inside, which the data do not show
        condition = measured_condition(softmax_gradient, A, x, b, rng=rng)
        condition *= condition_of_sum(*softmax_terms(A, x, b))
        tolerance = identity_tolerance(condition, "float64", operations, ceiling=1)
        gap = relative_gap(softmax_gradient(A, x, b), reference)
        used.append(gap / tolerance)
        assert gap <= tolerance
        for change in ({"inner": 0.0}, {"outer": 0.5}, {"inner": -1.0}, {"inner": 1 + 1e-6}):
            altered = softmax_gradient(A, x, b, **change)
            size = np.max(np.abs(altered - softmax_gradient(A, x, b))) / np.max(np.abs(reference))
            if size > 100 * tolerance:
                caught += 1
                assert relative_gap(altered, reference) > tolerance
    assert caught >= 45  # most alterations are that large
    assert max(used) > 1e-6


@pytest.mark.parametrize("logit_scale", [0.3, 3.0, 10.0])
def test_softmax_regression_with_a_measured_amplification(logit_scale):
    caught = 0
    for A, x, b, reference, operations in softmax_problems(logit_scale):
        amplification = measured_amplification(softmax_gradient, A, x, b)
        tolerance = identity_tolerance(amplification, "float64", operations, ceiling=1)
        assert relative_gap(softmax_gradient(A, x, b), reference) <= tolerance
        for change in ({"inner": 0.0}, {"outer": 0.5}, {"inner": -1.0}, {"inner": 1 + 1e-6}):
            altered = softmax_gradient(A, x, b, **change)
            size = np.max(np.abs(altered - reference)) / np.max(np.abs(reference))
            caught += size > 100 * tolerance
            assert (relative_gap(altered, reference) > tolerance) or size <= 100 * tolerance
    assert caught >= 45


def test_amplification_refuses_what_it_cannot_tell():
    x = np.array([1.0, 2.0])
    assert 1 <= measured_amplification(lambda x: x * x, x) <= 2
    cancelling = measured_amplification(lambda x: (x + 1000) - 1000, x / 3)
    assert 300 <= cancelling <= 3000
    with pytest.raises(MeasurementError, match="loses the result"):
        measured_amplification(lambda x: (x + 1e8) - 1e8, x / 3)
    with pytest.raises(ValueError, match="keep the width"):
        measured_amplification(lambda x: np.ones(2) * x, x)
    with pytest.raises(MeasurementError, match="f is zero"):
        measured_amplification(lambda x: x - x, x)
    with pytest.raises(ValueError, match="floating-point arrays"):
        measured_amplification(lambda x: x, np.array([1]))
    with pytest.raises(ValueError, match="at least one array"):
        measured_amplification(lambda: 1)


def test_the_error_of_a_difference_is_part_of_the_tolerance():
    x, v = np.linspace(-1, 1, 7), np.cos(np.arange(7.0))
    estimate = directional_difference(lambda x: np.sum(np.exp(x) * x), x, v)
    exact = np.sum(np.exp(x) * (1 + x) * v)
    error = float(estimate.error / abs(estimate.value))
    tolerance = identity_tolerance(10, "float64", 20, reference_error=10 * error)
    assert relative_gap(exact, estimate.value) <= tolerance <= 1e-9


# -- condition numbers ------------------------------------------------------------------------------------


def test_condition_of_a_sum():
    a = np.array([1.0, 1e6])
    assert condition_of_sum(a) == 1
    assert condition_of_sum(a, -a * (1 - 2.0**-20)) == pytest.approx(2**21, rel=1e-5)
    assert condition_of_sum(array_api_strict.asarray([3.0]), array_api_strict.asarray([-1.0])) == 2
    with pytest.raises(MeasurementError, match="not zero"):
        condition_of_sum(a, -a)
    with pytest.raises(MeasurementError, match="one shape"):
        condition_of_sum(a, a[:1])
    with pytest.raises(ValueError, match="at least one"):
        condition_of_sum()
    with pytest.raises(MeasurementError, match=r"terms\[1\]: expected finite"):
        condition_of_sum(a, a * np.nan)


@given(st.integers(1, 8), st.floats(0, 10), st.integers(0, 10**6))
@settings(max_examples=30, deadline=None)
def test_condition_of_solving(n, exponent, seed):
    rng = np.random.default_rng(seed)
    singular = np.logspace(0, -exponent, n) if n > 1 else np.ones(1)
    A = (_orthogonal(n, rng) * singular) @ _orthogonal(n, rng)
    assert condition_of_solve(A) == pytest.approx(1 / singular[-1], rel=1e-4)


def test_condition_of_a_singular_matrix_and_bad_ones():
    assert condition_of_solve(np.zeros((2, 2))) == math.inf
    with pytest.raises(ValueError, match="a matrix"):
        condition_of_solve(np.ones(3))
    with pytest.raises(MeasurementError, match="A: expected finite"):
        condition_of_solve(np.array([[np.inf]]))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("exponent", [1, 2])
def test_measured_condition_of_powers_and_sums(dtype, exponent):
    rng = np.random.default_rng(0)
    x = np.array([1.5, -2.0], dtype=dtype)
    # x^p amplifies relative errors by p
    assert measured_condition(lambda x: x**exponent, x, rng=rng) == pytest.approx(exponent, rel=0.02)
    # 1 - (1 - 2^-6): terms of total size 2 - 2^-6 for a result of 2^-6; signs differ in half the draws
    terms = np.array([1.0, -(1 - 2.0**-6)], dtype=dtype)
    assert measured_condition(np.sum, terms, rng=rng) == pytest.approx(127, rel=0.02)


def test_measured_condition_in_the_strict_namespace():
    xp = array_api_strict
    x = xp.asarray(np.ones((2, 2)))
    found = measured_condition(lambda x, y: xp.sum(x * y), x, x, rng=np.random.default_rng(0), trials=64)
    assert 1 <= found <= 2 * (1 + 1e-4)


def test_bad_arguments():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least one array"):
        measured_condition(np.sum, rng=rng)
    with pytest.raises(ValueError, match="trials=0"):
        measured_condition(np.sum, np.ones(2), rng=rng, trials=0)
    with pytest.raises(ValueError, match="floating-point arrays"):
        measured_condition(np.sum, np.ones(2, dtype=int), rng=rng)
    with pytest.raises(MeasurementError, match="f is zero"):
        measured_condition(lambda x: x - x, np.ones(2), rng=rng)
    with pytest.raises(MeasurementError, match="f: expected finite"):
        measured_condition(lambda x: x * np.nan, np.ones(2), rng=rng)
    for condition in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="condition"):
            identity_tolerance(condition, "float64", 10)
    for operations in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="operations"):
            identity_tolerance(1.0, "float64", operations)
    with pytest.raises(ValueError, match="reference_error"):
        identity_tolerance(1.0, reference_error=-1e-3)
    with pytest.raises(ValueError, match="model='typical'"):
        identity_tolerance(1.0, model="typical")
    with pytest.raises(ValueError, match="failure"):
        identity_tolerance(1.0, failure=0.0)
    with pytest.raises(ValueError, match="ceiling"):
        identity_tolerance(1.0, ceiling=0.0)
    with pytest.raises(ValueError, match="expected fewer than"):
        rounding_error(2**24, "float32")


def test_a_tolerance_that_decides_nothing_is_refused():
    with pytest.raises(ValueError, match=r"expected at most 0\.001"):
        identity_tolerance(1e12, "float64", 100)
    assert identity_tolerance(1e12, "float64", 100, ceiling=0.1) > 1e-3
