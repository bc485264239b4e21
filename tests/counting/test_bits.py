import math
from fractions import Fraction

import array_api_strict
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from touchstone.counting.array import counted
from touchstone.counting.bits import Channel, message_size, rounded_to_bits
from touchstone.counting.shapes import shape_only


@pytest.mark.parametrize(
    ("message", "words", "bits"),
    [
        (1.5, 1, 64),
        (np.zeros((3, 4)), 12, 12 * 64),
        (np.zeros((3, 4), dtype=np.float32), 12, 12 * 32),
        (np.zeros(3, dtype=np.float16), 3, 48),
        (np.zeros(2, dtype=complex), 4, 256),
        (1 + 1j, 2, 128),
        (0, 1, 1),
        (255, 1, 8),
        (-255, 1, 9),
        (2**100, 2, 101),
        (np.array([0, 1, 2, 255]), 4, 1 + 1 + 2 + 8),
        (np.array([0, -1, 2]), 3, 1 + 1 + 2 + 3),
        (np.array([-(2**63)]), 1, 64 + 1),
        (np.array([2**64 - 1], dtype=np.uint64), 1, 64),
        (True, 1, 1),
        (np.ones(9, dtype=bool), 9, 9),
        ("abc", 1, 24),
        (None, 0, 0),
        ([], 0, 0),
        (np.zeros((0, 4), dtype=int), 0, 0),
        ({"R": np.zeros((2, 2)), "seed": 7}, 4 + 1 + 2, 4 * 64 + 3 + 8 + 32),
        (shape_only(2**200, 3), 3 * 2**200, 64 * 3 * 2**200),
        (array_api_strict.zeros((2, 2)), 4, 256),
    ],
)
def test_sizes(message, words, bits):
    assert message_size(message) == (words, bits)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_integer_arrays_by_the_obvious_count(numbers):
    signs = len(numbers) if min(numbers) < 0 else 0
    expected = sum(max(1, abs(n).bit_length()) for n in numbers) + signs
    assert message_size(np.array(numbers)) == (len(numbers), expected)


def test_views_are_sent_and_not_their_memory_and_repeats_are_sent_again():
    base = np.zeros((100, 3))
    assert message_size(base[0]) == (3, 192)
    assert message_size([base[0], base[0]]) == (6, 384)


def test_precision_of_floats():
    # sign, exponent, and one digit less than the precision
    assert message_size(np.zeros(10), bits=53) == (10, 640)
    assert message_size(np.zeros(10), bits=20).bits == 10 * (1 + 11 + 19)
    assert message_size(np.zeros(10, dtype=np.float32), bits=20).bits == 10 * (1 + 8 + 19)
    assert message_size(np.zeros(10), bits=1).bits == 10 * 12
    assert message_size(np.zeros(10), bits=1000).bits == 640
    assert message_size((1.0, 7), bits=20).bits == 31 + 3


def test_fields_of_integers():
    assert message_size(np.array([0, 1, 7]), integer_bits=3).bits == 9
    assert message_size(np.array([-4, 3]), integer_bits=3).bits == 6
    assert message_size([5, np.array([1, 2])], integer_bits=10).bits == 30
    assert message_size(shape_only(10**30, dtype="int64"), integer_bits=5).bits == 5 * 10**30
    for message, field in ((np.array([8]), 3), (np.array([-5]), 3), (np.array([-1, 4]), 3), (2**10, 10)):
        with pytest.raises(ValueError, match=f"fit {field} bits"):
            message_size(message, integer_bits=field)
    with pytest.raises(TypeError):
        message_size(shape_only(3, dtype="int64"))


def exactly_rounded(x, bits):
    """Nearest number of ``bits`` significant bits, ties to even, in rational arithmetic."""
    if x == 0 or not math.isfinite(x):
        return x
    scale = Fraction(2) ** (math.frexp(x)[1] - bits)
    return float(round(Fraction(x) / scale) * scale)


@given(st.floats(allow_nan=False, width=64), st.integers(1, 60))
def test_rounding_is_to_nearest_even(x, bits):
    if abs(x) > 1e308 or 0 < abs(x) < 1e-290:
        return  # rounding may leave the range of floats
    assert rounded_to_bits(x, bits) == exactly_rounded(x, bits)
    assert rounded_to_bits(np.array([x]), bits)[0] == exactly_rounded(x, bits)
    assert rounded_to_bits(np.array([1j * x]), bits)[0] == 1j * exactly_rounded(x, bits)


@given(st.floats(-(2.0**100), 2.0**100, width=32), st.integers(1, 30))
def test_rounding_has_the_relative_error_it_says(x, bits):
    if 0 < abs(x) < 1e-30:
        return
    rounded = rounded_to_bits(np.float32(x), bits)
    assert rounded.dtype == np.float32
    assert abs(float(rounded) - x) <= 2.0**-bits * abs(x)
    assert rounded_to_bits(rounded, bits) == rounded


def test_special_values_and_other_kinds_stay():
    x = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324])
    out = rounded_to_bits(x, 3)
    np.testing.assert_array_equal(out, x)
    assert np.signbit(out[4])
    message = {"i": np.array([1000001]), "t": (1 / 3, "abc", None, True), "n": 12345}
    arrived = rounded_to_bits(message, 2)
    assert arrived["i"] is message["i"]
    assert arrived["t"] == (0.375, "abc", None, True)
    assert arrived["n"] == 12345
    with pytest.raises(TypeError, match="set"):
        rounded_to_bits({1.5}, 3)
    with pytest.raises(ValueError, match="bits=0"):
        rounded_to_bits(1.0, 0)


@pytest.mark.parametrize("make", [np.asarray, array_api_strict.asarray, counted])
def test_channel_rounds_and_counts_in_every_namespace(make):
    channel = Channel(bits=8)
    sent = make(np.array([1 / 3, 2 / 3]))
    arrived = channel.send(sent, label="sketch")
    assert isinstance(arrived, type(sent))
    assert float(arrived[0]) == exactly_rounded(1 / 3, 8)
    assert channel.tally == {"messages": 1, "words": 2, "bits": 2 * (12 + 7)}
    assert channel.labels == {"sketch": {"messages": 1, "words": 2, "bits": 38}}


def test_broadcasts_labels_and_messages_without_data():
    channel = Channel()
    message = np.ones((4, 2))
    assert channel.send(message, receivers=5, label="R") is message
    channel.send(3, label="R")
    channel.send(np.ones(2), label="S", bits=10)
    assert channel.tally == {"messages": 7, "words": 43, "bits": 40 * 64 + 2 + 2 * 21}
    assert channel.labels["R"]["words"] == 41
    assert sum(t["bits"] for t in channel.labels.values()) == channel.tally["bits"]
    shapes = Channel(bits=20)
    huge = shape_only(2**100, 2)
    assert shapes.send(huge) is huge
    assert shapes.tally["bits"] == 31 * 2 * 2**100


def test_nothing_is_counted_when_sending_fails():
    channel = Channel()
    for bad, error in ((iter([1]), TypeError), ({1.5}, TypeError)):
        with pytest.raises(error):
            channel.send(bad, bits=3)
    with pytest.raises(ValueError, match="receivers"):
        channel.send(1.0, receivers=-1)
    with pytest.raises(ValueError, match="fit 2 bits"):
        channel.send(np.array([9]), integer_bits=2)
    assert channel.tally == {"messages": 0, "words": 0, "bits": 0}
    assert channel.labels == {}


@pytest.mark.parametrize("bits", [0, -1, 1.5, True])
def test_bad_widths(bits):
    with pytest.raises(ValueError, match="bits"):
        Channel(bits=bits)
    with pytest.raises(ValueError, match="bits"):
        message_size(1.0, bits=bits)
    with pytest.raises(ValueError, match="integer_bits"):
        message_size(1, integer_bits=bits)


def test_protocol_of_least_squares_in_words_of_few_bits():
    """Summing shared matrices: what arrives is good to the bits that were sent."""
    rng = np.random.default_rng(0)
    shares = [rng.standard_normal((20, 3)) for _ in range(4)]
    for bits in (6, 12, 24):
        channel = Channel(bits=bits)
        total = sum(channel.send(share) for share in shares)
        assert channel.tally["words"] == 4 * 60
        assert channel.tally["bits"] == 240 * (11 + bits)
        size = sum(np.abs(share) for share in shares)
        assert np.all(np.abs(total - sum(shares)) <= 2.0**-bits * size * (1 + 1e-9) + 1e-15)
