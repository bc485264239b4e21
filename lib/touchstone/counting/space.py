"""Space of a streaming or online structure: the words and bits that are alive in it.

A word is a number: an entry of an array, a float, an integer of up to 64 bits (larger ones take a word for
each 64 bits begun), eight bytes of text. A complex number is two. What is found, and what counts once, is
said in ``leaves``: a view counts as the whole array that it keeps alive, so that a structure which holds on
to a slice of its input is seen to hold the input.
"""

from __future__ import annotations

import math
from array import array as packed_array
from collections import Counter
from typing import Any

import numpy as np

from touchstone.counting.leaves import leaves, numpy_dtype

WORD_BITS = 64


def live_words(structure: Any, *, ignore: tuple[type, ...] = ()) -> int:
    """The number of words alive in ``structure``, exactly, as a Python integer.

    ``ignore`` lists types whose objects are not charged. Raises ``TypeError`` for a part that cannot be
    counted, such as a live iterator. Cost: one visit a part; arrays are not read, so shape-only ones count.
    """
    return sum(words_in(leaf) for _, leaf in leaves(structure, ignore=ignore))


def live_bits(structure: Any, *, ignore: tuple[type, ...] = ()) -> int:
    """The number of bits alive in ``structure``: array entries and floats by the width of their dtype.

    A truth value is one bit, wherever it is stored; a Python integer has its bit length, at least 1, and one
    more if it is negative; text has eight a byte. Errors and cost as for ``live_words``.
    """
    return sum(bits_in(leaf) for _, leaf in leaves(structure, ignore=ignore))


def words_in(leaf: Any) -> int:
    """The words of one leaf (see the module's head)."""
    if isinstance(leaf, int) and not isinstance(leaf, bool):
        return max(1, -(-leaf.bit_length() // WORD_BITS))
    if isinstance(leaf, str | bytes | bytearray | memoryview):
        return -(-_bytes_in(leaf) // 8)
    if isinstance(leaf, packed_array):
        return len(leaf)
    if isinstance(leaf, bool | float):
        return 1
    if isinstance(leaf, complex):
        return 2
    dtype = numpy_dtype(leaf.dtype)
    each = {"c": 2, "b": 1, "i": 1, "u": 1, "f": 1, "m": 1, "M": 1}.get(dtype.kind)
    return math.prod(leaf.shape) * (each if each is not None else -(-dtype.itemsize // 8))


def bits_in(leaf: Any) -> int:
    """The bits of one leaf (see ``live_bits``)."""
    if isinstance(leaf, bool | np.bool_):
        return 1
    if isinstance(leaf, int):
        return max(1, leaf.bit_length()) + (leaf < 0)
    if isinstance(leaf, str | bytes | bytearray | memoryview):
        return 8 * _bytes_in(leaf)
    if isinstance(leaf, packed_array):
        return 8 * leaf.itemsize * len(leaf)
    if isinstance(leaf, float | complex) and not isinstance(leaf, np.generic):
        return 64 if isinstance(leaf, float) else 128
    dtype = numpy_dtype(leaf.dtype)
    return math.prod(leaf.shape) * (1 if dtype.kind == "b" else 8 * dtype.itemsize)


class PeakSpace:
    """The largest space that a structure was seen to take.

    Call ``observe(structure)`` whenever it may have grown (after each row, each block); ``tally`` then holds
    ``words`` and ``bits``, the peaks, and ``observations``. Not observing is not counting: observe before
    temporary storage is released, or hand the temporary to ``observe`` as well.
    """

    def __init__(self, *, ignore: tuple[type, ...] = ()) -> None:
        self.ignore = ignore
        self.tally: Counter[str] = Counter(words=0, bits=0, observations=0)

    def observe(self, *structures: Any) -> int:
        """Look at ``structures`` together (what they share counts once) and return their words now."""
        found = [leaf for _, leaf in leaves(structures, ignore=self.ignore)]
        words, bits = sum(map(words_in, found)), sum(map(bits_in, found))
        self.tally["words"] = max(self.tally["words"], words)
        self.tally["bits"] = max(self.tally["bits"], bits)
        self.tally["observations"] += 1
        return words


def _bytes_in(leaf: Any) -> int:
    if isinstance(leaf, memoryview):
        return leaf.nbytes
    return len(leaf.encode("utf-8", "surrogatepass")) if isinstance(leaf, str) else len(leaf)
