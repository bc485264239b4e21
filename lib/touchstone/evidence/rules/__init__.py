"""Decision rules: one concept a file, each calibrated by a test of its false alarms and its power.

The one package that hands its names on, because a study picks its rules from here.
"""

from touchstone.evidence.rules.all_correct import AllCorrect, Decisions
from touchstone.evidence.rules.all_of import AllOf
from touchstone.evidence.rules.base import Judgement, Rule
from touchstone.evidence.rules.collapse import Collapse, CollapsesBetter
from touchstone.evidence.rules.comparison import IntervalAbove, Paired
from touchstone.evidence.rules.counts import Counts, CountsMatch
from touchstone.evidence.rules.distribution import Draws, SameDistribution
from touchstone.evidence.rules.epsilon import EpsilonAtMost, MuAtMost
from touchstone.evidence.rules.exponent import ExponentAtMost
from touchstone.evidence.rules.failure_rate import FailureRateAtLeast, FailureRateAtMost, Trials
from touchstone.evidence.rules.gap import GapAtMost
from touchstone.evidence.rules.growth import NoGrowth
from touchstone.evidence.rules.interval import IntervalWithin
from touchstone.evidence.rules.linear import LinearIn, Points
from touchstone.evidence.rules.mean import MeanWithin
from touchstone.evidence.rules.monotone import Monotone
from touchstone.evidence.rules.order import OrderAtLeast
from touchstone.evidence.rules.rate import Frequency, RateMatches
from touchstone.evidence.rules.ratio import RatioAtMost, Ratios, RatioWithin
from touchstone.evidence.rules.slopes import SlopesDoNotRise, SlopeWithin

__all__ = [
    "AllCorrect",
    "AllOf",
    "Collapse",
    "CollapsesBetter",
    "Counts",
    "CountsMatch",
    "Decisions",
    "Draws",
    "EpsilonAtMost",
    "ExponentAtMost",
    "FailureRateAtLeast",
    "FailureRateAtMost",
    "Frequency",
    "GapAtMost",
    "IntervalAbove",
    "IntervalWithin",
    "Judgement",
    "LinearIn",
    "MeanWithin",
    "Monotone",
    "MuAtMost",
    "NoGrowth",
    "OrderAtLeast",
    "Paired",
    "Points",
    "RateMatches",
    "RatioAtMost",
    "RatioWithin",
    "Ratios",
    "Rule",
    "SameDistribution",
    "SlopeWithin",
    "SlopesDoNotRise",
    "Trials",
]
