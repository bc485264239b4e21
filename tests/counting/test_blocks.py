"""Row blocks: the executed and the multiplied run agree in every tally, bytes included."""

import numpy as np
import pytest

from touchstone import arrays
from touchstone.counting.array import CountingError, Product, count, counted
from touchstone.counting.shapes import shape_only

RNG = np.random.default_rng(5)


def gram(x):
    return x.T @ x


def softmax_rows(x):
    xp = arrays.namespace(x)
    e = xp.exp(x - xp.max(x, axis=1, keepdims=True))
    return e / xp.sum(e, axis=1, keepdims=True)


def two(x):
    return x @ x.T @ x, x[:, 0] * 2.0


def moments(x):
    xp = arrays.namespace(x)
    return xp.sum(x, axis=0), gram(x)


CASES = [
    (gram, "sum"),
    (moments, "sum"),
    (softmax_rows, "concatenate"),
    (two, "concatenate"),
    (lambda x: x, "concatenate"),
    (lambda x: x[0, :], "sum"),
]


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize(("n", "block"), [(1, 1), (7, 7), (7, 3), (9, 3), (2, 1), (40, 6), (5, 100)])
def test_without_data_every_tally_is_that_of_the_executed_run(case, n, block):
    f, reduce = CASES[case]
    host = RNG.standard_normal((n, 4))
    costs = []
    for x in (counted(host), shape_only(n, 4)):
        with count() as c:
            with c.phase("blocks"):
                result = arrays.map_rows(f, x, block=block, reduce=reduce)
            costs.append((c.numbers(), c.products, c.phases["blocks"].numbers(), c.phases["blocks"].products))
        if x.has_data:
            plain = arrays.map_rows(f, host, block=block, reduce=reduce)
            for a, b in zip(
                result if isinstance(result, tuple) else (result,),
                plain if isinstance(plain, tuple) else (plain,),
                strict=True,
            ):
                np.testing.assert_array_equal(arrays.to_host(a), b)
        del result
    assert costs[0] == costs[1]


def test_costs_by_hand():
    with count() as costs:
        arrays.map_rows(gram, shape_only(10, 2), block=4, reduce="sum")
    assert costs.multiply_adds == 40
    assert costs.arithmetic == 8  # two additions of 2 x 2 matrices
    assert costs.products == [Product(2, 4, 2, 2), Product(2, 2, 2, 1)]
    assert costs.bytes_peak == 3 * 32  # the sum so far, a block's matrix and the new sum
    with count() as costs:
        arrays.map_rows(lambda x: x * 2.0, shape_only(10, 2), block=4)
    assert (costs.arithmetic, costs.moves) == (20, 20)
    assert costs.bytes_peak == 160 + 64  # the output, and one block


def test_ten_to_the_ninety_blocks():
    n = 64 * 10**90 + 5
    with count() as costs:
        out = arrays.map_rows(lambda x, y: x @ y.T @ y, shape_only(n, 3), shape_only(n, 3), block=64)
    assert out.shape == (n, 3)
    assert costs.multiply_adds == 2 * 3 * (64 * 64 * 10**90 + 25)
    assert costs.products[0] == Product(64, 3, 64, 10**90)
    assert costs.moves == 3 * n
    assert costs.bytes_peak == 24 * n + 8 * (64 * 64 + 64 * 3)


def test_f_runs_a_few_times_only():
    calls = []
    arrays.map_rows(lambda x: calls.append(x.shape[0]) or x, shape_only(10**30 + 1, 2), block=10)
    assert calls == [10, 10, 10, 1]


def test_blocks_that_keep_arrays_alive_are_refused():
    kept = []

    def keeps(x):
        kept.append(x + 1)
        return x

    with count(), pytest.raises(CountingError, match="alive"):
        arrays.map_rows(keeps, shape_only(100, 2), block=10)


def test_no_rows():
    for x in (counted(np.ones((0, 3))), shape_only(0, 3)):
        with count() as costs:
            out = arrays.map_rows(lambda b: b * 2.0, x, block=4)
        assert out.shape == (0, 3)
        assert costs.operations == 0
