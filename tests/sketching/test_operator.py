"""What all sketches have in common, each against the dense matrix of its columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from touchstone.arrays import to_host
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only
from touchstone.linalg.sparse_rows import SparseRows
from touchstone.sketching.gaussian import gaussian_sketch
from touchstone.sketching.operator import Place, Sketch, compose, real_parts
from touchstone.sketching.sparse_embedding import count_sketch, osnap
from touchstone.sketching.srht import srht

from .conftest import FAMILIES

TAKES_SPARSE = [name for name in FAMILIES if name not in ("srht", "unsigned")]


def rng(seed=0):
    return np.random.default_rng(seed)


def dense(S):
    return to_host(S.columns(range(S.shape[1])))


def close(got, expected, atol=1e-13):
    np.testing.assert_allclose(
        to_host(got), expected, rtol=0, atol=atol * (1 + np.abs(expected).max(initial=0))
    )


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(FAMILIES)),
    st.integers(1, 9),
    st.integers(1, 40),
    st.integers(0, 10),
    st.integers(0, 10**6),
)
def test_products_are_those_of_the_columns(name, m, n, c, seed):
    if "s" in name:
        m = min(m, 1 << (n - 1).bit_length())  # the SRHT has no more rows
    data = rng(seed)
    A, Y = data.normal(size=(n, c)), data.normal(size=(m, c))
    S = FAMILIES[name](m, n, data, like=A)
    D = dense(S)
    assert D.shape == S.shape == (m, n)
    assert S.T.shape == (n, m)
    assert S.T.T is S
    close(S @ A, D @ A)
    close(S.T @ Y, D.T @ Y)
    close(S.T.T @ A, D @ A)
    x, y = data.normal(size=n), data.normal(size=m)
    close(S @ x, D @ x)
    close(S.T @ y, D.T @ y)
    assert (S @ x).shape == (m,)
    assert (S.T @ y).shape == (n,)


@pytest.mark.parametrize(("m", "n"), [(5, 13), (1, 1), (8, 8), (3, 130)])
def test_the_same_sketch_on_every_library(xp, family, m, n):
    A, Y = rng(1).normal(size=(n, 9)), rng(2).normal(size=(m, 9))
    ours = family(m, n, rng(3), like=A)
    a, y = xp.asarray(A), xp.asarray(Y)
    for like in (a, xp):
        S = family(m, n, rng(3), like=like)
        np.testing.assert_array_equal(dense(S), dense(ours))
        close(S @ a, ours @ A)
        close(S.T @ y, ours.T @ Y)
        close(S @ a[:, 0], ours @ A[:, 0])
        close(S.T @ y[:, 0], ours.T @ Y[:, 0])
        close(S @ xp.asarray(A + 1j * A[::-1]), ours @ A + 1j * (ours @ A[::-1]))
        close(S.T @ xp.asarray(Y + 1j * Y[::-1]), ours.T @ Y + 1j * (ours.T @ Y[::-1]))


@pytest.mark.parametrize("sketch", ["float32", "float64"])
@pytest.mark.parametrize("array", ["float32", "float64", "complex64", "complex128"])
def test_dtypes_promote(xp, family, sketch, array):
    A, Y = (x.astype(array) for x in (rng(1).normal(size=(21, 9)), rng(2).normal(size=(5, 9))))
    S = family(5, 21, rng(), like=xp.zeros((1,), dtype=getattr(xp, sketch)))
    D = dense(S)
    assert D.dtype == sketch
    expected = np.result_type(sketch, array)
    for got, right in ((S @ xp.asarray(A), D @ A), (S.T @ xp.asarray(Y), D.T @ Y)):
        assert to_host(got).dtype == expected
        # a float32 product errs by less than 2^-24 times the number of its terms, here below 100
        close(got, right, 1e-13 if expected.itemsize // (1 + (expected.kind == "c")) == 8 else 1e-5)


def test_float32_is_the_rounded_float64(family):
    wide, narrow = (dense(family(5, 20, rng(), like=np.zeros(1, dtype=t))) for t in ("float64", "float32"))
    np.testing.assert_allclose(narrow, wide, rtol=3 * 2.0**-24)


def test_any_order_of_memory(family):
    A, Y = rng(1).normal(size=(80, 24)), rng(2).normal(size=(10, 24))
    S = family(10, 80, rng(), like=A)
    D = dense(S)
    for a, y in ((np.asfortranarray(A), np.asfortranarray(Y)), (A[:, ::-2], Y[:, ::-2])):
        close(S @ a, D @ a)
        close(S.T @ y, D.T @ y)
    close(S @ A[::-1], D @ A[::-1])


def test_input_is_left_alone(family):
    A, Y = np.ones((80, 24)), np.ones((10, 24))
    S = family(10, 80, rng(), like=A)
    first = S @ A, S.T @ Y
    again = S @ A, S.T @ Y  # a product leaves nothing behind
    assert (A == 1).all()
    assert (Y == 1).all()
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_not_a_number_stays_in_its_column(family):
    A = np.ones((40, 9))
    A[7, 3] = np.nan
    got = family(6, 40, rng(), like=A) @ A
    assert np.isnan(got[:, 3]).any()
    assert not np.isnan(np.delete(got, 3, axis=1)).any()


def test_touched_is_what_one_change_changes(family):
    S = family(12, 30, rng(), like=np)
    changed = (dense(S) != 0).sum(axis=0)
    assert changed.max() == S.touched
    assert S.touched == {"count": 1, "uniform": 3, "blocks": 3}.get(family.name, 12)


# -- columns ---------------------------------------------------------------------------------------------


def test_columns_in_any_order_and_again(xp, family):
    S = family(4, 11, rng(), like=xp)
    D = dense(S)
    index = [10, 0, 3, 3]
    for given_ in (
        index,
        tuple(index),
        np.asarray(index),
        xp.asarray(index),
        xp.asarray(index, dtype=xp.int32),
    ):
        if isinstance(given_, np.ndarray):
            given_ = list(given_)
        np.testing.assert_array_equal(to_host(S.columns(given_)), D[:, index])
    assert S.columns([]).shape == (4, 0)


@pytest.mark.parametrize("index", [[11], [-1], [0, 11], [3, -12]])
def test_columns_that_are_not_there(family, index):
    with pytest.raises(ValueError, match=r"expected entries in \[0, 11\)"):
        family(4, 11, rng(), like=np).columns(index)


@pytest.mark.parametrize("index", [[0.0], [True], ["a"], np.zeros(2), np.zeros(2, dtype=bool)])
def test_columns_have_integer_numbers(family, index):
    with pytest.raises(TypeError, match="expected integers"):
        family(4, 11, rng(), like=np).columns(index)


def test_columns_on_one_axis(family):
    with pytest.raises(ValueError, match="expected one axis"):
        family(4, 11, rng(), like=np).columns(np.zeros((1, 2), dtype=int))


# -- sparse matrices -------------------------------------------------------------------------------------


def sparse_rows(n, k, d, xp=np, dtype="float64"):
    columns = xp.asarray(rng(4).integers(0, d, (n, k)))
    return SparseRows(columns, xp.asarray(rng(5).normal(size=(n, k)).astype(dtype)), d)


@pytest.mark.parametrize("name", TAKES_SPARSE)
@pytest.mark.parametrize(("n", "k", "d"), [(30, 2, 7), (1, 1, 1), (40, 5, 3)])
def test_sparse_rows_on_every_library(xp, name, n, k, d):
    A = sparse_rows(n, k, d, xp)
    S = FAMILIES[name](4, n, rng(), like=A.values)
    got = S @ A
    assert got.shape == (4, d)
    close(got, dense(S) @ to_host(A.dense()))


@pytest.mark.parametrize("name", TAKES_SPARSE)
@pytest.mark.parametrize("format", ["csr", "csc", "coo", "dia", "lil"])
@pytest.mark.parametrize("make", [sparse.random_array, sparse.random])
def test_scipy_matrices(name, format, make):
    shape = {"shape": (40, 6)} if make is sparse.random_array else {"m": 40, "n": 6}
    A = make(**shape, density=0.2, format=format, rng=rng(6))
    S = FAMILIES[name](5, 40, rng(), like=np)
    got = S @ A
    assert isinstance(got, np.ndarray)
    close(got, dense(S) @ A.toarray())


@pytest.mark.parametrize("name", TAKES_SPARSE)
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
def test_dtypes_of_sparse_matrices(name, dtype):
    A = sparse_rows(30, 2, 7, dtype=dtype)
    B = sparse.csr_array(A.dense())
    S = FAMILIES[name](4, 30, rng(), like=np.zeros(1, dtype="float32"))
    for some in (A, B):
        got = S @ some
        assert got.dtype == np.result_type("float32", dtype)
        close(got, dense(S) @ A.dense(), 1e-5)


@pytest.mark.parametrize("name", TAKES_SPARSE)
def test_no_stored_entries_and_entries_that_add_up(name):
    S = FAMILIES[name](4, 30, rng(), like=np)
    np.testing.assert_array_equal(S @ sparse.csr_array((30, 7)), np.zeros((4, 7)))
    twice = sparse.coo_array((np.ones(4), ([0, 0, 5, 5], [2, 2, 3, 1])), shape=(30, 7))
    close(S @ twice, dense(S) @ twice.toarray())


@pytest.mark.parametrize("name", ["srht", "unsigned"])
def test_a_transform_of_all_rows_takes_no_sparse_matrix(name):
    S = FAMILIES[name](4, 30, rng(), like=np)
    for A in (sparse.csr_array((30, 7)), sparse_rows(30, 2, 7)):
        with pytest.raises(TypeError, match=f"A is {type(A).__name__}: expected an array"):
            S @ A


def test_sparse_matrices_that_do_not_fit(family):
    S = family(4, 30, rng(), like=np)
    for A in (sparse.csr_array((29, 7)), sparse_rows(31, 2, 7), sparse.coo_array(np.ones(30))):
        with pytest.raises(ValueError, match=r"expected \(30, columns\)"):
            S @ A
    with pytest.raises(TypeError, match="A of dtype int64"):
        S @ sparse.csr_array((30, 7), dtype=int)
    with pytest.raises(TypeError, match="Y is csr_array"):
        S.T @ sparse.csr_array((4, 7))


def test_a_scipy_matrix_and_a_sketch_of_another_library():
    with pytest.raises(TypeError, match="expected SparseRows, as S is not made for NumPy"):
        gaussian_sketch(4, 30, rng(), like=counted(np.ones(1))) @ sparse.csr_array((30, 7))


# -- composition -----------------------------------------------------------------------------------------


def test_composition(xp):
    R = osnap(9, 40, 2, rng(1), like=xp)
    S = osnap(5, 9, 3, rng(2), like=xp)
    both = compose(S, R)
    assert both.shape == (5, 40)
    assert both.touched == 5  # at most 2 * 3, and there are only 5 rows
    assert compose(count_sketch(5, 9, rng(), like=xp), R).touched == 2
    D = dense(S) @ dense(R)
    np.testing.assert_allclose(dense(both), D, atol=1e-15)
    A, Y = rng(3).normal(size=(40, 3)), rng(4).normal(size=(5, 3))
    close(both @ xp.asarray(A), D @ A)
    close(both.T @ xp.asarray(Y), D.T @ Y)
    three = compose(srht(2, 5, rng(), like=xp), both)
    close(three @ xp.asarray(A), dense(three) @ A)
    rows = sparse_rows(40, 2, 6, xp)
    close(both @ rows, D @ to_host(rows.dense()))


def test_composition_that_does_not_fit():
    with pytest.raises(ValueError, match=r"S of shape \(3, 4\): expected 5 columns, R is \(5, 9\)"):
        compose(gaussian_sketch(3, 4, rng(), like=np), gaussian_sketch(5, 9, rng(), like=np))


# -- what they refuse ------------------------------------------------------------------------------------


def test_arrays_that_do_not_fit(family):
    S = family(4, 30, rng(), like=np)
    for A in (np.ones((29, 2)), np.ones(31), np.ones((30, 2, 2)), np.ones(())):
        with pytest.raises(ValueError, match=r"A of shape .*expected \(30,\) or \(30, columns\)"):
            S @ A
    for Y in (np.ones((30, 2)), np.ones(5), np.ones((4, 2, 2))):
        with pytest.raises(ValueError, match=r"Y of shape .*expected \(4,\) or \(4, columns\)"):
            S.T @ Y


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16"])
def test_numbers_of_other_kinds(family, dtype):
    S = family(4, 30, rng(), like=np)
    with pytest.raises(TypeError, match=f"A of dtype {dtype}"):
        S @ np.ones(30, dtype=dtype)
    with pytest.raises(TypeError, match=f"Y of dtype {dtype}"):
        S.T @ np.ones(4, dtype=dtype)


def test_arrays_of_another_library(family):
    S = family(4, 30, rng(), like=np)
    for operator, rows in ((S, 30), (S.T, 4)):
        with pytest.raises(TypeError):
            operator @ counted(np.ones((rows, 2)))
    if family.name in TAKES_SPARSE:
        with pytest.raises(TypeError):
            S @ SparseRows(counted(np.ones((30, 2), dtype=int)), counted(np.ones((30, 2))), 3)


@pytest.mark.parametrize(
    ("m", "n", "name"), [(0, 3, "m"), (3, 0, "n"), (-1, 3, "m"), (2.0, 3, "m"), (3, True, "n")]
)
def test_sizes(family, m, n, name):
    if family.name == "composition":
        pytest.skip("made of others")
    with pytest.raises(ValueError, match=f"{name}={m if name == 'm' else n}: expected an integer >= 1"):
        family(m, n, rng(), like=np)


def test_sizes_may_be_numpy_integers(family):
    assert family(np.int64(4), np.int32(30), rng(), like=np).shape == (4, 30)


@pytest.mark.parametrize("generator", [None, 0, np.random, np.random.RandomState(0)])
def test_generator(family, generator):
    with pytest.raises(TypeError, match=r"rng=.*expected a NumPy random generator"):
        family(4, 30, generator, like=np)


@pytest.mark.parametrize("dtype", ["int64", "complex128", "float16", "bool"])
def test_like(family, dtype):
    with pytest.raises(TypeError, match=f"like of dtype {dtype}: expected float32 or float64"):
        family(4, 30, rng(), like=np.zeros(1, dtype=dtype))


def test_place(xp):
    place = Place(xp.zeros((3,), dtype=xp.float32))
    assert place.sample.shape == (0,)
    for below, dtype in ((2**31, xp.int32), (2**31 + 1, xp.int64), (1, xp.int32)):
        assert place.integers((2,), lambda: np.asarray([0, 0]), below).dtype == dtype
    assert place.rounded(0.1) == np.float32(0.1)
    assert Place(xp).rounded(0.1) == 0.1


def test_real_parts(xp):
    assert [real_parts(xp, getattr(xp, t)) for t in ("float32", "complex64", "complex128")] == [1, 2, 2]


def test_a_family_must_say_what_it_does():
    S = Sketch()
    S.shape, S.place = (2, 3), Place(np)
    for call in (lambda: S @ np.ones(3), lambda: S.T @ np.ones(2), lambda: S.columns([0])):
        with pytest.raises(NotImplementedError):
            call()


# -- counts ----------------------------------------------------------------------------------------------


def everything(family, make, m, n, c):
    like, dtype = make((n, c), "float32"), "int64"
    with count() as costs:
        with costs.phase("draw"):
            S = family(m, n, rng(), like=like)
        with costs.phase("apply"):
            S @ make((n, c), "float64")
        with costs.phase("transpose"):
            S.T @ make((m,), "complex64")
        with costs.phase("columns"):
            S.columns(make((3,), dtype))
        if family.name in TAKES_SPARSE:
            with costs.phase("sparse"):
                S @ SparseRows(make((n, 2), dtype), make((n, 2), "float64"), c)
    return {"all": costs.numbers(), **{name: phase.numbers() for name, phase in costs.phases.items()}}


@pytest.mark.parametrize(("m", "n", "c"), [(5, 13, 3), (1, 1, 1), (8, 64, 10)])
def test_shapes_cost_what_numbers_cost(family, m, n, c):
    executed = everything(family, lambda shape, dtype: counted(np.zeros(shape, dtype)), m, n, c)
    assert executed == everything(family, lambda shape, dtype: shape_only(shape, dtype=dtype), m, n, c)


def test_sizes_beyond_any_memory(family):
    n = 2**200 - 1
    A = shape_only(n, 3)
    S = family(5, n, rng(), like=A)
    assert (S @ A).shape == (5, 3)
    assert (S.T @ shape_only(5)).shape == (n,)
    assert S.columns([0, 1]).shape == (5, 2)


def test_a_sketch_of_shapes_draws_nothing(family):
    state = rng(0)
    family(4, 30, state, like=shape_only(1))
    assert state.bit_generator.state == rng(0).bit_generator.state


def test_numbers_that_meet_shapes_become_shapes(family):
    numbers, shapes = (family(4, 30, rng(), like=like) for like in (counted(np.ones(1)), shape_only(1)))
    for S in (numbers, shapes):
        for make in (lambda *s: counted(np.ones(s)), shape_only):
            has_data = S is numbers and make is not shape_only
            for got in (S @ make(30, 2), S.T @ make(4, 2)):
                assert got.has_data == has_data
            if family.name in TAKES_SPARSE:
                for columns in (counted(np.zeros((30, 1), dtype=int)), shape_only(30, 1, dtype="int64")):
                    if family.name == "gaussian" and make is not shape_only and not columns.has_data:
                        continue  # SparseRows itself then asks for numbers
                    got = S @ SparseRows(columns, make(30, 1), 2)
                    assert got.shape == (4, 2)
                    assert got.has_data == (has_data and columns.has_data)
