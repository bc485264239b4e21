"""The ledger: what a study found, written whole or not at all, the same bytes for the same findings.

``ledger.json`` holds only what code, seed, profile and versions decide. What depends on the machine (clocks,
host, timed pictures) goes to ``machine/run.json`` beside it.
"""

from __future__ import annotations

import json
import os
import tempfile
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from touchstone.evidence.errors import LedgerError
from touchstone.evidence.imports import without_grammars
from touchstone.evidence.numbers import encoded

SCHEMA_VERSION = 1
LEDGER = "ledger.json"
MACHINE = "machine"
RUN = "run.json"


def schema() -> dict[str, Any]:
    """The JSON Schema that every ledger follows."""
    return json.loads(
        resources.files("touchstone.evidence").joinpath("ledger.schema.json").read_text("utf-8")
    )


@cache
def _validator() -> Any:
    with without_grammars():
        import jsonschema  # a tenth of a second: only when a ledger is at hand

    return jsonschema.Draft202012Validator(schema())


def validate(ledger: Any, name: str = LEDGER) -> None:
    """Raise ``LedgerError``, naming the place, unless ``ledger`` follows the schema with unique ids."""
    errors = sorted(_validator().iter_errors(ledger), key=lambda e: list(map(str, e.absolute_path)))
    for error in errors[:1]:
        where = "/".join(map(str, error.absolute_path)) or "the top level"
        raise LedgerError(f"{name}: at {where}: {error.message[:300]}")
    for what in ("checks", "figures"):
        key = "id" if what == "checks" else "name"
        seen = [entry[key] for entry in ledger[what]]
        twice = sorted({each for each in seen if seen.count(each) > 1})
        if twice:
            raise LedgerError(f"{name}: {what} listed twice: {', '.join(twice)}")


def read(path: Path | str) -> dict[str, Any]:
    """The ledger at ``path``, validated. Raises ``LedgerError`` in one sentence for anything else."""
    path = Path(path)
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"{path}: cannot be read ({error})") from error
    return parse(text, str(path))


def parse(text: str, name: str = LEDGER) -> dict[str, Any]:
    """The ledger in ``text``, validated; ``name`` is used in messages. Raises ``LedgerError``."""

    def refuse(token: str) -> None:
        raise ValueError(f"{token} is not JSON")

    try:
        ledger = json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise LedgerError(f"{name}: not valid JSON ({error})") from error
    validate(ledger, name)
    return ledger


def dump(value: Any) -> bytes:
    """``value`` as JSON bytes: numbers as ``numbers.encoded`` has them, keys in their given order."""
    return (json.dumps(encoded(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_atomically(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` so that a reader sees the old file or the new one, never a part.

    Missing folders are made. A failure (a full disk) leaves what was there and no temporary file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def versions() -> dict[str, str]:
    """The versions that a finding may depend on: Python's minor version and the numerical packages."""
    import platform

    python = ".".join(platform.python_version_tuple()[:2])
    packages = ("numpy", "scipy", "array-api-compat", "touchstone")
    return {"python": python, **{package: _version(package) for package in packages}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
