"""Probability claims: how often something fails, by exact binomial bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.arrays import to_host
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.proportions import (
    clopper_pearson,
    least_trials_to_certify,
    least_trials_to_exceed,
    power_of_excess,
)
from touchstone.evidence.rules.base import Judgement, Outcome, Rule, require_confidence, require_number
from touchstone.evidence.rules.cells import at, cells, combined, shared_confidence


@dataclass(frozen=True)
class Trials:
    """``failures`` among a number of independent ``trials``."""

    failures: int
    trials: int


@dataclass(frozen=True)
class FailureRateAtMost(Rule):
    """The probability of failure is at most ``delta``, by one-sided Clopper–Pearson bounds.

    The measurement is ``Trials``, an array of booleans (True where a trial failed), or a mapping of labels to
    either; then every cell has to hold.

    ``certify=False`` asks that the claim be *not refuted*: a lower end above ``delta`` rejects, anything else
    accepts. A probability of ``delta`` or less is rejected in at most 1 % of the runs (``conf`` = 0.99,
    shared between the cells). So that accepting means something, the trials must suffice to reject the
    probability ``detects`` with a power of 99 %; fewer are a ``MeasurementError``. It is half-way between
    ``delta`` and certain failure unless it is given.

    ``certify=True`` asks for proof: an upper end at or below ``delta`` accepts, a lower end above it rejects,
    anything else straddles. A probability above ``delta`` is accepted in at most 1 % of the runs. Fewer
    trials than could accept without one failure (44 for ``delta`` = 0.1) are a ``MeasurementError``.

    Source: C. J. Clopper, E. S. Pearson, *The use of confidence or fiducial limits* (1934).
    """

    delta: float
    certify: bool = False
    detects: float | None = None
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_confidence(self.conf)
        _require_probability("delta", self.delta)
        if self.detects is not None:
            require_number("detects", self.detects, above=self.delta)
            if self.detects > 1:
                raise ValueError(f"detects={self.detects!r}: expected a probability")
            if self.certify:
                raise ValueError(
                    f"detects={self.detects!r}: expected None, as certify=True accepts only proof"
                )

    @property
    def effect(self) -> float:
        """The probability of failure that is rejected with a power of 99 %."""
        return (1.0 + self.delta) / 2 if self.detects is None else self.detects

    @property
    def says(self) -> str:
        end = "upper" if self.certify else "lower"
        return (
            f"the one-sided {100 * self.conf:g} % {end} end of the failure rate is at most "
            f"{shown(self.delta)}"
        )

    def judge(self, measurement: Any) -> Judgement:
        parts = cells(measurement, _trials)
        shared = shared_confidence(self.conf, len(parts))
        for label, part in parts.items():
            self._require_enough(label, part, shared)
        ends: dict[str, tuple[float, float]] = {}
        outcomes: dict[str, Outcome] = {}
        for label, part in parts.items():
            lower = clopper_pearson(part.failures, part.trials, shared, "lower")[0]
            upper = clopper_pearson(part.failures, part.trials, self.conf, "upper")[1]
            ends[label] = lower, upper
            accepted = (upper if self.certify else lower) <= self.delta
            outcomes[label] = "accepts" if accepted else "rejects" if lower > self.delta else "straddles"
        worst = max(parts, key=lambda label: (ends[label][self.certify], _rate(parts[label])))
        numbers = _numbers(parts, worst, ends[worst])
        if not self.certify:
            numbers["detects"] = self.effect
        decisive = (
            f"upper end {shown(ends[worst][1])}" if self.certify else f"lower end {shown(ends[worst][0])}"
        )
        return Judgement(
            combined(outcomes.values()),
            numbers,
            self.delta,
            f"{_counted(parts, worst)}, {decisive} (limit {shown(self.delta)})",
            ends[worst],
        )

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # a control may well fail in every trial

    def _require_enough(self, label: str, part: Trials, conf: float) -> None:
        where = f"{label}: " if label else ""
        if self.certify:
            least = least_trials_to_certify(self.delta, self.conf)
            if part.trials < least:
                raise MeasurementError(
                    f"{where}{part.trials} trials: expected at least {least}, or no result could certify a "
                    f"rate of {self.delta:g}"
                )
        elif power_of_excess(part.trials, self.delta, self.effect, conf) < 0.99:
            least = least_trials_to_exceed(self.delta, self.effect, conf)
            raise MeasurementError(
                f"{where}{part.trials} trials: expected at least {least}, or a failure rate of "
                f"{self.effect:g} would not be told from {self.delta:g} with a power of 99 %"
            )


@dataclass(frozen=True)
class FailureRateAtLeast(Rule):
    """The probability of failure exceeds ``delta``: what a lower bound says of too small a sketch or sample.

    Measurements as for ``FailureRateAtMost``. A lower end above ``delta`` accepts in that cell, an upper end
    below it rejects, anything else straddles. A probability of ``delta`` or less is accepted in at most 1 %
    of the runs, a larger one rejected in at most 1 %. With 200 trials and ``delta`` = 0.1 a rate of 0.22 is
    accepted, and one of 0.02 rejected, with probability above 99 %. Fewer trials than could go either way are
    a ``MeasurementError``.
    """

    delta: float
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_confidence(self.conf)
        _require_probability("delta", self.delta)

    @property
    def says(self) -> str:
        return (
            f"the one-sided {100 * self.conf:g} % lower end of the failure rate is above {shown(self.delta)}"
        )

    def judge(self, measurement: Any) -> Judgement:
        parts = cells(measurement, _trials)
        shared = shared_confidence(self.conf, len(parts))
        least = max(
            least_trials_to_certify(self.delta, shared), least_trials_to_certify(1 - self.delta, self.conf)
        )
        ends: dict[str, tuple[float, float]] = {}
        outcomes: dict[str, Outcome] = {}
        for label, part in parts.items():
            if part.trials < least:
                where = f"{label}: " if label else ""
                raise MeasurementError(
                    f"{where}{part.trials} trials: expected at least {least} to put a rate above or below "
                    f"{self.delta:g}"
                )
            lower = clopper_pearson(part.failures, part.trials, self.conf, "lower")[0]
            upper = clopper_pearson(part.failures, part.trials, shared, "upper")[1]
            ends[label] = lower, upper
            outcomes[label] = (
                "accepts" if lower > self.delta else "rejects" if upper < self.delta else "straddles"
            )
        worst = min(parts, key=lambda label: (ends[label][0], _rate(parts[label])))
        return Judgement(
            combined(outcomes.values()),
            _numbers(parts, worst, ends[worst]),
            self.delta,
            f"{_counted(parts, worst)}, lower end {shown(ends[worst][0])} (limit {shown(self.delta)})",
            ends[worst],
        )

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # a sound control never fails


def _trials(measurement: Any) -> Trials:
    if isinstance(measurement, Trials):
        failures, trials = measurement.failures, measurement.trials
        for name, value in (("failures", failures), ("trials", trials)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                raise MeasurementError(f"{name}={value!r}: expected an integer")
        if trials < 1 or not 0 <= failures <= trials:
            raise MeasurementError(
                f"{failures} failures of {trials} trials: expected 0 to trials, at least one"
            )
        return Trials(int(failures), int(trials))
    if isinstance(measurement, Mapping | str) or measurement is None:
        raise MeasurementError(f"measurement: expected Trials or booleans, got {type(measurement).__name__}")
    failed = np.asarray(to_host(measurement))
    if failed.dtype.kind != "b" or failed.size == 0:
        raise MeasurementError(
            f"measurement: expected Trials, or booleans that say which trials failed, got {failed.size} "
            f"entries of dtype {failed.dtype}"
        )
    return Trials(int(np.sum(failed)), failed.size)


def _rate(part: Trials) -> float:
    return part.failures / part.trials


def _numbers(parts: dict[str, Trials], worst: str, ends: tuple[float, float]) -> dict[str, Any]:
    part = parts[worst]
    numbers: dict[str, Any] = {
        "failures": part.failures,
        "trials": part.trials,
        "rate": _rate(part),
        "lower_end": ends[0],
        "upper_end": ends[1],
    }
    if len(parts) > 1:
        numbers |= {"cells": len(parts), "worst_at": worst}
        numbers["largest_rate"] = max(_rate(each) for each in parts.values())
    return numbers


def _counted(parts: dict[str, Trials], worst: str) -> str:
    part = parts[worst]
    return f"{part.failures} of {part.trials} trials fail{at(worst)}"


def _require_probability(name: str, value: Any) -> None:
    require_number(name, value, above=0)
    if value >= 1:
        raise ValueError(f"{name}={value!r}: expected a probability between 0 and 1")
