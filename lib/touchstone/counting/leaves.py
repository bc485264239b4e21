"""The numbers that a Python object holds, found one by one and never missed in silence.

Arrays, numbers and text are leaves. Sequences, sets, mappings (keys and values), dataclasses, objects
(their attributes), functions (what their closures and defaults hold), bound methods, random generators
(their state) and sparse matrices are taken apart. Code, types, names of attributes and ``None`` hold nothing,
and neither global names that a function uses nor attributes of classes are followed. Whatever else, a live
iterator for instance, raises ``TypeError`` with the path to it.

An object may say what it holds by a method ``__live__()`` that returns it.
"""

from __future__ import annotations

import enum
import functools
import threading
import types
from array import array as packed_array
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

_NOTHING = (
    *(type(None), type(Ellipsis), type(NotImplemented)),
    *(type, types.ModuleType, enum.Enum, np.dtype, np.ufunc),
)
_NUMBERS = (bool, int, float, complex, np.generic)
_PATH = 120
_SPARSE = ("data", "indices", "indptr", "coords", "row", "col", "offsets", "rows", "_dict")


def leaves(
    structure: Any, *, shared: bool = True, ignore: tuple[type, ...] = ()
) -> Iterator[tuple[str, Any]]:
    """The leaves of ``structure`` with the paths to them: arrays, numbers, text and bytes.

    With ``shared`` an object that is reached twice is visited once, and a NumPy view gives the array whose
    memory it keeps alive, whole and once. Without, each occurrence counts and a view is what it shows (what
    a message would carry); a structure that contains itself then raises ``ValueError``. Objects of the
    types in ``ignore`` hold nothing. Raises ``TypeError`` for what cannot be taken apart.
    """
    nothing = (*_NOTHING, *ignore)
    seen: dict[int, Any] = {}  # keeps the objects alive, so that no id is used twice
    open_: set[int] = set()  # what is being taken apart, where repetition is allowed but recursion is not
    stack: list[tuple[str, Any, bool]] = [("structure", structure, False)]
    while stack:
        path, item, closes = stack.pop()
        if closes:
            open_.discard(id(item))
            continue
        # most of what there is, spared the questions below
        plain = type(item) in (tuple, list) and not ignore
        if not plain and (isinstance(item, nothing) or item is np.ma.nomask):
            continue
        if not plain and isinstance(item, _NUMBERS):
            yield path, item  # each slot holds its own, although Python may share the object
            continue
        if shared:
            item = _memory(item)
            if id(item) in seen:
                continue
            seen[id(item)] = item
        if not plain and _is_leaf(item):
            yield path, item
            continue
        if not shared:
            if id(item) in open_:
                raise ValueError(f"{path}: the structure contains itself")
            open_.add(id(item))
            stack.append((path, item, True))
        # the end of the path is enough to find a part, and long ones would cost more than the parts
        inside = [(f"[{i}]", part) for i, part in enumerate(item)] if plain else _parts(path, item)
        parts = [((path + step)[-_PATH:], part, False) for step, part in inside]
        stack.extend(reversed(parts))


def numpy_dtype(dtype: Any) -> np.dtype:
    """``dtype``, of any namespace, as NumPy's. Raises ``TypeError`` for one that NumPy does not have."""
    if isinstance(dtype, np.dtype):
        return dtype
    if isinstance(dtype, type) and issubclass(dtype, np.generic | bool | int | float | complex):
        return np.dtype(dtype)
    return np.dtype(str(dtype).rpartition(".")[2])


def is_array(item: Any) -> bool:
    """Whether ``item`` is an array with numbers in it (of any library; not of Python objects)."""
    if isinstance(item, np.ndarray):
        return item.dtype != object
    if isinstance(item, np.generic):
        return True
    # operators and sparse matrices have a shape and a dtype too, and are no arrays
    shaped = hasattr(item, "shape") and hasattr(item, "dtype")
    return shaped and (hasattr(item, "__array_namespace__") or hasattr(item, "__dlpack__"))


def _is_leaf(item: Any) -> bool:
    return isinstance(item, str | bytes | bytearray | memoryview | packed_array) or is_array(item)


def _memory(item: Any) -> Any:
    """The array that owns the memory of a NumPy view; anything else as it is."""
    while isinstance(item, np.ndarray) and isinstance(item.base, np.ndarray):
        item = item.base
    return item


def _parts(path: str, item: Any) -> list[tuple[str, Any]]:
    live = getattr(type(item), "__live__", None)
    if live is not None:
        return [(".__live__()", live(item))]
    if isinstance(item, np.ndarray):  # of objects
        return [(f"[{i}]", part) for i, part in enumerate(item.ravel().tolist())]
    if isinstance(item, Mapping):
        parts = [(f".key[{i}]", key) for i, key in enumerate(item)]
        parts += [(f"[{key!r:.40}]", value) for key, value in item.items()]
        return parts + _attributes(item)
    if isinstance(item, tuple | list | deque | set | frozenset):
        return [(f"[{i}]", part) for i, part in enumerate(item)] + _attributes(item)
    if isinstance(item, range | slice):
        return [(f".{name}", getattr(item, name)) for name in ("start", "stop", "step")]
    if isinstance(item, np.random.Generator | np.random.RandomState | np.random.BitGenerator):
        bits = item if isinstance(item, np.random.BitGenerator) else item._bit_generator
        return [(".state", part) for part in _values(bits.state)]
    if isinstance(item, types.FunctionType):
        cells = [("closure", cell.cell_contents) for cell in item.__closure__ or () if _is_filled(cell)]
        extra = [("defaults", item.__defaults__), ("defaults", item.__kwdefaults__)]
        return [(f".{name}", part) for name, part in cells + extra] + _attributes(item)
    if isinstance(item, types.MethodType | functools.partial):
        names = (
            ("__self__", "__func__") if isinstance(item, types.MethodType) else ("func", "args", "keywords")
        )
        return [(f".{name}", getattr(item, name)) for name in names]
    if isinstance(item, types.BuiltinFunctionType | types.MethodWrapperType):
        return [(".__self__", item.__self__)]
    if isinstance(item, type(threading.Lock()) | type(threading.RLock())):
        return []
    if hasattr(item, "tocoo"):
        return [(f".{name}", vars(item)[name]) for name in _SPARSE if name in vars(item)]
    if hasattr(item, "_mpf_"):
        return [("._mpf_", tuple(int(part) for part in item._mpf_[1:3]))]
    if hasattr(item, "__dict__") or _slots(item):
        return _attributes(item)
    raise TypeError(f"{path}: cannot count what a {type(item).__name__} holds")


def _attributes(item: Any) -> list[tuple[str, Any]]:
    names = dict.fromkeys([*getattr(item, "__dict__", ()), *_slots(item)])
    return [(f".{name}", getattr(item, name)) for name in names if hasattr(item, name)]


def _slots(item: Any) -> list[str]:
    names = []
    for cls in type(item).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__"):
                mangled = slot.startswith("__") and not slot.endswith("__")
                names.append(f"_{cls.__name__.lstrip('_')}{slot}" if mangled else slot)
    return names


def _values(state: Any) -> list[Any]:
    """The numbers in a generator's state, without the names in it."""
    if isinstance(state, Mapping):
        return [part for value in state.values() for part in _values(value)]
    return [] if isinstance(state, str) else [state]


def _is_filled(cell: types.CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # a name that is not bound yet
        return False
