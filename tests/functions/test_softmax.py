"""Softmax against 40-digit arithmetic, on every array library, at the edges, and under the complex step."""

import importlib

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.softmax import log_softmax, logsumexp, softmax, unnormalised_softmax

FUNCTIONS = [softmax, log_softmax, logsumexp, unnormalised_softmax]


def exact_log_weights(row):
    """ln of each weight, -ln of the sum over k of e^(z_k - z_j); the differences are exact."""
    with mpmath.workdps(40):
        z = [mpmath.mpf(float(x)) for x in row]
        return [-mpmath.log(mpmath.fsum(mpmath.exp(x - y) for x in z)) for y in z]


def exact_logsumexp(row):
    """Any entry less the logarithm of its weight: the first will do."""
    with mpmath.workdps(40):
        return mpmath.mpf(float(row[0])) - exact_log_weights(row)[0]


def relative_error(z):
    """What rounding may do to a weight: each exponent z - max is rounded (half a unit of its size), in the
    entry and in the sum; exp, division and n additions lose a few units more."""
    eps = np.finfo(z.dtype).eps
    return float(eps * (2 * (z.max() - z.min()) + z.shape[-1] + 8))


rows = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.floats(-80, 80, width=32),  # differences up to 160: some float32 weights underflow
    )
)


@settings(max_examples=60, deadline=None)
@given(z=rows)
def test_softmax_agrees_with_exact_arithmetic(z):
    result = softmax(z)
    assert result.dtype == z.dtype
    tiny = float(np.finfo(z.dtype).tiny)  # below it, precision is lost gradually
    for row, weights in zip(z, result, strict=True):
        for log_weight, weight in zip(exact_log_weights(row), weights, strict=True):
            expected = float(mpmath.exp(log_weight))
            assert abs(float(weight) - expected) <= relative_error(z) * expected + tiny


@settings(max_examples=60, deadline=None)
@given(z=rows)
def test_logarithms_agree_with_exact_arithmetic(z):
    logs, total = log_softmax(z), logsumexp(z)
    assert logs.dtype == total.dtype == z.dtype
    assert total.shape == z.shape[:1]
    # adding back the shift, or subtracting the logarithm, rounds once more at the size of the numbers
    tolerance = relative_error(z) + float(np.finfo(z.dtype).eps * (np.abs(z).max() + 10))
    for row, log_row, log_total in zip(z, logs, total, strict=True):
        assert float(log_total) == pytest.approx(float(exact_logsumexp(row)), rel=0, abs=tolerance)
        np.testing.assert_allclose(
            log_row, [float(x) for x in exact_log_weights(row)], rtol=0, atol=tolerance
        )


def test_known_values(xp):
    z = xp.asarray([[0.0, 0.0], [0.0, np.log(3.0)]])
    np.testing.assert_allclose(to_host(softmax(z)), [[0.5, 0.5], [0.25, 0.75]], rtol=1e-15)
    np.testing.assert_allclose(to_host(logsumexp(z)), [np.log(2), np.log(4)], rtol=1e-15)
    np.testing.assert_allclose(to_host(log_softmax(z)), np.log([[0.5, 0.5], [0.25, 0.75]]), rtol=1e-15)
    exponentials, total = unnormalised_softmax(z)
    np.testing.assert_allclose(to_host(exponentials), [[1, 1], [1 / 3, 1]], rtol=1e-15)
    np.testing.assert_allclose(to_host(total), [[2], [4 / 3]], rtol=1e-15)


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_every_axis(xp, axis):
    z = np.random.default_rng(1).standard_normal((2, 3, 4))
    expected = np.exp(z) / np.exp(z).sum(axis=axis, keepdims=True)
    np.testing.assert_allclose(to_host(softmax(xp.asarray(z), axis)), expected, rtol=1e-14)
    np.testing.assert_allclose(to_host(log_softmax(xp.asarray(z), axis)), np.log(expected), rtol=1e-13)
    total = to_host(logsumexp(xp.asarray(z), axis))
    np.testing.assert_allclose(total, np.log(np.exp(z).sum(axis=axis)), rtol=1e-13)


@pytest.mark.parametrize("size", [1e4, -1e4, 1e300, -1e300])
def test_large_entries_neither_overflow_nor_vanish(xp, size):
    z = np.array([size, size, size * (1 - 1e-9)])  # differences: 1e-5 or 1e291
    expected = [float(mpmath.exp(x)) for x in exact_log_weights(z)]
    np.testing.assert_allclose(to_host(softmax(xp.asarray(z))), expected, rtol=1e-14)
    np.testing.assert_allclose(to_host(logsumexp(xp.asarray(z))), float(exact_logsumexp(z)), rtol=1e-15)


def test_log_softmax_where_the_weight_underflows(xp):
    np.testing.assert_array_equal(to_host(log_softmax(xp.asarray([0.0, -5000.0]))), [0.0, -5000.0])
    np.testing.assert_array_equal(to_host(softmax(xp.asarray([0.0, -5000.0]))), [1.0, 0.0])


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_where_is_the_softmax_of_what_is_kept(xp, dtype):
    rng = np.random.default_rng(2)
    z = rng.standard_normal((5, 6)) * 3
    where = rng.integers(0, 2, (5, 6)).astype(bool)
    where[0], where[1], where[2] = True, False, [True] + 5 * [False]
    spoiled = np.where(where, z, np.nan)  # what is left out must not matter, not even NaN or infinities
    spoiled[4, ~where[4]] = np.inf
    z_xp = xp.asarray(spoiled, dtype=getattr(xp, dtype))
    result = to_host(softmax(z_xp, where=xp.asarray(where)))
    assert result.dtype == dtype
    for row, kept, weights in zip(z, where, result, strict=True):
        expected = np.zeros(6)
        if kept.any():
            expected[kept] = np.exp(row[kept]) / np.exp(row[kept]).sum()
        np.testing.assert_allclose(weights, expected, rtol=2e-6 if dtype == "float32" else 1e-14)
    assert np.all(result[1] == 0)


def test_where_broadcasts(xp):
    z = xp.asarray([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]])
    result = to_host(softmax(z, where=xp.asarray([True, False, True])))
    e = np.exp(2.0)
    np.testing.assert_allclose(
        result, [[1 / (1 + e), 0, e / (1 + e)], [e / (1 + e), 0, 1 / (1 + e)]], rtol=1e-14
    )


def test_minus_infinity_is_the_same_as_being_left_out(xp):
    z = xp.asarray([[0.0, -np.inf, 0.0], [-np.inf, -np.inf, -np.inf]])
    np.testing.assert_array_equal(to_host(softmax(z)), [[0.5, 0, 0.5], [0, 0, 0]])
    np.testing.assert_array_equal(to_host(logsumexp(z)), [np.log(2), -np.inf])
    logs = to_host(log_softmax(z))
    np.testing.assert_array_equal(logs, [[-np.log(2), -np.inf, -np.log(2)], 3 * [-np.inf]])


def test_not_a_number_is_never_hidden(xp):
    z = xp.asarray([[0.0, np.nan], [0.0, 0.0]])
    assert np.isnan(to_host(softmax(z))).tolist() == [[True, True], [False, False]]
    assert np.isnan(to_host(logsumexp(z))).tolist() == [True, False]
    with np.errstate(invalid="ignore"):
        assert np.isnan(to_host(softmax(xp.asarray([np.inf, 0.0])))).tolist() == [True, False]
    assert to_host(logsumexp(xp.asarray([np.inf, 0.0]))) == np.inf


def test_one_entry_and_no_rows(xp):
    np.testing.assert_array_equal(to_host(softmax(xp.asarray([[7.0], [-7.0]]))), [[1], [1]])
    np.testing.assert_array_equal(to_host(logsumexp(xp.asarray([[7.0], [-7.0]]))), [7, -7])
    assert softmax(xp.zeros((0, 3))).shape == (0, 3)
    assert logsumexp(xp.zeros((0, 3))).shape == (0,)


def test_complex_step_gives_the_jacobian(xp):
    # two entries share the largest real part: a maximum over complex numbers would pick by imaginary part
    z = np.array([0.3, 1.7, 1.7, -2.0])
    p = np.exp(z) / np.exp(z).sum()
    jacobian = np.diag(p) - np.outer(p, p)
    h = 1e-100
    for j in range(4):
        moved = xp.asarray(z + 1j * h * np.eye(4)[j])
        np.testing.assert_allclose(to_host(softmax(moved)).imag / h, jacobian[:, j], rtol=0, atol=1e-15)
        np.testing.assert_allclose(to_host(logsumexp(moved)).imag / h, p[j], rtol=1e-14)
        log_derivative = to_host(log_softmax(moved)).imag / h
        np.testing.assert_allclose(log_derivative, np.eye(4)[j] - p[j], rtol=0, atol=1e-15)


def test_the_input_is_left_alone():
    z = np.array([[1.0, 2.0], [3.0, -np.inf]])
    before = z.copy()
    for f in FUNCTIONS:
        f(z)
    softmax(z, where=np.array([[True, False], [True, True]]))
    np.testing.assert_array_equal(z, before)


@pytest.mark.parametrize("f", FUNCTIONS)
def test_bad_input_is_named(xp, f):
    with pytest.raises(TypeError, match=r"z of dtype .*int64.*expected real or complex floating"):
        f(xp.asarray([1, 2]))
    with pytest.raises(TypeError, match=r"z of dtype .*bool"):
        f(xp.asarray([True, False]))
    with pytest.raises(ValueError, match=r"axis=2: expected an axis of z, which has 2 dimensions"):
        f(xp.zeros((2, 2)), 2)
    with pytest.raises(ValueError, match=r"axis=-1: expected an axis of z, which has 0 dimensions"):
        f(xp.asarray(1.0))
    with pytest.raises(ValueError, match=r"axis=0: expected at least one entry, z has shape \(0, 2\)"):
        f(xp.zeros((0, 2)), 0)


def test_where_must_be_boolean_and_of_the_same_library(xp):
    with pytest.raises(TypeError, match=r"where of dtype .*float64.*expected booleans"):
        softmax(xp.zeros(2), where=xp.ones(2))
    strict = importlib.import_module("array_api_strict")
    with pytest.raises(TypeError, match="namespace"):
        softmax(np.zeros(2), where=strict.asarray([True, True]))


def costs_of(f, *arguments, **rest):
    with count() as costs:
        f(*arguments, **rest)
    return costs.numbers()


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 9),
    m=st.integers(1, 9),
    masked=st.booleans(),
    dtype=st.sampled_from(["float32", "complex128"]),
)
def test_counts_are_the_same_with_and_without_data(n, m, masked, dtype):
    with_data, without = counted(np.zeros((n, m), dtype=dtype)), shape_only(n, m, dtype=dtype)
    where = (counted(np.ones((n, m), dtype=bool)), shape_only(n, m, dtype=bool)) if masked else (None, None)
    for f in (softmax, unnormalised_softmax):
        assert costs_of(f, with_data, where=where[0]) == costs_of(f, without, where=where[1])
    for f in (log_softmax, logsumexp):
        assert costs_of(f, with_data) == costs_of(f, without)


def test_counts_to_the_unit():
    n, m = 2**100, 3 * 2**90  # beyond any memory
    costs = costs_of(softmax, shape_only(n, m))
    assert costs["transcendentals"] == n * m
    assert costs["arithmetic"] == n * m + n * (m - 1) + n * m  # shift, sum, division
    assert costs["comparisons"] == n * (m - 1) + 4 * n  # maximum; its two bounds, and the guard of the sum
    assert costs["multiply_adds"] == 0
    masked = costs_of(softmax, shape_only(n, m), where=shape_only(n, m, dtype=bool))
    assert masked["comparisons"] == costs["comparisons"] + n * m
    assert {name: masked[name] for name in ("transcendentals", "arithmetic")} == {
        name: costs[name] for name in ("transcendentals", "arithmetic")
    }
