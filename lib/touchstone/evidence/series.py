"""A measured quantity along a grid of sizes, kept by its logarithms so that no size overflows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from touchstone.arrays import to_host
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import log_of


class Series:
    """Positive values ``y`` at strictly increasing positive ``x``.

    Both may be floats, fractions or Python integers of any size (``n = 2**10240``): the logarithms are taken
    of the numbers as given. ``x`` and ``y`` keep those numbers as tuples, ``log_x`` and ``log_y`` are
    float64 arrays. Raises ``MeasurementError`` for values that are empty, not positive, not finite, not
    increasing in ``x``, or of different lengths.
    """

    __slots__ = ("log_x", "log_y", "x", "y")

    def __init__(self, x: Iterable[Any], y: Iterable[Any]) -> None:
        self.x = _numbers("x", x)
        self.y = _numbers("y", y)
        if len(self.x) != len(self.y):
            raise MeasurementError(f"x and y of lengths {len(self.x)} and {len(self.y)}: expected the same")
        if not self.x:
            raise MeasurementError("x=(): expected at least one size")
        self.log_x = logs("x", self.x)
        self.log_y = logs("y", self.y)
        if not np.all(np.diff(self.log_x) > 0):
            at = int(np.argmin(np.diff(self.log_x) > 0))
            raise MeasurementError(
                f"x[{at + 1}]: expected sizes that strictly increase, got one that does not"
            )

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Series({len(self)} sizes over {self.decades:.2f} decades)"

    @property
    def decades(self) -> float:
        """Powers of ten between the first and the last size."""
        return float(self.log_x[-1] - self.log_x[0]) / math.log(10)

    def starting_at(self, start: Any) -> Series:
        """The part with ``x >= start``. Raises ``MeasurementError`` when nothing is left."""
        kept = [i for i, x in enumerate(self.x) if x >= start]
        return Series([self.x[i] for i in kept], [self.y[i] for i in kept])

    def in_base(self, base: float) -> tuple[np.ndarray, np.ndarray]:
        """``log_x`` and ``log_y`` in another base, for axes whose numbers no float holds."""
        return self.log_x / math.log(base), self.log_y / math.log(base)


def _numbers(name: str, values: Iterable[Any]) -> tuple[Any, ...]:
    ndim = getattr(values, "ndim", 1)
    if isinstance(values, str | bytes | dict) or not hasattr(values, "__iter__") or ndim != 1:
        raise MeasurementError(f"{name}: expected a sequence of numbers, got {type(values).__name__}")
    return tuple(to_host(values).tolist() if hasattr(values, "__array_namespace__") else values)


def logs(name: str, values: Iterable[Any]) -> np.ndarray:
    """Natural logarithms of positive numbers of any size, as float64. Raises ``MeasurementError``."""
    out = []
    for i, value in enumerate(values):
        try:
            out.append(log_of(value))
        except (TypeError, ValueError) as error:
            raise MeasurementError(f"{name}[{i}]={error}") from None
    return np.asarray(out, dtype=np.float64)
