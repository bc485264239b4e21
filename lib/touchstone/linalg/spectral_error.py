r"""How far one positive definite matrix is from another: the spectrum of :math:`H^{-1/2}KH^{-1/2}`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from touchstone.arrays import extremes, failures_raise, holds_data, namespace

Array = Any


def relative_eigenvalues(H: Array, K: Array) -> Array:
    r"""The eigenvalues of :math:`H^{-1/2}KH^{-1/2}`, rising: those λ with :math:`Kv=\lambda Hv`.

    ``H`` symmetric positive definite and ``K`` symmetric, both (..., d, d), with leading axes that
    broadcast; returns (..., d). All lie in :math:`[1-\epsilon,1+\epsilon]` exactly when
    :math:`(1-\epsilon)H\preceq K\preceq(1+\epsilon)H`. Both are read as symmetrised. Computed by Cholesky,
    H = R^T R, and :math:`R^{-T}KR^{-1}` after scaling H to a unit diagonal: scaling variables changes
    nothing, and the error is about u κ(H) of the scaled H times the largest eigenvalue.

    Cost: O(d^3) for each pair. Raises ``ValueError`` for shapes that do not fit or an H that is not
    positive definite, ``TypeError`` unless both are real floating. Source: leverage-gradient-inversion, C2.
    """
    xp = namespace(H, K)
    for name, x in (("H", H), ("K", K)):
        if x.ndim < 2 or x.shape[-1] != x.shape[-2] or x.shape[-1] < 1:
            raise ValueError(f"{name} of shape {tuple(x.shape)}: expected square matrices")
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
    if H.shape[-1] != K.shape[-1]:
        raise ValueError(f"K of shape {tuple(K.shape)}: expected {H.shape[-1]} rows, as H has")
    H, K = (x / 2 + xp.matrix_transpose(x) / 2 for x in (H, K))
    _check_positive(xp.linalg.diagonal(H))
    if holds_data(K) and not math.isfinite(sum(extremes(K))):
        raise ValueError(f"K of shape {tuple(K.shape)}: expected finite numbers")
    root = xp.sqrt(xp.linalg.diagonal(H))
    scale = root[..., :, None] * root[..., None, :]
    try:
        with failures_raise(H):
            R = xp.linalg.cholesky(H / scale, upper=True)
    except np.linalg.LinAlgError as error:
        raise ValueError(_NOT_POSITIVE) from error
    _check_positive(xp.linalg.diagonal(R))  # not every library raises, and none does for NaN
    inverse = xp.linalg.inv(R)
    M = xp.matrix_transpose(inverse) @ (K / scale) @ inverse
    return xp.linalg.eigvalsh((M + xp.matrix_transpose(M)) / 2)


_NOT_POSITIVE = "H: expected symmetric positive definite matrices, in floating point too"


def _check_positive(diagonal: Array) -> None:
    if holds_data(diagonal):
        least, most = extremes(diagonal)
        if not (least > 0 and most < math.inf):
            raise ValueError(_NOT_POSITIVE)


def spectral_error(H: Array, K: Array, norm: float | str = 2) -> Array:
    r""":math:`\lVert H^{-1/2}KH^{-1/2}-I\rVert`, (...) for ``H`` and ``K`` as in ``relative_eigenvalues``.

    ``norm`` is 2 (the largest :math:`|\lambda-1|`), ``"fro"`` (root of the sum of squares) or ``"nuc"``
    (the sum). Raises ``ValueError`` for another norm, and what ``relative_eigenvalues`` raises.
    """
    if norm not in (2, "fro", "nuc"):
        raise ValueError(f"norm={norm!r}: expected 2, 'fro' or 'nuc'")
    gaps = relative_eigenvalues(H, K) - 1
    xp = namespace(gaps)
    return xp.linalg.vector_norm(gaps, axis=-1, ord={2: math.inf, "fro": 2, "nuc": 1}[norm])
