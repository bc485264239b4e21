"""The rest of the standard, function by function: NumPy's result, and equal counts without data."""

import numpy as np
import pytest

import touchstone.counting.namespace as xp
from touchstone import arrays
from touchstone.counting.array import ShapeOnlyError, count, counted
from touchstone.counting.shapes import shape_only

RNG = np.random.default_rng(11)
A = RNG.standard_normal((5, 5)) + 5 * np.eye(5)
S = A @ A.T
T = RNG.standard_normal((2, 6, 4))
W = T.mT.copy()
C = T + 1j * RNG.standard_normal((2, 6, 4))
B = RNG.standard_normal((5, 3))
F = np.float32(T)

# (function of the namespace and arrays, the NumPy result, arrays)
CASES = {
    "permute_dims": (lambda xp, x: xp.permute_dims(x, (2, 0, 1)), lambda x: x.transpose(2, 0, 1), [T]),
    "moveaxis": (lambda xp, x: xp.moveaxis(x, 0, -1), lambda x: np.moveaxis(x, 0, -1), [T]),
    "moveaxis two": (
        lambda xp, x: xp.moveaxis(x, (0, 2), (1, 0)),
        lambda x: np.moveaxis(x, (0, 2), (1, 0)),
        [T],
    ),
    "squeeze": (lambda xp, x: xp.squeeze(x[:1, :, :], 0), lambda x: x[0], [T]),
    "expand_dims": (lambda xp, x: xp.expand_dims(x, axis=(0, -1)), lambda x: x[None, ..., None], [T]),
    "unstack": (lambda xp, x: xp.unstack(x, axis=1)[3], lambda x: x[:, 3], [T]),
    "roll": (lambda xp, x: xp.roll(x, (1, 2), axis=(0, 2)), lambda x: np.roll(x, (1, 2), (0, 2)), [T]),
    "tile": (lambda xp, x: xp.tile(x, (2, 1, 1, 3)), lambda x: np.tile(x, (2, 1, 1, 3)), [T]),
    "repeat": (lambda xp, x: xp.repeat(x, 3), lambda x: np.repeat(x, 3), [T]),
    "triu": (lambda xp, x: xp.triu(x, k=1), lambda x: np.triu(x, 1), [T]),
    "concat flat": (lambda xp, x: xp.concat([x, x], axis=None), lambda x: np.concatenate([x, x], None), [T]),
    "meshgrid": (
        lambda xp, x: xp.meshgrid(x[0, 0, :], x[0, :, 0])[1],
        lambda x: np.meshgrid(x[0, 0, :], x[0, :, 0])[1],
        [T],
    ),
    "broadcast_arrays": (
        lambda xp, x: xp.broadcast_arrays(x, x[:1, :, :1])[1],
        lambda x: np.broadcast_to(x[:1, :, :1], x.shape),
        [T],
    ),
    "argsort descending": (
        lambda xp, x: xp.argsort(x, axis=1, descending=True),
        lambda x: np.argsort(-x, axis=1),
        [T],
    ),
    "sort descending": (
        lambda xp, x: xp.sort(x, axis=1, descending=True),
        lambda x: -np.sort(-x, axis=1),
        [T],
    ),
    "argmax": (lambda xp, x: xp.argmax(x, axis=1, keepdims=True), lambda x: x.argmax(1, keepdims=True), [T]),
    "isin": (lambda xp, x: xp.isin(x, x[0, 0, :]), lambda x: np.isin(x, x[0, 0]), [T]),
    "cumulative_prod": (
        lambda xp, x: xp.cumulative_prod(x, axis=2, include_initial=True),
        lambda x: np.cumulative_prod(x, axis=2, include_initial=True),
        [T],
    ),
    "count_nonzero": (lambda xp, x: xp.count_nonzero(x > 0, axis=(0, 2)), lambda x: (x > 0).sum((0, 2)), [T]),
    "sum axes": (lambda xp, x: xp.sum(x, axis=(0, 2)), lambda x: x.sum((0, 2)), [F]),
    "sum dtype": (lambda xp, x: xp.sum(x, dtype=xp.float64), lambda x: x.sum(dtype=float), [F]),
    "sum no axes": (lambda xp, x: xp.sum(x, axis=()), lambda x: x, [F]),
    "std": (lambda xp, x: xp.std(x, axis=1, correction=1), lambda x: x.std(1, ddof=1), [F]),
    "diff": (
        lambda xp, x: xp.diff(x, axis=1, prepend=x[:, :1, :]),
        lambda x: np.diff(x, axis=1, prepend=x[:, :1, :]),
        [T],
    ),
    "logical": (
        lambda xp, x: xp.logical_and(x > 0, xp.logical_not(x > 1)),
        lambda x: (x > 0) & ~(x > 1),
        [T],
    ),
    "real": (lambda xp, x: xp.real(x) + xp.imag(x), lambda x: x.real + x.imag, [C]),
    "conj": (lambda xp, x: xp.conj(x), np.conj, [C]),
    "conj real": (lambda xp, x: xp.conj(x), np.conj, [T]),
    "atan2": (lambda xp, x: xp.atan2(x, x + 1), lambda x: np.arctan2(x, x + 1), [T]),
    "astype": (lambda xp, x: xp.astype(x, xp.complex64), lambda x: x.astype("c8"), [T]),
    "matmul batched": (lambda xp, x, y: x @ y, np.matmul, [T, W]),
    "matmul vector": (lambda xp, x: x[0, 0, :] @ x[1, 1, :], lambda x: x[0, 0] @ x[1, 1], [T]),
    "matmul row": (lambda xp, x, y: x[0, 0, :] @ y, lambda x, y: x[0, 0] @ y, [T, W]),
    "matmul complex": (lambda xp, x, y: x @ y, np.matmul, [C, W]),
    "vecdot": (lambda xp, x: xp.vecdot(x, x), lambda x: np.vecdot(x, x), [C]),
    "vecdot axis": (lambda xp, x: xp.vecdot(x, x[:1, :, :], axis=-2), lambda x: (x * x[:1]).sum(1), [T]),
    "tensordot": (
        lambda xp, x, y: xp.tensordot(x, y, axes=((2, 0), (1, 0))),
        lambda x, y: np.tensordot(x, y, ((2, 0), (1, 0))),
        [T, W],
    ),
    "outer": (lambda xp, x: xp.linalg.outer(x[0, :], x[:, 0]), lambda x: np.outer(x[0], x[:, 0]), [A]),
    "cross": (lambda xp, x: xp.linalg.cross(x[:2, :], x[2:4, :]), lambda x: np.cross(x[:2], x[2:4]), [B]),
    "matrix_power": (
        lambda xp, x: xp.linalg.matrix_power(x, 5),
        lambda x: np.linalg.matrix_power(x, 5),
        [A],
    ),
    "matrix_power 0": (lambda xp, x: xp.linalg.matrix_power(x, 0), lambda x: np.eye(5), [A]),
    "matrix_power -2": (
        lambda xp, x: xp.linalg.matrix_power(x, -2),
        lambda x: np.linalg.matrix_power(x, -2),
        [A],
    ),
    "diagonal": (lambda xp, x: xp.linalg.diagonal(x, offset=-1), lambda x: np.diagonal(x, -1, 1, 2), [T]),
    "trace": (lambda xp, x: xp.linalg.trace(x, offset=1), lambda x: np.trace(x, 1, 1, 2), [T]),
    "vector_norm 3": (
        lambda xp, x: xp.linalg.vector_norm(x, ord=3, axis=(0, 1)),
        lambda x: (abs(x) ** 3).sum((0, 1)) ** (1 / 3),
        [T],
    ),
    "vector_norm 0": (lambda xp, x: xp.linalg.vector_norm(x, ord=0), lambda x: float((x != 0).sum()), [T]),
    "vector_norm complex": (
        lambda xp, x: xp.linalg.vector_norm(x, axis=-1),
        lambda x: np.sqrt((abs(x) ** 2).sum(-1)),
        [C],
    ),
    **{
        f"matrix_norm {order}": (
            lambda xp, x, order=order: xp.linalg.matrix_norm(x, ord=order, keepdims=True),
            lambda x, order=order: np.linalg.matrix_norm(x, ord=order, keepdims=True),
            [T],
        )
        for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    },
    "matrix_rank": (lambda xp, x: xp.linalg.matrix_rank(x[:, :1] @ x[:1, :]), lambda x: np.asarray(1), [A]),
    "inv": (lambda xp, x: xp.linalg.inv(x), np.linalg.inv, [A]),
    "det": (lambda xp, x: xp.linalg.det(x), np.linalg.det, [A]),
    "slogdet": (lambda xp, x: xp.linalg.slogdet(x).logabsdet, lambda x: np.linalg.slogdet(x)[1], [A]),
    "solve": (lambda xp, x, y: xp.linalg.solve(x, y), np.linalg.solve, [A, B]),
    "solve vector": (
        lambda xp, x, y: xp.linalg.solve(x, y[:, 0]),
        lambda x, y: np.linalg.solve(x, y[:, 0]),
        [A, B],
    ),
    "cholesky": (lambda xp, x: xp.linalg.cholesky(x), np.linalg.cholesky, [S]),
    "cholesky upper": (
        lambda xp, x: xp.linalg.cholesky(x, upper=True),
        lambda x: np.linalg.cholesky(x).T,
        [S],
    ),
    "eigh": (lambda xp, x: xp.linalg.eigh(x).eigenvalues, np.linalg.eigvalsh, [S]),
    "eigvalsh": (lambda xp, x: xp.linalg.eigvalsh(x), np.linalg.eigvalsh, [S]),
    "eigvals": (
        lambda xp, x: xp.linalg.eigvals(x),
        lambda x: np.linalg.eigvals(x).astype(complex),
        [S],
    ),
    "svdvals": (lambda xp, x: xp.linalg.svdvals(x), np.linalg.svdvals, [T]),
    "svd": (lambda xp, x: xp.linalg.svd(x, full_matrices=False).S, np.linalg.svdvals, [T]),
    "pinv": (lambda xp, x: xp.linalg.pinv(x), np.linalg.pinv, [T]),
    "fft": (lambda xp, x: xp.fft.fft(x, n=5, axis=1), lambda x: np.fft.fft(x, 5, 1), [T]),
    "fft single": (lambda xp, x: xp.fft.fft(x), np.fft.fft, [F]),
    "ifft": (lambda xp, x: xp.fft.ifft(x, norm="ortho"), lambda x: np.fft.ifft(x, norm="ortho"), [C]),
    "rfft": (lambda xp, x: xp.fft.rfft(x, axis=0), lambda x: np.fft.rfft(x, axis=0), [T]),
    "irfft": (lambda xp, x: xp.fft.irfft(x, axis=1), lambda x: np.fft.irfft(x, axis=1), [C]),
    "hfft": (lambda xp, x: xp.fft.hfft(x), np.fft.hfft, [C]),
    "ihfft": (lambda xp, x: xp.fft.ihfft(x), np.fft.ihfft, [T]),
    "fftn": (lambda xp, x: xp.fft.fftn(x), np.fft.fftn, [C]),
    "ifftn": (
        lambda xp, x: xp.fft.ifftn(x, s=(3, 4), axes=(0, 1)),
        lambda x: np.fft.ifftn(x, (3, 4), (0, 1)),
        [C],
    ),
    "rfftn": (lambda xp, x: xp.fft.rfftn(x), np.fft.rfftn, [T]),
    "irfftn": (
        lambda xp, x: xp.fft.irfftn(x, axes=(1, 2)),
        lambda x: np.fft.irfftn(x, axes=(1, 2)),
        [C],
    ),
    "fftshift": (lambda xp, x: xp.fft.fftshift(x), np.fft.fftshift, [T]),
    "ifftshift": (lambda xp, x: xp.fft.ifftshift(x, axes=1), lambda x: np.fft.ifftshift(x, 1), [T]),
}


@pytest.mark.parametrize("name", CASES)
def test_result_is_numpy_s_and_counts_need_no_data(name):
    function, reference, hosts = CASES[name]
    with count() as executed:
        got = function(xp, *map(counted, hosts))
    shapes = [shape_only(*x.shape, dtype=x.dtype) for x in hosts]
    with count() as without:
        shape_of = function(arrays.namespace(*shapes), *shapes)
    expected = np.asarray(reference(*hosts))
    assert got.shape == shape_of.shape == expected.shape
    assert got.dtype == shape_of.dtype
    if expected.dtype.kind in "fc" and got.dtype.kind in "fc":
        assert got.dtype == expected.dtype
    # condition numbers here are below 1e3, so a relative 1e-9 leaves three digits to spare in float64
    tolerance = 1e-9 if got.dtype.itemsize // (1 + (got.dtype.kind == "c")) == 8 else 1e-5
    np.testing.assert_allclose(arrays.to_host(got), expected, rtol=tolerance, atol=tolerance)
    assert executed.numbers() == without.numbers()
    assert executed.products == without.products
    assert executed.ffts == without.ffts
    assert executed.factorisations == without.factorisations
    if name not in VIEWS:
        assert executed.operations + executed.moves > 0


VIEWS = {
    "permute_dims", "moveaxis", "moveaxis two", "squeeze", "expand_dims", "unstack", "broadcast_arrays",
    "diagonal", "conj real",
}  # fmt: skip


@pytest.mark.parametrize("host", [T, W, C, np.float32(T)], ids=["tall", "wide", "complex", "single"])
@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_factors_multiply_back(host, mode):
    x, s = counted(host), shape_only(*host.shape, dtype=host.dtype)
    tolerance = (
        1e-4 if host.dtype == np.float32 else 1e-10
    )  # 1e3 units in the last place of entries of size 1
    Q, R = xp.linalg.qr(x, mode=mode)
    np.testing.assert_allclose(arrays.to_host(Q @ R), host, atol=tolerance)
    U, D, V = xp.linalg.svd(x, full_matrices=mode == "complete")
    k = min(host.shape[1:])
    back = (U[..., :k] * D[:, None, :]) @ V[:, :k, :]
    np.testing.assert_allclose(arrays.to_host(back), host, atol=tolerance)
    for got, without in zip(
        (Q, R, U, D, V),
        (*xp.linalg.qr(s, mode=mode), *xp.linalg.svd(s, full_matrices=mode == "complete")),
        strict=True,
    ):
        assert got.shape == without.shape
        assert got.dtype == without.dtype


def test_eigenvectors_solve_their_equation():
    values, vectors = xp.linalg.eigh(counted(S))
    np.testing.assert_allclose(S @ arrays.to_host(vectors), arrays.to_host(vectors * values), atol=1e-9)
    values, vectors = xp.linalg.eig(counted(A))
    assert values.dtype == vectors.dtype == xp.complex128
    np.testing.assert_allclose(A @ arrays.to_host(vectors), arrays.to_host(vectors * values), atol=1e-9)


def test_unique_and_nonzero_need_data():
    x = counted(np.array([3, 1, 3, 2, 1]))
    every = xp.unique_all(x)
    assert arrays.to_host(every.values).tolist() == [1, 2, 3]
    assert arrays.to_host(every.counts).tolist() == [2, 1, 2]
    assert arrays.to_host(xp.unique_values(x)).tolist() == [1, 2, 3]
    assert arrays.to_host(xp.unique_counts(x).counts).tolist() == [2, 1, 2]
    back = xp.take(xp.unique_inverse(x).values, xp.unique_inverse(x).inverse_indices)
    assert arrays.to_host(back).tolist() == [3, 1, 3, 2, 1]
    with count() as costs:
        (where,) = xp.nonzero(x > 1)
    assert arrays.to_host(where).tolist() == [0, 2, 3]
    assert (costs.comparisons, costs.moves) == (10, 3)
    for f in (xp.unique_all, xp.unique_values, xp.nonzero):
        with pytest.raises(ShapeOnlyError, match="values"):
            f(shape_only(5))


def test_descending_argsort_keeps_the_order_of_ties():
    x = counted(np.array([1.0, 2.0, 1.0, 2.0]))
    assert arrays.to_host(xp.argsort(x, descending=True, stable=True)).tolist() == [1, 3, 0, 2]


def test_dtype_functions_take_arrays():
    x = xp.ones(2, dtype=xp.float32)
    assert xp.finfo(x).eps == np.finfo("f4").eps
    assert xp.iinfo(xp.int8).max == 127
    assert xp.can_cast(x, xp.float64)
    assert not xp.can_cast(xp.float64, xp.float32)
    assert xp.isdtype(x.dtype, "real floating")
    assert not xp.isdtype(x.dtype, ("integral", xp.float64))
    assert xp.float32 == np.float32
    assert xp.__array_namespace_info__().default_device() == "cpu"


@pytest.mark.parametrize(
    ("make", "reference"),
    [
        (lambda xp: xp.arange(5), np.arange(5)),
        (lambda xp: xp.arange(1, 8, 3), np.arange(1, 8, 3)),
        (lambda xp: xp.arange(8, 1, -3), np.arange(8, 1, -3)),
        (lambda xp: xp.arange(0.0, 1.0, 0.3), np.arange(0.0, 1.0, 0.3)),
        (lambda xp: xp.arange(3, dtype=xp.float32), np.arange(3, dtype="f4")),
        (lambda xp: xp.arange(5, 1), np.arange(5, 1)),
        (lambda xp: xp.linspace(0, 1, 5), np.linspace(0, 1, 5)),
        (lambda xp: xp.linspace(0, 1, 5, endpoint=False), np.linspace(0, 1, 5, endpoint=False)),
        (lambda xp: xp.eye(3, 4, k=1), np.eye(3, 4, 1)),
        (lambda xp: xp.full((2, 2), True), np.full((2, 2), True)),
        (lambda xp: xp.full(3, 7), np.full(3, 7)),
        (lambda xp: xp.full_like(xp.ones((2, 1)), 7), np.full((2, 1), 7.0)),
        (lambda xp: xp.zeros_like(xp.ones(2), dtype=xp.int8), np.zeros(2, "i1")),
        (lambda xp: xp.ones((2, 3), dtype=xp.complex64), np.ones((2, 3), "c8")),
    ],
)
def test_creation(make, reference):
    with count() as executed:
        got = make(xp)
    with count() as without:
        shape_of = make(arrays.namespace(shape_only(1)))
    np.testing.assert_array_equal(arrays.to_host(got), reference)
    assert got.dtype == shape_of.dtype == reference.dtype
    assert got.shape == shape_of.shape == reference.shape
    assert not shape_of.has_data
    assert executed.numbers() == without.numbers()


def test_asarray_copies_only_when_asked_and_keeps_data_beside_shape_only():
    x = xp.ones(3)
    assert xp.asarray(x) is x
    assert xp.asarray(x, copy=True) is not x
    assert xp.asarray(x, dtype=xp.float32).dtype == xp.float32
    with pytest.raises(ValueError, match="copy=False"):
        xp.asarray(x, dtype=xp.float32, copy=False)
    assert arrays.namespace(shape_only(2)).asarray([1.0]).has_data
    assert arrays.to_host(xp.from_dlpack(np.arange(3))).tolist() == [0, 1, 2]
