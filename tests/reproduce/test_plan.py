import json

import pytest

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.plan import Planner, read_stamp, stamp_file, write_stamp
from touchstone.reproduce.project import Variant
from touchstone.reproduce.register import read_register

ARTEFACTS = {"ledger.json": b"{}", "error.svg": b"<svg/>", "machine/run.json": b"{}"}


@pytest.fixture
def fresh(collection):
    """A notebook that reaches one module through another, with the results and the stamp of a run."""
    collection.module("touchstone.deep", "x = 1")
    collection.module("touchstone.near", "def f():\n    from touchstone import deep\n")
    collection.module("touchstone.unrelated", "x = 1")
    collection.add("paper", "from touchstone.near import f")
    run(collection)
    assert reason(collection) is None
    return collection


def plan(collection, variant=None):
    [paper] = read_register(collection.project).values()
    planner = Planner(collection.project, variant or Variant())
    try:
        return planner.plan(paper)
    finally:
        planner.close()


def reason(collection, variant=None):
    return plan(collection, variant).stale


def run(collection, variant=None):
    """Leave what a run would leave."""
    variant = variant or Variant()
    folder = variant.outputs(collection.project) / "paper"
    for name, content in ARTEFACTS.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    stamp = stamp_file(collection.project, variant, "paper")
    write_stamp(stamp, plan(collection, variant).inputs, ARTEFACTS, 1.0)


def edit(collection, change):
    path = collection.notebook("paper")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content, indent=3))


def test_a_fresh_clone_has_no_stamps(collection):
    collection.add("paper")
    assert reason(collection) == "it has not been run here"


def test_prose_tags_outputs_and_counts_do_not_matter(fresh):
    def change(content):
        content["cells"][0]["source"] = "# Another title"
        content["cells"].insert(1, {"cell_type": "markdown", "id": "new", "metadata": {}, "source": "more"})
        for cell in content["cells"]:
            if cell["cell_type"] == "code":
                cell["metadata"].setdefault("tags", []).append("hide-input")
                cell["execution_count"] = 7
                cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hello"}]
        content["metadata"]["kernelspec"]["name"] = "another"

    edit(fresh, change)
    assert reason(fresh) is None


def test_a_source_stored_as_lines_is_the_same_source(fresh):
    def change(content):
        for cell in content["cells"]:
            cell["source"] = cell["source"].splitlines(keepends=True)

    edit(fresh, change)
    assert reason(fresh) is None


def test_an_unrelated_module_does_not_matter(fresh):
    fresh.module("touchstone.unrelated", "x = 2")
    fresh.module("touchstone.added", "x = 2")
    assert reason(fresh) is None


def test_code_matters(fresh):
    edit(fresh, lambda content: content["cells"][2].update(source="from touchstone.near import f  # really"))
    assert reason(fresh) == "its code changed"


def test_the_order_of_cells_matters(fresh):
    def swap(content):
        cells = content["cells"]
        cells[1], cells[2] = cells[2], cells[1]

    edit(fresh, swap)
    assert reason(fresh) == "its code changed"


def test_where_a_cell_ends_matters(collection):
    collection.add("paper", "a = 1", "b = 2")
    run(collection)
    collection.write("paper", json.loads(collection.notebook("paper").read_text()))
    assert reason(collection) is None
    edit(
        collection,
        lambda content: (content["cells"].pop(3), content["cells"][2].update(source="a = 1\nb = 2")),
    )
    assert reason(collection) == "its code changed"


@pytest.mark.parametrize("module", ["near", "deep"])
def test_a_module_reached_directly_or_through_another_matters(fresh, module):
    path = fresh.root / "lib" / "touchstone" / f"{module}.py"
    path.write_text(path.read_text() + "\n# edited\n")
    assert reason(fresh) == f"touchstone.{module} changed"


def test_the_package_file_matters(fresh):
    (fresh.root / "lib" / "touchstone" / "__init__.py").write_text('"""New."""\n')
    assert reason(fresh) == "touchstone changed"


def test_a_module_newly_reached_matters(fresh):
    fresh.module("touchstone.near", "def f():\n    from touchstone import deep, unrelated\n")
    assert reason(fresh) == "touchstone.near changed, and 1 more"


def test_pinned_versions_matter(fresh):
    (fresh.root / "requirements.lock").write_text("numpy==2.5.0\n")
    assert reason(fresh) == "the pinned versions changed"


def test_each_variant_has_its_own_stamp(fresh):
    assert reason(fresh, Variant("quick")) == "it has not been run here"
    assert reason(fresh, Variant(seed=1)) == "it has not been run here"
    assert reason(fresh, Variant(device="cpu")) == "its parameters changed"
    run(fresh, Variant("quick"))
    assert reason(fresh, Variant("quick")) is None
    assert reason(fresh) is None


def test_an_artefact_that_is_missing_or_edited_matters(fresh):
    figure = fresh.root / "figures" / "paper" / "error.svg"
    figure.write_bytes(b"<svg>edited</svg>")
    assert reason(fresh) == "figures/paper/error.svg was changed by hand"
    figure.unlink()
    assert reason(fresh) == "figures/paper/error.svg is missing"
    run(fresh)
    assert reason(fresh) is None


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "{}", '{"format": 1}', '{"format": 0, "inputs": {}, "artefacts": {}}']
)
def test_a_damaged_stamp_is_no_stamp(fresh, damage):
    stamp = stamp_file(fresh.project, Variant(), "paper")
    stamp.write_text(damage)
    assert read_stamp(stamp) is None
    assert reason(fresh) == "it has not been run here"


def test_a_broken_notebook_is_its_own_failure(fresh):
    edit(fresh, lambda content: content["cells"][2].update(source="x = = 1"))
    judged = plan(fresh)
    assert judged.broken.startswith("cell 3, line 1")
    assert judged.stale
    fresh.notebook("paper").write_text("{")
    assert "not valid JSON" in plan(fresh).broken


def test_a_pinned_file_that_cannot_be_read(collection):
    collection.add("paper")
    (collection.root / "requirements.lock").unlink()
    (collection.root / "requirements.lock").mkdir()
    with pytest.raises(ReproductionError, match=r"requirements\.lock cannot be read"):
        Planner(collection.project, Variant())


def test_the_judge_of_another_variant_reads_nothing_again(fresh, monkeypatch):
    [paper] = read_register(fresh.project).values()
    first = Planner(fresh.project, Variant())
    judged = first.plan(paper)
    monkeypatch.setattr("touchstone.reproduce.plan.read_notebook", lambda path: pytest.fail("read again"))
    monkeypatch.setattr("touchstone.reproduce.plan.imports_of", lambda tree: pytest.fail("read again"))
    other = Planner(fresh.project, Variant(seed=3), like=first).plan(paper)
    assert judged.stale is None
    assert other.stale == "it has not been run here"
    assert {**judged.inputs, "parameters": other.inputs["parameters"]} == other.inputs
    assert other.inputs["parameters"]["seed"] == 3
