"""What becomes of the jobs when workers die. The pool is a stand-in here; test_run has the real one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joblib.externals.loky.process_executor import TerminatedWorkerError

from touchstone.reproduce import pool
from touchstone.reproduce.execute import Job, Outcome

# What a job does each time that it is run; the last entry goes on for ever.
FATES = st.lists(st.sampled_from(["ends", "dies"]), min_size=1, max_size=3)


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Runs jobs in order, several at a time; a job that dies takes its neighbours with it."""
    calls = []

    def jobs(fates):
        (tmp_path / "progress").mkdir(exist_ok=True)
        made = [Job(slug, "", {}, 1.0, progress=str(tmp_path / "progress" / slug)) for slug in fates]
        left = {slug: list(fate) for slug, fate in fates.items()}

        def tell(job, event):
            with open(job.progress, "a") as stream:
                stream.write(json.dumps({"event": event, "time": 0, "pid": 0}) + "\n")

        def batch(todo, workers):
            calls.append([job.slug for job in todo])
            for first in range(0, len(todo), workers):
                together = todo[first : first + workers]
                for job in together:
                    tell(job, "started")
                deaths = []
                for job in together:
                    fate = left[job.slug]
                    if (fate.pop(0) if len(fate) > 1 else fate[0]) == "dies":
                        deaths.append(job.slug)
                if deaths:
                    raise TerminatedWorkerError("a worker process was terminated")
                for job in together:
                    tell(job, "finished")
                    yield Outcome(job.slug, "done")

        monkeypatch.setattr(pool, "_run_batch", batch)
        return made

    jobs.calls = calls
    return jobs


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fates=st.lists(FATES, min_size=1, max_size=6), workers=st.integers(1, 3))
def test_every_job_has_one_outcome_and_only_the_deadly_fail(stand_in, fates, workers):
    named = {f"job-{number}": fate for number, fate in enumerate(fates)}
    outcomes = list(pool.run_jobs(stand_in(named), pool.LocalPool(workers)))
    assert sorted(outcome.name for outcome in outcomes) == sorted(named)
    for outcome in outcomes:
        fate = named[outcome.name]
        if "dies" not in fate:
            assert outcome.status == "done", "a neighbour's death was held against it"
        if fate == ["dies"]:
            assert outcome.status == "failed"
            assert "died twice" in outcome.message


def test_suspects_run_alone_and_the_others_together(stand_in):
    fates = {"a": ["dies"], "b": ["ends"], "c": ["ends"], "d": ["ends"]}
    outcomes = {outcome.name: outcome.status for outcome in pool.run_jobs(stand_in(fates), pool.LocalPool(2))}
    assert outcomes == {"a": "failed", "b": "done", "c": "done", "d": "done"}
    assert stand_in.calls == [["a", "b", "c", "d"], ["a"], ["b"], ["c", "d"]]


def test_workers_that_die_before_they_begin(stand_in, monkeypatch):
    jobs = stand_in({"a": ["ends"], "b": ["ends"]})
    tries = []

    def batch(todo, workers):
        tries.append(len(todo))
        raise TerminatedWorkerError("a worker process was terminated")
        yield

    monkeypatch.setattr(pool, "_run_batch", batch)
    outcomes = list(pool.run_jobs(jobs, pool.LocalPool(2)))
    assert [outcome.status for outcome in outcomes] == ["failed", "failed"]
    assert "die before they begin" in outcomes[0].message
    assert tries == [2, 2, 2]


def test_a_death_while_stopping_is_no_failure(stand_in):
    jobs = stand_in({"a": ["dies"], "b": ["ends"]})
    outcomes = list(pool.run_jobs(jobs, pool.LocalPool(1), stopping=lambda: True))
    assert [outcome.status for outcome in outcomes] == ["stopped", "stopped"]


def test_an_error_that_is_no_death_is_not_swallowed(stand_in, monkeypatch):
    jobs = stand_in({"a": ["ends"]})

    def batch(todo, workers):
        raise ZeroDivisionError
        yield

    monkeypatch.setattr(pool, "_run_batch", batch)
    with pytest.raises(ZeroDivisionError):
        list(pool.run_jobs(jobs, pool.LocalPool(1)))


def test_old_events_do_not_count(stand_in):
    """A progress file of an earlier try says nothing about this one."""
    [job] = stand_in({"a": ["ends"]})
    Path(job.progress).write_text('{"event": "started", "time": 0, "pid": 1}\n')
    [outcome] = pool.run_jobs([job], pool.LocalPool(1))
    assert outcome.status == "done"
    assert Path(job.progress).read_text().count("started") == 1
    assert list(pool.run_jobs([], pool.LocalPool(2))) == []
    assert [o.status for o in pool.run_jobs([replace(job)], pool.LocalPool(5))] == ["done"]
