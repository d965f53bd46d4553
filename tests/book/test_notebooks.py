"""The committed chapters: executed, whole, small, readable for everybody, and in step with the other pages."""

import copy
import importlib.util
import json
import re
from collections import Counter
from functools import cache

import pytest
import yaml

from tests.book import notebook_rules as rules
from tests.book.formulas import formulas, symbols, symbols_of
from tests.book.notebook_rules import BOOK, ROOT, Notebook

FILES = sorted(BOOK.glob("*.ipynb"))
CHAPTERS = "01-problem 02-cam 03-climbing 04-regularization 05-seeds 06-threshold 07-conditioning"
CHAPTERS = [*CHAPTERS.split(), "08-segmentation", "09-full-scale", "A-disagreements"]
PAGES = ["intro", "notation", "glossary", "bibliography", "api", "promises", "instructors"]


def book_script(name):
    spec = importlib.util.spec_from_file_location(f"book_{name}", BOOK / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def notebook(request):
    return Notebook.read(request.param)


@cache
def texts() -> dict[str, str]:
    """The prose of every page, by its name."""
    pages = {file.name: file.read_text(encoding="utf-8") for file in BOOK.glob("*.md")}
    captions = {}
    for file in FILES:
        chapter = Notebook.read(file)
        cells = [cell["metadata"].get("mystnb", {}).get("figure", {}) for cell in chapter.code()]
        captions[file.name] = "\n\n".join(
            [chapter.prose(), *(each.get("caption", "") for each in cells)]
        )
    return {**pages, **captions}


def toc() -> list[str]:
    table = yaml.safe_load((ROOT / "_toc.yml").read_text())
    chapters = [chapter["file"] for part in table["parts"] for chapter in part["chapters"]]
    return [table["root"], *chapters]


# the files


def test_the_table_of_contents_has_every_page_once():
    expected = [f"book/{name}" for name in [*CHAPTERS, *PAGES]]
    assert sorted(toc()) == sorted(expected)
    assert [name for name in toc() if name.split("/")[1] in CHAPTERS] == expected[: len(CHAPTERS)]


@pytest.mark.parametrize("name", [*CHAPTERS, *PAGES])
def test_every_page_is_there(name):
    files = [BOOK / f"{name}.ipynb", BOOK / f"{name}.md"]
    assert sum(file.is_file() for file in files) == 1
    assert files[name in PAGES].is_file()


def test_no_chapter_is_left_out_of_the_book():
    assert {file.stem for file in FILES} == set(CHAPTERS)


@pytest.mark.parametrize("number", range(1, 10))
def test_every_chapter_has_checks_and_they_have_tests(number):
    assert (ROOT / f"wsss_lib/book/checks/chapter{number}.py").is_file()
    assert (ROOT / f"tests/book/test_chapter{number}.py").is_file()


# each chapter


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_a_chapter_keeps_the_rule(notebook, rule):
    assert rule(notebook) == []


def test_a_chapter_begins_with_the_set_up(notebook):
    address = book_script("address")
    setup = address.setup_cell(*address.known((ROOT / "_config.yml").read_text()))
    first = notebook.code()[0]
    assert rules.source(first) == setup, "make address"
    assert rules.tags(first) == ["hide-cell"] and not first["outputs"]


def test_a_chapter_is_written_as_it_is_executed(notebook):
    """`make execute` would not change how it is written."""
    execute = book_script("execute")
    import nbformat

    assert execute.stable(nbformat.reads(notebook.text, as_version=4)) == notebook.text


def test_symbols_are_explained(notebook):
    known = symbols_of((BOOK / "notation.md").read_text(encoding="utf-8"))
    used = {symbol: f for f in formulas(texts()[notebook.name]) for symbol in symbols(f)}
    unknown = {symbol: used[symbol] for symbol in sorted(set(used) - known)}
    assert not unknown, "symbols that are not on the notation page, and a formula with each"


# the pages together


def test_citations_are_in_the_bibliography():
    cited = {key: name for name, text in texts().items() for key in rules.cited(text)}
    assert not {key: name for key, name in cited.items() if key not in rules.bibliography()}


def test_the_bibliography_is_complete():
    entries = (BOOK / "references.bib").read_text(encoding="utf-8").split("\n@")
    for entry in entries:
        fields = set(re.findall(r"(?m)^\s*(\w+)\s*=", entry))
        assert {"author", "title", "year"} <= fields, entry
        assert fields & {"booktitle", "journal", "institution"}, entry


def test_references_lead_somewhere():
    defined = Counter(name for text in texts().values() for name in rules.labels(text))
    defined.update(name for file in FILES for name in rules.figure_names(Notebook.read(file)))
    twice = [name for name, count in defined.items() if count > 1]
    assert not twice, "defined twice"
    for name, text in texts().items():
        assert rules.referred(text) <= set(defined), name


def test_links_between_pages_lead_somewhere():
    for name, text in texts().items():
        dead = [link for link in rules.linked(text) if not (BOOK / link).exists()]
        assert not dead, name


@pytest.mark.parametrize("page", ["intro.md", "instructors.md"])
def test_titles_and_times_are_those_of_the_chapters(page):
    text = (BOOK / page).read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| \[(\d) (.+?)\]\((\S+?)\) \|.*?\b(\d+) min", text)
    found = []
    for file in FILES:
        chapter = Notebook.read(file)
        if chapter.number():
            title = re.match("# (.+)", chapter.prose())[1]
            minutes = re.search(r"[Aa]bout (\d+)\s+minutes\s+to\s+read", chapter.prose())[1]
            found.append((str(chapter.number()), title, file.name, minutes))
    assert rows == found


def test_instructors_find_every_exercise():
    """Number, kind, title, goal and check of each, as the chapters have them."""
    page = (BOOK / "instructors.md").read_text(encoding="utf-8")
    goals = set(re.findall(r"(?m)^\| (\d[a-z]) \|", page))
    rows = re.findall(r"(?m)^\| (\d\.\d) (\w+) \| (.+?) \| (\d[a-z]) \| (?:`(\w+)`)? ?\|", page)
    listed = {number: (kind, title, check) for number, kind, title, _, check in rows}
    found = {}
    for file in FILES:
        chapter = Notebook.read(file)
        for head, cells in rules.exercise_parts(chapter) if chapter.number() else []:
            number, kind, title = re.match(r"### Exercise (\S+) \((\w+)\): (.+)", head).groups()
            solved = [
                rules.source(each)
                for each in cells
                if rules.source(each).startswith(rules.SOLUTION)
            ]
            checks = [name for each in solved for name in re.findall(r"\bcheck_\w+(?=\()", each)]
            found[number] = (kind, title, checks[0] if checks else "")
    assert listed == found
    assert {goal for *_, goal, _ in rows} == goals, (
        "a goal that no exercise tests, or the other way"
    )


# the rules themselves


def cell(kind, source, **more):
    """A cell of a notebook."""
    made = {"cell_type": kind, "metadata": {}, "source": source.splitlines(True), **more}
    if kind == "code":
        made = {"execution_count": None, "outputs": [], **made}
    return made


def stream(text, name="stdout"):
    return {"output_type": "stream", "name": name, "text": [text]}


def shown(data):
    return {"output_type": "display_data", "data": data, "metadata": {}}


def good() -> dict:
    """A small chapter that keeps every rule."""
    figure = {
        "figure": {"name": "fig-a", "caption": "A dog."},
        "image": {"alt": "a photo of a dog"},
    }
    exercises = [
        cell("markdown", f"### Exercise 2.{n} (recall): Why\n\nWhy?\n\n<details><summary>Solution"
             "</summary>\n\nBecause.\n\n</details>") for n in (1, 2)
    ]  # fmt: skip
    for n in (3, 4):
        code = f"# @title Solution\ncheck_{n}(f)"
        exercises += [
            cell("markdown", f"### Exercise 2.{n} (apply): Do\n\nDo it."),
            cell("code", "f = ..."),
            cell("code", code, metadata={"tags": ["hide-cell"]}, outputs=[stream("Right.\n")]),
        ]
    heads = (
        "## Where paper and code disagree\n\n## What goes wrong\n\n## Key points\n\n## Exercises"
    )
    state = {"state": {"widget-1": {}}, "version_major": 2, "version_minor": 0}
    cells = [
        cell("markdown", "# Title\n\n:::{admonition} What you will learn\nMuch.\n:::"),
        cell("code", "assert torch.allclose(mine, theirs)"),
        cell(
            "code", "show(figure)", metadata={"mystnb": figure}, outputs=[shown({"image/png": ""})]
        ),
        cell(
            "code",
            "explorer(...)",
            metadata={"tags": ["nbval-ignore-output", "explorer"]},
            outputs=[shown({rules.VIEW: {"model_id": "widget-1"}, "text/plain": "VBox()"})],
        ),
        cell("markdown", heads),
        *exercises,
        cell("markdown", "## Further reading"),
    ]
    for number, each in enumerate((c for c in cells if c["cell_type"] == "code"), start=1):
        each["execution_count"] = number
    return {"cells": cells, "metadata": {"widgets": {rules.STATE: state}}}


def broken(change) -> Notebook:
    """The good chapter after a change."""
    content = copy.deepcopy(good())
    change(content)
    return Notebook("02-good.ipynb", json.dumps(content))


def code(content, number):
    return [each for each in content["cells"] if each["cell_type"] == "code"][number]


def without(part):
    """Takes a part out of every Markdown cell."""

    def change(content):
        for each in content["cells"]:
            if each["cell_type"] == "markdown":
                each["source"] = ["".join(each["source"]).replace(part, "")]

    return change


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_rules_accept_a_good_chapter(rule):
    assert rule(broken(lambda content: None)) == []


BAD = {
    "not executed": (rules.executed_in_order, lambda c: code(c, 1).update(execution_count=None)),
    "executed twice": (rules.executed_in_order, lambda c: code(c, 1).update(execution_count=9)),
    "an exception": (
        rules.no_errors,
        lambda c: code(c, 1)["outputs"].append({"output_type": "error", "ename": "ValueError"}),
    ),
    "a warning": (rules.no_errors, lambda c: code(c, 1)["outputs"].append(stream("w", "stderr"))),
    "a skipped cell": (
        rules.no_cell_is_skipped,
        lambda c: code(c, 1)["metadata"].update(tags=["nbval-skip"]),
    ),
    "a mistyped tag": (
        rules.no_cell_is_skipped,
        lambda c: code(c, 1)["metadata"].update(tags=["hide_input"]),
    ),
    "a widget without state": (
        rules.widgets_have_their_state,
        lambda c: c["metadata"]["widgets"][rules.STATE]["state"].clear(),
    ),
    "no metadata of widgets": (
        rules.widgets_have_their_state,
        lambda c: c["metadata"].clear(),
    ),
    "large": (rules.small, lambda c: code(c, 1)["outputs"].append(stream("x" * 1_000_000))),
    "a path in the code": (
        rules.of_no_machine,
        lambda c: code(c, 1).update(source=['open("/' + 'home/me/x")']),
    ),
    "a path in the output": (
        rules.of_no_machine,
        lambda c: code(c, 1)["outputs"].append(stream("saved to /" + "tmp/x")),
    ),
    "a long cell": (rules.readable_cells, lambda c: code(c, 1).update(source=["1\n"] * 40)),
    "no alt text": (rules.alt_texts, lambda c: code(c, 1)["metadata"]["mystnb"].pop("image")),
    "html without alt text": (
        rules.alt_texts,
        lambda c: code(c, 1)["outputs"].append(shown({"text/html": "<img src=''>"})),
    ),
    "markdown without alt text": (
        rules.alt_texts,
        lambda c: c["cells"].append(cell("markdown", "![](a.png)")),
    ),
    "two pictures in a figure": (
        rules.figures,
        lambda c: code(c, 1)["outputs"].append(shown({"image/png": ""})),
    ),
    "no caption": (
        rules.figures,
        lambda c: code(c, 1)["metadata"]["mystnb"]["figure"].update(caption=""),
    ),
    "two titles": (rules.titled, lambda c: c["cells"].append(cell("markdown", "# More"))),
    "a numbered title": (rules.titled, lambda c: c["cells"][0].update(source=["# 2. CAM"])),
    "no limits": (rules.sections, without("## What goes wrong")),
    "no box": (rules.sections, without(":::{admonition} What you will learn")),
    "no proof": (rules.sections, lambda c: code(c, 0).update(source=["1"])),
    "no explorer": (rules.sections, lambda c: code(c, 2)["metadata"].update(tags=[])),
    "sections turned round": (
        rules.sections,
        lambda c: c["cells"].insert(0, cell("markdown", "## Further reading")),
    ),
    "an exercise without solution": (rules.exercises, without("</details>")),
    "three exercises": (rules.exercises, without("### Exercise 2.1 (recall): Why")),
    "no kind": (rules.exercises, without("(recall)")),
    "one check": (rules.exercises, lambda c: code(c, -1).update(source=[rules.SOLUTION])),
    "an open solution": (rules.exercises, lambda c: code(c, -1)["metadata"].clear()),
}


@pytest.mark.parametrize("case", BAD)
def test_the_rules_notice(case):
    rule, change = BAD[case]
    assert rule(broken(change))


def test_the_rules_read_markdown():
    text = "{cite:p}`a2020b, c2021d` {eq}`eq-x` {numref}`Figure {number} <fig-y>` `{eq}` `$q$`"
    assert rules.cited(text) == {"a2020b", "c2021d"}
    assert rules.referred(text) == {"eq-x", "fig-y"}
    assert rules.labels("$$ x $$ (eq-x)\n\n(sec-a)=\n## A\n") == {"eq-x", "sec-a"}
    assert rules.linked("[a](02-cam.ipynb#b) [c](https://d.org) [e](#f) ![g](images/h.png)") == {
        "02-cam.ipynb",
        "images/h.png",
    }


def test_the_rules_read_formulas():
    text = (
        r"Of $z_c(u)$ and $$ \hat A = \max(0, \lambda w_{\text{head}}^\top f) $$ (eq-a) cost \$5."
    )
    assert formulas(text) == [r" \hat A = \max(0, \lambda w_{\text{head}}^\top f) ", "z_c(u)"]
    assert symbols_of(text) == {"z", "c", "u", "A", "\\lambda", "w", "f"}
    assert symbols_of("`$q$` and\n```\n$r$\n```\n") == set()
    assert symbols(r"\mathcal{L} + \mathcal B") == {"\\mathcal{L}", "\\mathcal{B}"}
    assert symbols(r"\operatorname{softmax}(-U) + \sum_m \mu_m") == {"U", "m", "\\mu"}
