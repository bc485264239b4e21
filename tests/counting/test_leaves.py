import enum
import functools
import threading
from array import array
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field

import array_api_strict
import mpmath
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from touchstone.counting.array import counted
from touchstone.counting.leaves import leaves, numpy_dtype
from touchstone.counting.shapes import shape_only
from touchstone.counting.space import live_words


def values(structure, **keywords):
    return [leaf for _, leaf in leaves(structure, **keywords)]


structures = st.recursive(
    st.one_of(st.integers(-(2**63), 2**63), st.floats(), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(st.integers(), inner, max_size=3),
    ),
    max_leaves=30,
)


def plainly(structure):
    """The obvious recursion, for trees of builtin containers."""
    if isinstance(structure, dict):
        return [x for pair in structure.items() for part in pair for x in plainly(part)]
    if isinstance(structure, list | tuple):
        return [x for part in structure for x in plainly(part)]
    return [] if structure is None else [structure]


@given(structures)
def test_nothing_is_lost_and_nothing_is_added(structure):
    expected = sorted(map(repr, plainly(structure)))
    assert sorted(map(repr, values(structure, shared=False))) == expected
    if all(plainly(structure).count(x) == 1 for x in plainly(structure)):
        assert len(values(structure)) <= len(expected)  # equal containers may be one object


def test_numbers_that_python_shares_are_counted_in_every_slot():
    assert values([1, 1, 1.5, True, True]) == [1, 1, 1.5, True, True]
    assert len(values([0.5] * 1000)) == 1000


def test_objects_reached_twice_are_there_once_and_sent_twice():
    row = np.arange(5.0)
    assert len(values([row, row, {"again": row}])) == 1 + 1  # and the text of the key
    assert len(values([row, row], shared=False)) == 2
    loop = [1]
    loop.append(loop)
    assert values(loop) == [1]
    with pytest.raises(ValueError, match="contains itself"):
        values(loop, shared=False)


def test_a_view_is_the_memory_that_it_keeps():
    base = np.zeros((100, 3))
    assert live_words(base[7]) == 300
    assert live_words([base[0], base[1], base.T, base.reshape(-1)[::2]]) == 300
    assert live_words(base[7].copy()) == 3
    assert live_words(np.broadcast_to(np.float64(1), (1000,))) == 1
    assert sum(leaf.size for leaf in values(base[7], shared=False)) == 3


@dataclass
class Bucket:
    total: float
    seen: list = field(default_factory=list)


@dataclass(slots=True)
class Slotted:
    a: float
    b: np.ndarray


class Old:
    __slots__ = ("__private", "unset", "x")

    def __init__(self):
        self.x, self.__private = 1.0, 2.0


class Child(Old):
    def __init__(self):
        super().__init__()
        self.y = 3.0


class Colour(enum.Enum):
    RED = 1


Point = namedtuple("Point", "x y")


class Table:
    def __init__(self, width):
        a, b = 7, 11
        self.rows = np.zeros((3, width))
        self.hash = lambda x: (a * x + b) % width

    def update(self, i):
        self.rows[:, self.hash(i)] += 1


@pytest.mark.parametrize(
    ("structure", "words"),
    [
        (None, 0),
        ([], 0),
        ({}, 0),
        (3, 1),
        (2**64, 2),
        (-(2**640), 11),
        (1 + 2j, 2),
        ("", 0),
        ("eight ch", 1),
        ("nine chars", 2),
        (b"x" * 17, 3),
        (bytearray(9), 2),
        (memoryview(bytes(16)), 2),
        (array("d", [1, 2, 3]), 3),
        (np.zeros((2, 0, 5)), 0),
        (np.zeros((2, 5), dtype=np.float32), 10),
        (np.zeros(4, dtype=complex), 8),
        (np.zeros(4, dtype=bool), 4),
        (np.float64(1), 1),
        (np.array([1, None, [2.0, 3.0]], dtype=object), 3),
        (np.zeros(3, dtype=[("a", float), ("b", float)]), 6),
        (deque([1, 2]), 2),
        ({1, 2, 3}, 3),
        (frozenset({1.5}), 1),
        ({1: 2.0, 3: [4.0]}, 4),
        (OrderedDict(a=1), 2),
        (defaultdict(list, {1: [2, 3]}), 3),
        (Counter({5: 2}), 2),
        (range(10), 3),
        (Point(1.0, 2.0), 2),
        (Bucket(1.0, [2.0, 3.0]), 3),
        (Slotted(1.0, np.zeros(4)), 5),
        (Old(), 2),
        (Child(), 3),
        (Colour.RED, 0),
        (len, 0),
        (np.exp, 0),
        (float, 0),
        (np, 0),
        (threading.Lock(), 0),
        (functools.partial(pow, 2, mod=7), 2 + 1),  # the key is text
        (lambda x, y=5: x, 1),
        (mpmath.mpf(3), 2),
        (array_api_strict.zeros((3, 4)), 12),
        (counted(np.zeros((3, 4))), 12),
        (shape_only(10**40, 4), 4 * 10**40),
        (Table(10), 30 + 3),
        (Table(10).update, 30 + 3),
        ([1, 2].append, 2),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else str(value)[:8],
)
def test_words(structure, words):
    assert live_words(structure) == words


def test_generators_of_random_numbers_hold_their_state():
    # PCG64: two integers of at most 128 bits, a flag and a 32-bit remainder
    assert 4 <= live_words(np.random.default_rng(0)) <= 6
    assert live_words(np.random.Generator(np.random.MT19937(0))) == 624 + 1
    assert live_words(np.random.default_rng(0).standard_normal) <= 6


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
def test_sparse_matrices_hold_values_and_indices(form):
    A = scipy.sparse.random_array((50, 40), density=0.02, format="coo", rng=np.random.default_rng(0))
    words = live_words(A.asformat(form))
    assert A.nnz < words < 50 * 40
    if form in ("csr", "csc"):
        assert words == 2 * A.nnz + (51 if form == "csr" else 41)
    if form == "coo":
        assert words == 3 * A.nnz


def test_deep_structures_do_not_exhaust_the_stack():
    chain = None
    for i in range(30_000):
        chain = (i, chain)
    assert live_words(chain) == 30_000
    assert len(values(chain, shared=False)) == 30_000
    with pytest.raises(TypeError, match=r"\[1\]\[1\]: cannot count"):
        live_words((1, (2, iter([chain]))))


@pytest.mark.parametrize("hidden", [iter([1]), (x for x in range(3)), map(abs, [1])])
def test_what_cannot_be_counted_is_named(hidden):
    with pytest.raises(TypeError, match=r"structure\['queue'\]\[1\]: cannot count"):
        live_words({"queue": [1, hidden]})


def test_ignored_types_and_what_an_object_says_it_holds():
    assert live_words([Bucket(1.0), 2.0], ignore=(Bucket,)) == 1
    assert live_words({"a": [1.0, 2.0], "b": (3.0,)}, ignore=(list, str)) == 1

    class Remote:
        def __init__(self):
            self.data, self.cursor = np.zeros(1000), 3

        def __live__(self):
            return self.cursor

    assert live_words([Remote(), Remote()]) == 2


def test_operators_with_a_shape_are_taken_apart():
    class Sketch:
        shape, dtype = (10, 1000), np.dtype(float)

        def __init__(self):
            self.signs = np.ones(1000)

    assert live_words(Sketch()) == 1000


def test_dtypes_of_every_namespace():
    assert numpy_dtype(array_api_strict.float32) == np.float32
    assert numpy_dtype(np.int8) == np.int8
    assert numpy_dtype("complex64") == np.complex64
    with pytest.raises(TypeError):
        numpy_dtype("bfloat16")
