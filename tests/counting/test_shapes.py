"""Arrays without data: sizes no memory holds, and clear errors where values are asked for."""

import numpy as np
import pytest

from touchstone import arrays
from touchstone.counting.array import CountingError, ShapeOnlyError, count, counted
from touchstone.counting.shapes import shape_only

N = 2**320


def test_shape_dtype_and_size():
    x = shape_only(N, 4, dtype="float32")
    assert (x.shape, x.ndim, x.size, x.nbytes, x.dtype) == ((N, 4), 2, 4 * N, 16 * N, np.dtype("float32"))
    assert shape_only((2, 3)).shape == (2, 3)
    assert shape_only().shape == ()
    assert not x.has_data
    with pytest.raises(ValueError, match=">= 0"):
        shape_only(-1)
    with pytest.raises(TypeError):
        shape_only(2.5)
    with pytest.raises(TypeError, match="dtype"):
        shape_only(2, dtype="U3")


def test_dense_attention_at_n_of_ninety_six_digits():
    Q = K = V = shape_only(N, 8)
    xp = arrays.namespace(Q, K, V)
    with count() as costs:
        A = xp.exp(Q @ K.T)
        out = (A @ V) / xp.sum(A, axis=1, keepdims=True)
    assert out.shape == (N, 8)
    assert costs.multiply_adds == 16 * N * N
    assert costs.transcendentals == N * N
    assert costs.arithmetic == N * (N - 1) + 8 * N
    assert costs.bytes_peak == 8 * 2 * N * N  # the logits while their exponentials are written


@pytest.mark.parametrize(
    "ask",
    [
        lambda x: bool(x),
        lambda x: float(x),
        lambda x: int(x),
        lambda x: complex(x),
        lambda x: arrays.to_host(x),
        lambda x: [1][shape_only(dtype="int64")],
        lambda x: shape_only(4)[shape_only(4, dtype="bool")],
        lambda x: arrays.namespace(x).repeat(shape_only(2), shape_only(2, dtype="int64")),
    ],
)
def test_values_are_refused(ask):
    with pytest.raises(ShapeOnlyError, match="shape-only"):
        ask(shape_only())
    with pytest.raises(TypeError):  # the kind of error that `arrays.to_host` promises
        ask(shape_only())
    with pytest.raises(CountingError):
        ask(shape_only())


def test_mixing_with_data_gives_no_data_and_the_same_counts():
    x, s = counted(np.ones((3, 2))), shape_only(3, 2)
    with count() as costs:
        y = x + s
        z = s.T @ x
    assert not y.has_data
    assert not z.has_data
    assert (costs.arithmetic, costs.multiply_adds) == (6, 12)


def test_new_arrays_beside_shape_only_ones_have_no_data():
    s = shape_only(N, 3)
    xp = arrays.namespace(s)
    for x in (xp.zeros((N, 2)), xp.empty_like(s), xp.ones_like(s), xp.arange(N), xp.eye(N)):
        assert not x.has_data
    assert xp.concat([s, xp.zeros((N, 3))]).shape == (2 * N, 3)


def test_writing_into_an_array_without_data_counts():
    s = shape_only(N, 3)
    xp = arrays.namespace(s)
    out = xp.empty((N, 6))
    with count() as costs:
        out[:, :3] = s
        out[: N // 2, 3:] = 1.0
        out += 1.0
        out[out > 0] = 0.0
    assert costs.moves == 3 * N + 3 * (N // 2) + 6 * N
    assert costs.arithmetic == 6 * N
    assert costs.comparisons == 12 * N
    with pytest.raises(ValueError, match="broadcast"):
        out[:3, :] = s
    with pytest.raises(ShapeOnlyError, match="under a mask"):
        out[out > 0] = shape_only(5)


def test_same_errors_as_with_data():
    x, s = counted(np.ones((3, 2))), shape_only(3, 2)
    calls = [
        lambda a: a @ a,
        lambda a: a + a.T,
        lambda a: a[3, 0],
        lambda a: a[:, :, 0],
        lambda a: arrays.namespace(a).sum(a, axis=5),
        lambda a: arrays.namespace(a).reshape(a, (4, -1)),
        lambda a: arrays.namespace(a).max(a[:0, :]),
        lambda a: arrays.namespace(a).linalg.inv(a),
    ]
    for call in calls:
        with pytest.raises((ValueError, IndexError)) as with_data:
            call(x)
        with pytest.raises(with_data.type):
            call(s)
