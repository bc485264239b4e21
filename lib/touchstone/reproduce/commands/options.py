"""What several commands share: options, and how they speak. Imports nothing heavy."""

from __future__ import annotations

import re
import sys
from typing import Any

import click

from touchstone.reproduce.project import DEVICES, PROFILES

profile = click.option(
    "--profile", type=click.Choice(PROFILES), default="full", show_default=True, help="Sizes of the run."
)
seed = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the run."
)
jobs = click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, help="Notebooks at a time."
)
scheduler = click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="Run on all workers of this Dask scheduler, such as tcp://host:8786, instead of on --jobs here.",
)
device = click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)


class Seeds(click.ParamType):
    """``A..B``, both included, or ``N`` for ``1..N``."""

    name = "A..B"
    most = 1000

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        found = re.fullmatch(r"(?:([0-9]{1,15})\.\.)?([0-9]{1,15})", value)
        if found is None:
            self.fail(f"{value!r}: expected A..B, such as 1..20, or N for 1..N.", param, context)
        first, last = int(found[1] or 1), int(found[2])
        if not first <= last < first + self.most:
            self.fail(f"{value!r} names no seeds, or more than {self.most}.", param, context)
        return tuple(range(first, last + 1))


def console() -> Any:
    """Where a run shows itself; lines are not wrapped where nobody reads them in a terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 200)


def warn_strays(strays: list[str]) -> None:
    for name in strays:
        click.echo(f"note: {name} belongs to no entry of papers.toml, so it is not run.", err=True)
