"""Reproducing papers: find what is stale, run it, keep each result whole, tell what happened."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from typing import IO, Any

from touchstone.reproduce.artefacts import recover, store_file, store_folder
from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.execute import Job, Outcome, describe
from touchstone.reproduce.ledgers import LEDGER, count_verdicts, read_ledger
from touchstone.reproduce.lock import note, read_note, run_lock
from touchstone.reproduce.plan import Plan, Planner, stamp_file, write_stamp
from touchstone.reproduce.project import Project, Variant
from touchstone.reproduce.register import Paper
from touchstone.reproduce.scratch import Scratch, clear, scratch_folders

# Seconds of wall clock for a whole notebook: about ten times what its profile allows on one quiet core, so
# that only a notebook that hangs meets the limit, on a slow and busy machine too.
LIMITS = {"full": 600.0, "quick": 200.0, "gpu": 1800.0}
_PATIENCE = 10.0


@dataclass
class Summary:
    """What one call of ``reproduce`` did."""

    fresh: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    stopped: list[str] = field(default_factory=list)
    verdicts: dict[str, int] = field(default_factory=dict)
    signal: int | None = None
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """0 when all went well, 1 when a notebook failed, 128 + the signal when one ended the run."""
        if self.signal is not None:
            return 128 + self.signal
        return 1 if self.failures or self.stopped else 0


def reproduce(
    project: Project,
    papers: list[Paper],
    variant: Variant,
    *,
    console: Any,
    workers: int = 2,
    force: bool = False,
    limit: float | None = None,
    wait: bool = False,
) -> Summary:
    """Run the stale notebooks of ``papers`` and store what they leave.

    Failures of single notebooks are in the summary, with a message each, and on ``console``. Raises
    ``ReproductionError`` when nothing can be run at all: another run at work, a folder that cannot be
    written, a device that is not there.
    """
    if limit is not None and not 0 < limit < float("inf"):
        raise ReproductionError(f"timeout={limit!r}: expected a number of seconds above 0.")
    begun = time.monotonic()
    summary = Summary()
    with run_lock(project.lock_file, wait=wait) as lock:
        _clear_after_crash(project, variant, lock)
        planner = Planner(project, variant)
        plans = [planner.plan(paper) for paper in papers]
        planner.close()
        summary.fresh = [plan.paper.slug for plan in plans if not plan.stale and not force]
        for plan in plans:
            if plan.broken:
                _fail(summary, console, project, plan, plan.broken)
        stale = [plan for plan in plans if not plan.broken and (plan.stale or force)]
        if stale:
            _check_device(variant)
            _check_writable(project, variant)
            _run(summary, project, variant, stale, lock, console, workers, limit or LIMITS[variant.profile])
    summary.seconds = time.monotonic() - begun
    return summary


def _run(
    summary: Summary,
    project: Project,
    variant: Variant,
    plans: list[Plan],
    lock: IO[str],
    console: Any,
    workers: int,
    limit: float,
) -> None:
    from touchstone.reproduce.pool import run_jobs
    from touchstone.reproduce.progress import Display

    by_slug = {plan.paper.slug: plan for plan in plans}
    with scratch_folders() as scratch, _Interruptions(scratch) as interruptions:
        note(lock, scratch=scratch.folders)
        jobs = [_job(project, variant, plan, scratch, limit) for plan in plans]
        interruptions.jobs = jobs
        for plan in plans:
            if plan.notebook and plan.notebook.stored_outputs:
                console.print(
                    f"note: {project.relative(plan.path)} holds outputs, which belong in no commit: "
                    f"jupyter nbconvert --clear-output --inplace {project.relative(plan.path)}",
                    highlight=False,
                    markup=False,
                    soft_wrap=True,
                )
        with Display(console, jobs) as display:
            for outcome in run_jobs(jobs, workers, stopping=lambda: interruptions.signal is not None):
                counts = _keep(project, variant, by_slug[outcome.slug], outcome)
                display.finished(outcome, counts)
                if outcome.status == "done":
                    summary.done.append(outcome.slug)
                    for verdict, number in (counts or {}).items():
                        summary.verdicts[verdict] = summary.verdicts.get(verdict, 0) + number
                elif outcome.status == "stopped":
                    summary.stopped.append(outcome.slug)
                else:
                    summary.failures[outcome.slug] = outcome.message
        summary.signal = interruptions.signal


def _job(project: Project, variant: Variant, plan: Plan, scratch: Scratch, limit: float) -> Job:
    assert plan.notebook is not None
    progress = scratch.files / "progress"
    progress.mkdir(exist_ok=True)
    return Job(
        slug=plan.paper.slug,
        text=plan.notebook.text,
        parameters=dict(variant.parameters),
        limit=limit,
        scratch=str(scratch.files),
        sockets=str(scratch.sockets),
        library=str(project.library),
        cache=str(project.cache),
        progress=str(progress / f"{plan.paper.slug}.jsonl"),
        stop=str(scratch.files / "stop"),
    )


def _keep(project: Project, variant: Variant, plan: Plan, outcome: Outcome) -> dict[str, int] | None:
    """Store what a notebook left: artefacts first, as a whole, then its executed copy, then the stamp.

    Storing can fail too (a full disk): the outcome then becomes a failure, and the earlier results stay.
    """
    slug = outcome.slug
    log = variant.logs(project) / f"{slug}.log"
    failed_copy = variant.logs(project) / f"{slug}.ipynb"
    counts = None
    if outcome.status == "done":
        target = variant.outputs(project) / slug
        stamp = stamp_file(project, variant, slug)
        try:
            counts = count_verdicts(read_ledger(outcome.artefacts[LEDGER], slug, validate=False))
            stamp.unlink(missing_ok=True)
            store_folder(target, outcome.artefacts)
            store_file(variant.executed(project) / f"{slug}.ipynb", (outcome.executed or "").encode())
            write_stamp(stamp, plan.inputs, outcome.artefacts, outcome.seconds)
        except OSError as error:
            outcome.status = "failed"
            outcome.message = (
                f"its results could not be stored under {project.relative(target)}: {describe(error)} "
                "It will run again next time."
            )
            outcome.detail = outcome.message
    with contextlib.suppress(OSError):  # the log is a convenience, and the disk may be full
        if outcome.status == "done":
            log.unlink(missing_ok=True)
            failed_copy.unlink(missing_ok=True)
        elif outcome.status == "failed":
            store_file(log, (outcome.detail or outcome.message).encode())
            if outcome.executed:
                store_file(failed_copy, outcome.executed.encode())
            outcome.message += f"\n    full log: {project.relative(log)}"
    return counts


def _fail(summary: Summary, console: Any, project: Project, plan: Plan, message: str) -> None:
    summary.failures[plan.paper.slug] = f"{project.relative(plan.path)}: {message}"
    console.print(f"[red]FAILED[/] {plan.paper.slug}: ", end="", highlight=False)
    console.print(message, highlight=False, markup=False, soft_wrap=True)


def _check_device(variant: Variant) -> None:
    """A device that is not there is one sentence now, not one failure a notebook later."""
    wanted = "cuda" if variant.profile == "gpu" and variant.device == "auto" else variant.device
    if wanted != "cuda":
        return
    from touchstone.arrays import DeviceError, open_device

    try:
        open_device(wanted)
    except DeviceError as error:
        raise ReproductionError(str(error)) from None


def _check_writable(project: Project, variant: Variant) -> None:
    for folder in (variant.outputs(project), project.build):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ReproductionError(
                f"{project.relative(folder)} cannot be written, so no result could be kept: {error.strerror}."
            ) from None


def _clear_after_crash(project: Project, variant: Variant, lock: IO[str]) -> None:
    """Remove what a run that was killed left behind: half-stored folders and temporary files."""
    recover(variant.outputs(project))
    for folder in (variant.stamps(project), variant.executed(project), variant.logs(project)):
        for path in folder.glob(".*"):
            with contextlib.suppress(OSError):
                path.unlink()
    clear(read_note(lock).get("scratch"))


class _Interruptions:
    """Turns Ctrl-C and a polite kill into a quick, orderly end.

    The first signal asks every worker to end its kernel, by a file that they look for; the outcomes then
    come in the usual way. Should that take too long, or a second signal arrive, everything is killed on the
    spot.
    """

    def __init__(self, scratch: Scratch) -> None:
        self.signal: int | None = None
        self.jobs: list[Job] = []
        self._scratch = scratch
        self._before: dict[int, Any] = {}
        self._over = threading.Event()

    def __enter__(self) -> _Interruptions:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _frame: object) -> None:
        if self.signal is not None:
            self._end_now()
        self.signal = number
        print(
            f"\nstopping ({signal.Signals(number).name}): ending the running notebooks",
            file=sys.stderr,
            flush=True,
        )
        try:
            (self._scratch.files / "stop").touch()
        except OSError:  # a full disk: no file to see, so no time to wait
            self._end_now()
        threading.Thread(target=self._lose_patience, daemon=True).start()

    def _lose_patience(self) -> None:
        if not self._over.wait(_PATIENCE):
            self._end_now()

    def _end_now(self) -> None:
        from touchstone.reproduce.pool import kill_running

        kill_running(self.jobs)
        self._scratch.remove()
        os._exit(128 + (self.signal or signal.SIGTERM))
