"""The degree that polynomial attention needs for its *output* to be accurate, measured rather than certified.

The certificate asks every weight to be accurate (``exp_degree``); averages of ``V`` forgive far more.
Here the output error of every degree is measured against exact attention on some of the queries, in one
pass over the keys.

Source: bounded-entries-attention, C1 (the error that is bounded there).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ive

from touchstone.arrays import as_array_like, map_rows, namespace, to_host
from touchstone.functions.exponential import exp_degree

Array = Any


def output_errors(
    Q: Array,
    K: Array,
    V: Array,
    *,
    scale: float,
    radius: float,
    degree: int,
    block: int = 2048,
    workers: int = 1,
) -> np.ndarray:
    """Largest output error of polynomial attention over the queries ``Q``, for every degree 0 .. ``degree``.

    Entry ``g`` is ``max |T_g - T|`` over all entries, where ``T`` (n, d_v) is exact attention and ``T_g``
    uses the Chebyshev truncation of degree ``g`` on ``[-radius, radius]``; ``inf`` where a row sum of
    ``T_g`` is not positive. In float64 whatever the dtype, in blocks of keys. ``radius`` must bound the
    logits for the truncations to mean anything: raises ``ValueError`` when a logit exceeds it, or
    ``radius`` exceeds 300 (``e^{2 radius}`` overflows).

    Returns a host array (degree + 1,). Cost: ``n m (d + (degree + 2)(d_v + 1))`` multiply-adds, ``n m``
    exponentials and ``2 n m degree`` arithmetic; memory ``6 n block`` floats for each worker.
    """
    if not 0 < radius <= 300:
        raise ValueError(f"radius={radius!r}: expected a number in (0, 300]")
    if isinstance(degree, bool) or not isinstance(degree, int | np.integer) or degree < 0:
        raise ValueError(f"degree={degree!r}: expected an integer >= 0")
    for name, x, rows in (("Q", Q, None), ("K", K, None), ("V", V, K.shape[0])):
        if x.ndim != 2 or x.shape[0] < 1 or rows not in (None, x.shape[0]):
            raise ValueError(
                f"{name} of shape {tuple(x.shape)}: expected a matrix, with a row of V for each of K"
            )
    xp = namespace(Q, K, V)
    queries = xp.astype(Q, xp.float64) * (scale / radius)

    room = 16 * xp.finfo(Q.dtype).eps  # a radius that is attained, by entries that were rounded

    def sums(keys: Array, values: Array) -> Array:
        """Sums over a block of keys of ``e^x [V, 1]`` and of every ``T_k(x / radius) [V, 1]``."""
        values = xp.astype(values, xp.float64)
        W = xp.concat([values, xp.ones_like(values[:, :1])], axis=1)
        y = queries @ xp.astype(keys, xp.float64).T
        largest = float(xp.max(xp.abs(y)))
        if not largest <= 1 + room:
            raise ValueError(
                f"radius={radius!r}: expected at least {largest * radius:.6g}, a logit of these rows"
            )
        parts, twice, before, now = [xp.exp(radius * y) @ W, xp.ones_like(y) @ W], 2 * y, None, y
        for k in range(1, degree + 1):
            parts.append(now @ W)
            if k < degree:
                before, now = now, twice * now - (1 if before is None else before)
        return xp.stack(parts)

    exact, *chebyshev = to_host(map_rows(sums, K, V, block=block, reduce="sum", workers=workers))
    wanted = exact[:, :-1] / exact[:, -1:]
    weights = ive(np.arange(degree + 1), radius) * np.where(np.arange(degree + 1) > 0, 2.0, 1.0)
    total, errors = np.zeros_like(exact), []
    for weight, term in zip(weights, chebyshev, strict=True):
        total = total + weight * term
        positive = bool(np.all(total[:, -1] > 0))
        errors.append(np.max(np.abs(total[:, :-1] / total[:, -1:] - wanted)) if positive else math.inf)
    return np.asarray(errors)


def output_degree(
    Q: Array,
    K: Array,
    V: Array,
    *,
    scale: float,
    radius: float,
    tol: float,
    rng: np.random.Generator,
    rows: int = 32,
    safety: float = 2.0,
    block: int = 2048,
    workers: int = 1,
) -> int:
    """The least degree whose output error on a sample of the queries is at most ``tol / safety``.

    The sample: ``rows`` / 2 queries of largest norm, where the error of the polynomial is largest, and as
    many drawn by ``rng`` from the others (all queries when there are no more than ``rows``). ``safety``
    is for the queries that were not looked at: an estimate, not a bound. The search ends at the certified
    degree, ``exp_degree`` for entrywise accuracy ``tol / (2 max |V|)``, which needs no sample and no
    factor.

    Arguments as in ``output_errors``, ``tol`` > 0 in the units of ``V``. Raises ``ValueError`` for a bad
    argument. Cost: that of ``output_errors`` on ``rows`` queries.
    """
    for name, value, least in (("tol", tol, 0), ("safety", safety, 0), ("rows", rows, 0)):
        if not (math.isfinite(value) and value > least):
            raise ValueError(f"{name}={value!r}: expected a finite number > {least}")
    xp = namespace(Q, K, V)
    largest = float(xp.max(xp.abs(V)))
    if not math.isfinite(largest):
        raise ValueError(f"V holds {largest}: expected finite entries")
    certified = exp_degree(radius, math.log(tol / (2 * largest))) if largest > 0 else 0
    sample = Q if Q.shape[0] <= rows else xp.take(Q, as_array_like(_sample(Q, rows, rng), xp), axis=0)
    errors = output_errors(
        sample, K, V, scale=scale, radius=radius, degree=certified, block=block, workers=workers
    )
    good = np.nonzero(errors * safety <= tol)[0]
    return int(good[0]) if len(good) else certified


def _sample(Q: Array, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Host indices of the queries of largest norm and of others at random, in equal parts."""
    norms = to_host(namespace(Q).sum(Q * Q, axis=1))
    order = np.argpartition(norms, len(norms) - rows // 2)
    others = order[: len(norms) - rows // 2]
    return np.concatenate([order[len(others) :], rng.choice(others, rows - rows // 2, replace=False)])
