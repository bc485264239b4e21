"""The ``touchstone`` command. Heavy imports wait until a command needs them."""

from __future__ import annotations

from typing import Any

import click

from touchstone.reproduce.commands import pages, register, runs, testers, verdicts
from touchstone.reproduce.errors import ReproductionError


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


for _command in (
    register.list_command,
    runs.reproduce,
    verdicts.verify,
    testers.mutate,
    testers.calibrate,
    pages.site,
    register.new,
    runs.clean,
):
    main.add_command(_command)


if __name__ == "__main__":
    main(prog_name="touchstone")
