"""Imports made lighter."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

GRAMMARS = "rfc3987_syntax"


@contextmanager
def without_grammars() -> Iterator[None]:
    """Inside, ``jsonschema`` is imported without the grammars of RFC 3987.

    Where the package for them is installed, jsonschema builds 38 grammars, for more than a second, to know
    international addresses when the *formats* of strings are checked. No schema of ours or of notebooks
    asks for that. Outside, the package can be imported as ever.
    """
    if GRAMMARS in sys.modules:
        yield
        return
    sys.modules[GRAMMARS] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[GRAMMARS]
