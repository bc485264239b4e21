"""Showing a run as it goes: a live table in a terminal, one line an event elsewhere.

Workers append events to one file for each notebook; a thread reads them and redraws.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from touchstone.reproduce.execute import Job, Outcome
from touchstone.reproduce.ledgers import describe_counts

_REDRAW = 0.2
_REMIND = 30.0


def read_events(path: str | None) -> list[dict[str, Any]]:
    """The events in a progress file; a line still being written is left for the next time."""
    try:
        text = Path(path or "").read_text(encoding="utf-8")
    except OSError:
        return []
    events = []
    for line in text.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


@dataclass
class Row:
    """One notebook on the display."""

    name: str
    state: str = "waiting"
    cell: int = 0
    cells: int = 0
    begun: float | None = None
    starts: int = 0
    seconds: float = 0.0
    result: str = ""
    verdicts: dict[str, int] = field(default_factory=dict)


class Display:
    """The display of one run, as a context: ``with Display(console, jobs) as display``."""

    def __init__(self, console: Any, jobs: list[Job]) -> None:
        self._console = console
        self._files = {job.name: job.progress for job in jobs}
        self._rows = {job.name: Row(job.name) for job in jobs}
        self._live: Any = None
        self._over = threading.Event()
        self._change = threading.Lock()
        self._reminded = time.monotonic()
        self._thread = threading.Thread(target=self._follow, daemon=True, name="progress")

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            from rich.live import Live

            self._live = Live(
                get_renderable=self._table, console=self._console, refresh_per_second=5, transient=True
            )
            self._live.start()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self._live is not None:
            self._live.stop()

    def finished(self, outcome: Outcome, counts: dict[str, int] | None) -> None:
        """Take in the end of a notebook and print its line."""
        with self._change:
            row = self._rows[outcome.name]
            row.state, row.seconds = outcome.status, outcome.seconds
            row.result = (
                describe_counts(counts) if outcome.status == "done" else outcome.message.splitlines()[0]
            )
        mark = {"done": "[green]done[/]", "failed": "[red]FAILED[/]"}.get(
            outcome.status, f"[yellow]{outcome.status}[/]"
        )
        from rich.markup import escape

        self._console.print(
            f"{mark} {outcome.name} ({outcome.seconds:.1f} s): {escape(row.result)}",
            highlight=False,
            soft_wrap=True,
        )

    def _follow(self) -> None:
        while not self._over.wait(_REDRAW):
            for name, path in self._files.items():
                row = self._rows[name]
                if row.state in ("waiting", "running"):
                    self._take(row, read_events(path))
            if self._live is None and time.monotonic() - self._reminded > _REMIND:
                self._reminded = time.monotonic()
                for row in self._rows.values():
                    if row.state == "running":
                        self._say(_line(row))

    def _take(self, row: Row, events: list[dict[str, Any]]) -> None:
        with self._change:
            if row.state not in ("waiting", "running"):  # it ended in the meantime
                return
            starts, row.verdicts = 0, {}
            for event in events:
                if event["event"] == "started":
                    starts += 1
                    row.state, row.begun, row.cell, row.verdicts = "running", event["time"], 0, {}
                    if starts > row.starts:
                        row.starts = starts
                        if starts > 1:
                            self._say(f"started {row.name} again: the worker that ran it was lost")
                        elif self._live is None:
                            self._say(f"started {row.name}")
                elif event["event"] == "cell":
                    row.cell, row.cells = event["index"], event["of"]
                elif event["event"] == "verdict":
                    row.verdicts[event["verdict"]] = row.verdicts.get(event["verdict"], 0) + 1

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def _table(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        with self._change:
            rows = list(self._rows.values())
        shown = [row for row in rows if row.state == "running"]
        table = Table(box=None, pad_edge=False, expand=False)
        for title in ("running", "cell", "", "elapsed", "verdicts"):
            table.add_column(title, justify="right" if title in ("cell", "elapsed") else "left")
        for row in shown:
            bar = ProgressBar(total=max(row.cells, 1), completed=row.cell, width=24)
            cell = f"{row.cell}/{row.cells}" if row.cells else "start"
            table.add_row(
                row.name, cell, bar, f"{_elapsed(row):.0f} s", describe_counts(row.verdicts or None)
            )
        waiting = sum(row.state == "waiting" for row in rows)
        failed = sum(row.state == "failed" for row in rows)
        done = sum(row.state == "done" for row in rows)
        return Group(table, f"{done} done, {failed} failed, {waiting} waiting")


def _line(row: Row) -> str:
    counts = f", {describe_counts(row.verdicts)}" if row.verdicts else ""
    return f"running {row.name}: cell {row.cell}/{row.cells}, {_elapsed(row):.0f} s{counts}"


def _elapsed(row: Row) -> float:
    return max(0.0, time.time() - row.begun) if row.begun else 0.0
