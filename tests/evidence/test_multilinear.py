from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.fits import linear_fit
from touchstone.evidence.multilinear import common_slope, multilinear_fit
from touchstone.evidence.series import Series


@given(st.integers(4, 30), st.integers(0, 2**32 - 1), st.floats(0.5, 0.99))
@settings(max_examples=30)
def test_one_column_is_a_line(m, seed, conf):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, m))
    plane, line = multilinear_fit({"x": x}, y, conf), linear_fit(x, y, conf)
    slope = plane.coefficients["x"]
    assert slope.value == pytest.approx(line.slope)
    assert slope.interval == pytest.approx(line.interval)
    assert (plane.intercept, plane.r2) == pytest.approx((line.intercept, line.r2))
    one = common_slope({"only": Series(np.exp(np.sort(x)), np.exp(y))}, conf)
    assert one.interval == pytest.approx(linear_fit(np.sort(x), y, conf).interval)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_against_the_normal_equations(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(12, 3)), rng.normal(size=12)
    A = np.column_stack([np.ones(12), X])
    coefficients = np.linalg.inv(A.T @ A) @ A.T @ y
    residual = y - A @ coefficients
    errors = np.sqrt(np.diag(np.linalg.inv(A.T @ A)) * (residual @ residual) / 8)
    found = multilinear_fit(dict(zip("abc", X.T, strict=True)), y, 0.95)
    assert found.intercept == pytest.approx(coefficients[0])
    for i, name in enumerate("abc", start=1):
        low, high = found.coefficients[name].interval
        assert found.coefficients[name].value == pytest.approx(coefficients[i])
        assert high - low == pytest.approx(2 * 2.306004135 * errors[i])  # t, 8 degrees of freedom, 97.5 %


def test_common_slope_against_indicator_columns():
    rng = np.random.default_rng(1)
    curves = {
        k: Series(2.0 ** np.arange(5), k * 2.0 ** (0.5 * np.arange(5)) * np.exp(rng.normal(size=5)))
        for k in (1, 9, 70)
    }
    X = {"x": np.concatenate([c.log_x for c in curves.values()])}
    X |= {f"k{i}": np.repeat(np.eye(3)[i], 5) for i in (1, 2)}
    plane = multilinear_fit(X, np.concatenate([c.log_y for c in curves.values()]), 0.99)
    assert common_slope(curves, 0.99).interval == pytest.approx(plane.coefficients["x"].interval)


def test_exact_powers_are_found_exactly_and_keep_a_width():
    n, d = (np.log(v).ravel() for v in np.meshgrid([16.0, 64, 256], [2.0, 8, 32]))
    found = multilinear_fit({"n": n, "d": d}, 1.5 * n - 2 * d + 3)
    low, high = found.coefficients["n"].interval
    assert low < 1.5 < high
    assert high - low < 1e-12
    assert found.coefficients["d"].value == pytest.approx(-2)
    curve = {i: Series(2 ** np.arange(1, 7), [i * 7 ** int(k) for k in range(1, 7)]) for i in (1, 5)}
    assert common_slope(curve).value == pytest.approx(np.log2(7))


def test_bad_input():
    y = np.arange(6.0)
    for X, fault in (
        ({"a": y[:5]}, "a of length 5"),
        ({"a": y, "b": 2 * y + 1}, "determine one another"),
        ({"a": np.ones(6)}, "vary"),
        ({"a": np.full(6, np.nan)}, "finite"),
        ({str(i): np.eye(6)[i] for i in range(5)}, "6 points"),
    ):
        with pytest.raises(MeasurementError, match=fault):
            multilinear_fit(X, y)
    for bad in ({}, [y]):
        with pytest.raises(ValueError, match="X"):
            multilinear_fit(bad, y)
    with pytest.raises(ValueError, match="conf"):
        multilinear_fit({"a": y}, y, 1.0)
    with pytest.raises(MeasurementError, match="at least one"):
        common_slope({})
    with pytest.raises(MeasurementError, match="two sizes"):
        common_slope({"a": Series([1], [1])})
    with pytest.raises(MeasurementError, match="expected at least 3"):
        common_slope({"a": Series([1, 2], [1, 2])})
