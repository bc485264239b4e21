r"""Numbers that a spectrum is summed up by: operator norm, stable rank, and the norm of its tail."""

from __future__ import annotations

import math
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import extremes, holds_data, namespace, normal

Array = Any

REPEATED = 32
"""A new direction shorter than so many roundings of the norm is rounding itself, and left out."""


def operator_norm(
    A: Any, steps: int | None = None, *, rng: np.random.Generator | None = None, like: Array | None = None
) -> Array:
    r"""The largest singular value :math:`\lVert A\rVert=\max_{\lVert v\rVert=1}\lVert Av\rVert`.

    Without ``steps``: that of each matrix of an array (..., m, n), by an SVD. With ``steps``: the largest
    among :math:`v` in the Krylov space :math:`\mathrm{span}\{(A^\top A)^iv_0:i<\mathrm{steps}\}` of a random
    :math:`v_0`, by the bidiagonalisation of Golub and Kahan with full reorthogonalisation. It never exceeds
    :math:`\lVert A\rVert`, but for rounding, and its square falls short by a relative
    :math:`\epsilon` or more with probability at most
    :math:`1.648\sqrt n\,e^{-(2\,\mathrm{steps}-1)\sqrt\epsilon}`, whatever the spectrum.

    ``A`` is then a matrix (m, n), or anything with ``shape``, ``@`` and ``.T`` that multiplies vectors of
    the library, device and dtype of the array ``like``: sketches, ``SparseRows``, operators of your own.
    Returns a number of that library, or (...) numbers.

    Cost: ``steps`` products with A, ``steps`` - 1 with its transpose, 2 (m + n) ``steps``² multiply-adds at
    most, (m + n) ``steps`` numbers of memory; an SVD without ``steps``. ``steps`` above min(m + 1, n) are not
    taken. Raises ``ValueError`` for no matrix or one that holds a number that is not finite, or ``steps``
    below 1; ``TypeError`` unless it is real floating, or without ``rng`` or ``like`` where they are needed.

    Source: G. Golub, W. Kahan, *Calculating the singular values and pseudo-inverse of a matrix* (1965);
    J. Kuczyński, H. Woźniakowski, *Estimating the largest eigenvalue by the power and Lanczos algorithms
    with a random start* (1992), for the probability.
    """
    if steps is None:
        return _singular_values(A)[..., 0]
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 1:
        raise ValueError(f"steps={steps!r}: expected an integer >= 1")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng={rng!r}: expected a NumPy random generator, for the first direction")
    if len(A.shape) != 2 or min(A.shape) < 1:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected a matrix with a row and a column or more")
    if array_api_compat.is_array_api_obj(A):
        _check_entries(A)
        like = A
    elif like is None:
        raise TypeError(f"like=None: expected an array, as A is {type(A).__name__}")
    return _krylov_norm(A, min(int(steps), A.shape[0] + 1, A.shape[1]), rng, like)


def stable_rank(A: Array, steps: int | None = None, *, rng: np.random.Generator | None = None) -> Array:
    r""":math:`\lVert A\rVert_F^2/\lVert A\rVert^2`, between 1 and the rank; 0 of a zero matrix.

    ``A`` (..., m, n) gives (...); with ``steps`` one matrix (m, n), and the operator norm is that of
    ``operator_norm``, whose errors and cost apply, so that the stable rank can only come out too large.
    """
    if steps is None:
        values = _singular_values(A)
        ratios = values / _positive(values[..., :1])
        return namespace(A).sum(ratios * ratios, axis=-1)
    norm = operator_norm(A, steps, rng=rng)
    return _length(A / _positive(norm)) ** 2


def tail_norm(A: Array, k: int) -> Array:
    r""":math:`\lVert A-A_k\rVert_F=(\sum_{i>k}\sigma_i^2)^{1/2}`: what the best rank-k approximation leaves.

    ``A`` (..., m, n) gives (...), from its singular values alone; 0 for k >= min(m, n). The error is a few
    roundings of :math:`\lVert A\rVert`, so a tail below that is rounding. Cost: an SVD without vectors.
    Raises ``ValueError`` for a k that is no integer >= 0, no matrix, or numbers that are not finite,
    ``TypeError`` unless ``A`` is real floating. Source: residual-error-sketch, setting.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 0:
        raise ValueError(f"k={k!r}: expected an integer >= 0")
    values = _singular_values(A)
    xp = namespace(values)
    if k >= values.shape[-1]:
        return xp.zeros(values.shape[:-1], dtype=values.dtype, device=array_api_compat.device(values))
    tail = values[..., int(k) :]
    largest = _positive(tail[..., :1])  # squares of huge and of tiny values would leave the range
    return largest[..., 0] * xp.linalg.vector_norm(tail / largest, axis=-1)


# -- the Krylov space --------------------------------------------------------------------------------------


def _krylov_norm(A: Any, steps: int, rng: np.random.Generator, like: Array) -> Array:
    """The largest singular value of the bidiagonal B (steps, steps) with A V = U B."""
    xp, device = namespace(like), array_api_compat.device(like)
    m, n = A.shape
    left = _Basis(xp.zeros((steps, m), dtype=like.dtype, device=device))
    right = _Basis(xp.zeros((steps, n), dtype=like.dtype, device=device))
    B = xp.zeros((steps, steps), dtype=like.dtype, device=device)
    largest = xp.zeros((), dtype=like.dtype, device=device)
    transpose = A.T
    v, _ = right.extend(normal(rng, (n,), like=like), largest)
    for t in range(steps):
        u, length = left.extend(A @ v, largest)
        B[t, t] = length
        largest = xp.maximum(largest, length)
        if t + 1 < steps:
            v, length = right.extend(transpose @ u, largest)
            B[t, t + 1] = length
            largest = xp.maximum(largest, length)
    return xp.linalg.svdvals(B)[0]


class _Basis:
    """Orthonormal rows, found one by one; a row of zeros once there is no new direction."""

    def __init__(self, rows: Array) -> None:
        self.rows, self.size = rows, 0

    def extend(self, x: Array, largest: Array) -> tuple[Array, Array]:
        """The direction that ``x`` adds and its length; both zero when that is rounding beside ``largest``.

        Orthogonalised twice against all that came before: with A V = U B only the last one should count, but
        rounding brings back the largest singular vectors as soon as they have been found.
        """
        xp = namespace(x)
        found = self.rows[: self.size, :]
        for _ in range(2 if self.size else 0):
            x = x - found.T @ (found @ x)
        length = _length(x)
        limit = REPEATED * float(xp.finfo(x.dtype).eps) * largest
        length = xp.where(length > limit, length, xp.zeros_like(length))
        x = xp.where(length > 0, x / _positive(length), xp.zeros_like(x))
        self.rows[self.size, :] = x
        self.size += 1
        return x, length


# -- shared ------------------------------------------------------------------------------------------------


def _singular_values(A: Array) -> Array:
    """(..., min(m, n)), falling, once ``A`` is seen to be finite matrices."""
    if len(A.shape) < 2 or min(A.shape[-2:]) < 1:
        raise ValueError(f"A of shape {tuple(A.shape)}: expected matrices with a row and a column or more")
    _check_entries(A)
    return namespace(A).linalg.svdvals(A)


def _check_entries(A: Array) -> None:
    if not namespace(A).isdtype(A.dtype, "real floating"):
        raise TypeError(f"A of dtype {A.dtype}: expected real floating numbers")
    if holds_data(A) and 0 not in A.shape:
        least, most = extremes(A)
        if not (-math.inf < least and most < math.inf):
            raise ValueError(f"A of shape {tuple(A.shape)}: expected finite numbers")


def _length(x: Array) -> Array:
    """The Euclidean length of all entries of ``x``, also where their squares leave the range."""
    xp = namespace(x)
    largest = _positive(xp.max(xp.abs(x)))
    return largest * xp.linalg.vector_norm(x / largest)


def _positive(x: Array) -> Array:
    """``x``, with 1 in place of 0."""
    return namespace(x).where(x > 0, x, namespace(x).ones_like(x))
