"""All scenarios, and the rules that they have to cover."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

from touchstone.evidence import rules
from touchstone.evidence.calibration import bounds, means, privacy, probability, rates, scaling
from touchstone.evidence.calibration.scenario import Scenario
from touchstone.evidence.rules.base import Rule

SCENARIOS: tuple[Scenario, ...] = (
    *bounds.SCENARIOS,
    *scaling.SCENARIOS,
    *probability.SCENARIOS,
    *means.SCENARIOS,
    *rates.SCENARIOS,
    *privacy.SCENARIOS,
)


def concrete_rules() -> dict[str, type[Rule]]:
    """Every rule that can be made, by name: found by walking the package of rules."""
    found: dict[str, type[Rule]] = {}
    for module in pkgutil.walk_packages(rules.__path__, f"{rules.__name__}."):
        for kind in vars(importlib.import_module(module.name)).values():
            if not (inspect.isclass(kind) and issubclass(kind, Rule)) or inspect.isabstract(kind):
                continue
            if kind.__module__ == module.name:
                found[kind.__name__] = kind
    return found


def uncovered(scenarios: tuple[Scenario, ...] = SCENARIOS) -> list[str]:
    """The rules that lack a scenario with a false alarm, or one with a power, among ``scenarios``."""
    missing = []
    for name, kind in sorted(concrete_rules().items()):
        kinds = {p.kind for s in scenarios if type(s.rule) is kind for p in s.promises}
        missing += [f"{name}: {what}" for what in ("false alarm", "power") if what not in kinds]
    return missing
