"""Decision rules: one concept a file, each calibrated by a test of its false alarms and its power.

The one package that hands its names on, because a study picks its rules from here.
"""

from touchstone.evidence.rules.all_correct import AllCorrect, Decisions
from touchstone.evidence.rules.all_of import AllOf
from touchstone.evidence.rules.base import Judgement, Rule
from touchstone.evidence.rules.collapse import Collapse, CollapsesBetter
from touchstone.evidence.rules.exponent import ExponentAtMost
from touchstone.evidence.rules.gap import GapAtMost, tolerance_from_conditioning
from touchstone.evidence.rules.ratio import RatioAtMost, Ratios, RatioWithin
from touchstone.evidence.rules.slopes import SlopesDoNotRise, SlopeWithin

__all__ = [
    "AllCorrect",
    "AllOf",
    "Collapse",
    "CollapsesBetter",
    "Decisions",
    "ExponentAtMost",
    "GapAtMost",
    "Judgement",
    "RatioAtMost",
    "RatioWithin",
    "Ratios",
    "Rule",
    "SlopeWithin",
    "SlopesDoNotRise",
    "tolerance_from_conditioning",
]
