"""Pairs of queries and keys that a hash brings together: both are sorted by it and cut into blocks."""

from __future__ import annotations

import math
from typing import Any, Protocol

import array_api_compat
import numpy as np

from touchstone.arrays import extremes, holds_data, namespace, scatter_add, to_host
from touchstone.functions.softmax import logsumexp

Array = Any


class Hash(Protocol):
    """What sorts: ``bits``, and ``keys(X)`` (n,), whole numbers in [0, 2^bits)."""

    bits: int

    def keys(self, X: Array) -> Array: ...


def gray_rank(keys: Array, bits: int) -> Array:
    """Where each of ``keys``, whole numbers in [0, 2^bits), stands in the binary-reflected Gray code.

    Numbers at neighbouring places, the last and the first among them, differ in one bit. Cost: 2 ceil(log2
    bits) operations a key. Raises ``ValueError`` for a key out of range, ``TypeError`` unless they are
    integers. Source: hyper-attention, setting.
    """
    xp = namespace(keys)
    if isinstance(bits, bool) or not isinstance(bits, int | np.integer) or not 1 <= bits <= 62:
        raise ValueError(f"bits={bits!r}: expected an integer from 1 to 62")
    if not xp.isdtype(keys.dtype, "integral"):
        raise TypeError(f"keys of dtype {keys.dtype}: expected integers")
    if holds_data(keys) and 0 not in keys.shape:
        least, most = extremes(keys)
        if not 0 <= least <= most < 2**bits:
            raise ValueError(f"keys from {least:g} to {most:g}: expected 0 <= key < 2^{bits}")
    shift = 1
    while shift < bits:  # each bit of the place is the parity of the key's bits from there up
        keys = keys ^ (keys >> shift)
        shift *= 2
    return keys


class SortedMask:
    r"""True where query and key fall into the same block: :math:`\lfloor pos_Q(i)/b\rfloor=\lfloor
    pos_K(j)/b\rfloor`.

    ``query_order`` (n,) and ``key_order`` (m,) name the query and the key at each place, as integers: two
    permutations. ``block`` is b. Each query has b keys at most, and with n = m nearly all have b.
    ``query_places`` (n,) is where each query stands; ``query_blocks`` (n,) and ``key_blocks`` (m,) are the
    blocks.

    Raises ``ValueError`` for orders that are no permutations or a block that is no integer >= 1.
    """

    def __init__(self, query_order: Array, key_order: Array, block: int) -> None:
        if isinstance(block, bool) or not isinstance(block, int | np.integer) or block < 1:
            raise ValueError(f"block={block!r}: expected an integer >= 1")
        for name, order in (("query_order", query_order), ("key_order", key_order)):
            _check_permutation(name, order)
        self.query_order, self.key_order, self.block = query_order, key_order, int(block)
        self.query_places = _inverse(query_order)
        self.query_blocks = self.query_places // self.block
        self.key_blocks = _inverse(key_order) // self.block

    @property
    def shape(self) -> tuple[int, int]:
        return self.query_order.shape[0], self.key_order.shape[0]

    def __repr__(self) -> str:
        return f"SortedMask({self.shape[0]} queries, {self.shape[1]} keys, blocks of {self.block})"

    def pairs(self, queries: Array | None = None, keys: Array | None = None) -> Array:
        """The entries at some queries and keys (integers; all by default): boolean. Cost: one comparison
        an entry."""
        xp = namespace(self.query_order)
        rows, columns = (
            blocks if chosen is None else xp.take(blocks, chosen)
            for blocks, chosen in ((self.query_blocks, queries), (self.key_blocks, keys))
        )
        return rows[:, None] == columns[None, :]

    def squares(self) -> tuple[int, slice, slice]:
        """How many blocks have b queries and b keys, which come first, and the places of the queries and of
        the keys in the block after them; queries beyond that have no key."""
        n, m = self.shape
        whole = min(n, m) // self.block
        start, stop = whole * self.block, (whole + 1) * self.block
        return whole, slice(start, min(n, stop)), slice(start, min(m, stop))

    def log_sums(self, Q: Array, K: Array) -> Array:
        r""":math:`\ln\sum_{j:M_{ij}}e^{\langle q_i,k_j\rangle}` for each query, (n,); -inf without a key.

        ``Q`` (n, d), ``K`` (m, d). Holds the n b logits. Cost: n b d multiply-adds in products of blocks,
        and one exponential, subtraction, addition and comparison for each pair.
        """
        xp, d = namespace(Q, K), Q.shape[1]
        Q, K = xp.take(Q, self.query_order, axis=0), xp.take(K, self.key_order, axis=0)
        whole, queries, keys = self.squares()
        parts = []
        if whole:
            blocks = (xp.reshape(x[: whole * self.block, :], (whole, self.block, d)) for x in (Q, K))
            parts.append(xp.reshape(logsumexp(_products(*blocks)), (whole * self.block,)))
        alone = queries.start
        if queries.stop > queries.start and keys.stop > keys.start:
            parts.append(logsumexp(_products(Q[queries, :], K[keys, :])))
            alone = queries.stop
        if alone < Q.shape[0]:
            device = array_api_compat.device(Q)
            parts.append(xp.full((Q.shape[0] - alone,), -math.inf, dtype=Q.dtype, device=device))
        return xp.take(xp.concat(parts), self.query_places)


def sorted_lsh_mask(Q: Array, K: Array, hash: Hash, block: int) -> SortedMask:
    """The blocks of queries and keys sorted by ``hash`` along the Gray code (sortLSH).

    ``Q`` (n, d), ``K`` (m, d); ties keep their order. With fewer bits than log2(n / b) buckets are larger
    than blocks, and near pairs are lost. Cost: the hash of n + m rows, n log2 n + m log2 m comparisons, and 4
    operations a row with the ranks.

    Source: hyper-attention, setting.
    """
    xp = namespace(Q, K)
    orders = (xp.argsort(gray_rank(hash.keys(X), hash.bits), stable=True) for X in (Q, K))
    return SortedMask(*orders, block)


def _products(Q: Array, K: Array) -> Array:
    return Q @ namespace(K).matrix_transpose(K)


def _inverse(order: Array) -> Array:
    """Where each number stands in ``order``, a permutation."""
    xp, n = namespace(order), order.shape[0]
    # in float64, which every library can add by index, and which holds places exactly
    places = xp.arange(n, dtype=xp.float64, device=array_api_compat.device(order))
    return xp.astype(scatter_add(n, order, places), xp.int64)


def _check_permutation(name: str, order: Array) -> None:
    if order.ndim != 1 or order.shape[0] < 1:
        raise ValueError(f"{name} of shape {tuple(order.shape)}: expected one row of at least one integer")
    if not namespace(order).isdtype(order.dtype, "integral"):
        raise TypeError(f"{name} of dtype {order.dtype}: expected integers")
    if holds_data(order):
        host, n = to_host(order), order.shape[0]
        if host.min() < 0 or host.max() >= n or np.any(np.bincount(host, minlength=n) != 1):
            raise ValueError(f"{name}: expected a permutation of 0 .. {n - 1}")
