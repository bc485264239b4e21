"""Hyperplane hashing: keys bit by bit, how often points collide, the same keys on every library."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from touchstone.arrays import stream, to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.sketching.hashing import MOST_BITS, hyperplane_hash


def keys_bit_by_bit(X, normals):
    """One point, one hyperplane at a time."""
    planes = range(normals.shape[1])
    return [
        sum(2**i for i in planes if sum(a * b for a, b in zip(x, normals[:, i], strict=True)) > 0) for x in X
    ]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(1, 12), st.integers(0, 99))
def test_keys_are_sides(n, d, bits, seed):
    X = stream(seed, "points").normal(size=(n, d))
    family = hyperplane_hash(d, bits, stream(seed))
    assert family.bits == bits
    keys = family.keys(X)
    assert keys.dtype == np.int64
    np.testing.assert_array_equal(keys, keys_bit_by_bit(X, family.normals))
    # lengths do not matter, the opposite point has the opposite sides
    np.testing.assert_array_equal(family.keys(X * stream(seed, "lengths").uniform(0.1, 9, (n, 1))), keys)
    np.testing.assert_array_equal(family.keys(-X), 2**bits - 1 - keys)


def test_zero_has_key_zero():
    np.testing.assert_array_equal(hyperplane_hash(3, 5, stream(0)).keys(np.zeros((2, 3))), [0, 0])


def test_more_bits_keep_the_first_ones():
    X = stream(1).normal(size=(30, 4))
    few, many = (hyperplane_hash(4, bits, stream(2)).keys(X) for bits in (5, 11))
    np.testing.assert_array_equal(many % 2**5, few)
    two, three = (hyperplane_hash(4, 5, stream(2), tables=t).keys(X) for t in (2, 3))
    assert three.shape == (30, 3)
    np.testing.assert_array_equal(three[:, :2], two)
    np.testing.assert_array_equal(three[:, 0], few)
    assert hyperplane_hash(4, 5, stream(2), tables=1).keys(X).shape == (30, 1)


def test_tables_are_independent_hashes():
    X = stream(1).normal(size=(7, 3))
    family = hyperplane_hash(3, 6, stream(4), tables=5)
    expected = [keys_bit_by_bit(X, family.normals[:, 6 * t : 6 * t + 6]) for t in range(5)]
    np.testing.assert_array_equal(family.keys(X), np.transpose(expected))


def test_most_bits_are_exact():
    family = hyperplane_hash(2, MOST_BITS, stream(0))
    X = stream(1).normal(size=(50, 2))
    np.testing.assert_array_equal(family.keys(X), keys_bit_by_bit(X, family.normals))
    assert family.keys(X).max() > 2 ** (MOST_BITS - 1)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, math.pi / 2, 2.9, math.pi - 1e-9, math.pi])
@pytest.mark.parametrize("bits", [1, 7])
def test_collision_probability(angle, bits):
    family = hyperplane_hash(3, bits, stream(0))
    x, y = np.array([2.0, 0, 0]), 1e-3 * np.array([math.cos(angle), 0, math.sin(angle)])
    # from the half-angle formula the angle is right to a few roundings, also where the cosine is flat
    assert family.collision(x, y) == pytest.approx((1 - angle / math.pi) ** bits, rel=1e-14, abs=1e-15)


def test_collision_of_many_points():
    X, Y = stream(1).normal(size=(2, 4, 5, 3))
    family = hyperplane_hash(3, 4, stream(0))
    cosine = np.sum(X * Y, axis=-1) / np.linalg.norm(X, axis=-1) / np.linalg.norm(Y, axis=-1)
    np.testing.assert_allclose(family.collision(X, Y), (1 - np.arccos(cosine) / math.pi) ** 4, rtol=1e-12)


def test_collisions_happen_as_often_as_predicted():
    family = hyperplane_hash(5, 3, stream(6), tables=20_000)
    X = stream(7).normal(size=(2, 5))
    first, second = family.keys(X)
    together = int(np.sum(first == second))
    # a false alarm once in a million draws, and the seed is fixed
    assert stats.binomtest(together, 20_000, float(family.collision(X[0], X[1]))).pvalue > 1e-6


def test_on_every_library(xp):
    X = stream(1).normal(size=(40, 6))
    for tables in (None, 3):
        expected = hyperplane_hash(6, 9, stream(2), tables=tables)
        family = hyperplane_hash(6, 9, stream(2), tables=tables, like=xp.asarray(X))
        keys = family.keys(xp.asarray(X))
        assert keys.dtype == xp.int64
        np.testing.assert_array_equal(to_host(keys), expected.keys(X))
        got = to_host(family.collision(xp.asarray(X[:3]), xp.asarray(X[3:6])))
        np.testing.assert_allclose(got, expected.collision(X[:3], X[3:6]), rtol=1e-13)
    narrow = hyperplane_hash(6, 9, stream(2), like=xp.zeros(1, dtype=xp.float32))
    assert narrow.normals.dtype == xp.float32


@pytest.mark.parametrize("tables", [None, 4])
def test_cost(tables):
    n, d, bits = 21, 5, 6
    times = 1 if tables is None else tables
    tallies = []
    for make in (lambda *shape: counted(stream(0).normal(size=shape)), shape_only):
        family = hyperplane_hash(d, bits, stream(1), tables=tables, like=make(1, 1))
        X = make(n, d)
        with count() as costs:
            family.keys(X)
        assert costs.multiply_adds == n * d * bits * times + n * bits * times
        assert costs.comparisons == n * bits * times
        assert costs.arithmetic == costs.transcendentals == 0
        tallies.append((costs.operations, costs.moves, costs.bytes_peak))
    assert tallies[0] == tallies[1]


def test_repr():
    assert repr(hyperplane_hash(3, 4, stream(0))) == "HyperplaneHash(3 features, 4 bits)"
    assert repr(hyperplane_hash(3, 4, stream(0), tables=2)) == "HyperplaneHash(3 features, 4 bits, 2 tables)"


@pytest.mark.parametrize("name", ["d", "bits", "tables"])
@pytest.mark.parametrize("bad", [0, -1, 2.0, True])
def test_sizes(name, bad):
    sizes = {"d": 3, "bits": 4, "tables": 2} | {name: bad}
    with pytest.raises(ValueError, match=f"{name}="):
        hyperplane_hash(sizes["d"], sizes["bits"], stream(0), tables=sizes["tables"])


def test_bad_points():
    family = hyperplane_hash(3, 4, stream(0))
    with pytest.raises(ValueError, match=f"bits={MOST_BITS + 1}: expected at most {MOST_BITS}"):
        hyperplane_hash(3, MOST_BITS + 1, stream(0))
    with pytest.raises(ValueError, match=r"X of shape \(2, 4\): expected 3 features"):
        family.keys(np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"X of shape \(3,\): expected \(n, 3\)"):
        family.keys(np.zeros(3))
    with pytest.raises(TypeError, match="X of dtype int64"):
        family.keys(np.zeros((2, 3), dtype=int))
    with pytest.raises(ValueError, match="y with a point of length 0"):
        family.collision(np.ones(3), np.zeros(3))
    with pytest.raises(ValueError, match="x with a point of length 0"):
        family.collision(np.full(3, np.nan), np.ones(3))
    with pytest.raises(ValueError, match="y of shape"):
        family.collision(np.ones(3), np.ones(2))
    with pytest.raises(TypeError, match="y of dtype"):
        family.collision(np.ones(3), np.ones(3, dtype=int))
