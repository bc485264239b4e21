import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.counting.array import counted
from touchstone.counting.space import live_words
from touchstone.counting.streams import OnePass, SecondPassError


@given(st.integers(0, 20), st.integers(0, 3), st.integers(1, 7))
def test_rows_and_blocks_in_order_once(n, d, size):
    data = np.arange(float(n * d)).reshape(n, d)
    stream = OnePass(data)
    rows = list(stream)
    assert len(stream) == len(rows) == n
    assert all(np.array_equal(a, b) for a, b in zip(rows, data, strict=True))
    assert stream.tally == {"rows": n, "passes": 1}
    stream = OnePass(data)
    blocks = list(stream.blocks(size))
    assert [len(block) for block in blocks] == [min(size, n - s) for s in range(0, n, size)]
    assert np.array_equal(np.concatenate([np.zeros((0, d)), *blocks]), data)
    assert stream.tally == {"rows": n, "passes": 1}


def test_a_second_pass_raises_even_after_a_short_first():
    stream = OnePass(np.zeros((10, 2)))
    for i, _ in enumerate(stream):
        if i == 2:
            break
    with pytest.raises(SecondPassError, match="after 3 rows of the first"):
        iter(stream)
    with pytest.raises(SecondPassError):
        stream.blocks(2)
    assert stream.tally == {"rows": 3, "passes": 1}


def test_starting_is_a_pass_although_nothing_was_read():
    stream = OnePass([1, 2])
    first = iter(stream)
    with pytest.raises(SecondPassError, match="after 0 rows"):
        iter(stream)
    assert list(first) == [1, 2]  # the first pass goes on
    with pytest.raises(SecondPassError):
        2 in stream  # noqa: B015


def test_no_random_access():
    stream = OnePass(np.zeros((10, 2)))
    with pytest.raises(SecondPassError, match=r"stream\[3\]"):
        stream[3]
    with pytest.raises(SecondPassError, match="array"):
        np.asarray(stream)
    assert stream.tally["passes"] == 0


def test_rows_own_their_memory():
    data = np.zeros((1000, 3))
    row = next(iter(OnePass(data)))
    assert live_words(row) == 3
    row += 1
    assert not data.any()
    assert live_words(next(OnePass(data).blocks(5))) == 15
    assert live_words(next(iter(OnePass(list(data))))) == 3
    assert live_words(OnePass(data)) == 0


def test_numbers_items_and_other_arrays():
    assert list(OnePass(np.arange(3.0))) == [0.0, 1.0, 2.0]
    assert list(OnePass(["a", "b", "c"]).blocks(2)) == [["a", "b"], ["c"]]
    assert list(OnePass(iter([1, 2]))) == [1, 2]
    rows = list(OnePass(array_api_strict.asarray(np.eye(3))))
    assert [float(row[i]) for i, row in enumerate(rows)] == [1, 1, 1]
    assert len(list(OnePass(counted(np.eye(3))).blocks(2))) == 2


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least one axis"):
        OnePass(np.array(1.0))
    with pytest.raises(TypeError, match="iterable"):
        OnePass(3)
    for size in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="size"):
            OnePass([1]).blocks(size)
    with pytest.raises(TypeError):
        len(OnePass(iter([1])))
