"""Privacy: what an audit proves about ε (or μ) against what is claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from touchstone.evidence.audit import Audit, GaussianAudit
from touchstone.evidence.errors import MeasurementError
from touchstone.evidence.numbers import shown
from touchstone.evidence.rules.base import Judgement, Rule, require_confidence, require_number


@dataclass(frozen=True)
class EpsilonAtMost(Rule):
    """No audit proves more than ``eps`` at ``delta``.

    The measurement is an ``Audit``, or a sequence or mapping of them, one for each pair of neighbours; all
    at this ``delta``, and at confidences that add up: Σ (1 − conf of the audit) <= 1 − ``conf``, so k pairs
    are audited at 1 − (1 − conf)/k each. An audit whose runs could not have proved more than ``eps`` is a
    ``MeasurementError``: it could not fail. Accepting is no proof of privacy; it says that the audit, which
    catches the control, finds nothing here.

    A private mechanism is rejected with probability at most 1 − ``conf``. For a claim of ε = 1, noise at
    half its scale (or a sensitivity understated by 2) is rejected with probability >= 99 %: Laplace from
    2 000 runs a side, Gaussian calibrated exactly at δ = 10⁻⁵ from 150 000; the same
    Gaussian (σ = 3.7 shifts) truncated at 2σ and claimed as pure from 20 000.
    """

    eps: float
    delta: float
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("eps", self.eps, least=0)
        require_number("delta", self.delta, least=0)
        if self.delta >= 1:
            raise ValueError(f"delta={self.delta!r}: expected a number below 1")
        require_confidence(self.conf)

    @property
    def says(self) -> str:
        return (
            f"no audit proves ε > {shown(self.eps)} at δ = {shown(self.delta)} "
            f"with {shown(100 * self.conf)} % confidence"
        )

    def judge(self, measurement: Any) -> Judgement:
        audits = _audits(measurement, Audit, self.conf)
        for label, audit in audits.items():
            if audit.delta != self.delta:
                raise MeasurementError(
                    f"audit {label}: made at delta={audit.delta!r}, expected {self.delta!r}"
                )
            _require_able(label, audit.eps_ceiling, self.eps, "eps")
        return _judged(audits, "eps_lower", "ε", self.eps)

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # without noise every pair is told apart in every run: the same bound for all, rightly

    def values(self, measurement: Any) -> np.ndarray:
        return np.asarray([audit.eps_lower for audit in _audits(measurement, Audit, self.conf).values()])


@dataclass(frozen=True)
class MuAtMost(Rule):
    """No audit proves more than ``mu`` of Gaussian differential privacy.

    The measurement is a ``GaussianAudit``, or a sequence or mapping of them, under the same conditions as
    for ``EpsilonAtMost``. A μ-private mechanism is rejected with probability at most 1 − ``conf``, whatever
    its noise. Gaussian noise at half its scale is rejected with probability >= 99 % from 8 000 runs a side
    at μ = 0.27 (ε = 1, δ = 10⁻⁵) and from 1 000 at μ = 1.
    """

    mu: float
    conf: float = 0.99

    def __post_init__(self) -> None:
        super().__post_init__()
        require_number("mu", self.mu, least=0)
        require_confidence(self.conf)

    @property
    def says(self) -> str:
        return f"no audit proves μ > {shown(self.mu)} with {shown(100 * self.conf)} % confidence"

    def judge(self, measurement: Any) -> Judgement:
        audits = _audits(measurement, GaussianAudit, self.conf)
        for label, audit in audits.items():
            _require_able(label, audit.mu_ceiling, self.mu, "mu")
        return _judged(audits, "mu_lower", "μ", self.mu)

    def triviality(self, measurement: Any) -> str | None:  # noqa: ARG002
        return None  # as for EpsilonAtMost

    def values(self, measurement: Any) -> np.ndarray:
        return np.asarray([a.mu_lower for a in _audits(measurement, GaussianAudit, self.conf).values()])


def _audits(measurement: Any, kind: type, conf: float) -> dict[str, Any]:
    """The audits by label. Raises ``MeasurementError`` unless together they keep the confidence ``conf``."""
    if isinstance(measurement, kind):
        audits = {"1": measurement}
    elif isinstance(measurement, Mapping):
        audits = {str(label): audit for label, audit in measurement.items()}
    elif isinstance(measurement, Sequence) and not isinstance(measurement, str | bytes):
        audits = {str(at): audit for at, audit in enumerate(measurement, start=1)}
    else:
        raise MeasurementError(f"measurement: expected {kind.__name__}, got {type(measurement).__name__}")
    if not audits:
        raise MeasurementError(f"measurement: expected at least one {kind.__name__}, got none")
    for label, audit in audits.items():
        if not isinstance(audit, kind):
            raise MeasurementError(f"audit {label}: expected {kind.__name__}, got {type(audit).__name__}")
    doubt = sum(1 - audit.conf for audit in audits.values())
    if doubt > (1 - conf) * (1 + 1e-9):
        raise MeasurementError(
            f"{len(audits)} audits whose doubts add up to {doubt:.4g}: expected at most {1 - conf:.4g}; "
            f"run each with conf={1 - (1 - conf) / len(audits):.6g}"
        )
    return audits


def _require_able(label: str, ceiling: float, claim: float, name: str) -> None:
    if not ceiling > claim:
        raise MeasurementError(
            f"audit {label}: its runs could prove {name} up to {ceiling:.4g}, not beyond the claim "
            f"{claim:.4g}; expected more runs"
        )


def _judged(audits: Mapping[str, Any], bound: str, symbol: str, limit: float) -> Judgement:
    worst, audit = max(audits.items(), key=lambda item: getattr(item[1], bound))
    proved, found = getattr(audit, bound), audit.certificate
    numbers: dict[str, Any] = {
        bound: proved,
        "hits": list(found.hits),
        "runs": list(found.runs),
        "event": str(found.event),
    }
    if len(audits) > 1:
        numbers |= {"audits": len(audits), "worst_at": worst}
    return Judgement(
        "accepts" if proved <= limit else "rejects",
        numbers,
        limit,
        f"the audit proves {symbol} ≥ {shown(proved)} (claim {shown(limit)})",
    )
