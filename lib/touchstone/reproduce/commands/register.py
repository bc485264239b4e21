"""The register: what there is, and the start of a notebook."""

from __future__ import annotations

import json
from typing import Any

import click

from touchstone.reproduce.commands import options
from touchstone.reproduce.project import Variant, find_project


@click.command("list")
@options.profile
@options.seed
@options.device
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
    console = options.console()
    console.print(table)
    options.warn_strays(strays)


@click.command()
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
