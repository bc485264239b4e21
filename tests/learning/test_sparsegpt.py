"""SparseGPT against optimal brain surgery column by column, SciPy's least squares, and exact counts."""

import math

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.prices import cholesky, inverse, sort
from touchstone.counting.shapes import shape_only
from touchstone.learning import sparsegpt as module
from touchstone.learning.sparsegpt import (
    halvings,
    inverse_factor,
    magnitude_mask,
    masked_least_squares,
    prune_columns,
    sparsegpt,
    update_shapes,
)


def layer(m, d, N, seed=0):
    rng = stream(seed, "layer", m, d, N)
    mixing = np.eye(d) + 2 * rng.standard_normal((d, d)) / math.sqrt(d)
    return rng.standard_normal((m, d)), mixing @ rng.standard_normal((d, N))


def damped(X, damping):
    H = X @ X.T
    return H + damping * np.mean(np.diag(H)) * np.eye(len(H))


def by_elimination(W, H, mask_block, fraction, mask=None):
    """One column at a time: the inverse of what is left of H, from scratch; masks by a stable argsort."""
    W = W.copy()
    m, d = W.shape
    kept = np.ones((m, d), dtype=bool) if mask is None else mask
    for j in range(d):
        if mask is None and j % mask_block == 0:
            after = min(j + mask_block, d)
            # U_cc² is the leading entry of the inverse of H without the columns before c
            diagonal = [np.linalg.inv(H[c:, c:])[0, 0] for c in range(j, after)]
            scores = (W[:, j:after] ** 2 / diagonal).T.ravel()
            dropped = np.argsort(scores, kind="stable")[: int(fraction * scores.size)]
            chosen = np.ones(scores.size, dtype=bool)
            chosen[dropped] = False
            kept[:, j:after] = chosen.reshape(after - j, m).T
        row = np.linalg.inv(H[j:, j:])[0]
        W[:, j:] -= np.outer(np.where(kept[:, j], 0, W[:, j] / row[0]), row)
    return np.where(kept, W, 0), kept


# block, mask block: one divides the other
LEGAL = [
    (1, 4),
    (4, 4),
    (8, 4),
    (4, 8),
    (2, 8),
    (16, 4),
    (64, 4),
    ((8, 4), 4),
    ((8, 2), 4),
    ((8, 4, 2, 1), 1),
]


@pytest.mark.parametrize(("block", "mask_block"), LEGAL)
@pytest.mark.parametrize(("m", "d"), [(16, 16), (5, 24), (24, 13), (1, 9)])
def test_equals_elimination_column_by_column(block, mask_block, m, d):
    W, X = layer(m, d, 2 * d)
    expected, kept = by_elimination(W, damped(X, 0.01), mask_block, 0.5)
    pruned, mask = sparsegpt(W, X, block, mask_block, 0.5, 0.01)
    assert np.array_equal(mask, kept)
    np.testing.assert_allclose(pruned, expected, rtol=0, atol=1e-10 * np.max(np.abs(W)))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 17),
    st.integers(1, 20),
    st.lists(st.integers(1, 3), min_size=1, max_size=3),
    st.sampled_from([1, 2, 3, 1 / 2, 1 / 3]),
    st.sampled_from([0.0, 0.29, 0.5, 0.8, 1.0]),
)
def test_blocks_do_not_matter(m, d, N, factors, relative, fraction):
    block = tuple(math.prod(factors[i:]) * 6 for i in range(len(factors)) if i == 0 or factors[i - 1] > 1)
    mask_block = max(1, int(block[-1] * relative))
    if any(mask_block % width and width % mask_block for width in block):
        mask_block = block[-1]
    W, X = layer(m, d, N)
    expected, kept = by_elimination(W, damped(X, 0.1), mask_block, fraction)
    pruned, mask = sparsegpt(W, X, block, mask_block, fraction, 0.1)
    assert np.array_equal(mask, kept)
    np.testing.assert_allclose(pruned, expected, rtol=0, atol=1e-9 * np.max(np.abs(W)))
    for first in range(0, d, mask_block):
        entries = mask[:, first : first + mask_block]
        assert np.sum(~entries) == int(fraction * entries.size)


def test_on_every_library(xp):
    W, X = layer(6, 10, 12)
    given_mask = stream(1, "mask").random((6, 10)) < 0.5
    arrays = [xp.asarray(x) for x in (W, X)]
    for keywords in ({}, {"mask": given_mask}):
        expected, kept = sparsegpt(W, X, (4, 2), 2, 0.3, 0.02, **keywords)
        placed = {name: xp.asarray(x) for name, x in keywords.items()}
        pruned, mask = sparsegpt(*arrays, (4, 2), 2, 0.3, 0.02, **placed)
        assert type(pruned) is type(arrays[0])
        np.testing.assert_allclose(to_host(pruned), expected, rtol=1e-12, atol=1e-12)
        assert np.array_equal(to_host(mask), kept)
    W, X, mask = arrays[0], arrays[1], xp.asarray(given_mask)
    assert np.array_equal(to_host(magnitude_mask(W, 0.4)), magnitude_mask(to_host(W), 0.4))
    found = masked_least_squares(W, X, mask, 0.02)
    expected = masked_least_squares(to_host(W), to_host(X), given_mask, 0.02)
    np.testing.assert_allclose(to_host(found), expected, rtol=1e-10, atol=1e-12)


def test_a_given_mask_is_followed_and_the_rest_ignored():
    W, X = layer(7, 12, 30)
    mask = stream(2, "mask").random(W.shape) < 0.6
    expected, _ = by_elimination(W, damped(X, 0.01), None, None, mask)
    # a mask block and a fraction that would be refused
    pruned, kept = sparsegpt(W, X, (6, 3), 5, 2.0, mask=mask)
    assert np.array_equal(kept, mask)
    np.testing.assert_allclose(pruned, expected, rtol=0, atol=1e-11)
    assert np.all(pruned[~mask] == 0)


def test_nothing_dropped_and_everything_dropped():
    W, X = layer(4, 6, 9)
    pruned, mask = sparsegpt(W, X, 2, 2, 0.0)
    assert np.array_equal(pruned, W)
    assert np.all(mask)
    pruned, mask = sparsegpt(W, X, 2, 2, 1.0)
    assert not np.any(mask)
    assert np.all(pruned == 0)


def test_one_column_and_one_row():
    W, X = np.array([[3.0], [-1.0], [2.0]]), np.array([[2.0, 1.0]])
    pruned, mask = sparsegpt(W, X, 1, 1, 0.5)
    assert np.array_equal(pruned, [[3.0], [0.0], [2.0]])  # one of three
    assert np.array_equal(mask[:, 0], [True, False, True])
    np.testing.assert_allclose(inverse_factor(X, 0.01), [[1 / math.sqrt(5.05)]], rtol=1e-14)
    pruned, _ = sparsegpt(np.array([[1.0, 10.0]]), np.eye(2), 2, 2, 0.5)
    np.testing.assert_allclose(pruned, [[0.0, 10.0]])


def test_ties_are_dropped_in_order():
    # no correlations and equal scores: nothing moves, and the order alone decides
    W, X = np.ones((2, 4)), np.eye(4)
    _, mask = sparsegpt(W, X, 2, 4, 3 / 8, 0.0)
    assert np.array_equal(mask, [[False, False, True, True], [False, True, True, True]])
    W[0, 0] = 2.0  # now not the smallest
    _, mask = sparsegpt(W, X, 2, 4, 3 / 8, 0.0)
    assert np.array_equal(mask, [[True, False, True, True], [False, False, True, True]])
    W[1, 2] = 0.5  # before all equal ones
    _, mask = sparsegpt(W, X, 2, 4, 3 / 8, 0.0)
    assert np.array_equal(mask, [[True, False, True, True], [False, True, False, True]])
    assert np.array_equal(
        magnitude_mask(np.array([[1.0, -1.0], [1.0, -2.0]]), 0.5), [[False, False], [True, True]]
    )
    assert np.array_equal(magnitude_mask(np.array([0.0, -3.0, 1.0]), 1 / 3), [False, True, True])
    assert magnitude_mask(np.zeros((0, 3)), 0.5).shape == (0, 3)


@pytest.mark.parametrize(("fraction", "size", "dropped"), [(0.29, 100, 29), (0.5, 9, 4), (1 / 3, 9, 3)])
def test_the_number_dropped_is_that_of_the_decimal(fraction, size, dropped):
    values = stream(3, "values").standard_normal(size)
    mask = magnitude_mask(values, fraction)
    assert np.sum(~mask) == dropped
    assert np.max(np.abs(values[~mask])) <= np.min(np.abs(values[mask]))


def test_scores_weigh_by_the_input():
    # the first column hardly matters: its larger weights go first
    W, X = np.array([[3.0, 1.0], [4.0, 2.0]]), np.diag([0.1, 1.0])
    _, mask = sparsegpt(W, X, 2, 2, 0.5, 0.0)
    assert np.array_equal(mask, [[False, True], [False, True]])


# -- the factor ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [0.0, 0.01, 2.0])
@pytest.mark.parametrize(("d", "N"), [(1, 3), (5, 9), (30, 30)])
def test_factor_of_the_inverse(d, N, damping):
    _, X = layer(1, d, N)
    U = inverse_factor(X, damping)
    H = damped(X, damping)
    assert np.array_equal(U, np.triu(U))
    assert np.all(np.diag(U) > 0)
    tolerance = 10 * d * 2.0**-53 * np.linalg.cond(H)
    np.testing.assert_allclose(U.T @ U @ H, np.eye(d), rtol=0, atol=tolerance)


@pytest.mark.parametrize("size", [1e-200, 1.0, 1e200])
def test_the_size_of_inputs_and_weights_does_not_matter(size):
    W, X = layer(6, 8, 20)
    expected, kept = sparsegpt(W, X, 4, 2)
    pruned, mask = sparsegpt(W, size * X, 4, 2)
    assert np.array_equal(mask, kept)
    np.testing.assert_allclose(pruned, expected, rtol=1e-10, atol=1e-12)
    pruned, mask = sparsegpt(size * W, X, 4, 2)
    assert np.array_equal(mask, kept)
    np.testing.assert_allclose(pruned / size, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(inverse_factor(size * X) * size, inverse_factor(X), rtol=1e-12)
    weights = masked_least_squares(W, size * X, kept)
    np.testing.assert_allclose(weights, masked_least_squares(W, X, kept), rtol=1e-9, atol=1e-12)


def test_inputs_of_low_rank_need_damping():
    W, X = layer(4, 12, 5)
    for call in (sparsegpt, lambda *arguments: masked_least_squares(*arguments[:2], W > 0, 0.0)):
        with pytest.raises(ValueError, match=r"damping=0\.0.*singular"):
            call(W, X, 4, 4, 0.5, 0.0)
    expected, kept = by_elimination(W, damped(X, 0.01), 4, 0.5)
    pruned, mask = sparsegpt(W, X, 4, 4, 0.5, 0.01)
    assert np.array_equal(mask, kept)
    np.testing.assert_allclose(pruned, expected, rtol=0, atol=1e-9)
    with pytest.raises(ValueError, match="singular"):
        inverse_factor(np.zeros((3, 4)), 1.0)
    # rounding leaves tiny positive pivots, so that Cholesky runs through
    twice = np.vstack([X[:5], X[:5] @ np.diag([1, 1, 1, 1, 1 + 1e-15])])
    with pytest.raises(ValueError, match="singular"):
        inverse_factor(twice, 0.0)


def test_the_limit_of_a_singular_matrix():
    spacing = 2.0**-52
    for pivot, regular in ((2.1 * spacing, True), (1.9 * spacing, False)):
        # two coordinates: the limit is 2 spacings, relative to the largest entry of the diagonal, 4
        X = np.tile(np.diag([1.0, math.sqrt(pivot)]), 4)
        if regular:
            inverse_factor(X, 0.0)
        else:
            with pytest.raises(ValueError, match="singular"):
                inverse_factor(X, 0.0)


def test_single_precision():
    W, X = layer(9, 16, 40)
    expected, kept = sparsegpt(W, X, 8, 4)
    pruned, mask = sparsegpt(W.astype("float32"), X.astype("float32"), 8, 4)
    assert pruned.dtype == np.float32
    assert np.array_equal(mask, kept)
    np.testing.assert_allclose(pruned, expected, rtol=0, atol=1e-4)


def test_a_lazy_product_is_subtracted_in_pieces(monkeypatch):
    W, X = layer(6, 20, 30)
    expected, kept = sparsegpt(W, X, 4, 4)
    for entries in (1, 13, 24):
        monkeypatch.setattr(module, "TEMPORARY_ENTRIES", entries)
        pruned, mask = sparsegpt(W, X, 4, 4)
        assert np.array_equal(mask, kept)
        np.testing.assert_allclose(pruned, expected, rtol=0, atol=1e-13)


def test_defaults():
    W, X = layer(3, 140, 200)
    U = inverse_factor(X, 0.01)
    assert np.array_equal(inverse_factor(X), U)
    expected, kept = prune_columns(W, U, 128, 128, 0.5)
    for pruned, mask in (prune_columns(W, U), sparsegpt(W, X)):
        assert np.array_equal(mask, kept)
        assert np.array_equal(pruned, expected)
    # least squares without damping
    assert np.array_equal(masked_least_squares(W, X, kept), masked_least_squares(W, X, kept, 0.0))
    assert not np.array_equal(masked_least_squares(W, X, kept), masked_least_squares(W, X, kept, 1e-3))


def test_arguments_are_not_changed():
    W, X = layer(5, 8, 9)
    mask = W > 0
    U = inverse_factor(X)
    copies = [x.copy() for x in (W, X, mask, U)]
    prune_columns(W, U, 4, mask=mask)
    sparsegpt(W, X, 4, 4)
    masked_least_squares(W, X, mask)
    assert all(np.array_equal(x, copy) for x, copy in zip((W, X, mask, U), copies, strict=True))


# -- rivals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_least_squares_on_a_mask_against_scipy(damping):
    W, X = layer(5, 7, 11)
    mask = stream(4, "mask").random(W.shape) < 0.5
    mask[0] = False
    mask[1] = True
    found = masked_least_squares(W, X, mask, damping)
    assert np.all(found[~mask] == 0)
    ridge = math.sqrt(damping * np.sum(X * X) / 7)
    rows = np.hstack([X, ridge * np.eye(7)])  # (d, N + d)
    for w, keep, row in zip(W, mask, found, strict=True):
        if not np.any(keep):
            continue
        solution = scipy.optimize.lsq_linear(rows[keep].T, rows.T @ w, tol=1e-14).x
        np.testing.assert_allclose(row[keep], solution, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found[1], W[1], rtol=0, atol=1e-12)


def test_least_squares_in_pieces(monkeypatch):
    W, X = layer(5, 7, 11)
    expected = masked_least_squares(W, X, W > 0)
    blocks, map_rows = [], module.map_rows

    def recorded(*arguments, block):
        blocks.append(block)
        return map_rows(*arguments, block=block)

    monkeypatch.setattr(module, "map_rows", recorded)
    for entries in (2 * 49 + 3, 1):
        monkeypatch.setattr(module, "SYSTEM_ENTRIES", entries)
        np.testing.assert_allclose(masked_least_squares(W, X, W > 0), expected, rtol=1e-13)
    assert blocks == [2, 1]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 8), st.integers(1, 12), st.integers(0, 50))
def test_no_pruned_weights_are_better_than_least_squares(m, d, seed):
    W, X = layer(m, d, 2 * d, seed)
    pruned, mask = sparsegpt(W, X, 4, 4, 0.5, 0.05)
    rows = np.hstack([X, math.sqrt(0.05 * np.sum(X * X) / d) * np.eye(d)])
    best = masked_least_squares(W, X, mask, 0.05)
    pruned_error, best_error = (np.linalg.norm((V - W) @ rows) for V in (pruned, best))
    assert best_error <= pruned_error * (1 + 1e-9) + 1e-12
    # and compensation is better than none
    assert pruned_error <= np.linalg.norm((np.where(mask, W, 0) - W) @ rows) * (1 + 1e-9) + 1e-12


# -- counts ----------------------------------------------------------------------------------------------


def tally(run, *arguments):
    with count() as costs:
        run(*arguments)
    return costs


@pytest.mark.parametrize("block", [1, 4, 6, 16, 64, (8, 4), (16, 8, 4, 2, 1), halvings(16), halvings(13)])
@pytest.mark.parametrize(("m", "d"), [(16, 16), (5, 13), (7, 1)])
def test_counts_are_those_of_the_formula_whatever_the_blocks(block, m, d):
    W, X = layer(m, d, d + 3)
    U = inverse_factor(X)
    mask_block = block[0] if isinstance(block, tuple) else block
    costs = tally(prune_columns, counted(W), counted(U), block, mask_block)
    shapes = tally(prune_columns, shape_only(m, d), shape_only(d, d), block, mask_block)
    assert costs.numbers() == shapes.numbers()
    assert costs.products == shapes.products
    assert costs.multiply_adds == m * d * (d + 1) // 2
    assert costs.transcendentals == 0

    # what the shapes say without a run
    lazy, innermost = update_shapes(m, d, block)
    listed = {}
    for r, b, rows, times in lazy:
        listed[r, b, rows] = listed.get((r, b, rows), 0) + times
    for length, times in innermost:
        for j in range(length):
            key = (length - j, 1, m)
            listed[key] = listed.get(key, 0) + times
    assert listed == {(p.m, p.k, p.n): p.count for p in costs.products}
    columns = sum(m * length * (length + 1) // 2 * times for length, times in innermost)
    assert sum(r * b * rows * times for r, b, rows, times in lazy) + columns == costs.multiply_adds
    assert sum(length * times for length, times in innermost) == d

    # a mask block divides and takes absolute values; where something is dropped it sorts, compares thrice,
    # combines thrice, and sums twice
    sizes = [m * min(mask_block, d - first) for first in range(0, d, mask_block)]
    drops = [size for size in sizes if size > 1]  # half of one value is none
    assert costs.comparisons == sum(sort(size) + 3 * size for size in drops) + 2 * m * d
    subtracted = sum(r * rows * times for r, _, rows, times in lazy) + columns
    selection = 2 * sum(sizes) + sum(5 * size - 1 for size in drops)
    assert costs.arithmetic == m * d + subtracted + selection


def test_counts_of_the_factor():
    d, N = 12, 20
    costs = tally(inverse_factor, counted(layer(1, d, N)[1]))
    shapes = tally(inverse_factor, shape_only(d, N))
    # the largest pivot and the largest entry of the diagonal are looked at only where there is data
    assert costs.multiply_adds == shapes.multiply_adds
    assert shapes.multiply_adds == d * d * N + cholesky(d)["multiply_adds"] + inverse(d)["multiply_adds"]
    assert costs.multiply_adds == shapes.multiply_adds


def test_shapes_of_a_long_layer():
    lazy, innermost = update_shapes(3, 10, 4)
    assert lazy == [(6, 4, 3, 1), (2, 4, 3, 1)]
    assert innermost == [(4, 2), (2, 1)]
    lazy, innermost = update_shapes(2**20, 2**20, halvings(2**20))
    assert lazy == [(2**k, 2**k, 2**20, 2 ** (19 - k)) for k in reversed(range(20))]
    assert innermost == [(1, 2**20)]


def test_halvings():
    assert halvings(16) == (8, 4, 2, 1)
    assert halvings(17, 4) == (16, 8, 4)
    assert halvings(16, 4) == (8, 4)
    assert halvings(3, 4) == (4,)
    assert halvings(1) == (1,)


# -- bad input -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"W": np.ones(4)}, ValueError, r"W of shape \(4,\)"),
        ({"W": np.ones((0, 4))}, ValueError, r"W of shape \(0, 4\)"),
        ({"W": np.ones((4, 4), dtype=int)}, TypeError, "W of dtype int64"),
        ({"W": np.full((4, 4), np.nan)}, ValueError, "W: expected finite"),
        ({"W": np.full((4, 4), -np.inf)}, ValueError, "W: expected finite"),
        ({"X": np.full((4, 4), np.inf)}, ValueError, "X: expected finite"),
        ({"X": np.ones((3, 4))}, ValueError, r"X of shape \(3, 4\): expected 4 rows"),
        ({"X": np.ones(4)}, ValueError, r"X of shape \(4,\)"),
        ({"X": np.eye(4, dtype="float32")}, TypeError, "X of dtype float32: expected float64"),
        ({"block": 0}, ValueError, "block=0"),
        ({"block": True}, ValueError, "block=True"),
        ({"block": 2.0}, (ValueError, TypeError), "float|block"),
        ({"block": ()}, ValueError, r"block=\(\)"),
        ({"block": (4, 4)}, ValueError, "falling widths"),
        ({"block": (6, 4)}, ValueError, "falling widths"),
        ({"block": (4, 0)}, ValueError, "expected an integer >= 1"),
        ({"mask_block": 3}, ValueError, "mask_block=3 and block width 2"),
        ({"block": (8, 4), "mask_block": 6}, ValueError, "mask_block=6 and block width 8"),
        ({"mask_block": 0}, ValueError, "mask_block=0"),
        ({"mask_block": True}, ValueError, "mask_block=True"),
        ({"mask_block": 2.0}, ValueError, r"mask_block=2\.0"),
        ({"fraction": -0.1}, ValueError, r"fraction=-0\.1"),
        ({"fraction": 1.1}, ValueError, r"fraction=1\.1"),
        ({"fraction": math.nan}, ValueError, "fraction=nan"),
        ({"damping": -1.0}, ValueError, r"damping=-1\.0"),
        ({"damping": math.inf}, ValueError, "damping=inf"),
        ({"mask": np.ones((4, 3), dtype=bool)}, ValueError, r"mask of shape \(4, 3\)"),
        ({"mask": np.ones((4, 4))}, ValueError, "mask of shape .* dtype float64"),
    ],
)
def test_bad_arguments(changes, error, says):
    arguments = {"W": np.ones((4, 4)), "X": np.eye(4), "block": 2, "mask_block": 2} | changes
    with pytest.raises(error, match=says):
        sparsegpt(**arguments)


def test_bad_arguments_of_the_others():
    W, X = np.ones((2, 3)), np.eye(3)
    with pytest.raises(ValueError, match=r"U of shape \(2, 2\): expected \(3, 3\)"):
        prune_columns(W, np.eye(2), 1, 1)
    with pytest.raises(TypeError, match="U of dtype float32: expected float64"):
        prune_columns(W, np.eye(3, dtype="float32"), 1, 1)
    with pytest.raises(ValueError, match="U: expected finite"):
        prune_columns(W, np.full((3, 3), np.nan), 1, 1)
    with pytest.raises(ValueError, match="W: expected finite"):
        prune_columns(W * np.inf, np.eye(3), 1, 1)
    with pytest.raises(ValueError, match="mask of shape"):
        prune_columns(W, np.eye(3), 1, mask=W[:, :2] > 0)
    with pytest.raises(ValueError, match="mask_block=2 and block width 3"):
        prune_columns(W, np.eye(3), 3, 2)
    with pytest.raises(ValueError, match=r"X of shape \(2, 2\): expected 3 rows"):
        masked_least_squares(W, np.eye(2), W > 0)
    with pytest.raises(ValueError, match="mask of shape"):
        masked_least_squares(W, X, W)
    with pytest.raises(ValueError, match=r"damping=-1"):
        masked_least_squares(W, X, W > 0, -1)
    with pytest.raises(TypeError, match="X of dtype float32"):
        masked_least_squares(W, X.astype("float32"), W > 0)
    with pytest.raises(ValueError, match="damping=nan"):
        inverse_factor(X, math.nan)
    with pytest.raises(ValueError, match="fraction=2"):
        magnitude_mask(W, 2)
    with pytest.raises(ValueError, match="W: expected finite"):
        magnitude_mask(W * np.nan, 0.5)
    for arguments, says in [((0, 4, 2), "rows=0"), ((4, 0, 2), "columns=0"), ((4, 4, 0), "block=0")]:
        with pytest.raises(ValueError, match=says):
            update_shapes(*arguments)
    for arguments, says in [((0, 1), "columns=0"), ((4, 0), "leaf=0")]:
        with pytest.raises(ValueError, match=says):
            halvings(*arguments)
