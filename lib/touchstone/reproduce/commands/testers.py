"""Testing the tester: mistakes planted in the library, decision rules on data whose truth is known."""

from __future__ import annotations

import click

from touchstone.reproduce.commands import options
from touchstone.reproduce.project import Variant, find_project


@click.command()
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


@click.command()
@click.option(
    "--profile",
    type=click.Choice(["full", "quick"]),
    default="full",
    show_default=True,
    help="full certifies (minutes), quick can only refute (seconds).",
)
@options.seed
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
