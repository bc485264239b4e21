"""Declared equivalents: mistakes that change no result, each with its reason, under ``tests/mutants``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.mutants.operators import OPERATORS, Mutant

_TEXTS = ("module", "function", "line", "reason")
_LISTS = ("operators", "becomes")


@dataclass(frozen=True)
class Equivalent:
    """One declaration. ``operators`` and ``becomes`` narrow it down; empty, they allow all."""

    module: str
    function: str
    line: str
    """The first line of the statement, as the source has it."""
    reason: str
    operators: tuple[str, ...] = ()
    becomes: tuple[str, ...] = ()
    """The changed line, as the mistake writes it."""

    def covers(self, mutant: Mutant) -> bool:
        same = (self.module, self.function, self.line) == (mutant.module, mutant.function, mutant.statement)
        return (
            same
            and (not self.operators or mutant.operator in self.operators)
            and (not self.becomes or mutant.becomes in self.becomes)
        )


def read_equivalents(path: Path) -> list[Equivalent]:
    """The declarations in the file at ``path``, none when there is no file.

    The file holds ``[[equivalent]]`` tables with ``module``, ``function`` (empty at the top of a module),
    ``line`` and ``reason``, and optional lists ``operators`` and ``becomes``. Raises ``ReproductionError``
    for anything else.
    """
    try:
        with open(path, "rb") as stream:
            content = tomllib.load(stream)
    except FileNotFoundError:
        return []
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ReproductionError(f"{path.name} cannot be read: {error}.") from None
    if set(content) - {"equivalent"} or not isinstance(content.get("equivalent", []), list):
        raise ReproductionError(f"{path.name}: expected nothing but [[equivalent]] tables.")
    return [_entry(path.name, n, entry) for n, entry in enumerate(content.get("equivalent", []), start=1)]


def _entry(file: str, number: int, entry: object) -> Equivalent:
    where = f"{file}, entry {number}"
    if not isinstance(entry, dict):
        raise ReproductionError(f"{where}: expected a table.")
    unknown = set(entry) - {*_TEXTS, *_LISTS}
    if unknown:
        raise ReproductionError(f"{where}: unknown field {sorted(unknown)[0]!r}.")
    for name in _TEXTS:
        value = entry.get(name)
        if not isinstance(value, str) or not (value.strip() or name == "function"):
            raise ReproductionError(f"{where}: {name}={value!r}, expected a text that is not empty.")
    for name in _LISTS:
        value = entry.get(name, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ReproductionError(f"{where}: {name}={value!r}, expected a list of texts.")
    for operator in entry.get("operators", []):
        if operator not in OPERATORS:
            raise ReproductionError(
                f"{where}: unknown operator {operator!r}; they are {', '.join(OPERATORS)}."
            )
    lists = {name: tuple(entry.get(name, [])) for name in _LISTS}
    return Equivalent(**{name: entry[name] for name in _TEXTS}, **lists)
