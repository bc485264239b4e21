"""Shapes, strides and indices against NumPy on small arrays, and beyond NumPy on large ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import touchstone.counting.namespace as xp
from touchstone.counting import layout
from touchstone.counting.array import count, counted
from touchstone.counting.shapes import shape_only


def in_entries(x):
    return tuple(step // x.itemsize for step in x.strides)


@st.composite
def strided(draw):
    """A view of a NumPy array made by slices, transposition and broadcasting."""
    sides = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    x = np.arange(int(np.prod(sides))).reshape(sides)
    x = x.transpose(draw(st.permutations(range(x.ndim))))
    key = tuple(
        slice(draw(st.integers(0, side - 1)), None, draw(st.sampled_from([1, 2, -1]))) for side in x.shape
    )
    x = x[key]
    return np.broadcast_to(x, (2, *x.shape)) if draw(st.booleans()) else x


@settings(max_examples=400, deadline=None, derandomize=True)
@given(strided(), st.data())
def test_a_reshape_is_a_view_exactly_when_it_is_one_in_numpy(x, data):
    divisors = [k for k in range(1, x.size + 1) if x.size % k == 0]
    first = data.draw(st.sampled_from(divisors))
    rest = x.size // first
    second = data.draw(st.sampled_from([k for k in divisors if rest % k == 0]))
    wanted = (first, second, rest // second)
    try:
        expected = np.reshape(x, wanted, copy=False)
    except ValueError:
        expected = None
    is_view, strides = layout.reshape_strides(x.shape, in_entries(x), wanted)
    assert is_view == (expected is not None)
    if is_view:
        for side, step, host in zip(wanted, strides, in_entries(expected), strict=True):
            assert step == host or side == 1


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_indices_select_what_they_do_in_numpy(data):
    sides = tuple(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)))
    x = np.zeros(sides)
    key = []
    for side in sides:
        kinds = ["slice", "none", "array"] + (["int"] if side else [])
        kind = data.draw(st.sampled_from(kinds))
        if kind == "none":
            key.append(None)
            kind = "slice"
        if kind == "slice":
            bound = st.none() | st.integers(-6, 6)
            step = data.draw(st.sampled_from([None, 1, 2, -1, -3]))
            key.append(slice(data.draw(bound), data.draw(bound), step))
        elif kind == "int":
            key.append(data.draw(st.integers(-side, side - 1)))
        else:
            shape = data.draw(st.sampled_from([(), (1,), (2,), (3, 1), (3, 2)]))
            key.append(np.zeros(shape if side else (*shape[:-1], 0)[: max(len(shape), 1)], dtype=int))
    if data.draw(st.booleans()):
        key[-1:] = [Ellipsis]
    try:
        expected = x[tuple(key)].shape
    except IndexError:
        expected = None
    ours = tuple(counted(item) if isinstance(item, np.ndarray) else item for item in key)
    if expected is None:
        with pytest.raises((IndexError, ValueError)):
            shape_only(sides)[ours]
        return
    with count() as executed:
        y = counted(x)[ours]
    with count() as without:
        s = shape_only(sides)[ours]
    assert s.shape == y.shape == expected
    assert executed.numbers() | {"bytes_live": 0} == without.numbers() | {"bytes_live": 0}


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=1, max_size=3))
def test_broadcast_is_numpy_s(shapes):
    try:
        expected = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(ValueError, match="broadcast"):
            layout.broadcast(*shapes)
        return
    assert layout.broadcast(*shapes) == expected


def test_sides_of_three_thousand_digits():
    n = 10**3000 + 7
    x = shape_only(n, 6)
    assert x.size == 6 * n
    assert x.nbytes == 48 * n
    assert x[3:-3:2, 1].shape == ((n - 5) // 2,)
    assert xp.reshape(x, (-1,)).shape == (6 * n,)
    assert xp.reshape(x, (2, 3, n)).shape == (2, 3, n)
    assert xp.reshape(x.T[:, : n - 1], (6, 2, -1)).shape == (6, 2, (n - 1) // 2)
    with count() as costs:
        y = xp.exp(x.T @ x) + xp.sum(x, axis=0)
    assert y.shape == (6, 6)
    assert costs.multiply_adds == 36 * n
    assert costs.arithmetic == 36 + 6 * (n - 1)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda: layout.as_shape((2, -1)), ValueError),
        (lambda: layout.as_shape((2.5,)), TypeError),
        (lambda: layout.axis_of(3, 3), IndexError),
        (lambda: layout.axes_of((0, -1), 1), ValueError),
        (lambda: layout.new_shape((0, 2), (0, -1)), ValueError),
        (lambda: layout.full_key((0, 0), 1, 2), IndexError),
    ],
)
def test_bad_input(call, error):
    with pytest.raises(error):
        call()


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.data())
def test_reshapes_of_chained_views_move_the_same_without_data(data):
    sides = tuple(data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=3)))
    views = [counted(np.zeros(sides)), shape_only(sides)]
    for _ in range(data.draw(st.integers(1, 3))):
        shape = views[0].shape
        key = tuple(
            slice(data.draw(st.integers(0, side - 1)), None, data.draw(st.sampled_from([1, 2, -1])))
            for side in shape
        )
        order = tuple(data.draw(st.permutations(range(len(shape)))))
        wide = data.draw(st.booleans()) and len(shape) < 4
        for i, x in enumerate(views):
            y = xp.permute_dims(x[key], order)
            sides = tuple(3 if side == 1 else side for side in y.shape)
            views[i] = xp.broadcast_to(y, (2, *sides)) if wide else y
    moves = []
    for x in views:
        with count() as costs:
            xp.reshape(x, (x.size,))
        moves.append(costs.moves)
    host = views[0]
    try:
        np.reshape(host._data, (host.size,), copy=False)
        expected = 0
    except ValueError:
        expected = host.size
    assert moves == [expected, expected]


@pytest.mark.parametrize(
    "key",
    [
        (slice(None), [0, 1], slice(None), [1, 0]),  # arrays apart: their axis comes first
        (slice(None), [0, 1], [1, 0]),  # neighbours: it stays in place
        (slice(None), 1, slice(None), [1, 0]),  # an integer counts as an array
        ([[0], [1]], slice(None), slice(None), [1, 0, 1]),
        (None, [0, 1], slice(None), [1, 0]),
        (..., [0, 1]),
    ],
)
def test_axes_of_index_arrays_stand_where_numpy_puts_them(key):
    x = np.zeros((2, 3, 4, 5))
    host = tuple(np.array(item) if isinstance(item, list) else item for item in key)
    ours = tuple(counted(np.array(item)) if isinstance(item, list) else item for item in key)
    assert counted(x)[ours].shape == shape_only(2, 3, 4, 5)[ours].shape == x[host].shape


def test_every_new_array_is_row_major():
    x = xp.permute_dims(counted(np.random.default_rng(0).standard_normal((3, 3, 3))), (2, 1, 0))
    results = {
        "exp": xp.exp(x),
        "add": x + x,
        "where": xp.where(x > 0, x, -x),
        "clip": xp.clip(x, -1, 1),
        "sum": xp.sum(x, axis=0),
        "sort": xp.sort(x, axis=0),
        "argsort": xp.argsort(x, axis=0),
        "cumulative_sum": xp.cumulative_sum(x, axis=0),
        "matmul": xp.matmul(x, x),
        "copy": xp.asarray(x, copy=True),
        "astype": xp.astype(x, xp.float32),
        "zeros_like": xp.zeros_like(x),
        "stack": xp.stack([x, x], axis=-1),
        "roll": xp.roll(x, 1),
        "tril": xp.tril(x),
        "take": xp.take(x, xp.asarray([0, 1]), axis=2),
        "qr": xp.linalg.qr(x).Q,
        "svd": xp.linalg.svd(x).Vh,
        "inv": xp.linalg.inv(x),
        "fft": xp.fft.fft(x, axis=0),
    }
    for name, y in results.items():
        with count() as costs:
            xp.reshape(y, (-1,))
        assert costs.moves == 0, name
