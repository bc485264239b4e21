r"""Kernel ridge regression from the kernel matrix: :math:`f(x)=k(x)^\top(H+\lambda I)^{-1}y`."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat

from touchstone.arrays import namespace

Array = Any


def kernel_ridge(H: Array, k: Array, y: Array, ridge: float) -> Array:
    r"""Predictions :math:`k^\top(H+\lambda I)^{-1}y` with :math:`\lambda` = ``ridge``.

    ``H`` (..., n, n) is the kernel of the training points (leading axes: several kernels at once), ``k``
    (q, n) has for each query the kernel to the training points, or is one such row (n,); ``y`` (n,) or
    (n, c). The result has the leading axes of ``H``, then (q,) or (q, c); for a single row without q.

    One LU solve: with ``ridge`` = 0 the kernel has to be invertible (a release from k <= n samples is not),
    and what ``linalg.solve`` of the library says of a singular matrix stands. Raises ``ValueError`` for
    shapes that do not fit and for a ``ridge`` that is negative or not finite. Cost: 2/3 n³ operations a
    kernel, and q n c multiply-adds.

    Source: ntk-regression-dp, Setting.
    """
    xp = namespace(H, k, y)
    if H.ndim < 2 or H.shape[-1] != H.shape[-2]:
        raise ValueError(f"H of shape {tuple(H.shape)}: expected square matrices")
    n = H.shape[-1]
    if y.ndim not in (1, 2) or y.shape[0] != n:
        raise ValueError(f"y of shape {tuple(y.shape)}: expected ({n},) or ({n}, c), as H is {n} by {n}")
    if k.ndim not in (1, 2) or k.shape[-1] != n:
        raise ValueError(f"k of shape {tuple(k.shape)}: expected ({n},) or (q, {n}), as H is {n} by {n}")
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge={ridge!r}: expected a finite number >= 0")
    # a matrix on both sides, whatever came: how a library reads a row beside a stack of matrices differs
    columns = y[:, None] if y.ndim == 1 else y
    rows = k[None, :] if k.ndim == 1 else k
    shifted = H + ridge * xp.eye(n, dtype=H.dtype, device=array_api_compat.device(H))
    columns = xp.broadcast_to(columns, (*H.shape[:-2], *columns.shape))
    predictions = rows @ xp.linalg.solve(shifted, columns)
    if y.ndim == 1:
        predictions = predictions[..., 0]
    if k.ndim == 1:
        predictions = predictions[..., 0] if y.ndim == 1 else predictions[..., 0, :]
    return predictions
