from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.evidence.numbers import LARGEST_EXACT, encoded, log_of, rounded, shown


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_rounding_keeps_six_digits(x):
    assert rounded(x) == pytest.approx(x, rel=5.1e-6, abs=5e-324 * 1e6)
    assert rounded(rounded(x)) == rounded(x)
    assert math.copysign(1, rounded(0.0 * x)) == 1


@given(st.integers(min_value=1, max_value=2**1000))
def test_log_agrees_with_float_log(x):
    expected = math.log2(x >> max(x.bit_length() - 60, 0)) + max(x.bit_length() - 60, 0)
    assert log_of(x) / math.log(2) == pytest.approx(expected, rel=1e-14, abs=1e-15)


def test_log_of_any_size():
    assert log_of(2**10240) == pytest.approx(10240 * math.log(2), rel=1e-15)
    assert log_of(Fraction(1, 3**2000)) == pytest.approx(-2000 * math.log(3), rel=1e-15)
    assert log_of(np.float32(2)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("bad", [0, -1, 0.0, math.inf, math.nan, Fraction(-1, 2)])
def test_log_refuses_what_is_not_positive(bad):
    with pytest.raises(ValueError, match="expected a"):
        log_of(bad)


@pytest.mark.parametrize("bad", ["3", None, 1j, True, [1]])
def test_log_refuses_what_is_no_number(bad):
    with pytest.raises(TypeError, match="expected a real number"):
        log_of(bad)


def test_special_numbers_are_valid_json():
    value = {
        "n": [2**320, -(2**60), 3 * 2**70, LARGEST_EXACT, LARGEST_EXACT + 1],
        "x": [math.inf, -math.inf, math.nan, np.float32(0.1), 1.23456789, -0.0],
        "a": np.asarray([[1, 2], [3, 4]]),
        "b": np.bool_(True),
        "t": (None, "text", range(3)),
        5: np.int64(7),
    }
    encoding = json.loads(json.dumps(encoded(value), allow_nan=False))
    assert encoding["n"][:2] == [{"log2": 320.0}, {"log2": 60.0, "sign": -1}]
    assert encoding["n"][2]["log2"] == pytest.approx(70 + math.log2(3), rel=1e-6)
    assert encoding["n"][3:] == [LARGEST_EXACT, {"log2": 53.0}]
    assert encoding["x"] == ["inf", "-inf", "nan", 0.1, 1.23457, 0.0]
    assert encoding["a"] == [[1, 2], [3, 4]]
    assert encoding["b"] is True
    assert encoding["t"] == [None, "text", [0, 1, 2]]
    assert encoding["5"] == 7


@pytest.mark.parametrize("bad", [1j, object(), {1, 2}, b"bytes"])
def test_encoding_refuses_other_kinds(bad):
    with pytest.raises(TypeError, match="the ledger holds"):
        encoded({"x": [bad]})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.51234, "0.5123"),
        (-0.5, "−0.5"),
        (1e-9, "10⁻⁹"),
        (-1e-9, "−10⁻⁹"),
        (-1.5e-9, "−1.5×10⁻⁹"),
        (math.inf, "∞"),
        (math.nan, "not a number"),
        (2**320, "2³²⁰"),
        (-(2**40), "−2⁴⁰"),
        (1024, "1024"),
        (True, "yes"),
        ([1, 0.5], "[1, 0.5]"),
        ({"a": 1, "b": 2.0}, "a 1, b 2"),
    ],
)
def test_shown(value, text):
    assert shown(value) == text
