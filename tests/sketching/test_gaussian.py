"""The Gaussian sketch against its matrix, and what it costs."""

import math

import numpy as np
import pytest
from scipy import stats

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.sketching.gaussian import gaussian_sketch


def test_entries_are_the_normal_ones_in_order(xp):
    expected = np.random.default_rng(3).standard_normal((5, 7)) / math.sqrt(5)
    S = gaussian_sketch(5, 7, np.random.default_rng(3), like=xp)
    np.testing.assert_array_equal(to_host(S.columns(range(7))), expected)


def test_distribution_of_entries():
    entries = math.sqrt(50) * gaussian_sketch(50, 400, np.random.default_rng(0), like=np).columns(range(400))
    # a right sampler fails one seed in a million
    assert stats.kstest(entries.ravel(), "norm").pvalue > 1e-6


@pytest.mark.parametrize("make", [shape_only, lambda *s: counted(np.ones(s))])
def test_counts(make):
    m, n, c, k = 5, 11, 3, 2
    with count() as costs:
        with costs.phase("draw") as draw:
            S = gaussian_sketch(m, n, np.random.default_rng(0), like=make(1))
        with costs.phase("apply") as apply:
            S @ make(n, c)
        with costs.phase("transpose") as transpose:
            S.T @ make(m, c)
        with costs.phase("columns") as columns:
            S.columns([0] * k)
    assert (draw.moves, draw.operations) == (m * n, 0)
    for phase, product in ((apply, (m, n, c, 1)), (transpose, (n, m, c, 1))):
        assert phase.multiply_adds == phase.operations == m * n * c
        assert phase.products == [product]
        assert phase.moves == 0
    assert (columns.moves, columns.operations) == (m * k + k, 0)  # the last k are the indices


def test_counts_of_sparse_rows():
    n, k, d, m = 13, 2, 6, 5
    A = SparseRows(counted(np.zeros((n, k), dtype=int)), counted(np.ones((n, k))), d)
    S = gaussian_sketch(m, n, np.random.default_rng(0), like=A.values)
    with count() as costs:
        S @ A
    # m for each stored entry, as products and as sums
    assert costs.multiply_adds + costs.arithmetic == 2 * n * k * m
