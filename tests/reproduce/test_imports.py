import ast
import json
from pathlib import Path

import grimp
import pytest

import touchstone
from touchstone.reproduce.imports import Library, imports_of

PACKAGE_FOLDER = Path(touchstone.__file__).parents[1]


def reached(folder, code, **options):
    return set(Library(folder, **options).sources(imports_of(ast.parse(code))))


@pytest.fixture
def library(collection):
    collection.module("touchstone.arrays", "import numpy")
    collection.module("touchstone.attention.exact", "from touchstone import arrays")
    collection.module("touchstone.attention.fast", "def f():\n    from touchstone.attention import exact\n")
    collection.module("touchstone.attention.other", "")
    return collection.root / "lib"


BASE = {"touchstone"}
ATTENTION = BASE | {"touchstone.attention"}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("", set()),
        ("import numpy, os.path", set()),
        ("import touchstone", BASE),
        ("import touchstone.arrays", BASE | {"touchstone.arrays"}),
        ("import touchstone.arrays as a", BASE | {"touchstone.arrays"}),
        ("from touchstone import arrays", BASE | {"touchstone.arrays"}),
        ("from touchstone.arrays import namespace", BASE | {"touchstone.arrays"}),
        ("from touchstone.attention import other", ATTENTION | {"touchstone.attention.other"}),
        ("from touchstone.attention.other import f", ATTENTION | {"touchstone.attention.other"}),
        ("from touchstone.attention import *", ATTENTION),
        (
            "from touchstone.attention.exact import attention",
            ATTENTION | {"touchstone.attention.exact", "touchstone.arrays"},
        ),
        (
            "from touchstone.attention import fast",
            ATTENTION | {"touchstone.attention.fast", "touchstone.attention.exact", "touchstone.arrays"},
        ),
        ("if False:\n    def f():\n        import touchstone.arrays", BASE | {"touchstone.arrays"}),
        ("import importlib\nm = importlib.import_module('touchstone.arrays')", BASE | {"touchstone.arrays"}),
        ("from touchstone.nowhere import x", BASE),
        ("import touchstone_extras", set()),
        ("from . import arrays", set()),
    ],
)
def test_what_code_reaches(library, code, expected):
    assert reached(library, code) == expected


@pytest.mark.parametrize(
    "statement", ["from . import exact", "from .exact import f", "from ..attention import exact"]
)
def test_relative_imports(collection, library, statement):
    collection.module("touchstone.attention.relative", statement)
    assert "touchstone.arrays" in reached(library, "import touchstone.attention.relative")


def test_relative_imports_in_a_package(collection, library):
    (library / "touchstone" / "attention" / "__init__.py").write_text("from .other import f\n")
    assert "touchstone.attention.other" in reached(library, "import touchstone.attention")


def test_cycles_end(collection, library):
    collection.module("touchstone.one", "import touchstone.two")
    collection.module("touchstone.two", "import touchstone.one")
    assert reached(library, "import touchstone.one") == BASE | {"touchstone.one", "touchstone.two"}


def test_data_beside_a_reached_module_counts(collection, library):
    (library / "touchstone" / "attention" / "table.csv").write_text("1")
    assert "touchstone/attention/table.csv" in reached(library, "from touchstone.attention import other")
    assert "touchstone/attention/table.csv" not in reached(library, "import touchstone.arrays")


def test_a_module_that_does_not_parse_is_followed_no_further(collection, library):
    collection.module("touchstone.broken", "import touchstone.arrays\nx = = 1")
    assert reached(library, "import touchstone.broken") == BASE | {"touchstone.broken"}


def test_the_cache_changes_nothing(collection, library, tmp_path):
    cache = tmp_path / "cache" / "imports.json"
    code = "from touchstone.attention import fast"
    plain = Library(library).sources(imports_of(ast.parse(code)))
    for _ in range(2):
        cached = Library(library, cache=cache)
        assert cached.sources(imports_of(ast.parse(code))) == plain
        cached.save()
    assert len(json.loads(cache.read_text())) == 4  # sources by content: the two empty __init__ are one
    for damage in ("{", "[]", '{"a": 3}', '{"a": [[1]]}'):
        cache.write_text(damage)
        assert Library(library, cache=cache).sources(imports_of(ast.parse(code))) == plain


def test_what_another_copy_has_otherwise(collection, library, tmp_path):
    sources = Library(library).sources(imports_of(ast.parse("from touchstone.attention import fast")))
    assert Library(library).differing(sources) == []
    assert Library(library).differing({**sources, "touchstone.gone": "0" * 64}) == ["touchstone.gone"]
    assert Library(tmp_path / "nowhere").differing(sources) == list(sources)
    path = library / "touchstone" / "attention" / "fast.py"
    path.write_bytes(path.read_bytes() + b"\n")
    assert Library(library).differing(sources) == ["touchstone.attention.fast"]


def test_against_the_import_graph_of_grimp():
    """An independent reader of imports agrees on every module of this library."""
    graph = grimp.build_graph("touchstone", cache_dir=None)
    library = Library(PACKAGE_FOLDER)
    for module in sorted(graph.modules):
        ours = {name for name in library.sources([(module, "", 0)]) if "/" not in name}
        todo, theirs = [module], set()
        while todo:
            name = todo.pop()
            if name in theirs:
                continue
            theirs.add(name)
            todo += graph.find_modules_directly_imported_by(name)
            todo += [".".join(name.split(".")[:count]) for count in range(1, name.count(".") + 1)]
        assert ours == theirs, module
