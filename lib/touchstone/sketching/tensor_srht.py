r"""The subsampled randomised Hadamard transform of a tensor product, which never forms the product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import namespace, scatter_add
from touchstone.linalg.kronecker import face_splitting
from touchstone.linalg.walsh_hadamard import hadamard_entries, walsh_hadamard
from touchstone.sketching.operator import Place, Sketch, checked_sizes

Array = Any

MOST_ROWS = 1 << 62
"""Rows of the full transform up to which a sampled row is a 64-bit integer."""


def tensor_srht(
    m: int,
    shape: Sequence[int],
    rng: np.random.Generator,
    *,
    signs: bool = True,
    like: Any,
    workers: int = 1,
) -> TensorSRHT:
    r"""The sketch :math:`S=\frac1{\sqrt m}P(H_1D_1\otimes\dots\otimes H_kD_k)`, (m, prod n_s) for ``shape``
    (n_1, ..., n_k).

    Every :math:`D_s` holds n_s random signs, :math:`H_s` is the Walsh-Hadamard matrix of order N_s, n_s
    rounded up to a power of two, and P takes m of the N = prod N_s rows without replacement. With k = 1 it
    has the law of ``srht``. On a product, row :math:`(i_1,\dots,i_k)` is the product of the rows of the
    factors, so that only the factors are transformed:

        S.product(u, v)      # S @ (u ⊗ v), or column by column for matrices
        S.kron(A, B)         # S @ (A ⊗ B), all pairs of columns
        S @ X                # any X of prod n_s rows, the last factor running fastest

    :math:`\mathbb E\,S^\top S=I`, but only sum n_s signs are independent: the variance of
    :math:`\lVert Su\rVert^2` may be up to :math:`3^k-1` over m, where one transform has 2. The order of the
    rows is random, so the first m' of them are, up to the scale, a sketch with m' rows. With
    ``signs=False`` all D are identities: a control.

    Cost: sum n_s + k m numbers to hold, moved there once. ``product`` of matrices with c columns takes
    c (sum n_s + N_s log2 N_s) arithmetic operations, (k - 1) m c multiplications and k m c moves, or k more
    copies where n_s is no power of two; ``kron`` the same with the columns of each factor, and as many
    multiplications as face-splitting takes. ``S @ X`` takes at most c N (k + log2 N) operations. Raises
    ``ValueError`` for no factors, sizes below 1, m above N or N above ``MOST_ROWS``, ``TypeError`` for an
    ``rng`` that is no generator or a ``like`` that holds no real floating numbers.

    Source: linf-guarantee-regression, setting and C7.
    """
    m, workers = checked_sizes(rng, m=m, workers=workers)
    if not isinstance(shape, Sequence) or not shape:
        raise ValueError(f"shape={shape!r}: expected a sequence of at least one size")
    shape = tuple(checked_sizes(rng, **{f"shape[{s}]": n for s, n in enumerate(shape)}))
    sizes = tuple(1 << (n - 1).bit_length() for n in shape)
    total = math.prod(sizes)
    if total > MOST_ROWS:
        raise ValueError(f"shape={shape!r}: expected at most 2^62 rows of the transform, got {total}")
    if m > total:
        raise ValueError(f"m={m!r}: expected at most {total}, the rows of the transform for shape={shape!r}")
    place = Place(like)
    scales = [1 / math.sqrt(m)] + [1.0] * (len(shape) - 1)

    def scaled_signs(n: int, scale: float) -> np.ndarray:
        return scale * (2 * rng.integers(0, 2, n) - 1) if signs else np.full(n, scale)

    diagonals = [
        place.numbers((n,), lambda n=n, scale=scale: scaled_signs(n, scale))
        for n, scale in zip(shape, scales, strict=True)
    ]
    drawn = np.unravel_index(rng.choice(total, m, replace=False), sizes) if place.has_data else sizes
    rows = [place.integers((m,), lambda r=r: r, size) for r, size in zip(drawn, sizes, strict=True)]
    return TensorSRHT(place, sizes, diagonals, rows, workers)


class TensorSRHT(Sketch):
    """``diagonals[s]`` (n_s,) hold the signs, the first over the root of m; ``rows[s]`` (m,) the rows of H_s.

    Made by ``tensor_srht``, which says what ``product`` and ``kron`` give and cost.
    """

    def __init__(
        self, place: Place, sizes: tuple[int, ...], diagonals: list[Array], rows: list[Array], workers: int
    ) -> None:
        self.place, self._sizes, self._workers = place, sizes, workers
        self._diagonals, self._rows = diagonals, rows
        self.factors = tuple(diagonal.shape[0] for diagonal in diagonals)
        self.shape = (rows[0].shape[0], math.prod(self.factors))
        self.touched = self.shape[0]

    def product(self, *Xs: Array) -> Array:
        """``S`` applied to x_1 ⊗ ... ⊗ x_k, from ``Xs[s]`` (n_s,), giving (m,); or column by column, from
        (n_s, c), giving (m, c). Raises as ``@`` does, and ``ValueError`` for another number of factors or
        different numbers of columns."""
        self._check(Xs)
        if any(X.shape[1:] != Xs[0].shape[1:] for X in Xs):
            raise ValueError(f"Xs of shapes {_shapes(Xs)}: expected the same columns in each")
        parts = self._parts([X[:, None] if X.ndim == 1 else X for X in Xs])
        result = parts[0]
        for part in parts[1:]:
            result = result * part
        return result[:, 0] if Xs[0].ndim == 1 else result

    def kron(self, *Xs: Array) -> Array:
        """``S @ kron(*Xs)`` from matrices ``Xs[s]`` (n_s, c_s): (m, prod c_s). Raises as ``product``."""
        self._check(Xs)
        if any(X.ndim != 2 for X in Xs):
            raise ValueError(f"Xs of shapes {_shapes(Xs)}: expected matrices")
        return face_splitting(*self._parts(Xs))

    def _check(self, Xs: tuple[Array, ...]) -> None:
        if len(Xs) != len(self.factors):
            raise ValueError(f"{len(Xs)} factors: expected {len(self.factors)}, of {self.factors} rows")
        namespace(self.place.sample, *Xs)
        for s, (X, n) in enumerate(zip(Xs, self.factors, strict=True)):
            if X.ndim not in (1, 2) or X.shape[0] != n:
                raise ValueError(f"Xs[{s}] of shape {tuple(X.shape)}: expected ({n},) or ({n}, columns)")
            if not namespace(X).isdtype(X.dtype, ("real floating", "complex floating")):
                raise TypeError(f"Xs[{s}] of dtype {X.dtype}: expected floating numbers")

    def _parts(self, Xs: Sequence[Array]) -> list[Array]:
        """The sampled rows of each factor's transform."""
        xp = namespace(*Xs)
        return [
            xp.take(self._transform(X, s, axis=0), rows, axis=0)
            for s, (X, rows) in enumerate(zip(Xs, self._rows, strict=True))
        ]

    def _transform(self, X: Array, s: int, *, axis: int) -> Array:
        """``H_s D_s`` along ``axis`` of ``X``."""
        xp = namespace(X)
        X = self._along(s, axis, X.ndim) * X
        missing = self._sizes[s] - X.shape[axis]
        if missing:
            shape = (*X.shape[:axis], missing, *X.shape[axis + 1 :])
            X = xp.concat([X, xp.zeros(shape, dtype=X.dtype, device=array_api_compat.device(X))], axis=axis)
        return walsh_hadamard(X, axis, workers=self._workers)

    def _along(self, s: int, axis: int, ndim: int) -> Array:
        diagonal = self._diagonals[s]
        return namespace(diagonal).reshape(diagonal, tuple(-1 if k == axis else 1 for k in range(ndim)))

    # -- any argument ------------------------------------------------------------------------------------

    def _apply(self, A: Array) -> Array:
        xp, c = namespace(self.place.sample, A), A.shape[1]
        box = xp.reshape(A, (*self.factors, c))
        for s in range(len(self.factors)):
            box = self._transform(box, s, axis=s)
        return xp.take(xp.reshape(box, (math.prod(self._sizes), c)), self._numbers(), axis=0)

    def _apply_transpose(self, Y: Array) -> Array:
        xp, c = namespace(self.place.sample, Y), Y.shape[1]
        Y = xp.astype(Y, xp.result_type(self.place.dtype, Y.dtype))
        box = xp.reshape(scatter_add(math.prod(self._sizes), self._numbers(), Y), (*self._sizes, c))
        for s, n in enumerate(self.factors):
            kept = (slice(None),) * s + (slice(0, n), ...)
            box = self._along(s, s, box.ndim) * walsh_hadamard(box, s, workers=self._workers)[kept]
        return xp.reshape(box, (self.shape[1], c))

    def _numbers(self) -> Array:
        """The sampled rows as rows of the full transform."""
        xp = namespace(*self._rows)
        numbers = xp.astype(self._rows[0], xp.int64)
        for size, rows in zip(self._sizes[1:], self._rows[1:], strict=True):
            numbers = numbers * size + xp.astype(rows, xp.int64)
        return numbers

    def _columns(self, index: Array) -> Array:
        xp = namespace(self.place.sample, index)
        index, result = xp.astype(index, xp.int64), None
        for s in reversed(range(len(self.factors))):
            j, index = index % self.factors[s], index // self.factors[s]
            i = xp.astype(self._rows[s], xp.int64)
            entries = hadamard_entries(i[:, None], j, self._sizes[s].bit_length() - 1)
            part = xp.take(self._diagonals[s], j) * xp.astype(entries, self.place.dtype)
            result = part if result is None else result * part
        return result

    def __live__(self) -> tuple[Array, ...]:
        return (*self._diagonals, *self._rows)


def _shapes(Xs: Sequence[Array]) -> list[tuple[int, ...]]:
    return [tuple(X.shape) for X in Xs]
