"""The ``touchstone`` command. Heavy imports wait until a command needs them."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

import click

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import DEVICES, PROFILES, Project, Variant, find_project

_profile = click.option(
    "--profile", type=click.Choice(PROFILES), default="full", show_default=True, help="Sizes of the run."
)
_seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the run."
)
_device = click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)


class _Group(click.Group):
    """Turns errors meant for the user into one sentence and exit status 2."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            click.echo(f"touchstone: {error.format_message()}", err=True)
        except ReproductionError as error:
            click.echo(f"touchstone: {error}", err=True)
        except KeyboardInterrupt:  # before any notebook runs; from then on the run takes care of it
            context.exit(130)
        return context.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--root", type=click.Path(file_okay=False), help="The collection; by default the one around this folder."
)
@click.version_option(package_name="touchstone")
@click.pass_context
def main(context: click.Context, root: str | None) -> None:
    """Theorems of machine learning, tested by running them.

    Exit status: 0 all well, 1 a notebook failed or a verdict drifted, 2 wrong use, 130 stopped by Ctrl-C.
    """
    context.obj = root


@main.command("list")
@_profile
@_seed
@_device
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.pass_context
def list_command(context: click.Context, profile: str, seed: int, device: str, as_json: bool) -> None:
    """Show the papers, the state of their notebooks, and their verdicts."""
    from touchstone.reproduce.ledgers import describe_counts, stored_counts
    from touchstone.reproduce.plan import Planner
    from touchstone.reproduce.register import read_register, unregistered

    project, variant = find_project(context.obj), Variant(profile, seed, device)
    papers = read_register(project)
    planner = Planner(project, variant)
    rows = []
    for paper in papers.values():
        path = paper.notebook(project)
        row: dict[str, Any] = {
            "slug": paper.slug,
            "topic": paper.topic,
            "title": paper.title,
            "notebook": None,
        }
        row |= {"state": "no notebook", "reason": None}
        if path.exists():
            plan = planner.plan(paper)
            row["notebook"] = project.relative(path)
            row["state"] = "broken" if plan.broken else "stale" if plan.stale else "fresh"
            row["reason"] = plan.broken or plan.stale
        row["verdicts"] = stored_counts(variant.outputs(project) / paper.slug, paper.slug)
        rows.append(row)
    planner.close()
    strays = unregistered(project, papers)
    if as_json:
        click.echo(json.dumps({"papers": rows, "unregistered": strays}, indent=1))
        return
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("paper", "topic", "state", "verdicts"):
        table.add_column(title, no_wrap=title in ("paper", "topic"))
    colours = {"fresh": "green", "stale": "yellow", "broken": "red", "no notebook": "dim"}
    for row in rows:
        state = f"[{colours[row['state']]}]{row['state']}[/]" + (
            f": {escape(row['reason'])}" if row["reason"] else ""
        )
        table.add_row(row["slug"], row["topic"], state, describe_counts(row["verdicts"]))
    console = _console()
    console.print(table)
    _warn_strays(strays)


@main.command()
@click.argument("slugs", nargs=-1)
@_profile
@_seed
@_device
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Notebooks at a time.")
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
    device: str,
    jobs: int,
    force: bool,
    timeout: float | None,
    wait: bool,
) -> None:
    """Run the stale notebooks of all papers, or of SLUGS, and keep their figures and ledgers.

    The full profile with seed 0 writes figures/; everything else writes under build/.
    """
    from touchstone.reproduce.register import read_register, select, unregistered
    from touchstone.reproduce.run import reproduce as run

    project, variant = find_project(context.obj), Variant(profile, seed, device)
    papers = read_register(project)
    chosen = select(papers, slugs)
    missing = [paper for paper in chosen if not paper.notebook(project).exists()]
    if slugs and missing:
        slug = missing[0].slug
        raise ReproductionError(f"{slug} has no notebook yet: `touchstone new {slug}` starts one.")
    chosen = [paper for paper in chosen if paper not in missing]
    _warn_strays(unregistered(project, papers))
    console = _console()
    summary = run(
        project, chosen, variant, console=console, workers=jobs, force=force, limit=timeout, wait=wait
    )
    _show_summary(console, project, variant, summary)
    context.exit(summary.exit_status)


@main.command()
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
    type=click.IntRange(min=2),
    metavar="N",
    help="Instead: run under the seeds 1 to N (auto: quick); fails when a verdict is not always the same.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="With --seeds: notebooks at a time.",
)
@click.pass_context
def verify(
    context: click.Context, slugs: tuple[str, ...], against: str, profile: str, seeds: int | None, jobs: int
) -> None:
    """Compare the verdicts just computed with the committed ones; drift fails.

    With --seeds the runs go to build/runs/ and the report to build/seeds/; figures/ is not touched.
    """
    from touchstone.reproduce.register import read_register, select
    from touchstone.reproduce.verify import verify as compare

    project = find_project(context.obj)
    if seeds is not None:
        context.exit(_verify_seeds(project, slugs, seeds, "quick" if profile == "auto" else profile, jobs))
    results = compare(project, select(read_register(project), slugs), against=against, profile=profile)
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


@main.command()
@click.argument("slug")
@click.option("--limit", type=click.IntRange(min=1), help="Try a random sample of this many mistakes.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the sample.")
@click.option(
    "--module",
    "modules",
    multiple=True,
    metavar="NAME",
    help="Plant mistakes in this module or package only; may be repeated.  [default: what the notebook "
    "reaches, without counting and evidence]",
)
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Trials at a time.")
@click.option("--recheck", is_flag=True, help="Try the mistakes that are declared equivalent too.")
@click.option(
    "--least",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="The share of mistakes that has to be noticed.",
)
@click.pass_context
def mutate(
    context: click.Context,
    slug: str,
    limit: int | None,
    seed: int,
    modules: tuple[str, ...],
    jobs: int,
    recheck: bool,
    least: float,
) -> None:
    """Plant mistakes in the library, one at a time: does a verdict of SLUG, or a test, notice?

    Works in memory; no source is changed. What was found is kept in build/mutants/, and a survey that was
    stopped goes on where it was. Mistakes that change nothing are declared in tests/mutants/equivalent.toml.
    """
    from touchstone.reproduce.mutants.report import lines_of, store
    from touchstone.reproduce.mutants.survey import survey
    from touchstone.reproduce.register import read_register, select

    project = find_project(context.obj)
    [paper] = select(read_register(project), [slug])
    try:
        found = survey(
            project,
            paper,
            modules=modules,
            limit=limit,
            sample_seed=seed,
            workers=jobs,
            recheck=recheck,
            say=lambda line: click.echo(line, err=True),
        )
    except KeyboardInterrupt:
        click.echo("\nstopped; what was found is kept, and the same command goes on from there.", err=True)
        context.exit(130)
    for line in lines_of(found):
        click.echo(line)
    click.echo(f"\n{found.seconds:.0f} s. Everything, with each change: {store(found, project)}")
    context.exit(1 if found.rate < least or found.refuted else 0)


@main.command()
@click.option(
    "--profile",
    type=click.Choice(["full", "quick"]),
    default="full",
    show_default=True,
    help="full certifies (minutes), quick can only refute (seconds).",
)
@_seed
@click.option("--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Processes.")
@click.pass_context
def calibrate(context: click.Context, profile: str, seed: int, jobs: int) -> None:
    """Measure how often each decision rule errs, on synthetic data whose truth is known.

    The full profile with seed 0 writes figures/_calibration/; everything else writes under build/.
    """
    from touchstone.evidence.calibration.report import main as report

    project = find_project(context.obj)
    out = Variant(profile, seed).outputs(project) / "_calibration"
    status = report(profile, out, jobs, seed)
    click.echo(f"wrote {project.relative(out)}/")
    context.exit(status)


@main.command()
@click.argument("slug")
@click.pass_context
def new(context: click.Context, slug: str) -> None:
    """Write the skeleton of a paper's notebook, from its entry in the register."""
    from touchstone.reproduce.register import read_register, select
    from touchstone.reproduce.skeleton import write_skeleton

    project = find_project(context.obj)
    [paper] = select(read_register(project), [slug])
    path = write_skeleton(project, paper)
    click.echo(f"wrote {project.relative(path)}; open it with `make lab`.")


@main.command()
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


def _verify_seeds(project: Project, slugs: tuple[str, ...], seeds: int, profile: str, jobs: int) -> int:
    """The exit status of ``verify --seeds``. Seed 0 is the evidence itself, so the seeds begin at 1."""
    from touchstone.reproduce.register import read_register, select
    from touchstone.reproduce.seeds import lines_of, report_file, verify_seeds

    chosen = select(read_register(project), slugs)
    papers = [paper for paper in chosen if paper.notebook(project).exists()]
    if not papers or (slugs and len(papers) < len(chosen)):
        missing = next((paper.slug for paper in chosen if paper not in papers), None)
        raise ReproductionError(f"there is no notebook to run{f' of {missing}' if slugs else ''}.")
    results, stopped = verify_seeds(
        project, papers, range(1, seeds + 1), console=_console(), profile=profile, workers=jobs
    )
    for result in results:
        click.echo()
        for line in lines_of(result):
            click.echo(line)
    unstable = [result.slug for result in results if not result.stable]
    folder = report_file(project, profile, "auto", results[0].slug).parent
    stable = f"{len(results) - len(unstable)} of {len(results)} papers"
    click.echo(
        f"\n{stable} have the same verdicts under {seeds} seeds"
        + (f"; not {', '.join(unstable)}" if unstable else "")
        + f". Reports: {project.relative(folder)}/."
    )
    return 128 + stopped if stopped is not None else 1 if unstable else 0


def _remove(project: Project) -> None:
    try:
        shutil.rmtree(project.build)
    except OSError as error:
        raise ReproductionError(
            f"build/ could not be removed: {error.strerror} ({error.filename})."
        ) from None


def _console() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)


def _warn_strays(strays: list[str]) -> None:
    for name in strays:
        click.echo(f"note: {name} belongs to no entry of papers.toml, so it is not run.", err=True)


def _show_summary(console: Any, project: Project, variant: Variant, summary: Any) -> None:
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
    where = f" Results: {project.relative(variant.outputs(project))}/." if summary.done else ""
    console.print(
        f"\n{', '.join(parts)} in {summary.seconds:.1f} s.{verdicts}{where}", highlight=False, soft_wrap=True
    )


if __name__ == "__main__":
    main(prog_name="touchstone")
