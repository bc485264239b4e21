"""Planted pairs: a partner for every query, and the other logits as they should be."""

import math

import numpy as np
import pytest

from touchstone.arrays import stream, to_host
from touchstone.instances.planted_pairs import planted_pairs


@pytest.mark.parametrize(("n", "d"), [(1, 1), (1, 4), (9, 1), (40, 6)])
def test_every_query_has_its_key(n, d):
    Q, K, partner = planted_pairs(n, d, 2.5, stream(0))
    assert Q.shape == K.shape == (n, d)
    np.testing.assert_array_equal(np.sort(partner), np.arange(n))
    np.testing.assert_allclose(Q, 2.5 * K[partner])
    np.testing.assert_allclose(np.sum(K * K, axis=1), 1)
    np.testing.assert_allclose(np.sum(Q * K[partner], axis=1), 2.5)


def test_other_logits():
    n, d = 1500, 12
    Q, K, partner = planted_pairs(n, d, 3.0, stream(1))
    logits = Q @ K.T
    others = logits[np.arange(n)[None, :] != partner[:, None]]
    # the mean of 1500 independent rows of deviation 3 / sqrt(12), over the root of 1500: four deviations
    assert abs(others.mean()) < 4 * 3 / math.sqrt(12) / n
    assert others.var() == pytest.approx(9 / d, rel=0.02)
    assert np.any(partner != np.arange(n))


def test_on_every_library(xp):
    Q, K, partner = planted_pairs(7, 3, 1.5, stream(2), like=xp)
    expected = planted_pairs(7, 3, 1.5, stream(2))
    for x, y in zip((to_host(Q), to_host(K), partner), expected, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_bad_strength(bad):
    with pytest.raises(ValueError, match="strength="):
        planted_pairs(3, 2, bad, stream(0))
    with pytest.raises(ValueError, match="n=0"):
        planted_pairs(0, 2, 1.0, stream(0))
