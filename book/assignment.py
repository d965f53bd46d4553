"""Makes an assignment of a chapter: its exercises without their solutions. And grades what comes back.

    .venv/bin/python book/assignment.py make 02 homework.ipynb
    .venv/bin/python book/assignment.py grade 02 handed-in/*.ipynb

Whoever does the exercises writes into the cells ``answer_2_1 = ...``. Grading runs a notebook from
top to bottom, with the cells that check taken from the chapter and not from what was handed in. Run
it where running the code of others may do no harm. The cells carry the marks of nbgrader as well:
with it, ``homework.ipynb`` is the release version.
"""

import argparse
import copy
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_markdown_cell

BOOK = Path(__file__).parent
SOLUTION = "# @title Solution"
HEADING = re.compile(r"(?m)^### Exercise (\w+)\.(\d+) \((\w+)\)")
FOLDED = re.compile(r"\n*<details>.*?</details>\n*", re.DOTALL)
CHECKS_ANSWER = re.compile(r"(?m)^check_\w+\(answer_\w+\)")
CHECK = re.compile(r"\b(check_\w+)\(")
POINTS = {"recall": 1, "apply": 2, "explore": 3, "research": 4}
ANSWER = """\
# Your answer: the function or the number, in place of the dots.
answer_{id} = ..."""
CHECKED = """\
from wsss_lib.book.checks.chapter{chapter} import {check}

{check}(answer_{id})"""
WRITTEN = "*Your answer to exercise {name}, in place of this line.*"


def mark(cell: nbformat.NotebookNode, id: str, points: int, **kind: bool) -> nbformat.NotebookNode:
    """A cell with the marks by which nbgrader knows it."""
    marks = {"schema_version": 3, "grade_id": id, "task": False, "points": points, **kind}
    if not kind["grade"]:
        del marks["points"]
    cell.metadata["nbgrader"] = marks
    cell["id"] = id
    return cell


def answers(chapter: str, number: str, kind: str, checks: list[str]) -> list[nbformat.NotebookNode]:
    """The cells that take the place of a solution: for an answer, and for what checks it."""
    id, points = f"{chapter}_{number}", POINTS[kind]
    if not checks:
        text = new_markdown_cell(WRITTEN.format(name=f"{chapter}.{number}"))
        return [mark(text, f"answer_{id}", points, grade=True, solution=True, locked=False)]
    code = CHECKED.format(chapter=chapter, check=checks[0], id=id)
    return [
        mark(
            new_code_cell(ANSWER.format(id=id)),
            f"answer_{id}",
            0,
            grade=False,
            solution=True,
            locked=False,
        ),
        mark(new_code_cell(code), f"check_{id}", points, grade=True, solution=False, locked=True),
    ]


def assignment(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A chapter without outputs, and its exercises without solutions."""
    made = copy.deepcopy(notebook)
    made.metadata.pop("widgets", None)
    made.cells, exercise, checks = [], None, []

    def close() -> None:
        if exercise:
            made.cells.extend(answers(*exercise, checks))

    for cell in copy.deepcopy(notebook.cells):
        if cell.cell_type == "code":
            if cell.source.startswith(SOLUTION):
                checks += CHECK.findall(cell.source)
                continue
            cell.outputs, cell.execution_count = [], None
            made.cells.append(cell)
            continue
        for piece in re.split(r"(?m)(?=^##+ )", cell.source):
            if re.match("##+ ", piece):
                close()
                found = HEADING.match(piece)
                exercise, checks = (found.groups() if found else None), []
            text = FOLDED.sub("\n\n", piece).strip() if exercise else piece.strip()
            if text:
                made.cells.append(new_markdown_cell(text))
    close()
    for number, cell in enumerate(made.cells, start=1):
        cell["id"] = cell["id"] if "nbgrader" in cell.metadata else f"cell-{number}"
    return made


def grade(handed_in: nbformat.NotebookNode, made: nbformat.NotebookNode, folder: Path) -> dict:
    """What each check says of a notebook: nothing if the answer is right, or else its hint.

    Args:
        handed_in: what the learner has made of the assignment.
        made: the assignment; its checks run after all that was handed in, whatever became of them there.
        folder: where the notebook runs.
    """
    checks = [cell for cell in made.cells if cell["id"].startswith("check_")]
    own = [
        cell
        for cell in handed_in.cells
        if cell.cell_type == "code" and not CHECKS_ANSWER.search(cell.source)
    ]
    notebook = copy.deepcopy(made)
    notebook.cells = [new_code_cell(cell.source) for cell in [*own, *checks]]
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook, timeout=900, kernel_name="python3", allow_errors=True, resources=resources
    )
    client.execute()
    results = {}
    for check, cell in zip(checks, notebook.cells[len(own) :]):
        errors = [output for output in cell.outputs if output.output_type == "error"]
        said = f"{errors[0].ename}: {errors[0].evalue}" if errors else ""
        results[check["id"].removeprefix("check_").replace("_", ".")] = said
    return results


def chapter_file(prefix: str) -> Path:
    """The chapter whose name begins so."""
    files = sorted(BOOK.glob(f"{prefix}*.ipynb"))
    if len(files) != 1:
        sys.exit(f"{len(files)} chapters begin with {prefix}")
    return files[0]


def main() -> None:
    """Makes an assignment, or grades."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["make", "grade"])
    parser.add_argument("chapter", help="how the name of the chapter begins: 02")
    parser.add_argument("files", nargs="+", type=Path)
    given = parser.parse_args()
    file = chapter_file(given.chapter)
    made = assignment(nbformat.read(file, as_version=4))
    if given.what == "make":
        nbformat.write(made, given.files[0])
        return
    for handed_in in given.files:
        results = grade(nbformat.read(handed_in, as_version=4), made, file.parent)
        right = sum(not said for said in results.values())
        print(f"{handed_in}: {right} of {len(results)}")
        for exercise, said in results.items():
            print(f"    {exercise}  {said or 'right'}")


if __name__ == "__main__":
    main()
