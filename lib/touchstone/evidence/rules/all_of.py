"""Several rules that must hold together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.rules.base import Judgement, Outcome, Rule


@dataclass(frozen=True)
class AllOf(Rule):
    """Accepts when every part accepts, rejects when any part rejects, straddles otherwise.

    ``rules`` maps a name to a rule; the measurement maps the same names to what each is to judge. ``why`` may
    be left out: every part has its own. A false alarm of any part is one of the whole, so the parts' rates
    add (two parts at 0.5 % stay within 1 %); the power is at least that of the best part.
    """

    rules: Mapping[str, Rule]
    why: str = field(default="every part has to hold", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.rules, Mapping) or not self.rules:
            raise ValueError(f"rules={self.rules!r}: expected a mapping of names to at least one rule")
        for name, rule in self.rules.items():
            if not isinstance(name, str) or not name:
                raise ValueError(f"rules[{name!r}]: expected a name in words")
            if not isinstance(rule, Rule):
                raise ValueError(f"rules[{name!r}]={rule!r}: expected a rule")
        object.__setattr__(self, "rules", MappingProxyType(dict(self.rules)))

    @property
    def says(self) -> str:
        return "; ".join(f"{name}: {rule.says}" for name, rule in self.rules.items())

    def parameters(self) -> dict[str, Any]:
        return {name: rule.described() for name, rule in self.rules.items()}

    def judge(self, measurement: Any) -> Judgement:
        self._require_parts(measurement)
        parts = {}
        for name, rule in self.rules.items():
            try:
                parts[name] = rule.judge(measurement[name])
            except MeasurementError as error:
                raise MeasurementError(f"{name}: {error}") from error
        outcomes = [part.outcome for part in parts.values()]
        outcome: Outcome = "straddles"
        if "rejects" in outcomes:
            outcome = "rejects"
        elif all(each == "accepts" for each in outcomes):
            outcome = "accepts"
        return Judgement(
            outcome,
            {name: {"outcome": part.outcome, **part.numbers} for name, part in parts.items()},
            {name: part.limit for name, part in parts.items()},
            # the parts that decided; the others stand in the numbers
            "; ".join(f"{name}: {part.sentence}" for name, part in parts.items() if part.outcome == outcome),
            parts=parts,
        )

    def triviality(self, measurement: Any) -> str | None:
        """Trivial only if every part that rejects does so on a measurement that does not vary."""
        self._require_parts(measurement)
        reasons = []
        for name, rule in self.rules.items():
            if rule.judge(measurement[name]).outcome == "rejects":
                reason = rule.triviality(measurement[name])
                if reason is None:
                    return None
                reasons.append(f"{name}: {reason}")
        return "; ".join(reasons) or None

    def _require_parts(self, measurement: Any) -> None:
        if not isinstance(measurement, Mapping):
            raise MeasurementError(
                f"measurement: expected a mapping with {list(self.rules)}, got {type(measurement).__name__}"
            )
        if set(measurement) != set(self.rules):
            raise MeasurementError(f"measurement with {list(measurement)}: expected {list(self.rules)}")
