"""Comparing verdicts: with the committed ones, and under other seeds."""

from __future__ import annotations

from pathlib import Path

import click

from touchstone.reproduce.commands import options
from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import PROFILES, Project, find_project


@click.command()
@click.argument("slugs", nargs=-1)
@click.option(
    "--against", default="HEAD", show_default=True, metavar="REV", help="The commit to compare with."
)
@click.option(
    "--profile",
    type=click.Choice(["auto", *PROFILES]),
    default="auto",
    show_default=True,
    help="The run to compare; auto takes the full one where it is fresh, else the quick one.",
)
@click.option(
    "--seeds",
    type=options.Seeds(),
    help="Instead: run under the seeds A to B, or 1 to N (auto: quick); fails when a verdict is not always "
    "the same.",
)
@options.jobs
@options.scheduler
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.md",
    help="Write what changed, with the numbers before and after, as Markdown.",
)
@click.pass_context
def verify(
    context: click.Context,
    slugs: tuple[str, ...],
    against: str,
    profile: str,
    seeds: tuple[int, ...] | None,
    jobs: int,
    scheduler: str | None,
    report: Path | None,
) -> None:
    """Compare the verdicts just computed with the committed ones; drift fails.

    With --seeds the runs go to build/runs/ and the report to build/seeds/; figures/ is not touched. --jobs
    and --scheduler are for --seeds.
    """
    from touchstone.reproduce.drift import drift_report
    from touchstone.reproduce.register import read_register, select
    from touchstone.reproduce.verify import commit_of
    from touchstone.reproduce.verify import verify as compare

    project = find_project(context.obj)
    if seeds is not None:
        profile = "quick" if profile == "auto" else profile
        context.exit(_verify_seeds(project, slugs, seeds, profile, jobs, scheduler, report))
    results = compare(project, select(read_register(project), slugs), against=against, profile=profile)
    if report is not None:
        _store(report, drift_report(results, against, commit_of(project, against)))
    for result in results:
        for line in result.lines():
            click.echo(line)
    drifted = [result.slug for result in results if result.drift]
    compared = sum(result.compared for result in results)
    click.echo(
        f"{compared} verdicts of {len(results)} papers compared with {against}: "
        + (f"drift in {', '.join(drifted)}." if drifted else "no drift.")
    )
    context.exit(1 if drifted else 0)


def _verify_seeds(
    project: Project,
    slugs: tuple[str, ...],
    seeds: tuple[int, ...],
    profile: str,
    jobs: int,
    scheduler: str | None,
    report: Path | None,
) -> int:
    """The exit status of ``verify --seeds``. Seed 0 is the evidence itself, so the seeds begin at 1."""
    from touchstone.reproduce.drift import seeds_report
    from touchstone.reproduce.register import read_register, select
    from touchstone.reproduce.seeds import lines_of, report_file, verify_seeds

    if len(seeds) < 2:
        raise click.UsageError("--seeds: expected two or more, as one verdict agrees with itself.")
    chosen = select(read_register(project), slugs)
    papers = [paper for paper in chosen if paper.notebook(project).exists()]
    if not papers or (slugs and len(papers) < len(chosen)):
        missing = next((paper.slug for paper in chosen if paper not in papers), None)
        raise ReproductionError(f"there is no notebook to run{f' of {missing}' if slugs else ''}.")
    results, stopped = verify_seeds(
        project,
        papers,
        seeds,
        console=options.console(),
        profile=profile,
        workers=jobs,
        scheduler=scheduler,
    )
    if report is not None:
        _store(report, seeds_report(results))
    for result in results:
        click.echo()
        for line in lines_of(result):
            click.echo(line)
    unstable = [result.slug for result in results if not result.stable]
    folder = report_file(project, profile, "auto", results[0].slug).parent
    stable = f"{len(results) - len(unstable)} of {len(results)} papers"
    click.echo(
        f"\n{stable} have the same verdicts under {len(seeds)} seeds"
        + (f"; not {', '.join(unstable)}" if unstable else "")
        + f". Reports: {project.relative(folder)}/."
    )
    return 128 + stopped if stopped is not None else 1 if unstable else 0


def _store(path: Path, text: str) -> None:
    from touchstone.reproduce.artefacts import store_file

    try:
        store_file(path, text.encode())
    except OSError as error:
        raise ReproductionError(f"the report {path} cannot be written: {error.strerror}.") from None
