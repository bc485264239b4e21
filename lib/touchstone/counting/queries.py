"""Counted access to an oracle: a distance, a membership test, a label, a gradient, a marked item.

The algorithm is handed the wrapped callable and nothing else; what it asks is then counted where it is
asked, not where a formula says so.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from touchstone.arrays import to_host


class QueryBudgetError(RuntimeError):
    """An oracle that was asked more often than its budget allows; the query was not answered."""


class CountedOracle:
    """``f``, counting how often it is asked.

    ``tally[name]`` counts queries and ``tally["calls"]`` counts calls; they differ for batches. What one
    call asks is decided by one of

    - nothing: one query a call;
    - ``point_ndim``: the first argument is a point of that many axes (0 for an index or a number, 1 for a
      vector) or a batch of points on leading axes, one query each; an empty batch asks nothing;
    - ``queries``: a function of the call's arguments that gives the number, such as
      ``lambda X, Y: X.shape[0] * Y.shape[0]`` for all pairs.

    With ``distinct`` the different points are counted too, in ``tally["distinct " + name]`` (a point asked
    twice counts once; 16 bytes of memory each; needs ``point_ndim``). With ``budget`` a call that would
    exceed it raises ``QueryBudgetError`` before ``f`` runs and is not counted. A query counts as soon as it
    is put, also when ``f`` then raises. Calls from several threads are counted exactly.

    Raises ``ValueError`` for contradictory or negative settings, and, when called, for a first argument
    with fewer axes than a point.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        name: str = "queries",
        *,
        point_ndim: int | None = None,
        queries: Callable[..., int] | None = None,
        distinct: bool = False,
        budget: int | None = None,
    ) -> None:
        if not callable(f):
            raise ValueError(f"f={f!r}: expected a callable")
        if not isinstance(name, str) or not name or name == "calls":
            raise ValueError(f"name={name!r}: expected a name other than 'calls'")
        if point_ndim is not None and queries is not None:
            raise ValueError("point_ndim and queries: expected at most one of them")
        if point_ndim is not None and (isinstance(point_ndim, bool) or not point_ndim >= 0):
            raise ValueError(f"point_ndim={point_ndim!r}: expected an integer >= 0")
        if distinct and point_ndim is None:
            raise ValueError("distinct=True: expected point_ndim, which says what one point is")
        if budget is not None and not budget >= 0:
            raise ValueError(f"budget={budget!r}: expected an integer >= 0")
        self.f, self.name, self.budget = f, name, budget
        self.tally: Counter[str] = Counter({name: 0, "calls": 0})
        self._point_ndim, self._queries = point_ndim, queries
        self._seen: set[bytes] | None = set() if distinct else None
        if distinct:
            self.tally[f"distinct {name}"] = 0
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        number = self._number(args, kwargs)
        seen = self._digests(args[0]) if self._seen is not None else ()
        self._count(number, calls=1, seen=seen)
        return self.f(*args, **kwargs)

    def spend(self, queries: int) -> None:
        """Count ``queries`` that are made without a call, such as the steps of a simulated quantum search.

        Raises ``QueryBudgetError`` as a call would, ``ValueError`` unless ``queries`` is an integer >= 0.
        """
        self._count(_checked(queries), calls=0, seen=())

    def reset(self) -> None:
        """Forget everything counted so far."""
        with self._lock:
            for event in self.tally:
                self.tally[event] = 0
            if self._seen is not None:
                self._seen.clear()

    def __live__(self) -> tuple[()]:
        """An oracle stands outside the memory of whoever asks it (see ``space.live_words``)."""
        return ()

    def _number(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
        if self._queries is not None:
            return _checked(self._queries(*args, **kwargs))
        if self._point_ndim is None:
            return 1
        if not args:
            raise ValueError("no positional argument: expected the point, or the batch of points, first")
        shape = np.shape(args[0]) if not hasattr(args[0], "shape") else tuple(args[0].shape)
        if len(shape) < self._point_ndim:
            raise ValueError(f"a point of shape {shape}: expected at least {self._point_ndim} axes")
        number = 1
        for side in shape[: len(shape) - self._point_ndim]:
            number *= int(side)
        return number

    def _digests(self, points: Any) -> list[bytes]:
        host = np.asarray(to_host(points))
        if host.dtype.kind in "fc":
            host = host + 0.0  # minus zero is the same point as zero
        shape = host.shape[host.ndim - self._point_ndim :]
        rows = np.ascontiguousarray(host).reshape(-1, *shape) if host.size else host.reshape(0, *shape)
        return [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows]

    def _count(self, number: int, *, calls: int, seen: Any) -> None:
        with self._lock:
            if self.budget is not None and self.tally[self.name] + number > self.budget:
                raise QueryBudgetError(
                    f"{self.tally[self.name]} + {number} {self.name}: expected at most {self.budget}"
                )
            self.tally[self.name] += number
            self.tally["calls"] += calls
            if self._seen is not None:
                self._seen.update(seen)
                self.tally[f"distinct {self.name}"] = len(self._seen)


def _checked(queries: Any) -> int:
    if isinstance(queries, bool) or not hasattr(queries, "__index__") or queries < 0:
        raise ValueError(f"queries={queries!r}: expected an integer >= 0")
    return int(queries)
