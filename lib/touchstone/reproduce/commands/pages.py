"""``touchstone site``: the collection as pages to read."""

from __future__ import annotations

import click

from touchstone.reproduce.commands import options
from touchstone.reproduce.project import Variant, find_project

_TOLD = 20


@click.command()
@options.profile
@click.option("--strict", is_flag=True, help="Exit with 1 when something could not be typeset or linked.")
@click.pass_context
def site(context: click.Context, profile: str, strict: bool) -> None:
    """Render verdicts, findings, papers, figures and the library's reference to build/site/.

    The pages need no server and no internet. Nothing is executed: figures and verdicts are those of the last
    run of PROFILE, and a notebook that was not executed since its last change is shown with what its ledger
    holds.
    """
    from touchstone.reproduce.site.build import build_site

    project = find_project(context.obj)
    made = build_site(project, Variant(profile))
    told = [*made.remarks, *made.warnings]
    for line in told[:_TOLD]:
        click.echo(f"note: {line}", err=True)
    if len(told) > _TOLD:
        click.echo(f"note: and {len(told) - _TOLD} more.", err=True)
    click.echo(
        f"wrote {project.relative(made.folder)}/index.html: {made.pages} pages, {made.size / 2**20:.1f} MiB, "
        f"in {made.seconds:.1f} s."
    )
    context.exit(1 if strict and made.warnings else 0)
