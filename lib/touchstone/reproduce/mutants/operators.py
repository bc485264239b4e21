"""The mistakes: every way in which one expression or statement of a module can be wrong by a little.

Existing tools (mutmut, cosmic-ray, mutatest) know tests that pass or fail and the slips of general programs;
none of them can ask whether a *verdict* moved, and none plants the slips of mathematics (a factor two, a
dropped term, a transposed operand, a wrong axis), so the mistakes are made here, from the syntax tree.

A mistake replaces the text of one node and nothing else: line numbers stay, and the difference reads like the
slip of a pen.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

# What one node may become: (operator, text in its place).
Change = tuple[str, str]

OPERATORS = {
    "sign": "a plus for a minus, a minus dropped",
    "operation": "a product for a quotient, a power for a product, a remainder for a quotient",
    "factor two": "twice the value",
    "one per cent": "a value 1 % too large",
    "off by one": "an integer or the end of a range, one up or down",
    "dropped term": "one operand of a sum, a difference or a product left out",
    "swapped": "the operands of a difference, a quotient, a power, a matrix product; two arguments of a call",
    "transposed": "a transposition left out",
    "comparison": "< for <=, == for !=, and so on",
    "extremum": "min for max, any for all, zeros for ones",
    "branch": "a condition negated, the two branches of a choice exchanged",
    "connective": "and for or, a not dropped",
    "function": "exp, log, sqrt and their relatives taken for one another",
    "axis": "the other axis, an axis not kept",
    "flag": "true for false",
    "dropped call": "abs, clip, reversed and the like left out",
    "dropped statement": "an assignment into an array, or a call for its effect, left out",
}

_ARITHMETIC = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.MatMult: "@", ast.LShift: "<<", ast.RShift: ">>", ast.BitAnd: "&", ast.BitOr: "|", ast.BitXor: "^",
}  # fmt: skip
_OTHER_SIGN = {"+": "-", "-": "+"}
_OTHER_OPERATION = {"*": "/", "/": "*", "//": "%", "%": "//", "**": "*", "&": "|", "|": "&"}
_COMPARISONS = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.Is: "is",
    ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in",
}  # fmt: skip
_OTHER_COMPARISON = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "is": "is not", "is not": "is",
    "in": "not in", "not in": "in",
}  # fmt: skip
_PAIRS = [
    ("min", "max"), ("minimum", "maximum"), ("argmin", "argmax"), ("any", "all"), ("floor", "ceil"),
    ("zeros", "ones"), ("zeros_like", "ones_like"),
]  # fmt: skip
_OTHER_EXTREMUM = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
_OTHER_FUNCTION = {
    "exp": ["expm1"], "expm1": ["exp"], "log": ["log1p", "log2"], "log1p": ["log"], "log2": ["log"],
    "log10": ["log"], "sin": ["cos"], "cos": ["sin"], "sqrt": ["square"],
}  # fmt: skip
_NOT_IN_MATH = {"square"}
_SCALED = {"exp", "expm1", "log", "log1p", "log2", "sqrt", "cosh", "sinh"}
_DROPPED = {"abs", "fabs", "absolute", "clip", "reversed", "sqrt", "unique", "sort", "sorted", "cumsum"}
_TRANSPOSING = {"matrix_transpose", "transpose"}
# The order of two arguments is no mistake to make: it does not matter, or the call would be nonsense.
_ORDERLESS = {
    "isinstance", "zip", "getattr", "hasattr", "setattr", "max", "min", "hypot", "logaddexp", "maximum",
    "minimum", "multiply", "add", "namespace", "array_namespace", "reshape", "take", "astype", "gcd",
    "replace", "zeros", "ones", "empty", "require", "map",
}  # fmt: skip
_AXES = {"axis", "axes"}
_ATOMS = (ast.Name, ast.Constant, ast.Attribute, ast.Call, ast.Subscript)
_NO_NUMBERS = (ast.Tuple, ast.List, ast.ListComp, ast.JoinedStr, ast.Set, ast.Dict, ast.GeneratorExp)


@dataclass(frozen=True)
class Mutant:
    """One mistake in one module."""

    module: str
    function: str
    """The function it is in, such as ``_Rows.add``; empty at the top of the module."""
    line: int
    lines: tuple[int, int]
    """The first and the last line of the node that changed."""
    operator: str
    statement: str
    """The first line of the statement that it is in, as it stands in the source."""
    becomes: str
    """The line that changed, as it now reads."""
    diff: str
    key: str
    """Names this mistake as long as its function and statement stay as they are, wherever they move."""
    source: str
    """The whole module with the mistake."""


def mutants_of(module: str, source: str, lines: Collection[int] | None = None) -> list[Mutant]:
    """Every mistake in the statements of ``source`` that touch ``lines`` (all of them when None).

    In the order of the source, each once: mistakes that give the same program are one, and one that gives
    the program itself is none. Messages of exceptions, assertions, formatted strings, annotations,
    decorators, documentation and imports are left alone. Raises ``SyntaxError`` when ``source`` does not
    parse.
    """
    text = _Text(source)
    tree = ast.parse(source)
    wanted = None if lines is None else set(lines)
    right = ast.dump(tree)
    seen: set[str] = {right}
    counts: dict[tuple[str, ...], int] = {}
    found = []
    for function, statement, node, operator, replacement in _changes(tree, text, wanted):
        mutated = text.replaced(node, replacement)
        try:
            dump = ast.dump(ast.parse(mutated))
        except (SyntaxError, ValueError):
            continue
        if dump in seen:
            continue
        seen.add(dump)
        first = source.splitlines()[statement.lineno - 1].strip()
        before, after = source.splitlines(), mutated.splitlines()
        diff = list(difflib.unified_diff(before, after, n=0, lineterm=""))[3:]
        becomes = " ".join(line[1:].strip() for line in diff if line.startswith("+"))
        place = (module, function, operator, first, becomes)
        counts[place] = counts.get(place, 0) + 1
        key = hashlib.sha256(repr((*place, counts[place])).encode()).hexdigest()[:16]
        found.append(
            Mutant(
                module, function, node.lineno, (node.lineno, node.end_lineno), operator, first, becomes,
                "\n".join(line for line in diff if not line.startswith("@@")), key, mutated,
            )
        )  # fmt: skip
    return found


class _Text:
    """A source and the text of its nodes; columns of the syntax tree count bytes."""

    def __init__(self, source: str) -> None:
        self.content = source.encode()
        self.starts = [0]
        for line in self.content.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        return (
            self.starts[node.lineno - 1] + node.col_offset,
            self.starts[node.end_lineno - 1] + node.end_col_offset,
        )

    def of(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.content[start:end].decode()

    def operand(self, node: ast.AST) -> str:
        """The text of ``node``, fit to stand beside an operator."""
        return self.of(node) if isinstance(node, _ATOMS) else f"({self.of(node)})"

    def replaced(self, node: ast.AST, replacement: str) -> str:
        start, end = self.span(node)
        # as many lines as before, so that everything below keeps its number
        missing = self.content[start:end].count(b"\n") - replacement.count("\n")
        if missing > 0 and replacement.endswith(")"):
            replacement = replacement[:-1] + "\n" * missing + ")"
        return (self.content[:start] + replacement.encode() + self.content[end:]).decode()


def _changes(
    tree: ast.Module, text: _Text, wanted: set[int] | None
) -> Iterator[tuple[str, ast.stmt, ast.AST, str, str]]:
    for function, statement, roots in _statements(tree, ""):
        # the defaults of a function that was only defined decide nothing
        runs = statement.body if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef) else roots
        if wanted is not None and not any(wanted & set(range(r.lineno, r.end_lineno + 1)) for r in runs):
            continue
        for operator, replacement in _of_statement(statement, text):
            yield function, statement, statement, operator, replacement
        for root in roots:
            for node, context in _expressions(root, _Context()):
                for operator, replacement in _of_expression(node, text, context):
                    yield function, statement, node, operator, replacement


def _statements(node: ast.AST, function: str) -> Iterator[tuple[str, ast.stmt, list[ast.expr]]]:
    """Each statement with the function it is in and the expressions that belong to it alone."""
    for statement in getattr(node, "body", []):
        yield from _statement(statement, function)


def _statement(statement: ast.stmt, function: str) -> Iterator[tuple[str, ast.stmt, list[ast.expr]]]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inside = f"{function}.{statement.name}" if function else statement.name
        if not isinstance(statement, ast.ClassDef):
            defaults = [d for d in (*statement.args.defaults, *statement.args.kw_defaults) if d is not None]
            yield inside, statement, defaults
        yield from _statements(statement, inside)
        return
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.Raise | ast.Assert | ast.Global | ast.Pass):
        return
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return
    yield function, statement, _own_expressions(statement)
    for name in ("body", "orelse", "finalbody"):
        for inner in getattr(statement, name, []):
            yield from _statement(inner, function)
    for handler in getattr(statement, "handlers", []):
        yield from _statements(handler, function)


def _own_expressions(statement: ast.stmt) -> list[ast.expr]:
    found: list[ast.expr] = []
    for name, value in ast.iter_fields(statement):
        if name in ("annotation", "body", "orelse", "finalbody", "handlers"):
            continue
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, ast.expr):
                found.append(item)
            elif isinstance(item, ast.withitem):
                found.append(item.context_expr)
    return found


@dataclass(frozen=True)
class _Context:
    """Where an expression stands."""

    arithmetic: bool = False
    """Inside a larger arithmetic expression."""
    index: bool = False
    """Inside an index or the bounds of a range: whole numbers."""
    axis: bool = False
    """The value of an axis argument, or the place in a shape."""


def _expressions(node: ast.AST, context: _Context) -> Iterator[tuple[ast.expr, _Context]]:
    if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.keyword) and node.arg == "strict"):
        return  # zip(…, strict=True) is an assertion
    if isinstance(node, ast.expr):
        yield node, context
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _expressions(child, _child_context(node, name, context))


def _child_context(node: ast.AST, name: str, context: _Context) -> _Context:
    if isinstance(node, ast.BinOp | ast.UnaryOp) and not isinstance(getattr(node, "op", None), ast.Not):
        return _Context(arithmetic=True, index=context.index, axis=context.axis)
    if isinstance(node, ast.Subscript) and name == "slice":
        shape = isinstance(node.value, ast.Attribute) and node.value.attr == "shape"
        return _Context(index=True, axis=shape)
    if isinstance(node, ast.keyword) and node.arg in _AXES:
        return _Context(axis=True)
    if isinstance(node, ast.Call) and _name(node.func) == "range":
        return _Context(index=True)
    return _Context(index=context.index and isinstance(node, ast.Slice | ast.Tuple))


# -- what a statement may become ---------------------------------------------------------------------------


def _of_statement(statement: ast.stmt, text: _Text) -> Iterator[Change]:
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        yield "dropped statement", "pass"
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    if isinstance(statement, ast.Assign) and isinstance(targets[0], ast.Subscript):
        yield "dropped statement", "pass"
    if isinstance(statement, ast.AugAssign):
        target, value = text.of(statement.target), text.of(statement.value)
        symbol = _ARITHMETIC[type(statement.op)]
        yield "dropped statement", "pass"
        if symbol in _OTHER_SIGN:
            yield "sign", f"{target} {_OTHER_SIGN[symbol]}= ({value})"
        elif symbol in _OTHER_OPERATION:
            yield "operation", f"{target} {_OTHER_OPERATION[symbol]}= ({value})"


# -- what an expression may become -------------------------------------------------------------------------


def _of_expression(node: ast.expr, text: _Text, context: _Context) -> Iterator[Change]:
    maker = _MAKERS.get(type(node))
    if maker is not None:
        yield from maker(node, text, context)


def _of_constant(node: ast.Constant, text: _Text, context: _Context) -> Iterator[Change]:
    value = node.value
    if isinstance(value, bool):
        yield "flag", str(not value)
    elif isinstance(value, int):
        if context.axis and context.arithmetic:
            return  # the whole of -1 is changed, not its parts
        if context.axis:
            yield "axis", str({0: 1, 1: 0}.get(value, 0))
        else:
            yield "off by one", str(value + 1)
            yield "off by one", f"({value - 1})"
    elif isinstance(value, float) and value:
        yield "factor two", f"(2 * {text.of(node)})"
        yield "one per cent", f"(1.01 * {text.of(node)})"


def _of_binary(node: ast.BinOp, text: _Text, context: _Context) -> Iterator[Change]:
    if _holds_no_number(node):
        return
    left, right, symbol = text.operand(node.left), text.operand(node.right), _ARITHMETIC[type(node.op)]
    if symbol in _OTHER_SIGN:
        yield "sign", f"({left} {_OTHER_SIGN[symbol]} {right})"
    if symbol in _OTHER_OPERATION:
        yield "operation", f"({left} {_OTHER_OPERATION[symbol]} {right})"
    if symbol in ("+", "-", "*", "/", "**"):
        yield "dropped term", f"({left})"
    if symbol in ("+", "*"):
        yield "dropped term", f"({right})"
    if symbol == "-":
        yield "dropped term", f"(-{right})"
    if symbol in ("-", "/", "//", "**", "@"):
        yield "swapped", f"({right} {symbol} {left})"
    if not context.arithmetic and not context.index and symbol in ("+", "-", "*", "/", "**", "@"):
        yield "factor two", f"(2 * {text.operand(node)})"
        if _has_fraction(node):
            yield "one per cent", f"(1.01 * {text.operand(node)})"


def _of_unary(node: ast.UnaryOp, text: _Text, context: _Context) -> Iterator[Change]:
    if isinstance(node.op, ast.USub):
        if context.axis:
            yield "axis", "0"
        else:
            yield "sign", text.operand(node.operand)
    elif isinstance(node.op, ast.Not):
        yield "connective", f"({text.of(node.operand)})"


def _of_comparison(node: ast.Compare, text: _Text, _: _Context) -> Iterator[Change]:
    operands = [text.operand(part) for part in (node.left, *node.comparators)]
    symbols = [_COMPARISONS[type(op)] for op in node.ops]
    for place, symbol in enumerate(symbols):
        changed = [*symbols[:place], _OTHER_COMPARISON[symbol], *symbols[place + 1 :]]
        pairs = zip(changed, operands[1:], strict=True)
        yield "comparison", f"({' '.join([operands[0], *(f'{op} {value}' for op, value in pairs)])})"


def _of_connective(node: ast.BoolOp, text: _Text, _: _Context) -> Iterator[Change]:
    other = " or " if isinstance(node.op, ast.And) else " and "
    yield "connective", f"({other.join(text.operand(value) for value in node.values)})"


def _of_choice(node: ast.IfExp, text: _Text, _: _Context) -> Iterator[Change]:
    body, test, orelse = (f"({text.of(part)})" for part in (node.body, node.test, node.orelse))
    yield "branch", f"({orelse} if {test} else {body})"


def _of_attribute(node: ast.Attribute, text: _Text, _: _Context) -> Iterator[Change]:
    if node.attr in ("T", "mT"):
        yield "transposed", text.operand(node.value)


def _of_call(node: ast.Call, text: _Text, context: _Context) -> Iterator[Change]:
    name = _name(node.func)
    stem = text.of(node.func)[: -len(name)] if name else ""
    arguments = [text.of(a) for a in (*node.args, *node.keywords)]

    def called(function: str, values: list[str]) -> str:
        return f"{function}({', '.join(values)})"

    if name in _OTHER_EXTREMUM:
        yield "extremum", called(stem + _OTHER_EXTREMUM[name], arguments)
    for other in _OTHER_FUNCTION.get(name, []):
        if not (stem == "math." and other in _NOT_IN_MATH):
            yield "function", called(stem + other, arguments)
    if node.args and not isinstance(node.args[0], ast.Starred):
        first = text.operand(node.args[0])
        if name in ("exp", "log"):
            yield "sign", called(text.of(node.func), [f"-{first}", *arguments[1:]])
        if name in _SCALED and not context.arithmetic:
            yield "factor two", f"(2 * {text.of(node)})"
            yield "one per cent", f"(1.01 * {text.of(node)})"
        if name in _DROPPED:
            yield "dropped call", f"({text.of(node.args[0])})"
        if name in _TRANSPOSING:
            yield "transposed", first
    if name == "range" and node.args and not isinstance(node.args[-1], ast.Starred):
        end = min(1, len(node.args) - 1)
        if not isinstance(node.args[end], ast.Constant):
            for step in ("+ 1", "- 1"):
                bound = f"{text.operand(node.args[end])} {step}"
                yield "off by one", called("range", [*arguments[:end], bound, *arguments[end + 1 :]])
    plain = len(node.args) >= 2 and not any(isinstance(a, ast.Starred) for a in node.args)
    if plain and name == "where" and len(node.args) == 3:
        a, b, c, *rest = arguments
        yield "swapped", called(text.of(node.func), [a, c, b, *rest])
    elif plain and name and name not in _ORDERLESS and name != "range":
        yield "swapped", called(text.of(node.func), [arguments[1], arguments[0], *arguments[2:]])


def _of_comprehension(node: ast.expr, text: _Text, _: _Context) -> Iterator[Change]:
    for generator in node.generators:
        for condition in generator.ifs:
            whole, start = text.of(node), text.span(node)[0]
            at, end = (place - start for place in text.span(condition))
            content = whole.encode()
            negated = content[:at] + f"not ({text.of(condition)})".encode() + content[end:]
            yield "branch", negated.decode()


_Maker = Callable[..., Iterator[Change]]
_MAKERS: dict[type, _Maker] = {
    ast.Constant: _of_constant,
    ast.BinOp: _of_binary,
    ast.UnaryOp: _of_unary,
    ast.Compare: _of_comparison,
    ast.BoolOp: _of_connective,
    ast.IfExp: _of_choice,
    ast.Attribute: _of_attribute,
    ast.Call: _of_call,
    ast.ListComp: _of_comprehension,
    ast.GeneratorExp: _of_comprehension,
    ast.SetComp: _of_comprehension,
}


def _name(function: ast.expr) -> str:
    if isinstance(function, ast.Name):
        return function.id
    return function.attr if isinstance(function, ast.Attribute) else ""


def _holds_no_number(node: ast.expr) -> bool:
    """Whether a sum or product is one of texts or sequences."""
    if isinstance(node, ast.BinOp):
        return _holds_no_number(node.left) or _holds_no_number(node.right)
    return isinstance(node, _NO_NUMBERS) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _has_fraction(node: ast.expr) -> bool:
    """Whether an arithmetic expression is surely not one of whole numbers."""
    return any(
        (isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div | ast.MatMult))
        or (isinstance(part, ast.Constant) and isinstance(part.value, float))
        or (isinstance(part, ast.Call) and _name(part.func) in _SCALED)
        for part in ast.walk(node)
    )
