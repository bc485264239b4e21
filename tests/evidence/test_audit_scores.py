"""Learnt scores: each sees the shape of noise that it is for, and none fails on degenerate outputs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import multivariate_normal

from touchstone.evidence.audit_scores import MOST_CORRELATED, learn_scores


def ranking(score, data, neighbour):
    """The probability that the score orders a run of each side rightly (the area under the curve)."""
    a, b = score(data), score(neighbour)
    order = np.sort(b)
    below = np.searchsorted(order, a, side="left") + np.searchsorted(order, a, side="right")
    return float(np.mean(below)) / (2 * len(b))


def learnt(draw, name, seed=0, runs=4000):
    rng = np.random.default_rng(seed)
    scores = learn_scores(draw(rng, runs, 0), draw(rng, runs, 1))
    return ranking(scores[name], draw(rng, runs, 0), draw(rng, runs, 1))


def test_quadratic_is_the_likelihood_ratio_of_normal_laws():
    rng = np.random.default_rng(1)
    mixing = np.asarray([[1.0, 0.5, 0.0], [0.0, 2.0, 0.3], [0.0, 0.0, 0.7]])
    laws = [multivariate_normal([0, 0, 0], mixing @ mixing.T), multivariate_normal([1, 0, -1], np.eye(3))]
    sides = [law.rvs(40_000, random_state=rng) for law in laws]
    score = learn_scores(*sides)["quadratic"]
    points = rng.normal(size=(200, 3))
    true = laws[0].logpdf(points) - laws[1].logpdf(points)
    gap = score(points) - true
    # 40 000 draws: parameters to 1/200, a few of them, times quadratics of size about 10
    assert np.ptp(gap) < 0.5
    assert np.corrcoef(score(points), true)[0, 1] > 0.999


def test_linear_uses_the_correlations():
    def draw(rng, n, side):  # the shift hides under common noise ten times its size
        return rng.normal(size=(n, 3)) + 10 * rng.normal(size=(n, 1)) + side * np.asarray([2.0, 0, 0])

    # the best direction, x1 − (x2 + x3)/2, has d' = 2/√1.5: an area of Φ(d'/√2) = 0.876
    assert learnt(draw, "linear") > 0.85


def test_histogram_sees_atoms_and_shapes_that_moments_do_not():
    def atom(rng, n, side):
        return np.where(rng.random(n) < 0.4 * side, 0.123, rng.normal(size=n))[:, None]

    # 0.4 of one side sits on the atom, so that ranking by it alone wins 0.4 + 0.6/2
    assert learnt(atom, "histogram") > 0.68

    def two_humps(rng, n, side):  # the same mean and variance
        signs = np.sqrt(0.75) * (2 * rng.integers(0, 2, n) - 1)
        return np.where(side, signs + 0.5 * rng.normal(size=n), rng.normal(size=n))[:, None]

    assert learnt(two_humps, "histogram") > 0.6


def test_histograms_of_many_coordinates_keep_the_signal_of_one():
    def draw(rng, n, side):
        y = rng.laplace(size=(n, 60))
        y[:, 17] += 3 * side
        return y

    # alone, the coordinate ranks Laplace shifts of 3 with 0.93
    assert learnt(draw, "histogram") > 0.88


def test_range_sees_what_only_one_side_gives():
    def draw(rng, n, side):
        y = rng.uniform(0, 1, size=(n, 4))
        y[:, 2] += 0.2 * side
        return y

    # a fifth of the runs lies outside the other side's range: 0.2 + 0.8/2
    assert learnt(draw, "range of the neighbour") > 0.55
    assert learnt(draw, "range of the data") < 0.45


def test_patterns_sees_dependence_that_no_coordinate_shows():
    def draw(rng, n, side):
        bit = rng.integers(0, 2, n)
        return np.stack([bit, bit ^ side ^ (rng.random(n) < 0.1), rng.integers(0, 2, n)], axis=1).astype(
            float
        )

    assert learnt(draw, "patterns") > 0.88  # the two laws differ by 0.8 in total variation
    assert abs(learnt(draw, "histogram") - 0.5) < 0.05

    rng = np.random.default_rng(0)
    score = learn_scores(draw(rng, 500, 0), draw(rng, 500, 1))["patterns"]
    assert score(np.asarray([[7.0, 7.0, 7.0]]))[0] == 0.0  # never seen: says nothing
    assert score(np.asarray([[-0.0, 0.0, 1.0]]))[0] == score(np.asarray([[0.0, 0.0, 1.0]]))[0] != 0.0
    assert "patterns" not in learn_scores(rng.normal(size=(500, 3)), rng.normal(size=(500, 3)))


VALUES = st.one_of(st.floats(-1e3, 1e3), st.sampled_from([0.0, -0.0, 1.0, 1e150, -1e150, 1e-300]))


@given(st.integers(1, 5), st.integers(1, 30), st.data())
def test_no_outputs_break_a_score(k, n, data):
    first, second = (data.draw(hnp.arrays(float, (n + extra, k), elements=VALUES)) for extra in (0, 3))
    for name, score in learn_scores(first, second).items():
        values = score(second)
        assert values.shape == (n + 3,), name
        assert not np.any(np.isnan(values)), name


@pytest.mark.parametrize("k", [1, 3, MOST_CORRELATED + 1])
def test_constant_and_wide_outputs(k):
    same = np.ones((40, k))
    for score in learn_scores(same, same).values():
        assert np.all(score(same) == score(same)[0])
    moved = same.copy()
    moved[:, -1] = 2.0  # released without noise
    scores = learn_scores(same, moved)
    told = [name for name, score in scores.items() if not np.any(np.isin(score(same), score(moved)))]
    assert "histogram" in told
    assert "quadratic" in told
