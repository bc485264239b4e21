r"""HyperAttention as it is fast in practice: the pairs under the mask exactly, all others by shared samples.

Where ``touchstone.attention.hyper`` follows the theory, this variant takes the block of each query as it is
and the same uniform keys for numerator and row sum:

.. math:: N_i=\sum_{j:M_{ij}}A_{ij}V_j+\frac{n_k}m\sum_s(1-M_{i\ell_s})A_{i\ell_s}V_{\ell_s},\qquad
    s_i\text{ the same with }1\text{ for }V .

After sorting everything is a product of matrices, one block of queries at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from touchstone.arrays import block_factor, map_rows, namespace
from touchstone.attention.parts import Part, checked_shapes
from touchstone.attention.sorted_mask import SortedMask

Array = Any

LOGITS_PER_STEP = 2**18
"""Logits that are held together, where blocks are smaller: enough for products to run at full speed, and few
enough to stay in a processor's cache."""


def sorted_block_part(
    Q: Array, K: Array, V: Array, mask: SortedMask, m: int, rng: np.random.Generator, *, workers: int = 1
) -> Part:
    """The ``Part`` of the keys, with ``m`` samples for all pairs outside ``mask``; arguments and errors are
    those of ``sorted_block_attention``."""
    rows = _Rows(Q, K, V, mask, m, rng)
    return Part(*rows.in_order(lambda part: tuple(part), workers))


def sorted_block_attention(
    Q: Array, K: Array, V: Array, mask: SortedMask, m: int, rng: np.random.Generator, *, workers: int = 1
) -> Array:
    r"""Approximate attention (n, c): :math:`N_i/s_i` with ``m`` uniform keys for all pairs outside ``mask``.

    ``Q`` (n, d), ``K`` (n_k, d), ``V`` (n_k, c), logits :math:`\langle q_i,k_j\rangle`; ``mask`` (n, n_k)
    from ``sorted_lsh_mask``. With a single block it is exact, whatever m. NumPy arrays run on ``workers``
    threads, BLAS held to one each, with the same result for every number of them.

    Cost: n (b + m) (d + c) multiply-adds and n (b + m) exponentials, b the block of ``mask``. Memory: the
    output twice, once in sorted order, and (b + m) b logits, or ``LOGITS_PER_STEP`` where that is more, for
    every worker. Raises ``ValueError`` for shapes that do not fit and m below 1, ``TypeError`` unless arrays
    are real floating.

    Source: hyper-attention, limits and pitfalls (the practical variant).
    """
    rows = _Rows(Q, K, V, mask, m, rng)
    return rows.in_order(lambda part: part.attention(), workers)


class _Rows:
    """The queries by blocks, and what all of them share: the sampled keys and values."""

    def __init__(
        self, Q: Array, K: Array, V: Array, mask: SortedMask, m: int, rng: np.random.Generator
    ) -> None:
        checked_shapes(Q, K, V)
        if mask.shape != (Q.shape[0], K.shape[0]):
            raise ValueError(f"mask of shape {mask.shape}: expected ({Q.shape[0]}, {K.shape[0]})")
        if isinstance(m, bool) or not isinstance(m, int | np.integer) or m < 1:
            raise ValueError(f"m={m!r}: expected an integer >= 1")
        xp = namespace(Q, K, V)
        self.Q, self.K, self.V, self.mask = Q, K, V, mask
        places = np.sort(rng.integers(0, K.shape[0], m))
        self.weight = K.shape[0] / int(m)
        keys = xp.take(mask.key_order, xp.asarray(places))
        self.sampled_keys = xp.take(K, keys, axis=0)
        self.sampled_values = self.weight * xp.take(V, keys, axis=0)
        self.blocks = places // mask.block
        # threads keep their array of logits: fresh memory costs more than what is written to it
        self.local = threading.local()
        self.buffered = isinstance(Q, np.ndarray) and Q.dtype == K.dtype == V.dtype

    def in_order(self, result: Callable[[Part], Any], workers: int) -> Any:
        """``result`` of the part of every query, an array or a tuple of them, in the queries' order."""
        xp, places = namespace(self.Q), self.mask.query_places
        pieces = [p if isinstance(p, tuple) else (p,) for p in self._pieces(result, workers)]
        found = []
        for piece in zip(*pieces, strict=True):
            x = xp.concat(piece, axis=0) if len(piece) > 1 else piece[0]
            if isinstance(x, np.ndarray):
                back = map_rows(lambda at, x=x: np.take(x, at, axis=0), places, block=4096, workers=workers)
            else:
                back = xp.take(x, places, axis=0)
            found.append(back)
        return tuple(found) if len(found) > 1 else found[0]

    def _pieces(self, result: Callable[[Part], Any], workers: int) -> Iterator[Any]:
        """The results in sorted order: of the square blocks, of the block after them, of queries beyond."""
        queries, keys = self.mask.query_order, self.mask.key_order
        b = self.mask.block
        whole, more_queries, more_keys = self.mask.squares()
        square = b * (b + len(self.blocks))
        step = b * max(1, LOGITS_PER_STEP * block_factor(self.Q) // square)
        if whole:
            squares = queries[: whole * b], keys[: whole * b]
            yield map_rows(lambda q, k: result(self._part(q, k, b)), *squares, block=step, workers=workers)
        if more_queries.stop > more_queries.start:
            q, k = queries[more_queries], keys[more_keys]
            yield result(self._part(q, k, q.shape[0]))
        if more_queries.stop < queries.shape[0]:
            beyond, none = queries[more_queries.stop :], keys[:0]
            yield map_rows(
                lambda q: result(self._part(q, none, q.shape[0])), beyond, block=step, workers=workers
            )

    def _part(self, queries: Array, keys: Array, rows: int) -> Part:
        """The part of some blocks of ``rows`` queries each, beside as many equal blocks of keys."""
        xp = namespace(self.Q)
        count = queries.shape[0] // rows
        of_block, d = keys.shape[0] // count, self.Q.shape[1]
        Q, K, V = (xp.take(x, at, axis=0) for x, at in ((self.Q, queries), (self.K, keys), (self.V, keys)))
        own = xp.reshape(Q, (count, rows, d)), xp.reshape(K, (count, of_block, d))
        values = xp.reshape(V, (count, of_block, V.shape[1]))
        if self.buffered:
            first = int(self.mask.query_blocks[queries[0]])
            return self._part_in_place(Q, own, values, first)
        n = count * rows
        logits = xp.concat(
            [
                xp.reshape(own[0] @ xp.matrix_transpose(own[1]), (n, of_block)),
                self._outside(Q @ self.sampled_keys.T, queries),
            ],
            axis=1,
        )
        levels = xp.max(logits, axis=1, keepdims=True)
        exponentials = xp.exp(logits - levels)
        near, far = exponentials[:, :of_block], exponentials[:, of_block:]
        products = xp.reshape(near, (count, rows, of_block)) @ values
        return Part(
            xp.reshape(products, (n, V.shape[1])) + far @ self.sampled_values,
            xp.sum(near, axis=1) + self.weight * xp.sum(far, axis=1),
            levels[:, 0],
        )

    def _outside(self, logits: Array, queries: Array) -> Array:
        """The logits of sampled keys, -inf where the mask has the pair."""
        xp = namespace(logits)
        blocks = xp.take(self.mask.query_blocks, queries)
        return xp.where(blocks[:, None] == xp.asarray(self.blocks)[None, :], -xp.inf, logits)

    def _part_in_place(
        self, Q: np.ndarray, own: tuple[np.ndarray, np.ndarray], values: np.ndarray, first: int
    ) -> Part:
        """The same in one array of logits: the samples of a block are neighbours, and struck out together."""
        count, rows, _ = own[0].shape
        of_block, m = values.shape[1], len(self.blocks)
        E = self._buffer(count * rows, of_block + m)
        by_block = E.reshape(count, rows, of_block + m)
        np.matmul(own[0], own[1].mT, out=by_block[:, :, :of_block])
        np.matmul(Q, self.sampled_keys.T, out=E[:, of_block:])
        levels = E.max(axis=1, keepdims=True)  # samples under the mask are keys of the block
        E -= levels
        np.exp(E, out=E)
        bounds = of_block + np.searchsorted(self.blocks, np.arange(first, first + count + 1))
        for i in range(count):
            by_block[i, :, bounds[i] : bounds[i + 1]] = 0
        far = E[:, of_block:]
        numerator = far @ self.sampled_values
        numerator += (by_block[:, :, :of_block] @ values).reshape(numerator.shape)
        sums = E[:, :of_block].sum(axis=1) + E.dtype.type(self.weight) * far.sum(axis=1)
        return Part(numerator, sums, levels[:, 0])

    def _buffer(self, rows: int, columns: int) -> np.ndarray:
        held = getattr(self.local, "logits", None)
        if held is None or held.size < rows * columns:
            held = self.local.logits = np.empty(rows * columns, dtype=self.Q.dtype)
        return held[: rows * columns].reshape(rows, columns)
