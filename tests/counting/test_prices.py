"""The table of prices: formulas at hand-worked sizes, exact for integers of any length."""

import math

import pytest

from touchstone.counting import prices


def test_fft_butterfly_sort_and_search():
    assert prices.fft(8) == 120
    assert prices.fft(8, "real") == 60
    assert prices.fft(1) == 0
    assert prices.fft(5) == 75
    assert prices.butterfly(16) == prices.sort(16) == 64
    assert prices.sort(0) == prices.sort(1) == 0
    assert [prices.binary_search(n) for n in (0, 1, 3, 4)] == [0, 1, 2, 3]
    assert prices.fft(2**320) == 5 * 320 * 2**320


@pytest.mark.parametrize("n", range(1, 40))
def test_ceil_log2(n):
    assert prices.ceil_log2(n) == math.ceil(math.log2(n))


@pytest.mark.parametrize("n", [1, 2, 5, 12])
def test_factorisations_are_sums_over_their_loops(n):
    lu = prices.lu(n)
    assert lu["multiply_adds"] == sum(k * k for k in range(n))
    assert lu["arithmetic"] == sum(range(n))
    assert prices.cholesky(n)["multiply_adds"] == sum(j * (n - j) for j in range(n))
    assert prices.triangular_solve(n, 3)["multiply_adds"] == 3 * sum(range(n))
    assert prices.solve(n, 2)["multiply_adds"] == lu["multiply_adds"] + 4 * sum(range(n))


def test_leading_terms_are_the_textbook_s():
    """Half the flops of Golub and Van Loan, as the size grows."""
    n = 10**6
    cube = n**3
    for price, factor in [
        (prices.lu(n), 1 / 3),
        (prices.cholesky(n), 1 / 6),
        (prices.inverse(n), 1),
        (prices.qr(n, n, "r"), 2 / 3),
        (prices.qr(n, n), 4 / 3),
        (prices.qr(n, n, "complete"), 4 / 3),
        (prices.svd(n, n, "none"), 2),
        (prices.svd(n, n), 13),
        (prices.svd(n, n, "full"), 13),
        (prices.symmetric_eigen(n), 9 / 2),
        (prices.symmetric_eigen(n, vectors=False), 2 / 3),
        (prices.eigen(n), 25 / 2),
        (prices.eigen(n, vectors=False), 5),
    ]:
        assert price["multiply_adds"] / cube == pytest.approx(factor, rel=1e-5)  # lower terms are below 3/n


def test_tall_and_wide_cost_the_same_and_big_integers_stay_exact():
    assert prices.qr(7, 3) == prices.qr(3, 7)
    assert prices.svd(7, 3) == prices.svd(3, 7)
    n = 10**60
    assert prices.qr(n, 1)["multiply_adds"] == 2 * n  # 2 n - 2/3, rounded up
    assert prices.svd(n, 2)["multiply_adds"] == 12 * n + 80


@pytest.mark.parametrize("call", [lambda: prices.qr(2, 2, "x"), lambda: prices.svd(2, 2, "x")])
def test_unknown_modes(call):
    with pytest.raises(ValueError, match="'x'"):
        call()


def test_determinants_add_to_lu():
    assert prices.determinant(3)["arithmetic"] == prices.lu(3)["arithmetic"] + 2
    assert prices.log_determinant(3)["transcendentals"] == 3
