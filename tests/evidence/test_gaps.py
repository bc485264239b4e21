from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.gaps import relative_gap

finite = hnp.arrays(float, hnp.array_shapes(max_dims=3, max_side=4), elements=st.floats(-1e6, 1e6))


@given(finite, st.floats(1e-3, 1e3))
def test_scaling_and_zero(x, factor):
    assert relative_gap(x, x) == 0.0
    if np.any(x != 0):
        y = x * (1 + 1e-6)
        assert relative_gap(factor * y, factor * x) == pytest.approx(1e-6, rel=1e-6)
        assert relative_gap(np.zeros_like(x), x) == 1.0


def test_the_three_norms():
    a, b = np.asarray([[3.0, 0.02]]), np.asarray([[4.0, 0.01]])
    assert relative_gap(a, b) == pytest.approx(0.25)
    assert relative_gap(a, b, "frobenius") == pytest.approx(np.hypot(1, 0.01) / np.hypot(4, 0.01))
    assert relative_gap(a, b, "entrywise") == pytest.approx(1.0)


def test_not_symmetric():
    assert relative_gap(2.0, 1.0) == 1.0
    assert relative_gap(1.0, 2.0) == 0.5


def test_widths_and_kinds():
    x = np.asarray([1, 2, 3])
    assert relative_gap(x.astype(np.float32), x) == 0.0
    assert relative_gap(x + 1e-3j, x.astype(complex)) == pytest.approx(1e-3 / 3)
    assert relative_gap(np.float32(1) + np.float32(2) ** -20, 1.0) == 2.0**-20


def test_extreme_sizes_neither_overflow_nor_vanish():
    tiny, huge = np.asarray([1e-300, 2e-300]), np.asarray([1e300, 2e300])
    for x in (tiny, huge):
        for norm in ("max", "frobenius", "entrywise"):
            assert relative_gap(1.5 * x, x, norm) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([1.0], [1.0, 2.0], "shape"),
        ([], [], "at least one entry"),
        ([np.nan], [1.0], "computed: expected finite"),
        ([1.0], [np.inf], "reference: expected finite"),
        ([1.0], [0.0], "reference is zero"),
        (["a"], ["a"], "expected numbers"),
    ],
)
def test_refusals(a, b, message):
    with pytest.raises(MeasurementError, match=message):
        relative_gap(np.asarray(a), np.asarray(b))


def test_entrywise_needs_every_entry():
    with pytest.raises(MeasurementError, match="reference is zero"):
        relative_gap(np.asarray([1.0, 1.0]), np.asarray([1.0, 0.0]), "entrywise")
    assert relative_gap(np.asarray([1.0, 0.0]), np.asarray([1.0, 0.0]), "entrywise") == 0.0
    with pytest.raises(ValueError, match="norm='l7'"):
        relative_gap(1.0, 1.0, "l7")


def test_strict_namespace():
    xp = pytest.importorskip("array_api_strict")
    assert relative_gap(xp.asarray([1.0, 2.0]), xp.asarray([1.0, 4.0])) == 0.5
