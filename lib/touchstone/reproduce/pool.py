"""Running jobs on several worker processes through joblib, and outliving the death of any of them.

A worker that dies takes joblib's whole pool with it. The jobs that were running then are each tried once
more, alone in a fresh pool, so that a second death is surely their own; the others go on together.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from touchstone.reproduce import execute
from touchstone.reproduce.execute import Job, Outcome
from touchstone.reproduce.progress import read_events

_LOOK_AT_PARENT = 0.25
_FALSE_STARTS = 3
_NO_WORKERS = (
    "could not be run: the worker processes die before they begin (killed from outside, or out of memory)."
)
_DIED_TWICE = (
    "its worker process died twice (killed from outside, or out of memory), "
    "the second time with nothing else running."
)


def run_jobs(
    jobs: list[Job], workers: int, *, stopping: Callable[[], bool] = lambda: False
) -> Iterator[Outcome]:
    """The outcome of each job as it comes in; exactly one for each.

    Jobs need a progress file each, from which it is known what a dead worker was doing. Once ``stopping``
    says so, what has not run is reported as stopped.
    """
    waiting = {job.slug: job for job in jobs}
    suspects: list[str] = []
    false_starts = 0
    try:
        while waiting:
            alone = next((slug for slug in suspects if slug in waiting), None)
            batch = [waiting[alone]] if alone else list(waiting.values())
            for job in batch:
                if job.progress:
                    Path(job.progress).unlink(missing_ok=True)
            broken = None
            try:
                for outcome in _run_batch(batch, 1 if alone else min(workers, len(batch))):
                    waiting.pop(outcome.slug, None)
                    yield outcome
            except _pool_errors() as error:
                broken = error
            if broken is None:
                continue
            _end_pool()
            running = [job.slug for job in batch if job.slug in waiting and _was_running(job)]
            for slug in running:
                _sweep(waiting[slug])
            if stopping():
                for slug in list(waiting):
                    waiting.pop(slug)
                    yield Outcome(slug, "stopped", "stopped before its end.")
            elif alone:
                waiting.pop(alone)
                yield Outcome(alone, message=_DIED_TWICE, detail=str(broken))
            elif running:
                suspects.extend(running)
            elif (false_starts := false_starts + 1) >= _FALSE_STARTS:
                for slug in list(waiting):
                    waiting.pop(slug)
                    yield Outcome(slug, message=_NO_WORKERS, detail=str(broken))
    finally:
        _end_pool()


def kill_running(jobs: list[Job]) -> None:
    """Kill the kernels and the workers of all jobs that have begun and not ended, without asking anyone."""
    for job in jobs:
        if _was_running(job):
            _sweep(job)
            for event in read_events(job.progress):
                if event.get("event") == "started" and event.get("pid") != os.getpid():
                    with contextlib.suppress(OSError):
                        os.kill(int(event["pid"]), getattr(signal, "SIGKILL", signal.SIGTERM))


def _run_batch(jobs: list[Job], workers: int) -> Iterator[Outcome]:
    import warnings

    from joblib import Parallel, delayed, parallel_config

    # Said when the caller goes away early (a closed pipe): then there is nobody to be told.
    warnings.filterwarnings("ignore", message=".*still being processed by the workers have been cancelled")
    # With one worker joblib would run the jobs in this process, where a dying job is this process dying.
    # So there are two, and only one of them is handed a job at a time.
    with parallel_config(
        backend="loky", initializer=_start_worker, initargs=(os.getpid(),), inner_max_num_threads=1
    ):
        pool = Parallel(
            n_jobs=max(2, workers),
            pre_dispatch=workers,
            batch_size=1,
            return_as="generator_unordered",
            max_nbytes=None,
        )
        yield from pool(delayed(execute.run_job)(job) for job in jobs)


def _start_worker(parent: int) -> None:
    """In each worker: leave Ctrl-C to the parent, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch_parent, args=(parent,), daemon=True, name="watch parent").start()


def _watch_parent(parent: int) -> None:
    from touchstone.reproduce.kernel import kill_group

    while os.getppid() == parent:
        time.sleep(_LOOK_AT_PARENT)
    for pid in list(execute.live_kernels):
        kill_group(pid)
    os._exit(1)


def _end_pool() -> None:
    """End joblib's worker processes, which it would keep for a later call."""
    from joblib.externals.loky import reusable_executor

    executor = reusable_executor._executor
    if executor is not None:
        with contextlib.suppress(Exception):
            executor.shutdown(wait=True, kill_workers=True)


def _pool_errors() -> tuple[type[BaseException], ...]:
    from concurrent.futures import BrokenExecutor

    from joblib.externals.loky.process_executor import ShutdownExecutorError, TerminatedWorkerError

    return (TerminatedWorkerError, BrokenExecutor, ShutdownExecutorError)


def _was_running(job: Job) -> bool:
    seen = [event.get("event") for event in read_events(job.progress)]
    return "started" in seen and "finished" not in seen


def _sweep(job: Job) -> None:
    """Kill what a job's kernel may have left; the kernel itself dies with its worker."""
    from touchstone.reproduce.kernel import kill_group

    for event in read_events(job.progress):
        if event.get("event") == "kernel":
            kill_group(int(event["pid"]))
