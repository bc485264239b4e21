"""What planted mistakes showed the other tests of arrays to miss."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from touchstone import arrays


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ((0,), [11749869230777074271, 4976686463289251617]),
        ((1,), [9441442522235856127, 17532960557476522086]),
        ((0, "c1"), [14266416730129641494, 2039927678725439792]),
        ((0, "c1", 3), [9283133639267788015, 3286572975667998729]),
    ],
)
def test_streams_stay_what_they_are(labels, words):
    # every committed figure was drawn from these streams: another derivation would silently redraw them all
    assert arrays.stream(*labels).bit_generator.random_raw(2).tolist() == words


def test_several_workers_are_threads_and_one_worker_or_one_block_is_none():
    here = threading.get_ident()

    def threads_of(rows, **workers):
        seen = set()

        def note(x):
            seen.add(threading.get_ident())
            return x

        arrays.map_rows(note, np.ones((rows, 2)), block=4, **workers)
        return seen

    assert threads_of(12) == threads_of(12, workers=1) == {here}
    assert threads_of(4, workers=2) == {here}  # a pool for one block would only cost time
    for workers in (2, 3):
        assert here not in threads_of(12, workers=workers)


def test_blas_has_one_thread_whatever_it_had_before():
    with threadpool_limits(2, user_api="blas"), arrays.single_threaded_blas():
        assert {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"} == {1}


def test_no_more_results_are_alive_than_workers_and_one():
    alive, most, lock = 0, 0, threading.Lock()

    class Part(np.ndarray):
        def __del__(self):
            nonlocal alive
            with lock:
                alive -= 1

    def make(x):
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        part = np.empty((1, 1)).view(Part)
        part[...] = x.shape[0]
        return part

    arrays.map_rows(make, np.ones((400, 1)), block=1, workers=2)
    assert most <= 2 + 3  # two at work, one handed over, and what a thread has not let go of yet
