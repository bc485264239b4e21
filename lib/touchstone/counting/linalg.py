"""Products and the linear algebra extension of the array API standard, counted.

A product of complex factors is four real products (two when one factor is real) and enters the trace so.
Factorisations follow the table in ``prices``; complex ones cost four times the real ones in every tally.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from touchstone.counting import costs, elementwise, layout, manipulation, prices, statistical
from touchstone.counting.elementwise import has_all_data
from touchstone.counting.manipulation import diagonal
from touchstone.counting.manipulation import matrix_transpose as matrix_transpose
from touchstone.counting.storage import Stored, check_array, dtype_of, fresh, from_result

# -- products --------------------------------------------------------------------------------------------


def _real_products(*arrays: Stored) -> int:
    """How many real products one product of these is."""
    return math.prod(2 if x._dtype.kind == "c" else 1 for x in arrays)


def _product_dtype(a: Stored, b: Stored) -> np.dtype:
    return dtype_of(
        ("matmul", a._dtype, b._dtype),
        lambda: np.matmul(np.ones((1, 1), a._dtype), np.ones((1, 1), b._dtype)),
    )


def matmul(x1: Stored, x2: Stored, /) -> Stored:
    """The matrix product over the last two axes, batched over the others: m k n multiply-adds."""
    check_array(x1, "matmul", "x1")
    check_array(x2, "matmul", "x2")
    a, b = x1._shape, x2._shape
    if not a or not b:
        raise ValueError(f"matmul of shapes {a} and {b}: expected one axis or more")
    m = a[-2] if len(a) > 1 else 1
    n = b[-1] if len(b) > 1 else 1
    k = a[-1]
    if k != (b[-2] if len(b) > 1 else b[0]):
        raise ValueError(f"matmul of shapes {a} and {b}: the inner sides differ")
    batch = layout.broadcast(a[:-2], b[:-2])
    if x1._data is not None and x2._data is not None:
        result = from_result(np.matmul(x1._data, x2._data))
    else:
        shape = batch + a[-2:-1] + (b[-1:] if len(b) > 1 else ())
        result = fresh(None, shape, _product_dtype(x1, x2))
    costs.charge_product(m, k, n, math.prod(batch) * _real_products(x1, x2))
    return result


def vecdot(x1: Stored, x2: Stored, /, *, axis: int = -1) -> Stored:
    """Dot products along ``axis``, conjugating ``x1``: a (1, k, 1) product for each."""
    check_array(x1, "vecdot", "x1")
    check_array(x2, "vecdot", "x2")
    if not x1.ndim or not x2.ndim or not -min(x1.ndim, x2.ndim) <= axis < max(x1.ndim, x2.ndim):
        raise ValueError(f"vecdot of shapes {x1._shape} and {x2._shape}: there is no axis {axis}")
    if axis >= 0 and x1.ndim != x2.ndim:
        raise ValueError("vecdot: expected a negative axis for arrays of different dimensions")
    if x1._shape[axis] != x2._shape[axis]:
        raise ValueError(f"vecdot of shapes {x1._shape} and {x2._shape}: the sides of axis {axis} differ")
    k = x1._shape[axis]
    rest = []
    for x in (x1, x2):
        at = axis % x.ndim
        rest.append(x._shape[:at] + x._shape[at + 1 :])
    shape = layout.broadcast(*rest)
    if has_all_data("vecdot", x1, x2):
        result = from_result(np.vecdot(x1._data, x2._data, axis=axis))
    else:
        result = fresh(None, shape, _product_dtype(x1, x2))
    costs.charge_product(1, k, 1, math.prod(shape) * _real_products(x1, x2))
    return result


def outer(x1: Stored, x2: Stored, /) -> Stored:
    """All products of an entry of ``x1`` and one of ``x2``: an (m, 1, n) product."""
    check_array(x1, "outer", "x1")
    check_array(x2, "outer", "x2")
    if x1.ndim != 1 or x2.ndim != 1:
        raise ValueError(f"outer of shapes {x1._shape} and {x2._shape}: expected one axis each")
    m, n = x1._shape[0], x2._shape[0]
    if has_all_data("outer", x1, x2):
        result = from_result(np.outer(x1._data, x2._data))
    else:
        result = fresh(None, (m, n), _product_dtype(x1, x2))
    costs.charge_product(m, 1, n, _real_products(x1, x2))
    return result


def tensordot(x1: Stored, x2: Stored, /, *, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Stored:
    """The contraction over ``axes``, as one matrix product; reordering axes may move entries first."""
    check_array(x1, "tensordot", "x1")
    check_array(x2, "tensordot", "x2")
    if isinstance(axes, int):
        left, right = list(range(x1.ndim - axes, x1.ndim)), list(range(axes))
    else:
        left = [layout.axis_of(axis, x1.ndim) for axis in axes[0]]
        right = [layout.axis_of(axis, x2.ndim) for axis in axes[1]]
    if [x1._shape[i] for i in left] != [x2._shape[i] for i in right]:
        raise ValueError(f"axes={axes!r}: the sides of {x1._shape} and {x2._shape} differ there")
    rows = [i for i in range(x1.ndim) if i not in left]
    columns = [i for i in range(x2.ndim) if i not in right]
    k = math.prod(x1._shape[i] for i in left)
    shape = tuple(x1._shape[i] for i in rows) + tuple(x2._shape[i] for i in columns)
    a = manipulation.permute_dims(x1, rows + left)
    b = manipulation.permute_dims(x2, right + columns)
    a = manipulation.reshape(a, (math.prod(x1._shape[i] for i in rows), k))
    b = manipulation.reshape(b, (k, math.prod(x2._shape[i] for i in columns)))
    return manipulation.reshape(matmul(a, b), shape)


def cross(x1: Stored, x2: Stored, /, *, axis: int = -1) -> Stored:
    """Cross products of vectors of three entries: nine operations each."""
    if has_all_data("cross", x1, x2) and (x1._shape[axis] != 3 or x2._shape[axis] != 3):
        raise ValueError(f"cross of shapes {x1._shape} and {x2._shape}: expected 3 entries along axis {axis}")
    shape = layout.broadcast(x1._shape, x2._shape)
    if shape[axis] != 3:
        raise ValueError(f"cross of shapes {x1._shape} and {x2._shape}: expected 3 entries along axis {axis}")
    if has_all_data("cross", x1, x2):
        result = from_result(np.cross(x1._data, x2._data, axis=axis))
    else:
        result = fresh(None, shape, _product_dtype(x1, x2))
    products = 6 if _real_products(x1, x2) == 4 else _real_products(x1, x2)
    sums = 2 if _real_products(x1, x2) > 1 else 1
    costs.charge(arithmetic=(2 * products + sums) * math.prod(shape))
    return result


def matrix_power(x: Stored, n: int, /) -> Stored:
    """The ``n``-th power by repeated squaring; n = 0 is the identity, n < 0 the power of the inverse."""
    side = _square("matrix_power", x)
    if n == 0:
        identity = fresh(None if x._data is None else np.eye(side, dtype=x._dtype), (side, side), x._dtype)
        costs.charge(moves=side * side)
        return manipulation.broadcast_to(identity, x._shape)
    if n < 0:
        return matrix_power(inv(x), -n)
    result, base = None, x
    while n:
        if n & 1:
            result = base if result is None else matmul(result, base)
        n >>= 1
        if n:
            base = matmul(base, base)
    return manipulation.copied(x) if result is x else result


# -- norms -----------------------------------------------------------------------------------------------


def vector_norm(
    x: Stored, /, *, axis: int | Sequence[int] | None = None, keepdims: bool = False, ord: Any = 2
) -> Stored:
    """The ``ord``-norm of the entries along ``axis``.

    Cost for k entries: the absolute values (for ord = 2 the squares), k - 1 additions, and the root; for
    ord = ±inf k - 1 comparisons instead; for ord = 0 a count of nonzeros.
    """
    check_array(x, "vector_norm")
    axes = layout.axes_of(axis, x.ndim)
    kind = x._dtype.kind
    size = 3 if kind == "c" else 1  # arithmetic of an absolute value or of its square
    roots = 1 if kind == "c" else 0

    def price(k: int) -> dict[str, int]:
        if ord == 0:
            return {"comparisons": k, "arithmetic": k - 1}
        if ord in (math.inf, -math.inf):
            return {"arithmetic": size * k, "transcendentals": roots * k, "comparisons": k - 1}
        if ord == 2:
            return {"arithmetic": size * k + k - 1, "transcendentals": 1}
        if ord == 1:
            return {"arithmetic": size * k + k - 1, "transcendentals": roots * k}
        return {"arithmetic": size * k + k - 1, "transcendentals": (1 + roots) * k + 1}

    def function(data: np.ndarray, axis: Any, keepdims: bool = False) -> Any:
        return np.linalg.vector_norm(data, axis=axis, keepdims=keepdims, ord=ord)

    return statistical.reduction(f"vector_norm {ord}", function, x, axes, keepdims, price)


def matrix_norm(x: Stored, /, *, keepdims: bool = False, ord: Any = "fro") -> Stored:
    """A norm of the matrices in the last two axes: "fro", "nuc", 1, -1, 2, -2, inf or -inf."""
    _matrix("matrix_norm", x)
    if ord == "fro":
        return vector_norm(x, axis=(-2, -1), keepdims=keepdims)
    if ord in (2, -2, "nuc"):
        values = svdvals(x)
        reduce = {2: statistical.max, -2: statistical.min, "nuc": statistical.sum}[ord]
        result = reduce(values, axis=-1)
    elif ord in (1, -1, math.inf, -math.inf):
        sums = statistical.sum(elementwise.abs(x), axis=-2 if abs(ord) == 1 else -1)
        result = statistical.max(sums, axis=-1) if ord > 0 else statistical.min(sums, axis=-1)
    else:
        raise ValueError(f"ord={ord!r}: expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf")
    return manipulation.expand_dims(result, (-2, -1)) if keepdims else result


def trace(x: Stored, /, *, offset: int = 0, dtype: Any = None) -> Stored:
    """The sum of the diagonal ``offset`` above the main one of the last two axes."""
    _matrix("trace", x)
    return statistical.sum(diagonal(x, offset=offset), axis=-1, dtype=dtype)


def matrix_rank(x: Stored, /, *, rtol: Any = None) -> Stored:
    """How many singular values exceed ``rtol`` times the largest: an SVD and the comparisons."""
    m, n = _matrix("matrix_rank", x)
    values = svdvals(x)
    if rtol is None:
        rtol = float(max(m, n) * np.finfo(values._dtype).eps)
    cut = elementwise.multiply(statistical.max(values, axis=-1, keepdims=True), rtol)
    return statistical.count_nonzero(elementwise.greater(values, cut), axis=-1)


# -- factorisations --------------------------------------------------------------------------------------


def _matrix(name: str, x: Stored) -> tuple[int, int]:
    check_array(x, name)
    if x.ndim < 2:
        raise ValueError(f"{name}: expected two axes or more, the shape is {x._shape}")
    return x._shape[-2], x._shape[-1]


def _square(name: str, x: Stored) -> int:
    m, n = _matrix(name, x)
    if m != n:
        raise ValueError(f"{name}: expected square matrices, the shape is {x._shape}")
    return n


def _factorised(
    name: str, function: Any, x: Stored, shapes: Sequence[layout.Shape], price: prices.Price
) -> list[Stored]:
    """The factors that ``function`` returns, of ``shapes``; ``price`` is for one matrix."""
    *batch, m, n = x._shape
    if x._data is not None:
        factors = function(x._data)
        result = [from_result(part) for part in (factors if isinstance(factors, tuple) else (factors,))]
    else:
        result = []
        for i, shape in enumerate(shapes):

            def part(i: int = i) -> Any:
                factors = function(np.eye(2, dtype=x._dtype))
                return factors[i] if isinstance(factors, tuple) else factors

            result.append(fresh(None, (*batch, *shape), dtype_of((name, i, x._dtype), part)))
    times = 4 if x._dtype.kind == "c" else 1
    operations = {operation: times * number for operation, number in price.items()}
    costs.charge_factorisation(name, m, n, math.prod(batch), operations)
    return result


def cholesky(x: Stored, /, *, upper: bool = False) -> Stored:
    """The Cholesky factor (lower unless ``upper``)."""
    n = _square("cholesky", x)
    function = (lambda a: np.linalg.cholesky(a, upper=True)) if upper else np.linalg.cholesky
    return _factorised("cholesky", function, x, [(n, n)], prices.cholesky(n))[0]


class QR(NamedTuple):
    """What ``qr`` returns."""

    Q: Stored
    R: Stored


def qr(x: Stored, /, *, mode: str = "reduced") -> QR:
    """The QR factorisation, "reduced" or "complete"."""
    m, n = _matrix("qr", x)
    if mode not in ("reduced", "complete"):
        raise ValueError(f"mode={mode!r}: expected 'reduced' or 'complete'")
    inner = min(m, n) if mode == "reduced" else m
    shapes = [(m, inner), (inner, n)]
    return QR(
        *_factorised("qr", lambda a: tuple(np.linalg.qr(a, mode=mode)), x, shapes, prices.qr(m, n, mode))
    )


class SVD(NamedTuple):
    """What ``svd`` returns."""

    U: Stored
    S: Stored
    Vh: Stored


def svd(x: Stored, /, *, full_matrices: bool = True) -> SVD:
    """The singular value decomposition."""
    m, n = _matrix("svd", x)
    k = min(m, n)
    shapes = [(m, m), (k,), (n, n)] if full_matrices else [(m, k), (k,), (k, n)]
    price = prices.svd(m, n, "full" if full_matrices else "thin")
    function = lambda a: tuple(np.linalg.svd(a, full_matrices=full_matrices))  # noqa: E731
    return SVD(*_factorised("svd", function, x, shapes, price))


def svdvals(x: Stored, /) -> Stored:
    """The singular values, largest first."""
    m, n = _matrix("svdvals", x)
    return _factorised("svdvals", np.linalg.svdvals, x, [(min(m, n),)], prices.svd(m, n, "none"))[0]


def pinv(x: Stored, /, *, rtol: Any = None) -> Stored:
    """The pseudo-inverse: a thin SVD, its values inverted, the rows scaled, and one product."""
    m, n = _matrix("pinv", x)
    k = min(m, n)
    *batch, _, _ = x._shape
    price = prices.svd(m, n, "thin")
    price |= {"arithmetic": k + k * n, "comparisons": 2 * k}
    rtol = float(max(m, n) * np.finfo(x._dtype).eps) if rtol is None else rtol
    result = _factorised("pinv", lambda a: np.linalg.pinv(a, rtol=rtol), x, [(n, m)], price)[0]
    costs.charge_product(n, k, m, math.prod(batch) * _real_products(x, x))
    return result


class Eigen(NamedTuple):
    """What ``eigh`` and ``eig`` return."""

    eigenvalues: Stored
    eigenvectors: Stored


def eigh(x: Stored, /) -> Eigen:
    """Eigenvalues (rising) and eigenvectors of symmetric or Hermitian matrices."""
    n = _square("eigh", x)
    function = lambda a: tuple(np.linalg.eigh(a))  # noqa: E731
    return Eigen(*_factorised("eigh", function, x, [(n,), (n, n)], prices.symmetric_eigen(n)))


def eigvalsh(x: Stored, /) -> Stored:
    """Eigenvalues (rising) of symmetric or Hermitian matrices."""
    n = _square("eigvalsh", x)
    return _factorised("eigvalsh", np.linalg.eigvalsh, x, [(n,)], prices.symmetric_eigen(n, False))[0]


def _as_complex(a: np.ndarray) -> np.ndarray:
    return a if a.dtype.kind == "c" else a.astype(np.result_type(a.dtype, np.complex64))


def eig(x: Stored, /) -> Eigen:
    """Eigenvalues and eigenvectors of square matrices, always complex."""
    n = _square("eig", x)
    function = lambda a: tuple(_as_complex(part) for part in np.linalg.eig(a))  # noqa: E731
    return Eigen(*_factorised("eig", function, x, [(n,), (n, n)], prices.eigen(n)))


def eigvals(x: Stored, /) -> Stored:
    """Eigenvalues of square matrices, always complex."""
    n = _square("eigvals", x)
    function = lambda a: _as_complex(np.linalg.eigvals(a))  # noqa: E731
    return _factorised("eigvals", function, x, [(n,)], prices.eigen(n, False))[0]


def inv(x: Stored, /) -> Stored:
    """The inverse matrices."""
    n = _square("inv", x)
    return _factorised("inv", np.linalg.inv, x, [(n, n)], prices.inverse(n))[0]


def det(x: Stored, /) -> Stored:
    """The determinants."""
    n = _square("det", x)
    return _factorised("det", np.linalg.det, x, [()], prices.determinant(n))[0]


class Slogdet(NamedTuple):
    """What ``slogdet`` returns."""

    sign: Stored
    logabsdet: Stored


def slogdet(x: Stored, /) -> Slogdet:
    """Sign and logarithm of the determinants."""
    n = _square("slogdet", x)
    function = lambda a: tuple(np.linalg.slogdet(a))  # noqa: E731
    return Slogdet(*_factorised("slogdet", function, x, [(), ()], prices.log_determinant(n)))


def solve(x1: Stored, x2: Stored, /) -> Stored:
    """The solutions of x1 y = x2; ``x2`` is one vector or a stack of matrices of right-hand sides."""
    check_array(x2, "solve", "x2")
    n = _square("solve", x1)
    one = x2.ndim == 1
    rows, right_sides = (x2._shape[0], 1) if one else x2._shape[-2:]
    if rows != n:
        raise ValueError(f"solve of shapes {x1._shape} and {x2._shape}: the numbers of rows differ")
    batch = layout.broadcast(x1._shape[:-2], () if one else x2._shape[:-2])
    shape = (*batch, n) if one else (*batch, n, right_sides)
    if has_all_data("solve", x1, x2):
        result = from_result(np.linalg.solve(x1._data, x2._data))
    else:
        key = ("solve", x1._dtype, x2._dtype)
        eyes = np.eye(1, dtype=x1._dtype), np.eye(1, dtype=x2._dtype)
        result = fresh(None, shape, dtype_of(key, lambda: np.linalg.solve(*eyes)))
    times = 4 if "c" in (x1._dtype.kind, x2._dtype.kind) else 1
    price = {name: times * number for name, number in prices.solve(n, right_sides).items()}
    costs.charge_factorisation("solve", n, n, math.prod(batch), price)
    return result
