"""Adaptive attacks on a structure that answers queries: each query is chosen after the answers so far.

An attacker looks for the query at which the answer is farthest from the truth. Several attackers, one a
structure (or restart), run side by side: a query is a row of an array (a, d), and one call of ``answer``
serves all of them. The moves differ in what they learn from an answer.

Source: cross-attention-dp C5 (``coordinate``), adam-hash C5 (``random_search``), dynamic-kde C6
(``finite_difference``).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from touchstone.arrays import as_array_like, namespace, normal, to_host, uniform

Array = Any
Move = Callable[["Position"], Array]
Project = Callable[[Array], Array]


@dataclass
class Position:
    """Where the attackers stand when the next query is chosen, and what a move may use.

    ``best`` (a, d): each attacker's best query since its last restart, ``value`` (a,) the error there;
    ``last`` and ``last_value`` the query before; ``round`` counts from 1. ``memory`` is a move's own.
    """

    best: Array
    value: Array
    last: Array
    last_value: Array
    round: int
    rng: np.random.Generator
    memory: dict[str, Any]


@dataclass(frozen=True)
class Attack:
    """What an attack found: ``query`` (a, d) with the largest ``error`` (a,) of all that were asked, and
    ``errors`` (queries, a), the error at each query in order."""

    query: Array
    error: Array
    errors: Array


def adaptive_attack(
    answer: Callable[[Array], Array],
    truth: Callable[[Array], Array],
    start: Array,
    queries: int,
    move: Move,
    rng: np.random.Generator,
) -> Attack:
    """Look for the query with the largest |answer - truth|, over all columns if there are several.

    ``answer`` and ``truth`` map queries (a, d) to (a,) or (a, c), row i by structure i. The first query is
    ``start`` (a, d); each of the others is what ``move`` makes of the ``Position``. Every call counts: an
    attacker asks exactly ``queries`` times, probes of a gradient and restarts included. A NaN error (the
    structure broke) counts as infinite: the attacker has won.

    Raises ``ValueError`` for a start that is not a matrix, fewer than one query, or answers of another
    shape. Cost: ``queries`` calls of both functions.
    """
    if start.ndim != 2 or start.shape[0] < 1 or start.shape[1] < 1:
        raise ValueError(f"start of shape {tuple(start.shape)}: expected (attackers, d)")
    if isinstance(queries, bool) or not isinstance(queries, int | np.integer) or queries < 1:
        raise ValueError(f"queries={queries!r}: expected an integer >= 1")
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng={rng!r}: expected a numpy.random.Generator")
    xp = namespace(start)

    def error(q: Array) -> Array:
        gap = xp.abs(answer(q) - truth(q))
        if gap.ndim not in (1, 2) or gap.shape[0] != q.shape[0]:
            raise ValueError(
                f"answers of shape {tuple(gap.shape)}: expected ({q.shape[0]},) or a column each"
            )
        gap = xp.max(gap, axis=1) if gap.ndim == 2 else gap
        return xp.where(xp.isnan(gap), xp.asarray(math.inf, dtype=gap.dtype), gap)

    value = error(start)
    errors = [value]
    found, most = start, value
    at = Position(start, value, start, value, 1, rng, {})
    for at.round in range(1, queries):
        q = move(at)
        value = error(q)
        errors.append(value)
        restarted = at.memory.pop("restarted", False)
        better = value > at.value
        if restarted:
            at.best, at.value = q, value
        else:
            at.best = xp.where(better[:, None], q, at.best)
            at.value = xp.where(better, value, at.value)
        at.last, at.last_value = q, value
        found = xp.where((value > most)[:, None], q, found)
        most = xp.where(value > most, value, most)
    return Attack(found, most, xp.stack(errors, axis=0))


# -- moves -----------------------------------------------------------------------------------------------


def coordinate(low: Any, high: Any, *, restart: int | None = None) -> Move:
    """Change one coordinate of the best query: to ``low``, to ``high``, or to a uniform number between.

    ``low`` and ``high`` are numbers or one a coordinate. With ``restart`` every that many queries begin anew
    at a uniform point of the box. Raises ``ValueError`` unless ``low`` <= ``high`` are finite.
    """
    low, high = _box(low, high)
    _require_restart(restart)

    def move(at: Position) -> Array:
        a, d = at.best.shape
        inside = at.rng.uniform(np.broadcast_to(low, (d,)), np.broadcast_to(high, (d,)), (a, d))
        which, choice = at.rng.integers(0, d, (a, 1)), at.rng.integers(0, 3, (a, 1))
        if restart is not None and at.round % restart == 0:
            at.memory["restarted"] = True
            return as_array_like(inside, at.best)
        value = np.where(choice == 0, low, np.where(choice == 1, high, inside))
        chosen = np.arange(d)[None, :] == which
        xp = namespace(at.best)
        mask = xp.asarray(chosen, device=array_api_compat.device(at.best))
        return xp.where(mask, as_array_like(np.broadcast_to(value, (a, d)), at.best), at.best)

    return move


def random_search(step: float, *, share: float = 0.5, project: Project | None = None) -> Move:
    """Move each coordinate of the best query with probability ``share`` by ``step`` times a normal number.

    ``project`` brings a query back into the domain (clips it to a cube, say). Raises ``ValueError`` unless
    ``step`` > 0 and 0 < ``share`` <= 1.
    """
    _require_positive("step", step)
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r}: expected a number in (0, 1]")

    def move(at: Position) -> Array:
        xp = namespace(at.best)
        moved = uniform(at.rng, at.best.shape, like=at.best) < share
        q = at.best + step * xp.where(
            moved, normal(at.rng, at.best.shape, like=at.best), xp.zeros_like(at.best)
        )
        return q if project is None else project(q)

    return move


def finite_difference(
    probe: float, step: float, *, probes: int | None = None, project: Project | None = None
) -> Move:
    """Ascend along a gradient of the error estimated from its values at nearby queries.

    The attacker stands at a point, asks ``probes`` queries a distance ``probe`` away (in turn along the
    coordinates and, if they are fewer than d, along random directions), moves ``step`` along the normalised
    estimate and asks there; then again. The point moves whether or not the error rose. ``project`` as for
    ``random_search``. Raises ``ValueError`` unless ``probe``, ``step`` > 0 and ``probes`` is ``None`` (d of
    them) or an integer >= 1.
    """
    _require_positive("probe", probe)
    _require_positive("step", step)
    if probes is not None and (isinstance(probes, bool) or not isinstance(probes, int) or probes < 1):
        raise ValueError(f"probes={probes!r}: expected None or an integer >= 1")

    def move(at: Position) -> Array:
        xp, (a, d), own = namespace(at.best), at.best.shape, at.memory
        wanted = d if probes is None else probes
        if "directions" not in own:  # the answer before was at the point itself
            own["point"], own["here"], own["slope"], own["asked"] = at.last, at.last_value, 0.0, 0
            if wanted == d:
                directions = np.broadcast_to(np.eye(d), (a, d, d))
            else:
                drawn = at.rng.standard_normal((a, wanted, d))
                directions = drawn / np.linalg.norm(drawn, axis=2, keepdims=True)
            own["directions"] = as_array_like(np.ascontiguousarray(directions), at.best)
        else:
            rise = at.last_value - own["here"]
            rise = xp.where(xp.isfinite(rise), rise, xp.zeros_like(rise))  # an answer that broke down
            own["slope"] = own["slope"] + rise[:, None] * own["direction"]
        if own["asked"] < wanted:
            own["direction"] = own["directions"][:, own["asked"], :]
            own["asked"] += 1
            q = own["point"] + probe * own["direction"]
        else:
            slope = own["slope"]
            length = xp.sqrt(xp.sum(slope * slope, axis=1, keepdims=True))
            q = own["point"] + step * slope / xp.where(length > 0, length, xp.ones_like(length))
            del own["directions"]
        return q if project is None else project(q)

    return move


def _box(low: Any, high: Any) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.asarray(to_host(low), dtype=float), np.asarray(to_host(high), dtype=float)
    if low.ndim > 1 or high.ndim > 1 or not np.all(np.isfinite(low) & np.isfinite(high) & (low <= high)):
        raise ValueError(f"low={low!r}, high={high!r}: expected finite numbers, low <= high")
    return low, high


def _require_restart(restart: Any) -> None:
    if restart is not None and (
        isinstance(restart, bool) or not isinstance(restart, int | np.integer) or restart < 1
    ):
        raise ValueError(f"restart={restart!r}: expected None or an integer >= 1")


def _require_positive(name: str, value: Any) -> None:
    if not isinstance(value, int | float | np.integer | np.floating) or not 0 < value < math.inf:
        raise ValueError(f"{name}={value!r}: expected a finite number > 0")
