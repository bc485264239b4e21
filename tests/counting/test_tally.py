from collections import Counter

import numpy as np
import pytest

from touchstone.counting.queries import CountedOracle
from touchstone.counting.tally import events, merged, tally_of


def test_tallies_of_objects_and_mappings():
    oracle = CountedOracle(abs, "distance")
    oracle(-1)
    assert tally_of(oracle) == {"distance": 1, "calls": 1}
    copy = tally_of(oracle)
    copy["distance"] = 100
    assert oracle.tally["distance"] == 1
    assert tally_of({"words": np.int64(3)}) == Counter(words=3)
    assert type(tally_of({"words": np.int64(3)})["words"]) is int


def test_merging_adds_event_by_event():
    assert merged({"a": 1, "b": 2}, Counter(b=3), {"c": 0}) == {"a": 1, "b": 5, "c": 0}
    assert merged() == {}


def test_events_are_python_integers_of_any_size_in_order():
    assert events([{"queries": 2**200}, {"queries": 0}], "queries") == [2**200, 0]


def test_a_count_that_was_not_kept_is_not_zero():
    with pytest.raises(KeyError, match="'words' is not counted by source 1, which counts bits, queries"):
        events([{"words": 1}, {"queries": 2, "bits": 1}], "words")
    with pytest.raises(KeyError, match="nothing"):
        events([Counter()], "words")


@pytest.mark.parametrize("source", [3, "words", None, [1], object()])
def test_what_keeps_no_tally(source):
    with pytest.raises(TypeError, match="expected a tally"):
        tally_of(source)


@pytest.mark.parametrize("number", [-1, 1.5, True, "1", None])
def test_counts_are_integers(number):
    with pytest.raises(ValueError, match="expected an integer"):
        merged({"words": number})
