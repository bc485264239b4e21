from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.series import Series


def test_sizes_beyond_every_float():
    n = [2 ** (20 * 2**j) for j in range(10)]
    series = Series(n, [7 * x * x for x in n])
    assert series.x == tuple(n)
    assert series.log_x[-1] == pytest.approx(10240 * math.log(2), rel=1e-15)
    assert series.log_y[-1] == pytest.approx(20480 * math.log(2) + math.log(7), rel=1e-15)
    assert series.decades == pytest.approx((10240 - 20) * math.log10(2))
    log2_x, _ = series.in_base(2)
    assert log2_x == pytest.approx([20 * 2**j for j in range(10)])


def test_kinds_of_numbers_mix():
    series = Series((1, 2.5, np.float32(4)), [Fraction(1, 3), np.int64(2), 3.0])
    assert series.log_x == pytest.approx(np.log([1, 2.5, 4]))
    assert series.log_y == pytest.approx(np.log([1 / 3, 2, 3]))
    assert len(series) == 3
    assert "3 sizes" in repr(series)


def test_generators_and_arrays_are_read_once():
    assert Series((k for k in (1, 2)), np.asarray([3, 4])).y == (3, 4)


def test_arrays_of_other_libraries():
    xp = pytest.importorskip("array_api_strict")
    assert Series(xp.asarray([1.0, 2.0]), xp.asarray([3.0, 4.0])).y == (3.0, 4.0)


def test_starting_at_compares_the_numbers_themselves():
    n = [2**20, 2**40, 2**2000, 2**4000]
    assert Series(n, n).starting_at(2**40).x == tuple(n[1:])
    assert Series(n, n).starting_at(2**40 + 1).x == tuple(n[2:])
    with pytest.raises(MeasurementError, match="at least one size"):
        Series(n, n).starting_at(2**5000)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([], [], "at least one size"),
        ([1, 2], [1], "lengths 2 and 1"),
        ([1, 1], [1, 2], "strictly increase"),
        ([2, 1], [1, 2], r"x\[1\].*strictly increase"),
        ([0, 1], [1, 2], r"x\[0\]=0: expected a positive"),
        ([1, 2], [1, -2], r"y\[1\]=−2: expected a positive"),
        ([1, 2], [1, math.nan], r"y\[1\]=.*positive"),
        ([1, 2], [math.inf, 1], r"y\[0\]=.*finite"),
        ([1, 2], [1, "2"], r"y\[1\]=.*real number"),
        ([1, 2], np.ones((2, 2)), "y: expected a sequence"),
        (3, [1], "x: expected a sequence"),
        ("12", [1, 2], "x: expected a sequence"),
        (np.float64(3), [1], "x: expected a sequence"),
    ],
)
def test_refusals(x, y, message):
    with pytest.raises(MeasurementError, match=message):
        Series(x, y)
