"""The distance between two computations of the same thing."""

from __future__ import annotations

from typing import Any

import numpy as np

from touchstone.arrays import to_host
from touchstone.evidence.errors import MeasurementError

NORMS = ("max", "frobenius", "entrywise")


def relative_gap(computed: Any, reference: Any, norm: str = "max") -> float:
    """How far ``computed`` is from ``reference``, relative to the size of ``reference``.

    Arrays of one shape from any namespace, or numbers; real or complex. ``norm`` is ``"max"`` (largest
    difference over largest entry), ``"frobenius"`` (the same in the Euclidean norm of all entries) or
    ``"entrywise"`` (the largest of the entries' own relative differences). The reference comes second: the
    gap is not symmetric. Zero against zero is 0.

    Raises ``MeasurementError`` for different shapes, no entries, entries that are not finite, or a reference
    of zero where the computed value is not. Cost: a few passes over the entries.
    """
    if norm not in NORMS:
        raise ValueError(f"norm={norm!r}: expected one of {', '.join(map(repr, NORMS))}")
    a, b = (_wide(name, x) for name, x in (("computed", computed), ("reference", reference)))
    if a.shape != b.shape:
        raise MeasurementError(f"computed of shape {a.shape}: expected {b.shape}, the shape of reference")
    difference, size = np.abs(a - b), np.abs(b)
    if norm == "frobenius":
        # divided by the largest entry first, so that squares neither overflow nor vanish
        scale = max(float(size.max()), float(difference.max())) or 1.0
        difference = np.linalg.norm((difference / scale).ravel())
        size = np.linalg.norm((size / scale).ravel())
    elif norm == "max":
        difference, size = difference.max(), size.max()
    difference, size = np.atleast_1d(difference), np.atleast_1d(size)
    unequal = difference > 0
    if np.any(unequal & (size == 0)):
        raise MeasurementError("reference is zero where computed is not: no relative gap exists")
    return float(np.max(difference[unequal] / size[unequal], initial=0.0))


def _wide(name: str, x: Any) -> np.ndarray:
    """In double width before subtracting, so that the comparison adds no error of its own."""
    x = np.asarray(to_host(x))
    if x.dtype.kind not in "biufc":
        raise MeasurementError(f"{name} of dtype {x.dtype}: expected numbers")
    x = x.astype(np.result_type(x.dtype, np.float64), copy=False)
    if x.size == 0:
        raise MeasurementError(f"{name} of shape {x.shape}: expected at least one entry")
    if not np.all(np.isfinite(x)):
        raise MeasurementError(f"{name}: expected finite entries")
    return x
