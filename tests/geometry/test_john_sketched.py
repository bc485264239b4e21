"""One sketched round: its mean, its spread, its sizes, and its exact cost."""

import math

import numpy as np
import pytest

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.geometry.john_ellipsoid import squared_widths
from touchstone.geometry.john_sketched import SketchSizes, sketch_sizes, sketched_scores
from touchstone.linalg.sparse_rows import SparseRows

A = stream(0, "sketched").standard_normal((60, 3))
W = stream(0, "weights").uniform(0.01, 0.2, 60)
GENEROUS = SketchSizes(embedded=60, columns=40, sampled=4000, directions=40)


def test_sizes_are_their_formulas():
    assert sketch_sizes(200, 4, 0.25, 0.05) == (23, 67, 310, 16)
    n, d = 2**24, 512
    expected = (
        math.ceil(4 * d * math.log(d)),
        math.ceil(8 * math.log(n / 0.1)),
        math.ceil(8 * d * math.log(n * d / 0.1)),
        400,
    )
    assert sketch_sizes(n, d, 0.01, 0.1) == expected
    assert sketch_sizes(7, 1, 0.5, 0.5).embedded == 4  # ln 1 = 0
    assert sketch_sizes(7, 2, 0.5, 0.5).embedded == 8


def test_the_estimate_has_the_right_mean_and_spread():
    exact = W * squared_widths(A, W)
    draws = np.array([sketched_scores(A, W, GENEROUS, stream(0, "draw", i)) for i in range(300)])
    ratio = draws / exact
    # relative error of one draw: χ²_40 / 40 and a sample of 4000 rows, √(2/40 + ~3/4000·3) = 0.23
    assert np.all(np.abs(ratio.mean(axis=0) - 1) < 5 * 0.23 / math.sqrt(300))
    assert np.all(np.abs(ratio.std(axis=0) - math.sqrt(2 / 40)) < 0.06)
    assert np.all(draws > 0)


def test_few_directions_scatter_and_few_samples_lean():
    exact = W * squared_widths(A, W)
    one = GENEROUS._replace(directions=1)
    spread = np.std([sketched_scores(A, W, one, stream(0, "one", i)) / exact for i in range(300)])
    assert spread == pytest.approx(math.sqrt(2), abs=0.2)
    few = GENEROUS._replace(sampled=8, directions=400)
    lean = np.mean([sketched_scores(A, W, few, stream(0, "few", i)) / exact for i in range(200)])
    assert lean > 1.2  # the inverse of a small sample is too large in the mean


def test_sparse_rows_give_what_dense_ones_do():
    sparse = SparseRows(np.tile(np.arange(3), (60, 1)), A, 3)
    dense = sketched_scores(A, W, GENEROUS, stream(0, "same"))
    np.testing.assert_allclose(sketched_scores(sparse, W, GENEROUS, stream(0, "same")), dense, rtol=1e-8)


def test_on_every_library(xp):
    found = sketched_scores(xp.asarray(A), xp.asarray(W), GENEROUS, stream(0, "library"))
    expected = sketched_scores(A, W, GENEROUS, stream(0, "library"))
    np.testing.assert_allclose(to_host(found), expected, rtol=1e-8)


def test_counts_are_those_of_the_shapes():
    tallies = []
    for make in (counted, lambda x: shape_only(*x.shape)):
        with count() as costs:
            sketched_scores(make(A), make(W), GENEROUS, stream(0, "count"))
        tallies.append(costs.multiply_adds)
    assert tallies[0] == tallies[1]


def test_the_three_passes_over_the_rows_are_all_that_grows_with_n():
    d, sizes = 16, sketch_sizes(2**16, 16, 0.25, 0.05)

    def cost(n):
        with count() as costs:
            sketched_scores(shape_only(n, d), shape_only(n), sizes, stream(0, "cost"))
        return costs.multiply_adds

    # embedding, probabilities (with their q squares), norms
    expected = d * (4 + sizes.columns + sizes.directions) + sizes.columns
    assert cost(2**17) - cost(2**16) == 2**16 * expected


def test_bad_sizes():
    for n, d in ((3, 4), (3, 0)):
        with pytest.raises(ValueError, match=r"expected n >= d >= 1"):
            sketch_sizes(n, d, 0.1, 0.1)
    for bad in (0.0, 1.0, -0.5, math.nan):
        with pytest.raises(ValueError, match=r"^xi=.*expected a number in \(0, 1\)"):
            sketch_sizes(9, 2, bad, 0.1)
        with pytest.raises(ValueError, match=r"^delta=.*expected a number in \(0, 1\)"):
            sketch_sizes(9, 2, 0.1, bad)
