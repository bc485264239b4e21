"""What can go wrong while evidence is collected; none of these is ever a verdict."""

from __future__ import annotations


class MeasurementError(ValueError):
    """A measurement that no rule can judge: not a number, empty, too short, or of the wrong kind."""


class CheckError(RuntimeError):
    """A check that could not be decided because one of its sides failed; the cause is chained."""


class StudyError(RuntimeError):
    """A study used out of order: checked after it was finished, finished twice or with nothing checked."""


class LedgerError(ValueError):
    """A ledger that does not follow the schema, or cannot be read."""


class FigureError(ValueError):
    """A figure that breaks the house rules: no title, an unnamed axis, no alternative text."""
