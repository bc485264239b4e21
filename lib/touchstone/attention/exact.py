r"""Dense softmax attention, :math:`\mathrm{softmax}(\text{scale}\cdot QK^\top)V`, in bounded memory."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat

from touchstone.arrays import block_factor, map_rows, namespace
from touchstone.functions.softmax import softmax, unnormalised_softmax

Array = Any

LOGITS_PER_BLOCK = 1 << 19
"""Logits that the default row block of ``attention`` holds at a time: 4 MiB in float64, near the cache.

On a GPU ``touchstone.arrays.block_factor`` times as many."""


def attention(
    Q: Array,
    K: Array,
    V: Array,
    *,
    scale: float,
    mask: Array | str | None = None,
    block: int | None = None,
    workers: int = 1,
) -> Array:
    r"""Every query's average of the values, weighted by :math:`e^{\text{scale}\,\langle q,k\rangle}`.

    ``Q`` (n, d), ``K`` (m, d), ``V`` (m, c), all floating (real or complex, never conjugated: the result is
    analytic in each); returns (n, c). ``scale`` multiplies the inner products and has no default, because
    1/d, 1/sqrt(d) and 1 are all in use. ``mask`` (n, m) is boolean, true where the query may see the
    key; ``"causal"`` (n = m) lets query i see keys 0..i and never builds an (n, m) mask. A query that sees
    no key gets a row of zeros.

    Rows are processed ``block`` queries at a time (default: as many as ``LOGITS_PER_BLOCK`` logits allow) by
    ``workers`` threads (see ``touchstone.arrays.map_rows``). Beyond input and output each worker holds at
    most three arrays of ``block`` × m and that part of the mask: with the default block a constant, as long
    as m <= ``LOGITS_PER_BLOCK``. Each row's largest logit is subtracted first, so any finite logits are
    safe.

    Cost: n m (d + c) multiply-adds and, per pair, one exponential, one subtraction, one addition and one
    comparison, also for pairs that are masked; a mask adds a comparison a pair, causal order two. Raises
    ``ValueError`` for shapes that do not fit, no keys, a ``scale`` that is not a finite number, an unknown
    mask name, or a block or worker count below 1; ``TypeError`` for integer arrays, a mask that is not
    boolean, or arrays of different libraries.
    """
    scale, mask = _checked(Q, K, mask, scale)
    n, m = Q.shape[0], K.shape[0]
    namespace(Q, V)
    if V.ndim != 2 or V.shape[0] != m:
        raise ValueError(f"V of shape {V.shape}: expected ({m}, columns), one row for each of the {m} keys")
    _floating("V", V)
    if block is None:
        block = max(1, min(n, LOGITS_PER_BLOCK * block_factor(Q) // m))

    def rows(Q: Array, mask: Array | None = None) -> Array:
        exponentials, total = unnormalised_softmax(_logits(Q, K, scale), where=_seen(mask, m))
        return (exponentials @ V) / total

    return map_rows(rows, Q, *(() if mask is None else (mask,)), block=block, workers=workers)


def attention_weights(Q: Array, K: Array, *, scale: float, mask: Array | str | None = None) -> Array:
    """The (n, m) matrix of attention weights at once; rows sum to 1 (a row that sees no key is zero).

    Arguments, errors and cost are those of ``attention`` without the values; memory is three times the
    result.
    """
    scale, mask = _checked(Q, K, mask, scale)
    return softmax(_logits(Q, K, scale), where=_seen(mask, K.shape[0]))


def _logits(Q: Array, K: Array, scale: float) -> Array:
    return (scale * Q) @ namespace(K).matrix_transpose(K)


def _seen(mask: Array | None, m: int) -> Array | None:
    """The boolean mask of some rows, from those rows of it or from their positions in causal order."""
    if mask is None or mask.ndim == 2:
        return mask
    xp = namespace(mask)
    keys = xp.arange(m, dtype=mask.dtype, device=array_api_compat.device(mask))
    return keys[None, :] <= mask[:, None]


def _checked(Q: Array, K: Array, mask: Array | str | None, scale: float) -> tuple[float, Array | None]:
    """``scale`` as a float, and per query what ``_seen`` needs: nothing, a row of the mask or a position."""
    xp = namespace(Q, K)
    for name, x in (("Q", Q), ("K", K)):
        if x.ndim != 2:
            raise ValueError(f"{name} of shape {x.shape}: expected two dimensions, (rows, features)")
        _floating(name, x)
    n, m = Q.shape[0], K.shape[0]
    if Q.shape[1] != K.shape[1]:
        raise ValueError(f"Q of shape {Q.shape} and K of shape {K.shape}: expected equal numbers of features")
    if m == 0:
        raise ValueError(f"K of shape {K.shape}: expected at least one key")
    if isinstance(scale, complex) or not math.isfinite(scale):
        raise ValueError(f"scale={scale!r}: expected a finite real number")
    scale = float(scale)  # a NumPy scalar would promote float32
    if mask is None:
        return scale, None
    if isinstance(mask, str):
        if mask != "causal":
            raise ValueError(
                f"mask={mask!r}: expected 'causal', a boolean array of shape ({n}, {m}), or None"
            )
        if n != m:
            raise ValueError(f"mask='causal' with {n} queries and {m} keys: expected equal numbers")
        return scale, xp.arange(n, device=array_api_compat.device(Q))
    namespace(Q, mask)
    if tuple(mask.shape) != (n, m):
        raise ValueError(f"mask of shape {mask.shape}: expected ({n}, {m}), a row for each query")
    if not xp.isdtype(mask.dtype, "bool"):
        raise TypeError(f"mask of dtype {mask.dtype}: expected booleans, true where a query may see a key")
    return scale, mask


def _floating(name: str, x: Array) -> None:
    if not namespace(x).isdtype(x.dtype, ("real floating", "complex floating")):
        raise TypeError(f"{name} of dtype {x.dtype}: expected real or complex floating numbers")
