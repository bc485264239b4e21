"""Wall clocks: drawn beside the counts, never part of a decision."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class WallClock:
    """Seconds of repeated runs: the median, the quickest, and all of them in order."""

    median: float
    best: float
    runs: tuple[float, ...]


def wall_clock(run: Callable[[], Any], *, repeats: int = 3, warm_up: int = 1) -> WallClock:
    """Time ``run()``: ``warm_up`` runs that do not count, then ``repeats`` that do.

    On a GPU ``run`` must wait for its own result (bring one number to the host). Raises ``ValueError`` for
    ``repeats`` < 1 or ``warm_up`` < 0.
    """
    if repeats < 1:
        raise ValueError(f"repeats={repeats!r}: expected an integer >= 1")
    if warm_up < 0:
        raise ValueError(f"warm_up={warm_up!r}: expected an integer >= 0")
    for _ in range(warm_up):
        run()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return WallClock(statistics.median(seconds), min(seconds), tuple(seconds))
