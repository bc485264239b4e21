"""Reading a notebook without running it: its code, its parameters, and what is wrong with it."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PARAMETERS = ("profile", "seed", "device")


class NotebookError(Exception):
    """This notebook cannot be run as it stands; the message says why. Other notebooks are not concerned."""


@dataclass(frozen=True)
class Notebook:
    """What running a notebook depends on, and its text as it was read."""

    text: str
    code: tuple[str, ...]
    """The sources of the code cells, in order."""
    positions: tuple[int, ...]
    """The place of each code cell among all cells, from 1."""
    stored_outputs: bool
    """Whether the file carries outputs, which belong in no commit."""


def read_notebook(path: Path) -> Notebook:
    """Read the notebook at ``path``.

    Raises ``NotebookError`` when it is missing, is not a notebook of format 4, or lacks the one cell tagged
    ``parameters`` that assigns ``profile``, ``seed`` and ``device``. Other cells are not parsed
    (``parse_cell``).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotebookError("the notebook is missing.") from None
    except OSError as error:
        raise NotebookError(f"the notebook cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise NotebookError("the file is not UTF-8 text, so it is no notebook.") from None
    return parse_notebook(text)


def parse_notebook(text: str) -> Notebook:
    """As ``read_notebook``, from the text of the file."""
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise NotebookError(f"the file is not valid JSON, so it is no notebook: {error}.") from None
    if (
        not isinstance(content, dict)
        or content.get("nbformat") != 4
        or not isinstance(content.get("cells"), list)
    ):
        raise NotebookError("the file is no notebook of format 4 (it needs `nbformat` 4 and a list `cells`).")
    code, positions, tagged, stored = [], [], [], False
    for position, cell in enumerate(content["cells"], start=1):
        if not isinstance(cell, dict) or "cell_type" not in cell:
            raise NotebookError(f"cell {position} has no cell type.")
        if cell["cell_type"] != "code":
            continue
        source = _source(cell, position)
        code.append(source)
        positions.append(position)
        stored = stored or bool(cell.get("outputs")) or cell.get("execution_count") is not None
        metadata = cell.get("metadata")
        if isinstance(metadata, dict) and "parameters" in (metadata.get("tags") or []):
            tagged.append((position, source))
    _check_parameters(tagged)
    return Notebook(text, tuple(code), tuple(positions), stored)


def parse_cell(source: str, position: int = 0) -> ast.Module:
    """The syntax tree of a code cell; lines for IPython (``%magic``, ``!shell``) count as empty.

    Raises ``NotebookError`` naming the cell and its line when the code does not parse.
    """
    lines = source.splitlines()
    if lines and lines[0].lstrip().startswith("%%"):
        lines[0] = ""
    for number, line in enumerate(lines):
        if line.lstrip().startswith(("%", "!")):
            lines[number] = line[: len(line) - len(line.lstrip())] + "pass"
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        return compile("\n".join(lines) + "\n", f"cell {position}", "exec", flags, dont_inherit=True)
    except SyntaxError as error:
        shown = f": {error.text.strip()}" if error.text else ""
        line = f", line {error.lineno}" if error.lineno else ""
        raise NotebookError(f"cell {position}{line}: {error.msg}{shown}") from None
    except ValueError as error:
        raise NotebookError(f"cell {position}: {error}.") from None


def _source(cell: dict[str, Any], position: int) -> str:
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        raise NotebookError(f"cell {position} has a source that is no text.")
    return source


def _check_parameters(tagged: list[tuple[int, str]]) -> None:
    if len(tagged) != 1:
        raise NotebookError(
            f"exactly one cell must carry the tag `parameters`, {len(tagged) or 'none'} "
            f"{'do' if len(tagged) > 1 else 'does'}; it assigns profile, seed and device."
        )
    position, source = tagged[0]
    assigned = {
        target.id
        for node in parse_cell(source, position).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    missing = [name for name in PARAMETERS if name not in assigned]
    if missing:
        raise NotebookError(f"the parameters cell (cell {position}) does not assign {', '.join(missing)}.")
