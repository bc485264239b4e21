"""The library's reference: docstrings and signatures, read off the sources without importing them.

So nothing heavy is loaded (no CuPy, no kernel), and a module that cannot be imported here is described all
the same. The docstrings are reStructuredText.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_KEPT = re.compile(r"(``.+?``|:[a-z:]+:`[^`]+`)", re.S)
_LONGEST_VALUE = 60


@dataclass(frozen=True)
class Module:
    """A module or a package of the library, by its dotted name."""

    name: str
    is_package: bool
    tree: ast.Module

    @property
    def doc(self) -> str:
        return ast.get_docstring(self.tree) or ""

    @property
    def summary(self) -> str:
        """The first paragraph of the docstring, on one line."""
        return " ".join(self.doc.split("\n\n")[0].split())


def read_modules(library: Path, package: str) -> list[Module]:
    """Every public module of ``package`` under the folder ``library``, in the order of the alphabet.

    A file that does not parse is left out, as are names that begin with an underscore and ``__main__``.
    """
    modules: list[Module] = []
    for path in sorted((library / package).rglob("*.py")):
        parts = path.relative_to(library).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        parts = parts[:-1] if is_package else parts
        if any(part.startswith("_") for part in parts):
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            continue
        modules.append(Module(".".join(parts), is_package, tree))
    return sorted(modules, key=lambda module: module.name)


def reference_pages(modules: list[Module]) -> dict[str, str]:
    """The pages, by document name, as reStructuredText: one a module, and ``api/index`` over all."""
    if not modules:
        return {}
    pages = {f"api/{module.name}": _page(module, modules) for module in modules if "." in module.name}
    pages["api/index"] = _index(modules)
    return pages


def _index(modules: list[Module]) -> str:
    root = modules[0].name.split(".")[0]
    lines = _heading("Library", "=")
    lines += [
        "What the notebooks call, from the docstrings: shapes, units, errors, cost and source of every "
        "routine.",
        "",
    ]
    top = [module for module in modules if module.name.count(".") == 1]
    for module in top:
        lines += [
            f":doc:`{module.name.removeprefix(root + '.')} <{module.name}>`",
            f"    {escaped(module.summary)}",
            "",
        ]
    return "\n".join(lines + _tree([module.name for module in top]))


def _page(module: Module, modules: list[Module]) -> str:
    lines = [*_heading(module.name, "="), f".. py:module:: {module.name}", ""]
    lines += [escaped(module.doc), ""]
    children = [other for other in modules if other.name.rpartition(".")[0] == module.name]
    if module.is_package:
        for child in children:
            lines += [
                f":doc:`{child.name.rpartition('.')[2]} <{child.name}>`",
                f"    {escaped(child.summary)}",
                "",
            ]
    for name, node, doc in _members(module.tree.body):
        lines += _member(name, node, doc, indent="", inside=False)
    return "\n".join(lines + _tree([child.name for child in children]))


def _members(body: list[ast.stmt]) -> Iterator[tuple[str, ast.stmt, str]]:
    """The public functions, classes and described values of a body, in their order, with their docstrings."""
    for number, node in enumerate(body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name, doc = node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            if not isinstance(target, ast.Name):
                continue
            name, doc = target.id, _text_after(body, number)
        else:
            continue
        if not name.startswith("_"):
            yield name, node, doc


def _text_after(body: list[ast.stmt], number: int) -> str:
    """The string that stands below an assignment, which is its description."""
    after = body[number + 1] if number + 1 < len(body) else None
    if (
        isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    ):
        return inspect.cleandoc(after.value.value)
    return ""


def _member(name: str, node: ast.stmt, doc: str, *, indent: str, inside: bool) -> list[str]:
    options: list[str] = []
    members: list[tuple[str, ast.stmt, str]] = []
    if isinstance(node, ast.ClassDef):
        kind, signature = "class", name + _constructor(node)
        members = [each for each in _members(node.body) if _worth_telling(each, inside=True)]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        decorators = {_decorator(each) for each in node.decorator_list}
        if inside and decorators & {"property", "cached_property"}:
            kind, signature = "property", name
            if node.returns is not None:
                options.append(f":type: {_one_line(node.returns)}")
        else:
            kind = "method" if inside else "function"
            options += [f":{each}:" for each in ("classmethod", "staticmethod") if each in decorators]
            skipped = inside and "staticmethod" not in decorators
            signature = name + _signature(node, skip_first=skipped)
    elif isinstance(node, ast.AnnAssign | ast.Assign):
        if not _worth_telling((name, node, doc), inside=inside):
            return []
        kind, signature = ("attribute" if inside else "data"), name
        if isinstance(node, ast.AnnAssign):
            options.append(f":type: {_one_line(node.annotation)}")
        if node.value is not None and len(value := _one_line(node.value)) <= _LONGEST_VALUE:
            options.append(f":value: {value}")
    else:
        return []
    lines = [f"{indent}.. py:{kind}:: {signature}", *(f"{indent}   {option}" for option in options), ""]
    lines += [f"{indent}   {line}".rstrip() for line in escaped(doc).splitlines()]
    lines.append("")
    for each in members:
        lines += _member(*each, indent=indent + "   ", inside=True)
    return lines


def _worth_telling(member: tuple[str, ast.stmt, str], *, inside: bool) -> bool:
    """A value is told of when it is described, or is a field of a class; the rest always."""
    _, node, doc = member
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return True
    return bool(doc) or (inside and isinstance(node, ast.AnnAssign))


def _constructor(node: ast.ClassDef) -> str:
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and each.name == "__init__":
            return _signature(each, skip_first=True, returns=False)
    return ""


def _signature(
    node: ast.FunctionDef | ast.AsyncFunctionDef, *, skip_first: bool, returns: bool = True
) -> str:
    text = ast.unparse(_without_first(node.args) if skip_first else node.args)
    result = f" -> {_one_line(node.returns)}" if returns and node.returns is not None else ""
    return f"({' '.join(text.split())}){result}"


def _without_first(arguments: ast.arguments) -> ast.arguments:
    """The arguments without ``self`` or ``cls``."""
    positional, plain = list(arguments.posonlyargs), list(arguments.args)
    (positional or plain)[:1] = []
    return ast.arguments(
        posonlyargs=positional, args=plain, vararg=arguments.vararg, kwonlyargs=arguments.kwonlyargs,
        kw_defaults=arguments.kw_defaults, kwarg=arguments.kwarg, defaults=arguments.defaults,
    )  # fmt: skip


def _decorator(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _one_line(node: ast.expr) -> str:
    return " ".join(ast.unparse(node).split())


def escaped(text: str) -> str:
    """A docstring as reStructuredText: bars of absolute values kept as they are, indented lines as code."""
    lines, before = [], ""
    for line in text.splitlines():
        if line.startswith("    ") and not before.strip() and not _is_code(lines):
            lines += ["::", ""]
        lines.append(line)
        before = line
    pieces = _KEPT.split("\n".join(lines))
    return "".join(piece if number % 2 else piece.replace("|", "\\|") for number, piece in enumerate(pieces))


def _is_code(lines: list[str]) -> bool:
    """Whether the last line that is not empty is part of a code block, or announces one."""
    last = next((line for line in reversed(lines) if line.strip()), "")
    return last.startswith("    ") or last.endswith("::")


def _heading(text: str, line: str) -> list[str]:
    return [text, line * len(text), ""]


def _tree(names: list[str]) -> list[str]:
    if not names:
        return []
    return [
        "",
        ".. toctree::",
        "   :hidden:",
        "",
        *(f"   {name.rpartition('.')[2]} <{name}>" for name in names),
        "",
    ]
