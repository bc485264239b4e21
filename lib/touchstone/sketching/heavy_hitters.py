r"""Large entries and norms of a vector of which only a few linear measurements are kept.

table = CountSketchTable(rows=9, width=256, rng=rng, like=x)
table.update(items, values)          # x[items] += values, any number of times
table.query(items)                   # estimates of x[items]
table.top_k(k, items)                # the largest of them
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.arrays import Array, median, namespace, scatter_add, top_k
from touchstone.sketching.operator import Place, checked_sizes
from touchstone.sketching.polynomial_hash import checked_items, polynomial_hash

INDEPENDENCE = 4
"""Of the buckets and signs in a row: what the variance of a query and of a row's squared length need."""

LARGEST_NETWORK = 15
"""Rows up to which exchanges of whole rows beat a sort for each item."""


@dataclass(frozen=True)
class Places:
    """Where a table keeps ``items`` (m,): ``index`` (rows, m) into its cells with their signs.

    Every cell is there twice, with the sign + and, next to it, with the sign -: so many numbers as the hashes
    have buckets, 2 ``width`` a row, one row after the other.
    """

    index: Array
    items: Array


class CountSketchTable:
    r"""A CountSketch of a vector x that arrives as updates of its entries: ``rows`` times ``width`` numbers.

    Each row hashes the items to ``width`` cells and adds them up with random signs; the estimate of an entry
    is the median over the rows of its cell times its sign. A row errs by at most
    :math:`\sqrt{3/w}\,\lVert x\rVert_2` with probability 2/3, so with ``rows`` of order log n all n estimates
    err by that at once; entries that stand out are found, and the rest of x is the noise.

    ``cells`` (rows, width) is all that is kept, beside 4 words of hash function a row; it is linear in x, so
    tables with the same hashes (``empty``) add and subtract. ``items`` are integers in [0, 2^31 - 1), or
    their ``places``, which hashes them once for several calls. ``like`` is an array, or a namespace, that
    gives library, device and floating dtype.

    Cost: an update of m entries is (m + ``width``) ``rows`` additions; a query (m + 2 ``width``) ``rows``
    moves and m medians, each of the comparisons of ``median_network(rows)``, or a sort above 15 rows. Raises
    ``ValueError`` for sizes below 1, ``TypeError`` for an ``rng`` that is no generator or a ``like`` that
    holds no real floating numbers.

    Source: M. Charikar, K. Chen, M. Farach-Colton, *Finding frequent items in data streams* (2002);
    residual-error-sketch, C5.
    """

    def __init__(self, rows: int, width: int, rng: np.random.Generator, *, like: Any) -> None:
        self.rows, self.width = checked_sizes(rng, rows=rows, width=width)
        self._place = Place(like)
        self._hash = polynomial_hash(INDEPENDENCE, 2 * self.width, rng, self.rows)
        self.cells = self._zeros()

    def empty(self) -> CountSketchTable:
        """A table of zeros with the same hashes."""
        return self._with(self._zeros())

    def __add__(self, other: CountSketchTable) -> CountSketchTable:
        """The table of the sum of two vectors. Raises ``ValueError`` unless they have the same hashes."""
        return self._with(self.cells + self._same_hashes(other).cells)

    def __sub__(self, other: CountSketchTable) -> CountSketchTable:
        """The table of the difference of two vectors. Raises as for a sum."""
        return self._with(self.cells - self._same_hashes(other).cells)

    def places(self, items: Array) -> Places:
        """The cells and signs of ``items`` (m,). Cost: ``rows`` hashes an item.

        Raises ``TypeError`` unless they are integers, ``ValueError`` for one out of range or another number
        of axes.
        """
        return self._places_of(checked_items(items))

    def _places_of(self, whole: Array) -> Places:
        """The places of items that have been checked."""
        xp = namespace(whole)
        starts = xp.arange(self.rows, dtype=xp.int64, device=self._place.device) * (2 * self.width)
        return Places(self._hash.keys_of(whole) + starts[:, None], whole)

    def update(self, items: Array | Places, values: Array) -> None:
        """Add ``values`` (m,) to the entries ``items`` (m,) of the vector; an item may come more than once.

        Raises ``ValueError`` for another number of values.
        """
        at = self._places(items)
        if tuple(values.shape) != tuple(at.items.shape):
            raise ValueError(
                f"values of shape {tuple(values.shape)}: expected {tuple(at.items.shape)}, one for each item"
            )
        xp = namespace(values)
        copies = xp.reshape(xp.broadcast_to(values, (self.rows, values.shape[0])), (-1,))
        added = scatter_add(2 * self.rows * self.width, xp.reshape(at.index, (-1,)), copies)
        added = xp.reshape(added, (self.rows, self.width, 2))
        self.cells = self.cells + (added[..., 0] - added[..., 1])

    def query(self, items: Array | Places) -> Array:
        """Estimates (m,) of the entries ``items`` (m,) of the vector."""
        at = self._places(items)
        xp = namespace(self.cells)
        signed = xp.reshape(xp.stack([self.cells, -self.cells], axis=2), (-1,))
        return _middle([xp.take(signed, at.index[row, :]) for row in range(self.rows)])

    def top_k(self, k: int, items: Array | Places) -> tuple[Array, Array]:
        """Those ``k`` of ``items`` whose estimates are largest in absolute value, and these estimates, (k,).

        Largest first. Cost: a query and a sort. Raises ``ValueError`` unless 0 <= k <= m.
        """
        at = self._places(items)
        estimates = self.query(at)
        xp = namespace(estimates)
        _, chosen = top_k(xp.abs(estimates), k)
        return xp.take(at.items, chosen), xp.take(estimates, chosen)

    def _places(self, items: Array | Places) -> Places:
        return items if isinstance(items, Places) else self.places(items)

    def _zeros(self) -> Array:
        place = self._place
        return place.xp.zeros((self.rows, self.width), dtype=place.dtype, device=place.device)

    def _with(self, cells: Array) -> CountSketchTable:
        table = object.__new__(type(self))
        table.rows, table.width, table._place = self.rows, self.width, self._place
        table._hash, table.cells = self._hash, cells
        return table

    def _same_hashes(self, other: CountSketchTable) -> CountSketchTable:
        if other._hash is not self._hash:
            raise ValueError("other: expected a table with the same hashes, made by empty()")
        return other


def _middle(rows: list[Array]) -> Array:
    """The median (m,) of ``rows``, each (m,): by exchanges of whole rows where these are few."""
    xp, c = namespace(rows[0]), len(rows)
    if c > LARGEST_NETWORK:
        return median(xp.stack(rows, axis=1))
    rows = list(rows)
    for i, j, low, high in median_network(c):
        first, second = rows[i], rows[j]
        if low:
            rows[i] = xp.minimum(first, second)
        if high:
            rows[j] = xp.maximum(first, second)
    return rows[c // 2] if c % 2 else (rows[c // 2 - 1] + rows[c // 2]) / 2


@functools.cache
def median_network(c: int) -> tuple[tuple[int, int, bool, bool], ...]:
    """Exchanges that bring the middle of ``c`` >= 1 numbers to the middle (both middles, for an even ``c``).

    Each is (i, j, low, high) with i < j: the smaller of the numbers at i and j goes to i if ``low``, the
    larger one to j if ``high``; an end that is not asked for plays no part any more. A network that sorts,
    read backwards from the middle, and without what does not lead there: 12 comparisons for 5 numbers and 36
    for 9, where all of them in order would take 18 and 52.

    Source: K. Batcher, *Sorting networks and their applications* (1968), as merge exchange in D. Knuth, *The
    Art of Computer Programming*, vol. 3, algorithm 5.2.2M.
    """
    needed, kept = {(c - 1) // 2, c // 2}, []
    for i, j in reversed(_merge_exchange(c)):
        low, high = i in needed, j in needed
        if low or high:
            needed |= {i, j}
            kept.append((i, j, low, high))
    return tuple(reversed(kept))


def _merge_exchange(c: int) -> list[tuple[int, int]]:
    """Exchanges (i, j), i < j, that sort any ``c`` numbers."""
    pairs = []
    top = 1 << max((c - 1).bit_length() - 1, 0)
    p = top
    while p:
        q, r, d = top, 0, p
        while True:
            pairs += [(i, i + d) for i in range(c - d) if i & p == r]
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    return pairs


def lp_norm_estimate(
    x: Array,
    p: float,
    tables: Sequence[CountSketchTable],
    rng: np.random.Generator,
    *,
    subtract: tuple[Array, Array] | None = None,
) -> Array:
    r"""An estimate of :math:`\lVert x-y\rVert_p` from sketches of x alone, by exponential scaling.

    Entry i is divided by :math:`E_i^{1/p}` with independent :math:`E_i\sim\mathrm{Exp}(1)`, and
    :math:`\max_i|x_i-y_i|^p/E_i` has the law of :math:`\lVert x-y\rVert_p^p/E`: one large entry stands for
    the norm, and a CountSketch finds it. The result is the median over the ``tables`` times
    :math:`(\ln2)^{1/p}`. ``x`` (n,) is read once, in every table; ``subtract`` are the items (k,) and values
    (k,) of a sparse y that is only known afterwards, and goes into the tables by linearity.

    For p > 2 a ``width`` of :math:`O(n^{1-2/p}\log n)` in each table gives a constant factor. The tables give
    sizes and hashes, different ones in each; what they hold does not count, and stays.

    Cost: for each table n exponentials and powers on the host, an update and a query of n items. Raises
    ``ValueError`` for an x that is no vector, no tables, a p that is not positive and finite, or items and
    values of y in different numbers; ``TypeError`` unless ``x`` is real floating.

    Source: A. Andoni, R. Krauthgamer, K. Onak, *Streaming algorithms via precision sampling* (2011);
    residual-error-sketch, C5.
    """
    xp = namespace(x)
    if not xp.isdtype(x.dtype, "real floating"):
        raise TypeError(f"x of dtype {x.dtype}: expected real floating numbers")
    if x.ndim != 1 or x.shape[0] < 1:
        raise ValueError(f"x of shape {tuple(x.shape)}: expected one axis with an entry or more")
    if not (0 < p < math.inf):
        raise ValueError(f"p={p!r}: expected a finite number > 0")
    if not tables:
        raise ValueError("tables: expected at least one")
    if subtract is not None and tuple(subtract[0].shape) != tuple(subtract[1].shape):
        shapes = " and ".join(str(tuple(part.shape)) for part in subtract)
        raise ValueError(f"subtract of shapes {shapes}: expected a value for each item")
    n, place = x.shape[0], Place(x)
    items = xp.arange(n, dtype=xp.int64, device=place.device)
    largest = []
    for table in tables:
        scale = place.numbers((n,), lambda: _power(rng.standard_exponential(n), -1 / p))
        sketch, at = table.empty(), table._places_of(items)
        sketch.update(at, x * scale)
        if subtract is not None:
            sketch.update(subtract[0], -subtract[1] * xp.take(scale, subtract[0]))
        largest.append(xp.max(xp.abs(sketch.query(at))))
    return median(xp.stack(largest)) * math.log(2) ** (1 / p)


def _power(x: np.ndarray, power: float) -> np.ndarray:
    """``x`` to the ``power`` by logarithms: half a dozen roundings, in a fifth of the time of ``**``."""
    return np.exp(power * np.log(x))
