"""Gap-Hamming instances against brute force, and the reduction against its own certificate."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.attention.exact import attention
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.hardness import gap_hamming as module
from touchstone.hardness.gap_hamming import CertifiedGap, gap_hamming, hamming_to_attention

SIZES = [(16, 32, 2), (64, 48, 4)]  # n, d = 8 log2 n, t


def distances(a, b):
    """All Hamming distances, one vector of ``a`` at a time."""
    return np.array([[int(np.sum(x != y)) for y in b] for x in a])


def critical_bound(n, d, t):
    return math.sqrt(8 * d * math.log(n) / t)


def pair(d, distance):
    """Two vectors of weight d/2 at a given distance."""
    x = np.repeat([1.0, 0.0], d // 2)
    y = x.copy()
    y[: distance // 2] = 0
    y[d // 2 : d // 2 + distance // 2] = 1
    return x[None, :], y[None, :]


# -- instances -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 12),
    half=st.integers(1, 16),
    flips=st.integers(1, 16),
    planted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_vectors_keep_their_weight_and_the_promise(n, half, flips, planted, seed):
    d, t = 2 * half, 2 * min(flips, half)
    if not planted and (1 - exact_close_probability(d, 2 * t)) ** (n * n) < Fraction(1, 20):  # too rare
        with pytest.raises(ValueError, match="for a NO instance take d larger"):
            gap_hamming(n, d, t, planted, stream(seed))
        return
    a, b = gap_hamming(n, d, t, planted, stream(seed))
    for x in (a, b):
        assert x.shape == (n, d)
        assert x.dtype == np.float64
        assert set(np.unique(x)) <= {0.0, 1.0}
        assert np.all(x.sum(axis=1) == half)
    if planted:
        assert np.any(distances(a, b) == t)
    else:
        assert distances(a, b).min() > 2 * t


def exact_close_probability(d, distance):
    """By the hypergeometric law of the overlap of two sets of size d/2."""
    half = d // 2
    close = sum(
        math.comb(half, overlap) * math.comb(half, half - overlap)
        for overlap in range(half + 1)
        if d - 2 * overlap <= distance
    )
    return Fraction(close, math.comb(d, half))


@pytest.mark.parametrize(("n", "d", "t"), SIZES)
def test_yes_has_a_close_pair_and_no_has_none(n, d, t):
    for trial in range(3):
        # at these sizes a second pair this close comes up once in 10^4 instances
        assert distances(*gap_hamming(n, d, t, True, stream(1, trial))).min() == t
        assert distances(*gap_hamming(n, d, t, False, stream(1, trial))).min() > 2 * t


def test_close_pairs_are_drawn_again(monkeypatch):
    # at these sizes about 2.3 pairs of a random instance are close, so nine draws in ten must be rejected
    n, d, t = 14, 20, 2
    assert 2 < n * n * exact_close_probability(d, 2 * t) < 3
    draws = []
    original = module._balanced
    monkeypatch.setattr(module, "_balanced", lambda *args: (draws.append(1), original(*args))[1])
    for trial in range(20):
        assert distances(*gap_hamming(n, d, t, False, stream(2, trial))).min() > 2 * t
    assert len(draws) > 4 * 2 * 20  # two sets a draw, twenty instances


def test_vectors_are_uniform():
    n, d = 4000, 8
    a, b = gap_hamming(n, d, 2, True, stream(3))
    for x in (a, b):
        # each of the 70 vectors of weight 4 with probability 1/70; six standard deviations of the count
        _, counts = np.unique(x, axis=0, return_counts=True)
        assert len(counts) == math.comb(d, d // 2)
        assert np.all(np.abs(counts - n / 70) <= 6 * math.sqrt(n / 70))
    # the two sets are drawn apart: the overlap has mean d/4 and standard deviation d / (4 sqrt(d - 1))
    overlap = np.sum(a * b, axis=1)
    assert abs(overlap.mean() - d / 4) <= 6 * d / (4 * math.sqrt(d - 1)) / math.sqrt(n)


def test_the_planted_pair_falls_anywhere():
    places = set()
    for trial in range(60):
        near = distances(*gap_hamming(3, 64, 2, True, stream(4, trial)))
        places.add(tuple(int(i) for i in np.unravel_index(near.argmin(), near.shape)))
    assert (
        len(places) == 9
    )  # nine places; one stays empty with probability 9 (8/9)^60 < 0.8 % on another seed


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 9), half=st.integers(1, 8), rows=st.integers(1, 4), seed=st.integers(0, 99))
def test_brute_force_in_blocks(n, half, rows, seed):
    a, b = (module._balanced(n, 2 * half, stream(seed, name)) for name in "ab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ROWS", rows)
        assert module._least_distance(a, b) == distances(a, b).min()


@pytest.mark.parametrize("planted", [True, False])
def test_same_seed_same_numbers_in_every_library(xp, planted):
    expected = gap_hamming(16, 32, 4, planted, stream(5))
    for x, y in zip(gap_hamming(16, 32, 4, planted, stream(5), like=xp), expected, strict=True):
        assert x.dtype == xp.float64
        np.testing.assert_array_equal(to_host(x), y)


@pytest.mark.parametrize(
    ("n", "d", "t", "planted", "message"),
    [
        (0, 8, 2, True, r"n=0: expected an integer >= 1"),
        (4, 7, 2, True, r"d=7: expected an even integer >= 2"),
        (4, 0, 2, True, r"d=0: expected an even integer >= 2"),
        (4, 8, 3, True, r"t=3: expected an even integer in \[2, 8\]"),
        (4, 8, 0, True, r"t=0: expected an even integer"),
        (4, 8, 10, False, r"t=10: expected an even integer"),
        (4, 8, 4, False, r"t=4 with n=4, d=8: about 16 pairs .* take d larger or t smaller"),
        (1, 2, 2, False, r"t=2 with n=1, d=2: about 1 pairs"),
        (1000, 16, 4, False, r"t=4 with n=1000, d=16: about .* pairs of a random instance lie within 2 t"),
    ],
)
def test_impossible_instances_are_refused_at_once(n, d, t, planted, message):
    with pytest.raises(ValueError, match=message):
        gap_hamming(n, d, t, planted, stream(0))


def test_drawing_gives_up_in_the_end(monkeypatch):
    monkeypatch.setattr(module, "_MOST_DRAWS", 3)
    x, _ = pair(16, 2)
    monkeypatch.setattr(module, "_balanced", lambda n, d, rng: x)  # always the same vector: distance 0
    with pytest.raises(ValueError, match=r"no NO instance in 3 draws"):
        gap_hamming(1, 16, 2, False, stream(0))


# -- the reduction ---------------------------------------------------------------------------------------


def test_construction_entry_by_entry():
    a, b = np.array([[1.0, 0, 1, 0], [0, 1, 1, 0]]), np.array([[1.0, 1, 0, 0], [0, 0, 1, 1]])
    B, t, n, d = 5.0, 2, 2, 4
    Q, K, V, gap = hamming_to_attention(a, b, t, B)
    # l_y = 25 (2 - 1) / 8, l_n = ln 2 + 25 (2 - 2) / 8, pad logit 25 s / 2 = (l_y + l_n) / 2 - ln 2
    assert gap.close == pytest.approx(25 / 8, rel=1e-15)
    assert gap.far == pytest.approx(math.log(2), rel=1e-15)
    assert gap.pad_level == pytest.approx((25 / 8 - math.log(2)) / 25, rel=1e-14)
    assert gap.logit_gap == pytest.approx(25 / 8 - math.log(2), rel=1e-15)
    assert gap.scale == 1 / 8
    assert gap.queries == 2
    assert gap.threshold == 0.5
    s = gap.pad_level
    np.testing.assert_array_equal(Q[:n, :d], B * a)
    np.testing.assert_array_equal(Q[:n, d:], np.full((n, d), B))
    np.testing.assert_array_equal(Q[n:], [[0, 0, 0, 0, B, B, B, B]] * 2)
    np.testing.assert_array_equal(K[:n], np.concatenate([B * b, np.zeros((n, d))], axis=1))
    np.testing.assert_array_equal(K[n:], [[0, 0, 0, 0] + 4 * [B * s]] * 2)
    np.testing.assert_array_equal(V, [[1] + 7 * [0]] * 2 + [[0] * 8] * 2)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 300), half=st.integers(2, 30), flips=st.integers(1, 15))
def test_certificate_at_the_critical_bound(n, half, flips):
    d, t = 2 * half, 2 * min(flips, half // 2)  # t <= d/2 keeps the level s = 1/2 - 7t/(8d) positive
    gap = certificate(n, d, t, critical_bound(n, d, t))
    assert gap.logit_gap == pytest.approx(math.log(n), rel=1e-11)
    assert gap.pad_level == pytest.approx(0.5 - 0.875 * t / d, rel=1e-9, abs=1e-12)
    assert gap.yes_at_least == pytest.approx(math.sqrt(n) / (1 + math.sqrt(n)), rel=1e-9)
    assert gap.no_at_most == pytest.approx(1 / (1 + math.sqrt(n)), rel=1e-9)


def certificate(n, d, t, B):
    """The certificate alone: it depends on sizes only, so any vectors will do."""
    rows = np.tile(np.repeat([1.0, 0.0], d // 2), (n, 1))
    return hamming_to_attention(rows, rows, t, B)[3]


def exact_share(a, b, B, level, d):
    """The largest share of weight on ``b`` over the queries, in 40 digits and straight from the logits."""
    n = len(a)
    with mpmath.workdps(40):
        square = mpmath.mpf(float(B)) ** 2
        pad = n * mpmath.exp(square * mpmath.mpf(level) / 2)
        shares = []
        for x in a:
            weight = mpmath.fsum(mpmath.exp(square * int(x @ y) / (2 * d)) for y in b)
            shares.append(weight / (weight + pad))
        return float(max(shares))


@pytest.mark.parametrize(("n", "d", "t"), SIZES)
@pytest.mark.parametrize("factor", [1.0, 0.7, 0.3])
def test_attention_decides_and_keeps_the_certified_bounds(xp, n, d, t, factor):
    B = factor * critical_bound(n, d, t)
    for planted in (True, False):
        a, b = gap_hamming(n, d, t, planted, stream(6, n, planted), like=xp)
        Q, K, V, gap = hamming_to_attention(a, b, t, B)
        for x in (Q, K, V):
            assert tuple(x.shape) == (2 * n, 2 * d)
            assert to_host(x).min() >= 0
            assert to_host(x).max() <= max(B, 1)
        out = to_host(attention(Q, K, V, scale=gap.scale))
        assert np.all(out[:, 1:] == 0)
        p = out[: gap.queries, 0].max()
        # logits up to B^2/2 (60 or so) from sums of 2d terms: relative error about 2d * 60 * 2^-53 < 1e-11
        assert p == pytest.approx(exact_share(to_host(a), to_host(b), B, gap.pad_level, d), rel=1e-11)
        # the certificate holds for every B, and decides while the gap is positive
        assert p >= gap.yes_at_least - 1e-11 if planted else p <= gap.no_at_most + 1e-11
        if factor == 1.0:
            assert gap.logit_gap > 0
            assert (p >= gap.threshold) == planted
        if factor == 0.3:
            # B^2 falls to 9 %: the gap is 2 * 0.09 ln n - ln n < 0; from n = 64 on every answer is NO
            assert gap.logit_gap == pytest.approx(-0.82 * math.log(n), rel=1e-12)
            assert p < gap.threshold or n < 64


def test_the_yes_bound_is_attained():
    # one query and one key at distance t: their weight is e^(l_y) exactly
    x, y = pair(32, 4)
    Q, K, V, gap = hamming_to_attention(x, y, 4, 6.0)
    assert attention(Q, K, V, scale=gap.scale)[0, 0] == pytest.approx(gap.yes_at_least, rel=1e-12)


def test_the_no_bound_is_approached_and_needs_distance_above_2t():
    # n equal keys at distance 2t meet e^(l_n) exactly; at 2t + 2 they stay below by one step of B^2/(2d)
    n, d, t, B = 5, 32, 4, 9.0
    for distance, expected in ((8, 0.0), (10, -(B**2) / (2 * d))):
        x, y = (np.tile(z, (n, 1)) for z in pair(d, distance))
        Q, K, V, gap = hamming_to_attention(x, y, t, B)
        p = attention(Q, K, V, scale=gap.scale)[:n, 0]
        log_odds = np.log(p / (1 - p))
        np.testing.assert_allclose(log_odds, -gap.logit_gap / 2 + expected, rtol=1e-11)


def test_the_other_scale_breaks_the_certificate():
    # 1/sqrt(2d) in place of 1/(2d): the certified upper bound of a NO instance no longer holds
    n, d, t = 64, 48, 4
    a, b = gap_hamming(n, d, t, False, stream(7))
    Q, K, V, gap = hamming_to_attention(a, b, t, 0.3 * critical_bound(n, d, t))
    right = attention(Q, K, V, scale=gap.scale)[:n, 0].max()
    wrong = attention(Q, K, V, scale=1 / math.sqrt(2 * d))[:n, 0].max()
    assert abs(wrong - right) > 0.05


def test_float32_stays_float32():
    a, b = gap_hamming(16, 32, 4, True, stream(8), like=np.zeros(1, dtype=np.float32))
    Q, K, V, gap = hamming_to_attention(a, b, 4, np.float64(8.0))
    assert {x.dtype for x in (Q, K, V)} == {np.dtype(np.float32)}
    assert isinstance(gap.close, float)


def test_certified_bounds_are_stable_for_large_gaps():
    gap = CertifiedGap(close=5000.0, far=0.0, pad_level=0.5, scale=1.0, queries=1)
    assert gap.yes_at_least == 1.0
    assert 0 <= gap.no_at_most < 1e-300
    flipped = CertifiedGap(close=0.0, far=5000.0, pad_level=0.5, scale=1.0, queries=1)
    assert (flipped.yes_at_least, flipped.no_at_most) == (gap.no_at_most, gap.yes_at_least)


def test_bad_input_is_named():
    a, b = gap_hamming(16, 32, 4, True, stream(9))
    with pytest.raises(ValueError, match=r"a of shape \(16, 32\) and b of shape \(15, 32\)"):
        hamming_to_attention(a, b[1:], 4, 8.0)
    with pytest.raises(ValueError, match=r"a of shape \(32,\)"):
        hamming_to_attention(a[0], b[0], 4, 8.0)
    with pytest.raises(ValueError, match=r"t=3: expected an even integer"):
        hamming_to_attention(a, b, 3, 8.0)
    with pytest.raises(ValueError, match=r"d=31: expected an even integer"):
        hamming_to_attention(a[:, 1:], b[:, 1:], 4, 8.0)
    for B in (0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"B=.*expected a finite number > 0"):
            hamming_to_attention(a, b, 4, B)
    with pytest.raises(ValueError, match=r"a: expected zeros and ones only"):
        hamming_to_attention(2 * a, b, 4, 8.0)
    with pytest.raises(ValueError, match=r"b: expected 16 ones in every row"):
        hamming_to_attention(a, np.ones_like(b), 4, 8.0)
    with pytest.raises(TypeError, match=r"a of dtype int64: expected real floating"):
        hamming_to_attention(a.astype(np.int64), b, 4, 8.0)


@pytest.mark.parametrize(("n", "d", "t", "B"), [(16, 32, 4, 1.0), (64, 8, 8, 4.0)])
def test_a_pad_that_cannot_be_built_is_refused(n, d, t, B):
    row = np.tile(np.repeat([1.0, 0.0], d // 2), (n, 1))
    with pytest.raises(ValueError, match=r"the pad level would be -.*, expected within \[0, 1\]"):
        hamming_to_attention(row, row, t, B)


def test_the_reduction_is_linear_and_runs_without_data():
    n, d, t = 64, 48, 4
    B = critical_bound(n, d, t)
    with count() as executed:
        *_, gap = hamming_to_attention(*(counted(x) for x in gap_hamming(n, d, t, True, stream(10))), t, B)
    with count() as shapes:
        *_, same = hamming_to_attention(shape_only(n, d), shape_only(n, d), t, B)
    assert executed.numbers() == shapes.numbers()
    assert gap == same
    n, d, t = 2**320, 2560, 256
    B = critical_bound(n, d, t)
    with count() as costs:
        Q, K, V, gap = hamming_to_attention(shape_only(n, d), shape_only(n, d), t, B)
    assert Q.shape == K.shape == V.shape == (2 * n, 2 * d)
    assert gap.logit_gap == pytest.approx(math.log(n), rel=1e-12)
    # two multiplications by B of 4 n d entries each and one by the level of n d; copies besides
    assert costs.operations == 9 * n * d
    assert costs.moves <= 40 * n * d
