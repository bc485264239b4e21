r"""SparseGPT: set entries of a layer's weights to zero, column by column, and let later ones make up for it.

A layer W (m, d) sees inputs X (d, N). With :math:`H=XX^\top+\lambda I` and the upper triangular U of
:math:`H^{-1}=U^\top U`, dropping the entries of column j that a mask excludes and moving the later columns by
:math:`-E_jU_{j,j:}`, :math:`E_j=(1-M_j)\circ W_j/U_{jj}`, keeps :math:`\lVert(\hat W-W)X\rVert_F` as small as
the later columns can. What a block of columns owes to all later ones may wait until the block is done and is
then one matrix product (*lazy updates*). Blocks may be cut into narrower blocks, and these again.

Source: sparsegpt-complexity, Algorithm of the Setting; nested blocks: T5.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from touchstone.arrays import extremes, holds_data, map_rows, namespace

Array = Any

TEMPORARY_ENTRIES = 1 << 18
"""Entries of a lazy product that NumPy forms at a time: a larger one is a fresh allocation, whose page faults
cost more than the product's arithmetic."""

SYSTEM_ENTRIES = 1 << 21
"""Entries of the linear systems that ``masked_least_squares`` forms at a time."""


def sparsegpt(
    W: Array,
    X: Array,
    block: int | Sequence[int] = 128,
    mask_block: int = 128,
    fraction: float = 0.5,
    damping: float = 0.01,
    *,
    mask: Array | None = None,
) -> tuple[Array, Array]:
    r"""Prune ``W`` (m, d) for the inputs ``X`` (d, N): new weights and the mask (True = kept), both (m, d).

    :math:`\lambda` is ``damping`` times the mean of the diagonal of :math:`XX^\top`; ``prune_columns`` says
    what the other arguments mean. Raises ``ValueError`` for shapes that do not fit, entries that are not
    finite and arguments out of range, and where H is singular (then damping helps); ``TypeError`` for entries
    that are not real floating-point numbers of one dtype. Cost: that of ``inverse_factor`` and of
    ``prune_columns``.
    """
    _check_real("W", W)
    _check_real("X", X, like=W)
    if X.shape[0] != W.shape[1]:
        raise ValueError(f"X of shape {tuple(X.shape)}: expected {W.shape[1]} rows, the columns of W")
    _check_damping(damping)
    _plan(W, block, mask_block, fraction, mask)
    return prune_columns(W, inverse_factor(X, damping), block, mask_block, fraction, mask=mask)


def prune_columns(
    W: Array,
    U: Array,
    block: int | Sequence[int] = 128,
    mask_block: int = 128,
    fraction: float = 0.5,
    *,
    mask: Array | None = None,
) -> tuple[Array, Array]:
    r"""SparseGPT's sweep over the columns of ``W`` (m, d), given U (d, d) of ``inverse_factor``.

    ``block`` is the width of the blocks whose effect on later columns is applied at once; 1 is the eager
    algorithm. A sequence of falling widths nests blocks in blocks: each must divide the one before;
    ``halvings`` gives the recursive variant. The last block may be narrower. In exact arithmetic the result
    does not depend on it.

    At every column that ``mask_block`` divides, the mask of that many columns is chosen: of the values
    :math:`|W_{rc}|/U_{cc}` in them the ⌊``fraction`` · number⌋ smallest are dropped, of equal ones those of
    the earlier column first, in a column those of the earlier row. All earlier compensation must have
    reached these columns by then, so of ``mask_block`` and every width one has to divide the other. With
    ``mask`` (m, d), booleans, nothing is chosen and ``mask_block`` and ``fraction`` are ignored.

    Only the diagonal of U and what is right of it are read. Returns the weights and the mask. Raises
    ``ValueError`` and ``TypeError`` as ``sparsegpt`` does. Cost, exactly: m d (d + 1) / 2 multiply-adds
    whatever the blocks, a subtraction for each entry of a product, m d divisions, 2 m d choices; for each
    mask block one sort of its s = m ``mask_block`` values and 10 s - 1 operations beside it. Memory: two
    copies of W, and m times the widest block.
    """
    _check_real("W", W)
    _check_real("U", U, like=W)
    d = W.shape[1]
    if tuple(U.shape) != (d, d):
        raise ValueError(f"U of shape {tuple(U.shape)}: expected {(d, d)}, the columns of W")
    widths = _plan(W, block, mask_block, fraction, mask)
    return _Sweep(W, U, widths, mask_block, fraction, mask).run()


def inverse_factor(X: Array, damping: float = 0.01) -> Array:
    r"""The upper triangular U (d, d) with :math:`U^\top U=(XX^\top+\lambda I)^{-1}` for ``X`` (d, N).

    :math:`\lambda` is ``damping`` times the mean of the diagonal of :math:`XX^\top`. Found without forming
    the inverse: the Cholesky factor of H read backwards is an upper R with :math:`H=RR^\top`, and
    :math:`U=R^{-1}`. Raises ``ValueError`` for a bad argument and where H is singular to working precision
    (a pivot below d times the spacing of 1, relative to the largest entry of the diagonal). Cost: d² N +
    (d³ - d)/6 + d³ multiply-adds.
    """
    _check_real("X", X)
    _check_damping(damping)
    H, scale = _gram(X, damping)
    xp = namespace(X)
    R = xp.flip(_cholesky(xp.flip(H), damping))
    return xp.triu(xp.linalg.inv(R)) / scale


def magnitude_mask(W: Array, fraction: float) -> Array:
    """The mask (True = kept) that drops the ⌊``fraction`` · size⌋ smallest absolute values of ``W``.

    Any shape; of equal ones those that come first row by row are dropped. Raises ``ValueError`` for a
    ``fraction`` outside [0, 1] and entries that are not finite. Cost: one sort of all entries.
    """
    _check_fraction(fraction)
    xp = namespace(W)
    _check_finite("W", W)
    size = math.prod(W.shape)
    kept = _drop_smallest(xp.reshape(xp.abs(W), (size,)), _dropped(fraction, size))
    return xp.reshape(kept, W.shape)


def masked_least_squares(W: Array, X: Array, mask: Array, damping: float = 0.0) -> Array:
    r"""The best weights that vanish outside ``mask``: they minimise :math:`\lVert(\hat W-W)X\rVert_F^2`.

    ``W`` and ``mask`` (m, d), ``X`` (d, N). With ``damping`` the squared distance from W, times
    :math:`\lambda` as in ``sparsegpt``, is added: the objective that SparseGPT's own steps minimise. A row at
    a time: its kept columns S solve :math:`H_{SS}\hat w_S=(Hw)_S`. Raises ``ValueError`` for shapes that do
    not fit, entries that are not finite, and where H is singular. Cost: m LU factorisations of size d.
    """
    _check_real("W", W)
    _check_real("X", X, like=W)
    if X.shape[0] != W.shape[1]:
        raise ValueError(f"X of shape {tuple(X.shape)}: expected {W.shape[1]} rows, the columns of W")
    _check_mask(mask, W)
    _check_damping(damping)
    xp = namespace(W)
    H, _ = _gram(X, damping)
    _cholesky(H, damping)  # only to refuse a singular H; its principal blocks are then regular, too
    d = W.shape[1]
    eye = xp.eye(d, dtype=W.dtype)

    def rows(w: Array, keep: Array) -> Array:
        # dropped columns: a row and a column of the identity, right side 0
        pairs = keep[:, :, None] & keep[:, None, :]
        systems = xp.where(pairs, H[None, :, :], eye[None, :, :])
        right = xp.where(keep, w @ H, xp.zeros_like(w))
        solved = xp.linalg.solve(systems, right[:, :, None])[:, :, 0]
        return xp.where(keep, solved, xp.zeros_like(w))

    return map_rows(rows, W, mask, block=max(1, SYSTEM_ENTRIES // d**2))


def halvings(columns: int, leaf: int = 1) -> tuple[int, ...]:
    """The widths of the recursive variant, for ``block``: ``leaf`` times the powers of 2 below ``columns``.

    Falling, down to ``leaf`` itself: the left half is pruned, its effect on the right half is one product,
    and each half is done so in turn. At least ``(leaf,)``. Raises ``ValueError`` for arguments below 1.
    """
    for name, value in (("columns", columns), ("leaf", leaf)):
        if not value >= 1:
            raise ValueError(f"{name}={value!r}: expected an integer >= 1")
    widths = [leaf]
    while 2 * widths[-1] < columns:
        widths.append(2 * widths[-1])
    return tuple(reversed(widths))


def update_shapes(
    rows: int, columns: int, block: int | Sequence[int]
) -> tuple[list[tuple[int, int, int, int]], list[tuple[int, int]]]:
    """What ``prune_columns`` multiplies, without running it: for sizes that no memory holds.

    First the lazy products (r, b, ``rows``, count): ``count`` products of (r, b) by (b, ``rows``), which
    bring the errors of b columns to the r columns right of them. Then the innermost blocks (length, count):
    in each, column j of ``length`` is an outer product (``length`` - j, 1, ``rows``), so that one costs
    ``rows`` · length (length + 1) / 2 multiply-adds. Raises ``ValueError`` as ``prune_columns`` does.
    """
    for name, value in (("rows", rows), ("columns", columns)):
        if not value >= 1:
            raise ValueError(f"{name}={value!r}: expected an integer >= 1")
    widths = _widths(block)
    lazy: list[tuple[int, int, int, int]] = []
    innermost: list[tuple[int, int]] = []

    def visit(length: int, level: int, count: int) -> None:
        if level == len(widths):
            innermost.append((length, count))
            return
        width = widths[level]
        lazy.extend((length - end, width, rows, count) for end in range(width, length, width))
        whole, last = divmod(length, width)
        if whole:
            visit(width, level + 1, count * whole)
        if last:
            visit(last, level + 1, count)

    visit(columns, 0, 1)
    return lazy, innermost


# -- the sweep -------------------------------------------------------------------------------------------


class _Sweep:
    """The state of one run. Everything is kept transposed, so that a column of W lies in one piece."""

    def __init__(
        self,
        W: Array,
        U: Array,
        widths: tuple[int, ...],
        mask_block: int,
        fraction: float,
        mask: Array | None,
    ) -> None:
        xp = namespace(W)
        m, d = W.shape
        self.xp, self.U, self.widths = xp, U, widths
        self.mask_block, self.fraction, self.chooses = mask_block, fraction, mask is None
        self.columns = xp.empty((d, m), dtype=W.dtype)
        self.columns[:, :] = W.T
        self.kept = xp.ones((d, m), dtype=xp.bool)
        if mask is not None:
            self.kept[:, :] = mask.T
        self.errors = xp.zeros((min(widths[0], d), m), dtype=W.dtype)  # of the present outermost block
        self.zeros = xp.zeros(m, dtype=W.dtype)

    def run(self) -> tuple[Array, Array]:
        d = self.columns.shape[0]
        self.blocks(0, d, 0, 0)
        pruned = self.xp.where(self.kept, self.columns, self.zeros[None, :])
        return pruned.T, self.kept.T

    def blocks(self, start: int, stop: int, level: int, base: int) -> None:
        """Columns ``start`` to ``stop``; ``base`` is where the errors of the outermost block begin."""
        if level == len(self.widths):
            for j in range(start, stop):
                self.column(j, stop, base)
            return
        for first in range(start, stop, self.widths[level]):
            after = min(first + self.widths[level], stop)
            if level == 0:
                base = first
            self.blocks(first, after, level + 1, base)
            if after < stop:
                errors = self.errors[first - base : after - base, :]
                _subtract_product(self.columns, after, stop, self.U[first:after, after:stop].T, errors)

    def column(self, j: int, stop: int, base: int) -> None:
        if self.chooses and j % self.mask_block == 0:
            self.choose(j)
        error = self.xp.where(self.kept[j, :], self.zeros, self.columns[j, :] / self.U[j, j])
        self.errors[j - base, :] = error
        _subtract_product(self.columns, j, stop, self.U[j, j:stop][:, None], error[None, :])

    def choose(self, first: int) -> None:
        after = min(first + self.mask_block, self.columns.shape[0])
        diagonal = self.xp.linalg.diagonal(self.U)[first:after]
        scores = self.xp.abs(self.columns[first:after, :] / diagonal[:, None])  # squares might overflow
        size = math.prod(scores.shape)
        kept = _drop_smallest(self.xp.reshape(scores, (size,)), _dropped(self.fraction, size))
        self.kept[first:after, :] = self.xp.reshape(kept, scores.shape)


def _subtract_product(target: Array, start: int, stop: int, A: Array, B: Array) -> None:
    """``target[start:stop] -= A @ B``: one product; on NumPy a few rows at a time, as the cache holds."""
    step, outer = stop - start, namespace(target).linalg.outer
    if isinstance(target, np.ndarray):
        step = max(1, TEMPORARY_ENTRIES // max(1, target.shape[1]))
    for first in range(start, stop, step):
        after = min(first + step, stop)
        rows = A[first - start : after - start, :]
        # BLAS would spend more on packing one column than on the product
        target[first:after, :] -= outer(rows[:, 0], B[0, :]) if B.shape[0] == 1 else rows @ B


def _drop_smallest(values: Array, dropped: int) -> Array:
    """True but for the ``dropped`` smallest of ``values`` (size,), ties in order, as by a stable sort."""
    xp = namespace(values)
    if dropped == 0:
        return xp.ones(values.shape, dtype=xp.bool)
    if isinstance(values, np.ndarray):
        last = np.partition(values, dropped - 1)[dropped - 1]  # the sort's, in a tenth of its time
    else:
        last = xp.sort(values)[dropped - 1]
    smaller, equal = values < last, values == last
    still = dropped - xp.sum(xp.astype(smaller, xp.int64))
    first_of_equal = xp.cumulative_sum(xp.astype(equal, xp.int64)) <= still
    return ~(smaller | (equal & first_of_equal))


def _dropped(fraction: float, size: int) -> int:
    """⌊fraction · size⌋, for the decimal that was meant: 0.29 of 100 are 29, although 0.29 * 100 < 29."""
    return math.floor(fraction * size + 1e-9)


# -- the matrix of the inputs ----------------------------------------------------------------------------


def _gram(X: Array, damping: float) -> tuple[Array, Array]:
    """H / scale² and the scale: the largest entry of X, so that no square overflows or vanishes."""
    xp = namespace(X)
    d = X.shape[0]
    largest = xp.max(xp.abs(X))
    scale = xp.where(largest > 0, largest, xp.ones_like(largest))
    X = X / scale
    ridge = damping * xp.sum(X * X) / d
    return X @ X.T + ridge * xp.eye(d, dtype=X.dtype), scale


def _cholesky(H: Array, damping: float) -> Array:
    """The lower triangular factor of H; ``ValueError`` where H is singular to working precision."""
    xp = namespace(H)
    try:
        L = xp.linalg.cholesky(H)
        pivots = xp.linalg.diagonal(L)
        if not holds_data(H):
            return L
        least = float(xp.min(pivots))
        spacing = float(xp.finfo(H.dtype).eps)
        regular = least**2 > H.shape[0] * spacing * float(xp.max(xp.linalg.diagonal(H)))
    except np.linalg.LinAlgError:
        regular = False
    if not regular:
        raise ValueError(
            f"damping={damping!r}: X X^T + λ I is singular to working precision; expected inputs of full "
            "row rank, or more damping"
        )
    return L


# -- checks of arguments ---------------------------------------------------------------------------------


def _plan(
    W: Array, block: int | Sequence[int], mask_block: int, fraction: float, mask: Array | None
) -> tuple[int, ...]:
    """The widths of the blocks, once everything that a sweep is asked to do makes sense."""
    widths = _widths(block)
    if mask is not None:
        _check_mask(mask, W)
        return widths
    if isinstance(mask_block, bool) or not isinstance(mask_block, int) or mask_block < 1:
        raise ValueError(f"mask_block={mask_block!r}: expected an integer >= 1")
    for width in widths:
        if mask_block % width and width % mask_block:
            raise ValueError(
                f"mask_block={mask_block!r} and block width {width}: expected one to divide the other, or a "
                "mask would be chosen before its columns are up to date"
            )
    _check_fraction(fraction)
    return widths


def _widths(block: int | Sequence[int]) -> tuple[int, ...]:
    widths = (block,) if isinstance(block, int) else tuple(block)
    whole = all(isinstance(w, int) and not isinstance(w, bool) and w >= 1 for w in widths)
    if not widths or not whole:
        raise ValueError(f"block={block!r}: expected an integer >= 1, or a sequence of them")
    for outer, inner in pairwise(widths):
        if inner >= outer or outer % inner:
            raise ValueError(f"block={block!r}: expected falling widths, each dividing the one before")
    return widths


def _check_real(name: str, x: Array, like: Array | None = None) -> None:
    xp = namespace(x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name} of shape {tuple(x.shape)}: expected a matrix with entries")
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError(f"{name} of dtype {x.dtype}: expected real floating-point numbers")
    if like is not None and x.dtype != like.dtype:
        raise TypeError(f"{name} of dtype {x.dtype}: expected {like.dtype}, as W has")
    _check_finite(name, x)


def _check_finite(name: str, x: Array) -> None:
    if holds_data(x):
        low, high = extremes(x)
        if not (-math.inf < low and high < math.inf) and 0 not in x.shape:
            raise ValueError(f"{name}: expected finite entries, got entries from {low} to {high}")


def _check_mask(mask: Array, W: Array) -> None:
    if tuple(mask.shape) != tuple(W.shape) or not namespace(mask).isdtype(mask.dtype, "bool"):
        raise ValueError(
            f"mask of shape {tuple(mask.shape)} and dtype {mask.dtype}: expected booleans of shape "
            f"{tuple(W.shape)}, as W has"
        )


def _check_fraction(fraction: float) -> None:
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction={fraction!r}: expected a number in [0, 1]")


def _check_damping(damping: float) -> None:
    if not (math.isfinite(damping) and damping >= 0):
        raise ValueError(f"damping={damping!r}: expected a finite number >= 0")
