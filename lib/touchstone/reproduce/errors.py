"""The one error that ends a command: its message is the sentence that the user reads."""

from __future__ import annotations


class ReproductionError(Exception):
    """Something the user can put right before any notebook runs: a wrong name, file or setting."""
