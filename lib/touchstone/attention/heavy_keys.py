r"""Heavy attention: one small set of keys that holds every large score of every possible query.

With :math:`f(x)=|x|^p` a query gives key j the score
:math:`A_j=f(\langle q,k_j\rangle)/\sum_lf(\langle q,k_l\rangle)`. Its supremum over all queries is the
sensitivity of the key, and the sensitivities add up to a number that does not grow with the number of keys:
few keys can ever score high, and they are known before any query is.

Source: lev-attention.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import holds_data, map_rows, namespace, top_k
from touchstone.attention.exact import attention
from touchstone.attention.power import default_block, power, power_normalisers
from touchstone.linalg.gram_leverage import gram_leverage
from touchstone.linalg.leverage import leverage_scores
from touchstone.sketching.sensitivity_bounds import sensitivity_bounds, total_sensitivity_bound

Array = Any


def universal_set(K: Array, eps: float, p: float = 2, *, workers: int = 1) -> Array:
    r"""The positions, in order, of all keys that may score ``eps`` or more under some query.

    ``K`` (n, d), real floating; 0 < eps <= 1; any p > 0. They are the keys whose
    ``sensitivity_bounds`` are at least ``eps``, up to the rounding of those: none is missed,
    for p = 2 none is there that could not score as much, and there are at most
    ``total_sensitivity_bound(d, p)`` / eps of them. Shape-only keys give that many positions, without data.

    Cost, and errors, as for ``sensitivity_bounds``: 2 n d^2 + O(d^3) multiply-adds for p = 2. ``ValueError``
    for another eps. Source: lev-attention, setting.
    """
    _check_eps(eps)
    xp = namespace(K)
    bounds = sensitivity_bounds(K, p, workers=workers)
    if not holds_data(bounds):
        most = min(K.shape[0], most_heavy_keys(K.shape[1], eps, p))
        return xp.zeros((most,), dtype=xp.int64, device=array_api_compat.device(K))
    return xp.nonzero(bounds >= guarded(eps, K.dtype, xp))[0]


def most_heavy_keys(d: int, eps: float, p: float = 2) -> int:
    """How many keys of ``d`` features may score ``eps`` or more under some query, at most."""
    _check_eps(eps)
    return math.floor(total_sensitivity_bound(d, p) / eps * (1 + 1e-12))


def heavy_pairs(
    Q: Array, K: Array, eps: float, p: float = 2, *, block: int | None = None, workers: int = 1
) -> tuple[Array, Array]:
    r"""The positions of all pairs (query, key) of score at least ``eps``: two arrays, in order of queries.

    ``Q`` (n, d), ``K`` (m, d), real floating. Only the keys of ``universal_set`` are looked at; for even p
    the sum over all keys comes from ``power_normalisers``, so that no query looks at the other keys.
    Shape-only arrays take the largest possible set, and give one position: how many pairs there are is in the
    data.

    Cost in multiply-adds, with u keys in the set: that of ``universal_set``, that of ``power_normalisers``
    and n u d. For p = 2: (3 m + n) d^2 + m d + n d (u + 1) + O(d^3). Memory beside the arrays: n u truth
    values. Errors as for ``universal_set`` and ``power_attention``. Source: lev-attention, setting.
    """
    _check_eps(eps)
    xp = namespace(Q, K)
    if Q.ndim != 2 or K.ndim != 2 or Q.shape[1] != K.shape[1]:
        raise ValueError(
            f"Q of shape {tuple(Q.shape)} and K of shape {tuple(K.shape)}: expected equal numbers of features"
        )
    index = universal_set(K, eps, p, workers=workers)
    # scores do not change when a query, or all keys, are divided by a number: so no power leaves the range
    K = K / _positive(xp.max(xp.abs(K)))
    Q = Q / _positive(xp.max(xp.abs(Q), axis=1, keepdims=True))
    keys = xp.matrix_transpose(xp.take(K, index, axis=0))
    total = power_normalisers(Q, K, p, block=block, workers=workers)

    def heavy(Q: Array, total: Array) -> Array:
        total = total[:, None]
        return (power(xp.abs(Q @ keys), p) >= eps * total) & (total > 0)

    found = map_rows(heavy, Q, total, block=default_block(Q, index.shape[0], block), workers=workers)
    if not holds_data(found):
        one = xp.zeros((1,), dtype=xp.int64, device=array_api_compat.device(Q))
        return one, one
    queries, at = xp.nonzero(found)
    return queries, xp.take(index, at)


def top_key_attention(
    Q: Array, K: Array, V: Array, k: int, *, scale: float, scores: Array | None = None, workers: int = 1
) -> Array:
    """Softmax attention restricted to the ``k`` keys of largest ``scores`` (n,), by default their leverage.

    Shapes and errors are those of ``exact.attention``; ``ValueError`` also unless 1 <= k <= n, or for
    ``scores`` of another length. Cost: the scores, one sort, and attention to k keys. Source: lev-attention,
    LevAttention layer.
    """
    xp = namespace(Q, K, V)
    if K.ndim != 2 or isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= K.shape[0]:
        raise ValueError(f"k={k!r}: expected an integer from 1 to the number of keys, K is {tuple(K.shape)}")
    if scores is None:
        scores = leverage_scores(K, workers=workers)
    if tuple(scores.shape) != (K.shape[0],):
        raise ValueError(f"scores of shape {tuple(scores.shape)}: expected ({K.shape[0]},), one for each key")
    _, index = top_k(scores, int(k))
    return attention(Q, xp.take(K, index, axis=0), xp.take(V, index, axis=0), scale=scale, workers=workers)


class OnePassHeavyKeys:
    r"""The keys of leverage at least ``eps``, found in one pass, in memory that does not grow with their
    number.

    Kept are the Gram matrix of all keys so far and a buffer of some of them with their positions. When the
    buffer holds more than ``2 d / eps`` keys, those of leverage below ``eps`` are dropped. Leverage falls as
    keys arrive, so that none is dropped which matters in the end; and leverages add up to at most d, so that
    at most ``d / eps`` survive. There is one filter, of O(d^3 / eps) operations, in ``d / eps`` keys.

    ``d`` features, 0 < ``eps`` <= 1, ``like`` an array or namespace that says where to keep them; ``first``
    is the position of the first key, for shards of a longer stream. ``leverage(keys, gram)`` may be replaced,
    to see what depends on it. ``tally`` counts ``keys`` seen, ``filters``, and ``buffer``, the most keys that
    were kept.

    Raises ``ValueError`` for other sizes. Source: lev-attention, one-pass algorithm (reconstructed).
    """

    def __init__(
        self, d: int, eps: float, *, like: Any = np, first: int = 0, leverage: Any = gram_leverage
    ) -> None:
        if isinstance(d, bool) or not isinstance(d, int | np.integer) or d < 1:
            raise ValueError(f"d={d!r}: expected an integer >= 1")
        if isinstance(first, bool) or not isinstance(first, int | np.integer) or first < 0:
            raise ValueError(f"first={first!r}: expected an integer >= 0")
        _check_eps(eps)
        xp = like if hasattr(like, "asarray") else namespace(like)
        where = {} if hasattr(like, "asarray") else {"device": array_api_compat.device(like)}
        dtype = xp.float64 if hasattr(like, "asarray") else like.dtype
        self.d, self.eps = int(d), float(eps)
        self.leverage = leverage
        self.gram = xp.zeros((d, d), dtype=dtype, **where)
        self.keys = xp.zeros((0, d), dtype=dtype, **where)
        self.positions = xp.zeros((0,), dtype=xp.int64, **where)
        self.next = int(first)
        self.tally: Counter[str] = Counter(keys=0, filters=0, buffer=0)

    @property
    def capacity(self) -> int:
        """The most keys that stay without a filter: twice d / eps, which is rounded down."""
        return 2 * most_heavy_keys(self.d, self.eps)

    def push(self, keys: Array) -> None:
        """The next keys of the stream, (m, d) or one (d,); the same result as one after the other.

        Raises ``ValueError`` for another number of features or numbers that are not finite (then nothing has
        been kept), ``TypeError`` for arrays of another library.
        """
        xp = namespace(keys, self.gram)
        keys = keys[None, :] if keys.ndim == 1 else keys
        if keys.ndim != 2 or keys.shape[1] != self.d:
            raise ValueError(f"keys of shape {tuple(keys.shape)}: expected (m, {self.d})")
        if not bool(xp.all(xp.isfinite(keys))):
            raise ValueError("keys: expected finite numbers")
        start = 0
        while start < keys.shape[0]:
            room = self.capacity + 1 - self.keys.shape[0]  # none where rounding keeps all from being dropped
            stop = min(keys.shape[0], start + max(1, room))
            part = xp.asarray(keys[start:stop, :], dtype=self.gram.dtype, copy=True)
            places = xp.arange(
                self.next, self.next + stop - start, dtype=xp.int64, device=array_api_compat.device(self.gram)
            )
            self._keep(part, places, xp.matrix_transpose(part) @ part)
            self.next += stop - start
            self.tally["keys"] += stop - start
            start = stop

    def summary(self) -> tuple[Array, Array, Array]:
        """What another shard needs to know: the Gram matrix, the keys that are heavy so far, their positions.

        At most d^2 + (d + 1) d / eps numbers.
        """
        self._filter()
        return self.gram, self.keys, self.positions

    def merge(self, gram: Array, keys: Array, positions: Array) -> None:
        """Take in what the ``summary`` of another shard said.

        Raises ``ValueError`` for shapes that do not fit.
        """
        namespace(gram, keys, positions, self.gram)
        m = positions.shape[0]
        if tuple(gram.shape) != (self.d, self.d) or tuple(keys.shape) != (m, self.d):
            raise ValueError(
                f"gram of shape {tuple(gram.shape)} and keys of shape {tuple(keys.shape)}: expected "
                f"{(self.d, self.d)} and {(m, self.d)}, one key for each position"
            )
        self._keep(keys, positions, gram)

    def finish(self) -> Array:
        """The positions, in order, of the keys whose leverage among all seen is at least ``eps``."""
        self._filter()
        return namespace(self.positions).sort(self.positions)

    def _keep(self, keys: Array, positions: Array, gram: Array) -> None:
        xp = namespace(self.gram)
        self.gram = self.gram + gram
        self.keys = xp.concat([self.keys, keys])
        self.positions = xp.concat([self.positions, positions])
        self.tally["buffer"] = max(self.tally["buffer"], int(self.keys.shape[0]))
        if self.keys.shape[0] > self.capacity:
            self._filter()

    def _filter(self) -> None:
        xp = namespace(self.gram)
        scores = self.leverage(self.keys, self.gram)
        kept = xp.nonzero(scores >= guarded(self.eps, self.gram.dtype, xp))[0]
        self.keys, self.positions = xp.take(self.keys, kept, axis=0), xp.take(self.positions, kept)
        self.tally["filters"] += 1


def guarded(eps: float, dtype: Any, xp: Any) -> float:
    """``eps`` less what rounding may take from a score: ten times the error of ``leverage_scores``."""
    return eps * (1 - 10 * (float(xp.finfo(dtype).eps) / 2) ** 0.625)


def _check_eps(eps: float) -> None:
    real = isinstance(eps, int | float | np.integer | np.floating) and not isinstance(eps, bool)
    if not (real and 0 < eps <= 1):
        raise ValueError(f"eps={eps!r}: expected a number in (0, 1]")


def _positive(size: Array) -> Array:
    xp = namespace(size)
    return xp.where(size > 0, size, xp.ones_like(size))
