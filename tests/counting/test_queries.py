import threading

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.counting.queries import CountedOracle, QueryBudgetError
from touchstone.counting.shapes import shape_only
from touchstone.counting.tally import events
from touchstone.evidence.rules import ExponentAtMost
from touchstone.evidence.series import Series


def test_one_query_a_call_and_the_answer_unchanged():
    oracle = CountedOracle(lambda x, *, shift: x + shift)
    assert oracle(2, shift=3) == 5
    assert oracle(np.zeros((7, 7)), shift=0).shape == (7, 7)
    assert oracle.tally == {"queries": 2, "calls": 2}


@given(st.lists(st.integers(0, 5), max_size=4), st.integers(0, 3))
def test_batches_count_their_points(batch, ndim):
    oracle = CountedOracle(lambda x: x, "membership", point_ndim=ndim)
    points = np.zeros((*batch, *range(2, 2 + ndim)))
    assert oracle(points) is points
    assert oracle.tally == {"membership": int(np.prod(batch, dtype=int)), "calls": 1}


def test_points_of_every_kind():
    scalar = CountedOracle(lambda i: i, point_ndim=0)
    scalar(3)
    scalar([1, 2, 3])
    scalar(np.float64(1))
    assert scalar.tally == {"queries": 5, "calls": 3}
    vector = CountedOracle(lambda x: x, point_ndim=1)
    vector(array_api_strict.zeros((4, 2)))
    vector(shape_only(10**30, 2))
    assert vector.tally["queries"] == 10**30 + 4
    with pytest.raises(ValueError, match=r"shape \(\): expected at least 1 axes"):
        vector(1.0)
    with pytest.raises(ValueError, match="first"):
        vector()
    assert vector.tally["calls"] == 2


def test_pairs():
    oracle = CountedOracle(
        lambda X, Y: X @ Y.T, "kernel evaluations", queries=lambda X, Y: X.shape[0] * Y.shape[0]
    )
    oracle(np.ones((3, 2)), np.ones((5, 2)))
    assert oracle.tally == {"kernel evaluations": 15, "calls": 1}
    with pytest.raises(ValueError, match="queries=-1"):
        CountedOracle(lambda x: x, queries=lambda x: -1)(0)


@given(st.lists(st.integers(-3, 3), max_size=30))
def test_distinct_points(values):
    oracle = CountedOracle(lambda x: x, point_ndim=0, distinct=True)
    half = len(values) // 2
    oracle(np.array(values[:half], dtype=float))
    for value in values[half:]:
        oracle(float(value))
    assert oracle.tally["queries"] == len(values)
    assert oracle.tally["distinct queries"] == len(set(values))


def test_minus_zero_is_zero_and_vectors_are_whole_points():
    oracle = CountedOracle(lambda x: x, point_ndim=1, distinct=True)
    oracle(np.array([[0.0, 1.0], [-0.0, 1.0], [1.0, 0.0]]))
    oracle(np.array([1.0, 0.0]))
    oracle(np.zeros((0, 2)))
    assert oracle.tally == {"queries": 4, "calls": 3, "distinct queries": 2}
    oracle.reset()
    assert oracle.tally == {"queries": 0, "calls": 0, "distinct queries": 0}
    oracle(np.array([1.0, 0.0]))
    assert oracle.tally["distinct queries"] == 1


def test_budget():
    asked = []
    oracle = CountedOracle(asked.append, point_ndim=0, budget=5)
    oracle([1, 2, 3])
    with pytest.raises(QueryBudgetError, match=r"3 \+ 3 queries: expected at most 5"):
        oracle([4, 5, 6])
    oracle([4, 5])
    with pytest.raises(QueryBudgetError):
        oracle.spend(1)
    assert asked == [[1, 2, 3], [4, 5]]
    assert oracle.tally == {"queries": 5, "calls": 2}


def test_simulated_queries_and_oracles_that_fail():
    oracle = CountedOracle(lambda x: 1 / x)
    oracle.spend(2**70)
    with pytest.raises(ZeroDivisionError):
        oracle(0)
    assert oracle.tally == {"queries": 2**70 + 1, "calls": 1}
    for bad in (-1, 1.5, True):
        with pytest.raises(ValueError, match="queries"):
            oracle.spend(bad)


def test_threads_are_counted_exactly():
    oracle = CountedOracle(lambda x: x, point_ndim=0, distinct=True)
    threads = [threading.Thread(target=lambda: [oracle(i) for i in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert oracle.tally == {"queries": 4000, "calls": 4000, "distinct queries": 500}


def test_counts_feed_the_scaling_rule():
    """Binary against linear search for a threshold, judged by one rule."""
    sizes = [2**k for k in range(6, 16)]
    binary, linear = [], []
    for n in sizes:
        below = CountedOracle(lambda i, n=n: i < n - 1)
        low, high = 0, n
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if below(middle) else (low, middle)
        binary.append(below)
        below = CountedOracle(lambda i, n=n: i < n - 1, point_ndim=0)
        below(np.arange(n))
        linear.append(below)
    rule = ExponentAtMost(0, slack=0.3, why="a logarithm has a local slope below 1/ln(n)")
    assert events(binary, "queries") == list(range(6, 16))
    assert rule.judge(Series(sizes, events(binary, "queries"))).outcome == "accepts"
    assert rule.judge(Series(sizes, events(linear, "queries"))).outcome == "rejects"


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"name": ""}, "name"),
        ({"name": "calls"}, "name"),
        ({"point_ndim": -1}, "point_ndim"),
        ({"point_ndim": 0, "queries": len}, "at most one"),
        ({"distinct": True}, "point_ndim"),
        ({"budget": -1}, "budget"),
    ],
)
def test_bad_settings(keywords, message):
    with pytest.raises(ValueError, match=message):
        CountedOracle(abs, **keywords)


def test_an_oracle_is_a_function():
    with pytest.raises(ValueError, match="callable"):
        CountedOracle(3)
