r"""What a sketch does to lengths in a subspace, and to the inner products of fixed vectors."""

from __future__ import annotations

from collections.abc import Sequence

import array_api_compat
import numpy as np

from touchstone.arrays import Array, namespace
from touchstone.linalg.spectral_error import spectral_error
from touchstone.sketching.operator import Sketch


def embedding_distortion(S: Sketch, A: Array) -> float | Array:
    r"""The least :math:`\epsilon` with :math:`(1-\epsilon)\lVert Ax\rVert^2\le\lVert SAx\rVert^2\le
    (1+\epsilon)\lVert Ax\rVert^2` for all x.

    ``A`` (n, d) of full column rank; for an orthonormal basis it is :math:`\lVert A^\top S^\top SA-I\rVert`.
    The result is an array without axes: at least 1 where a direction is lost, as it is with m < d. Computed
    from Gram matrices, with an error of about u κ², κ the condition number of A with columns scaled to
    length 1.

    Cost: S @ A, (n + m) d^2 multiply-adds and O(d^3). Raises what ``S @ A`` raises, ``ValueError`` where A is
    no matrix or has columns that depend on one another, ``TypeError`` for complex numbers.

    Source: linf-guarantee-regression, C6 (subspace embedding).
    """
    if A.ndim != 2:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix")
    SA = S @ A
    return spectral_error(A.T @ A, SA.T @ SA)


def inner_product_error(S: Sketch, G: Array, H: Array, *, rows: Sequence[int] | None = None) -> Array:
    r""":math:`(\langle Sg,Sh\rangle-\langle g,h\rangle)/(\lVert g\rVert\lVert h\rVert)` for pairs of columns.

    ``G`` and ``H`` (n,) or (n, k), real; the result is () or (k,), and 0 where g or h is 0. Times
    :math:`\sqrt m` it is what the coordinate-wise embedding property bounds by β. With ``rows`` = (m_1, m_2,
    ...) the sketches that the first m_i rows of S make, rescaled, are judged in one go: (len(rows),) or
    (len(rows), k); for sketches whose rows come in random order (``prefix_inner_products``).

    Cost: S @ G, S @ H, and n + m multiply-adds a pair, beside the norms. Raises what ``S @ G`` raises,
    ``ValueError`` for different shapes or rows outside [1, m].

    Source: linf-guarantee-regression, setting (OCE) and C5.
    """
    xp = namespace(G, H)
    if tuple(G.shape) != tuple(H.shape):
        raise ValueError(f"H of shape {tuple(H.shape)}: expected {tuple(G.shape)}, that of G")
    # all columns in one product: slim ones cost mostly the call
    both = S @ xp.concat([_columns(G), _columns(H)], axis=1)
    k = both.shape[1] // 2
    shape = (both.shape[0], *G.shape[1:])
    X, Y = xp.reshape(both[:, :k], shape), xp.reshape(both[:, k:], shape)
    kept = prefix_inner_products(X, Y, [S.shape[0]] if rows is None else rows)
    true = xp.sum(G * H, axis=0)
    size = xp.linalg.vector_norm(G, axis=0) * xp.linalg.vector_norm(H, axis=0)
    result = (kept - true) / xp.where(size > 0, size, xp.ones_like(size))
    return result[0, ...] if rows is None else result


def prefix_inner_products(X: Array, Y: Array, rows: Sequence[int]) -> Array:
    r""":math:`\frac m{m_i}\sum_{j\le m_i}X_jY_j` for sketched columns ``X`` = SG and ``Y`` = SH.

    ``X`` and ``Y`` (m,) or (m, k) real, m_i the ``rows``; the result is (len(rows),) or (len(rows), k): the
    inner products under the sketch that the first m_i rows of S make, rescaled by :math:`\sqrt{m/m_i}`. For
    the transforms and for Gaussian sketches, whose rows are exchangeable, that is the sketch with m_i rows:
    one draw serves all sizes, which are then not independent of one another.

    Cost: 2 m arithmetic operations a pair, whatever the sizes. Raises ``ValueError`` for different shapes, no
    rows, or rows that are not integers in [1, m], ``TypeError`` unless both are real floating.
    """
    xp = namespace(X, Y)
    if X.ndim not in (1, 2) or tuple(X.shape) != tuple(Y.shape):
        raise ValueError(f"X and Y of shapes {tuple(X.shape)} and {tuple(Y.shape)}: expected (m,) or (m, k)")
    for name, x in (("X", X), ("Y", Y)):
        if not xp.isdtype(x.dtype, "real floating"):
            raise TypeError(f"{name} of dtype {x.dtype}: expected real floating numbers")
    m = X.shape[0]
    if len(rows) == 0 or any(
        isinstance(r, bool) or not isinstance(r, int | np.integer) or not 1 <= r <= m for r in rows
    ):
        raise ValueError(f"rows={rows!r}: expected at least one integer in [1, {m}]")
    products = X * Y
    sums, total, done = {}, xp.zeros(X.shape[1:], dtype=products.dtype, device=array_api_compat.device(X)), 0
    for r in sorted(set(rows)):
        total = total + xp.sum(products[done:r, ...], axis=0)
        sums[r], done = total * (m / r), r
    return xp.stack([sums[r] for r in rows])


def _columns(X: Array) -> Array:
    return X[:, None] if X.ndim == 1 else X
