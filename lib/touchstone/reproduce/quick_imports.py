"""Importing ``jsonschema`` without the second that an optional part of it takes.

It compiles a grammar for international web addresses if the package for that is there, and does without
otherwise. No notebook and no ledger holds such an address to be checked.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

OPTIONAL = "rfc3987_syntax"


@contextlib.contextmanager
def without_address_grammar() -> Iterator[None]:
    """Inside, the optional package looks as if it were not installed."""
    if OPTIONAL in sys.modules:
        yield
        return
    sys.modules[OPTIONAL] = None  # type: ignore[assignment]  # the import system's own mark for "not there"
    try:
        yield
    finally:
        sys.modules.pop(OPTIONAL, None)
