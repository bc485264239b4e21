"""The Explore cells of a notebook with what they stand on: sliders without the run of everything else."""

from __future__ import annotations

import ast
import copy
import symtable
from collections.abc import Iterable, Iterator
from typing import Any

_MUTATORS = {"append", "extend", "insert", "add", "update", "setdefault", "pop", "remove", "discard", "clear"}


def tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def excerpt(notebook: Any) -> Any:
    """A copy of ``notebook`` whose other code cells keep only the statements that an Explore cell needs.

    A statement is needed if it made or changed what an Explore cell, or another needed statement, reads: at
    once, or when a function that was defined above is called. Prose is kept where it stands: a slider should
    be tried in the place where readers find it.
    """
    made = copy.deepcopy(notebook)
    cells = [cell for cell in made.cells if cell.cell_type == "code"]
    facts = [_Facts(cell, statement) for cell in cells for statement in ast.parse(cell.source).body]
    needs, makers = [], {}  # makers: name -> the statements above that have a share in its present value
    for number, each in enumerate(facts):
        needs.append(set(_makers_of(each.read, makers, facts)))
        for name in each.bound:
            makers[name] = ([] if name in each.certain else makers.get(name, [])) + [number]
        for name in each.changed - each.bound:
            makers[name] = [*makers.get(name, []), number]
    kept = {number for number, each in enumerate(facts) if "explore" in tags(each.cell)}
    for number in range(len(facts) - 1, -1, -1):
        if number in kept:
            kept |= needs[number]
    for cell in cells:
        if "explore" not in tags(cell):
            mine = (n for n in sorted(kept) if facts[n].cell is cell)
            cell.source = "\n".join(ast.unparse(facts[n].statement) for n in mine)
    made.cells = [cell for cell in made.cells if cell.cell_type != "code" or cell.source]
    return made


def _makers_of(read: Iterable[str], makers: dict[str, list[int]], facts: list[_Facts]) -> Iterator[int]:
    """The statements behind the names, and behind what the functions among them read when called."""
    new, seen = list(read), set(read)
    while new:
        for number in makers.get(new.pop(), []):
            yield number
            more = facts[number].read_later - seen
            seen |= more
            new += more


class _Facts:
    """What a top-level statement reads, at once and in its functions, and what it binds or changes."""

    def __init__(self, cell: Any, statement: ast.stmt) -> None:
        self.cell, self.statement = cell, statement
        self.read, self.certain = _flow([statement])
        table = symtable.symtable(ast.unparse(statement), "cell", "exec")
        self.bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported()}
        functions = [child for child in table.get_children() if child.get_name() not in _COMPREHENSIONS]
        self.read_later = {name for child in functions for name in _globals(child)}
        self.changed = set(_changed(statement))


_COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}


def _flow(body: list[ast.stmt]) -> tuple[set[str], set[str]]:
    """The names that statements in a row read before they bind them, and those that they bind in any case."""
    read: set[str] = set()
    bound: set[str] = set()
    for statement in body:
        if isinstance(statement, ast.For):
            inside, _ = _flow(statement.body)
            now, made = _names(statement.iter)[0] | inside - _stored(statement.target), set()
        elif isinstance(statement, ast.With):
            inside, made = _flow(statement.body)
            heads = [_names(item.context_expr)[0] for item in statement.items]
            targets = [_stored(item.optional_vars) for item in statement.items if item.optional_vars]
            now = set().union(*heads) | inside - set().union(*targets)
        else:
            now, made = _names(statement)
            if isinstance(statement, ast.If | ast.While | ast.Try):
                made = set()
        read |= now - bound
        bound |= made
    return read, bound


def _names(node: ast.AST) -> tuple[set[str], set[str]]:
    """The names that a statement or an expression reads, and those that it binds."""
    table = symtable.symtable(ast.unparse(node), "cell", "exec")
    symbols = table.get_symbols()
    read = {s.get_name() for s in symbols if s.is_referenced()}
    for child in table.get_children():  # a lambda may be called at once, the body of a function is not
        if not isinstance(node, ast.FunctionDef | ast.ClassDef):
            read |= set(_globals(child))
    return read, {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}


def _stored(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name)}


def _globals(table: symtable.SymbolTable) -> Iterator[str]:
    for symbol in table.get_symbols():
        if symbol.is_global():
            yield symbol.get_name()
    for child in table.get_children():
        yield from _globals(child)


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Names of containers that the statement writes into, outside the functions that it defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield from _root(node)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", None) in _MUTATORS:
            yield from _root(node.func)


def _root(node: ast.expr) -> Iterator[str]:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    if isinstance(node, ast.Name):
        yield node.id
