"""Counting costs less than twice NumPy on large arrays, and microseconds on small ones."""

import time

import numpy as np
import pytest

import touchstone.counting.namespace as xp
from touchstone.counting.array import count, counted

LARGE = np.random.default_rng(0).uniform(0.5, 1.5, (1000, 1000))
SQUARE = LARGE[:500, :500].copy()
SMALL = np.ones(3)


def fastest(f, runs):
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        f()
        best = min(best, time.perf_counter() - start)
    return best


CASES = {
    "sum of arrays": (lambda x: x + x, LARGE),
    "product by a scalar": (lambda x: x * 2.0, LARGE),
    "exp": (lambda x: xp.exp(x) if not isinstance(x, np.ndarray) else np.exp(x), LARGE),
    "row sums": (lambda x: xp.sum(x, axis=1) if not isinstance(x, np.ndarray) else x.sum(axis=1), LARGE),
    "matrix product": (lambda x: x @ x, SQUARE),
}


@pytest.mark.parametrize("name", CASES)
def test_large_arrays_cost_less_than_twice_numpy(name):
    f, host = CASES[name]
    x = counted(host)
    ratios = []
    with count():
        for _ in range(5):  # the fastest of several runs each, side by side; the best ratio of five
            ratios.append(fastest(lambda: f(x), 7) / fastest(lambda: f(host), 7))
            if ratios[-1] < 2:
                return
    pytest.fail(f"{name}: never below twice NumPy, ratios {ratios}")


def test_bookkeeping_is_microseconds():
    x = counted(SMALL)
    with count():
        seconds = min(fastest(lambda: [x + x for _ in range(500)], 20), 1.0) / 500
    # about 3 microseconds on an idle core: 50 leaves room for a busy one and still catches a blunder
    assert seconds < 50e-6
