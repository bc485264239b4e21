"""Bounds: what was measured over what the bound allows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, finite_values, require_number
from touchstone.evidence.rules.limits import limits_of, require_limits, within


@dataclass(frozen=True)
class Ratios:
    """Measured over bound, with what rounding may add to each: a number, or an array that broadcasts.

    Use it where the allowance differs from entry to entry (a rounding error over a bound that shrinks).
    """

    values: Any
    roundoff: Any = 0.0


@dataclass(frozen=True)
class RatioAtMost(Rule):
    """Every measured ratio is at most ``limit``, plus ``roundoff``.

    The measurement is a ratio, an array of them, a mapping of labels to either, or ``Ratios``; entries are
    not negative. No chance enters for one trial: a bound that holds is never rejected while rounding stays
    below the allowance. Over N independent trials a bound that fails with probability q a trial is rejected
    with probability 1 - (1 - q)^N: at least 99 % from q = 1 - 0.01^(1/N) on (q = 0.21 for N = 20).
    """

    limit: float = 1.0
    roundoff: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("limit", self.limit, above=0)
        require_number("roundoff", self.roundoff, least=0)

    @property
    def says(self) -> str:
        allowance = f" (and {shown(self.roundoff)} for rounding)" if self.roundoff else ""
        return f"every ratio of measured to bound is at most {shown(self.limit)}{allowance}"

    def judge(self, measurement: Any) -> Judgement:
        ratios, allowance, labels = _ratios(measurement)
        if np.any(ratios < 0):
            raise MeasurementError(f"ratio {ratios.min():.4g}: expected numbers >= 0")
        allowance = allowance + self.roundoff
        if np.any(allowance >= self.limit):
            raise MeasurementError(
                f"round-off allowance {allowance.max():.4g}: expected less than the limit {self.limit:g}, "
                "or the rule tests rounding and not the bound"
            )
        worst = int(np.argmax(ratios - allowance))
        largest = float(ratios[worst])
        numbers: dict[str, Any] = {"largest_ratio": largest, "ratios": ratios.size}
        if np.any(allowance > 0):
            numbers["roundoff_allowed"] = float(allowance[worst])
        if labels is not None:
            numbers["worst_at"] = labels[worst]
        accepted = bool(np.all(ratios <= self.limit + allowance))
        return Judgement(
            "accepts" if accepted else "rejects",
            numbers,
            self.limit,
            f"{_named('largest', ratios)} is {shown(largest)} (limit {shown(self.limit)})",
        )

    def values(self, measurement: Any) -> np.ndarray:
        return _ratios(measurement)[0]


@dataclass(frozen=True)
class RatioWithin(Rule):
    """Every measured ratio lies in [``low``, ``high``]: the bound holds and its constant is sharp.

    An end that is ``None`` is open: ``RatioWithin(low=0.9)`` is for what has to be at least that much.
    Measurements as for ``RatioAtMost``, of either sign. No chance enters: a ratio inside is never rejected
    and one outside by more than the rounding always is; over N trials the power is that of ``RatioAtMost``
    (at least 99 % from a failing share of 0.21 on for N = 20).
    """

    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_limits(self.low, self.high)

    @property
    def says(self) -> str:
        return f"every ratio {within(self.low, self.high)}"

    def judge(self, measurement: Any) -> Judgement:
        ratios, allowance, labels = _ratios(measurement)
        low, high = limits_of(self.low, self.high)
        # with an open end the allowance is held against the limit itself, as in RatioAtMost
        room = (high - low) / 2 if math.isfinite(high - low) else abs(low if self.high is None else high)
        if room > 0 and np.any(allowance >= room):
            raise MeasurementError(
                f"round-off allowance {allowance.max():.4g}: expected less than {room:g}, or the rule tests "
                f"rounding and not whether a ratio {within(self.low, self.high)}"
            )
        least, largest = float(ratios.min()), float(ratios.max())
        numbers: dict[str, Any] = {"least_ratio": least, "largest_ratio": largest, "ratios": ratios.size}
        outside = np.maximum(ratios - high, low - ratios) - allowance
        if labels is not None:
            numbers["worst_at"] = labels[int(np.argmax(outside))]
        spread = f"{shown(least)} to {shown(largest)}" if ratios.size > 1 else shown(largest)
        both = self.low is not None and self.high is not None
        limit = f"limits {shown(low)} to {shown(high)}" if both else f"limit: {within(self.low, self.high)}"
        return Judgement(
            "accepts" if np.all(outside <= 0) else "rejects",
            numbers,
            (low, high),
            f"{'the ratios are' if ratios.size > 1 else 'the ratio is'} {spread} ({limit})",
        )

    def values(self, measurement: Any) -> np.ndarray:
        return _ratios(measurement)[0]


def _ratios(measurement: Any) -> tuple[np.ndarray, np.ndarray, list[str] | None]:
    """The ratios in a row, what rounding may add to each, and their labels if they came with any."""
    if isinstance(measurement, Mapping):
        if not measurement:
            raise MeasurementError("measurement: expected at least one ratio, got an empty mapping")
        parts = {str(label): _ratios(part) for label, part in measurement.items()}
        labels = [label for label, part in parts.items() for _ in range(part[0].size)]
        values, allowances = zip(*((part[0], part[1]) for part in parts.values()), strict=True)
        return np.concatenate(values), np.concatenate(allowances), labels
    roundoff: Any = 0.0
    if isinstance(measurement, Ratios):
        measurement, roundoff = measurement.values, measurement.roundoff
    ratios = finite_values(measurement, "ratios")
    allowance = finite_values(roundoff, "roundoff")
    if np.any(allowance < 0):
        raise MeasurementError(f"roundoff {allowance.min():.4g}: expected numbers >= 0")
    try:
        allowance = np.broadcast_to(allowance, ratios.shape)
    except ValueError:
        raise MeasurementError(
            f"roundoff of shape {allowance.shape}: expected one that broadcasts to {ratios.shape}"
        ) from None
    return ratios.ravel(), allowance.ravel(), None


def _named(which: str, ratios: np.ndarray) -> str:
    return f"the {which} of {ratios.size} ratios" if ratios.size > 1 else "the ratio"
