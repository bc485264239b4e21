"""Universal sets, heavy pairs and the one-pass filter against brute force over all pairs and all rows."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.attention.exact import attention, attention_weights
from touchstone.attention.heavy_keys import (
    OnePassHeavyKeys,
    guarded,
    heavy_pairs,
    most_heavy_keys,
    top_key_attention,
    universal_set,
)
from touchstone.attention.power import power_attention_weights
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.counting.space import live_words
from touchstone.counting.streams import OnePass
from touchstone.instances.matrices import random_rows
from touchstone.linalg.leverage import leverage_scores
from touchstone.sketching.sensitivity_bounds import sensitivity_bounds


def brute_force(Q, K, eps, p):
    weights = power_attention_weights(Q, K, p)
    assert not np.any(np.abs(weights - eps) < 1e-9)  # no pair that rounding decides
    return [tuple(pair) for pair in np.argwhere(weights >= eps).tolist()]


def listed(pairs):
    return list(zip(*(to_host(x).tolist() for x in pairs), strict=True))


def offline(K, eps):
    return np.flatnonzero(leverage_scores(K) >= eps * (1 - 1e-9)).tolist()


# -- the set -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("law", ["gaussian", "heavy_rows", "lognormal"])
def test_holds_every_large_score(law, p):
    rng = stream(1, law)
    K = random_rows(150, 3, law, rng)
    U = universal_set(K, 0.1, p)
    assert len(U) <= most_heavy_keys(3, 0.1, p)
    Q = np.concatenate([rng.standard_normal((50, 3)), K, K @ np.linalg.inv(K.T @ K)])
    weights = power_attention_weights(Q, K, p)
    outside = np.ones(150, dtype=bool)
    outside[U] = False
    assert np.max(weights[:, outside], initial=0.0) < 0.1


def test_holds_no_other_key_when_p_is_two():
    K = random_rows(200, 4, "heavy_rows", stream(2))
    U = universal_set(K, 0.1)
    scores = np.diagonal(power_attention_weights(K @ np.linalg.inv(K.T @ K), K, 2))
    assert U.tolist() == np.flatnonzero(scores >= 0.1).tolist()
    assert U.tolist() == np.flatnonzero(leverage_scores(K) >= 0.1).tolist()


@pytest.mark.parametrize(("d", "m"), [(1, 1), (2, 3), (3, 10), (5, 49)])
def test_as_large_as_it_may_be(d, m):
    # each direction m times: leverage 1/m, and rounding must not lose the keys that lie on the limit
    K = np.concatenate([np.repeat(np.eye(d), m, axis=0), 1e-9 * stream(3).standard_normal((30, d))])
    assert universal_set(K, 1 / m).tolist() == list(range(d * m))
    assert most_heavy_keys(d, 1 / m) == d * m
    if m > 1:
        assert len(universal_set(K, 1 / m * (1 + 1e-6))) == 0


def test_sensitivity_decides_and_not_leverage():
    K = stream(4).standard_normal((100, 10))
    assert len(universal_set(K, 0.25)) == 0
    assert universal_set(K, 0.25, 4).tolist() == np.flatnonzero(sensitivity_bounds(K, 4) >= 0.25).tolist()
    assert len(universal_set(K, 0.25, 4)) > 50


def test_without_data_it_is_as_large_as_it_may_be():
    assert universal_set(shape_only(1000, 8), 0.1).shape == (80,)
    assert universal_set(shape_only(50, 8), 0.1).shape == (50,)
    assert universal_set(shape_only(1000, 8), 0.1, 4).shape == (360,)
    assert most_heavy_keys(8, 0.3) == 26
    assert most_heavy_keys(4, 0.1, 3) == 80


def test_guard():
    # ten times u^(5/8): 1.06e-9 and 3.1e-4
    assert guarded(0.5, np.float64, np) == pytest.approx(0.5 * (1 - 10 * 2**-33.125), rel=1e-15)
    assert guarded(0.5, np.float32, np) == pytest.approx(0.5 * (1 - 10 * 2**-15), rel=1e-15)


@pytest.mark.parametrize("eps", [0, -0.1, 1.1, np.nan, "0.1", True])
def test_bad_eps(eps):
    K = np.ones((3, 2))
    for call in (
        lambda: universal_set(K, eps),
        lambda: most_heavy_keys(2, eps),
        lambda: heavy_pairs(K, K, eps),
        lambda: OnePassHeavyKeys(2, eps),
    ):
        with pytest.raises(ValueError, match="eps="):
            call()


# -- the pairs ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 2, 2.5, 3, 4, 6])
@pytest.mark.parametrize("law", ["gaussian", "heavy_rows"])
def test_pairs_against_brute_force(law, p):
    rng = stream(5, law)
    K, Q = random_rows(120, 3, law, rng), rng.standard_normal((80, 3))
    expected = brute_force(Q, K, 0.06, p)
    assert expected or (law, p) == ("gaussian", 1)
    for block in (None, 7):
        assert listed(heavy_pairs(Q, K, 0.06, p, block=block)) == expected
    assert listed(heavy_pairs(Q, K, 0.06, p, block=7, workers=2)) == expected


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(0, 5),
    m=st.integers(1, 6),
    d=st.integers(1, 4),
    p=st.sampled_from([1, 2, 4]),
    eps=st.sampled_from([0.123, 0.4567, 0.789]),
    seed=st.integers(0, 99),
)
def test_pairs_of_any_shape(n, m, d, p, eps, seed):
    rng = stream(seed)
    Q, K = rng.standard_normal((n, d)), rng.standard_normal((m, d))
    assert listed(heavy_pairs(Q, K, eps, p)) == brute_force(Q, K, eps, p)


@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scale_does_not_matter(scale):
    rng = stream(6)
    K, Q = random_rows(60, 3, "heavy_rows", rng), rng.standard_normal((20, 3))
    expected = listed(heavy_pairs(Q, K, 0.1, 4))
    assert expected
    assert listed(heavy_pairs(Q * scale, K, 0.1, 4)) == expected
    assert listed(heavy_pairs(Q, K * scale, 0.1, 4)) == expected


def test_a_query_of_zeros_has_no_pairs():
    K = np.eye(2)
    Q = np.array([[0.0, 0.0], [0.0, -2.0]])
    assert listed(heavy_pairs(Q, K, 0.5)) == [(1, 1)]
    assert listed(heavy_pairs(Q, np.zeros((3, 2)), 0.5)) == []
    assert listed(heavy_pairs(Q, K, 1.0)) == [(1, 1)]


def test_pairs_on_every_library(xp):
    rng = stream(7)
    K, Q = random_rows(60, 3, "heavy_rows", rng), rng.standard_normal((20, 3))
    for p in (1, 2, 4):
        got = heavy_pairs(xp.asarray(Q), xp.asarray(K), 0.1, p)
        assert listed(got) == brute_force(Q, K, 0.1, p)
    single = heavy_pairs(xp.asarray(Q, dtype=xp.float32), xp.asarray(K, dtype=xp.float32), 0.1)
    assert listed(single) == brute_force(Q, K, 0.1, 2)


@pytest.mark.parametrize(("n", "m", "d", "eps"), [(300, 500, 8, 0.1), (70, 40, 3, 0.5)])
def test_counts_of_pairs(n, m, d, eps):
    with count() as costs:
        heavy_pairs(shape_only(n, d), shape_only(m, d), eps)
    with count() as leverage:
        leverage_scores(shape_only(m, d))
    with count() as twice:
        leverage_scores(shape_only(2 * m, d))
    u = min(m, math.floor(d / eps))
    assert costs.multiply_adds == leverage.multiply_adds + (n + m) * d**2 + n * d + n * u * d
    # beside what depends on d alone
    assert twice.multiply_adds - leverage.multiply_adds == 2 * m * d**2 + m * d


def test_counts_with_data_and_without():
    rng = stream(8)
    # every key lies in the set: one in its own direction, as many as there are columns
    Q, K = rng.standard_normal((30, 4)), np.eye(4)
    with count() as executed:
        heavy_pairs(counted(Q), counted(K), 0.25)
    with count() as shapes:
        heavy_pairs(shape_only(30, 4), shape_only(4, 4), 0.25)
    assert executed.multiply_adds == shapes.multiply_adds


def test_bad_pairs():
    K = np.ones((3, 2))
    for Q in (np.ones((3, 3)), np.ones(2)):
        with pytest.raises(ValueError, match="Q of shape"):
            heavy_pairs(Q, K, 0.5)
    with pytest.raises(ValueError, match="finite"):
        heavy_pairs(K, np.array([[np.nan, 1.0]] * 3), 0.5)


# -- the layer ---------------------------------------------------------------------------------------------


def test_attention_to_the_keys_of_largest_leverage():
    rng = stream(9)
    Q, V = rng.standard_normal((10, 3)), rng.standard_normal((40, 2))
    K = random_rows(40, 3, "lognormal", rng)
    for scores in (None, rng.uniform(size=40)):
        order = np.argsort(leverage_scores(K) if scores is None else scores)[::-1][:6]
        weights = attention_weights(Q, K[order], scale=0.7)
        got = top_key_attention(Q, K, V, 6, scale=0.7, scores=scores)
        np.testing.assert_allclose(got, weights @ V[order], rtol=1e-12)
    np.testing.assert_allclose(
        top_key_attention(Q, K, V, 40, scale=0.7), attention(Q, K, V, scale=0.7), rtol=1e-12
    )


def test_layer_on_every_library(xp):
    rng = stream(10)
    Q, K, V = (rng.standard_normal((12, 3)) for _ in range(3))
    got = top_key_attention(*(xp.asarray(x) for x in (Q, K, V)), 4, scale=1.0)
    np.testing.assert_allclose(to_host(got), top_key_attention(Q, K, V, 4, scale=1.0), rtol=1e-12)


def test_bad_layers():
    K = np.ones((4, 2))
    for k in (0, 5, 1.5, True):
        with pytest.raises(ValueError, match="k="):
            top_key_attention(K, K, K, k, scale=1)
    with pytest.raises(ValueError, match="scores of shape"):
        top_key_attention(K, K, K, 2, scale=1, scores=np.ones(3))


# -- one pass ----------------------------------------------------------------------------------------------


def streamed(K, eps, size=17, **options):
    finder = OnePassHeavyKeys(K.shape[1], eps, **options)
    for block in OnePass(K).blocks(size):
        finder.push(block)
    return finder


@pytest.mark.parametrize("law", ["gaussian", "heavy_rows", "lognormal", "two_clusters"])
@pytest.mark.parametrize("size", [1, 17, 1000])
def test_same_set_as_offline(law, size):
    K = random_rows(700, 4, law, stream(11, law))
    finder = streamed(K, 0.1, size)
    assert finder.finish().tolist() == offline(K, 0.1)
    assert finder.capacity == 80
    assert finder.tally["buffer"] == 81
    assert finder.tally["keys"] == 700
    # at most 40 survive a filter, so that it takes 41 keys to come to the next
    assert finder.tally["filters"] <= 700 // 41 + 1
    np.testing.assert_allclose(finder.gram, K.T @ K, rtol=1e-12, atol=1e-9)
    assert set(finder.positions.tolist()) == set(offline(K, 0.1))
    np.testing.assert_array_equal(finder.keys, K[finder.positions])


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(0, 60),
    d=st.integers(1, 4),
    eps=st.sampled_from([0.217, 0.5, 0.9]),
    size=st.integers(1, 9),
    rank=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def test_any_stream(n, d, eps, size, rank, seed):
    rng = stream(seed)
    K = rng.standard_normal((n, min(rank, d))) @ rng.standard_normal((min(rank, d), d))
    K = K * np.exp(2 * rng.standard_normal((n, 1)))
    finder = streamed(K, eps, size)
    expected = offline(K, eps) if n else []
    assert finder.finish().tolist() == expected
    assert finder.tally["buffer"] <= finder.capacity + 1


def test_blocks_do_not_matter():
    K = random_rows(300, 3, "heavy_rows", stream(12))
    one, all_ = streamed(K, 0.2, 1), streamed(K, 0.2, 300)
    assert one.tally == all_.tally
    np.testing.assert_allclose(one.gram, all_.gram, rtol=1e-12)
    np.testing.assert_array_equal(one.positions, all_.positions)
    single = OnePassHeavyKeys(3, 0.2)
    for k in K:
        single.push(k)
    np.testing.assert_array_equal(single.positions, one.positions)


def test_memory_does_not_grow():
    words = {}
    for n in (100, 1000, 4000):
        finder, most = OnePassHeavyKeys(4, 0.25), 0
        for block in OnePass(random_rows(n, 4, "gaussian", stream(13))).blocks(8):
            finder.push(block)
            most = max(most, live_words(finder))
        words[n] = most
    d, kept = 4, 33
    assert words[1000] == words[4000] <= d**2 + kept * (d + 1) + 12  # and a few counters
    assert words[100] <= words[1000]


def test_does_not_hold_on_to_its_input():
    block = np.ones((5, 2))
    finder = OnePassHeavyKeys(2, 0.5)
    finder.push(block)
    block[...] = 7
    assert finder.keys.tolist() == [[1.0, 1.0]] * 5
    assert finder.gram.tolist() == [[5.0, 5.0], [5.0, 5.0]]


def test_order_does_not_matter():
    K = random_rows(500, 3, "heavy_rows", stream(14))
    for order in (np.argsort(np.linalg.norm(K, axis=1)), np.argsort(-np.linalg.norm(K, axis=1))):
        found = streamed(K[order], 0.1).finish()
        assert sorted(order[found].tolist()) == offline(K, 0.1)


def test_leverage_can_be_replaced():
    K = random_rows(300, 3, "gaussian", stream(15))
    seen = []

    def half(keys, gram):
        seen.append((keys.shape, gram.shape))
        return np.full(keys.shape[0], 0.19)

    finder = streamed(K, 0.2, leverage=half)
    assert finder.finish().tolist() == []
    assert seen[0] == ((31, 3), (3, 3))


def test_growing_directions_stay_few():
    # every key is heavy when it comes: who decides then keeps them all
    K = np.array([2.0**j * np.eye(2)[j % 2] for j in range(400)])
    finder = streamed(K, 0.5, 1)
    assert finder.finish().tolist() == [398, 399]
    assert finder.tally["buffer"] == 9


@pytest.mark.parametrize("shards", [2, 3, 8])
@pytest.mark.parametrize("law", ["gaussian", "heavy_rows"])
def test_shards(law, shards):
    K = random_rows(640, 4, law, stream(16, law))
    parts = np.array_split(np.arange(640), shards)
    centre = OnePassHeavyKeys(4, 0.1)
    for part in parts:
        shard = OnePassHeavyKeys(4, 0.1, first=int(part[0]))
        shard.push(K[part])
        gram, keys, positions = shard.summary()
        assert len(positions) <= 40
        local = leverage_scores(K[part]) >= 0.1
        assert sorted(positions.tolist()) == part[local].tolist()
        centre.merge(gram, keys, positions)
    assert centre.finish().tolist() == offline(K, 0.1)
    assert centre.tally["buffer"] <= 80 + 40


def test_more_keys_after_a_merge():
    K = random_rows(300, 3, "heavy_rows", stream(17))
    first, second = OnePassHeavyKeys(3, 0.1, first=200), OnePassHeavyKeys(3, 0.1)
    first.push(K[200:])
    second.push(K[:100])
    second.merge(*first.summary())
    second.push(K[100:200])
    assert second.finish().tolist() == offline(K, 0.1)
    assert second.tally["keys"] == 200


def test_nothing_seen():
    finder = OnePassHeavyKeys(3, 0.1)
    assert finder.finish().tolist() == []
    gram, keys, positions = finder.summary()
    assert (gram.shape, keys.shape, positions.shape) == ((3, 3), (0, 3), (0,))
    finder.push(np.zeros((0, 3)))
    finder.push(np.zeros((200, 3)))
    assert finder.finish().tolist() == []


def test_where_rounding_keeps_every_key_the_stream_goes_on():
    # parts across the diagonal that the Gram matrix cannot show: any of these keys may be the only one there
    K = 1e-9 * np.outer(np.ones(30), [1.0, -1.0])
    finder = OnePassHeavyKeys(2, 1.0)
    finder.push(1e3 * np.ones((4, 2)))
    finder.push(K)
    assert set(range(4, 34)) <= set(finder.finish().tolist())


def test_one_pass_on_every_library(xp):
    K = random_rows(200, 3, "heavy_rows", stream(18))
    for like in (xp, xp.asarray(K, dtype=xp.float32)):
        finder = OnePassHeavyKeys(3, 0.137, like=like)
        finder.push(xp.asarray(K, dtype=finder.gram.dtype))
        assert to_host(finder.finish()).tolist() == offline(K, 0.137)
    assert finder.gram.dtype == xp.float32
    assert finder.keys.dtype == xp.float32


def test_bad_streams():
    finder = OnePassHeavyKeys(3, 0.5)
    for shape in [(2, 2), (4,), (1, 1, 3)]:
        with pytest.raises(ValueError, match="keys of shape"):
            finder.push(np.ones(shape))
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="finite"):
            finder.push(np.array([[1.0, bad, 1.0]]))
    assert finder.tally["keys"] == 0
    assert finder.keys.shape == (0, 3)
    for gram, keys, positions in [((2, 2), (1, 3), 1), ((3, 3), (1, 2), 1), ((3, 3), (2, 3), 1)]:
        with pytest.raises(ValueError, match="gram of shape"):
            finder.merge(np.ones(gram), np.ones(keys), np.zeros(positions, dtype=int))
    for d in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="d="):
            OnePassHeavyKeys(d, 0.5)
    for first in (-1, 0.5, True):
        with pytest.raises(ValueError, match="first="):
            OnePassHeavyKeys(2, 0.5, first=first)
