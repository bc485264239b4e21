"""Which modules of the library a piece of code reaches, directly or through other modules.

The answer is read from the sources, never by importing: every ``import`` statement counts, at the top of a
file or inside a function, and so does ``import_module("...")`` with a literal name.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from touchstone.reproduce.project import PACKAGE

# An import as it is written: (module, name or "", number of leading dots). ``import a.b`` has no name.
Import = tuple[str, str, int]


class Library:
    """The sources of the package under one folder; reads each file once in its life.

    ``cache`` is a file that keeps the imports of each source between runs, by the hash of its content.
    """

    def __init__(self, folder: Path, package: str = PACKAGE, cache: Path | None = None) -> None:
        self.folder = folder
        self.package = package
        self._cache_file = cache
        self._known: dict[str, list[Import]] = _load(cache)
        self._used: dict[str, list[Import]] = {}
        self._files: dict[str, Path | None] = {}
        self._hashes: dict[str, str] = {}
        self._direct: dict[str, set[str]] = {}
        self._data: dict[Path, dict[str, str]] = {}

    def remember(self, digest: str, read: Callable[[], list[Import]]) -> list[Import]:
        """The imports of the code with this hash: from the cache, or else from ``read``."""
        if digest not in self._used:
            known = self._known.get(digest)
            self._used[digest] = read() if known is None else known
        return self._used[digest]

    def sources(self, imports: Iterable[Import]) -> dict[str, str]:
        """The hash of each source file that code with these ``imports`` reaches, by module name.

        A file that is no Python source, beside a module that is reached (a schema, a table), is taken to be
        read by it and listed under its path in the package. Names that lead to no file are left out:
        running the code will tell.
        """
        waiting = [module for record in imports for module in self._targets(record, importer=None)]
        reached: set[str] = set()
        while waiting:
            module = waiting.pop()
            if module not in reached:
                reached.add(module)
                waiting.extend(self._imports(module) - reached)
        found = {module: self._hashes[module] for module in reached}
        for folder in {self._file(module).parent for module in reached}:
            found.update(self._data_files(folder))
        return dict(sorted(found.items()))

    def differing(self, hashes: dict[str, str]) -> list[str]:
        """The names in ``hashes``, as ``sources`` gives them, whose file here is missing or another."""
        found = []
        for name, expected in hashes.items():
            path = self.folder / name if "/" in name else self._find(name)
            try:
                same = path is not None and hashlib.sha256(path.read_bytes()).hexdigest() == expected
            except OSError:
                same = False
            if not same:
                found.append(name)
        return found

    def save(self) -> None:
        """Keep what was learnt for the next run. A cache that cannot be written is no reason to fail."""
        if self._cache_file is None or self._used == self._known:
            return
        try:
            self._cache_file.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._cache_file.with_suffix(f".{os.getpid()}")
            scratch.write_text(json.dumps(self._used), encoding="utf-8")
            os.replace(scratch, self._cache_file)
        except OSError:
            pass

    def _imports(self, module: str) -> set[str]:
        """The modules of the library that ``module`` imports, with the packages that importing it runs."""
        if module not in self._direct:
            content = self._file(module).read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            self._hashes[module] = digest
            records = self.remember(digest, lambda: self._read(content))
            targets = {found for record in records for found in self._targets(record, importer=module)}
            self._direct[module] = targets | set(self._with_parents(module))
        return self._direct[module]

    def _read(self, content: bytes) -> list[Import]:
        try:
            return imports_of(ast.parse(content), self.package)
        except (SyntaxError, ValueError):
            return []  # running the notebook shows the error with its place

    def _targets(self, record: Import, importer: str | None) -> list[str]:
        module, name, dots = record
        if dots:
            if importer is None:
                return []
            package = importer.split(".")
            if self._file(importer).name != "__init__.py":
                package.pop()
            package = package[: len(package) - (dots - 1)]
            module = ".".join([*package, module] if module else package)
        found = self._with_parents(module)
        if name and self._exists(f"{module}.{name}"):
            found.append(f"{module}.{name}")
        return found

    def _with_parents(self, module: str) -> list[str]:
        parts = module.split(".")
        names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
        return [name for name in names if self._exists(name)]

    def _exists(self, module: str) -> bool:
        return module.split(".")[0] == self.package and self._find(module) is not None

    def _find(self, module: str) -> Path | None:
        if module not in self._files:
            stem = self.folder.joinpath(*module.split("."))
            candidates = (stem / "__init__.py", stem.with_name(stem.name + ".py"))
            self._files[module] = next((path for path in candidates if path.is_file()), None)
        return self._files[module]

    def _file(self, module: str) -> Path:
        path = self._find(module)
        assert path is not None, module  # only modules that exist are followed
        return path

    def _data_files(self, folder: Path) -> dict[str, str]:
        if folder not in self._data:
            self._data[folder] = {
                path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in sorted(folder.iterdir())
                if path.is_file() and path.suffix not in (".py", ".pyc") and not path.name.startswith(".")
            }
        return self._data[folder]


def imports_of(tree: ast.AST, package: str = PACKAGE) -> list[Import]:
    """Every import in ``tree`` that may lead into ``package``, wherever it stands."""
    found: set[Import] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update((alias.name, "", 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.update((node.module or "", alias.name, node.level) for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = node.func
            called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                found.add((node.args[0].value, "", 0))
    return sorted(record for record in found if record[2] or record[0].split(".")[0] == package)


def _load(cache: Path | None) -> dict[str, list[Import]]:
    if cache is None:
        return {}
    try:
        content = json.loads(cache.read_text(encoding="utf-8"))
        return {
            digest: [(str(m), str(n), int(d)) for m, n, d in records] for digest, records in content.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
