"""Textbook algorithms, counted to the unit against their closed formulas."""

import math

import numpy as np
import pytest

import touchstone.counting.namespace as xp
from touchstone import arrays
from touchstone.counting import prices
from touchstone.counting.array import Product, count, counted
from touchstone.counting.products import STRASSEN, price
from touchstone.counting.shapes import shape_only

RNG = np.random.default_rng(3)
SIZES = [(1, 1), (2, 3), (17, 5), (33, 8)]


def both(*shape):
    """The same array with and without data."""
    return counted(RNG.standard_normal(shape)), shape_only(*shape)


def attention(Q, K, V):
    logits = Q @ K.T
    logits = logits - xp.max(logits, axis=1, keepdims=True)
    weights = xp.exp(logits)
    return (weights @ V) / xp.sum(weights, axis=1, keepdims=True)


@pytest.mark.parametrize(("n", "d"), SIZES)
def test_dense_attention(n, d):
    for X in both(n, d):
        with count() as costs:
            attention(X, X, X)
        assert costs.multiply_adds == 2 * n * n * d
        assert costs.transcendentals == n * n
        assert costs.arithmetic == n * n + n * (n - 1) + n * d
        assert costs.comparisons == n * (n - 1)
        assert costs.moves == (2 if n == 1 else 0)  # reductions over one entry
        assert costs.products == (
            [Product(n, d, n, 2)] if n == d else [Product(n, d, n, 1), Product(n, n, d, 1)]
        )


def horner(x, coefficients):
    value = x * coefficients[-1] + coefficients[-2]
    for c in coefficients[-3::-1]:
        value = value * x + c
    return value


@pytest.mark.parametrize("degree", [1, 2, 9])
def test_horner(degree):
    for x in both(13):
        with count() as costs:
            y = horner(x, [1.0] * (degree + 1))
        assert costs.operations == costs.arithmetic == 2 * degree * 13
        if y.has_data:
            expected = sum(arrays.to_host(x) ** j for j in range(degree + 1))
            np.testing.assert_allclose(arrays.to_host(y), expected, rtol=1e-12, atol=1e-12)


def gram_schmidt(A):
    n = A.shape[1]
    Q = xp.asarray(A, copy=True)
    for j in range(n):
        Q[:, j] = Q[:, j] / xp.sqrt(xp.vecdot(Q[:, j], Q[:, j]))
        if j + 1 < n:
            rest = Q[:, j + 1 :]
            rest -= Q[:, j : j + 1] * (Q[:, j] @ rest)
    return Q


@pytest.mark.parametrize(("m", "n"), SIZES)
def test_gram_schmidt(m, n):
    m = max(m, n)
    pairs = n * (n - 1) // 2
    for A in both(m, n):
        with count() as costs:
            Q = gram_schmidt(A)
        assert costs.multiply_adds == n * m + pairs * m
        assert costs.arithmetic == n * m + 2 * pairs * m
        assert costs.transcendentals == n
        assert costs.moves == 2 * n * m
        if Q.has_data:
            q = arrays.to_host(Q)
            np.testing.assert_allclose(q.T @ q, np.eye(n), atol=1e-9)


def cholesky_loops(A):
    n = A.shape[0]
    L = xp.zeros_like(A)
    for j in range(n):
        column = A[j:, j] - L[j:, :j] @ L[j, :j]
        L[j:, j] = column / xp.sqrt(column[0])
    return L


@pytest.mark.parametrize("n", [1, 2, 3, 8, 21])
def test_cholesky_by_columns_costs_what_the_table_says(n):
    host = RNG.standard_normal((n, n + 3))
    with count() as costs:
        L = cholesky_loops(counted(host @ host.T))
    with count() as without:
        factor = cholesky_loops(shape_only(n, n))
    assert factor.shape == L.shape
    assert costs.numbers() == without.numbers()
    assert costs.multiply_adds == prices.cholesky(n)["multiply_adds"] == n * (n * n - 1) // 6
    assert costs.transcendentals == prices.cholesky(n)["transcendentals"]
    assert costs.arithmetic == 2 * n * (n + 1) // 2  # subtractions, and a division of each column by its root
    np.testing.assert_allclose(arrays.to_host(L), np.linalg.cholesky(host @ host.T), rtol=1e-8, atol=1e-10)


def lu_loops(A):
    A = xp.asarray(A, copy=True)
    n = A.shape[0]
    for j in range(n - 1):
        A[j + 1 :, j] = A[j + 1 :, j] / A[j, j]
        A[j + 1 :, j + 1 :] = A[j + 1 :, j + 1 :] - A[j + 1 :, j : j + 1] @ A[j : j + 1, j + 1 :]
    return A


@pytest.mark.parametrize("n", [1, 2, 3, 8, 21])
def test_lu_by_rank_one_updates_costs_what_the_table_says(n):
    for A in (counted(RNG.standard_normal((n, n)) + 9 * np.eye(n)), shape_only(n, n)):
        with count() as costs:
            lu_loops(A)
        updates = prices.lu(n)["multiply_adds"]
        assert costs.multiply_adds == updates
        assert costs.arithmetic == prices.lu(n)["arithmetic"] + updates  # divisions, and the subtractions


@pytest.mark.parametrize("block", [1, 3, 4, 12])
def test_blocked_product_costs_the_plain_one(block):
    n = 12
    for A in both(n, n):
        with count() as costs:
            C = xp.zeros_like(A)
            for i in range(0, n, block):
                for j in range(0, n, block):
                    for k in range(0, n, block):
                        C[i : i + block, j : j + block] += (
                            A[i : i + block, k : k + block] @ A[k : k + block, j : j + block]
                        )
        assert costs.multiply_adds == n**3 == price(costs.products, 3)
        assert costs.products == [Product(block, block, block, (n // block) ** 3)]
        if C.has_data:
            np.testing.assert_allclose(arrays.to_host(C), arrays.to_host(A) @ arrays.to_host(A), rtol=1e-12)


def strassen(A, B, base):
    n = A.shape[0]
    if n <= base:
        return A @ B
    h = n // 2
    a, b, c, d = A[:h, :h], A[:h, h:], A[h:, :h], A[h:, h:]
    e, f, g, k = B[:h, :h], B[:h, h:], B[h:, :h], B[h:, h:]
    p = strassen(a + d, e + k, base)
    q = strassen(c + d, e, base)
    r = strassen(a, f - k, base)
    s = strassen(d, g - e, base)
    t = strassen(a + b, k, base)
    u = strassen(c - a, e + f, base)
    v = strassen(b - d, g + k, base)
    left = xp.concat([p + s - t + v, q + s])
    right = xp.concat([r + t, p - q + r + u])
    return xp.concat([left, right], axis=1)


@pytest.mark.parametrize("depth", [0, 1, 2, 4])
@pytest.mark.parametrize("base", [1, 2])
def test_strassen(depth, base):
    n = base * 2**depth
    for A in both(n, n):
        with count() as costs:
            C = strassen(A, A, base)
        assert costs.products == [Product(base, base, base, 7**depth)]
        assert costs.multiply_adds == 7**depth * base**3
        assert costs.arithmetic == sum(7**level * 18 * (n // 2 ** (level + 1)) ** 2 for level in range(depth))
        # priced under omega = log2 7, one plain product costs what the recursion to single entries does
        # (seven digits fewer than float64 carries: the price is a power computed from logarithms)
        assert price([Product(n, n, n, 1)], STRASSEN) == pytest.approx(n**STRASSEN, rel=1e-9)
        if base == 1:
            assert price([Product(n, n, n, 1)], STRASSEN) == pytest.approx(7**depth, rel=1e-9)
            assert price(costs.products, STRASSEN) == pytest.approx(7**depth, rel=1e-9)
        if C.has_data:
            np.testing.assert_allclose(arrays.to_host(C), arrays.to_host(A) @ arrays.to_host(A), atol=1e-9)


def test_power_iteration():
    n, steps = 14, 6
    host = RNG.standard_normal((n, n))
    for A, x in ((counted(host @ host.T), counted(np.ones(n))), (shape_only(n, n), shape_only(n))):
        with count() as costs:
            for _ in range(steps):
                y = A @ x
                x = y / xp.linalg.vector_norm(y)
        assert costs.multiply_adds == steps * n * n
        assert costs.arithmetic == steps * (n + (2 * n - 1))
        assert costs.transcendentals == steps
        assert costs.bytes_peak == 8 * (3 * n + 1)  # x and y of the last round, the new y, or norm and new x


@pytest.mark.parametrize("n", [1, 5, 16])
def test_fft_convolution(n):
    N = 2 * n
    for a, b in zip(both(n), both(n), strict=True):
        with count() as costs:
            c = xp.fft.irfft(xp.fft.rfft(a, n=N) * xp.fft.rfft(b, n=N), n=N)[: 2 * n - 1]
        transform = math.ceil(5 * N * math.ceil(math.log2(N)) / 2)
        assert costs.arithmetic == 3 * transform + 6 * (n + 1)
        assert costs.multiply_adds == 0
        assert [(t.kind, t.length, t.count) for t in costs.ffts] == [("real", N, 3)]
        if c.has_data:
            np.testing.assert_allclose(
                arrays.to_host(c), np.convolve(arrays.to_host(a), arrays.to_host(b)), atol=1e-12
            )
