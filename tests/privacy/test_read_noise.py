"""The law of an answer's noise against answers read from trees."""

import numpy as np
import pytest
from scipy import stats

from touchstone import arrays
from touchstone.privacy.dyadic_tree import DyadicTree
from touchstone.privacy.read_noise import read_noise


@pytest.mark.parametrize("law", ["laplace", "gaussian"])
def test_same_law_as_reading_a_tree(law):
    rng, depth, draws = np.random.default_rng(0), 4, 4000
    bounds, scales = np.array([1.0, 2.0, 0.5]), np.array([[1.0, 0.2, 0.7], [0.1, 2.0, 1.0]])
    y = np.array([[0.99, 0.05, 0.3], [0.0, 2.0, 0.25], [0.4, 1.1, 0.01]])

    def noise(shape):
        draw = rng.laplace if law == "laplace" else rng.normal
        return np.stack([np.ones_like(scales), scales])[..., None] * draw(size=(draws, *shape))

    tree = DyadicTree(np.zeros((1, 3)), np.zeros((1, 2)), depth, noise, bounds=bounds)
    before, after = tree.prefix(y)
    read = np.sum((before + after)[:, 1] * y, axis=-1)  # (draws, c, m)
    drawn = read_noise(y, depth, scales, law, draws, np.random.default_rng(1), bounds=bounds)
    assert drawn.shape == (draws, 3, 2)
    for query in range(3):
        for column in range(2):
            assert stats.ks_2samp(drawn[:, query, column], read[:, column, query]).pvalue > 1e-3
            spread = np.std(drawn[:, query, column]) / np.std(read[:, column, query])
            assert spread == pytest.approx(1, abs=0.08)


def test_answers_are_independent_and_common_random_numbers_scale():
    y, scales = np.full((2, 3), 0.3), np.ones((2, 3))
    for law in ("laplace", "gaussian"):
        one = read_noise(y, 3, scales, law, 2000, np.random.default_rng(0))
        twice = read_noise(y, 3, 2 * scales, law, 2000, np.random.default_rng(0))
        np.testing.assert_allclose(twice, 2 * one)
        flat = one.reshape(2000, 4)
        assert np.max(np.abs(np.corrcoef(flat.T) - np.eye(4))) < 0.1


def test_every_library(xp):
    y = np.full((2, 3), 0.3)
    got = read_noise(xp.asarray(y), 3, np.ones((1, 3)), "laplace", 5, np.random.default_rng(0))
    wanted = read_noise(y, 3, np.ones((1, 3)), "laplace", 5, np.random.default_rng(0))
    np.testing.assert_allclose(arrays.to_host(got), wanted)


def test_bad_arguments():
    rng = np.random.default_rng(0)
    for y, depth, scales, law, draws, message in (
        (np.ones((2, 3)), 3, np.ones((1, 3)), "normal", 5, "law"),
        (np.ones((2, 3)), -1, np.ones((1, 3)), "laplace", 5, "depth"),
        (np.ones((2, 3)), 3, np.ones((1, 2)), "laplace", 5, "scales of shape"),
        (np.ones((2, 3)), 3, np.ones(3), "laplace", 5, "scales of shape"),
        (np.ones(3), 3, np.ones((1, 3)), "laplace", 5, "y of shape"),
        (np.ones((2, 3)), 3, np.ones((1, 3)), "laplace", 0, "draws=0"),
        (np.ones((2, 3)), 3, np.ones((1, 3)), "laplace", True, "draws=True"),
        (np.ones((2, 3)), 3, np.ones((1, 3)), "laplace", 2.5, "draws=2.5"),
    ):
        with pytest.raises(ValueError, match=message):
            read_noise(y, depth, scales, law, draws, rng)
    with pytest.raises(ValueError, match="bounds"):
        read_noise(np.ones((2, 3)), 3, np.ones((1, 3)), "laplace", 5, rng, bounds=0.0)
