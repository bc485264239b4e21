"""Count-sketch tables against dictionaries and loops, and norm estimates against exact norms."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.sketching.heavy_hitters import CountSketchTable, lp_norm_estimate, median_network
from touchstone.sketching.polynomial_hash import PRIME, polynomial_hash


def rng(seed=0):
    return np.random.default_rng(seed)


class Slow:
    """The same table in plain Python, from the same draws."""

    def __init__(self, rows, width, seed):
        state = rng(seed)
        self.width = width
        self.coefficients = polynomial_hash(4, 2 * width, state, rows).coefficients.T.tolist()
        self.cells = [[0.0] * width for _ in range(rows)]

    def place(self, row, item):
        value = sum(c * item**i for i, c in enumerate(self.coefficients[row])) % PRIME
        key = value * 2 * self.width // 2**31
        return key // 2, -1 if key % 2 else 1

    def update(self, items, values):
        for item, value in zip(items, values, strict=True):
            for row, cells in enumerate(self.cells):
                cell, sign = self.place(row, item)
                cells[cell] += sign * value

    def query(self, item):
        found = []
        for row, cells in enumerate(self.cells):
            cell, sign = self.place(row, item)
            found.append(sign * cells[cell])
        return statistics.median(found)


streams = st.lists(st.tuples(st.integers(0, 30) | st.just(PRIME - 1), st.integers(-9, 9)), max_size=25)


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 6), st.integers(1, 9), streams, st.integers(0, 10**6))
def test_against_plain_python(rows, width, stream, seed):
    slow, table = Slow(rows, width, seed), CountSketchTable(rows, width, rng(seed), like=np)
    items = np.array([item for item, _ in stream], dtype=np.int64)
    values = np.array([value for _, value in stream], dtype=float)
    slow.update(items.tolist(), values.tolist())
    table.update(items, values)
    np.testing.assert_array_equal(table.cells, slow.cells)
    asked = [0, 3, 30, PRIME - 1]
    assert table.query(np.array(asked)).tolist() == [slow.query(item) for item in asked]


@settings(max_examples=40, deadline=None)
@given(streams, streams, st.integers(0, 10**6))
def test_is_linear(first, second, seed):
    def fill(table, stream, sign=1.0):
        table.update(np.array([i for i, _ in stream], int), sign * np.array([v for _, v in stream], float))
        return table

    empty = CountSketchTable(3, 5, rng(seed), like=np)
    a, b = fill(empty.empty(), first), fill(empty.empty(), second)
    np.testing.assert_array_equal((a + b).cells, fill(fill(empty.empty(), first), second).cells)
    np.testing.assert_array_equal((a - b).cells, fill(fill(empty.empty(), first), second, -1.0).cells)
    assert not empty.cells.any()  # others with its hashes have cells of their own


def test_a_single_item_is_exact():
    table = CountSketchTable(5, 3, rng(), like=np)
    table.update(np.array([17]), np.array([2.5]))
    table.update(np.array([17]), np.array([-1.0]))
    assert table.query(np.array([17])) == 1.5
    assert sorted(np.abs(table.cells).ravel().tolist()) == [0.0] * 10 + [1.5] * 5


def test_an_even_number_of_rows_takes_the_middle():
    slow, table = Slow(4, 2, 3), CountSketchTable(4, 2, rng(3), like=np)
    for t in (slow, table):
        t.update([1, 2, 3] if t is slow else np.array([1, 2, 3]), np.array([1.0, 10.0, 100.0]))
    assert table.query(np.array([1])) == slow.query(1)


@pytest.mark.parametrize("rows", [1, 2, 7, 14, 15, 16, 17])
def test_medians_of_many_rows(rows):
    """By exchanges up to 15 rows, by a sort above, over several blocks of items."""
    table = CountSketchTable(rows, 40, rng(6), like=np)
    x = rng(7).normal(size=9000)
    at = table.places(np.arange(9000))
    table.update(at, x)
    found = np.take(np.stack([table.cells, -table.cells], axis=2), at.index)
    np.testing.assert_array_equal(table.query(at), np.median(found, axis=0))


@pytest.mark.parametrize("c", range(1, 16))
def test_networks_put_the_middle_in_the_middle(c):
    """Every pattern of noughts and ones suffices for numbers of any kind (the 0-1 principle)."""
    rows = list((np.arange(2**c) >> np.arange(c)[:, None] & 1).astype(float))
    expected = np.median(rows, axis=0)
    for i, j, low, high in median_network(c):
        assert 0 <= i < j < c
        assert low or high
        first, second = rows[i], rows[j]
        # what is not asked for is lost
        rows[i] = np.minimum(first, second) if low else np.full(2**c, np.nan)
        rows[j] = np.maximum(first, second) if high else np.full(2**c, np.nan)
    np.testing.assert_array_equal((rows[(c - 1) // 2] + rows[c // 2]) / 2, expected)


def test_a_median_by_exchanges_costs_the_comparisons_of_its_network():
    x, items = shape_only(20), shape_only(20, dtype="int64")
    for rows, comparisons in ((1, 0), (2, 2), (3, 4), (5, 12), (9, 36), (15, 84), (16, 16 * 4)):
        table = CountSketchTable(rows, 5, rng(), like=x)
        at = table.places(items)
        with count() as costs:
            table.query(at)
        assert costs.comparisons == 20 * comparisons
        if rows <= 15:
            assert comparisons == sum(low + high for *_, low, high in median_network(rows))


def test_places_serve_several_calls():
    a, b = (CountSketchTable(3, 8, rng(1), like=np) for _ in range(2))
    items, values = np.array([4, 9]), np.array([1.0, 2.0])
    at = a.places(items)
    a.update(at, values)
    b.update(items, values)
    np.testing.assert_array_equal(a.cells, b.cells)
    np.testing.assert_array_equal(a.query(at), b.query(items))
    assert at.index.shape == (3, 2)
    np.testing.assert_array_equal(at.items, items)


def test_rows_and_signs_differ():
    at = CountSketchTable(3, 64, rng(2), like=np).places(np.arange(400))
    assert [int(index.min() // 128) for index in at.index] == [0, 1, 2]
    assert [int(index.max() // 128) for index in at.index] == [0, 1, 2]
    assert np.abs(np.corrcoef(at.index % 2)[0, 1:]).max() < 0.2
    assert np.abs(np.corrcoef(at.index // 2)[0, 1:]).max() < 0.2


def test_top_k():
    table = CountSketchTable(9, 64, rng(), like=np)
    x = rng(1).choice([-1.0, 1.0], 200)
    x[[5, 50, 150]] = [40, -90, 60]
    items = np.arange(200)
    table.update(items, x)
    found, values = table.top_k(3, items)
    assert found.tolist() == [50, 150, 5]
    np.testing.assert_array_equal(values, table.query(found))
    assert [v.shape for v in table.top_k(0, items)] == [(0,), (0,)]
    some, _ = table.top_k(1, np.array([7, 5, 9]))
    assert some.tolist() == [5]  # among those asked for
    assert table.top_k(200, items)[0].shape == (200,)


def test_queries_err_as_the_theorem_says():
    """One row: an error of at most sqrt(3/w) ||x|| with probability 2/3; unbiased; variance ||x||²/w."""
    n, width = 400, 25
    x = rng(3).normal(size=n)
    items, errors = np.arange(n), []
    state = rng(4)
    for _ in range(150):
        table = CountSketchTable(1, width, state, like=np)
        table.update(items, x)
        errors.append(table.query(items[:20]) - x[:20])
    errors = np.array(errors)
    size = np.linalg.norm(x)
    assert np.mean(np.abs(errors) > math.sqrt(3 / width) * size) < 1 / 3
    assert abs(errors.mean()) < 5 * errors.std() / math.sqrt(errors.size)
    assert errors.var() == pytest.approx(size**2 / width, rel=0.15)


def test_more_rows_err_less_often():
    n, width, x = 2000, 30, np.ones(2000)
    typical = []
    for rows in (1, 9):
        table = CountSketchTable(rows, width, rng(5), like=np)
        table.update(np.arange(n), x)
        typical.append(np.std(table.query(np.arange(n)) - 1))
    assert typical[1] < 0.6 * typical[0]  # the median of nine: 1.25 / 3 of one


# -- kinds of arrays -----------------------------------------------------------------------------------------


def test_on_every_library(xp):
    values = xp.asarray([1.0, -2.0, 4.0])
    items = xp.asarray([3, 8, 3])
    table = CountSketchTable(3, 4, rng(1), like=values)
    table.update(items, values)
    slow = Slow(3, 4, 1)
    slow.update([3, 8, 3], [1.0, -2.0, 4.0])
    np.testing.assert_array_equal(to_host(table.cells), slow.cells)
    assert to_host(table.query(items)).tolist() == [slow.query(i) for i in (3, 8, 3)]
    found, estimates = table.top_k(1, xp.asarray([8, 3]))
    assert (found.dtype, estimates.dtype) == (xp.int64, xp.float64)
    x = xp.asarray(np.linspace(-1, 2, 12))
    tables = [CountSketchTable(3, 4, rng(s), like=x) for s in range(3)]
    got = lp_norm_estimate(x, 3, tables, rng(1), subtract=(xp.asarray([11]), xp.asarray([2.0])))
    assert (got.dtype, got.shape) == (xp.float64, ())
    y = np.linspace(-1, 2, 12)
    host = [CountSketchTable(3, 4, rng(s), like=y) for s in range(3)]
    expected = lp_norm_estimate(y, 3, host, rng(1), subtract=(np.array([11]), np.array([2.0])))
    assert float(got) == pytest.approx(float(expected), rel=1e-13)


def test_single_precision():
    x = np.ones(10, dtype=np.float32)
    table = CountSketchTable(3, 4, rng(), like=x)
    table.update(np.arange(10), x)
    assert table.cells.dtype == table.query(np.arange(3)).dtype == np.float32
    assert lp_norm_estimate(x, 3, [table], rng()).dtype == np.float32


def test_counts():
    def run(x, items):
        tables = [CountSketchTable(3, 5, rng(i), like=x) for i in range(2)]
        tables[0].update(items, x)
        tables[0].top_k(2, items)
        lp_norm_estimate(x, 3, tables, rng())

    with count() as with_data:
        run(counted(np.ones(20)), counted(np.arange(20)))
    with count() as without:
        run(shape_only(20), shape_only(20, dtype="int64"))
    assert with_data.numbers() == without.numbers()


def test_an_update_touches_one_cell_a_row():
    x, items = shape_only(20), shape_only(20, dtype="int64")
    table = CountSketchTable(3, 5, rng(), like=x)
    at = table.places(items)
    with count() as costs:
        table.update(at, x)
    assert costs.arithmetic == 3 * 20 + 3 * 5 + 3 * 5  # additions, their signs, and the cells of the table


# -- norms -----------------------------------------------------------------------------------------------


def slow_estimate(x, p, width, rows, seeds, seed):
    """By loops, from the same draws."""
    state, largest = rng(seed), []
    for s in seeds:
        scale = state.standard_exponential(len(x)) ** (-1 / p)
        slow = Slow(rows, width, s)
        slow.update(range(len(x)), (x * scale).tolist())
        largest.append(max(abs(slow.query(i)) for i in range(len(x))))
    return statistics.median(largest) * math.log(2) ** (1 / p)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 15), st.sampled_from([1, 2.5, 3, 5]), st.integers(1, 4), st.integers(0, 10**6))
def test_estimate_against_loops(n, p, count_of_tables, seed):
    x = rng(seed).normal(size=n)
    tables = [CountSketchTable(3, 6, rng(s), like=x) for s in range(count_of_tables)]
    expected = slow_estimate(x, p, 6, 3, range(count_of_tables), seed + 1)
    assert lp_norm_estimate(x, p, tables, rng(seed + 1)) == pytest.approx(expected, rel=1e-12)


def test_what_is_subtracted_need_not_have_been_there():
    x = rng(1).normal(size=30)
    tables = [CountSketchTable(3, 8, rng(s), like=x) for s in range(5)]
    at, y = np.array([4, 20, 7]), np.array([3.0, -2.0, 10.0])
    less = x.copy()
    less[at] -= y
    expected = lp_norm_estimate(less, 3, tables, rng(2))
    assert lp_norm_estimate(x, 3, tables, rng(2), subtract=(at, y)) == pytest.approx(expected, rel=1e-12)
    assert lp_norm_estimate(x, 3, tables, rng(2)) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("p", [1, 2, 3, 6])
def test_the_largest_scaled_entry_has_the_law_of_the_norm(p):
    """Tables so wide that nothing collides: max|x_i|^p / E_i is ||x||_p^p over an exponential variable."""
    x = np.array([1.0, -2.0, 0.5, 3.0, 0.0])
    state = rng(6)
    draws = []
    for _ in range(400):
        table = CountSketchTable(1, 10**4, state, like=x)
        draws.append(float(lp_norm_estimate(x, p, [table], state)) / math.log(2) ** (1 / p))
    norm = np.sum(np.abs(x) ** p)
    assert stats.kstest(norm / np.array(draws) ** p, "expon").pvalue > 1e-4


def test_the_median_is_near_the_norm():
    x = rng(7).normal(size=300)
    state = rng(8)
    tables = [CountSketchTable(5, 300, state, like=x) for _ in range(101)]
    got = lp_norm_estimate(x, 3, tables, state)
    assert got == pytest.approx(np.linalg.norm(x, 3), rel=0.15)


def test_tables_are_not_filled():
    x = np.ones(6)
    table = CountSketchTable(3, 4, rng(), like=x)
    table.update(np.arange(6), x)
    before = table.cells.copy()
    first = lp_norm_estimate(x, 3, [table], rng(1))
    np.testing.assert_array_equal(table.cells, before)
    assert lp_norm_estimate(x, 3, [table.empty()], rng(1)) == first


def test_zero_and_one_entry():
    table = CountSketchTable(3, 4, rng(), like=np)
    assert lp_norm_estimate(np.zeros(5), 3, [table], rng()) == 0
    scale = rng(2).standard_exponential(1)[0] ** (-1 / 3)
    expected = 7 * scale * math.log(2) ** (1 / 3)
    assert lp_norm_estimate(np.array([-7.0]), 3, [table], rng(2)) == pytest.approx(expected, rel=1e-14)


# -- bad input -----------------------------------------------------------------------------------------------


def test_bad_tables():
    for name in ("rows", "width"):
        for bad in (0, -2, 1.5, True):
            with pytest.raises(ValueError, match=f"{name}=.*: expected an integer >= 1"):
                CountSketchTable(**{"rows": 3, "width": 4, name: bad}, rng=rng(), like=np)
    with pytest.raises(TypeError, match="rng=None: expected a NumPy random generator"):
        CountSketchTable(3, 4, None, like=np)
    with pytest.raises(TypeError, match="like of dtype int64: expected float32 or float64"):
        CountSketchTable(3, 4, rng(), like=np.arange(3))


def test_bad_items():
    table = CountSketchTable(3, 4, rng(), like=np)
    with pytest.raises(ValueError, match=r"items of shape \(1, 2\): expected one axis"):
        table.query(np.zeros((1, 2), dtype=int))
    with pytest.raises(TypeError, match="items of dtype float64: expected integers"):
        table.query(np.zeros(2))
    with pytest.raises(ValueError, match=r"items from -1 to 2: expected integers in"):
        table.update(np.array([-1, 2]), np.ones(2))
    for values in (np.ones(3), np.ones((2, 1)), np.ones(())):
        with pytest.raises(ValueError, match=r"values of shape .*: expected \(2,\), one for each item"):
            table.update(np.array([1, 2]), values)
    assert not table.cells.any()
    for k in (-1, 3):
        with pytest.raises(ValueError, match=r"k=.*: expected 0 <= k <= 2"):
            table.top_k(k, np.array([1, 2]))


def test_tables_with_other_hashes_do_not_mix():
    a, b = (CountSketchTable(3, 4, rng(1), like=np) for _ in range(2))
    for combine in (lambda: a + b, lambda: a - b):
        with pytest.raises(ValueError, match=r"other: expected a table with the same hashes, made by empty"):
            combine()


def test_bad_norms():
    x, tables = np.ones(4), [CountSketchTable(3, 4, rng(), like=np)]
    for bad in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"p=.*: expected a finite number > 0"):
            lp_norm_estimate(x, bad, tables, rng())
    for bad in (np.ones((2, 2)), np.ones(0), np.ones(())):
        with pytest.raises(ValueError, match=r"x of shape .*: expected one axis with an entry or more"):
            lp_norm_estimate(bad, 3, tables, rng())
    with pytest.raises(TypeError, match="x of dtype int64: expected real floating"):
        lp_norm_estimate(np.ones(4, dtype=int), 3, tables, rng())
    with pytest.raises(ValueError, match="tables: expected at least one"):
        lp_norm_estimate(x, 3, [], rng())
    with pytest.raises(ValueError, match=r"subtract of shapes \(2,\) and \(1,\): expected a value for each"):
        lp_norm_estimate(x, 3, tables, rng(), subtract=(np.array([0, 1]), np.array([1.0])))
