"""What every rule is: a frozen statement of what would be accepted, made before anything is measured."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from touchstone.arrays import to_host
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.series import Series

Outcome = Literal["accepts", "rejects", "straddles"]


@dataclass(frozen=True)
class Judgement:
    """What a rule makes of one measurement.

    ``outcome`` is ``"accepts"``, ``"rejects"`` or ``"straddles"`` (the interval holds the limit, so the
    measurement does not decide). ``numbers`` are the figures it rests on, ``interval`` the confidence
    interval if there is one, ``limit`` what they were held against, ``sentence`` all of it in words. A rule
    made of rules keeps theirs in ``parts``.
    """

    outcome: Outcome
    numbers: Mapping[str, Any]
    limit: Any
    sentence: str
    interval: tuple[float, float] | None = None
    parts: Mapping[str, Judgement] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Rule(ABC):
    """A decision rule: parameters and the reason ``why`` they are what they are.

    ``judge`` raises ``MeasurementError`` for a measurement that it cannot judge.
    """

    why: str

    def __post_init__(self) -> None:
        if not (isinstance(self.why, str) and self.why.strip()):
            raise ValueError(f"why={self.why!r}: expected the reason for this limit, in words")

    @property
    @abstractmethod
    def says(self) -> str:
        """The rule as one readable clause."""

    @abstractmethod
    def judge(self, measurement: Any) -> Judgement:
        """Accept, reject, or say that the measurement does not decide."""

    @property
    def name(self) -> str:
        return type(self).__name__

    def parameters(self) -> dict[str, Any]:
        """Every setting but the reason, for the ledger."""
        fields = (f.name for f in dataclasses.fields(self) if f.name != "why")
        return {name: getattr(self, name) for name in fields}

    def described(self) -> dict[str, Any]:
        """Name, statement, reason and settings, for the ledger."""
        return {"name": self.name, "says": self.says, "why": self.why, "parameters": self.parameters()}

    def triviality(self, measurement: Any) -> str | None:
        """Why rejecting ``measurement`` would prove nothing about the rule, or ``None``.

        A control that measured the same real number everywhere has most likely measured nothing. Whole
        numbers may well agree by themselves (a degree that is two too low at every size). A rule whose
        measurement is no array of numbers says in ``values`` what ought to vary, or is never trivial.
        """
        try:
            if (
                isinstance(measurement, list | tuple | np.ndarray)
                and np.asarray(measurement).dtype.kind in "iu"
            ):
                return None
            values = self.values(measurement)
        except MeasurementError:
            return None
        if values.size >= 2 and np.all(values == values.flat[0]):
            return f"all {values.size} measured values equal {values.flat[0]:.6g}"
        return None

    def values(self, measurement: Any) -> np.ndarray:
        """The measured numbers that ought to vary."""
        return finite_values(measurement)


def _whole_numbers(measurement: Any) -> bool:
    plain = isinstance(measurement, list | tuple | np.ndarray)
    return plain and np.asarray(measurement).dtype.kind in "iu"


def finite_values(measurement: Any, name: str = "measurement") -> np.ndarray:
    """``measurement`` as a float64 array of at least one finite entry. Raises ``MeasurementError``."""
    try:
        values = np.asarray(to_host(measurement))
    except (TypeError, ValueError) as error:
        raise MeasurementError(f"{name}: expected numbers ({error})") from None
    if values.dtype.kind not in "iuf":
        kind = type(measurement).__name__ if values.dtype.kind == "O" else values.dtype
        raise MeasurementError(f"{name}: expected real numbers, got {kind}")
    if values.size == 0:
        raise MeasurementError(f"{name}: expected at least one number, got none")
    values = values.astype(np.float64)
    if not np.all(np.isfinite(values)):
        bad = values[~np.isfinite(values)]
        raise MeasurementError(
            f"{name}: expected finite numbers, got {bad.flat[0]} in {bad.size} of {values.size}"
        )
    return values


def series(measurement: Any, min_sizes: int, min_decades: float) -> Series:
    """``measurement`` if it is a ``Series`` long enough to speak of a slope. Raises ``MeasurementError``."""
    if not isinstance(measurement, Series):
        raise MeasurementError(f"measurement: expected a Series, got {type(measurement).__name__}")
    if len(measurement) < min_sizes:
        raise MeasurementError(f"{len(measurement)} sizes: expected at least {min_sizes}")
    if measurement.decades < min_decades * (1 - 1e-12):
        raise MeasurementError(
            f"sizes over {measurement.decades:.2f} decades: expected at least {min_decades:g}"
        )
    return measurement


def require_number(name: str, value: Any, *, least: float = -math.inf, above: float | None = None) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite real number, at least ``least``, beyond ``above``."""
    wanted = f"> {above:g}" if above is not None else f">= {least:g}" if math.isfinite(least) else ""
    real = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not real or not math.isfinite(value) or value < least or (above is not None and value <= above):
        raise ValueError(f"{name}={value!r}: expected a finite number {wanted}".rstrip())


def require_confidence(conf: Any) -> None:
    require_number("conf", conf, above=0)
    if conf >= 1:
        raise ValueError(f"conf={conf!r}: expected a number below 1")


def require_grid(min_sizes: Any, min_decades: Any) -> None:
    if not isinstance(min_sizes, int) or isinstance(min_sizes, bool) or min_sizes < 3:
        raise ValueError(f"min_sizes={min_sizes!r}: expected an integer >= 3")
    require_number("min_decades", min_decades, above=0)
