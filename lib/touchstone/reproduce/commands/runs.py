"""Running notebooks, and clearing away what runs left."""

from __future__ import annotations

import shutil
from typing import Any

import click
from click.core import ParameterSource

from touchstone.reproduce.commands import options
from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import Project, Variant, find_project


@click.command()
@click.argument("slugs", nargs=-1)
@options.profile
@options.seed
@click.option("--seeds", type=options.Seeds(), help="Instead of --seed: every seed from A to B.")
@options.device
@options.jobs
@options.scheduler
@click.option("--force", is_flag=True, help="Run fresh notebooks too.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds of wall clock that a notebook may take.  [default: 600 full, 200 quick, 1800 gpu]",
)
@click.option("--wait", is_flag=True, help="Wait for another run in this checkout instead of refusing.")
@click.pass_context
def reproduce(
    context: click.Context,
    slugs: tuple[str, ...],
    profile: str,
    seed: int,
    seeds: tuple[int, ...] | None,
    device: str,
    jobs: int,
    scheduler: str | None,
    force: bool,
    timeout: float | None,
    wait: bool,
) -> None:
    """Run the stale notebooks of all papers, or of SLUGS, and keep their figures and ledgers.

    The full profile with seed 0 writes figures/; everything else writes under build/.
    """
    from touchstone.reproduce.register import read_register, select, unregistered
    from touchstone.reproduce.run import reproduce as run
    from touchstone.reproduce.run import together

    if seeds is not None and context.get_parameter_source("seed") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--seed and --seeds exclude each other.")
    project = find_project(context.obj)
    variants = [Variant(profile, number, device) for number in seeds or (seed,)]
    papers = read_register(project)
    chosen = select(papers, slugs)
    missing = [paper for paper in chosen if not paper.notebook(project).exists()]
    if slugs and missing:
        slug = missing[0].slug
        raise ReproductionError(f"{slug} has no notebook yet: `touchstone new {slug}` starts one.")
    chosen = [paper for paper in chosen if paper not in missing]
    options.warn_strays(unregistered(project, papers))
    console = options.console()
    summaries = run(
        project,
        chosen,
        variants,
        console=console,
        workers=jobs,
        scheduler=scheduler,
        force=force,
        limit=timeout,
        wait=wait,
    )
    summary = together(summaries)
    _show_summary(console, project, variants, summary)
    context.exit(summary.exit_status)


@click.command()
@click.pass_context
def clean(context: click.Context) -> None:
    """Remove build/: stamps, executed notebooks, logs, quick runs. figures/ stays."""
    from touchstone.reproduce.lock import run_lock

    project = find_project(context.obj)
    if not project.build.is_dir():
        click.echo("nothing to remove.")
        return
    with run_lock(project.lock_file):
        _remove(project)
    click.echo("removed build/; the next reproduce runs everything.")


def _remove(project: Project) -> None:
    try:
        shutil.rmtree(project.build)
    except OSError as error:
        raise ReproductionError(
            f"build/ could not be removed: {error.strerror} ({error.filename})."
        ) from None


def _show_summary(console: Any, project: Project, variants: list[Variant], summary: Any) -> None:
    from touchstone.reproduce.ledgers import describe_counts

    for slug, message in summary.failures.items():
        click.echo(f"\n{slug}: {message}", err=True)
    if summary.stopped:
        click.echo(
            f"\nstopped before their end: {', '.join(summary.stopped)}; their earlier results are untouched.",
            err=True,
        )
    if not (summary.done or summary.failures or summary.stopped):
        what = f"{len(summary.fresh)} notebooks are fresh" if summary.fresh else "there is no notebook"
        console.print(f"nothing to run: {what}.", highlight=False)
        return
    parts = [f"{len(summary.done)} run", f"{len(summary.fresh)} fresh", f"{len(summary.failures)} failed"]
    verdicts = f" Verdicts: {describe_counts(summary.verdicts)}." if summary.verdicts else ""
    folders = list(dict.fromkeys(project.relative(variant.outputs(project)) for variant in variants))
    named = f"{folders[0]}/" + (f" to {folders[-1]}/" if len(folders) > 1 else "")
    where = f" Results: {named}." if summary.done else ""
    console.print(
        f"\n{', '.join(parts)} in {summary.seconds:.1f} s.{verdicts}{where}", highlight=False, soft_wrap=True
    )
