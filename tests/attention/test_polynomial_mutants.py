"""What planted mistakes showed the other tests of polynomial attention to miss."""

import contextlib
import math

import numpy as np
import pytest

from touchstone.attention import polynomial
from touchstone.attention.polynomial import polynomial_attention, polynomial_factors
from touchstone.counting.array import counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.monomials import monomial_plan


def test_blas_is_held_to_one_thread_on_numpy_alone(monkeypatch):
    entered = []
    monkeypatch.setattr(
        polynomial, "single_threaded_blas", lambda: entered.append(1) or contextlib.nullcontext()
    )
    X = np.ones((3, 2))
    polynomial_attention(X, X, X, [1.0, 1.0], scale=0.5)
    assert entered == [1]
    polynomial_attention(*[counted(X)] * 3, [1.0, 1.0], scale=0.5)
    assert entered == [1]


@pytest.mark.parametrize(
    ("Q", "plan"), [(shape_only(3, 2), None), (np.ones((3, 2)), monomial_plan(2, 1)), (np.ones((3, 2)), None)]
)
def test_only_sizes_with_a_plan_go_without_coefficients(Q, plan):
    with pytest.raises(ValueError, match="coefficients=None"):
        polynomial_factors(Q, Q, None, scale=1.0, plan=plan)
    polynomial_factors(shape_only(3, 2), shape_only(3, 2), None, scale=1.0, plan=monomial_plan(2, 1))


class _Seen(Exception):
    pass


def default_block(d, degree, columns, dtype, monkeypatch):
    def note(f, *arrays, block, workers, **options):
        assert workers == 1
        raise _Seen(block)

    monkeypatch.setattr(polynomial, "map_rows", note)
    Q, V = np.zeros((3, d), dtype=dtype), np.zeros((3, columns), dtype=dtype)
    with pytest.raises(_Seen) as seen:
        polynomial_attention(Q, Q, V, np.ones(degree + 1), scale=1.0)
    return seen.value.args[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("d", "degree", "columns"), [(4, 8, 4), (4, 24, 4), (5, 13, 2), (6, 14, 6), (8, 19, 8), (8, 20, 8)]
)
def test_the_default_block_fits_its_working_set_into_four_mebibytes(d, degree, columns, dtype, monkeypatch):
    block = default_block(d, degree, columns, dtype, monkeypatch)
    low, high = d // 2, d - d // 2
    monomials = math.comb(low + degree, degree) + math.comb(high + degree, degree)
    products = math.comb(low - 1 + degree, degree) * (columns + 1)  # of the highest degree, with [V, 1]
    row = (monomials + products) * np.dtype(dtype).itemsize
    assert 16 <= block <= 2048
    assert block == 16 or block * row <= 4 * 2**20
    assert block == 2048 or (block + 1) * row > 4 * 2**20


def test_the_cases_above_meet_both_ends_and_the_middle(monkeypatch):
    assert default_block(4, 8, 4, "float32", monkeypatch) == 2048
    assert default_block(8, 20, 8, "float64", monkeypatch) == 16  # where 14 rows would fit
    assert 16 < default_block(6, 14, 6, "float64", monkeypatch) < 2048
