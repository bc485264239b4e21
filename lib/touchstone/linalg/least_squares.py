"""Least squares by orthogonal factorisations, at any rank."""

from __future__ import annotations

import math
from typing import Any

from touchstone.arrays import Array, extremes, holds_data, namespace


def least_squares(
    A: Array, b: Array, weights: Array | None = None, *, ridge: float = 0.0, rtol: float = 1e-12
) -> Array:
    r"""The shortest minimiser of :math:`\sum_iw_i(a_i^\top x-b_i)^2+\lambda\lVert x\rVert^2`.

    ``A`` (m, d), ``b`` (m,) or (m, k) for several right-hand sides, ``weights`` (m,) >= 0 (default 1),
    :math:`\lambda` = ``ridge`` >= 0; the result is (d,) or (d, k). The rows, with :math:`\sqrt\lambda I`
    below them, are factorised by Householder QR and the triangle by singular values; those at most ``rtol``
    times the largest count as zero. The relative error is about u κ, for large residuals u κ².

    Cost: 2 (m + d) d^2 multiply-adds and O(d^3). Raises ``ValueError`` for shapes that do not fit, negative
    weights or ridge, or rtol outside [0, 1); ``TypeError`` unless all arrays are real floating.

    Source: G. Golub, C. Van Loan, *Matrix Computations* (4th edition, 2013), section 5.5;
    quantum-linear-regression, setting.
    """
    xp = _checked(A, b, weights, ridge, rtol)
    d = A.shape[1]
    B = b[:, None] if b.ndim == 1 else b
    if weights is not None:
        root = xp.sqrt(weights)[:, None]
        A, B = A * root, B * root
    if ridge:
        A = xp.concat([A, math.sqrt(ridge) * xp.eye(d, dtype=A.dtype)])
        B = xp.concat([B, xp.zeros((d, B.shape[1]), dtype=B.dtype)])
    Q, R = xp.linalg.qr(A, mode="reduced")
    U, values, Vt = xp.linalg.svd(R, full_matrices=False)
    kept = values > rtol * xp.max(values)
    inverse = xp.where(kept, 1 / xp.where(kept, values, xp.ones_like(values)), xp.zeros_like(values))
    x = Vt.T @ (inverse[:, None] * (U.T @ (Q.T @ B)))
    return x[:, 0] if b.ndim == 1 else x


def _checked(A: Array, b: Array, weights: Array | None, ridge: float, rtol: float) -> Any:
    xp = namespace(A, b, weights)
    for name, x in (("A", A), ("b", b), ("weights", weights)):
        if x is not None and not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
    if A.ndim != 2 or A.shape[0] < 1 or A.shape[1] < 1:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix with rows and columns")
    m = A.shape[0]
    if b.ndim not in (1, 2) or b.shape[0] != m:
        raise ValueError(f"b of shape {tuple(b.shape)}: expected ({m},) or ({m}, k), a row for each of A's")
    if weights is not None:
        if tuple(weights.shape) != (m,):
            raise ValueError(f"weights of shape {tuple(weights.shape)}: expected ({m},), one for each row")
        if holds_data(weights) and not extremes(weights)[0] >= 0:
            raise ValueError(f"weights down to {extremes(weights)[0]}: expected numbers >= 0")
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge={ridge!r}: expected a finite number >= 0")
    if not 0 <= rtol < 1:
        raise ValueError(f"rtol={rtol!r}: expected a number in [0, 1)")
    return xp
