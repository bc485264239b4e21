import pytest

from touchstone.reproduce.errors import ReproductionError
from touchstone.reproduce.project import Project, Variant, find_project
from touchstone.reproduce.register import read_register, select, unregistered

ENTRY = """
[[paper]]
slug = "fast-attention"
title = "Fast Attention"
authors = ["A. One", "B. Two"]
year = 2023
topic = "attention"
summary = "attention in little time"
"""


def register(tmp_path, text):
    (tmp_path / "papers.toml").write_text(text, encoding="utf-8")
    return read_register(Project(tmp_path))


def test_reads_entries_in_order(tmp_path):
    papers = register(tmp_path, ENTRY + ENTRY.replace("fast-attention", "another") + 'arxiv = "2302.13214"\n')
    assert list(papers) == ["fast-attention", "another"]
    assert papers["another"].arxiv == "2302.13214"
    assert papers["fast-attention"].authors == ("A. One", "B. Two")
    assert papers["fast-attention"].notebook(Project(tmp_path)) == (
        tmp_path / "notebooks" / "attention" / "fast-attention.ipynb"
    )
    assert papers["another"].citation == "A. One and B. Two (2023). *Fast Attention*. arXiv:2302.13214."


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('slug = "fast-attention"', 'slug = "Fast Attention"', "lower-case"),
        ('slug = "fast-attention"', "", "slug is missing"),
        ('title = "Fast Attention"', 'title = " "', "not empty"),
        ('authors = ["A. One", "B. Two"]', "authors = []", "at least one"),
        ('authors = ["A. One", "B. Two"]', 'authors = "A. One"', "a list"),
        ("year = 2023", 'year = "2023"', "an integer"),
        ("year = 2023", "year = true", "an integer"),
        ('topic = "attention"', 'topic = "atention"', "Did you mean attention"),
        ('topic = "attention"', 'topic = "xyzzy"', "Topics: attention"),
        ("year = 2023", 'year = 2023\narxiv = "hep"', "arXiv identifier"),
        ("year = 2023", "year = 2023\npages = 3", "unknown field 'pages'"),
        ("[[paper]]", "[[papers]]", "nothing but"),
        ("[[paper]]", "[[paper", "not valid TOML"),
    ],
)
def test_wrong_entries_are_named(tmp_path, old, new, words):
    assert old in ENTRY
    with pytest.raises(ReproductionError, match=words.replace("[", r"\[")):
        register(tmp_path, ENTRY.replace(old, new, 1))


def test_a_slug_used_twice(tmp_path):
    with pytest.raises(ReproductionError, match="'fast-attention' is used twice"):
        register(tmp_path, ENTRY + ENTRY)


def test_no_register(tmp_path):
    with pytest.raises(ReproductionError, match="there is no register"):
        read_register(Project(tmp_path))


def test_select_keeps_order_and_drops_repetition(tmp_path):
    papers = register(tmp_path, ENTRY + ENTRY.replace("fast-attention", "another"))
    assert [paper.slug for paper in select(papers, ["another", "fast-attention", "another"])] == [
        "another",
        "fast-attention",
    ]
    assert [paper.slug for paper in select(papers, [])] == ["fast-attention", "another"]


def test_unknown_slug_with_the_nearest_one(tmp_path):
    papers = register(tmp_path, ENTRY)
    with pytest.raises(
        ReproductionError, match=r"'fast-atention' is not a paper.*Did you mean fast-attention"
    ):
        select(papers, ["fast-atention"])
    with pytest.raises(ReproductionError, match="touchstone list"):
        select(papers, ["zzz"])


def test_notebooks_without_an_entry(tmp_path):
    papers = register(tmp_path, ENTRY)
    for name in ("attention/fast-attention", "attention/stray", "privacy/fast-attention"):
        path = tmp_path / "notebooks" / f"{name}.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert unregistered(Project(tmp_path), papers) == [
        "notebooks/attention/stray.ipynb",
        "notebooks/privacy/fast-attention.ipynb",
    ]


def test_the_root_is_found_from_below_or_named(tmp_path, monkeypatch):
    root = tmp_path / "checkout"
    below = root / "notebooks" / "attention"
    below.mkdir(parents=True)
    (root / "pyproject.toml").write_text('[project]\nname = "touchstone"\n')
    monkeypatch.delenv("TOUCHSTONE_ROOT", raising=False)
    monkeypatch.chdir(below)
    assert find_project().root == root
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReproductionError, match="no touchstone collection"):
        find_project()
    assert find_project(root).root == root
    monkeypatch.setenv("TOUCHSTONE_ROOT", str(root))
    assert find_project().root == root
    with pytest.raises(ReproductionError, match="not a touchstone collection"):
        find_project(below)


@pytest.mark.parametrize(
    ("variant", "label", "evidence"),
    [
        (Variant(), "full", True),
        (Variant(device="cpu"), "full", True),
        (Variant(device="cuda"), "full-cuda", False),
        (Variant(seed=3), "full-seed3", False),
        (Variant("quick"), "quick", False),
        (Variant("quick", 2, "cpu"), "quick-seed2-cpu", False),
        (Variant("gpu"), "gpu", False),
    ],
)
def test_only_the_full_profile_with_seed_0_writes_figures(tmp_path, variant, label, evidence):
    project = Project(tmp_path)
    assert variant.label == label
    assert variant.is_the_evidence is evidence
    expected = tmp_path / "figures" if evidence else tmp_path / "build" / "runs" / label
    assert variant.outputs(project) == expected


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (("fll",), "profile='fll'"),
        (("full", -1), "seed=-1"),
        (("full", True), "seed"),
        (("full", 0, "tpu"), "tpu"),
    ],
)
def test_wrong_parameters(values, words):
    with pytest.raises(ReproductionError, match=words):
        Variant(*values)
