"""What one replaced record does to a release of dyadic trees: the change of every node, and its loss.

A record lies in one node a level, so a replacement moves one node a level, or two. Nodes that it does not
move have the same law before and after and say nothing: the privacy loss of a whole release is that of the
nodes touched, which this module draws without the others.

Source: cross-attention-dp, "Composition".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from touchstone.arrays import as_array_like, namespace, to_host
from touchstone.privacy.dyadic_tree import feature_bounds, leaf_of, loss_terms, require_depth, require_law
from touchstone.privacy.noise import truncated_laplace

Array = Any

DRAWS_PER_BLOCK = 1 << 21
"""Noise draws held at a time: 16 MiB in float64."""


def entry_bounds(weight_bounds: Any, bounds: Any) -> np.ndarray:
    """The largest absolute contribution of a record to a node, (2, c, r) on the host.

    Masses are at most ``weight_bounds`` (c,), moments that times ``bounds`` (r,). Raises ``ValueError``
    unless both are vectors of positive numbers.
    """
    weight_bounds, bounds = np.atleast_1d(weight_bounds), np.atleast_1d(bounds)
    for name, values in (("weight_bounds", weight_bounds), ("bounds", bounds)):
        if values.ndim != 1 or not np.all((values > 0) & np.isfinite(values)):
            raise ValueError(f"{name}={values!r}: expected a vector of finite numbers > 0")
    mass = np.broadcast_to(weight_bounds[:, None], (len(weight_bounds), len(bounds)))
    return np.stack([mass, weight_bounds[:, None] * bounds])


def replacement_change(
    x: Array, w: Array, x_new: Array, w_new: Array, depth: int, *, bounds: Any = 1.0
) -> Array:
    """The change of every node's sums when the record (``x``, ``w``) becomes (``x_new``, ``w_new``).

    ``x`` and ``x_new`` (..., r), ``w`` and ``w_new`` (..., c), leading axes for many replacements at once.
    Returns (..., depth + 1, 2, 2, c, r): level; the node of the old record and that of the new one (which
    holds 0 where both share a node: the first has the whole change); mass and moment; column; feature.

    Raises ``ValueError`` for shapes that do not fit, and as ``DyadicTree`` for depth and bounds. Cost:
    O(depth c r) a replacement.
    """
    xp = namespace(x, w, x_new, w_new)
    for name, new, old in (("x_new", x_new, x), ("w_new", w_new, w)):
        if new.shape != old.shape or old.ndim < 1:
            raise ValueError(
                f"{name} of shape {tuple(new.shape)}: expected {tuple(old.shape)}, a vector each"
            )
    if x.shape[:-1] != w.shape[:-1]:
        raise ValueError(f"w of shape {tuple(w.shape)}: expected {tuple(x.shape[:-1])} and the columns")
    depth, limits = require_depth(depth), feature_bounds(bounds, x.shape[-1])
    leaf, leaf_new = leaf_of(x, depth, limits), leaf_of(x_new, depth, limits)
    old, new = _sums(x, w), _sums(x_new, w_new)  # (..., 2, c, r)
    levels = []
    for level in range(depth + 1):
        step = 2 ** (depth - level)
        shared = (leaf // step == leaf_new // step)[..., None, None, :]
        first = xp.where(shared, new - old, -old)
        second = xp.where(shared, xp.zeros_like(new), new)
        levels.append(xp.stack([first, second], axis=-4))
    return xp.stack(levels, axis=-5)


def replacement_losses(
    change: Array,
    scales: Array,
    law: str,
    runs: int,
    rng: np.random.Generator,
    *,
    bound: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Privacy losses of ``runs`` releases of the data, and of as many of the neighbour: host arrays.

    ``change`` (..., 2, c, r) as ``replacement_change`` gives it for one replacement, ``scales`` (2, c, r) of
    the ``law``. Noise is drawn for the nodes touched, independently for each, the law of the others being
    the same on both sides. Scale 0 means no noise: an infinite loss wherever such a node is touched.
    ``bound`` truncates Laplace noise at that many scales: an output that only one side can give has an
    infinite loss.

    Raises ``ValueError`` for bad arguments. Cost: 2 ``runs`` draws a node, in blocks of
    ``DRAWS_PER_BLOCK``.
    """
    require_law(law)
    if isinstance(runs, bool) or not isinstance(runs, int | np.integer) or runs < 1:
        raise ValueError(f"runs={runs!r}: expected an integer >= 1")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng={rng!r}: expected a numpy.random.Generator")
    if bound is not None and law != "laplace":
        raise ValueError(f"bound={bound!r} with law={law!r}: expected Laplace noise, or no bound")
    if tuple(change.shape[-3:]) != tuple(scales.shape):
        raise ValueError(f"scales of shape {tuple(scales.shape)}: expected {tuple(change.shape[-3:])}")
    moved = to_host(change).reshape(-1)
    each = np.broadcast_to(to_host(scales), tuple(change.shape)).reshape(-1)
    if not np.all(each >= 0):
        raise ValueError("scales: expected numbers >= 0")
    kept = moved != 0
    moved, each = (as_array_like(values[kept][None, :], change) for values in (moved, each))
    xp = namespace(change)
    block = max(1, DRAWS_PER_BLOCK // max(moved.shape[1], 1))
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    for start in range(0, runs, block):
        for side, sign in enumerate((1.0, -1.0)):
            shape = (min(block, runs - start), moved.shape[1])
            noise = each * _unit_noise(rng, shape, law, bound, change)
            # seen from the other side the same output is noise shifted by the change
            other = noise - sign * moved
            total = xp.sum(loss_terms(noise, other, each, law), axis=1)
            if bound is not None:
                never = xp.any(xp.abs(other) > bound * each, axis=1)
                total = xp.where(never, xp.full_like(total, math.inf), total)
            sides[side].append(to_host(sign * total))
    return np.concatenate(sides[0]), np.concatenate(sides[1])


def replacement_ratios(change: Array, bounds: Array) -> dict[str, Array]:
    """How much of what the analysis allows a replacement uses, (...) each, over the worst array.

    ``change`` (..., depth + 1, 2, 2, c, r), ``bounds`` (2, c, r) of ``entry_bounds``. ``"l1"``: the ℓ₁ change
    of an array over 2 (depth + 1) b; ``"l2"``: its squared ℓ₂ change over 4 (depth + 1) b². At most 1 each.
    """
    xp = namespace(change, bounds)
    levels = change.shape[-5]
    scaled = xp.abs(change) / bounds
    l1 = xp.sum(scaled, axis=(-5, -4)) / (2 * levels)
    l2 = xp.sum(scaled * scaled, axis=(-5, -4)) / (4 * levels)
    return {"l1": xp.max(l1, axis=(-3, -2, -1)), "l2": xp.max(l2, axis=(-3, -2, -1))}


def laplace_budget(change: Array, scales: Array) -> Array:
    """The largest loss that a replacement can cause under Laplace noise: sum |change| / scale, (...)."""
    xp = namespace(change, scales)
    return xp.sum(xp.abs(change) / scales, axis=(-5, -4, -3, -2, -1))


def gaussian_distance(change: Array, scales: Array) -> Array:
    """The μ of a replacement under Gaussian noise: the ℓ₂ norm of change / scale, (...)."""
    xp = namespace(change, scales)
    return xp.sqrt(xp.sum((change / scales) ** 2, axis=(-5, -4, -3, -2, -1)))


def _unit_noise(
    rng: np.random.Generator, shape: tuple[int, int], law: str, bound: float | None, like: Array
) -> Array:
    if bound is not None:
        return truncated_laplace(rng, shape, 1.0, bound, like=like)
    return as_array_like((rng.laplace if law == "laplace" else rng.normal)(size=shape), like)


def _sums(x: Array, w: Array) -> Array:
    xp = namespace(x, w)
    moment = w[..., :, None] * x[..., None, :]
    mass = xp.broadcast_to(w[..., :, None], moment.shape)
    return xp.stack([mass, moment], axis=-3)
