"""What a notebook reaches: its cells as plain programs, the modules where mistakes count, and their tests."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from touchstone.reproduce.imports import Library, imports_of
from touchstone.reproduce.notebook import Notebook, parse_cell
from touchstone.reproduce.project import PACKAGE, Project

# The layers that judge: mistakes there are asked for by name, since the notebook is no test of its judge.
JUDGES = (f"{PACKAGE}.counting", f"{PACKAGE}.evidence", f"{PACKAGE}.reproduce")
# These run notebooks, or the harness itself: no unit tests of a module of mathematics.
_NO_UNIT_TESTS = {"notebooks", "reproduce", "mutants"}


def cells_of(notebook: Notebook, *, pictures: bool = False) -> list[dict[str, Any]]:
    """The code cells as programs that the trial can run, each with its place from 1.

    Cells tagged ``explore`` are left out; they decide nothing. So are pictures, statements ``with
    ….figure(…):``, unless ``pictures`` asks for them: drawing takes most of the time and decides nothing.
    """
    raw = json.loads(notebook.text)["cells"]
    found = []
    for position, source in zip(notebook.positions, notebook.code, strict=True):
        metadata = raw[position - 1].get("metadata")
        tags = (metadata.get("tags") or []) if isinstance(metadata, dict) else []
        if "explore" in tags:
            continue
        tree = parse_cell(source, position)
        if not pictures:
            tree.body = [statement for statement in tree.body if not _is_picture(statement)]
        cell = {"position": position, "source": ast.unparse(tree), "parameters": "parameters" in tags}
        found.append(cell)
    return found


def target_modules(sources: dict[str, str], library: Path, prefixes: Sequence[str] = ()) -> dict[str, Path]:
    """The file of each reached module in which mistakes are planted.

    ``sources`` is what ``Library.sources`` says of the notebook. Without ``prefixes`` the modules are all but
    those of the judging layers (``JUDGES``); with them, those named or inside a package named. Packages' own
    ``__init__`` files hold no code.
    """
    found = {}
    for module in sources:
        path = library.joinpath(*module.split(".")).with_suffix(".py")
        inside = any(_within(module, prefix) for prefix in prefixes or JUDGES)
        if path.is_file() and inside == bool(prefixes):
            found[module] = path
    return found


def tests_of(module: str, project: Project) -> list[str]:
    """The test files that exercise ``module``, relative to the root: its mirror first, then its importers.

    The mirror of ``lib/touchstone/a/b.py`` is ``tests/a/test_b.py`` and ``tests/a/test_b_*.py``. Importers
    are the files that name the module in an import, among the tests of mathematics, or of the layer that
    the module itself belongs to.
    """
    tests = project.root / "tests"
    mirror, others = [], []
    for path in sorted(tests.rglob("test_*.py")):
        layer = path.relative_to(tests).parts[0]
        foreign = f"{PACKAGE}.{layer}" in JUDGES and not _within(module, f"{PACKAGE}.{layer}")
        if is_mirror(project.relative(path), module):
            mirror.append(path)
        elif layer not in _NO_UNIT_TESTS and not foreign and _names(path, module):
            others.append(path)
    return [project.relative(path) for path in (*mirror, *others)]


def is_mirror(file: str, module: str) -> bool:
    """Whether a test file, by its path from the root, is the mirror of ``module``."""
    stem = "/".join(["tests", *module.split(".")[1:-1], f"test_{module.split('.')[-1]}"])
    return file == f"{stem}.py" or file.startswith(f"{stem}_")


def tests_digest(files: Iterable[str], project: Project, library: Library) -> str:
    """A hash of test files, of what they import from the library, and of the fixtures around them."""
    parts: dict[str, str] = {}
    for name in files:
        path = project.root / name
        content = path.read_bytes()
        parts[name] = hashlib.sha256(content).hexdigest()
        parts |= library.sources(imports_of(ast.parse(content)))
        for folder in path.parents:
            fixtures = folder / "conftest.py"
            if fixtures.is_file():
                parts[project.relative(fixtures)] = hashlib.sha256(fixtures.read_bytes()).hexdigest()
            if folder == project.root:
                break
    return digest_of(parts)


def digest_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _is_picture(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.With) and any(
        isinstance(item.context_expr, ast.Call)
        and isinstance(item.context_expr.func, ast.Attribute)
        and item.context_expr.func.attr == "figure"
        for item in statement.items
    )


def _within(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(prefix + ".")


def _names(path: Path, module: str) -> bool:
    try:
        records = imports_of(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError):
        return False
    return any(module in (name, f"{name}.{member}") for name, member, _ in records)
