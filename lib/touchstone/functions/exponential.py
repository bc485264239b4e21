"""Polynomials that stand in for the exponential on ``[-radius, radius]``, and the degree they need.

Two kinds, both with sup error known exactly and attained at the right end:

- ``"chebyshev"``: the truncated Chebyshev series ``I_0(R) + 2 sum_{1<=k<=g} I_k(R) T_k(x/R)`` of ``e^x``,
  with error ``2 sum_{k>g} I_k(R)`` (``I_k`` the modified Bessel function of the first kind);
- ``"taylor"``: the truncated power series, with error ``sum_{k>g} R^k / k!``.

An error of at most ``eps e^{-R}`` everywhere makes the polynomial a *relative* approximation of accuracy
``eps``, because ``e^x >= e^{-R}`` on the interval. Degrees come out of the logarithms of the tails, so that
``R`` and ``ln(1/eps)`` may run into the tens of thousands.

Source: bounded-entries-attention (Alman and Song 2023), setting and C2; uniform expansion of ``I_k``:
DLMF 10.41(ii).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import mpmath
import numpy as np
from scipy.special import gammaln, ive

from touchstone.arrays import namespace

Array = Any

KINDS = ("chebyshev", "taylor")

_LARGEST_RADIUS = 1e7  # the window of a tail may be as long as the radius
_LARGEST_LOG = 1e15  # degrees stay within the bracket of the search

# Terms below e^-45 of the first one cannot move a float64 sum of at most a few thousand terms.
_NEGLIGIBLE = 45.0

# Debye's polynomials u_1 .. u_4 in t^2 = (k/p)^2, highest power first, each over its common denominator.
_DEBYE = (
    ((-5, 3), 24),
    ((385, -462, 81), 1152),
    ((-425425, 765765, -369603, 30375), 414720),
    ((185910725, -446185740, 349922430, -94121676, 4465125), 39813120),
)


def exp_degree(radius: float, log_eps: float, kind: str = "chebyshev") -> int:
    """The least degree whose truncated series has sup error at most ``e^{log_eps - radius}``.

    At that degree ``|P(x) - e^x| <= eps e^x`` on ``[-radius, radius]`` with ``eps = e^{log_eps}``. Exact
    for the tail: one degree less misses the bound. ``radius`` 0 needs degree 0.

    Raises ``ValueError`` for a ``radius`` outside [0, 1e7], a ``log_eps`` beyond 1e15 in magnitude, an
    unknown ``kind``. Cost: about a millisecond; bisection on the largest term of the tail, then
    ``O(sqrt(radius) + log)`` terms.
    """
    radius = _checked_radius(radius)
    if not abs(log_eps) <= _LARGEST_LOG:
        raise ValueError(f"log_eps={log_eps!r}: expected ln(eps), at most {_LARGEST_LOG:g} in magnitude")
    log_term, peak = _terms(radius, kind)
    if radius == 0:
        return 0
    target = float(log_eps) - radius

    # Every term of the tail is positive: its first one alone bounds the degree from below.
    low = _first_at_most(lambda g: log_term(g + 1), target, peak)
    if low == peak:
        low = 0
    tails = _log_tails(log_term, low, peak)
    return low + int(np.argmax(tails <= target))


def exp_radius(degree: int, log_eps: float, kind: str = "chebyshev") -> float:
    """The largest ``radius`` at which ``exp_degree`` is at most ``degree``, to a relative 1e-12 from below.

    The degree never falls as the radius grows, so bisection finds it; 1e7, the largest radius there is, when
    the degree suffices even there. Raises ``ValueError`` as ``exp_degree`` does, and for a ``degree`` that is
    not an integer >= 0. Cost: some 50 calls of ``exp_degree``.
    """
    degree = _checked_degree(degree)
    low, high = 0.0, 1.0
    while exp_degree(high, log_eps, kind) <= degree:
        if high == _LARGEST_RADIUS:
            return high
        low, high = high, min(2 * high, _LARGEST_RADIUS)
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        if not low < middle < high:  # neighbouring numbers
            break
        low, high = (middle, high) if exp_degree(middle, log_eps, kind) <= degree else (low, middle)
    return low


def exp_tail_log(radius: float, degree: int, kind: str = "chebyshev") -> float:
    """Natural logarithm of the sup error of the degree-``degree`` truncation on ``[-radius, radius]``.

    That is ``ln(2 sum_{k>degree} I_k(radius))``, or ``ln(sum_{k>degree} radius^k / k!)`` for
    ``"taylor"``; ``-inf`` at ``radius`` 0. Relative accuracy of the tail about 1e-10. Raises
    ``ValueError`` as ``exp_degree`` does, and for a ``degree`` that is not an integer >= 0.
    """
    radius, degree = _checked_radius(radius), _checked_degree(degree)
    log_term, peak = _terms(radius, kind)
    return -math.inf if radius == 0 else float(_log_tails(log_term, degree, peak)[0])


def exp_coefficients(radius: float, degree: int, kind: str = "chebyshev") -> np.ndarray:
    """Monomial coefficients ``c_0 .. c_degree`` of the truncated series, each rounded correctly to float64.

    ``sum_t c_t x^t`` is the polynomial of ``exp_degree``; at ``radius`` 0 the Chebyshev truncation is the
    Taylor one, its limit. The change of basis runs in multiple precision until two precisions agree.
    *Evaluating* the monomial form in float64 is safe for about ``degree`` <= 18 and ``radius`` <= 6 (its
    alternating terms cancel beyond; ``chebyshev_exp`` has no such limit). Coefficients can be negative
    when ``degree < radius``.

    Returns a fresh host array of shape ``(degree + 1,)``. Raises ``ValueError`` for a bad argument,
    ``OverflowError`` when a coefficient exceeds float64. Cost: ``O(degree^2)`` big-number operations, cached.
    """
    radius, degree = _checked_radius(radius), _checked_degree(degree)
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(map(repr, KINDS))}")
    return np.array(_rounded_coefficients(radius, degree, kind if radius > 0 else "taylor"))


def chebyshev_exp(x: Array, radius: float, degree: int) -> Array:
    """The Chebyshev truncation of ``e^x`` on ``[-radius, radius]``, evaluated at every entry of ``x``.

    Clenshaw's recurrence: backward stable at any degree, error about ``1e-16 e^radius`` (absolute), for
    ``x`` in the interval; outside it the polynomial is simply evaluated. Same shape and dtype as ``x``.
    Raises ``ValueError`` for a bad argument or when ``e^radius`` overflows the dtype. Cost: ``3 degree``
    operations an entry.
    """
    a = _series(x, radius, degree)
    if degree == 0:
        return 0 * x + a[0]
    y = x / radius if radius > 0 else 0 * x
    twice = 2 * y
    b1, b2 = 0 * x + a[degree], None
    for k in range(degree - 1, 0, -1):
        b1, b2 = twice * b1 + a[k] if b2 is None else twice * b1 - b2 + a[k], b1
    last = y * b1 + a[0]
    return last if b2 is None else last - b2


def chebyshev_exp_all_degrees(x: Array, radius: float, degree: int) -> Iterator[Array]:
    """Yield the truncations of degree 0, 1, ..., ``degree`` of ``chebyshev_exp`` at ``x``, in one pass.

    Each is a fresh array of the shape of ``x``. Forward recurrence of the ``T_k``, stable for ``|x| <=
    radius``. Errors as ``chebyshev_exp``. Cost: 5 operations an entry and degree.
    """
    a = _series(x, radius, degree)  # checks now, not at the first step
    return _all_degrees(x, radius, a)


def _all_degrees(x: Array, radius: float, a: list[float]) -> Iterator[Array]:
    total = 0 * x + a[0]
    yield total
    if len(a) == 1:
        return
    y = x / radius if radius > 0 else 0 * x
    before, now = None, y
    for coefficient in a[1:]:
        total = total + coefficient * now
        yield total
        before, now = now, 2 * y * now - (1 if before is None else before)


# -- checks ----------------------------------------------------------------------------------------------


def _checked_radius(radius: float) -> float:
    if not 0 <= radius <= _LARGEST_RADIUS:
        raise ValueError(f"radius={radius!r}: expected a number in [0, {_LARGEST_RADIUS:g}]")
    return float(radius)


def _checked_degree(degree: int) -> int:
    if isinstance(degree, bool) or not isinstance(degree, int | np.integer) or degree < 0:
        raise ValueError(f"degree={degree!r}: expected an integer >= 0")
    return int(degree)


# -- tails in the log domain -----------------------------------------------------------------------------


def _terms(radius: float, kind: str) -> tuple[Callable[[Any], np.ndarray], int]:
    """The logarithm of the k-th term of the tail, and an index from which the terms decrease."""
    if kind == "chebyshev":
        return (lambda k: math.log(2) + _log_bessel(np.asarray(k, dtype=float), radius)), 0
    if kind == "taylor":
        log_radius = math.log(radius) if radius > 0 else -math.inf
        return (lambda k: np.asarray(k) * log_radius - gammaln(np.asarray(k) + 1.0)), int(radius)
    raise ValueError(f"kind={kind!r}: expected one of {', '.join(map(repr, KINDS))}")


def _log_bessel(k: np.ndarray, radius: float) -> np.ndarray:
    """``ln I_k(radius)``, absolute error about 1e-10.

    The scaled Bessel function while it does not underflow and its argument is moderate; else the uniform
    expansion in ``1/p``, ``p = sqrt(k^2 + R^2)``, whose first neglected term is below ``0.3 / p^5``
    (there ``p`` > 40).
    """
    p = np.hypot(k, radius)
    t2 = (k / p) ** 2
    correction = np.zeros_like(p)
    for numerator, denominator in reversed(_DEBYE):
        polynomial = 0.0
        for coefficient in numerator:
            polynomial = polynomial * t2 + coefficient / denominator
        correction = (correction + polynomial) / p
    # asinh(k/R) as a difference of logarithms, so that a tiny radius does not overflow
    uniform = p - k * (np.log(k + p) - math.log(radius)) - 0.5 * np.log(2 * np.pi * p)
    uniform = uniform + np.log1p(np.maximum(correction, -0.5))  # the floor only where it is not used
    scaled = ive(np.where(p < 1000, k, 0.0), min(radius, 1000.0))
    usable = (p < 1000) & (scaled > 1e-290)
    return np.where(usable, np.log(np.where(usable, scaled, 1.0)) + radius, uniform)


def _first_at_most(f: Callable[[np.ndarray], np.ndarray], target: float, start: int) -> int:
    """The least integer ``g >= start`` with ``f(g) <= target``, for ``f`` decreasing to -inf."""
    probes = start + np.concatenate([[0], 2 ** np.arange(60)])
    while True:  # many probes a round: a call costs far more than an entry
        first = int(np.argmax(f(probes) <= target))
        if first == 0 or probes[first] - probes[first - 1] == 1:
            return int(probes[first])
        low, high = probes[first - 1], probes[first]
        probes = np.unique(np.linspace(low, high, 65).astype(np.int64))


def _log_tails(log_term: Callable[[Any], np.ndarray], low: int, peak: int) -> np.ndarray:
    """``ln sum_{k>g} term_k`` for ``g = low, low + 1, ...``, as far as the tail counts against the first."""
    first = float(np.max(log_term(np.arange(low + 1, max(low, peak) + 2))))
    end = _first_at_most(log_term, first - _NEGLIGIBLE, max(low, peak) + 1)
    terms = log_term(np.arange(low + 1, end + 1))
    return np.logaddexp.accumulate(terms[::-1])[::-1]  # from the far end: small terms first


# -- coefficients ----------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def _rounded_coefficients(radius: float, degree: int, kind: str) -> tuple[float, ...]:
    if kind == "taylor":
        return tuple(1 / math.factorial(t) for t in range(degree + 1))  # int / int rounds correctly
    # The T_k have entries up to (1 + sqrt 2)^k and the terms of a power cancel by up to e^radius.
    bits = 80 + int(1.3 * degree + 1.5 * radius)
    previous: tuple[float, ...] = ()
    while True:
        with mpmath.workprec(bits):
            exact = _monomial_coefficients(mpmath.mpf(radius), degree)
            rounded = tuple(float(c) for c in exact)
        if rounded == previous:
            break
        previous, bits = rounded, bits + 64
    if not all(map(math.isfinite, rounded)):
        raise OverflowError(f"radius={radius!r}, degree={degree!r}: a monomial coefficient exceeds float64")
    return rounded


def _monomial_coefficients(radius: Any, degree: int) -> list[Any]:
    """Coefficients of ``I_0 + 2 sum_k I_k T_k(x/R)`` in powers of ``x``, at the working precision."""
    total = [mpmath.mpf(0)] * (degree + 1)
    before, now = [0], [1]  # T_{-1} is never used: T_1 is set apart below
    for k in range(degree + 1):
        weight = mpmath.besseli(k, radius) * (1 if k == 0 else 2)
        for t in range(k % 2, k + 1, 2):
            total[t] += weight * now[t]
        following = [0, *(c if k == 0 else 2 * c for c in now)]
        for t, c in enumerate(before if k > 0 else ()):
            following[t] -= c
        before, now = now, following
    return [c / radius**t for t, c in enumerate(total)]


def _series(x: Array, radius: float, degree: int) -> list[float]:
    """The Chebyshev coefficients ``I_0, 2 I_1, ..., 2 I_degree``, for a dtype that holds ``e^radius``."""
    radius, degree = _checked_radius(radius), _checked_degree(degree)
    xp = namespace(x)
    if not xp.isdtype(x.dtype, "real floating"):
        raise ValueError(f"x of dtype {x.dtype}: expected real floating point")
    if radius >= math.log(float(xp.finfo(x.dtype).max)):
        raise ValueError(f"radius={radius!r}: expected e^radius to fit dtype {x.dtype}")
    scaled = ive(np.arange(degree + 1), radius) * math.exp(radius)
    return [float(scaled[0]), *(2 * scaled[1:]).tolist()]
