"""Monomial tables against enumeration, on every kind of array."""

import itertools
import math
from fractions import Fraction

import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.functions.monomials import MonomialPlan, monomial_plan, monomials, monomials_by_degree

plans = st.builds(monomial_plan, st.integers(1, 5), st.integers(0, 6))


def enumerated(d, degree):
    """All multi-indices of at most this degree."""
    return {a for a in itertools.product(range(degree + 1), repeat=d) if sum(a) <= degree}


def tallies(costs):
    names = ("multiply_adds", "arithmetic", "transcendentals", "comparisons", "moves", "bytes_peak")
    return {name: getattr(costs, name) for name in names}


@settings(deadline=None)
@given(plan=plans)
def test_every_monomial_once_in_order_of_degree(plan):
    exponents = [tuple(row) for row in plan.exponents.tolist()]
    assert set(exponents) == enumerated(plan.d, plan.degree)
    assert len(exponents) == plan.rank == math.comb(plan.d + plan.degree, plan.degree)
    assert plan.degrees.tolist() == [sum(a) for a in exponents] == sorted(map(sum, exponents))
    for t, size in enumerate(plan.sizes):
        assert plan.starts[t + 1] - plan.starts[t] == size == math.comb(plan.d + t - 1, t)


@settings(deadline=None)
@given(plan=plans)
def test_fewer_variables_are_a_prefix_of_each_degree(plan):
    for t in range(plan.degree + 1):
        rows = plan.exponents[plan.starts[t] : plan.starts[t + 1]]
        for v in range(plan.d):
            inside = np.all(rows[:, v + 1 :] == 0, axis=1)
            assert inside.tolist() == [True] * plan.prefix(v, t) + [False] * (len(rows) - plan.prefix(v, t))


@settings(deadline=None)
@given(plan=plans)
def test_each_monomial_is_its_parent_times_its_variable(plan):
    for t in range(1, plan.degree + 1):
        child = plan.exponents[plan.starts[t] : plan.starts[t + 1]].copy()
        child[np.arange(len(child)), plan.variables[t]] -= 1
        assert np.array_equal(child, plan.exponents[plan.starts[t - 1] : plan.starts[t]][plan.parents[t]])


@settings(deadline=None)
@given(plan=plans)
def test_multinomials(plan):
    expected = [
        Fraction(math.factorial(sum(a)), math.prod(map(math.factorial, a))) for a in plan.exponents.tolist()
    ]
    assert plan.multinomials.tolist() == expected


@settings(deadline=None)
@given(
    plan=plans, n=st.integers(0, 7), dtype=st.sampled_from(["float32", "float64"]), seed=st.integers(0, 99)
)
def test_values_against_powers(plan, n, dtype, seed):
    X = np.random.default_rng(seed).uniform(-2, 2, (n, plan.d)).astype(dtype)
    table = monomials(X, plan)
    expected = np.prod(X[:, None, :].astype(float) ** plan.exponents[None, :, :], axis=2)
    assert table.shape == (n, plan.rank)
    assert table.dtype == X.dtype
    # one rounding a multiplication
    assert np.all(np.abs(table - expected) <= plan.degree * np.finfo(dtype).eps * np.abs(expected))
    strict = monomials(array_api_strict.asarray(X), plan)
    assert np.array_equal(np.asarray(strict), table)
    rows = np.concatenate(monomials_by_degree(np.ascontiguousarray(X.T), plan, axis=0)) if n else table.T
    assert np.array_equal(rows, table.T)


@settings(deadline=None, max_examples=40)
@given(plan=plans, n=st.integers(1, 9))
def test_counts_with_and_without_data_and_table(plan, n):
    X = np.linspace(-1, 1, n * plan.d).reshape(n, plan.d)
    with count() as executed:
        table = monomials(counted(X), plan)
    assert np.array_equal(table.__to_host__(), monomials(X, plan))
    assert executed.arithmetic == n * (plan.rank - 1)
    assert executed.operations == executed.arithmetic
    for other in (plan, monomial_plan(plan.d, plan.degree, table=False)):
        with count() as shapes:
            assert monomials(shape_only(n, plan.d), other).shape == (n, plan.rank)
        assert tallies(shapes) == tallies(executed)


def test_sizes_no_memory_holds():
    n, plan = 2**320, monomial_plan(55, 127, table=False)
    with count() as costs:
        table = monomials(shape_only(n, 55), plan)
    assert plan.rank == math.comb(182, 127)
    assert table.shape == (n, plan.rank)
    assert costs.arithmetic == n * (plan.rank - 1)


def test_halves_split_the_variables():
    first, second = monomial_plan(5, 4).halves
    assert (first, second) == (monomial_plan(2, 4), monomial_plan(3, 4))
    assert [p.d for p in monomial_plan(1, 3).halves] == [0, 1]
    # pairs of monomials whose degrees sum to at most 4 are the monomials in all variables
    pairs = sum(first.sizes[t] * second.starts[4 - t + 1] for t in range(5))
    assert pairs == monomial_plan(5, 4).rank
    assert not monomial_plan(4, 3, table=False).halves[0].table


def test_no_variables_leave_the_constant():
    plan = monomial_plan(0, 3)
    assert plan.sizes == (1, 0, 0, 0)
    assert plan.exponents.shape == (1, 0)
    assert plan.multinomials.tolist() == [1.0]


def test_plans_are_values_and_their_tables_are_read_only():
    assert monomial_plan(3, 2) == MonomialPlan(3, 2)
    assert len({monomial_plan(3, 2), monomial_plan(3, 2), monomial_plan(3, 2, table=False)}) == 2
    with pytest.raises(ValueError, match="read-only"):
        monomial_plan(3, 2).exponents[0, 0] = 1


def test_nan_and_infinity_stay_in_their_row():
    table = monomials(np.array([[np.nan, 1.0], [2.0, 3.0]]), monomial_plan(2, 2))
    assert table[1].tolist() == [1, 2, 3, 4, 6, 9]
    assert np.isnan(table[0]).tolist() == [False, True, False, True, True, False]


@pytest.mark.parametrize(("d", "degree"), [(-1, 2), (2, -1), (1.0, 2), (2, "3"), (True, 2)])
def test_bad_plans(d, degree):
    with pytest.raises(ValueError, match="expected an integer >= 0"):
        monomial_plan(d, degree)


def test_bad_inputs_are_named():
    for shape in [(3,), (3, 4), (3, 2, 1)]:
        with pytest.raises(ValueError, match="X of shape"):
            monomials(np.zeros(shape), monomial_plan(2, 2))
    with pytest.raises(ValueError, match="table=False"):
        monomials(np.zeros((3, 2)), monomial_plan(2, 2, table=False))
    with pytest.raises(ValueError, match="table=False"):
        monomials(counted(np.zeros((3, 2))), monomial_plan(2, 2, table=False))
    with pytest.raises(ValueError, match="d >= 1"):
        monomials(np.zeros((3, 0)), monomial_plan(0, 2))


def test_multinomials_beyond_float64():
    with pytest.raises(OverflowError, match="d=2, degree=1040"):  # C(1040, 520) = 10^311
        _ = monomial_plan(2, 1040).multinomials
