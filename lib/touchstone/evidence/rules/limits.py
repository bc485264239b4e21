"""A range with one or two ends, and where an interval lies against it."""

from __future__ import annotations

import math
from typing import Any

from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Outcome, require_number


def require_limits(low: Any, high: Any) -> None:
    """Raise ``ValueError`` unless ``low`` < ``high`` and at least one of them is given."""
    if low is None and high is None:
        raise ValueError("low=None, high=None: expected at least one limit")
    if low is not None:
        require_number("low", low)
    if high is not None:
        require_number("high", high, above=low)


def limits_of(low: float | None, high: float | None) -> tuple[float, float]:
    return (-math.inf if low is None else low, math.inf if high is None else high)


def within(low: float | None, high: float | None) -> str:
    """The limits as a clause."""
    if low is None:
        return f"lies at or below {shown(high)}"
    if high is None:
        return f"lies at or above {shown(low)}"
    return f"lies between {shown(low)} and {shown(high)}"


def beyond(interval: tuple[float, float], low: float | None, high: float | None) -> float:
    """How far the interval reaches past the limits (negative: how far it stays away from the nearest)."""
    over = -math.inf if high is None else interval[1] - high
    under = -math.inf if low is None else low - interval[0]
    return float(max(over, under))


def inside(interval: tuple[float, float], low: float | None, high: float | None) -> Outcome:
    """Whether ``interval`` lies in [low, high] (accepts), beyond it (rejects) or across an end (straddles).

    ``None`` leaves that end open.
    """
    if (low is not None and interval[1] < low) or (high is not None and interval[0] > high):
        return "rejects"
    within = (low is None or interval[0] >= low) and (high is None or interval[1] <= high)
    return "accepts" if within else "straddles"
