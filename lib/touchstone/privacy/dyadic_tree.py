"""Trees of dyadic intervals over one number a record: sums over all values left or right of a query.

Each node of a complete binary tree of depth h over [0, bound] holds two sums over the records whose number
falls into its interval: of the weights w (the *mass*) and of w x (the *moment*). An interval that ends at a
leaf boundary is a union of at most h nodes, so noise on every node costs a sum over it h draws and not n.
The trees of r numbers (features) with c columns of weights are built and read together.

Source: cross-attention-dp, "DPTree" (reconstructed from the abstract); the binary mechanism of Chan, Shi and
Song 2011 and Dwork, Naor, Pitassi and Rothblum 2010.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import as_array_like, holds_data, namespace, scatter_add

Array = Any

NUMBERS_PER_BLOCK = 1 << 20
"""Weighted numbers that building holds at a time (at least those of one feature)."""
MOST_DEPTH = 40
LAWS = ("laplace", "gaussian")


class DyadicTree:
    """The trees of ``x`` (n, r), numbers in [0, ``bounds``], with the columns of ``weights`` (n, c).

    ``bounds`` is a number or one a feature (r,), public. ``levels[l]`` (2, c, r, 2^l) holds mass and moment
    of the 2^l nodes of level l = 0 (the root) .. ``depth``; the leaf of x is min(floor(2^depth x / bound),
    2^depth - 1). ``noise(shape)``, called once a level from the root down, gives what is added to it: an
    array that broadcasts with ``shape``; leading axes stand for independent releases of the same sums.
    Without ``noise`` the sums are exact: for use by whoever holds the data, not for release.

    ``tally["nodes"]`` counts the nodes that have been read. Shape-only arrays build the same tree without
    data. Cost: 2 n r c additions into the leaves and 2 r c (2^depth - 1) above them, n r c multiplications;
    memory 2 r c (2^(depth + 1) - 1) numbers, and while building a few times ``NUMBERS_PER_BLOCK`` or n,
    whichever is more.

    Raises ``ValueError`` for shapes that do not fit, a depth that is not an integer in [0, 40], bounds that
    are not positive, or numbers outside their bounds; ``TypeError`` for other than real floating arrays.
    """

    def __init__(
        self,
        x: Array,
        weights: Array,
        depth: int,
        noise: Callable[[tuple[int, ...]], Array] | None = None,
        *,
        bounds: Any = 1.0,
    ) -> None:
        xp = namespace(x, weights)
        for name, array in (("x", x), ("weights", weights)):
            if not xp.isdtype(array.dtype, "real floating"):
                raise TypeError(f"{name} of dtype {array.dtype}: expected real floating numbers")
        if x.ndim != 2 or x.shape[1] < 1:
            raise ValueError(f"x of shape {tuple(x.shape)}: expected (n, r) with r >= 1")
        if weights.ndim != 2 or weights.shape[0] != x.shape[0] or weights.shape[1] < 1:
            raise ValueError(
                f"weights of shape {tuple(weights.shape)}: expected ({x.shape[0]}, c), a row for each of x"
            )
        self.depth = require_depth(depth)
        self.bounds = feature_bounds(bounds, x.shape[1])
        if x.shape[0]:
            limits = as_array_like(self.bounds * (1 + 1e-12), x)  # for features computed in another order
            inside = xp.all((xp.min(x, axis=0) >= 0) & (xp.max(x, axis=0) <= limits))  # NaN is not
            if holds_data(x) and not bool(inside):
                raise ValueError("x: expected numbers between 0 and their bounds, none of them NaN")
        self.features, self.columns = x.shape[1], weights.shape[1]
        self.tally: Counter[str] = Counter({"nodes": 0})
        levels = [self._leaves(x, weights)]
        for level in range(self.depth, 0, -1):
            pairs = xp.reshape(levels[-1], (2, self.columns, self.features, 2 ** (level - 1), 2))
            levels.append(pairs[..., 0] + pairs[..., 1])
        levels.reverse()
        if noise is not None:
            levels = [sums + noise(tuple(sums.shape)) for sums in levels]
        self.levels: tuple[Array, ...] = tuple(levels)

    @property
    def size(self) -> int:
        """The numbers held, of all nodes, arrays and trees."""
        return sum(math.prod(level.shape) for level in self.levels)

    def prefix(self, y: Array) -> tuple[Array, Array]:
        """Sums over the leaves before that of ``y`` (m, r), and over that leaf and those after it.

        Each (..., 2, c, m, r): mass and moment, column, query, feature. Every sum reads at most ``depth`` of
        the nodes (or the root alone), as many as the leaf's number, counted from that side, has binary
        digits 1. Together the two cover all records. Cost: O(m r c depth). Raises ``ValueError`` for a
        shape that does not fit.
        """
        self._require_queries(y)
        xp = namespace(y, self.levels[0])
        leaf = leaf_of(y, self.depth, self.bounds)
        before, after = leaf, 2**self.depth - leaf  # the numbers of leaves on each side
        digits = xp.sum(nodes_read(before, self.depth) + nodes_read(after, self.depth))
        # shapes alone tell only the most there can be
        read = int(digits) if holds_data(y) else math.prod(y.shape) * 2 * max(self.depth, 1)
        self.tally["nodes"] += 2 * self.columns * read
        sides = [0.0, 0.0]
        for level, sums in enumerate(self.levels):
            step = 2 ** (self.depth - level)
            left, right = before // step, after // step
            # an odd number of such nodes: the last of them is not part of a larger one
            for side, (count, node) in enumerate(((left, left - 1), (right, 2**level - right))):
                taken = xp.astype(count % 2, sums.dtype)
                sides[side] = sides[side] + taken * self._at(sums, node * (count % 2), level)
        return sides[0], sides[1]

    def distance_sum(self, y: Array) -> Array:
        """About ``sum_j w_j |x_j - y|`` for ``y`` (m, r): (..., c, m, r).

        Only the records in the leaf of y may count with the wrong sign, so for exact sums the error is at
        most twice the leaf's width times their absolute weights. Cost and errors as for ``prefix``.
        """
        before, after = self.prefix(y)
        mass, moment = (before - after)[..., 0, :, :, :], (after - before)[..., 1, :, :, :]
        return y * mass + moment

    def touched(self, neighbour: DyadicTree) -> int:
        """How many of the numbers held differ between two trees: what a change of the data moves."""
        self._require_alike(neighbour)
        return sum(
            int(namespace(mine).count_nonzero(mine != theirs))
            for mine, theirs in zip(self.levels, neighbour.levels, strict=True)
        )

    def loss(self, neighbour: DyadicTree, released: DyadicTree, scales: Array, law: str = "laplace") -> Array:
        """The privacy loss ln(p(released | self) / p(released | neighbour)), one for each release (...).

        ``self`` and ``neighbour`` are exact; ``released`` is either of them plus independent noise of scale
        ``scales`` (2, c, r) on every node, ``"laplace"`` (scale λ) or ``"gaussian"`` (standard deviation σ).
        Where the scale is 0 the loss is 0, ∞ or -∞: equal sums tell nothing, different ones everything.
        Raises ``ValueError`` for an unknown law or trees of different shapes. Cost: O(``size``) a release.
        """
        self._require_alike(neighbour)
        self._require_alike(released)
        require_law(law)
        total = 0.0
        for mine, theirs, seen in zip(self.levels, neighbour.levels, released.levels, strict=True):
            xp = namespace(mine, seen)
            parts = loss_terms(seen - mine, seen - theirs, scales[..., None], law)
            total = total + xp.sum(parts, axis=(-4, -3, -2, -1))
        return total

    # -- steps -------------------------------------------------------------------------------------------

    def _leaves(self, x: Array, weights: Array) -> Array:
        """Mass and moment of every leaf (2, c, r, 2^depth), a few features at a time."""
        xp, (n, r) = namespace(x, weights), x.shape
        leaves = 2**self.depth
        width = max(1, min(r, NUMBERS_PER_BLOCK // max(n, 1)))
        blocks = []
        for start in range(0, r, width):
            part = x[:, start : start + width]
            size = part.shape[1]
            first = xp.arange(0, size * leaves, leaves, dtype=xp.int64, device=array_api_compat.device(x))
            index = leaf_of(part, self.depth, self.bounds[start : start + width]) + first[None, :]
            index = xp.reshape(index, (n * size,))
            sums = []
            for factor in (None, part):
                for column in range(self.columns):
                    w = weights[:, column : column + 1]
                    values = xp.broadcast_to(w, (n, size)) if factor is None else w * factor
                    added = scatter_add(size * leaves, index, xp.reshape(values, (n * size,)))
                    sums.append(xp.reshape(added, (1, size, leaves)))
            blocks.append(xp.reshape(xp.concat(sums, axis=0), (2, self.columns, size, leaves)))
        return xp.concat(blocks, axis=2) if len(blocks) > 1 else blocks[0]

    def _at(self, sums: Array, node: Array, level: int) -> Array:
        """Entries of ``sums`` (..., r, 2^level) at the nodes (m, r): (..., m, r)."""
        xp = namespace(sums, node)
        m, r = node.shape
        first = xp.arange(0, r * 2**level, 2**level, dtype=node.dtype, device=array_api_compat.device(node))
        flat = xp.reshape(sums, (*sums.shape[:-2], r * 2**level))
        return xp.reshape(
            xp.take(flat, xp.reshape(node + first[None, :], (m * r,)), axis=-1), (*flat.shape[:-1], m, r)
        )

    def _require_queries(self, y: Array) -> None:
        if y.ndim != 2 or y.shape[1] != self.features:
            raise ValueError(
                f"y of shape {tuple(y.shape)}: expected (m, {self.features}), a column a feature"
            )

    def _require_alike(self, other: DyadicTree) -> None:
        mine, theirs = ((t.depth, t.columns, t.features) for t in (self, other))
        if mine != theirs:
            raise ValueError(f"trees of depth, columns and features {theirs}: expected {mine}")


def leaf_of(x: Array, depth: int, bounds: np.ndarray) -> Array:
    """The leaf min(floor(2^depth x / bound), 2^depth - 1) of every entry of ``x`` (..., r), as int64."""
    xp = namespace(x)
    leaves = 2**depth
    scaled = xp.floor(x * leaves / as_array_like(bounds, x))  # one rounding: leaves is a power of 2
    return xp.astype(xp.clip(scaled, 0, leaves - 1), xp.int64)


def nodes_read(count: Array, depth: int) -> Array:
    """How many nodes make up the first ``count`` leaves: the binary digits 1 of ``count`` <= 2^depth."""
    return sum(count // 2**bit % 2 for bit in range(depth + 1))


def loss_terms(own: Array, other: Array, scales: Array, law: str) -> Array:
    """ln(p(own) / p(other)) for every entry, p the density of noise of these scales (0: no noise)."""
    xp = namespace(own, other, scales)
    none = scales == 0
    silent = holds_data(scales) and bool(xp.any(none))
    safe = xp.where(none, xp.ones_like(scales), scales) if silent else scales
    if law == "laplace":
        parts = (xp.abs(other) - xp.abs(own)) / safe
    else:
        parts = (other - own) * (other + own) / (2 * safe * safe)
    if not silent:
        return parts
    zero, infinite = xp.zeros_like(parts), xp.full_like(parts, math.inf)
    told = xp.where(own == other, zero, xp.where(own == 0, infinite, -infinite))
    return xp.where(none, told, parts)


def require_law(law: Any) -> None:
    if law not in LAWS:
        raise ValueError(f"law={law!r}: expected one of {', '.join(map(repr, LAWS))}")


def require_depth(depth: Any) -> int:
    if isinstance(depth, bool) or not isinstance(depth, int | np.integer) or not 0 <= depth <= MOST_DEPTH:
        raise ValueError(f"depth={depth!r}: expected an integer in [0, {MOST_DEPTH}]")
    return int(depth)


def feature_bounds(bounds: Any, features: int) -> np.ndarray:
    """``bounds`` as a host array (features,). Raises ``ValueError`` unless they are finite and positive."""
    array = np.asarray(bounds, dtype=np.float64)
    if array.ndim > 1 or array.shape not in ((), (features,)):
        raise ValueError(f"bounds of shape {array.shape}: expected a number, or one for each of {features}")
    if not np.all((array > 0) & np.isfinite(array)):
        raise ValueError(f"bounds={bounds!r}: expected finite numbers > 0")
    return np.broadcast_to(array, (features,)).copy()
