"""Gap maximum inner product against brute force, and the reduction against its own certificate."""

import itertools
import math

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.attention.tensor import tensor_attention
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.hardness import inner_product as module
from touchstone.hardness.inner_product import (
    CertifiedGap,
    gap_inner_product,
    inner_product_to_tensor_attention,
)

SIZES = [(24, 48, 2, 24, 20), (16, 48, 3, 24, 19), (6, 40, 4, 20, 14)]  # n, d, order, high, low


def inner_products(sets):
    """Of every tuple, one at a time."""
    shape = [len(x) for x in sets]
    out = np.zeros(shape, dtype=int)
    for at in itertools.product(*map(range, shape)):
        out[at] = sum(
            all(x[i][c] == 1 for x, i in zip(sets, at, strict=True)) for c in range(len(sets[0][0]))
        )
    return out


def critical_bound(n, d, order, high, low):
    """The B at which the certified gap is ln n."""
    return (order * math.log(n) * 2 * d / (high - low)) ** (1 / order)


# -- instances -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 4),
    d=st.integers(1, 12),
    order=st.integers(2, 4),
    cut=st.tuples(st.integers(0, 11), st.integers(1, 12)),
    planted=st.booleans(),
    seed=st.integers(0, 99),
)
def test_bits_and_promise(n, d, order, cut, planted, seed):
    low = min(cut[0], d - 1)
    high = min(d, low + cut[1])
    tail = sum(math.comb(d, h) * (2**order - 1) ** (d - h) for h in range(low + 1, d + 1))
    if not planted and (1 - tail / 2 ** (order * d)) ** (n**order) < 0.05:  # too rare
        with pytest.raises(ValueError, match="take d or low larger"):
            gap_inner_product(n, d, order, high, low, planted, stream(seed))
        return
    sets = gap_inner_product(n, d, order, high, low, planted, stream(seed))
    assert len(sets) == order
    for x in sets:
        assert x.shape == (n, d)
        assert x.dtype == np.float64
        assert set(np.unique(x)) <= {0.0, 1.0}
    largest = inner_products(sets).max()
    assert largest >= high if planted else largest <= low
    assert module._largest_inner_product(sets) == largest


@pytest.mark.parametrize(("n", "d", "order", "high", "low"), SIZES)
def test_yes_and_no_are_told_apart_by_brute_force(n, d, order, high, low):
    for trial in range(2):
        sets = gap_inner_product(n, d, order, high, low, True, stream(1, order, trial))
        assert module._largest_inner_product(sets) >= high
        sets = gap_inner_product(n, d, order, high, low, False, stream(1, order, trial))
        assert module._largest_inner_product(sets) <= low
        assert module._largest_inner_product(sets) == inner_products(sets).max()


def test_the_planted_tuple_falls_anywhere():
    places, positions = set(), set()
    for trial in range(80):
        sets = gap_inner_product(2, 40, 3, 30, 5, True, stream(2, trial))
        products = inner_products(sets)
        at = np.unravel_index(products.argmax(), products.shape)
        places.add(tuple(int(i) for i in at))
        common = np.prod([x[i] for x, i in zip(sets, at, strict=True)], axis=0)
        positions.update(np.flatnonzero(common == 0).tolist())
    assert len(places) == 8  # one stays empty with probability 8 (7/8)^80 < 0.02 %
    assert positions == set(range(40))


def test_bits_are_fair_and_independent():
    n, d = 4000, 8
    sets = gap_inner_product(n, d, 2, d, 0, True, stream(3))
    for x in sets:
        # 2^8 rows, 15.6 of each on average: chi-square of 255 degrees of freedom, six deviations of sqrt(510)
        counts = np.bincount((x @ 2 ** np.arange(d)).astype(int), minlength=256)
        assert abs(np.sum((counts - n / 256) ** 2) / (n / 256) - 255) <= 6 * math.sqrt(510)
    assert abs(np.mean(sets[0] * sets[1]) - 1 / 4) <= 6 * math.sqrt(3 / 16 / (n * d))


def test_no_instances_are_drawn_again(monkeypatch):
    draws = []
    original = module._fair
    monkeypatch.setattr(module, "_fair", lambda *args: (draws.append(1), original(*args))[1])
    n, d, order, high, low = 7, 24, 3, 12, 7  # 343 tuples, 2.3 of them above 7 on average
    for trial in range(20):
        sets = gap_inner_product(n, d, order, high, low, False, stream(4, trial))
        assert inner_products(sets).max() <= low
    assert len(draws) > 30


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 5), order=st.integers(2, 4), entries=st.integers(1, 300), seed=st.integers(0, 99))
def test_brute_force_in_blocks(n, order, entries, seed):
    sets = module._fair(n, 5, order, stream(seed))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_ENTRIES", entries)
        assert module._largest_inner_product(sets) == inner_products(sets).max()


@pytest.mark.parametrize("planted", [True, False])
def test_same_seed_same_numbers_in_every_library(xp, planted):
    expected = gap_inner_product(8, 48, 3, 24, 19, planted, stream(5))
    sets = gap_inner_product(8, 48, 3, 24, 19, planted, stream(5), like=xp)
    for x, y in zip(sets, expected, strict=True):
        assert x.dtype == xp.float64
        np.testing.assert_array_equal(to_host(x), y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8, 3, 4, 2, True), r"n=0: expected an integer >= 1"),
        ((4, 0, 3, 4, 2, True), r"d=0: expected an integer >= 1"),
        ((4, 8, 1, 4, 2, True), r"order=1: expected an integer >= 2"),
        ((4, 8, 3, 4, 4, True), r"high=4, low=4: expected 0 <= low < high <= 8"),
        ((4, 8, 3, 9, 2, True), r"high=9, low=2: expected"),
        ((4, 8, 3, 4, -1, False), r"high=4, low=-1: expected"),
        ((64, 16, 3, 8, 4, False), r"low=4 with n=64, d=16, order=3: about 1\.07e\+04 tuples"),
    ],
)
def test_impossible_instances_are_refused_at_once(arguments, message):
    with pytest.raises(ValueError, match=message):
        gap_inner_product(*arguments, stream(0))


def test_drawing_gives_up_in_the_end(monkeypatch):
    monkeypatch.setattr(module, "_MOST_DRAWS", 3)
    monkeypatch.setattr(module, "_fair", lambda n, d, order, rng: [np.ones((n, d))] * order)
    with pytest.raises(ValueError, match=r"no NO instance in 3 draws"):
        gap_inner_product(1, 48, 3, 24, 19, False, stream(0))


def test_a_thousand_draws_before_it_gives_up(monkeypatch):
    draws = []
    monkeypatch.setattr(
        module, "_fair", lambda n, d, order, rng: (draws.append(1), [np.ones((n, d))] * order)[1]
    )
    with pytest.raises(ValueError, match=r"no NO instance in 1000 draws"):
        gap_inner_product(1, 48, 3, 24, 19, False, stream(0))
    assert len(draws) == 1000


def test_a_promise_that_is_certain_to_fail():
    # 1 - (3/4)^2000 rounds to one
    with pytest.raises(ValueError, match=r"low=0 with n=2, d=2000, order=2: about 4 tuples"):
        gap_inner_product(2, 2000, 2, 1000, 0, False, stream(0))


# -- the reduction ---------------------------------------------------------------------------------------


def test_construction_entry_by_entry():
    sets = [
        np.array([[1.0, 0, 1], [0, 1, 1]]),
        np.array([[1.0, 1, 0], [0, 0, 1]]),
        np.array([[0.0, 1, 1], [1, 1, 1]]),
    ]
    B, n, d = 3.0, 2, 3
    Q, Ks, Vs, gap = inner_product_to_tensor_attention(sets, 2, 1, B)
    # B^3 = 27: l_y = 27 * 2 / 6, l_n = 2 ln 2 + 27 / 6, pad logit 27 s / 2 = (l_y + l_n) / 2 - 2 ln 2
    assert gap.above == pytest.approx(9, rel=1e-15)
    assert gap.below == pytest.approx(2 * math.log(2) + 4.5, rel=1e-15)
    assert gap.pad == pytest.approx((gap.above + gap.below) / 2, rel=1e-14)
    assert gap.mixed == pytest.approx(math.log(2 * n**2), rel=1e-15)
    assert gap.pad_level == pytest.approx((6.75 - math.log(2)) / 13.5, rel=1e-14)
    assert gap.logit_gap == pytest.approx(4.5 - 2 * math.log(2), rel=1e-14)
    assert gap.yes_at_least == pytest.approx(1 / (1 + (math.exp(gap.pad) + 8) / math.exp(9)), rel=1e-12)
    assert gap.no_at_most == pytest.approx(1 / (1 + (math.exp(gap.pad) + 8) / math.exp(gap.below)), rel=1e-12)
    assert (gap.scale, gap.queries, gap.threshold) == (1 / 6, 2, 0.5)
    zeros, ones = np.zeros((n, d)), np.ones((n, d))
    np.testing.assert_array_equal(Q, B * np.block([[sets[0], ones], [zeros, ones]]))
    np.testing.assert_array_equal(Ks[0], B * np.block([[sets[1], zeros], [zeros, ones]]))
    np.testing.assert_array_equal(Ks[1], B * np.block([[sets[2], zeros], [zeros, gap.pad_level * ones]]))
    for V in Vs:
        np.testing.assert_array_equal(V, [[1], [1], [0], [0]])
    assert len(Ks) == len(Vs) == 2


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 40), d=st.integers(10, 60), order=st.integers(2, 4), half=st.booleans())
def test_certificate_at_the_critical_bound(n, d, order, half):
    high, low = d // 2, (2 * d) // 5 if half else d // 4
    B = critical_bound(n, d, order, high, low)
    gap = inner_product_to_tensor_attention([np.ones((n, d))] * order, high, low, B)[-1]
    assert gap.logit_gap == pytest.approx(math.log(n), rel=1e-9)
    assert -1 < gap.pad_level < 1
    assert gap.pad == pytest.approx((gap.above + gap.below) / 2, rel=1e-12)
    root = math.sqrt(n)
    mixed = n ** (order - 1) * (2 ** (order - 1) - 2) * math.exp(-gap.above)
    assert gap.yes_at_least == pytest.approx(1 / (1 + 1 / root + mixed), rel=1e-9)
    assert gap.no_at_most <= 1 / (1 + root) * (1 + 1e-9)
    if order == 2:
        assert gap.no_at_most == pytest.approx(1 / (1 + root), rel=1e-9)


def exact_shares(sets, B, level):
    """For every query the share of weight on the tuples of the sets, in 30 digits and from the logits."""
    (n, d), order = sets[0].shape, len(sets)
    with mpmath.workdps(30):
        power = mpmath.mpf(float(B)) ** order
        others = n ** (order - 1) * (mpmath.exp(power * mpmath.mpf(level) / 2) + 2 ** (order - 1) - 2)
        shares = []
        for products in inner_products(sets):
            weight = mpmath.fsum(mpmath.exp(power * int(h) / (2 * d)) for h in products.ravel())
            shares.append(float(weight / (weight + others)))
        return np.array(shares)


@pytest.mark.parametrize(("n", "d", "order", "high", "low"), SIZES)
@pytest.mark.parametrize("factor", [1.0, 0.6, 0.2])
def test_attention_decides_and_keeps_the_certified_bounds(n, d, order, high, low, factor):
    B = factor * critical_bound(n, d, order, high, low)
    for planted in (True, False):
        sets = gap_inner_product(n, d, order, high, low, planted, stream(6, order, planted))
        Q, Ks, Vs, gap = inner_product_to_tensor_attention(sets, high, low, B)
        for x in (Q, *Ks):
            assert x.shape == (2 * n, 2 * d)
            assert np.abs(x).max() <= B * (1 + 1e-15)
        p = tensor_attention(Q, Ks, Vs, scale=gap.scale)[: gap.queries, 0]
        # logits of up to 100 from sums of 2 d terms: relative error about 2 d * 100 * 2^-53 < 1e-11
        np.testing.assert_allclose(p, exact_shares(sets, B, gap.pad_level), rtol=1e-10)
        assert p.max() >= gap.yes_at_least - 1e-10 if planted else p.max() <= gap.no_at_most + 1e-10
        if factor == 1.0:
            assert gap.no_at_most < gap.threshold < gap.yes_at_least
            assert (p.max() >= gap.threshold) == planted
        if factor == 0.2:
            assert gap.logit_gap < 0
            if order > 2:
                assert gap.pad_level == -1.0  # as low as entries allow


def test_the_pad_level_keeps_the_entry_bound():
    n, d = 3, 8
    ones = [np.ones((n, d))] * 3
    gap = inner_product_to_tensor_attention(ones, 8, 7, 0.5)[-1]
    assert gap.pad_level == -1.0
    assert gap.pad == pytest.approx(2 * math.log(n) - 0.5**3 / 2, rel=1e-14)
    others = math.exp(gap.pad) + 2 * n**2
    assert gap.yes_at_least == pytest.approx(1 / (1 + others / math.exp(gap.above)), rel=1e-12)
    # with the largest sums of inner products and entries the level approaches (high + low) / (2 d)
    gap = inner_product_to_tensor_attention(ones, 8, 7, 40.0)[-1]
    assert gap.pad_level == pytest.approx(15 / 16, rel=1e-3)


def test_the_bounds_are_attained():
    # YES: one tuple, its inner product high; NO: all n^2 pairs of the query at low
    x = np.array([[1.0] * 5 + [0.0] * 3])
    Q, Ks, Vs, gap = inner_product_to_tensor_attention([x] * 3, 5, 2, 3.0)
    assert tensor_attention(Q, Ks, Vs, scale=gap.scale)[0, 0] == pytest.approx(gap.yes_at_least, rel=1e-12)
    sets = [np.tile(x, (4, 1))] * 3
    Q, Ks, Vs, gap = inner_product_to_tensor_attention(sets, 8, 5, 3.0)
    p = tensor_attention(Q, Ks, Vs, scale=gap.scale)[:4, 0]
    np.testing.assert_allclose(p, gap.no_at_most, rtol=1e-12)


@pytest.mark.parametrize("order", [2, 3])
def test_every_library_and_float32(xp, order):
    sets = gap_inner_product(5, 24, order, 12, 11, True, stream(7), like=xp)
    expected = inner_product_to_tensor_attention([to_host(x) for x in sets], 12, 11, 2.0)
    Q, Ks, Vs, gap = inner_product_to_tensor_attention(sets, 12, 11, 2.0)
    assert gap == expected[-1]
    for x, y in zip((Q, *Ks, *Vs), (expected[0], *expected[1], *expected[2]), strict=True):
        np.testing.assert_array_equal(to_host(x), y)
    narrow = [xp.astype(x, xp.float32) for x in sets]
    Q, Ks, Vs, _ = inner_product_to_tensor_attention(narrow, 12, 11, np.float64(2.0))
    assert all(x.dtype == xp.float32 for x in (Q, *Ks, *Vs))


def test_certified_bounds_are_stable_for_large_gaps():
    gap = CertifiedGap(5000.0, 0.0, 2500.0, 9.0, 0.5, 1.0, 1)
    assert gap.yes_at_least == 1.0
    assert gap.no_at_most == 0.0
    assert CertifiedGap(5.0, 0.0, 2.5, -math.inf, 0.5, 1.0, 1).no_at_most == pytest.approx(
        1 / (1 + math.exp(2.5))
    )


def test_bad_input_is_named():
    sets = gap_inner_product(5, 12, 3, 6, 5, True, stream(8))
    with pytest.raises(ValueError, match=r"1 sets: expected at least two"):
        inner_product_to_tensor_attention(sets[:1], 6, 5, 2.0)
    with pytest.raises(
        ValueError, match=r"sets\[2\] of shape \(4, 12\): expected \(n, d\), the same for all"
    ):
        inner_product_to_tensor_attention([*sets[:2], sets[2][1:]], 6, 5, 2.0)
    with pytest.raises(ValueError, match=r"sets\[1\] of shape \(5, 12\)"):  # the first sets the measure
        inner_product_to_tensor_attention([sets[0][1:], *sets[1:]], 6, 5, 2.0)
    with pytest.raises(ValueError, match=r"sets\[0\] of shape \(12,\)"):
        inner_product_to_tensor_attention([x[0] for x in sets], 6, 5, 2.0)
    with pytest.raises(ValueError, match=r"sets\[1\]: expected zeros and ones only"):
        inner_product_to_tensor_attention([sets[0], 2 * sets[1], sets[2]], 6, 5, 2.0)
    with pytest.raises(TypeError, match=r"sets\[0\] of dtype int64: expected real floating"):
        inner_product_to_tensor_attention([x.astype(int) for x in sets], 6, 5, 2.0)
    with pytest.raises(ValueError, match=r"high=5, low=5: expected 0 <= low < high <= 12"):
        inner_product_to_tensor_attention(sets, 5, 5, 2.0)
    for B in (0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=r"B=.*expected a finite number > 0"):
            inner_product_to_tensor_attention(sets, 6, 5, B)


def test_the_reduction_is_linear_and_runs_without_data():
    n, d, order, high, low = SIZES[1]
    sets = gap_inner_product(n, d, order, high, low, True, stream(9))
    with count() as executed:
        *_, gap = inner_product_to_tensor_attention([counted(x) for x in sets], high, low, 4.0)
    with count() as shapes:
        *_, same = inner_product_to_tensor_attention([shape_only(n, d)] * order, high, low, 4.0)
    assert executed.numbers() == shapes.numbers()
    assert gap == same
    n, d, high, low = 2**320, 3840, 1920, 1536
    with count() as costs:
        Q, Ks, _, gap = inner_product_to_tensor_attention(
            [shape_only(n, d)] * 3, high, low, critical_bound(n, d, 3, high, low)
        )
    assert Q.shape == Ks[0].shape == Ks[1].shape == (2 * n, 2 * d)
    assert gap.logit_gap == pytest.approx(math.log(n), rel=1e-12)
    assert costs.operations == 8 * n * d  # by B: 4 n d entries of Q, two sets and two pads
