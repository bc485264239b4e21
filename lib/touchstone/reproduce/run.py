"""Reproducing papers: find what is stale, run it, keep each result whole, tell what happened."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Sequence
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


@dataclass
class Summary:
    """What one call did, in one variant."""

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


@dataclass(frozen=True)
class _Task:
    """A notebook that has to run, in one variant."""

    variant: Variant
    plan: Plan
    name: str


def reproduce(
    project: Project,
    papers: Sequence[Paper],
    variants: Sequence[Variant],
    *,
    console: Any,
    workers: int = 2,
    scheduler: str | None = None,
    force: bool = False,
    limit: float | None = None,
    wait: bool = False,
) -> dict[Variant, Summary]:
    """Run the stale notebooks of ``papers`` in each of ``variants`` and store what they leave.

    On ``workers`` processes of this machine, or on all workers of the Dask ``scheduler`` at that address.
    Failures of single notebooks are in the summaries, with a message each, and on ``console``. Raises
    ``ReproductionError`` when nothing can be run at all: another run at work, a folder that cannot be
    written, a device that is not there, no worker.
    """
    if limit is not None and not 0 < limit < float("inf"):
        raise ReproductionError(f"timeout={limit!r}: expected a number of seconds above 0.")
    begun = time.monotonic()
    summaries = {variant: Summary() for variant in variants}
    with run_lock(project.lock_file, wait=wait) as lock:
        _clear_after_crash(project, variants, lock)
        tasks = []
        planner: Planner | None = None
        for variant, summary in summaries.items():
            planner = Planner(project, variant, like=planner)
            for plan in (planner.plan(paper) for paper in papers):
                slug = plan.paper.slug
                if plan.broken:
                    _fail(summary, console, project, plan, plan.broken)
                elif plan.stale or force:
                    tasks.append(_Task(variant, plan, name_of(slug, variant, variants)))
                else:
                    summary.fresh.append(slug)
        if planner is not None:
            planner.close()
        if tasks:
            _check_writable(project, variants)
            _run(summaries, project, tasks, lock, console, workers, scheduler, limit)
    for summary in summaries.values():
        summary.seconds = time.monotonic() - begun
    return summaries


def name_of(slug: str, variant: Variant, variants: Sequence[Variant]) -> str:
    """What a notebook is called in a run of several variants, which differ in the seed."""
    return slug if len(variants) == 1 else f"{slug} seed {variant.seed}"


def together(summaries: dict[Variant, Summary]) -> Summary:
    """The summaries of one call as one, with the seed behind each slug where there are several."""
    variants = list(summaries)
    whole = Summary()
    for variant, part in summaries.items():

        def named(slug: str, variant: Variant = variant) -> str:
            return name_of(slug, variant, variants)

        whole.fresh += map(named, part.fresh)
        whole.done += map(named, part.done)
        whole.stopped += map(named, part.stopped)
        whole.failures |= {named(slug): message for slug, message in part.failures.items()}
        for verdict, number in part.verdicts.items():
            whole.verdicts[verdict] = whole.verdicts.get(verdict, 0) + number
        whole.signal, whole.seconds = part.signal, part.seconds
    return whole


def _run(
    summaries: dict[Variant, Summary],
    project: Project,
    tasks: list[_Task],
    lock: IO[str],
    console: Any,
    workers: int,
    scheduler: str | None,
    limit: float | None,
) -> None:
    from touchstone.reproduce.interrupt import Interruptions
    from touchstone.reproduce.pool import run_jobs
    from touchstone.reproduce.progress import Display

    by_name = {task.name: task for task in tasks}
    pool = _pool(tasks, workers, scheduler, _say(console))
    with scratch_folders() as scratch, Interruptions(scratch, pool) as interruptions:
        note(lock, scratch=scratch.folders)
        jobs = [_job(project, task, scratch, limit) for task in tasks]
        interruptions.jobs = jobs
        _warn_of_outputs(project, tasks, _say(console))
        with Display(console, jobs) as display:
            for outcome in run_jobs(jobs, pool, stopping=lambda: interruptions.signal is not None):
                task = by_name[outcome.name]
                slug, summary = task.plan.paper.slug, summaries[task.variant]
                counts = _keep(project, task.variant, task.plan, outcome)
                display.finished(outcome, counts)
                if outcome.status == "done":
                    summary.done.append(slug)
                    for verdict, number in (counts or {}).items():
                        summary.verdicts[verdict] = summary.verdicts.get(verdict, 0) + number
                elif outcome.status == "stopped":
                    summary.stopped.append(slug)
                else:
                    summary.failures[slug] = outcome.message
        for summary in summaries.values():
            summary.signal = interruptions.signal


def _pool(tasks: list[_Task], workers: int, scheduler: str | None, say: Callable[[str], None]) -> Any:
    """The workers: of this machine, or of a cluster."""
    if scheduler is None:
        from touchstone.reproduce.pool import LocalPool

        for variant in dict.fromkeys(task.variant for task in tasks):
            _check_device(variant)
        return LocalPool(workers)
    from touchstone.reproduce.cluster import connect
    from touchstone.reproduce.on_worker import Installed

    sources: dict[str, str] = {}
    for task in tasks:
        sources |= task.plan.inputs["modules"]
    on_gpu = any(_device(task.variant) == "cuda" for task in tasks)
    return connect(scheduler, Installed.here(sources), gpu=on_gpu, say=say)


def _say(console: Any) -> Callable[[str], None]:
    return lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)


def _warn_of_outputs(project: Project, tasks: list[_Task], say: Callable[[str], None]) -> None:
    plans = [task.plan for task in tasks]
    for path in dict.fromkeys(plan.path for plan in plans if plan.notebook and plan.notebook.stored_outputs):
        name = project.relative(path)
        say(
            f"note: {name} holds outputs, which belong in no commit: "
            f"jupyter nbconvert --clear-output --inplace {name}"
        )


def _job(project: Project, task: _Task, scratch: Scratch, limit: float | None) -> Job:
    notebook, variant = task.plan.notebook, task.variant
    assert notebook is not None
    slug = task.plan.paper.slug
    progress = scratch.files / "progress"
    progress.mkdir(exist_ok=True)
    return Job(
        slug=slug,
        text=notebook.text,
        parameters=dict(variant.parameters),
        limit=limit or LIMITS[variant.profile],
        scratch=str(scratch.files),
        sockets=str(scratch.sockets),
        library=str(project.library),
        cache=str(project.cache),
        progress=str(progress / f"{variant.label}-{slug}.jsonl"),
        stop=str(scratch.files / "stop"),
        name=task.name,
    )


def _keep(project: Project, variant: Variant, plan: Plan, outcome: Outcome) -> dict[str, int] | None:
    """Store what a notebook left: artefacts first, as a whole, then its executed copy, then the stamp.

    Storing can fail too (a full disk): the outcome then becomes a failure, and the earlier results stay.
    """
    slug = plan.paper.slug
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


def _device(variant: Variant) -> str:
    return "cuda" if variant.profile == "gpu" and variant.device == "auto" else variant.device


def _check_device(variant: Variant) -> None:
    """A device that is not there is one sentence now, not one failure a notebook later."""
    if _device(variant) != "cuda":
        return
    from touchstone.arrays import DeviceError, open_device

    try:
        open_device("cuda")
    except DeviceError as error:
        raise ReproductionError(str(error)) from None


def _check_writable(project: Project, variants: Sequence[Variant]) -> None:
    for folder in (*(variant.outputs(project) for variant in variants), project.build):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise ReproductionError(
                f"{project.relative(folder)} cannot be written, so no result could be kept: {error.strerror}."
            ) from None


def _clear_after_crash(project: Project, variants: Sequence[Variant], lock: IO[str]) -> None:
    """Remove what a run that was killed left behind: half-stored folders and temporary files."""
    for variant in variants:
        recover(variant.outputs(project))
        for folder in (variant.stamps(project), variant.executed(project), variant.logs(project)):
            for path in folder.glob(".*"):
                with contextlib.suppress(OSError):
                    path.unlink()
    clear(read_note(lock).get("scratch"))
