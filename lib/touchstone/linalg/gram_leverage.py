r"""Leverage scores of some rows from the Gram matrix of all of them: what a stream can still know."""

from __future__ import annotations

from typing import Any

from touchstone.arrays import namespace
from touchstone.linalg.whitening import rank_tolerance

Array = Any


def gram_leverage(rows: Array, gram: Array) -> Array:
    r""":math:`r^\top G^+r` for each of ``rows`` (m, d), which are among those that ``gram`` (d, d) sums up.

    Returns (m,), at most 1. Columns are brought to norm 1 first; directions in which G is then below
    8 d times the spacing of 1, relative to the largest, cannot be told from rounding. A row that sticks out
    into them, by more than the root of that, may be the only one there and scores 1: who drops rows of small
    score drops none that matters.

    The error is about u κ^2, κ the condition number with columns of norm 1: G has the squares of the singular
    values. Cost: one eigendecomposition of d × d and 2 m d^2 multiply-adds. Raises ``ValueError`` for shapes
    that do not fit, ``TypeError`` unless both are real floating.

    Source: lev-attention, one-pass algorithm.
    """
    xp = namespace(rows, gram)
    if rows.ndim != 2 or tuple(gram.shape) != (rows.shape[1], rows.shape[1]) or rows.shape[1] < 1:
        raise ValueError(
            f"rows of shape {tuple(rows.shape)} and gram of shape {tuple(gram.shape)}: expected (m, d) and "
            "(d, d)"
        )
    for name, x in (("rows", rows), ("gram", gram)):
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
    d = rows.shape[1]
    norms = xp.sqrt(xp.linalg.diagonal(gram))
    norms = xp.where(norms > 0, norms, xp.ones_like(norms))
    rows = rows / norms
    values, vectors = xp.linalg.eigh(gram / norms[:, None] / norms[None, :])
    least = rank_tolerance(0.0, d, rows.dtype, xp)
    known = values > least * xp.max(values)
    parts = (rows @ vectors) ** 2
    zero = xp.zeros_like(parts)
    scores = xp.sum(xp.where(known, parts / xp.where(known, values, xp.ones_like(values)), zero), axis=1)
    unknown = xp.sum(xp.where(known, zero, parts), axis=1)
    alone = unknown > least * xp.sum(parts, axis=1)
    one = xp.ones_like(scores)
    return xp.where(alone, one, xp.minimum(scores, one))
