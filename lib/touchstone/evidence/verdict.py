"""Verdicts: computed from what the rule made of the claim and of its controls, and shown where they stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from touchstone.evidence import display
from touchstone.evidence.rules.base import Judgement, Outcome, Rule

Word = Literal["supported", "refuted", "inconclusive", "out_of_reach"]

VACUOUS = "vacuous at this size: the trivial answer meets the bound too"


@dataclass(frozen=True)
class Side:
    """One thing measured under a check: the claim, a control, or the trivial answer."""

    name: str
    measurement: Any
    judgement: Judgement


@dataclass(frozen=True, repr=False)
class Verdict:
    """The outcome of one check.

    ``verdict`` is the word; ``claim`` the measurement itself, ``controls`` those of the controls by name,
    ``numbers`` what the rule read off the claim, ``judgement`` and ``control_judgements`` all that it said.
    In Jupyter it shows as a badge, printed as four lines of text.
    """

    id: str
    kind: str
    says: str
    source: str
    read_in: str
    verdict: Word
    sentence: str
    rule: Rule | None = None
    sizes: Mapping[str, Any] = field(default_factory=dict)
    claim_side: Side | None = None
    control_sides: tuple[Side, ...] = ()
    trivial_side: Side | None = None
    reason: str | None = None
    seen: str | None = None
    caveats: tuple[str, ...] = ()

    @property
    def claim(self) -> Any:
        return None if self.claim_side is None else self.claim_side.measurement

    @property
    def judgement(self) -> Judgement | None:
        return None if self.claim_side is None else self.claim_side.judgement

    @property
    def numbers(self) -> Mapping[str, Any]:
        return {} if self.judgement is None else self.judgement.numbers

    @property
    def controls(self) -> dict[str, Any]:
        return {side.name: side.measurement for side in self.control_sides}

    @property
    def control_judgements(self) -> dict[str, Judgement]:
        return {side.name: side.judgement for side in self.control_sides}

    @property
    def trivial(self) -> Any:
        return None if self.trivial_side is None else self.trivial_side.measurement

    @property
    def vacuous(self) -> bool:
        """Whether the trivial answer passes too."""
        return self.trivial_side is not None and self.trivial_side.judgement.outcome == "accepts"

    def entry(self) -> dict[str, Any]:
        """This check as the ledger holds it."""
        judgement = self.judgement
        trivial = self.trivial_side
        return {
            "id": self.id,
            "kind": self.kind,
            "says": self.says,
            "source": self.source,
            "read_in": self.read_in,
            "rule": None if self.rule is None else self.rule.described(),
            "sizes": self.sizes,
            "numbers": self.numbers,
            "interval": None if judgement is None or judgement.interval is None else list(judgement.interval),
            "limit": None if judgement is None else judgement.limit,
            "control": [
                {
                    "name": side.name,
                    "numbers": side.judgement.numbers,
                    "interval": None if side.judgement.interval is None else list(side.judgement.interval),
                    "rejected": side.judgement.outcome == "rejects",
                    "outcome": side.judgement.outcome,
                    "sentence": side.judgement.sentence,
                }
                for side in self.control_sides
            ],
            "trivial": None
            if trivial is None
            else {
                "name": trivial.name,
                "numbers": trivial.judgement.numbers,
                "outcome": trivial.judgement.outcome,
                "sentence": trivial.judgement.sentence,
            },
            "vacuous": self.vacuous,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "reason": self.reason,
            "seen": self.seen,
            "caveats": list(self.caveats),
        }

    def __repr__(self) -> str:
        return display.verdict_text(self)

    def _repr_html_(self) -> str:
        return display.verdict_html(self)


def decide(claim: Outcome, controls: Mapping[str, Outcome]) -> tuple[Word, str | None]:
    """The verdict and, where nothing was decided, the reason.

    A control that the rule did not reject leaves the check undecided whatever the claim's own numbers say.
    Raises ``ValueError`` without a control.
    """
    if not controls:
        raise ValueError("controls={}: expected at least one, as a check that cannot fail proves nothing")
    accepted = [name for name, outcome in controls.items() if outcome == "accepts"]
    undecided = [name for name, outcome in controls.items() if outcome == "straddles"]
    reasons = []
    if accepted:
        reasons.append(f"the rule does not reject the control {_listed(accepted)}")
    if undecided:
        reasons.append(f"the interval of the control {_listed(undecided)} straddles the limit")
    if claim == "straddles":
        reasons.append("the claim's own measurement straddles the limit")
    if reasons:
        return "inconclusive", "; ".join(reasons)
    return ("supported", None) if claim == "accepts" else ("refuted", None)


def sentence_for(word: Word, claim: Judgement, controls: Mapping[str, Judgement], reason: str | None) -> str:
    """The verdict in one sentence: what was measured against what, and how the control fared."""
    head = claim.sentence[0].upper() + claim.sentence[1:]
    if word == "inconclusive":
        return f"{head}; undecided, because {reason}."
    many = {1: "the control is", 2: "both controls are"}
    which = many.get(len(controls), f"all {len(controls)} controls are")
    if word == "supported":
        return f"{head}; {which} rejected."
    return f"{head}: the rule rejects the claim, although it also rejects the control as it should."


def _listed(names: list[str]) -> str:
    return " and ".join(f"‘{name}’" for name in names)
