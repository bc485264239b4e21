r"""From the gap maximum inner product of several sets to tensor attention with bounded entries.

The inner product of k binary vectors is the number of positions where all are one. Whoever computes
attention of order k on the instances built here to a small additive error can tell whether k sets of n
vectors contain a tuple of large inner product, which under the strong exponential time hypothesis takes time
:math:`n^{k-o(1)}`. The lower bound itself is conditional and cannot be run; the reduction and the gap that
it certifies can.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import bdtrc, expit

from touchstone.arrays import as_array_like, namespace, to_host
from touchstone.linalg.kronecker import khatri_rao

Array = Any

_LEAST_SHARE_OF_NO_INSTANCES = 0.05  # so that a NO instance takes about twenty draws at worst
_MOST_DRAWS = 1000
_ENTRIES = 1 << 22  # of the brute force at a time


def gap_inner_product(
    n: int,
    d: int,
    order: int,
    high: int,
    low: int,
    planted: bool,
    rng: np.random.Generator,
    *,
    like: Any = np,
) -> tuple[Array, ...]:
    r"""``order`` sets of n vectors in {0, 1}^d: (n, d) arrays of zeros and ones, fair independent bits.

    ``planted=True`` (a YES instance) gives one vector of every set, chosen at random, ones on a common random
    set of ``high`` positions: the inner product of that tuple is at least ``high``. ``planted=False`` (a NO
    instance) draws afresh until no tuple has an inner product above ``low``.

    Drawn on the host in float64, placed like ``like`` (an array or a namespace). Cost: O(order n d); for a
    NO instance one product with n^order d multiply-adds a draw, in blocks. Raises ``ValueError`` unless
    n, d >= 1, order >= 2 and 0 <= low < high <= d; for a NO instance also when fewer than one random
    instance in twenty would do, were its tuples independent (their dependence only raises that share).
    Source: tensor-attention-forward, C5.
    """
    _check_sizes(n, d, order, high, low)
    if planted:
        sets = _fair(n, d, order, rng)
        common = rng.choice(d, high, replace=False)
        for x in sets:
            x[rng.integers(n), common] = 1
        return tuple(as_array_like(x, like) for x in sets)
    above = float(bdtrc(low, d, 0.5**order))  # of one tuple: the inner product is binomial
    share = math.exp(n**order * math.log1p(-above)) if above < 1 else 0.0
    if share < _LEAST_SHARE_OF_NO_INSTANCES:
        raise ValueError(
            f"low={low!r} with n={n}, d={d}, order={order}: about {n**order * above:.3g} tuples of a random "
            "instance exceed it; for a NO instance take d or low larger"
        )
    for _ in range(_MOST_DRAWS):
        sets = _fair(n, d, order, rng)
        if _largest_inner_product(sets) <= low:
            return tuple(as_array_like(x, like) for x in sets)
    raise ValueError(
        f"low={low!r} with n={n}, d={d}, order={order}: no NO instance in {_MOST_DRAWS} draws; take d or low "
        "larger"
    )


@dataclass(frozen=True)
class CertifiedGap:
    r"""What the reduction guarantees about the output :math:`p_i` of the first ``queries`` rows.

    All weights are natural logarithms, before normalisation. ``above`` is :math:`\ell_y`, what the tuples of
    the sets together are sure to weigh for some query of a YES instance; ``below`` is :math:`\ell_n`, what
    they cannot exceed for any query of a NO instance; ``pad`` and ``mixed`` are the exact weights of the
    other tuples. ``pad_level`` is s, the entry of the pad over B.
    """

    above: float
    below: float
    pad: float
    mixed: float
    pad_level: float
    scale: float
    queries: int
    threshold: float = 0.5

    @property
    def logit_gap(self) -> float:
        r""":math:`\ell_y-\ell_n`."""
        return self.above - self.below

    @property
    def yes_at_least(self) -> float:
        r"""Lower bound on :math:`\max_ip_i` in a YES instance."""
        return float(expit(self.above - np.logaddexp(self.pad, self.mixed)))

    @property
    def no_at_most(self) -> float:
        r"""Upper bound on :math:`\max_ip_i` in a NO instance."""
        return float(expit(self.below - np.logaddexp(self.pad, self.mixed)))


def inner_product_to_tensor_attention(
    sets: Sequence[Array], high: int, low: int, B: float
) -> tuple[Array, tuple[Array, ...], tuple[Array, ...], CertifiedGap]:
    r"""``Q, Ks, Vs, gap``: tensor attention with entries in [-B, B] that decides ``sets``.

    ``sets`` are k >= 2 arrays (n, d) of zeros and ones (``gap_inner_product`` makes them). ``Q`` and the
    k - 1 ``Ks`` are (2n, 2d), the ``Vs`` (2n, 1), in their namespace and dtype, meant for ``gap.scale`` =
    1/(2d). Query i is B [a_i, 1], for i < n; the other n are B [0, 1]. Every key matrix holds n keys
    B [b_j, 0], of value 1, and n *idle* ones of value 0: B [0, 1], in the last matrix B [0, s 1]. So the
    output :math:`p_i` is the share of weight that query i gives to tuples of the sets:

    - one of them with inner product at least ``high`` weighs :math:`e^{\ell_y}`, :math:`\ell_y=B^kT/(2d)`
      with T = ``high``;
    - when none exceeds ``low``, all together weigh at most :math:`e^{\ell_n}`,
      :math:`\ell_n=(k-1)\ln n+B^kT_0/(2d)` with :math:`T_0` = ``low``;
    - the *pad*, n^{k-1} tuples of idle keys alone, has logits :math:`B^ks/2`; *mixed* tuples have logit 0.

    The level s puts the weight of the pad half-way, :math:`(\ell_y+\ell_n)/2`, or as near as
    :math:`s\ge-1` allows. Answer YES when :math:`\max_{i<n}p_i` is at least ``gap.threshold`` = 1/2. The
    bounds ``gap.yes_at_least`` and ``gap.no_at_most`` hold at every B; they lie on different sides of 1/2
    when B is large enough, such as :math:`B^k=k\ln n\cdot2d/(T-T_0)`, where :math:`\ell_y-\ell_n=\ln n`.

    Cost: O(k n d). Raises ``ValueError`` for fewer than two sets, shapes that differ, entries other than
    zeros and ones (checked where there is data), 0 <= low < high <= d violated, or B that is not finite and
    positive; ``TypeError`` for integer arrays. Source: tensor-attention-forward, C5 (reconstructed).
    """
    sets = tuple(sets)
    if len(sets) < 2:
        raise ValueError(f"{len(sets)} sets: expected at least two")
    xp = namespace(*sets)
    for at, x in enumerate(sets):
        if x.ndim != 2 or tuple(x.shape) != tuple(sets[0].shape):
            raise ValueError(f"sets[{at}] of shape {tuple(x.shape)}: expected (n, d), the same for all")
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"sets[{at}] of dtype {x.dtype}: expected real floating zeros and ones")
    (n, d), order = sets[0].shape, len(sets)
    _check_sizes(n, d, order, high, low)
    if not (math.isfinite(B) and B > 0):
        raise ValueError(f"B={B!r}: expected a finite number > 0")
    for at, x in enumerate(sets):
        _check_binary(f"sets[{at}]", x)
    B = float(B)
    power, keys = B**order, (order - 1) * math.log(n)
    above = power * (high / (2 * d))  # the ratio first: d may be an integer too large for a float
    below = keys + power * (low / (2 * d))
    level = max(-1.0, ((above + below) / 2 - keys) / (power / 2))  # below 1, as high + low < 2 d
    mixed = keys + math.log(2 ** (order - 1) - 2) if order > 2 else -math.inf
    gap = CertifiedGap(above, below, keys + power * level / 2, mixed, level, 1 / (2 * d), n)

    zeros, ones = xp.zeros_like(sets[0]), xp.ones_like(sets[0])
    Q = B * xp.concat([xp.concat([sets[0], zeros]), xp.concat([ones, ones])], axis=1)
    idle = [B * ones] * (order - 2) + [B * level * ones]
    Ks = tuple(
        xp.concat([xp.concat([B * x, zeros]), xp.concat([zeros, pad])], axis=1)
        for x, pad in zip(sets[1:], idle, strict=True)
    )
    value = xp.concat([ones[:, :1], zeros[:, :1]])
    return Q, Ks, (value,) * (order - 1), gap


def _fair(n: int, d: int, order: int, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.integers(0, 2, (n, d)).astype(np.float64) for _ in range(order)]


def _largest_inner_product(sets: Sequence[np.ndarray]) -> int:
    """Over all tuples, one from each of the two or more sets, by brute force in blocks."""
    first, *middle, last = (x.astype(np.float32) for x in sets)  # sums of at most 2^24 ones are exact
    tuples = math.prod(len(x) for x in middle)
    rows = max(1, _ENTRIES // (tuples * max(first.shape[1], len(last))))
    blocks = (first[i : i + rows] for i in range(0, len(first), rows))
    return int(max(np.max(khatri_rao(block, *middle) @ last.T) for block in blocks))


def _check_sizes(n: int, d: int, order: int, high: int, low: int) -> None:
    for name, size, least in (("n", n, 1), ("d", d, 1), ("order", order, 2)):
        if not size >= least:
            raise ValueError(f"{name}={size!r}: expected an integer >= {least}")
    if not 0 <= low < high <= d:
        raise ValueError(f"high={high!r}, low={low!r}: expected 0 <= low < high <= {d}")


def _check_binary(name: str, x: Array) -> None:
    try:
        host = to_host(x)
    except TypeError:  # a shape-only array holds no entries to check
        return
    if not np.all((host == 0) | (host == 1)):
        raise ValueError(f"{name}: expected zeros and ones only")
