"""Where in a notebook a check is made and shown, and where a figure is drawn: read off the code, not run."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Any

from touchstone.reproduce.notebook import NotebookError, parse_cell
from touchstone.reproduce.site.collect import Entry, joined

_SECTION = re.compile(r"^##\s", re.M)


@dataclass(frozen=True)
class _Code:
    """A code cell: its number among all cells, the number of its section, its statements."""

    number: int
    section: int
    statements: tuple[ast.stmt, ...]


class Places:
    """The places of one notebook."""

    def __init__(self, notebook: dict[str, Any]) -> None:
        self._cells: list[_Code] = []
        section = 0
        for number, cell in enumerate(notebook["cells"]):
            source = joined(cell.get("source", ""))
            if cell["cell_type"] != "code":
                section += bool(_SECTION.search(source))
                continue
            try:
                self._cells.append(_Code(number, section, tuple(parse_cell(source).body)))
            except NotebookError:
                continue

    def figures(self, number: int) -> list[str]:
        """The names of the figures that a cell draws by ``study.figure("name")``, in order."""
        return [name for cell in self._cells if cell.number == number for name in _drawn(cell)]

    def shown(self, check: str) -> int | None:
        """The number of the cell that shows the verdict on a check; None when the notebook never names it.

        The cell whose last line is that verdict, else the one that names the check first.
        """
        first, names = self._made(check)
        if first is None:
            return None
        for cell in self._cells:
            last = cell.statements[-1] if cell.statements else None
            if cell.number < first.number or not isinstance(last, ast.Expr):
                continue
            if _names(last, check) or (isinstance(last.value, ast.Name) and last.value.id in names):
                return cell.number
        return first.number

    def figure_of(self, check: str, among: set[str]) -> str | None:
        """The figure, one of ``among``, drawn from a check's verdict, else one of the check's section."""
        first, names = self._made(check)
        if first is None:
            return None
        drawn = [(cell, name) for cell in self._cells for name in _drawn(cell) if name in among]
        for cell, name in drawn:
            if cell.number >= first.number and any(_uses(statement, names) for statement in cell.statements):
                return name
        later = [
            name for cell, name in drawn if cell.section == first.section and cell.number >= first.number
        ]
        earlier = [
            name for cell, name in drawn if cell.section == first.section and cell.number < first.number
        ]
        return next(iter(later + earlier[::-1]), None)

    def _made(self, check: str) -> tuple[_Code | None, set[str]]:
        """The first cell that names a check, and the names that its verdict has there."""
        for cell in self._cells:
            names: set[str] = set()
            named = False
            for statement in cell.statements:
                if not _names(statement, check) and not (names and _uses(statement, names)):
                    continue
                named = True
                targets = statement.targets if isinstance(statement, ast.Assign) else []
                names |= {
                    node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
                }
            if named:
                return cell, names
        return None, set()


def figure_of(entry: Entry, check: str) -> dict[str, Any] | None:
    """The ledger's entry of the figure that shows a check of ``entry``; its first one failing all else."""
    drawings = {figure["name"]: figure for figure in entry.drawings}
    name = None
    if drawings and entry.notebook is not None:
        name = Places(entry.notebook).figure_of(check, set(drawings))
    return drawings[name] if name else next(iter(drawings.values()), None)


def _drawn(cell: _Code) -> list[str]:
    return [
        node.args[0].value
        for statement in cell.statements
        for node in ast.walk(statement)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "figure"
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]


def _names(statement: ast.stmt, text: str) -> bool:
    """Whether a statement holds ``text``, or an f-string that can become it and fixes at least half of it."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Constant) and node.value == text:
            return True
        if isinstance(node, ast.JoinedStr):
            fixed = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
            pattern = "".join("[a-z0-9-]*" if part is None else re.escape(part) for part in fixed)
            if 2 * sum(len(part or "") for part in fixed) >= len(text) and re.fullmatch(pattern, text):
                return True
    return False


def _uses(statement: ast.stmt, names: set[str]) -> bool:
    return any(isinstance(node, ast.Name) and node.id in names for node in ast.walk(statement))
