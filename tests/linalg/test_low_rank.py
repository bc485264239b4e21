"""The entrywise product with a low-rank matrix, against the product formed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.low_rank import hadamard_product_apply


class Products:
    """An operator that gives nothing away but its shape and its products."""

    def __init__(self, F):
        self._F, self.shape = F, F.shape

    def __matmul__(self, V):
        return self._F @ V


@settings(max_examples=60, deadline=None)
@given(*[st.integers(1, 7)] * 4, st.integers(0, 10**6))
def test_is_the_product_formed(n, m, r, c, seed):
    rng = np.random.default_rng(seed)
    F, G, H, M = (rng.normal(size=s) for s in [(n, m), (n, r), (m, r), (m, c)])
    expected = (F * (G @ H.T)) @ M
    got = hadamard_product_apply(Products(F), G, H, M)
    np.testing.assert_allclose(got, expected, atol=1e-13 * (1 + np.abs(expected).max()))


def test_on_every_library(xp):
    rng = np.random.default_rng(0)
    F, G, H, M = (rng.normal(size=s) for s in [(5, 4), (5, 3), (4, 3), (4, 2)])
    got = hadamard_product_apply(*(xp.asarray(x) for x in (F, G, H, M)))
    np.testing.assert_allclose(to_host(got), (F * (G @ H.T)) @ M, atol=1e-14)


def test_counts():
    def costs(make):
        with count() as costs:
            hadamard_product_apply(make(5, 4), make(5, 3), make(4, 3), make(4, 2))
        return costs.numbers()

    assert costs(shape_only) == costs(lambda *s: counted(np.ones(s)))
    assert costs(shape_only)["multiply_adds"] == 5 * 4 * 6


@pytest.mark.parametrize("wrong", range(3))
def test_shapes_that_do_not_fit(wrong):
    shapes = [(5, 3), (4, 3), (4, 2)]
    shapes[wrong] = (6, shapes[wrong][1])
    with pytest.raises(ValueError, match=f"{'GHM'[wrong]} of shape"):
        hadamard_product_apply(np.ones((5, 4)), *(np.ones(s) for s in shapes))


def test_different_ranks():
    with pytest.raises(ValueError, match="expected 3 columns"):
        hadamard_product_apply(np.ones((5, 4)), np.ones((5, 1)), np.ones((4, 3)), np.ones((4, 2)))


def test_a_row_in_place_of_a_matrix():
    with pytest.raises(ValueError, match="M of shape"):
        hadamard_product_apply(np.ones((5, 4)), np.ones((5, 1)), np.ones((4, 1)), np.ones(4))
