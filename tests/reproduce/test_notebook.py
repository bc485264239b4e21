import json

import pytest

from touchstone.reproduce.notebook import NotebookError, parse_cell, parse_notebook, read_notebook


def test_code_cells_with_their_places(make):
    notebook = parse_notebook(json.dumps(make.notebook("x = 1", "y = 2")))
    assert notebook.code == (make.parameters, "x = 1", "y = 2")
    assert notebook.positions == (2, 3, 4)
    assert not notebook.stored_outputs


def test_a_source_may_be_a_list_of_lines(make):
    content = make.notebook("x = 1\ny = 2")
    content["cells"][2]["source"] = ["x = 1\n", "y = 2"]
    assert (
        parse_notebook(json.dumps(content)).code
        == parse_notebook(json.dumps(make.notebook("x = 1\ny = 2"))).code
    )


def test_stored_outputs_are_seen(make):
    content = make.notebook("x = 1")
    content["cells"][2]["execution_count"] = 3
    assert parse_notebook(json.dumps(content)).stored_outputs


def test_lines_for_ipython_are_no_syntax_errors():
    sources = ("%matplotlib inline\nx = 1", "%%time\ny = 2", "if True:\n    !ls", "await_me = await f()")
    for source in sources:
        parse_cell(source)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "format 4"),
        ('{"nbformat": 3, "cells": []}', "format 4"),
        ('{"nbformat": 4, "cells": {}}', "format 4"),
        ('{"nbformat": 4, "cells": [3]}', "cell 1 has no cell type"),
        ('{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', "cell 1 has a source"),
        ('{"nbformat": 4, "cells": []}', "exactly one cell"),
    ],
)
def test_what_is_no_notebook(text, words):
    with pytest.raises(NotebookError, match=words):
        parse_notebook(text)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (None, "exactly one cell must carry the tag `parameters`, none does"),
        ('profile = "full"\nseed = 0', r"the parameters cell \(cell 2\) does not assign device"),
        ("", "does not assign profile, seed, device"),
    ],
)
def test_the_parameters_cell(make, parameters, words):
    content = make.notebook("x = 1", parameters=make.parameters if parameters is not None else None)
    if parameters is not None:
        content["cells"][1]["source"] = parameters
    with pytest.raises(NotebookError, match=words):
        parse_notebook(json.dumps(content))


def test_two_parameters_cells(make):
    content = make.notebook("x = 1")
    content["cells"][2]["metadata"] = {"tags": ["parameters"]}
    with pytest.raises(NotebookError, match="2 do"):
        parse_notebook(json.dumps(content))


def test_a_syntax_error_names_cell_and_line():
    with pytest.raises(NotebookError, match=r"cell 3, line 2: .*: x = = 1"):
        parse_cell("y = 1\nx = = 1", 3)
    with pytest.raises(NotebookError, match=r"cell 4.*null bytes"):
        parse_cell("x = 1\0", 4)


def test_a_missing_file_and_one_that_is_no_text(tmp_path):
    with pytest.raises(NotebookError, match="missing"):
        read_notebook(tmp_path / "none.ipynb")
    (tmp_path / "binary.ipynb").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(NotebookError, match="UTF-8"):
        read_notebook(tmp_path / "binary.ipynb")
