"""Array namespaces, devices, random streams, and what the array API standard lacks.

Every routine of the library is written once against the array API standard. This module is the whole
contact surface with a concrete array library: which namespace an array belongs to, how to open a device,
how the same seed gives the same numbers everywhere, how work on row blocks is organised, and how an
operator that no array operation shows reports its cost.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import array_api_compat
import numpy as np
from threadpoolctl import ThreadpoolController

Array = Any

DEVICES = ("auto", "cpu", "cuda")


class DeviceError(RuntimeError):
    """The device that was asked for cannot be used here; the message says why in one sentence."""


# -- namespaces and devices ------------------------------------------------------------------------------


def namespace(*arrays: Array) -> Any:
    """The array API namespace that all ``arrays`` share.

    Python scalars and ``None`` are ignored. Raises ``TypeError`` when there is no array among the
    arguments or when they come from different libraries. Cost: none.
    """
    return array_api_compat.array_namespace(*arrays)


def open_device(device: str = "auto") -> Any:
    """The namespace to create arrays in for ``device``: ``"cpu"`` (NumPy), ``"cuda"`` (CuPy) or ``"auto"``.

    ``"auto"`` takes the GPU when CuPy is installed and sees one, and NumPy otherwise. CuPy is imported
    only here. Raises ``ValueError`` for an unknown name and ``DeviceError`` when ``"cuda"`` was asked for
    and cannot be had.
    """
    if device not in DEVICES:
        raise ValueError(f"device={device!r}: expected one of {', '.join(map(repr, DEVICES))}")
    if device == "cpu":
        return _numpy_namespace()
    reason = _why_no_gpu()
    if reason is None:
        return importlib.import_module("array_api_compat.cupy")
    if device == "cuda":
        raise DeviceError(f"device='cuda' was asked for, but {reason}; use device='cpu' or device='auto'.")
    return _numpy_namespace()


def _numpy_namespace() -> Any:
    return importlib.import_module("array_api_compat.numpy")


def _why_no_gpu() -> str | None:
    if importlib.util.find_spec("cupy") is None:
        return "CuPy is not installed (install it with `make setup GPU=cuda12` or `GPU=cuda13`)"
    try:
        cupy = importlib.import_module("cupy")
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # a broken driver raises many kinds
        return f"CuPy cannot reach a GPU ({type(error).__name__}: {str(error).splitlines()[0]})"
    return None if count > 0 else "CuPy sees no GPU"


def to_host(x: Array) -> np.ndarray:
    """``x`` as a NumPy array, whatever library it lives in (no copy when it already is one).

    A counting array gives its data; a shape-only array has none and raises ``TypeError``.
    """
    hook = getattr(x, "__to_host__", None)
    if hook is not None:
        return hook()
    if array_api_compat.is_cupy_array(x):
        return x.get()
    if hasattr(x, "__array_namespace__") and not isinstance(x, np.ndarray | np.generic):
        return np.from_dlpack(x) if hasattr(x, "__dlpack__") else np.asarray(x)
    return np.asarray(x)


def holds_data(x: Array) -> bool:
    """Whether ``x`` has entries. Only a shape-only array has none, nor has what its namespace creates."""
    return bool(getattr(x, "has_data", True))


def extremes(x: Array) -> tuple[float, float]:
    """The smallest and the largest entry of a real ``x``, NaN when it holds one: for checks of arguments.

    A counting array is looked at without adding to a count. (inf, -inf) of an array without entries. A
    shape-only array has nothing to look at and raises ``TypeError``: ask ``holds_data`` first.
    """
    x = to_host(x) if hasattr(x, "__to_host__") else x
    if 0 in x.shape:
        return math.inf, -math.inf
    xp = namespace(x)
    return float(xp.min(x)), float(xp.max(x))


# -- random streams --------------------------------------------------------------------------------------


def stream(seed: int, *labels: str | int) -> np.random.Generator:
    """An independent random generator named by ``labels`` under ``seed``.

    The same seed and labels give the same numbers on every machine and device, and adding a stream never
    shifts another one. Raises ``ValueError`` for a negative or non-integer seed.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed={seed!r}: expected an integer >= 0")
    words = []
    for label in labels:
        digest = hashlib.blake2b(f"{type(label).__name__}:{label}".encode(), digest_size=16).digest()
        words.extend(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))
    return np.random.default_rng(np.random.SeedSequence(int(seed), spawn_key=tuple(words)))


def normal(rng: np.random.Generator, shape: Sequence[int] | int, *, like: Array) -> Array:
    """Standard normal entries of ``shape``, in the namespace, dtype and device of ``like``.

    Drawn on the host in float64 and moved once, so every device sees the same numbers.
    """
    return as_array_like(rng.standard_normal(shape), like)


def uniform(
    rng: np.random.Generator, shape: Sequence[int] | int, low: float = 0.0, high: float = 1.0, *, like: Array
) -> Array:
    """Uniform entries in ``[low, high)`` of ``shape``, placed like ``like`` (see ``normal``)."""
    return as_array_like(rng.uniform(low, high, shape), like)


def signs(rng: np.random.Generator, shape: Sequence[int] | int, *, like: Array) -> Array:
    """Independent entries +1 and -1 with equal probability, placed like ``like`` (see ``normal``)."""
    return as_array_like(2.0 * rng.integers(0, 2, shape) - 1.0, like)


def as_array_like(x: np.ndarray, like: Array) -> Array:
    """The host array ``x`` in the namespace, dtype and device of ``like`` (an array, or a namespace:
    then in that namespace's own choice for ``x``'s dtype)."""
    if hasattr(like, "asarray"):  # a namespace
        return like.asarray(x)
    xp = namespace(like)
    return xp.asarray(x, dtype=like.dtype, device=array_api_compat.device(like))


# -- what the standard lacks -----------------------------------------------------------------------------


def charge(x: Array, **operations: int) -> None:
    """Report ``operations`` (for instance ``multiply_adds=…``) that no array operation on ``x`` shows.

    Sparse, hashed and butterfly operators call this. Does nothing unless ``x`` is a counting or
    shape-only array.
    """
    hook = getattr(x, "__charge__", None)
    if hook is not None:
        hook(**operations)


def scatter_add(n: int, index: Array, values: Array) -> Array:
    """Sum ``values`` (m,) or (m, c) into ``n`` rows: row ``i`` is the sum of ``values[index == i]``.

    ``index`` (m,) holds integers in ``[0, n)``. Cost: one addition per entry of ``values``.
    """
    hook = getattr(values, "__scatter_add__", None)
    if hook is not None:
        return hook(n, index)
    xp = namespace(values)
    if array_api_compat.is_cupy_namespace(xp):
        import cupy

        if xp.isdtype(values.dtype, "complex floating"):  # which its atomic additions do not know
            return scatter_add(n, index, xp.real(values)) + 1j * scatter_add(n, index, xp.imag(values))
        out = xp.zeros((n, *values.shape[1:]), dtype=values.dtype)
        cupy.add.at(out, index, values)
        return out
    out = np.zeros((n, *values.shape[1:]), dtype=to_host(values).dtype)
    np.add.at(out, to_host(index), to_host(values))
    return as_array_like(out, values)


def top_k(x: Array, k: int, axis: int = -1) -> tuple[Array, Array]:
    """The ``k`` largest entries along ``axis``, largest first, and their indices.

    Ties keep the lower index. Cost: one sort. Raises ``ValueError`` unless ``0 <= k <= x.shape[axis]``.
    """
    if not 0 <= k <= x.shape[axis]:
        raise ValueError(f"k={k!r}: expected 0 <= k <= {x.shape[axis]}, the length of axis {axis}")
    xp = namespace(x)
    axis = axis % x.ndim
    index = xp.argsort(x, axis=axis, descending=True, stable=True)
    index = index[(slice(None),) * axis + (slice(0, k), ...)]
    return xp.take_along_axis(x, index, axis=axis), index


def median(x: Array, axis: int = -1) -> Array:
    """The median along ``axis`` (the mean of the two middle entries when there are an even number).

    Cost: one sort. Raises ``ValueError`` when the axis is empty. NaN sorts last, as in the namespace.
    """
    n = x.shape[axis]
    if n == 0:
        raise ValueError(f"axis={axis!r}: expected at least one entry, got none")
    xp = namespace(x)
    axis = axis % x.ndim
    ordered = xp.sort(x, axis=axis)
    at = (slice(None),) * axis
    low, high = ordered[(*at, (n - 1) // 2, ...)], ordered[(*at, n // 2, ...)]
    return (low + high) / 2


def failures_raise(x: Array) -> Any:
    """A context in which a factorisation that fails raises ``numpy.linalg.LinAlgError`` in the library of
    ``x``.

    CuPy alone says nothing otherwise and returns numbers of no meaning.
    """
    if array_api_compat.is_cupy_array(x):
        return importlib.import_module("cupyx").errstate(linalg="raise")
    return contextlib.nullcontext()


# -- row blocks ------------------------------------------------------------------------------------------

_blas: ThreadpoolController | None = None


def single_threaded_blas() -> Any:
    """A context in which every BLAS of the process uses one thread (the controller is built once)."""
    global _blas
    if _blas is None:
        _blas = ThreadpoolController()
    return _blas.limit(limits=1, user_api="blas")


def block_factor(like: Array) -> int:
    """How many times larger a row block should be than one that fits a processor's cache.

    64 for an array on a GPU, where every operation costs a launch of microseconds however little it does, and
    1 elsewhere.
    """
    return 64 if array_api_compat.is_cupy_array(like) else 1


def map_rows(
    f: Callable[..., Any],
    *arrays: Array,
    block: int,
    reduce: str | Sequence[str] = "concatenate",
    workers: int = 1,
) -> Any:
    """Apply ``f`` to blocks of ``block`` rows of ``arrays`` and put the results together.

    ``arrays`` share their first axis. ``f`` takes one block of each and returns one array or a tuple of
    them. ``reduce`` is ``"concatenate"`` (results are rows, written into one preallocated output) or
    ``"sum"`` (results are added), or a sequence with one of these for each array of the tuple. Working
    memory is that of ``workers`` blocks, never of all rows.

    With ``workers`` > 1 NumPy blocks run on that many threads with BLAS held to one thread each; sums are
    added in block order, so the result does not depend on ``workers``.

    Shape-only arrays run ``f`` on two full blocks, on a third that stands for all others, and on the rest.
    Raises ``ValueError`` for a non-positive block, no arrays, or different numbers of rows.
    """
    if not arrays:
        raise ValueError("arrays=(): expected at least one array")
    if not block >= 1:
        raise ValueError(f"block={block!r}: expected an integer >= 1")
    if not all(r in ("concatenate", "sum") for r in ([reduce] if isinstance(reduce, str) else reduce)):
        raise ValueError(f"reduce={reduce!r}: expected 'concatenate' or 'sum', or a sequence of these")
    if not workers >= 1:
        raise ValueError(f"workers={workers!r}: expected an integer >= 1")
    n = arrays[0].shape[0]
    if any(x.shape[0] != n for x in arrays):
        raise ValueError(f"arrays with {[x.shape[0] for x in arrays]} rows: expected the same number")
    hook = getattr(arrays[0], "__map_rows__", None)
    if hook is not None:
        return hook(f, arrays, block, reduce)
    starts = range(0, max(n, 1), block)  # no rows: one empty block, so that shapes come out right

    def run(start: int) -> tuple[Array, ...]:
        result = f(*(x[start : min(start + block, n), ...] for x in arrays))
        return result if isinstance(result, tuple) else (result,)

    results = _Results(n, reduce)
    if workers == 1 or len(starts) == 1 or not isinstance(arrays[0], np.ndarray):
        for start in starts:
            results.add(start, run(start))
    else:
        with single_threaded_blas(), ThreadPoolExecutor(workers) as pool:
            if results.in_any_order:
                _each_its_next(pool, workers, starts, lambda start: results.add(start, run(start)))
            else:
                for start, part in _in_order(pool, workers, starts, run):
                    results.add(start, part)
    result = results.result
    return tuple(result) if len(result) > 1 else result[0]


def reductions(reduce: str | Sequence[str], results: int) -> tuple[str, ...]:
    """What ``map_rows`` does with each of the ``results`` of a block; ``ValueError`` unless they match."""
    each = (reduce,) * results if isinstance(reduce, str) else tuple(reduce)
    if len(each) != results:
        raise ValueError(f"reduce={reduce!r}: expected {results} entries, one for each array that f returns")
    return each


class _Results:
    """What the blocks gave, put together: rows into one array of ``n`` rows, sums added in order."""

    def __init__(self, n: int, reduce: str | Sequence[str]) -> None:
        self.n, self.reduce = n, reduce
        self.in_any_order = all(r == "concatenate" for r in ([reduce] if isinstance(reduce, str) else reduce))
        self.result: list[Array] = []
        self._first = threading.Lock()

    def add(self, start: int, part: tuple[Array, ...]) -> None:
        each = reductions(self.reduce, len(part))
        with self._first:
            first = not self.result
            if first:  # this block tells the shapes
                self.result = [
                    a if r == "sum" else self._rows_like(a) for r, a in zip(each, part, strict=True)
                ]
        for i, (r, a) in enumerate(zip(each, part, strict=True)):
            if r == "concatenate":
                self.result[i][start : start + a.shape[0], ...] = a
            elif not first:
                self.result[i] = self.result[i] + a

    def _rows_like(self, a: Array) -> Array:
        shape, device = (self.n, *a.shape[1:]), array_api_compat.device(a)
        return namespace(a).empty(shape, dtype=a.dtype, device=device)


def _each_its_next(
    pool: ThreadPoolExecutor, workers: int, starts: Sequence[int], work: Callable[[int], None]
) -> None:
    """``work`` on every block; a thread goes on to the next block by itself and waits for nobody."""
    remaining = iter(starts)

    def loop() -> None:
        try:
            for start in remaining:
                work(start)
        finally:
            deque(remaining, maxlen=0)  # after an error nobody begins another block

    try:
        for future in [pool.submit(loop) for _ in range(workers)]:
            future.result()
    finally:
        deque(remaining, maxlen=0)


def _in_order(
    pool: ThreadPoolExecutor, workers: int, starts: Sequence[int], run: Callable[[int], Any]
) -> Iterator[tuple[int, Any]]:
    """Each block and its result, in the order of the blocks; never more results alive than workers + 1."""
    window: deque[tuple[int, Any]] = deque()
    for start in starts:
        window.append((start, pool.submit(run, start)))
        if len(window) > workers:
            at, future = window.popleft()
            yield at, future.result()
    for at, future in window:
        yield at, future.result()
