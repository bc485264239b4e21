"""Order of convergence: how the next error follows from the last."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.convergence import Order, order_of_convergence
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, require_confidence, require_number
from touchstone.evidence.rules.limits import inside


@dataclass(frozen=True)
class OrderAtLeast(Rule):
    """Errors shrink as e_{k+1} ≈ C e_k^q with a q of at least ``order``.

    The measurement is a run of errors (distances to the solution, that of the start first) or a list of runs,
    which share q and have their own C: see ``order_of_convergence``. ``below`` is where the law is said to
    begin, ``scale`` the size of the solution, from which the floor of rounding follows unless ``floor`` is
    given. The interval of q (``conf``) decides: a lower end at or above ``order`` accepts, an upper end below
    it rejects, anything else straddles. One run of a fast method has too few errors before rounding ends it:
    use five or more starts.

    For an order a little below the theorem's (1.8 for quadratic, because the law is asymptotic) and five runs
    whose errors follow it within 10 %, quadratic convergence from 10⁻¹ is rejected in fewer than 1 % and
    accepted in more than 99 % of the runs, linear convergence the reverse.
    """

    order: float
    below: float = math.inf
    floor: float | None = None
    scale: float = 1.0
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("order", self.order, above=0)
        require_confidence(self.conf)
        if not self.below > 0:
            raise ValueError(f"below={self.below!r}: expected a positive number")
        if self.floor is not None:
            require_number("floor", self.floor, above=0)
        require_number("scale", self.scale, above=0)

    @property
    def says(self) -> str:
        where = f", from errors of {shown(self.below)} on" if math.isfinite(self.below) else ""
        return (
            f"the lower end of the {100 * self.conf:g} % interval of the order of convergence is at least "
            f"{shown(self.order)}{where}"
        )

    def judge(self, measurement: Any) -> Judgement:
        found = self._order(measurement)
        low, high = found.interval
        return Judgement(
            inside(found.interval, self.order, None),
            {
                "order": found.order,
                "robust": found.robust,
                "constant": found.constant,
                "pairs": found.pairs,
            },
            self.order,
            f"the order is {shown(found.order)}, between {shown(low)} and {shown(high)} (limit "
            f"{shown(self.order)})",
            found.interval,
        )

    def values(self, measurement: Any) -> np.ndarray:
        return np.array([self._order(measurement).order])

    def _order(self, measurement: Any) -> Order:
        try:
            return order_of_convergence(
                measurement, conf=self.conf, below=self.below, floor=self.floor, scale=self.scale
            )
        except MeasurementError:
            raise
        except (TypeError, ValueError) as error:  # the settings were checked before: it is the errors
            raise MeasurementError(
                f"measurement: expected errors, or a list of runs of them ({error})"
            ) from None
