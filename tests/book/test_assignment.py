"""Assignments: no solution leaks, and no blank or spoilt work passes."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"


def script():
    spec = importlib.util.spec_from_file_location("book_assignment", BOOK / "assignment.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


assignment = script()
TEXT = """## Exercises

### Exercise 2.1 (recall): Why?

Why?

<details><summary>Solution</summary>

SECRET

</details>"""


@pytest.fixture
def chapter():
    """A chapter with a question, and with an exercise whose check is in the notebook."""
    code = "# @title Solution\nSECRET = 4\ncheck_double(lambda x: 2 * x)"
    cells = [
        new_markdown_cell("# Title\n\nText."),
        new_code_cell("import torch", outputs=[], execution_count=1),
        new_markdown_cell(TEXT),
        new_markdown_cell("### Exercise 2.2 (apply): Double\n\nDouble it."),
        new_code_cell("# a start"),
        new_code_cell(code, execution_count=2),
        new_markdown_cell("Now you know.\n\n## Further reading\n\nMuch."),
    ]
    return new_notebook(cells=cells)


@pytest.fixture
def made(chapter, tmp_path, monkeypatch):
    """Its assignment, with a check that a kernel in a folder of its own can import."""
    package = tmp_path / "wsss_lib" / "book" / "checks"
    package.mkdir(parents=True)
    (package / "chapter2.py").write_text(
        "def check_double(f):\n    assert f is not ..., 'no answer yet'\n    assert f(3) == 6, 'not twice'\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return assignment.assignment(chapter)


def sources(notebook):
    return "\n".join(cell.source for cell in notebook.cells)


def test_the_solutions_are_gone_and_the_rest_is_there(chapter, made):
    text = sources(made)
    assert "SECRET" not in text and "@title" not in text and "details" not in text
    for kept in ("# Title", "Why?", "Double it.", "# a start", "Now you know.", "Much."):
        assert kept in text
    assert "SECRET" in sources(chapter)  # which is left as it was


def test_there_is_a_place_for_every_answer(made):
    ids = [cell["id"] for cell in made.cells if "nbgrader" in cell.metadata]
    assert ids == ["answer_2_1", "answer_2_2", "check_2_2"]
    by_id = {cell["id"]: cell for cell in made.cells}
    assert by_id["answer_2_1"].cell_type == "markdown"
    assert by_id["answer_2_1"].metadata["nbgrader"]["grade"]
    assert by_id["answer_2_2"].source.endswith("answer_2_2 = ...")
    assert by_id["check_2_2"].source.endswith("check_double(answer_2_2)")
    assert by_id["check_2_2"].metadata["nbgrader"]["locked"]
    order = [cell["id"] for cell in made.cells]
    assert order.index("answer_2_1") < order.index("answer_2_2")
    assert sources(made).index("# a start") < sources(made).index("answer_2_2")


def test_nothing_is_executed_in_it(made):
    assert all(not cell.outputs and cell.execution_count is None for cell in made.cells
               if cell.cell_type == "code")  # fmt: skip
    nbformat.validate(made)


def handed_in(made, answer, **changes):
    """The assignment with an answer."""
    notebook = nbformat.from_dict(made)
    for cell in notebook.cells:
        cell.source = cell.source.replace("answer_2_2 = ...", answer)
        cell.source = changes.get(cell["id"], cell.source)
    return notebook


@pytest.mark.parametrize(
    "answer, said",
    [
        ("def f(x):\n    return x + x\n\nanswer_2_2 = f", ""),
        ("answer_2_2 = ...", "AssertionError: no answer yet"),
        ("answer_2_2 = lambda x: 3 * x", "AssertionError: not twice"),
        ("1 / 0\nanswer_2_2 = lambda x: 2 * x", "NameError"),
        ("", "NameError"),
    ],
)
def test_grading(made, tmp_path, answer, said):
    results = assignment.grade(handed_in(made, answer), made, tmp_path)
    assert list(results) == ["2.2"]
    assert results["2.2"].startswith(said) and bool(results["2.2"]) is bool(said)


def test_a_spoilt_check_helps_nobody(made, tmp_path):
    passed = handed_in(
        made, "answer_2_2 = ...", check_2_2="check_double = print\ncheck_double(answer_2_2)"
    )
    assert "no answer yet" in assignment.grade(passed, made, tmp_path)["2.2"]
    gone = handed_in(made, "answer_2_2 = ...")
    gone.cells = [cell for cell in gone.cells if cell["id"] != "check_2_2"]
    assert "no answer yet" in assignment.grade(gone, made, tmp_path)["2.2"]


def test_ids_may_get_lost(made, tmp_path):
    """As when a notebook was edited on Colab."""
    notebook = handed_in(made, "answer_2_2 = lambda x: 2 * x")
    for cell in notebook.cells:
        del cell["id"]
        cell.metadata.pop("nbgrader", None)
    assert assignment.grade(notebook, made, tmp_path) == {"2.2": ""}


@pytest.mark.parametrize("file", sorted(BOOK.glob("0[1-9]-*.ipynb")), ids=lambda file: file.stem)
def test_no_chapter_leaks(file):
    chapter = nbformat.read(file, as_version=4)
    made = assignment.assignment(chapter)
    text = sources(made)
    assert "@title Solution" not in text and "<summary>Solution" not in text
    solutions = [cell.source for cell in chapter.cells if cell.source.startswith("# @title")]
    for solution in solutions:
        for line in solution.split("\n")[1:]:
            long = len(line.strip()) > 30 and not re.match(r"\s*(from|import|def|for|#) ?", line)
            told = sum(line in cell.source for cell in chapter.cells)
            assert not (long and told == 1 and line in text), line
    asked = {match.groups()[:2] for cell in chapter.cells
             for match in assignment.HEADING.finditer(cell.source)}  # fmt: skip
    places = {tuple(cell["id"].split("_")[1:]) for cell in made.cells if "answer_" in cell["id"]}
    assert places == asked
    nbformat.validate(made)
