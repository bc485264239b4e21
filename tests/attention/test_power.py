"""Power attention against the definition in loops, on every kind of array."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from touchstone.arrays import stream, to_host
from touchstone.attention.power import (
    default_block,
    power,
    power_attention,
    power_attention_weights,
    power_normalisers,
)
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only

POWERS = [0.5, 1, 1.5, 2, 3, 4, 6]


def defined(Q, K, p):
    """Weights entry by entry, in Python floats."""
    rows = []
    for q in Q.tolist():
        values = [abs(math.fsum(x * y for x, y in zip(q, k, strict=True))) ** p for k in K.tolist()]
        total = math.fsum(values)
        rows.append([v / total if total else 0.0 for v in values])
    return np.array(rows).reshape(len(Q), len(K))


def instance(n=7, m=9, d=3, seed=1):
    rng = stream(seed)
    return rng.standard_normal((n, d)), rng.standard_normal((m, d)), rng.standard_normal((m, 2))


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(0, 6),
    m=st.integers(1, 6),
    d=st.integers(1, 4),
    p=st.sampled_from(POWERS),
    block=st.sampled_from([None, 1, 2]),
    seed=st.integers(0, 99),
)
def test_any_shape(n, m, d, p, block, seed):
    Q, K, V = instance(n, m, d, seed)
    expected = defined(Q, K, p)
    # an inner product may cancel to 1e-3 of its terms: a power p loses p times three digits
    np.testing.assert_allclose(power_attention_weights(Q, K, p), expected, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(power_attention(Q, K, V, p, block=block), expected @ V, rtol=1e-9, atol=1e-12)
    totals = np.sum(np.abs(Q @ K.T) ** p, axis=1)
    np.testing.assert_allclose(power_normalisers(Q, K, p, block=block), totals, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("p", POWERS)
def test_rows_sum_to_one(p):
    Q, K, _ = instance()
    np.testing.assert_allclose(np.sum(power_attention_weights(Q, K, p), axis=1), 1, rtol=1e-14)


def test_a_query_orthogonal_to_all_keys():
    Q, K, V = np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([[1.0, 0.0], [3.0, 0.0]]), np.array([[2.0], [4.0]])
    np.testing.assert_allclose(power_attention_weights(Q, K, 2), [[0, 0], [0.1, 0.9]], rtol=1e-15)
    np.testing.assert_allclose(power_attention(Q, K, V, 2), [[0], [3.8]])
    assert power_normalisers(Q, K, 2).tolist() == [0, 10]
    assert power_normalisers(Q, K, 1).tolist() == [0, 4]


@pytest.mark.parametrize("p", [1, 2, 4])
@pytest.mark.parametrize("scale", [1e-120, 1e120])
def test_scale_does_not_matter(p, scale):
    Q, K, V = instance()
    np.testing.assert_allclose(power_attention(Q * scale, K, V, p), power_attention(Q, K, V, p), rtol=1e-12)
    np.testing.assert_allclose(
        power_attention_weights(Q, K * scale, p), power_attention_weights(Q, K, p), rtol=1e-12
    )


def test_signs_do_not_matter():
    Q, K, V = instance()
    for p in (1, 2, 3):
        np.testing.assert_array_equal(power_attention(-Q, K, V, p), power_attention(Q, K, V, p))


def test_nan_stays_in_its_row():
    Q, K, V = instance()
    Q[2, 0] = np.nan
    got = power_attention(Q, K, V, 2)
    assert np.isnan(got).all(axis=1).tolist() == [False, False, True, False, False, False, False]
    np.testing.assert_array_equal(got[3:], power_attention(Q[3:], K, V, 2))


@pytest.mark.parametrize("p", [1, 2, 3, 4])
def test_several_blocks_and_workers(p):
    Q, K, V = instance(300, 50, 4)
    one = power_attention(Q, K, V, p, block=64)
    np.testing.assert_array_equal(one, power_attention(Q, K, V, p, block=64, workers=2))
    np.testing.assert_allclose(one, power_attention(Q, K, V, p, block=1000), rtol=1e-12)
    sums = power_normalisers(K, Q, p, block=64)
    np.testing.assert_array_equal(sums, power_normalisers(K, Q, p, block=64, workers=2))
    np.testing.assert_allclose(sums, power_normalisers(K, Q, p, block=1000), rtol=1e-12)


def test_default_block():
    Q = np.ones((3, 2))
    assert default_block(Q, 1 << 12, None) == 128
    assert default_block(Q, 1 << 20, None) == 64
    assert default_block(Q, 0, None) == 1 << 19
    assert default_block(Q, 1 << 12, 5) == 5


@pytest.mark.parametrize("p", [0.5, 1, 2, 3, 4, 5, 6, 8, 12])
def test_power(p):
    x = np.array([0.0, 0.5, 1.0, 3.0])
    np.testing.assert_allclose(power(x, p), x**p, rtol=1e-15)


def test_on_every_library(xp):
    Q, K, V = instance()
    B = [xp.asarray(x) for x in (Q, K, V)]
    for p in (1, 2, 2.5, 4):
        got = power_attention(*B, p)
        assert got.dtype == xp.float64
        np.testing.assert_allclose(to_host(got), defined(Q, K, p) @ V, rtol=1e-11)
        np.testing.assert_allclose(to_host(power_attention_weights(*B[:2], p)), defined(Q, K, p), rtol=1e-11)
        np.testing.assert_allclose(
            to_host(power_normalisers(*B[:2], p)), power_normalisers(Q, K, p), rtol=1e-12
        )
    single = [xp.asarray(x, dtype=xp.float32) for x in (Q, K, V)]
    assert power_attention(*single, 4).dtype == xp.float32


@pytest.mark.parametrize("p", [1, 2, 4, 6])
def test_counts(p):
    n, m, d, c = 70, 90, 3, 2
    arrays = [stream(2).standard_normal(shape) for shape in ((n, d), (m, d), (m, c))]
    results = []
    for given_ in ([counted(x) for x in arrays], [shape_only(*x.shape) for x in arrays]):
        with count() as attention:
            power_attention(*given_, p, block=30)
        with count() as sums:
            power_normalisers(*given_[:2], p, block=30)
        results.append(
            [
                getattr(costs, name)
                for costs in (attention, sums)
                for name in ("multiply_adds", "arithmetic", "transcendentals", "comparisons")
            ]
        )
    assert results[0] == results[1]
    columns = d if p == 2 else math.comb(d + p // 2 - 1, p // 2)
    assert attention.multiply_adds == n * m * (d + c)
    assert sums.multiply_adds == (n * m * d if p % 2 else (n + m) * columns**2 + n * columns)


def test_bad_inputs_are_named():
    Q, K, V = instance()
    for p in (0, -1, np.inf, "2"):
        for call in (power_attention_weights, power_normalisers):
            with pytest.raises(ValueError, match="p="):
                call(Q, K, p)
    for call in (power_attention_weights, power_normalisers):
        with pytest.raises(ValueError, match="Q of shape"):
            call(Q[0], K, 2)
        with pytest.raises(ValueError, match="K of shape"):
            call(Q, K[0], 2)
        with pytest.raises(ValueError, match="equal numbers of features"):
            call(Q, K[:, :2], 2)
        with pytest.raises(ValueError, match="equal numbers of features"):
            call(Q[:, :0], K[:, :0], 2)
        with pytest.raises(ValueError, match="at least one key"):
            call(Q, K[:0], 2)
        with pytest.raises(TypeError, match="Q of dtype"):
            call(Q.astype(int), K, 2)
        with pytest.raises(TypeError, match="K of dtype"):
            call(Q, K.astype(complex), 2)
    for wrong in (V[:3], V[:, 0]):
        with pytest.raises(ValueError, match="V of shape"):
            power_attention(Q, K, wrong, 2)
    with pytest.raises(TypeError, match="V of dtype"):
        power_attention(Q, K, V.astype(int), 2)
    with pytest.raises(ValueError, match="block=0"):
        power_attention(Q, K, V, 2, block=0)
    with pytest.raises(ValueError, match="workers=0"):
        power_normalisers(Q, K, 2, workers=0)
