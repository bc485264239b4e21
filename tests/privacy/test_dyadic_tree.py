"""Dyadic trees against sums over all records, on every kind of array."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone import arrays
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.privacy import dyadic_tree
from touchstone.privacy.dyadic_tree import DyadicTree, leaf_of, loss_terms, nodes_read


def instance(n, r, c, seed, law="uniform"):
    """Numbers in [0, bound], several laws, and weights of either sign."""
    rng = np.random.default_rng(seed)
    bounds = rng.uniform(0.5, 3, r)
    u = {
        "uniform": lambda: rng.uniform(0, 1, (n, r)),
        "ties": lambda: rng.integers(0, 3, (n, r)) / 2,
        "equal": lambda: np.full((n, r), 0.37),
        "ends": lambda: rng.integers(0, 2, (n, r)) * 1.0,
        "boundaries": lambda: rng.integers(0, 9, (n, r)) / 8,
    }[law]()
    return u * bounds, rng.normal(size=(n, c)), bounds


def leaf_by_hand(x, depth, bound):
    return min(math.floor(2**depth * x / bound), 2**depth - 1)


def sums_by_hand(x, w, y, depth, bounds, column, feature):
    """Mass and moment before the leaf of y and from it on, record by record."""
    at = leaf_by_hand(y, depth, bounds[feature])
    out = np.zeros((2, 2))
    for j in range(len(x)):
        side = int(leaf_by_hand(x[j, feature], depth, bounds[feature]) >= at)
        out[side] += [w[j, column], w[j, column] * x[j, feature]]
    return out


laws = st.sampled_from(["uniform", "ties", "equal", "ends", "boundaries"])


@settings(deadline=None, max_examples=80)
@given(
    n=st.integers(0, 12),
    r=st.integers(1, 3),
    c=st.integers(1, 3),
    depth=st.integers(0, 5),
    seed=st.integers(0, 99),
    law=laws,
)
def test_prefix_sums_against_all_records(n, r, c, depth, seed, law):
    x, w, bounds = instance(n, r, c, seed, law)
    tree = DyadicTree(x, w, depth, bounds=bounds)
    y = np.concatenate(
        [np.random.default_rng(seed + 1).uniform(0, 1, (3, r)) * bounds, 0 * bounds[None], bounds[None]]
    )
    before, after = tree.prefix(y)
    assert before.shape == after.shape == (2, c, 5, r)
    for column in range(c):
        for query in range(5):
            for feature in range(r):
                wanted = sums_by_hand(x, w, y[query, feature], depth, bounds, column, feature)
                got = [before[:, column, query, feature], after[:, column, query, feature]]
                np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12 * (1 + n))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 12), r=st.integers(1, 3), depth=st.integers(0, 6), seed=st.integers(0, 99), law=laws)
def test_every_node_holds_its_interval(n, r, depth, seed, law):
    x, w, bounds = instance(n, r, 2, seed, law)
    tree = DyadicTree(x, w, depth, bounds=bounds)
    assert [level.shape for level in tree.levels] == [(2, 2, r, 2**level) for level in range(depth + 1)]
    assert tree.size == 2 * 2 * r * (2 ** (depth + 1) - 1)
    for level, sums in enumerate(tree.levels):
        wanted = np.zeros_like(sums)
        for j in range(n):
            for f in range(r):
                node = leaf_by_hand(x[j, f], depth, bounds[f]) // 2 ** (depth - level)
                wanted[0, :, f, node] += w[j]
                wanted[1, :, f, node] += w[j] * x[j, f]
        np.testing.assert_allclose(sums, wanted, rtol=0, atol=1e-12 * n)


@settings(deadline=None, max_examples=40)
@given(n=st.integers(0, 15), depth=st.integers(0, 7), seed=st.integers(0, 99), law=laws)
def test_distance_sums_up_to_the_leaf_of_the_query(n, depth, seed, law):
    x, w, bounds = instance(n, 2, 2, seed, law)
    y = np.random.default_rng(seed).uniform(0, 1, (4, 2)) * bounds
    got = DyadicTree(x, w, depth, bounds=bounds).distance_sum(y)
    exact = np.sum(w.T[:, :, None, None] * np.abs(x[:, None, :] - y), axis=1)
    width = bounds / 2**depth
    near = leaf_of(x, depth, bounds)[:, None, :] == leaf_of(y, depth, bounds)
    room = 2 * width * np.sum(np.abs(w).T[:, :, None, None] * near, axis=1)
    assert got.shape == exact.shape == (2, 4, 2)
    assert np.all(np.abs(got - exact) <= room + 1e-12 * (1 + n))


def test_distance_sums_are_exact_between_leaves():
    x = np.array([[0.1], [0.3], [0.9]])
    tree = DyadicTree(x, np.array([[1.0], [2.0], [-1.0]]), 3)
    assert tree.distance_sum(np.array([[0.6]])).item() == pytest.approx(0.5 + 2 * 0.3 - 0.3)


def test_reads_at_most_depth_nodes_a_side_and_tallies_them():
    depth, leaves = 5, 2**5
    y = ((np.arange(leaves) + 0.5) / leaves)[:, None]
    tree = DyadicTree(np.full((1, 1), 0.5), np.ones((1, 3)), depth)
    total = 0
    for leaf in range(leaves):
        before, after = bin(leaf).count("1"), bin(leaves - leaf).count("1")
        assert max(before, after) <= depth
        tree.tally.clear()
        tree.prefix(y[leaf : leaf + 1])
        assert tree.tally["nodes"] == 2 * 3 * (before + after)
        total += tree.tally["nodes"]
    tree.tally.clear()
    tree.prefix(y)
    assert tree.tally["nodes"] == total
    assert np.array_equal(nodes_read(np.arange(33), 5), [bin(i).count("1") for i in range(33)])


def test_exactly_the_nodes_tallied_are_read():
    # a tree whose every node holds 1: the sums are the numbers of nodes read
    depth = 6
    tree = DyadicTree(np.zeros((1, 1)), np.zeros((1, 1)), depth, np.ones)
    y = np.random.default_rng(0).uniform(0, 1, (200, 1))
    before, after = tree.prefix(y)
    leaf = leaf_of(y, depth, np.ones(1))
    assert np.array_equal(before[0, 0], nodes_read(leaf, depth))
    assert np.array_equal(after[1, 0], nodes_read(2**depth - leaf, depth))
    assert tree.tally["nodes"] == 2 * int(np.sum(before[0, 0] + after[0, 0]))


def test_leaves():
    assert leaf_of(np.array([0.0, 0.49, 0.5, 1.99, 2.0, 2.0 + 1e-13]), 2, np.full(6, 2.0)).tolist() == [
        0, 0, 1, 3, 3, 3,
    ]  # fmt: skip
    assert (
        DyadicTree(np.array([[2.0 * (1 + 1e-13)]]), np.ones((1, 1)), 2, bounds=2.0).levels[2][0, 0, 0, 3] == 1
    )


def test_values_below_the_range_and_the_deepest_tree():
    assert leaf_of(np.array([-0.1, -7.0]), 2, np.full(2, 2.0)).tolist() == [0, 0]
    assert dyadic_tree.require_depth(dyadic_tree.MOST_DEPTH) == dyadic_tree.MOST_DEPTH
    with pytest.raises(ValueError, match="depth="):
        dyadic_tree.require_depth(dyadic_tree.MOST_DEPTH + 1)


def test_noise_is_added_once_a_level_from_the_root_down():
    x, w, bounds = instance(6, 2, 3, 0)
    exact, seen = DyadicTree(x, w, 3, bounds=bounds), []

    def noise(shape):
        seen.append(shape)
        return np.arange(5.0)[:, None, None, None, None] + np.zeros((5, *shape)) + 10 * len(seen)

    noisy = DyadicTree(x, w, 3, noise, bounds=bounds)
    assert seen == [(2, 3, 2, 1), (2, 3, 2, 2), (2, 3, 2, 4), (2, 3, 2, 8)]
    for level, (got, sums) in enumerate(zip(noisy.levels, exact.levels, strict=True)):
        assert got.shape == (5, *sums.shape)
        for release in range(5):
            np.testing.assert_allclose(got[release], sums + release + 10 * (level + 1))
    # each release is read for itself
    before, after = noisy.prefix(bounds[None] / 2)
    assert before.shape == (5, 2, 3, 1, 2)
    clean = exact.prefix(bounds[None] / 2)
    # half of eight leaves: one node of level 1 on each side
    np.testing.assert_allclose(before[4], clean[0] + 4 + 20)
    np.testing.assert_allclose(after[4], clean[1] + 4 + 20)
    assert noisy.distance_sum(bounds[None] / 2).shape == (5, 3, 1, 2)


def test_touched_counts_what_a_replacement_moves():
    x, w, bounds = instance(9, 2, 2, 3)
    tree = DyadicTree(x, w, 4, bounds=bounds)
    assert tree.touched(tree) == 0
    x2, w2 = x.copy(), w.copy()
    w2[0] += 1  # same nodes, other weight: both arrays, 5 levels, 2 columns, 2 features
    assert tree.touched(DyadicTree(x2, w2, 4, bounds=bounds)) == 2 * 5 * 2 * 2
    # the first feature crosses to the other half: two nodes a level below the root, one there
    x2[0] = [bounds[0] if x[0, 0] < bounds[0] / 2 else 0.0, x[0, 1]]
    moments_kept = 2 * 4 if x2[0, 0] == 0 else 0  # a new record at 0 adds nothing to the moments
    assert tree.touched(DyadicTree(x2, w2, 4, bounds=bounds)) == 2 * 2 * (9 + 5) - moments_kept


def test_loss_is_the_log_density_ratio():
    rng = np.random.default_rng(0)
    x, w, bounds = instance(5, 2, 2, 4)
    x2, w2 = x.copy(), w.copy()
    x2[0], w2[0] = bounds, -w[0]
    mine, theirs = (DyadicTree(*data, 3, bounds=bounds) for data in ((x, w), (x2, w2)))
    scales = rng.uniform(0.5, 2, (2, 2, 2))
    released = DyadicTree(x, w, 3, lambda shape: rng.laplace(size=(4, *shape)), bounds=bounds)
    for law, log_density in (
        ("laplace", lambda z, s: -np.abs(z) / s),
        ("gaussian", lambda z, s: -(z**2) / (2 * s**2)),
    ):
        wanted = sum(
            np.sum(
                log_density(y - a, scales[..., None]) - log_density(y - b, scales[..., None]), (1, 2, 3, 4)
            )
            for y, a, b in zip(released.levels, mine.levels, theirs.levels, strict=True)
        )
        got = mine.loss(theirs, released, scales, law)
        assert got.shape == (4,)
        np.testing.assert_allclose(got, wanted, rtol=1e-12)
        np.testing.assert_allclose(theirs.loss(mine, released, scales, law), -wanted, rtol=1e-12)


def test_what_is_left_without_noise_gives_everything_away():
    own, scales = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.0, 0.0, 2.0])
    other = np.array([0.0, 1.0, 0.0, 3.0])
    assert loss_terms(own, other, scales, "laplace").tolist() == [0.0, math.inf, -math.inf, 1.0]
    assert loss_terms(own, other, scales, "gaussian").tolist() == [0.0, math.inf, -math.inf, 1.0]


def test_every_library(xp):
    x, w, bounds = instance(20, 3, 2, 5)
    y = np.random.default_rng(0).uniform(0, 1, (4, 3)) * bounds
    reference, tree = (DyadicTree(make(x), make(w), 4, bounds=bounds) for make in (np.asarray, xp.asarray))
    for wanted, got in zip(reference.prefix(y), tree.prefix(xp.asarray(y)), strict=True):
        np.testing.assert_allclose(arrays.to_host(got), wanted, atol=1e-12)
    np.testing.assert_allclose(
        arrays.to_host(tree.distance_sum(xp.asarray(y))), reference.distance_sum(y), atol=1e-12
    )
    other = DyadicTree(xp.asarray(x[::-1].copy()), xp.asarray(w), 4, bounds=bounds)
    assert tree.touched(tree) == 0 < tree.touched(other)
    scales = xp.asarray(np.where(np.arange(12).reshape(2, 2, 3) == 0, 0.0, 1.0))
    assert not xp.isnan(tree.loss(other, tree, scales))
    single = DyadicTree(xp.asarray(x, dtype=xp.float32), xp.asarray(w, dtype=xp.float32), 2, bounds=bounds)
    assert single.levels[0].dtype == xp.float32


def test_blocks_of_features_change_nothing(monkeypatch):
    x, w, bounds = instance(30, 5, 2, 6)
    whole = DyadicTree(x, w, 3, bounds=bounds)
    for numbers in (1, 60, 90):
        monkeypatch.setattr(dyadic_tree, "NUMBERS_PER_BLOCK", numbers)
        parts = DyadicTree(x, w, 3, bounds=bounds)
        assert all(np.array_equal(a, b) for a, b in zip(whole.levels, parts.levels, strict=True))


def test_memory_while_building_is_that_of_a_block(monkeypatch):
    monkeypatch.setattr(dyadic_tree, "NUMBERS_PER_BLOCK", 1000)
    peaks = []
    for r in (8, 64):
        with count() as costs:
            tree = DyadicTree(shape_only(1000, r), shape_only(1000, 1), 2)
        peaks.append(costs.bytes_peak - 8 * tree.size * 3)  # leaves, levels, and both while they are joined
    assert peaks[1] <= peaks[0] + 64 * 1000  # not the 448 000 bytes of the further features


@settings(deadline=None, max_examples=15)
@given(n=st.integers(1, 9), r=st.integers(1, 3), c=st.integers(1, 3), depth=st.integers(0, 4))
def test_shapes_alone_are_counted_alike(n, r, c, depth):
    x, w, bounds = instance(n, r, c, 0)
    tallies = []
    for data in (
        (counted(x), counted(w), counted(x)),
        (shape_only(n, r), shape_only(n, c), shape_only(n, r)),
    ):
        with count() as costs:
            tree = DyadicTree(*data[:2], depth, bounds=bounds)
            building = costs.arithmetic
            tree.prefix(data[2])
        tallies.append((building, costs.multiply_adds, tree.size))
    assert tallies[0] == tallies[1]
    additions = 2 * n * r * c + 2 * r * c * (2**depth - 1)
    # w x; the leaf's number (two steps and a floor) and its place in the block, which begins somewhere
    others = n * r * c + 3 * n * r + n * r + r
    assert tallies[1][0] == additions + others


def test_shape_only_reads_count_the_most_there_can_be():
    tree = DyadicTree(shape_only(4, 3), shape_only(4, 2), 5)
    tree.prefix(shape_only(7, 3))
    assert tree.tally["nodes"] == 7 * 3 * 2 * 2 * 2 * 5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": np.ones(3)}, ValueError, "x of shape"),
        ({"x": np.ones((3, 0))}, ValueError, "r >= 1"),
        ({"weights": np.ones(3)}, ValueError, "weights of shape"),
        ({"weights": np.ones((2, 1))}, ValueError, "weights of shape"),
        ({"weights": np.ones((3, 0))}, ValueError, "weights of shape"),
        ({"depth": -1}, ValueError, "depth=-1"),
        ({"depth": 41}, ValueError, "depth=41"),
        ({"depth": 2.0}, ValueError, "depth=2.0"),
        ({"depth": True}, ValueError, "depth=True"),
        ({"bounds": 0.0}, ValueError, "bounds=0.0"),
        ({"bounds": math.inf}, ValueError, "bounds=inf"),
        ({"bounds": [1.0, 1.0, 1.0]}, ValueError, "bounds of shape"),
        ({"bounds": [[1.0, 1.0]]}, ValueError, "bounds of shape"),
        ({"x": np.full((3, 2), 1.1)}, ValueError, "x: expected numbers"),
        ({"x": np.full((3, 2), -0.1)}, ValueError, "x: expected numbers"),
        ({"x": np.array([[0.5, 0.5], [0.5, math.nan]])}, ValueError, "x: expected numbers"),
        ({"x": np.ones((3, 2), dtype=int)}, TypeError, "x of dtype"),
        ({"weights": np.ones((3, 1), dtype=int)}, TypeError, "weights of dtype"),
    ],
)
def test_bad_arguments(arguments, error, message):
    good = {"x": np.full((3, 2), 0.5), "weights": np.ones((3, 1)), "depth": 2, "bounds": 1.0}
    DyadicTree(**good)
    if "nan" in repr(arguments):
        good["weights"] = np.ones((2, 1))
    with pytest.raises(error, match=message):
        DyadicTree(**(good | arguments))


def test_bad_queries_and_trees():
    tree = DyadicTree(np.full((3, 2), 0.5), np.ones((3, 1)), 2)
    for y in (np.ones(2), np.ones((1, 3))):
        with pytest.raises(ValueError, match="y of shape"):
            tree.prefix(y)
    others = [
        DyadicTree(np.full((3, 2), 0.5), np.ones((3, 1)), 3),
        DyadicTree(np.full((3, 2), 0.5), np.ones((3, 2)), 2),
        DyadicTree(np.full((3, 1), 0.5), np.ones((3, 1)), 2),
    ]
    for other in others:
        with pytest.raises(ValueError, match="expected \\(2, 1, 2\\)"):
            tree.touched(other)
        with pytest.raises(ValueError, match="expected \\(2, 1, 2\\)"):
            tree.loss(tree, other, np.ones((2, 1, 2)))
        with pytest.raises(ValueError, match="expected \\(2, 1, 2\\)"):
            tree.loss(other, tree, np.ones((2, 1, 2)))
    with pytest.raises(ValueError, match="law='cauchy'"):
        tree.loss(tree, tree, np.ones((2, 1, 2)), "cauchy")
