"""Arrays without data: the same operations and the same counts at sizes that no memory holds."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from touchstone.counting import layout
from touchstone.counting.array import CountingArray
from touchstone.counting.creation import Creation, checked_dtype
from touchstone.counting.storage import given


def shape_only(*shape: int, dtype: Any = "float64") -> CountingArray:
    """An array of ``shape`` (integers, or one tuple) and ``dtype`` without data: an input, without cost.

    Sides are Python integers of any length. What depends on values raises ``ShapeOnlyError``.
    Raises ``ValueError`` for a negative side and ``TypeError`` for one that is not an integer.
    """
    sides = shape[0] if len(shape) == 1 and isinstance(shape[0], tuple | list) else shape
    return given(None, layout.as_shape(sides), checked_dtype(np.dtype(dtype)))


_CREATION = ("arange", "asarray", "empty", "eye", "from_dlpack", "full", "linspace", "ones", "zeros")
_shapes: types.ModuleType | None = None


def namespace() -> types.ModuleType:
    """The counting namespace whose new arrays have no data (``asarray`` keeps the data it is given)."""
    global _shapes
    if _shapes is None:
        from touchstone.counting import namespace as full_namespace

        module = types.ModuleType(full_namespace.__name__, full_namespace.__doc__)
        module.__dict__.update(full_namespace.__dict__)
        creation = Creation(False)
        for name in _CREATION:
            setattr(module, name, getattr(creation, name))
        _shapes = module
    return _shapes
