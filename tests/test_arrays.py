"""Namespaces, streams and what the standard lacks, on NumPy, strict, counting and shape-only arrays."""

import time
import types

import array_api_compat.numpy as numpy_namespace
import array_api_strict
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchstone.counting.namespace as counting_namespace
from touchstone import arrays
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only

MAKERS = {"numpy": np.asarray, "strict": array_api_strict.asarray, "counting": counted}
EVERYWHERE = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def test_namespace():
    assert arrays.namespace(np.ones(2), None, 3.0) is numpy_namespace
    assert arrays.namespace(array_api_strict.ones(2)) is array_api_strict
    assert arrays.namespace(counted(np.ones(2))) is counting_namespace
    with pytest.raises(TypeError):
        arrays.namespace(1.0)
    with pytest.raises(TypeError, match="Multiple"):
        arrays.namespace(np.ones(2), array_api_strict.ones(2))


def test_open_device(monkeypatch):
    assert arrays.open_device("cpu") is numpy_namespace
    with pytest.raises(ValueError, match="'tpu'"):
        arrays.open_device("tpu")
    monkeypatch.setattr(arrays, "_why_no_gpu", lambda: "there is none")
    assert arrays.open_device() is numpy_namespace
    with pytest.raises(arrays.DeviceError, match="there is none; use device='cpu'"):
        arrays.open_device("cuda")


def test_blocks_are_larger_on_a_gpu_alone(monkeypatch):
    x = np.ones(2)
    assert arrays.block_factor(x) == 1
    monkeypatch.setattr(arrays.array_api_compat, "is_cupy_array", lambda _: True)
    assert arrays.block_factor(x) == 64


def test_why_no_gpu_names_a_missing_cupy(monkeypatch):
    monkeypatch.setattr(arrays.importlib.util, "find_spec", lambda name: None)
    assert "CuPy is not installed" in arrays._why_no_gpu()


@EVERYWHERE
def test_to_host(make):
    host = np.arange(6.0).reshape(2, 3)
    back = arrays.to_host(make(host))
    assert isinstance(back, np.ndarray)
    np.testing.assert_array_equal(back, host)
    assert arrays.to_host(host) is host


def test_to_host_of_a_shape_only_array():
    with pytest.raises(TypeError, match="no data"):
        arrays.to_host(shape_only(3))


def test_holds_data():
    for x in (np.ones(2), array_api_strict.ones(2), counted(np.ones(2))):
        assert arrays.holds_data(x)
    assert not arrays.holds_data(shape_only(10**50, 3))


# -- streams -----------------------------------------------------------------------------------------------


@EVERYWHERE
def test_extremes(make):
    with count() as costs:
        assert arrays.extremes(make(np.array([[2.0, -1.0], [0.5, 1.5]]))) == (-1, 2)
        assert arrays.extremes(make(np.array([3], dtype=np.int8))) == (3, 3)
        assert arrays.extremes(make(np.zeros((0, 2)))) == (np.inf, -np.inf)
        assert np.all(np.isnan(arrays.extremes(make(np.array([1.0, np.nan])))))
    assert costs.operations == costs.moves == 0


@EVERYWHERE
def test_failures_raise(make, monkeypatch):
    x = make(-np.eye(2))
    with pytest.raises(np.linalg.LinAlgError), arrays.failures_raise(x):
        arrays.namespace(x).linalg.cholesky(x)
    # CuPy has to be asked
    asked = []
    monkeypatch.setattr(arrays.array_api_compat, "is_cupy_array", lambda x: True)
    cupyx = types.SimpleNamespace(errstate=lambda **options: asked.append(options))
    monkeypatch.setattr(arrays.importlib, "import_module", {"cupyx": cupyx}.get)
    arrays.failures_raise(x)
    assert asked == [{"linalg": "raise"}]


def test_extremes_of_a_shape_only_array():
    with pytest.raises(TypeError):
        arrays.extremes(shape_only(3))


def test_streams_repeat_and_differ_by_seed_and_label():
    draw = lambda *a: arrays.stream(*a).standard_normal(4).tolist()  # noqa: E731
    assert draw(0, "c1", 3) == draw(0, "c1", 3)
    different = [draw(0), draw(1), draw(0, "c1"), draw(0, "c1", 3), draw(0, "c1", "3"), draw(0, 3, "c1")]
    assert len({tuple(x) for x in different}) == len(different)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0", None])
def test_bad_seeds(seed):
    with pytest.raises(ValueError, match="seed="):
        arrays.stream(seed)


@EVERYWHERE
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_seed_gives_the_same_numbers_everywhere(make, dtype):
    like = make(np.ones(1, dtype=dtype))
    for draw in (arrays.normal, arrays.uniform, arrays.signs):
        x = draw(arrays.stream(5, "a"), (3, 4), like=like)
        expected = draw(arrays.stream(5, "a"), (3, 4), like=np.ones(1, dtype=dtype))
        assert arrays.namespace(x) is arrays.namespace(like)
        assert arrays.to_host(x).dtype == expected.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(arrays.to_host(x), expected)


def test_distributions():
    n = 20000  # means within five standard errors: a failure by chance has probability below 1e-6
    x = arrays.uniform(arrays.stream(1), n, 2.0, 5.0, like=np.ones(1))
    assert x.min() >= 2.0
    assert x.max() < 5.0
    assert abs(x.mean() - 3.5) < 5 * np.sqrt(9 / 12 / n)
    s = arrays.signs(arrays.stream(1), n, like=np.ones(1))
    assert set(s.tolist()) == {-1.0, 1.0}
    assert abs(s.mean()) < 5 / np.sqrt(n)
    z = arrays.normal(arrays.stream(1), n, like=np.ones(1))
    assert abs(z.mean()) < 5 / np.sqrt(n)
    assert abs((z**2).mean() - 1) < 5 * np.sqrt(2 / n)


def test_like_may_be_a_namespace():
    for xp in (numpy_namespace, array_api_strict, counting_namespace):
        x = arrays.as_array_like(np.arange(3.0), xp)
        assert arrays.namespace(x) is xp


# -- what the standard lacks -------------------------------------------------------------------------------


def test_charge_does_nothing_elsewhere():
    arrays.charge(np.ones(2), multiply_adds=3)
    with count() as costs:
        arrays.charge(counted(np.ones(2)), multiply_adds=3)
        arrays.charge(shape_only(2), comparisons=4)
    assert (costs.multiply_adds, costs.comparisons) == (3, 4)


@EVERYWHERE
@pytest.mark.parametrize("columns", [(), (3,)])
def test_scatter_add(make, columns):
    rng = np.random.default_rng(0)
    index, values = rng.integers(0, 4, 9), rng.standard_normal((9, *columns))
    out = arrays.scatter_add(5, make(index), make(values))
    expected = np.array([values[index == i].sum(axis=0) for i in range(5)])
    np.testing.assert_allclose(arrays.to_host(out), expected, rtol=1e-14, atol=1e-15)


@EVERYWHERE
def test_top_k_keeps_the_lower_index_of_ties(make):
    x = np.array([[1.0, 3.0, 3.0, 2.0], [5.0, 5.0, 5.0, 5.0]])
    values, index = arrays.top_k(make(x), 3, axis=1)
    np.testing.assert_array_equal(arrays.to_host(values), [[3, 3, 2], [5, 5, 5]])
    np.testing.assert_array_equal(arrays.to_host(index), [[1, 2, 3], [0, 1, 2]])
    values, index = arrays.top_k(make(x), 1, axis=0)
    np.testing.assert_array_equal(arrays.to_host(index), [[1, 1, 1, 1]])
    assert arrays.top_k(make(x), 0)[0].shape == (2, 0)
    for k in (-1, 5):
        with pytest.raises(ValueError, match=f"k={k}"):
            arrays.top_k(make(x), k)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.floats(-9, 9), min_size=1, max_size=9), st.booleans())
def test_median_is_numpy_s(entries, column):
    x = np.array(entries)[:, None] if column else np.array(entries)
    axis = 0 if column else -1
    for make in MAKERS.values():
        # one addition and one halving, as NumPy does: equal up to an underflow in the halving
        np.testing.assert_allclose(
            arrays.to_host(arrays.median(make(x), axis=axis)),
            np.median(x, axis=axis),
            rtol=1e-15,
            atol=1e-300,
        )


def test_median_and_top_k_cost_one_sort():
    with count() as costs:
        arrays.median(shape_only(10, 8))
    assert (costs.comparisons, costs.arithmetic) == (10 * 8 * 3, 20)
    with count() as costs:
        arrays.top_k(shape_only(10, 8), 2)
    assert (costs.comparisons, costs.moves) == (10 * 8 * 3, 80 + 20)
    with pytest.raises(ValueError, match="at least one"):
        arrays.median(np.ones((3, 0)))


# -- row blocks --------------------------------------------------------------------------------------------


def softmax(x):
    xp = arrays.namespace(x)
    e = xp.exp(x)
    return e / xp.sum(e, axis=1, keepdims=True)


def gram_and_sum(x):
    xp = arrays.namespace(x)
    return x.T @ x, xp.sum(x, axis=0)


@EVERYWHERE
@pytest.mark.parametrize("n", [0, 1, 7, 12])
@pytest.mark.parametrize("block", [1, 3, 12, 50])
@pytest.mark.parametrize("workers", [1, 2])
def test_map_rows(make, n, block, workers):
    host = np.random.default_rng(n).standard_normal((n, 3))
    rows = arrays.map_rows(softmax, make(host), block=block, workers=workers)
    np.testing.assert_allclose(arrays.to_host(rows), softmax(host), rtol=1e-14)
    gram, total = arrays.map_rows(gram_and_sum, make(host), block=block, reduce="sum", workers=workers)
    np.testing.assert_allclose(arrays.to_host(gram), host.T @ host, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(arrays.to_host(total), host.sum(0), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", [np.asarray, counted], ids=["numpy", "counting"])
@pytest.mark.parametrize("n", [1, 4, 9])
def test_map_rows_with_a_reduction_for_each_result(make, n):
    host = np.random.default_rng(n).normal(size=(n, 3))

    def f(x):
        return 2.0 * x, x.T @ x, x[:, 0]

    for reduce in (("concatenate", "sum", "concatenate"), ["concatenate", "sum", "concatenate"]):
        rows, gram, first = arrays.map_rows(f, make(host), block=4, reduce=reduce)
        np.testing.assert_array_equal(arrays.to_host(rows), 2 * host)
        np.testing.assert_allclose(arrays.to_host(gram), host.T @ host, rtol=1e-13, atol=1e-14)
        np.testing.assert_array_equal(arrays.to_host(first), host[:, 0])


@pytest.mark.parametrize("make", [np.asarray, counted], ids=["numpy", "counting"])
def test_map_rows_with_too_few_reductions(make):
    with pytest.raises(ValueError, match="expected 2 entries"):
        arrays.map_rows(lambda x: (x, x), make(np.ones((3, 2))), block=2, reduce=("sum",))


def test_map_rows_does_not_depend_on_workers():
    host = np.random.default_rng(0).standard_normal((101, 5))
    one, two = (
        arrays.map_rows(gram_and_sum, host, block=8, reduce="sum", workers=workers) for workers in (1, 2)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_map_rows_of_several_arrays():
    x, y = np.arange(10.0).reshape(5, 2), np.arange(5)
    product, double = arrays.map_rows(lambda a, b: (a * b[:, None], 2 * b), x, y, block=2)
    np.testing.assert_array_equal(product, x * y[:, None])
    np.testing.assert_array_equal(double, 2 * y)


def test_map_rows_passes_errors_on():
    def fails(x):
        raise RuntimeError("in the block")

    for workers in (1, 2):
        with pytest.raises(RuntimeError, match="in the block"):
            arrays.map_rows(fails, np.ones((9, 2)), block=2, workers=workers)


@pytest.mark.parametrize("reduce", ["concatenate", "sum"])
def test_after_an_error_no_other_block_is_begun(reduce):
    begun = []

    def fails(x):
        begun.append(float(x[0, 0]))
        if x[0, 0] == 3:
            raise ArithmeticError("three")
        time.sleep(0.002)  # lets the other thread in: on its own it might run through all blocks
        return x

    host = np.arange(1000.0)[:, None]
    with pytest.raises(ArithmeticError, match="three"):
        arrays.map_rows(fails, host, block=1, reduce=reduce, workers=2)
    assert len(begun) < 50
    assert sorted(begun) == list(range(len(begun)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: arrays.map_rows(softmax, block=1), "arrays"),
        (lambda: arrays.map_rows(softmax, np.ones((2, 2)), block=0), "block=0"),
        (lambda: arrays.map_rows(softmax, np.ones((2, 2)), block=1, reduce="max"), "reduce='max'"),
        (lambda: arrays.map_rows(softmax, np.ones((2, 2)), block=1, reduce=("sum", "max")), "'max'"),
        (lambda: arrays.map_rows(softmax, np.ones((2, 2)), block=1, workers=0), "workers=0"),
        (lambda: arrays.map_rows(softmax, np.ones((2, 2)), np.ones((3, 2)), block=1), "same number"),
    ],
)
def test_map_rows_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_single_threaded_blas():
    with arrays.single_threaded_blas():
        from threadpoolctl import threadpool_info

        blas = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert set(blas) <= {1}
