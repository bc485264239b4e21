"""Mistakes: how they are made, who is asked, what is kept, and that none of it touches a file."""

from __future__ import annotations

import ast
import json
import signal
import textwrap
import time
from pathlib import Path

import pytest

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.mutants import reach
from touchstone.reproduce.mutants import survey as survey_module
from touchstone.reproduce.mutants.equivalents import Equivalent, read_equivalents
from touchstone.reproduce.mutants.operators import OPERATORS, mutants_of
from touchstone.reproduce.mutants.reach import cells_of, target_modules
from touchstone.reproduce.mutants.report import lines_of, report, store
from touchstone.reproduce.mutants.survey import EQUIVALENTS, survey
from touchstone.reproduce.notebook import parse_notebook
from touchstone.reproduce.register import read_register

ROOT = Path(__file__).resolve().parents[2]


def becomes(statement, *operators):
    """What a statement inside a function may become, by the given kinds of mistake."""
    source = "def f():\n" + textwrap.indent(textwrap.dedent(statement), "    ")
    return [m.becomes for m in mutants_of("m", source) if not operators or m.operator in operators]


# -- the mistakes ------------------------------------------------------------------------------------------


KINDS = [
    ("sign", "return a + b", ["return (a - b)"]),
    ("sign", "return -a", ["return a"]),
    ("sign", "total += a", ["total -= (a)"]),
    ("sign", "return exp(a - b)", ["return exp(-(a - b))", "return exp((a + b))"]),
    ("operation", "return (a + b) * c", ["return ((a + b) / c)"]),
    ("operation", "return a**b", ["return (a * b)"]),
    ("factor two", "return a * b + c", ["return (2 * (a * b + c))"]),
    ("one per cent", "return a / b", ["return (1.01 * (a / b))"]),
    ("off by one", "return x[i, 3]", ["return x[i, 4]", "return x[i, (2)]"]),
    ("off by one", "return range(n)", ["return range(n + 1)", "return range(n - 1)"]),
    (
        "off by one",
        "return range(a, n + c)",
        ["return range(a, (n + c) + 1)", "return range(a, (n + c) - 1)"],
    ),
    ("dropped term", "return a - b", ["return (a)", "return (-b)"]),
    ("dropped term", "return a * b", ["return (a)", "return (b)"]),
    ("swapped", "return U @ W", ["return (W @ U)"]),
    ("swapped", "return a - (b + c)", ["return ((b + c) - a)"]),
    ("swapped", "return where(c, x, y)", ["return where(c, y, x)"]),
    ("swapped", "return comb(n, k)", ["return comb(k, n)"]),
    ("transposed", "return U.T @ W", ["return U @ W"]),
    ("transposed", "return xp.matrix_transpose(K)", ["return K"]),
    ("comparison", "return a < b", ["return (a <= b)"]),
    ("comparison", "return 0 <= a < b", ["return (0 < a < b)", "return (0 <= a <= b)"]),
    ("extremum", "return xp.max(x, axis=1)", ["return xp.min(x, axis=1)"]),
    ("branch", "return a if c else b", ["return ((b) if (c) else (a))"]),
    ("branch", "return [x for x in xs if x > 0]", ["return [x for x in xs if not (x > 0)]"]),
    ("connective", "return a and not b", ["return (a or (not b))", "return a and (b)"]),
    ("function", "return xp.log1p(x)", ["return xp.log(x)"]),
    ("axis", "return xp.sum(x, axis=1)", ["return xp.sum(x, axis=0)"]),
    ("axis", "return xp.sum(x, axis=-1)", ["return xp.sum(x, axis=0)"]),
    ("axis", "return x.shape[0]", ["return x.shape[1]"]),
    ("flag", "return sort(x, stable=True)", ["return sort(x, stable=False)"]),
    ("dropped call", "return xp.abs(x)", ["return (x)"]),
    ("dropped statement", "Q[:3] = rows", ["pass"]),
]


@pytest.mark.parametrize(("operator", "statement", "expected"), KINDS)
def test_each_kind_of_mistake(operator, statement, expected):
    found = becomes(statement, operator)
    for one in expected:
        assert one in found
    if operator not in ("off by one", "swapped"):
        assert found == expected


def test_every_kind_is_tested():
    assert {case[0] for case in KINDS} == set(OPERATORS)


@pytest.mark.parametrize(
    "statement",
    [
        '"""A text about 1 + 1."""',
        "x: Array[1, 2]",
        "import a.b",
        "raise ValueError(f'{n + 1} rows', n - 1)",
        "assert n > 1",
        "return f'{a + b}'",
        "return 'a' + name",
        "return (a,) + shape",
        "return zip(a, b, strict=True)",
        "return x",
        "pass",
    ],
)
def test_what_is_left_alone(statement):
    assert becomes(statement) == []


def test_decorators_and_annotations_are_left_alone_and_defaults_are_not():
    source = (
        "@cache(maxsize=512)\ndef f(a: L[1, 2], b: int = 3, *, flag: bool = True) -> F[4]:\n    return a\n"
    )
    found = mutants_of("m", source)
    assert {(m.function, m.operator) for m in found} == {("f", "off by one"), ("f", "flag")}
    assert all("512" in m.source and "[1, 2]" in m.source and "[4]" in m.source for m in found)


def test_only_lines_that_ran():
    source = (
        "def f(a):\n    if a > 0:\n        return a + 1\n    return a - 1\n\ndef g(a):\n    return a * 2\n"
    )
    assert {m.line for m in mutants_of("m", source, {2, 4})} == {2, 4}
    assert mutants_of("m", source, set()) == []
    assert {m.line for m in mutants_of("m", source)} == {2, 3, 4, 7}


def test_the_defaults_of_a_function_count_when_its_body_ran():
    source = "def f(a, b=1):\n    return a\n\ndef g(a, b=1):\n    return a\n"
    assert {m.function for m in mutants_of("m", source, {1, 4, 5})} == {
        "g"
    }  # both were defined, one was called


def test_a_statement_over_several_lines_counts_when_any_of_them_ran():
    source = "def f(a):\n    return (\n        a\n        + 1\n    )\n"
    assert mutants_of("m", source, {4})


def test_mistakes_keep_lines_in_place_and_parse():
    source = "def f(é, b):\n    y = 'ä' and (é +\n         b)\n    return y - 1\n"
    found = mutants_of("m", source)
    assert found
    for mutant in found:
        tree = ast.parse(mutant.source)
        assert tree.body[0].body[-1].lineno == 4
        assert ast.dump(tree) != ast.dump(ast.parse(source))
    assert len({ast.dump(ast.parse(m.source)) for m in found}) == len(found)


def test_keys_follow_a_function_when_it_moves_and_tell_mistakes_apart():
    source = "def f(a):\n    b = a + 1\n    b = a + 1\n    return b\n"
    keys = [m.key for m in mutants_of("m", source)]
    assert len(set(keys)) == len(keys)
    assert [m.key for m in mutants_of("m", "import x\n\n\n" + source)] == keys
    assert not set(keys) & {m.key for m in mutants_of("other", source)}


def test_broken_source():
    with pytest.raises(SyntaxError):
        mutants_of("m", "def f(:")


# -- declared equivalents ----------------------------------------------------------------------------------


def test_equivalents_are_read_and_matched(tmp_path):
    path = tmp_path / "equivalent.toml"
    path.write_text(
        '[[equivalent]]\nmodule = "m"\nfunction = "f"\nline = "return a - b"\n'
        'reason = "b is zero"\noperators = ["sign"]\n'
    )
    [entry] = read_equivalents(path)
    assert entry == Equivalent("m", "f", "return a - b", "b is zero", ("sign",))
    found = mutants_of("m", "def f(a, b):\n    return a - b\n")
    assert [m.becomes for m in found if entry.covers(m)] == ["return (a + b)"]
    exact = Equivalent("m", "f", "return a - b", "…", becomes=("return (a)",))
    assert [m.becomes for m in found if exact.covers(m)] == ["return (a)"]
    assert not any(Equivalent("m", "g", "return a - b", "…").covers(m) for m in found)


def test_no_file_declares_nothing(tmp_path):
    assert read_equivalents(tmp_path / "equivalent.toml") == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[equivalent", "cannot be read"),
        ("[other]\n", "nothing but"),
        ('[[equivalent]]\nmodule = "m"\nfunction = "f"\nline = "x"\n', "reason=None"),
        ('[[equivalent]]\nmodule = "m"\nfunction = ""\nline = "x"\nreason = " "\n', "reason=' '"),
        (
            '[[equivalent]]\nmodule = "m"\nfunction = ""\nline = "x"\nreason = "r"\noperators = ["sigh"]\n',
            "'sigh'",
        ),
        (
            '[[equivalent]]\nmodule = "m"\nfunction = ""\nline = "x"\nreason = "r"\nbecomes = "y"\n',
            "becomes='y'",
        ),
        ('[[equivalent]]\nmodule = "m"\nfunction = ""\nline = "x"\nreason = "r"\nwhy = "y"\n', "'why'"),
    ],
)
def test_bad_declarations(tmp_path, text, message):
    path = tmp_path / "equivalent.toml"
    path.write_text(text)
    with pytest.raises(ReproductionError, match=message):
        read_equivalents(path)


def test_the_declarations_of_this_collection_match_something():
    entries = read_equivalents(ROOT / EQUIVALENTS)
    for module in sorted({entry.module for entry in entries}):
        mine = [entry for entry in entries if entry.module == module]
        source = (ROOT / "lib" / Path(*module.split(".")).with_suffix(".py")).read_text(encoding="utf-8")
        # near the declared lines only, for speed; a definition stands for all of its body
        lines = {
            number + more
            for number, line in enumerate(source.splitlines(), 1)
            if line.strip() in {entry.line for entry in mine}
            for more in range(400 if line.lstrip().startswith("def ") else 10)
        }
        found = mutants_of(module, source, lines)
        for entry in mine:
            matching = [m.becomes for m in found if entry.covers(m)]
            assert matching, f"no mistake matches {entry.module}: {entry.line}"
            assert set(entry.becomes) <= set(matching), entry


# -- what a notebook reaches -------------------------------------------------------------------------------


def test_cells_without_sliders_pictures_and_magics(make):
    content = make.notebook(
        "%matplotlib inline\na = 1", "slider()", "with study.figure('x') as f:\n    draw(f)\nb = 2"
    )
    content["cells"][3]["metadata"]["tags"] = ["explore"]
    notebook = parse_notebook(json.dumps(content))
    cells = cells_of(notebook)
    assert [(cell["position"], cell["parameters"]) for cell in cells] == [(2, True), (3, False), (5, False)]
    assert cells[1]["source"] == "pass\na = 1"
    assert cells[2]["source"] == "b = 2"
    assert "draw(f)" in cells_of(notebook, pictures=True)[2]["source"]


def test_judges_are_no_targets_unless_named(collection):
    for name in ("touchstone.maths.area", "touchstone.evidence.study", "touchstone.counting.costs"):
        collection.module(name, "")
    library = collection.root / "lib"
    judges = ["touchstone.evidence.study", "touchstone.counting.costs", "touchstone/evidence/x.json"]
    sources = dict.fromkeys(["touchstone", "touchstone.maths", "touchstone.maths.area", *judges], "hash")
    assert list(target_modules(sources, library)) == ["touchstone.maths.area"]
    assert list(target_modules(sources, library, ["touchstone.counting"])) == ["touchstone.counting.costs"]
    assert list(target_modules(sources, library, ["touchstone.count"])) == []


def test_tests_of_a_module_are_its_mirror_and_its_importers(collection):
    tests = collection.root / "tests"
    for name, text in {
        "maths/test_area.py": "",
        "maths/test_area_mutants.py": "",
        "maths/test_areas.py": "",
        "maths/test_volume.py": "from touchstone.maths import area",
        "maths/test_other.py": "from touchstone.maths.volume import volume",
        "evidence/test_study.py": "import touchstone.maths.area",
        "notebooks/test_one.py": "import touchstone.maths.area",
    }.items():
        path = tests / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    expected = ["tests/maths/test_area.py", "tests/maths/test_area_mutants.py", "tests/maths/test_volume.py"]
    assert reach.tests_of("touchstone.maths.area", collection.project) == expected


# -- the survey --------------------------------------------------------------------------------------------

STUDY = """
class Verdict:
    def __init__(self, id, verdict):
        self.id, self.verdict = id, verdict

class Study:
    def __init__(self):
        self.verdicts = []

    def check(self, id, accepted):
        self.verdicts.append(Verdict(id, "supported" if accepted else "refuted"))

    def summary(self):
        return self
"""
AREA = """
def area(w, h):
    return w * h


def clipped(x):
    return max(x, 0)


def never(x):
    return x + 1
"""
LOOP = """
def countdown(n):
    while n > 0:
        n -= 1
    return n
"""
TESTS = """
from touchstone.maths.area import area, clipped

def test_area():
    assert area(2, 5) == 10

def test_clipped():
    assert clipped(-3) <= 0
"""
CELLS = (
    "from touchstone.evidence.study import Study\nfrom touchstone.maths.area import area, clipped",
    "study = Study()\nstudy.check('area', profile == 'quick' and area(2, 3) == 6)",
    "study.check('clipped', clipped(5) == 5)",
)


@pytest.fixture
def small(collection, monkeypatch, make):
    """A collection with one notebook, one module of mathematics and its tests."""
    collection.register("one")
    collection.write("one", make.notebook(*CELLS))
    collection.module("touchstone.evidence.study", STUDY)
    collection.module("touchstone.maths.area", AREA)
    tests = collection.root / "tests" / "maths"
    tests.mkdir(parents=True)
    (tests / "test_area.py").write_text(TESTS)
    monkeypatch.setattr(survey_module, "_AT_LEAST", 3.0)
    monkeypatch.setattr(survey_module, "_FOR_TESTS", [])
    [paper] = read_register(collection.project).values()
    return lambda **options: survey(collection.project, paper, workers=1, **options)


def by_change(result):
    return {f.mutant.becomes: f.outcome for f in result.findings}


def tree_of(root):
    files = (path for path in root.rglob("*") if path.is_file() and "build" not in path.parts)
    return {path: path.read_bytes() for path in files if "__pycache__" not in path.parts}


def test_a_survey_from_end_to_end(small, collection, make):
    collection.module("touchstone.maths.loop", LOOP)
    loop = "from touchstone.maths.loop import countdown\ncountdown(3)"
    collection.write("one", make.notebook(*CELLS, loop))
    before = tree_of(collection.root)
    said = []
    result = small(say=said.append)
    assert tree_of(collection.root) == before
    assert not list((collection.root / "tests").rglob("__pycache__"))
    found = by_change(result)
    assert not any("x + 1" in change or "x - 1" in change for change in found)  # never ran
    assert found["return (w / h)"] == "verdict"
    assert found["return max(x, 1)"] == "tests"
    assert found["return max(x, (-1))"] == "survived"
    assert found["return min(x, 0)"] == "verdict"
    assert found["n += (1)"] == "timeout"
    assert result.count("survived") == len([line for line in said if line.startswith("survived")])
    caught = [f for f in result.findings if f.outcome == "tests"]
    assert caught[0].detail == "tests/maths/test_area.py::test_clipped"
    moved = next(f for f in result.findings if f.mutant.becomes == "return (w / h)")
    assert moved.detail == "area: supported → refuted"

    # what was found is kept: a second survey tries nothing
    tried = []
    again = small(say=tried.append)
    assert by_change(again) == found
    assert not any(line.startswith("tests/") for line in tried)

    # the tests grow: survivors and what tests had noticed are tried by them again, the rest is not
    path = collection.root / "tests" / "maths" / "test_area.py"
    path.write_text(TESTS + "\ndef test_exactly():\n    assert clipped(-3) == 0\n")
    records = (collection.root / "build" / "mutants" / "one.jsonl").read_text().count("\n")
    grown = by_change(small())
    assert grown["return max(x, (-1))"] == "tests"
    assert grown | {"return max(x, (-1))": "survived"} == found
    added = (collection.root / "build" / "mutants" / "one.jsonl").read_text().count("\n") - records
    assert added == result.count("tests", "survived", module="touchstone.maths.area")


def test_edits_during_a_survey_have_no_part_in_it(small, collection):
    found = by_change(small(limit=6))
    (collection.root / "build" / "mutants" / "one.jsonl").unlink()

    def edit(line):
        collection.module("touchstone.maths.area", "this is no Python")
        (collection.root / "tests" / "maths" / "test_area.py").write_text("assert False")

    assert by_change(small(limit=6, say=edit)) == found
    assert len(set(found.values())) > 1


def test_declared_equivalents_are_left_out_and_can_be_rechecked(small, collection):
    path = collection.root / EQUIVALENTS
    path.parent.mkdir(parents=True)
    entry = '[[equivalent]]\nmodule = "touchstone.maths.area"\nreason = "r"\nfunction = "{}"\nline = "{}"\n'
    path.write_text(entry.format("clipped", "return max(x, 0)") + entry.format("area", "return w + h"))
    result = small()
    assert {f.outcome for f in result.findings if f.mutant.function == "clipped"} == {"equivalent"}
    assert (result.count("survived"), result.rate) == (0, 1.0)
    assert [entry.line for entry in result.idle] == ["return w + h"]
    assert result.refuted == []
    checked = small(recheck=True)
    assert "return min(x, 0)" in {f.mutant.becomes for f in checked.refuted}
    assert "return max(x, (-1))" not in {f.mutant.becomes for f in checked.refuted}


def test_a_sample_is_the_same_every_time(small):
    one, two = small(limit=3, sample_seed=5), small(limit=3, sample_seed=5)
    assert [f.mutant.key for f in one.findings] == [f.mutant.key for f in two.findings]
    assert len(one.findings) == 3
    assert one.possible > 3
    assert f"a sample of {one.possible}" in lines_of(one)[0]


def test_the_report(small, collection):
    result = small(limit=6, sample_seed=1)
    content = report(result)
    assert content["tried"] == sum(content["counts"].values()) - content["counts"]["equivalent"] == 6
    assert json.loads((collection.root / store(result, collection.project)).read_text()) == content
    text = "\n".join(lines_of(result))
    assert "maths.area" in text
    for finding in result.findings:
        assert (finding.mutant.diff.splitlines()[-1] in text) == (finding.outcome == "survived")


def test_a_notebook_that_fails_without_mistakes_is_no_ground_for_a_survey(small, collection, make):
    collection.write("one", make.notebook(CELLS[0], "1 / 0"))
    with pytest.raises(ReproductionError, match=r"without any mistake: cell 4: ZeroDivisionError"):
        small()


def test_tests_that_fail_without_mistakes_are_no_ground_for_a_survey(small, collection):
    (collection.root / "tests" / "maths" / "test_area.py").write_text(
        TESTS + "\ndef test_wrong():\n    assert False\n"
    )
    with pytest.raises(ReproductionError, match=r"test_area.py fails without any mistake: .*test_wrong"):
        small()


def test_a_cell_that_needs_what_a_picture_computed_is_run_with_pictures(small, collection, make):
    picture = (
        "import contextlib\nclass P:\n    figure = contextlib.nullcontext\n"
        "with P().figure(1) as f:\n    top = area(1, 1)"
    )
    collection.write("one", make.notebook(*CELLS, picture, "study.check('top', top == 1)"))
    result = small(limit=1)
    assert len(result.findings) == 1


# -- from the command line ---------------------------------------------------------------------------------


def test_the_command(small, collection):
    done = collection.run("mutate", "one", "--jobs", "1", "--module", "touchstone.maths", "--least", "0.5")
    assert done.returncode == 0, done.stderr
    assert "mistakes noticed" in done.stdout
    assert "touchstone/maths/area.py:7 in clipped: off by one" in done.stdout
    assert "+    return max(x, (-1))" in done.stdout
    assert (collection.root / "build" / "mutants" / "one.json").is_file()
    strict = collection.run("mutate", "one", "--jobs", "1", "--least", "1")
    assert strict.returncode == 1
    assert strict.stdout.splitlines()[:-1] == done.stdout.splitlines()[:-1]


def test_ctrl_c_ends_everything_and_keeps_what_was_found(small, collection):
    # tests that take long, so that trials are under way when the signal comes
    (collection.root / "tests" / "maths" / "test_area.py").write_text(
        TESTS + "\nimport time\ntime.sleep(20)\n"
    )
    running = collection.start("mutate", "one", "--jobs", "2")
    records = collection.root / "build" / "mutants" / "one.jsonl"
    deadline = time.monotonic() + 60
    while not records.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=20)
    assert running.returncode == 130
    assert "the same command goes on from there" in said
    assert records.read_text().endswith("\n")
    assert collection.orphans() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mutate", "two"), "'two' is not a paper"),
        (("mutate", "one", "--module", "touchstone.music"), "reaches no module in which to plant mistakes"),
        (("mutate", "one", "--least", "2"), "0<=x<=1"),
    ],
)
def test_wrong_use(small, collection, arguments, message):
    done = collection.run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_paper_without_notebook(collection):
    collection.register("one")
    done = collection.run("mutate", "one")
    assert done.returncode == 2
    assert "one: the notebook is missing." in done.stderr
