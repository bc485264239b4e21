r"""From gap-Hamming closest pair to attention with entries of order :math:`\sqrt{\log n}`.

Whoever computes attention on the instances built here to a small additive error can tell whether two sets
of n binary vectors contain a close pair, which under the strong exponential time hypothesis takes time
:math:`n^{2-o(1)}`. The lower bound itself is conditional and cannot be run; the reduction and the gap that it
certifies can.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.arrays import as_array_like, namespace, to_host

Array = Any

_LEAST_SHARE_OF_FAR_INSTANCES = 0.05  # so that a NO instance takes about twenty draws at worst
_MOST_DRAWS = 1000
_ROWS = 512  # of the brute force at a time


def gap_hamming(
    n: int, d: int, t: int, planted: bool, rng: np.random.Generator, *, like: Any = np
) -> tuple[Array, Array]:
    r"""``a, b``: two sets of n vectors in {0, 1}^d of weight d/2, as (n, d) arrays of zeros and ones.

    All vectors are uniform. ``planted=True`` (a YES instance) then puts one pair at Hamming distance
    exactly t: one row of ``b`` becomes a row of ``a`` with t/2 ones and t/2 zeros flipped.
    ``planted=False`` (a NO instance) draws afresh until every pair is farther apart than 2 t.

    Drawn on the host in float64, placed like ``like`` (an array or a namespace). Cost: O(n d); for a NO
    instance one n × d × n product a draw, in row blocks. Raises ``ValueError`` unless n >= 1, d is even
    and >= 2, t is even and 2 <= t <= d; for a NO instance also when fewer than one random instance in
    twenty would do (were its pairs independent), impossible ones included.
    Source: bounded-entries-attention, C5.
    """
    _check_sizes(n, d, t)
    if planted:
        a, b = _balanced(n, d, rng), _balanced(n, d, rng)
        i, j = rng.integers(n), rng.integers(n)
        ones, zeros = np.flatnonzero(a[i] == 1), np.flatnonzero(a[i] == 0)
        b[j] = a[i]
        b[j, rng.choice(ones, t // 2, replace=False)] = 0
        b[j, rng.choice(zeros, t // 2, replace=False)] = 1
        return as_array_like(a, like), as_array_like(b, like)
    close = _close_probability(d, 2 * t)
    share = math.exp(n * n * math.log1p(-close)) if close < 1 else 0.0
    if share < _LEAST_SHARE_OF_FAR_INSTANCES:
        raise ValueError(
            f"t={t!r} with n={n}, d={d}: about {n * n * close:.3g} pairs of a random instance lie within "
            "2 t; for a NO instance take d larger or t smaller"
        )
    for _ in range(_MOST_DRAWS):
        a, b = _balanced(n, d, rng), _balanced(n, d, rng)
        if _least_distance(a, b) > 2 * t:
            return as_array_like(a, like), as_array_like(b, like)
    raise ValueError(
        f"t={t!r} with n={n}, d={d}: no NO instance in {_MOST_DRAWS} draws; take d larger or t smaller"
    )


@dataclass(frozen=True)
class CertifiedGap:
    r"""What the reduction guarantees about :math:`p_i=\mathrm{Att}_{i,1}` of the first ``queries`` rows.

    ``close`` and ``far`` are :math:`\ell_y` and :math:`\ell_n`, natural logarithms of the weight, before
    normalisation, that the keys of ``b`` together are sure to have for some query of a YES instance, and
    that they cannot exceed for any query of a NO instance. The pad's weight lies half-way between the two.
    """

    close: float
    far: float
    pad_level: float
    scale: float
    queries: int
    threshold: float = 0.5

    @property
    def logit_gap(self) -> float:
        r""":math:`\ell_y-\ell_n`; the reduction separates YES from NO when it is positive."""
        return self.close - self.far

    @property
    def yes_at_least(self) -> float:
        r"""Lower bound on :math:`\max_ip_i` in a YES instance: the logistic function of half the gap."""
        return _logistic(self.logit_gap / 2)

    @property
    def no_at_most(self) -> float:
        r"""Upper bound on :math:`\max_ip_i` in a NO instance: the logistic function of minus half the gap."""
        return _logistic(-self.logit_gap / 2)


def hamming_to_attention(a: Array, b: Array, t: int, B: float) -> tuple[Array, Array, Array, CertifiedGap]:
    r"""``Q, K, V, gap``: an attention instance with entries in [0, B] that decides the pair ``a, b``.

    ``a`` and ``b`` are (n, d) arrays of zeros and ones, every row of weight d/2 (``gap_hamming`` makes
    them); ``Q``, ``K``, ``V`` are (2n, 2d) in their namespace and dtype, meant for ``gap.scale`` = 1/(2d).
    Query i is B [a_i, 1] and key j is B [b_j, 0] for i, j < n; the other n queries are B [0, 1] and the
    other n keys, the *pad*, are B [0, s 1]. The first column of ``V`` is 1 on the keys of ``b`` and 0 on the
    pad; the other columns are zero. So :math:`p_i=\mathrm{Att}_{i,1}` is the share of weight that query i
    gives to ``b``, and

    - with some pair at distance <= t, its weight is at least :math:`e^{\ell_y}`,
      :math:`\ell_y=B^2(d/2-t/2)/(2d)`;
    - with every pair farther than 2 t, it is at most :math:`e^{\ell_n}`,
      :math:`\ell_n=\ln n+B^2(d/2-t)/(2d)`.

    The level s puts the pad's weight at :math:`(\ell_y+\ell_n)/2`: answer YES when
    :math:`\max_{i<n}p_i` is at least ``gap.threshold`` = 1/2. The gap is
    :math:`\ell_y-\ell_n=B^2t/(4d)-\ln n`: exactly :math:`\ln n` at :math:`B^2=8d\ln n/t`, and nothing is
    separated once it is negative.

    Cost: O(n d). Raises ``ValueError`` for shapes that differ, an odd d or t, t outside [2, d], entries other
    than zeros and ones or rows of another weight (checked where there is data), B that is not finite and
    positive, and when the level s falls outside [0, 1], where no pad with entries in [0, B] has that weight;
    ``TypeError`` for integer arrays. Source: bounded-entries-attention, C5 (reconstructed; the pad with a
    tunable level replaces the original's smaller additive error).
    """
    xp = namespace(a, b)
    if a.ndim != 2 or tuple(a.shape) != tuple(b.shape):
        raise ValueError(f"a of shape {a.shape} and b of shape {b.shape}: expected the same (n, d)")
    n, d = a.shape
    _check_sizes(n, d, t)
    if not (math.isfinite(B) and B > 0):
        raise ValueError(f"B={B!r}: expected a finite number > 0")
    for name, x in (("a", a), ("b", b)):
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating zeros and ones")
        _check_balanced(name, x, d)
    B = float(B)
    # as ratios first: n may be an integer too large for a float
    close = B * B * (0.25 - 0.25 * (t / d))
    far = math.log(n) + B * B * (0.25 - 0.5 * (t / d))
    level = ((close + far) - 2 * math.log(n)) / (B * B)
    if not 0 <= level <= 1:
        raise ValueError(
            f"B={B!r} with n={n}, d={d}, t={t}: the pad level would be {level:.4g}, expected within [0, 1]; "
            "take B larger or t/d smaller"
        )
    zeros, ones = xp.zeros_like(a), xp.ones_like(a)
    Q = B * xp.concat([xp.concat([a, zeros]), xp.concat([ones, ones])], axis=1)
    K = B * xp.concat([xp.concat([b, zeros]), xp.concat([zeros, level * ones])], axis=1)
    first = xp.concat([ones[:, :1], zeros[:, 1:]], axis=1)
    V = xp.concat([xp.concat([first, zeros]), xp.concat([zeros, zeros])], axis=1)
    return Q, K, V, CertifiedGap(close, far, level, 1 / (2 * d), n)


def _balanced(n: int, d: int, rng: np.random.Generator) -> np.ndarray:
    """n independent uniform rows of d/2 ones and d/2 zeros."""
    row = np.repeat([1.0, 0.0], d // 2)
    return rng.permuted(np.tile(row, (n, 1)), axis=1)


def _least_distance(a: np.ndarray, b: np.ndarray) -> int:
    """The least Hamming distance over all pairs, from inner products: d - 2 <a, b> at weight d/2."""
    a, b = a.astype(np.float32), b.astype(np.float32)  # sums of at most 2^24 ones are exact
    overlap = max(np.max(a[i : i + _ROWS] @ b.T) for i in range(0, len(a), _ROWS))
    return a.shape[1] - 2 * int(overlap)


def _close_probability(d: int, distance: int) -> float:
    """The probability that two independent uniform vectors of weight d/2 lie within ``distance``."""
    half = d // 2
    # flipping h ones and h zeros gives distance 2 h
    near = sum(math.comb(half, h) ** 2 for h in range(min(distance // 2, half) + 1))
    return near / math.comb(d, half)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _check_sizes(n: int, d: int, t: int) -> None:
    if not n >= 1:
        raise ValueError(f"n={n!r}: expected an integer >= 1")
    if not d >= 2 or d % 2:
        raise ValueError(f"d={d!r}: expected an even integer >= 2, since every vector has weight d/2")
    if not 2 <= t <= d or t % 2:
        raise ValueError(f"t={t!r}: expected an even integer in [2, {d}], since t/2 ones and t/2 zeros flip")


def _check_balanced(name: str, x: Array, d: int) -> None:
    try:
        host = to_host(x)
    except TypeError:  # a shape-only array holds no entries to check
        return
    if not np.all((host == 0) | (host == 1)):
        raise ValueError(f"{name}: expected zeros and ones only")
    if not np.all(host.sum(axis=1) == d // 2):
        raise ValueError(f"{name}: expected {d // 2} ones in every row, half of its {d} entries")
