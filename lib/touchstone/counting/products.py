"""What a trace of matrix products costs when each product is carried out by a fast algorithm.

A bound of the form omega holds up to factors n^o(1) and an unknown constant. The prices here take both as 1:
they are for exponents and comparisons on a grid, not for seconds.

Square exponents: 3 (the definition), ``STRASSEN`` = log2 7 (Strassen, 1969), and ``LATEST`` = 2.371339
(Alman, Duan, Vassilevska Williams, Y. Xu, Z. Xu and Zhou, "More Asymmetry Yields Faster Matrix
Multiplication", SODA 2025, arXiv 2404.16349).

Rectangular exponents: ``TABLE`` holds the upper bounds on omega(1, 1, a) = omega(1, a, 1) of the same paper,
read from two transcriptions of its table that agree on every entry up to a = 1; the entries at 1.5 and 2 are
in one of them only. That omega(1, a, 1) = 2 up to a = 0.321334 goes back to Vassilevska Williams, Y. Xu,
Z. Xu and Zhou, "New Bounds for Matrix Multiplication: from Alpha to Omega", SODA 2024, arXiv 2307.07970.
omega(1, 1, .) is convex, so a straight line between two entries is a valid upper bound (Le Gall and Urrutia,
SODA 2018). Beyond a = 2 the long side is cut: omega(1, 1, a) <= omega(1, 1, 2) + a - 2.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable

from touchstone.counting.costs import Product

STRASSEN = math.log2(7)
LATEST = 2.371339

TABLE = (
    (0.0, 2.0),
    (0.321334, 2.0),
    (0.33, 2.000092),
    (0.34, 2.000520),
    (0.35, 2.001243),
    (0.40, 2.009280),
    (0.50, 2.042776),
    (0.5275, 2.054999),
    (0.60, 2.092351),
    (0.70, 2.152770),
    (0.80, 2.220639),
    (0.90, 2.293941),
    (1.0, LATEST),
    (1.5, 2.794633),
    (2.0, 3.250035),
)

Profile = str | Callable[[float], float]


def tiling(omega: float) -> Callable[[float], float]:
    """The profile of an algorithm that cuts a rectangular product into squares of its smallest side.

    omega(1, 1, a) = 2 + a (omega - 2) for a <= 1, and omega + a - 1 beyond.
    Raises ``ValueError`` unless 2 <= omega <= 3.
    """
    _check_omega(omega)

    def exponent(a: float) -> float:
        return 2 + a * (omega - 2) if a <= 1 else omega + a - 1

    return exponent


def _classical(a: float) -> float:
    return 2 + a


def _table(a: float) -> float:
    last, top = TABLE[-1]
    if a >= last:
        return top + a - last
    at = max(bisect_left(TABLE, (a, 0.0)), 1)
    (left, low), (right, high) = TABLE[at - 1], TABLE[at]
    return low + (high - low) * (a - left) / (right - left)


_PROFILES: dict[str, Callable[[float], float]] = {"table": _table, "classical": _classical}


def rectangular_exponent(a: float, profile: Profile = "table") -> float:
    """An upper bound on omega(1, 1, a): the exponent of multiplying (n, n) by (n, n^a), for any a >= 0.

    ``profile`` is "table", "classical" (2 + a) or a function such as ``tiling(omega)``.
    Raises ``ValueError`` for a negative or infinite ``a`` and for an unknown profile.
    """
    if not 0 <= a < math.inf:
        raise ValueError(f"a={a!r}: expected a finite number >= 0")
    return _profile(profile)(a)


def price(
    products: Iterable[Product], omega: float | None = None, *, profile: Profile | None = None
) -> int | float:
    """The cost of all ``products`` under the square exponent ``omega`` or the rectangular ``profile``.

    With ``omega`` each (m, k, n) is tiled into squares of its smallest side s:
    (m/s) (k/s) (n/s) s^omega. ``omega=3`` gives the exact integer sum of m k n. With ``profile`` and sides
    q <= v <= u it is the cheaper of two cuts, both with exponent w = ``rectangular_exponent``:
    the longest side into pieces of v, (u/v) v^w(log q / log v), or the middle side into pieces of q,
    (v/q) q^w(log u / log q).
    Raises ``ValueError`` unless exactly one of the two is given, and ``OverflowError`` when the price
    exceeds a float: then ``log2_price`` gives its logarithm.
    """
    _check_choice(omega, profile)
    if omega == 3:
        return sum(product.m * product.k * product.n * product.count for product in products)
    logs = _log2_prices(products, omega, profile)
    if logs and max(logs) + math.log2(len(logs)) >= 1024:
        raise OverflowError(f"the price is about 2^{log2_sum(logs):.6g}, beyond a float; use log2_price")
    return math.fsum(2.0**value for value in logs)


def log2_price(
    products: Iterable[Product], omega: float | None = None, *, profile: Profile | None = None
) -> float:
    """The binary logarithm of ``price``, for sides of any length; ``-inf`` when there is nothing to pay."""
    _check_choice(omega, profile)
    return log2_sum(_log2_prices(products, omega, profile))


def log2_sum(logs: Iterable[float]) -> float:
    """log2 of the sum of 2^x over ``logs``."""
    logs = list(logs)
    if not logs:
        return -math.inf
    top = max(logs)
    return top + math.log2(math.fsum(2.0 ** (value - top) for value in logs))


def _log2_prices(products: Iterable[Product], omega: float | None, profile: Profile | None) -> list[float]:
    exponent = None if profile is None else _profile(profile)
    result = []
    for product in products:
        if min(product) <= 0:
            continue  # an empty product, or none
        q, v, u = sorted(math.log2(side) for side in product[:3])
        if exponent is None:
            one = u + v + q * (omega - 2)  # type: ignore[operator]
        else:
            one = u - v + v * exponent(q / v) if v else u
            if q:
                one = min(one, v - q + q * exponent(u / q))
        result.append(math.log2(product.count) + one)
    return result


def _profile(profile: Profile) -> Callable[[float], float]:
    if callable(profile):
        return profile
    if profile not in _PROFILES:
        names = ", ".join(map(repr, _PROFILES))
        raise ValueError(f"profile={profile!r}: expected {names} or a function such as tiling(omega)")
    return _PROFILES[profile]


def _check_omega(omega: float) -> None:
    if not 2 <= omega <= 3:
        raise ValueError(f"omega={omega!r}: expected a number in [2, 3]")


def _check_choice(omega: float | None, profile: Profile | None) -> None:
    if (omega is None) == (profile is None):
        raise ValueError(f"omega={omega!r}, profile={profile!r}: expected exactly one of the two")
    if omega is not None:
        _check_omega(omega)
