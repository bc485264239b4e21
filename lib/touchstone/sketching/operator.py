r"""Sketches: random linear maps :math:`S` (m, n) that keep what matters about n rows in m of them.

Every family of this package gives an operator of one kind, scaled such that :math:`\mathbb E\,S^\top S=I`:

    S = count_sketch(m, n, rng, like=A)
    S @ A                    # (m, d)
    S.T @ Y                  # (n, d)
    S.columns([3, 5])        # (m, 2), the columns themselves
    S.shape, S.touched       # (m, n), and how many entries of S @ x one change of an entry of x changes
    compose(R, S) @ A        # R @ (S @ A)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import array_api_compat
import numpy as np
from scipy import sparse

from touchstone.arrays import holds_data, namespace, to_host
from touchstone.linalg.sparse_rows import SparseRows

Array = Any


class Place:
    """Where the arrays of a sketch live: the library, device and real dtype of ``like``.

    ``like`` is an array, or a namespace (then its own choice for floating numbers). Where it has a shape
    only, nothing is drawn and what is placed has a shape only, at the same cost: a move for each entry.
    Raises ``TypeError`` when ``like`` does not hold float32 or float64.
    """

    def __init__(self, like: Any) -> None:
        like = like.empty((0,)) if hasattr(like, "asarray") else like
        self.xp = namespace(like)
        self.dtype, self.device = like.dtype, array_api_compat.device(like)
        if self.dtype not in (self.xp.float32, self.xp.float64):
            raise TypeError(f"like of dtype {self.dtype}: expected float32 or float64")
        self.sample = self.xp.empty((0,), dtype=self.dtype, device=self.device)
        self.has_data = holds_data(self.sample)

    def numbers(self, shape: tuple[int, ...], draw: Callable[[], np.ndarray]) -> Array:
        """The floating numbers that ``draw`` gives on the host."""
        return self._put(shape, draw, self.dtype)

    def integers(self, shape: tuple[int, ...], draw: Callable[[], np.ndarray], below: int) -> Array:
        """The integers in [0, ``below``) that ``draw`` gives on the host, in 32 bits where these suffice."""
        return self._put(shape, draw, self.xp.int32 if below <= 2**31 else self.xp.int64)

    def blank(self, A: Array, shape: tuple[int, ...], dtype: Any) -> Array | None:
        """A product of ``shape`` when ``A`` or the sketch has a shape only; None when both have data."""
        for x in (A, self.sample):
            if not holds_data(x):
                return namespace(x).zeros(shape, dtype=dtype, device=self.device)
        return None

    def rounded(self, x: float) -> float:
        """``x`` as the real dtype holds it."""
        return float(np.float32(x)) if self.dtype == self.xp.float32 else x

    def _put(self, shape: tuple[int, ...], draw: Callable[[], np.ndarray], dtype: Any) -> Array:
        if self.has_data:
            return self.xp.asarray(draw(), dtype=dtype, device=self.device)
        return self.xp.zeros(shape, dtype=dtype, device=self.device)


class Sketch:
    """A linear map of n rows to m with ``shape`` (m, n), ``touched``, ``@``, ``.T`` and ``columns``.

    ``S @ A`` takes an (n,) or (n, c) array of the library that the sketch was made for, real or complex, and
    gives (m,) or (m, c). Where its docstring says so, a family also takes a matrix with few entries in each
    row, ``SparseRows`` or SciPy's, and gives an array. The dtype is that which S and A promote to.

    Raises ``ValueError`` for another number of rows and ``TypeError`` for numbers that are not floating, for
    an array of another library and for a sparse matrix where the family does not take it.

    A family defines ``place`` and ``_apply``, ``_apply_transpose`` (both on matrices) and ``_columns``, and
    ``_apply_sparse`` where it makes sense.
    """

    shape: tuple[int, int]
    touched: int
    place: Place

    def __matmul__(self, A: Any) -> Array:
        if is_sparse(A):
            self._check_sparse(A)
            return self._apply_sparse(A)
        return _on_columns(self._apply, "A", A, self.shape[1])

    @property
    def T(self) -> TransposedSketch:
        return TransposedSketch(self)

    def columns(self, index: Array | Sequence[int]) -> Array:
        """The columns ``index`` of S, an array or sequence of k integers in [0, n): an array (m, k).

        Raises ``ValueError`` for an index out of range or of another number of axes, ``TypeError`` for one
        that holds no integers.
        """
        n = self.shape[1]
        if hasattr(index, "dtype"):
            if not namespace(index).isdtype(index.dtype, "integral"):
                raise TypeError(f"index of dtype {index.dtype}: expected integers")
        else:
            if any(isinstance(i, bool) or not isinstance(i, int | np.integer) for i in index):
                raise TypeError(f"index={index!r}: expected integers")
            host = np.asarray(index, dtype=np.int64)
            index = self.place.integers(host.shape, lambda: host, n)
        if index.ndim != 1:
            raise ValueError(f"index of shape {tuple(index.shape)}: expected one axis")
        if holds_data(index) and index.shape[0]:
            host = to_host(index)
            if not 0 <= host.min() <= host.max() < n:
                raise ValueError(f"index from {host.min()} to {host.max()}: expected entries in [0, {n})")
        return self._columns(index)

    def _apply(self, A: Array) -> Array:
        raise NotImplementedError

    def _apply_transpose(self, Y: Array) -> Array:
        raise NotImplementedError

    def _columns(self, index: Array) -> Array:
        raise NotImplementedError

    def _check_sparse(self, A: Any) -> None:
        if len(A.shape) != 2 or A.shape[0] != self.shape[1]:
            raise ValueError(f"A of shape {tuple(A.shape)}: expected ({self.shape[1]}, columns)")
        if isinstance(A, SparseRows):
            namespace(A.values, self.place.sample)
        elif not array_api_compat.is_numpy_namespace(self.place.xp):
            raise TypeError(
                f"A is {type(A).__name__}: expected SparseRows, as S is not made for NumPy arrays"
            )
        _check_numbers("A", self.place.xp, A.dtype)

    def _apply_sparse(self, A: Any) -> Array:
        raise TypeError(f"A is {type(A).__name__}: expected an array, as this sketch mixes all rows")


class TransposedSketch:
    """The transpose (n, m) of a sketch: ``@`` with an (m,) or (m, c) array, ``.T`` and ``shape``."""

    def __init__(self, sketch: Sketch) -> None:
        self._sketch = sketch

    @property
    def shape(self) -> tuple[int, int]:
        return self._sketch.shape[::-1]

    @property
    def T(self) -> Sketch:
        return self._sketch

    def __matmul__(self, Y: Array) -> Array:
        if is_sparse(Y):
            raise TypeError(f"Y is {type(Y).__name__}: expected an array")
        return _on_columns(self._sketch._apply_transpose, "Y", Y, self._sketch.shape[0])


def compose(S: Sketch, R: Sketch) -> Sketch:
    r"""``S R``: first the sketch ``R``, then the sketch ``S``; (m, n) from ``S`` (m, k) and ``R`` (k, n).

    :math:`\mathbb E\,(SR)^\top SR=I` when the two are independent. ``touched`` is the number that the two
    allow, at most m. Cost: that of both. Raises ``ValueError`` when the shapes do not fit.
    """
    if S.shape[1] != R.shape[0]:
        raise ValueError(f"S of shape {S.shape}: expected {R.shape[0]} columns, R is {R.shape}")
    return _Composition(S, R)


class _Composition(Sketch):
    def __init__(self, S: Sketch, R: Sketch) -> None:
        self._S, self._R, self.place = S, R, R.place
        self.shape = (S.shape[0], R.shape[1])
        self.touched = min(S.shape[0], S.touched * R.touched)

    def _apply(self, A: Array) -> Array:
        return self._S @ (self._R @ A)

    _apply_sparse = _apply

    def _apply_transpose(self, Y: Array) -> Array:
        return self._R.T @ (self._S.T @ Y)

    def _columns(self, index: Array) -> Array:
        return self._S @ self._R.columns(index)


# -- what the families share -----------------------------------------------------------------------------


def checked_sizes(rng: np.random.Generator, **sizes: int) -> list[int]:
    """The ``sizes`` as Python integers. Raises ``ValueError`` unless all are integers >= 1, ``TypeError``
    unless ``rng`` is a NumPy generator."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name}={value!r}: expected an integer >= 1")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng={rng!r}: expected a NumPy random generator")
    return [int(value) for value in sizes.values()]


def real_parts(xp: Any, dtype: Any) -> int:
    """How many real numbers one of ``dtype`` is: 2 if complex, else 1."""
    return 2 if xp.isdtype(dtype, "complex floating") else 1


def is_sparse(A: Any) -> bool:
    """Whether ``A`` is one of the sparse matrices that a sketch may take."""
    return isinstance(A, SparseRows) or sparse.issparse(A)


def _check_numbers(name: str, xp: Any, dtype: Any) -> None:
    if dtype not in (xp.float32, xp.float64, xp.complex64, xp.complex128):
        raise TypeError(f"{name} of dtype {dtype}: expected floating numbers of 32 or 64 bits")


def _on_columns(apply: Callable[[Array], Array], name: str, x: Array, rows: int) -> Array:
    """``apply(x)``, once ``x`` is a vector or matrix of floating numbers with so many ``rows``."""
    xp = namespace(x)
    if x.ndim not in (1, 2) or x.shape[0] != rows:
        raise ValueError(f"{name} of shape {tuple(x.shape)}: expected ({rows},) or ({rows}, columns)")
    _check_numbers(name, xp, x.dtype)
    return apply(x[:, None])[:, 0] if x.ndim == 1 else apply(x)
