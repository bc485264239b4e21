r"""The subsampled randomised Hadamard transform: dense, and nearly as cheap as reading the argument."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from touchstone.arrays import charge, namespace, scatter_add, to_host
from touchstone.linalg.walsh_hadamard import (
    NUMBERS_PER_GPU_BLOCK,
    Buffers,
    hadamard_entries,
    on_blocks,
    walsh_hadamard,
)
from touchstone.sketching.operator import Place, Sketch, checked_sizes, real_parts

Array = Any

ROWS_PER_PRODUCT = 8
"""Rows of S that share one product of the last step, on average: enough to make it worth a call."""

LEAST_OUTER = 32
"""Rows that are sampled after all of the transform when its last step would be of lower order than this."""

LARGEST_TABLE = 1 << 20
"""Entries of the matrices of the last step: 8 MiB in float64."""


def srht(
    m: int, n: int, rng: np.random.Generator, *, signs: bool = True, like: Any, workers: int = 1
) -> Sketch:
    r"""The sketch :math:`S=\frac1{\sqrt m}PHD` (m, n): D random signs, H the Walsh-Hadamard matrix of order
    N, and P takes m of its N rows without replacement.

    N is n rounded up to a power of two, with zeros for the rows that are missing; they take no memory.
    :math:`\mathbb E\,S^\top S=I` over P alone, and m = N gives an isometry. With ``signs=False`` D is the
    identity, and vectors that H concentrates are lost: a control. The first rows of a sketch are those of a
    smaller one drawn from the same state of ``rng``, up to the scale.

    It keeps the lengths in a fixed subspace of dimension d within the factors 0.40 and 1.48, except with
    probability O(1/d), once :math:`m\ge4\,(\sqrt d+\sqrt{8\ln(nd)})^2\ln d`.

    Cost: n + m numbers to hold, moved there once. A product of S, or of its transpose, with c columns is
    :math:`c\,(n+N\log_2N)` arithmetic operations (twice as many if complex) and a move for each entry of the
    result: the count of the butterflies. What NumPy arrays run, on ``workers`` threads, is faster: products
    with matrices of order 8, then one with the sampled rows only; beside the result about
    2 max(``BYTES_PER_BLOCK``, 8 columns) a thread, and a table of ``LARGEST_TABLE`` numbers at most.
    ``columns`` takes k columns by :math:`(5+2f)\,m\,k` arithmetic operations,
    :math:`f=\lceil\log_2\log_2N\rceil`, and m k + m + 2 k moves. Raises ``ValueError`` for sizes below 1
    or m above N, ``TypeError`` for an ``rng`` that is no generator or a ``like`` that holds no real floating
    numbers.

    Source: linf-guarantee-regression, setting; J. Tropp, *Improved Analysis of the Subsampled Randomized
    Hadamard Transform* (2011), theorem 1.3.
    """
    m, n, workers = checked_sizes(rng, m=m, n=n, workers=workers)
    size = 1 << (n - 1).bit_length()
    if m > size:
        raise ValueError(f"m={m!r}: expected at most {size}, which is n={n!r} rounded up to a power of two")
    place = Place(like)
    scale = 1 / math.sqrt(m)

    def scaled_signs() -> np.ndarray:
        return scale * (2 * rng.integers(0, 2, n) - 1) if signs else np.full(n, scale)

    diagonal = place.numbers((n,), scaled_signs)
    rows = place.integers((m,), lambda: rng.permutation(size)[:m], size)
    return _SRHT(place, size, diagonal, rows, workers)


class _SRHT(Sketch):
    """``diagonal`` (n,) holds the signs over the root of m, ``rows`` (m,) the sampled rows of H."""

    def __init__(self, place: Place, size: int, diagonal: Array, rows: Array, workers: int) -> None:
        self.place, self._size, self._workers = place, size, workers
        self._diagonal, self._rows = diagonal, rows
        self._plans: dict[Any, Plan] = {}
        self.shape = (rows.shape[0], diagonal.shape[0])
        self.touched = rows.shape[0]

    def __live__(self) -> tuple[Array, Array]:
        return (self._diagonal, self._rows)  # all else follows from these

    def _apply(self, A: Array) -> Array:
        return self._product(A, (self.shape[0], A.shape[1]), transpose=False)

    def _apply_transpose(self, Y: Array) -> Array:
        return self._product(Y, (self.shape[1], Y.shape[1]), transpose=True)

    def _product(self, A: Array, shape: tuple[int, int], *, transpose: bool) -> Array:
        xp = namespace(self._diagonal, A)
        dtype = xp.result_type(self.place.dtype, A.dtype)
        size, n = self._size, self.shape[1]
        operations = shape[1] * (n + size * (size.bit_length() - 1))
        charge(A, arithmetic=operations * real_parts(xp, dtype))
        blank = self.place.blank(A, shape, dtype)
        if blank is not None:
            return blank
        if hasattr(A, "__charge__") or isinstance(A, np.ndarray):
            host = to_host(A)
            out = np.empty(shape, np.result_type(to_host(self._diagonal), host))
            (self._spread_by_blocks if transpose else self._sample_by_blocks)(host, out)
            return xp.asarray(out, dtype=dtype, device=self.place.device)
        return self._spread(A, dtype) if transpose else self._sample(A, dtype)

    # -- NumPy -------------------------------------------------------------------------------------------

    def _sample_by_blocks(self, A: np.ndarray, out: np.ndarray) -> None:
        """``out`` = S @ A. The last step of the transform, over the blocks of ``inner`` rows, makes only the
        rows that are sampled; rows of zeros beyond the last block are never seen."""
        n, real = self.shape[1], out.real.dtype
        plan, diagonal, sampled = self._plan(real), to_host(self._diagonal)[:, None], to_host(self._rows)
        rows = plan.outer * plan.inner

        def run(at: slice, buffers: Buffers) -> None:
            X = buffers.view(0, rows, at.stop - at.start)
            np.multiply(A[:, at], diagonal, out=X[:n])
            X[n:] = 0
            X = buffers.transform(rows, plan.inner, at.stop - at.start)
            if plan.outer == 1:
                out[:, at] = np.take(X, sampled, axis=0)
                return
            box = X.view(real).reshape(plan.outer, plan.inner, -1)
            part = np.empty((len(sampled), box.shape[2]), dtype=real)
            for j, mine in plan.groups:
                np.matmul(plan.table[mine], box[:, j], out=part[mine])
            out[plan.order, at] = part.view(out.dtype)

        on_blocks(run, (rows, A.shape[1]), out.dtype, self._workers)

    def _spread_by_blocks(self, Y: np.ndarray, out: np.ndarray) -> None:
        """``out`` = S.T @ Y, the same steps backwards."""
        n, real = self.shape[1], out.real.dtype
        plan, diagonal, sampled = self._plan(real), to_host(self._diagonal)[:, None], to_host(self._rows)
        rows = plan.outer * plan.inner

        def run(at: slice, buffers: Buffers) -> None:
            X = buffers.view(0, rows, at.stop - at.start)
            X[...] = 0
            if plan.outer == 1:
                X[sampled] = Y[:, at]
            else:
                box = X.view(real).reshape(plan.outer, plan.inner, -1)
                part = np.take(Y[:, at], plan.order, axis=0).astype(out.dtype, copy=False).view(real)
                for j, mine in plan.groups:
                    np.matmul(plan.table[mine].T, part[mine], out=box[:, j])
            X = buffers.transform(rows, plan.inner, at.stop - at.start)
            np.multiply(X[:n], diagonal, out=out[:, at])

        on_blocks(run, (rows, Y.shape[1]), out.dtype, self._workers)

    def _plan(self, dtype: np.dtype) -> Plan:
        if dtype not in self._plans:
            self._plans[dtype] = make_plan(to_host(self._rows), self.shape[1], self._size, dtype)
        return self._plans[dtype]

    # -- other libraries ---------------------------------------------------------------------------------

    def _sample(self, A: Array, dtype: Any) -> Array:
        xp, n = namespace(A), self.shape[1]
        out = xp.empty((self.shape[0], A.shape[1]), dtype=dtype, device=self.place.device)
        for at in self._gpu_blocks(A):
            X = xp.zeros((self._size, A[:, at].shape[1]), dtype=dtype, device=self.place.device)
            X[:n, :] = self._diagonal[:, None] * A[:, at]
            out[:, at] = xp.take(walsh_hadamard(X), self._rows, axis=0)
        return out

    def _spread(self, Y: Array, dtype: Any) -> Array:
        xp, n = namespace(Y), self.shape[1]
        out = xp.empty((n, Y.shape[1]), dtype=dtype, device=self.place.device)
        for at in self._gpu_blocks(Y):
            X = walsh_hadamard(scatter_add(self._size, self._rows, xp.astype(Y[:, at], dtype)))
            out[:, at] = self._diagonal[:, None] * X[:n, :]
        return out

    def _gpu_blocks(self, A: Array) -> list[slice]:
        block = max(1, NUMBERS_PER_GPU_BLOCK // self._size)
        columns = A.shape[1]
        return [slice(start, min(start + block, columns)) for start in range(0, columns, block)]

    # -- every library -----------------------------------------------------------------------------------

    def _columns(self, index: Array) -> Array:
        xp = namespace(self._rows, index)
        i, j = (xp.astype(x, xp.int64) for x in (self._rows, index))
        entries = hadamard_entries(i[:, None], j, self._size.bit_length() - 1)
        return xp.take(self._diagonal, index) * xp.astype(entries, self.place.dtype)


class Plan(NamedTuple):
    """How the sampled rows of a transform of order ``inner`` × (a power of two) are made of its parts.

    Row i inner + j of H is :math:`H_i\\otimes H_j`. ``outer`` blocks of ``inner`` rows are not all zero. With
    ``outer`` = 1 the whole is one part. Else ``order`` sorts the sampled rows by j, each of the ``groups``
    tells which of them share one j, and ``table`` holds the first ``outer`` entries of their :math:`H_i`.
    """

    inner: int
    outer: int
    order: np.ndarray | None = None
    groups: list[tuple[int, slice]] | None = None
    table: np.ndarray | None = None


def make_plan(rows: np.ndarray, n: int, size: int, dtype: np.dtype) -> Plan:
    """The plan for the sampled ``rows`` of the transform of order ``size``, of which n rows are not zero."""
    m = len(rows)
    least = max(-(-m // ROWS_PER_PRODUCT), -(-m * n // LARGEST_TABLE))
    inner = 1 << (least - 1).bit_length()
    if size < LEAST_OUTER * inner:
        return Plan(size, 1)
    outer = -(-n // inner)
    order = np.argsort(rows % inner, kind="stable")
    residues, starts = np.unique((rows % inner)[order], return_index=True)
    ends = [*starts[1:].tolist(), m]
    groups = [
        (j, slice(start, end)) for j, start, end in zip(residues.tolist(), starts.tolist(), ends, strict=True)
    ]
    i, bits = (rows // inner)[order], (size // inner).bit_length() - 1
    table = hadamard_entries(i[:, None], np.arange(outer), bits).astype(dtype)
    return Plan(inner, outer, order, groups, table)
