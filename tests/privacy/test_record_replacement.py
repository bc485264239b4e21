"""The change that one record makes, against two trees; its losses, against curves and dp-accounting."""

import math

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone import arrays
from touchstone.evidence.audit import hockey_stick, hockey_stick_interval
from touchstone.evidence.privacy_curves import gaussian_dp_delta, truncated_laplace_delta
from touchstone.privacy import record_replacement
from touchstone.privacy.dyadic_tree import DyadicTree
from touchstone.privacy.record_replacement import (
    entry_bounds,
    gaussian_distance,
    laplace_budget,
    replacement_change,
    replacement_losses,
    replacement_ratios,
)


def pair(r, c, seed, same_leaf=False):
    rng = np.random.default_rng(seed)
    bounds = rng.uniform(0.5, 2, r)
    x = rng.uniform(0, 1, (7, r)) * bounds
    w = rng.uniform(-1, 1, (7, c))
    x_new = x[3] if same_leaf else rng.uniform(0, 1, r) * bounds
    return x, w, x_new, rng.uniform(-1, 1, c), bounds


def trees(x, w, x_new, w_new, bounds, depth):
    x2, w2 = x.copy(), w.copy()
    x2[3], w2[3] = x_new, w_new
    return DyadicTree(x, w, depth, bounds=bounds), DyadicTree(x2, w2, depth, bounds=bounds)


@settings(deadline=None, max_examples=60)
@given(
    r=st.integers(1, 3),
    c=st.integers(1, 3),
    depth=st.integers(0, 5),
    seed=st.integers(0, 99),
    same=st.booleans(),
)
def test_change_is_the_difference_of_two_trees(r, c, depth, seed, same):
    x, w, x_new, w_new, bounds = pair(r, c, seed, same)
    one, two = trees(x, w, x_new, w_new, bounds, depth)
    change = replacement_change(x[3], w[3], x_new, w_new, depth, bounds=bounds)
    assert change.shape == (depth + 1, 2, 2, c, r)
    assert one.touched(two) == np.count_nonzero(change)
    for level in range(depth + 1):
        difference = two.levels[level] - one.levels[level]
        for power in (1, 2):
            np.testing.assert_allclose(
                np.sum(change[level] ** power, axis=0), np.sum(difference**power, axis=-1), atol=1e-12
            )
        np.testing.assert_allclose(
            np.sum(np.abs(change[level]), 0), np.sum(np.abs(difference), -1), atol=1e-12
        )


@settings(deadline=None, max_examples=60)
@given(r=st.integers(1, 3), c=st.integers(1, 3), depth=st.integers(0, 8), seed=st.integers(0, 99))
def test_no_replacement_exceeds_the_analysis(r, c, depth, seed):
    rng = np.random.default_rng(seed)
    bounds = rng.uniform(0.5, 2, r)
    x, x_new = rng.integers(0, 3, (2, 20, r)) / 2 * bounds
    w, w_new = rng.integers(-1, 2, (2, 20, c)).astype(float)
    change = replacement_change(x, w, x_new, w_new, depth, bounds=bounds)
    ratios = replacement_ratios(change, entry_bounds(np.ones(c), bounds))
    assert ratios["l1"].shape == ratios["l2"].shape == (20,)
    assert np.all(ratios["l1"] <= 1 + 1e-12)
    assert np.all(ratios["l2"] <= 1 + 1e-12)


def test_a_sign_flip_at_the_top_attains_both_bounds():
    bounds, top = np.array([1.0, 2.0]), np.array([1.0, 2.0])
    change = replacement_change(top, np.ones(3), top, -np.ones(3), 4, bounds=bounds)
    limits = entry_bounds(np.ones(3), bounds)
    ratios = replacement_ratios(change, limits)
    assert ratios["l1"] == pytest.approx(1)
    assert ratios["l2"] == pytest.approx(1)
    # 5 levels, 2 arrays, 3 columns, 2 features, each by twice its bound
    assert laplace_budget(change, limits) == pytest.approx(5 * 12 * 2)
    assert gaussian_distance(change, limits) == pytest.approx(2 * math.sqrt(60))
    # half-way between, in other leaves: two nodes a level
    change = replacement_change(0 * top, np.ones(3), top, -np.ones(3), 4, bounds=bounds)
    assert (
        np.count_nonzero(change) == 6 * (4 * 2 + 1) + 6 * 5
    )  # masses: the root moves by 2; moments: new only
    assert laplace_budget(change, limits) == pytest.approx(6 * (4 * 2 + 2) + 6 * 5)


def test_entry_bounds():
    got = entry_bounds([3.0, 1.0], [1.0, 0.5])
    assert got.tolist() == [[[3, 3], [1, 1]], [[3, 1.5], [1, 0.5]]]
    for bad in ([0.0], [math.inf], [[1.0]]):
        with pytest.raises(ValueError, match="weight_bounds"):
            entry_bounds(bad, [1.0])
        with pytest.raises(ValueError, match=r"bounds="):
            entry_bounds([1.0], bad)


def test_gaussian_losses_follow_the_curve():
    x, w, x_new, w_new, bounds = pair(2, 2, 1)
    change = replacement_change(x[3], w[3], x_new, w_new, 3, bounds=bounds)
    scales = 4 * entry_bounds(np.ones(2), bounds)
    mu = float(gaussian_distance(change, scales))
    a, b = replacement_losses(change, scales, "gaussian", 4000, np.random.default_rng(0))
    assert stats.kstest(a, stats.norm(mu**2 / 2, mu).cdf).pvalue > 1e-3
    assert stats.kstest(b, stats.norm(-(mu**2) / 2, mu).cdf).pvalue > 1e-3
    low, high = hockey_stick_interval(a, 0.5, 0.999)
    assert low <= gaussian_dp_delta(mu, 0.5) <= high


def test_laplace_losses_against_dp_accounting():
    x, w, x_new, w_new, bounds = pair(1, 1, 2)
    change = replacement_change(x[3], w[3], x_new, w_new, 2, bounds=bounds)
    scales = 5 * entry_bounds(np.ones(1), bounds)
    each = np.broadcast_to(scales, change.shape)[change != 0]
    curve = None
    for size, scale in zip(np.abs(change[change != 0]), each, strict=True):
        part = privacy_loss_distribution.from_laplace_mechanism(scale, sensitivity=size)
        curve = part if curve is None else curve.compose(part)
    for side in replacement_losses(change, scales, "laplace", 20_000, np.random.default_rng(0)):
        signed = side if np.mean(side) > 0 else -side
        for eps in (0.0, 0.3, 0.6):
            low, high = hockey_stick_interval(signed, eps, 0.999)
            assert low <= curve.get_delta_for_epsilon(eps) <= high
    # pure privacy: no loss exceeds the sum
    assert np.max(np.abs(side)) <= laplace_budget(change, scales) * (1 + 1e-12)
    assert hockey_stick(signed, float(laplace_budget(change, scales)) + 1e-9) == 0


@pytest.mark.parametrize("law", ["laplace", "gaussian"])
def test_losses_of_the_nodes_touched_are_those_of_the_whole_release(law):
    x, w, x_new, w_new, bounds = pair(2, 2, 3)
    one, two = trees(x, w, x_new, w_new, bounds, 3)
    scales = 3 * entry_bounds(np.ones(2), bounds)
    rng = np.random.default_rng(0)

    def noise(shape):
        return scales[..., None] * (rng.laplace if law == "laplace" else rng.normal)(size=(3000, *shape))

    data = (
        [(x, w)],
        [(np.concatenate([x[:3], x_new[None], x[4:]]), np.concatenate([w[:3], w_new[None], w[4:]]))],
    )
    whole = [one.loss(two, DyadicTree(*side[0], 3, noise, bounds=bounds), scales, law) for side in data]
    change = replacement_change(x[3], w[3], x_new, w_new, 3, bounds=bounds)
    parts = replacement_losses(change, scales, law, 3000, np.random.default_rng(1))
    for got, wanted in zip(parts, whole, strict=True):
        assert stats.ks_2samp(got, wanted).pvalue > 1e-3
    assert np.mean(parts[0]) > 0 > np.mean(parts[1])


def test_without_noise_the_loss_is_infinite_where_a_node_is_touched():
    x, w, x_new, w_new, bounds = pair(1, 2, 4)
    change = replacement_change(x[3], w[3], x_new, w_new, 2, bounds=bounds)
    scales = entry_bounds(np.ones(2), bounds)
    scales[1, 1, 0] = 0
    a, b = replacement_losses(change, scales, "laplace", 10, np.random.default_rng(0))
    assert np.all(a == math.inf)
    assert np.all(b == -math.inf)


def test_truncated_noise_leaks_where_only_one_side_reaches():
    change = np.zeros((1, 2, 2, 1, 1))
    change[0, 0, 0] = 0.7
    scales, bound = np.full((2, 1, 1), 2.0), 1.5
    sides = replacement_losses(change, scales, "laplace", 20_000, np.random.default_rng(0), bound=bound)
    leak = truncated_laplace_delta(0.7, 2.0, 3.0, 10.0)  # beyond any ε: what only one side can give
    for signed in (sides[0], -sides[1]):
        assert np.mean(np.isinf(signed)) == pytest.approx(leak, abs=4 * math.sqrt(leak / 20_000))
        assert np.all(signed > -math.inf)
        assert np.max(np.abs(signed[np.isfinite(signed)])) <= 0.35 + 1e-12
        low, high = hockey_stick_interval(signed, 0.1, 0.999)
        assert low <= truncated_laplace_delta(0.7, 2.0, 3.0, 0.1) <= high


def test_nothing_touched_says_nothing():
    same = replacement_change(np.ones(1), np.ones(1), np.ones(1), np.ones(1), 3)
    a, b = replacement_losses(same, np.ones((2, 1, 1)), "gaussian", 5, np.random.default_rng(0))
    assert not np.any(a)
    assert not np.any(b)


def test_blocks_hold_few_draws(monkeypatch):
    x, w, x_new, w_new, bounds = pair(1, 1, 5)
    change = replacement_change(x[3], w[3], x_new, w_new, 2, bounds=bounds)
    monkeypatch.setattr(record_replacement, "DRAWS_PER_BLOCK", 7 * np.count_nonzero(change))
    sizes = []
    rng = np.random.default_rng(0)

    class Watched(np.random.Generator):
        def laplace(self, size):
            sizes.append(size[0])
            return rng.laplace(size=size)

    a, b = replacement_losses(change, np.ones((2, 1, 1)), "laplace", 16, Watched(np.random.PCG64(0)))
    assert len(a) == len(b) == 16
    assert sizes == [7, 7, 7, 7, 2, 2]


def test_every_library(xp):
    x, w, x_new, w_new, bounds = pair(2, 2, 6)
    wanted = replacement_change(x[3], w[3], x_new, w_new, 3, bounds=bounds)
    got = replacement_change(*(xp.asarray(v) for v in (x[3], w[3], x_new, w_new)), 3, bounds=bounds)
    np.testing.assert_allclose(arrays.to_host(got), wanted)
    limits = entry_bounds(np.ones(2), bounds)
    for f in (laplace_budget, gaussian_distance):
        assert float(f(got, xp.asarray(limits))) == pytest.approx(float(f(wanted, limits)))
    ratios = replacement_ratios(got, xp.asarray(limits))
    assert float(ratios["l1"]) == pytest.approx(float(replacement_ratios(wanted, limits)["l1"]))
    losses = replacement_losses(got, xp.asarray(limits), "laplace", 6, np.random.default_rng(0))
    same = replacement_losses(wanted, limits, "laplace", 6, np.random.default_rng(0))
    np.testing.assert_allclose(losses, same)


def test_bad_arguments():
    good = np.ones(2), np.ones(1), np.ones(2), np.ones(1)
    change = replacement_change(*good, 2)
    for at, bad, message in (
        (2, np.ones(3), "x_new"),
        (3, np.ones(2), "w_new"),
        (1, np.float64(1.0), "w_new"),
    ):
        with pytest.raises(ValueError, match=message):
            replacement_change(*good[:at], bad, *good[at + 1 :], 2)
    with pytest.raises(ValueError, match="w of shape"):
        replacement_change(np.ones((4, 2)), np.ones((3, 1)), np.ones((4, 2)), np.ones((3, 1)), 2)
    with pytest.raises(ValueError, match="depth"):
        replacement_change(*good, -1)
    with pytest.raises(ValueError, match="bounds"):
        replacement_change(*good, 2, bounds=-1.0)
    rng = np.random.default_rng(0)
    for scales, law, runs, source, message in (
        (np.ones((2, 1, 2)), "normal", 5, rng, "law"),
        (np.ones((2, 1, 2)), "laplace", 0, rng, "runs=0"),
        (np.ones((2, 1, 2)), "laplace", True, rng, "runs=True"),
        (np.ones((2, 1, 2)), "laplace", 2.5, rng, "runs=2.5"),
        (np.ones((2, 1, 2)), "laplace", 5, None, "rng=None"),
        (np.ones((2, 1, 1)), "laplace", 5, rng, "scales of shape"),
        (-np.ones((2, 1, 2)), "laplace", 5, rng, "scales: expected"),
    ):
        with pytest.raises(ValueError, match=message):
            replacement_losses(change, scales, law, runs, source)
    with pytest.raises(ValueError, match=r"bound=2\.0"):
        replacement_losses(change, np.ones((2, 1, 2)), "gaussian", 5, rng, bound=2.0)
