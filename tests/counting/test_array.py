"""The counting array: NumPy's results, exact tallies, no silent zero."""

import copy
import pickle

import array_api_compat
import array_api_strict
import numpy as np
import pytest

import touchstone.counting.namespace as xp
from touchstone import arrays
from touchstone.counting.array import CountingError, ShapeOnlyError, count, counted
from touchstone.counting.shapes import shape_only

RNG = np.random.default_rng(7)


def tally(costs):
    """The five operation tallies that are not zero."""
    names = ("multiply_adds", "arithmetic", "transcendentals", "comparisons", "moves")
    return {name: getattr(costs, name) for name in names if getattr(costs, name)}


def costs_of(f, *arguments):
    with count() as costs:
        f(*arguments)
    return tally(costs)


X = counted(RNG.standard_normal((4, 6)))
Y = counted(RNG.standard_normal((4, 6)))
Z = counted(RNG.standard_normal((4, 6)) + 1j * RNG.standard_normal((4, 6)))
I = counted(RNG.integers(1, 9, (4, 6)))


def test_array_namespace_accepts_it_with_and_without_data():
    assert array_api_compat.array_namespace(X) is xp
    assert array_api_compat.array_namespace(X, shape_only(3), 2.0).__name__ == xp.__name__
    assert array_api_compat.array_namespace(shape_only(3)).__name__ == xp.__name__
    assert array_api_compat.is_array_api_obj(X)
    assert array_api_compat.device(X) == "cpu"
    assert array_api_compat.to_device(X, "cpu") is X
    with pytest.raises(ValueError, match="device='gpu'"):
        array_api_compat.to_device(X, "gpu")
    with pytest.raises(TypeError, match="Multiple namespaces"):
        array_api_compat.array_namespace(X, np.ones(3))


def test_every_public_function_of_the_standard_exists():
    for part in ("", "linalg", "fft"):
        strict = getattr(array_api_strict, part) if part else array_api_strict
        ours = getattr(xp, part) if part else xp
        public = getattr(strict, "__all__", None)
        assert public
        housekeeping = {"Device", "ArrayAPIStrictFlags", "__version__"}
        missing = [n for n in public if not hasattr(ours, n) and "flags" not in n and n not in housekeeping]
        assert missing == [], f"{part or 'main'} lacks {missing}"


def test_counted_shares_memory_and_costs_nothing():
    host = np.zeros(3)
    with count() as costs:
        x = counted(host)
        x[0] = 5.0
    assert host[0] == 5.0
    assert tally(costs) == {"moves": 1}
    assert costs.bytes_peak == 0
    assert counted(x) is x
    assert arrays.to_host(x) is host
    with pytest.raises(TypeError, match="expected a NumPy array"):
        counted([1.0])
    with pytest.raises(TypeError, match="dtype"):
        counted(np.array(["a"]))


# (expression, its tally on (4, 6) real arrays), worked out by hand: 24 entries
REAL = [
    (lambda: X + Y, {"arithmetic": 24}),
    (lambda: 1 - X, {"arithmetic": 24}),
    (lambda: -X, {"arithmetic": 24}),
    (lambda: X / 2, {"arithmetic": 24}),
    (lambda: X + Y[0, :], {"arithmetic": 24}),
    (lambda: X[:, 0] + 1, {"arithmetic": 4}),
    (lambda: X**2, {"arithmetic": 24}),
    (lambda: X**3, {"arithmetic": 48}),
    (lambda: X**8, {"arithmetic": 72}),
    (lambda: X**7, {"arithmetic": 96}),
    (lambda: X**-1, {"arithmetic": 24}),
    (lambda: X ** np.int64(3), {"arithmetic": 48}),
    (lambda: X ** np.float64(2), {"arithmetic": 24}),
    (lambda: X**-2, {"arithmetic": 48}),
    (lambda: X**1, {"moves": 24}),
    (lambda: xp.abs(X) ** 0.5, {"arithmetic": 24, "transcendentals": 24}),
    (lambda: 2.0**X, {"transcendentals": 24}),
    (lambda: xp.exp(X), {"transcendentals": 24}),
    (lambda: xp.logaddexp(X, Y), {"transcendentals": 48, "arithmetic": 72, "comparisons": 24}),
    (lambda: X > Y, {"comparisons": 24}),
    (lambda: xp.maximum(X, Y), {"comparisons": 24}),
    (lambda: xp.where(X > 0, X, Y), {"comparisons": 48}),
    (lambda: xp.clip(X, -1, 1), {"comparisons": 48}),
    (lambda: xp.clip(X, max=Y), {"comparisons": 24}),
    (lambda: xp.isnan(X), {"comparisons": 24}),
    (lambda: xp.round(X), {"arithmetic": 24}),
    (lambda: xp.round(I), {"moves": 24}),
    (lambda: xp.sum(X), {"arithmetic": 23}),
    (lambda: xp.sum(X, axis=0), {"arithmetic": 18}),
    (lambda: xp.sum(X[:1, :], axis=0), {"moves": 6}),
    (lambda: xp.mean(X, axis=1), {"arithmetic": 24}),
    (lambda: xp.var(X, axis=1), {"arithmetic": 96}),
    (lambda: xp.std(X, axis=1), {"arithmetic": 96, "transcendentals": 4}),
    (lambda: xp.prod(X), {"arithmetic": 23}),
    (lambda: xp.max(X, axis=1), {"comparisons": 20}),
    (lambda: xp.argmin(X), {"comparisons": 23}),
    (lambda: xp.all(X > 0), {"comparisons": 47}),
    (lambda: xp.count_nonzero(X, axis=1), {"comparisons": 24, "arithmetic": 20}),
    (lambda: xp.cumulative_sum(X, axis=1), {"arithmetic": 20, "moves": 4}),
    (lambda: xp.cumulative_sum(X, axis=1, include_initial=True), {"arithmetic": 20, "moves": 8}),
    (lambda: xp.diff(X, axis=1), {"arithmetic": 20}),
    (lambda: xp.diff(X, axis=0, n=2), {"arithmetic": 18 + 12}),
    (lambda: xp.sort(X, axis=1), {"comparisons": 4 * 6 * 3, "moves": 24}),
    (lambda: xp.argsort(X, axis=0), {"comparisons": 6 * 4 * 2, "moves": 24}),
    (lambda: xp.searchsorted(xp.sort(X[0, :]), Y), {"comparisons": 18 + 24 * 3, "moves": 6}),
    (lambda: xp.concat([X, Y]), {"moves": 48}),
    (lambda: xp.stack([X, Y], axis=1), {"moves": 48}),
    (lambda: xp.take(X, I[0, :2] % 4, axis=0), {"moves": 12, "arithmetic": 2}),
    (lambda: xp.tril(X), {"moves": 24}),
    (lambda: xp.repeat(X, 2, axis=0), {"moves": 48}),
    (lambda: xp.tile(X, (2, 3)), {"moves": 144}),
    (lambda: xp.roll(X, 1), {"moves": 24}),
    (lambda: xp.astype(X, xp.float32), {"moves": 24}),
    (lambda: xp.astype(X, xp.float64, copy=False), {}),
    (lambda: xp.reshape(X, (6, 4)), {}),
    (lambda: xp.reshape(X.T, (-1,)), {"moves": 24}),
    (lambda: xp.flip(X)[None, ..., 0], {}),
    (lambda: xp.zeros((3, 5)), {"moves": 15}),
    (lambda: xp.empty((3, 5)), {}),
    (lambda: xp.eye(3), {"moves": 9}),
    (lambda: xp.arange(7), {"moves": 7}),
    (lambda: xp.linspace(0, 1, 7), {"arithmetic": 14}),
    (lambda: xp.asarray([1.0, 2.0]), {"moves": 2}),
    (lambda: X.T @ Y, {"multiply_adds": 6 * 4 * 6}),
    (lambda: X @ Y[0, :], {"multiply_adds": 24}),
    (lambda: xp.vecdot(X, Y), {"multiply_adds": 24}),
    (lambda: xp.linalg.outer(X[0, :], Y[:, 0]), {"multiply_adds": 24}),
    (lambda: xp.tensordot(X, Y, axes=2), {"multiply_adds": 24}),
    (lambda: xp.linalg.vector_norm(X), {"arithmetic": 47, "transcendentals": 1}),
    (lambda: xp.linalg.vector_norm(X, axis=1, ord=1), {"arithmetic": 44}),
    (lambda: xp.linalg.vector_norm(X, ord=np.inf), {"arithmetic": 24, "comparisons": 23}),
    (lambda: xp.linalg.matrix_norm(X), {"arithmetic": 47, "transcendentals": 1}),
    (lambda: xp.linalg.matrix_norm(X, ord=1), {"arithmetic": 24 + 18, "comparisons": 5}),
    (lambda: xp.linalg.trace(X), {"arithmetic": 3}),
    (lambda: xp.linalg.cross(X[:3, :], Y[:3, :], axis=0), {"arithmetic": 18 * 3}),
    (lambda: X[I[:, 0] % 4], {"moves": 24, "arithmetic": 4}),
    (lambda: X[X > 100.0], {"comparisons": 48}),
]


@pytest.mark.parametrize("case", range(len(REAL)))
def test_real_costs_by_hand(case):
    expression, expected = REAL[case]
    assert costs_of(expression) == expected


COMPLEX = [
    (lambda: Z + Z, {"arithmetic": 48}),
    (lambda: Z + X, {"arithmetic": 24}),
    (lambda: Z * Z, {"arithmetic": 144}),
    (lambda: Z * 2, {"arithmetic": 48}),
    (lambda: X * 1j, {"arithmetic": 48}),
    (lambda: Z / Z, {"arithmetic": 264}),
    (lambda: 1 / Z, {"arithmetic": 168}),
    (lambda: Z**2, {"arithmetic": 144}),
    (lambda: xp.exp(Z), {"arithmetic": 48, "transcendentals": 72}),
    (lambda: xp.abs(Z), {"arithmetic": 72, "transcendentals": 24}),
    (lambda: xp.conj(Z), {"arithmetic": 24}),
    (lambda: xp.real(Z), {"moves": 24}),
    (lambda: Z == Z, {"comparisons": 48}),
    (lambda: xp.sum(Z, axis=0), {"arithmetic": 36}),
    (lambda: Z.T @ Z, {"multiply_adds": 4 * 144}),
    (lambda: Z.T @ X, {"multiply_adds": 2 * 144}),
]


@pytest.mark.parametrize("case", range(len(COMPLEX)))
def test_complex_costs_by_hand(case):
    expression, expected = COMPLEX[case]
    assert costs_of(expression) == expected


@pytest.mark.parametrize(
    "expression",
    [
        lambda: xp.tanh(Z),
        lambda: xp.max(Z),
        lambda: xp.sort(Z),
        lambda: Z < Z,
        lambda: Z**0.5,
        lambda: xp.var(Z),
    ],
)
def test_what_cannot_be_counted_raises(expression):
    with count() as costs, pytest.raises(CountingError):
        expression()
    assert costs.operations == 0


def test_unknown_functions_are_named_and_hasattr_still_works():
    with pytest.raises(CountingError, match="einsum cannot be counted"):
        xp.einsum  # noqa: B018
    assert not hasattr(xp, "einsum")


def test_numpy_is_kept_out():
    with pytest.raises(TypeError, match="to_host"):
        np.asarray(X)
    with pytest.raises(TypeError):
        np.exp(X)
    with pytest.raises(TypeError, match="counted"):
        X + np.ones((4, 6))
    with pytest.raises(TypeError, match="counted"):
        np.ones((4, 6)) * X
    with pytest.raises(TypeError, match="counted"):
        X @ np.ones((6, 2))
    with pytest.raises(TypeError, match="counted"):
        np.ones((2, 4)) @ X
    with pytest.raises(TypeError, match="counting array"):
        xp.exp(np.ones(3))
    with pytest.raises(TypeError, match="counting array"):
        X[np.zeros(2, dtype=int)]
    with pytest.raises(TypeError, match="counting array"):
        X[0] = np.ones(6)
    with pytest.raises(TypeError):
        X + "a"


def test_python_and_numpy_scalars_mix_as_in_numpy():
    x = xp.ones(3, dtype=xp.float32)
    assert (x * 2.0).dtype == xp.float32
    assert (2 * x).dtype == xp.float32
    assert (x * 1j).dtype == xp.complex64
    assert (np.float64(2) * x).dtype == xp.float64
    assert (I * 2).dtype == xp.int64
    assert (I / 2).dtype == xp.float64
    assert (True + I).dtype == xp.int64
    assert xp.result_type(x, xp.float64, 1.0) == xp.float64


def test_reflected_and_in_place_operators():
    x = xp.asarray([1.0, 2.0, 4.0])
    np.testing.assert_array_equal(arrays.to_host(8 / x), [8, 4, 2])
    np.testing.assert_array_equal(arrays.to_host(2**x), [2, 4, 16])
    np.testing.assert_array_equal(arrays.to_host(5 % x), [0, 1, 1])
    y = x
    with count() as costs:
        y += x[0]
        y *= 2
        y -= 1
        y /= 2
        y **= 2
        y //= 1
    assert y is x
    assert tally(costs) == {"arithmetic": 18}
    assert costs.bytes_peak == 0
    k = xp.asarray([1, 2])
    k <<= 2
    k |= 1
    np.testing.assert_array_equal(arrays.to_host(k), [5, 9])
    with pytest.raises(TypeError):
        k += 0.5
    s = shape_only(2, dtype="int64")
    with pytest.raises(TypeError, match="does not fit dtype int64"):
        s += 0.5
    with pytest.raises(ValueError, match="in place"):
        x += xp.ones((2, 3))


def test_setitem_writes_and_counts_moves():
    x = xp.zeros((4, 6))
    assert costs_of(lambda: x.__setitem__((slice(0, 2), ...), 1.0)) == {"moves": 12}
    assert costs_of(lambda: x.__setitem__((slice(None), 0), X[:, 0])) == {"moves": 4}
    assert costs_of(lambda: x.__setitem__(xp.asarray(0), 3.0)) == {"moves": 7}
    mask = x > 2
    assert costs_of(lambda: x.__setitem__(mask, 0.0)) == {"moves": 24, "comparisons": 24}
    host = arrays.to_host(x)
    assert host[0, 1] == 0.0
    assert host[1, 1] == 1.0
    assert host[3, 0] == arrays.to_host(X)[3, 0] or arrays.to_host(X)[3, 0] > 2
    with pytest.raises(ValueError):
        x[0, :] = X
    with pytest.raises(ShapeOnlyError):
        x[0, :] = shape_only(6)
    with pytest.raises(IndexError):
        x[4, 0] = 1.0


def test_in_place_on_a_slice_is_not_a_move():
    for x in (xp.ones((4, 6)), shape_only(4, 6)):
        with count() as costs:
            x[1:3, ...] += 2.0
            x[0, 0] *= 3.0
        assert tally(costs) == {"arithmetic": 13}
        with count() as costs:
            x[1:3, ...] = x[0:2, ...]
        assert tally(costs) == {"moves": 12}
    y = xp.ones((4, 6))
    y[1:3, ...] += 2.0
    assert arrays.to_host(y)[:, 0].tolist() == [1.0, 3.0, 3.0, 1.0]


def test_values_are_free_and_need_no_dimensions():
    with count() as costs:
        assert float(xp.asarray(2.5, copy=True)) == 2.5
        assert int(counted(np.asarray(3))) == 3
        assert complex(counted(np.asarray(3.0))) == 3
        assert bool(counted(np.asarray(True)))
        assert [10, 20][counted(np.asarray(1))] == 20
    assert tally(costs) == {"moves": 1}
    with pytest.raises(TypeError, match="no dimensions"):
        bool(X)
    with pytest.raises(TypeError):
        hash(X)


def test_repr_len_iteration_copies_and_pickles():
    assert "float64" in repr(X)
    assert repr(shape_only(2**320, 3)) == "shape_only(~2^320, 3) float64"
    assert len(X) == 4
    assert [row.shape for row in X] == [(6,)] * 4
    assert next(iter(shape_only(10**90, 2))).shape == (2,)
    with count() as costs:
        y = copy.deepcopy(X)
        y[0, 0] = 99.0
        copy.copy(X)
    assert costs.moves == 49
    assert arrays.to_host(X)[0, 0] != 99.0
    np.testing.assert_array_equal(arrays.to_host(pickle.loads(pickle.dumps(X))), arrays.to_host(X))
    assert pickle.loads(pickle.dumps(shape_only(10**40))).shape == (10**40,)
    with pytest.raises(TypeError):
        len(xp.asarray(1.0))
    with pytest.raises(TypeError):
        iter(xp.asarray(1.0)).__next__()


def test_views_share_memory_and_zero_dimensional_entries_are_views():
    x = xp.zeros((3, 2))
    row, entry = x[1, :], x[2, 1]
    row += 1.0
    entry += 7.0
    np.testing.assert_array_equal(arrays.to_host(x), [[0, 0], [1, 1], [0, 7]])


def test_charge_and_scatter_add():
    with count() as costs:
        arrays.charge(X, multiply_adds=5, moves=2)
        arrays.charge(np.ones(2), multiply_adds=100)
    assert tally(costs) == {"multiply_adds": 5, "moves": 2}
    with pytest.raises(ValueError, match="flops"):
        arrays.charge(X, flops=1)
    with pytest.raises(ValueError, match="multiply_adds=-1"):
        arrays.charge(X, multiply_adds=-1)
    with pytest.raises(ValueError, match=r"1\.5"):
        arrays.charge(X, moves=1.5)
    index = counted(np.array([2, 0, 2, 2]))
    with count() as costs:
        out = arrays.scatter_add(3, index, X)
    assert tally(costs) == {"arithmetic": 24, "moves": 18}
    expected = np.zeros((3, 6))
    for i, row in zip([2, 0, 2, 2], arrays.to_host(X), strict=True):
        expected[i] += row
    np.testing.assert_allclose(arrays.to_host(out), expected, rtol=1e-15)
    with count() as without:
        s = arrays.scatter_add(3, shape_only(4, dtype="int64"), shape_only(4, 6))
    assert s.shape == (3, 6)
    assert tally(without) == tally(costs)
    with pytest.raises(ValueError, match="entries in"):
        arrays.scatter_add(2, index, X)
    with pytest.raises(ValueError, match="one entry for each row"):
        arrays.scatter_add(3, index, X.T)
    with pytest.raises(TypeError, match="integers"):
        arrays.scatter_add(3, X[:, 0], X)


def test_nan_and_infinity_pass_through_and_cost_the_same():
    bad = counted(np.array([np.nan, np.inf, 1.0]))
    good = counted(np.ones(3))
    f = lambda x: xp.sum(xp.where(xp.isfinite(x), x, 0.0)) + xp.max(x)  # noqa: E731
    assert costs_of(f, bad) == costs_of(f, good)
    assert np.isnan(float(xp.max(bad)))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: X @ X, ValueError),
        (lambda: X + xp.ones(5), ValueError),
        (lambda: xp.sum(X, axis=2), IndexError),
        (lambda: xp.sum(X, axis=(0, 0)), ValueError),
        (lambda: xp.reshape(X, (5, 5)), ValueError),
        (lambda: xp.reshape(X, (-1, -1)), ValueError),
        (lambda: xp.reshape(X.T, (24,), copy=False), ValueError),
        (lambda: X[0, 0, 0], IndexError),
        (lambda: X[9], IndexError),
        (lambda: X[..., ..., 0], IndexError),
        (lambda: xp.concat([X, X.T]), ValueError),
        (lambda: xp.concat([]), ValueError),
        (lambda: xp.stack([X, X.T]), ValueError),
        (lambda: xp.max(xp.zeros((0,))), ValueError),
        (lambda: xp.zeros((-1,)), ValueError),
        (lambda: xp.zeros(3, device="cuda"), ValueError),
        (lambda: xp.zeros(2**80), CountingError),
        (lambda: xp.squeeze(X, 0), ValueError),
        (lambda: xp.linalg.cholesky(X), ValueError),
        (lambda: xp.linalg.solve(X[:, :4], X[:3, :]), ValueError),
        (lambda: xp.asarray([X, X]), TypeError),
        (lambda: xp.astype(Z, xp.float64), TypeError),
        (lambda: X.T.T[xp.ones(4)], IndexError),
        (lambda: xp.ones((2, 2, 2)).T, ValueError),
        (lambda: xp.fft.fft(xp.ones(0)), ValueError),
        (lambda: xp.fft.fft(xp.ones(3), norm="x"), ValueError),
    ],
)
def test_bad_input_has_a_clear_error(call, error):
    with pytest.raises(error) as caught:
        call()
    assert len(str(caught.value)) > 10
