"""What a committed chapter has to fulfil. A rule takes a notebook and returns what is wrong with it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
STATE = "application/vnd.jupyter.widget-state+json"
VIEW = "application/vnd.jupyter.widget-view+json"
IMAGES = ("image/png", "image/jpeg", "image/webp", "image/svg+xml", "image/gif")
TAGS = {"hide-cell", "hide-input", "hide-output", "nbval-ignore-output", "nbval-check-output"}
TAGS |= {"explorer", "remove-output", "remove-input", "remove-cell"}
SIZE = 1_000_000  # bytes
LINES = 30  # of a code cell that a reader sees; the rule of thumb for writers is 20
ABSOLUTE = re.compile(
    r"(?<![\w.:/~}>-])/(home|root|work|tmp|Users|mnt|media|scratch|content)/\w|(?<![A-Za-z])[A-Z]:\\(?!n)\w\w"
)
EXERCISE = re.compile(r"(?m)^### Exercise ([\w]+)\.(\d+) \((recall|apply|explore|research)\): \S")
ANY_EXERCISE = re.compile(r"(?m)^#+ *Exercise\b[^\n]*")
SOLUTION = "# @title Solution"
FOLDED = re.compile(
    r"<details>\s*<summary>\s*(Solution|Hints?)\s*</summary>\n\n.+?\n\n</details>", re.DOTALL
)
SECTIONS = (
    "Where paper and code disagree",
    "What goes wrong",
    "Key points",
    "Exercises",
    "Further reading",
)


@dataclass
class Notebook:
    """A chapter as it lies in the repository."""

    name: str
    text: str
    cells: list[dict] = field(default_factory=list)
    metadata: dict = field(default_factory=dict)

    def __post_init__(self):
        content = json.loads(self.text)
        self.cells, self.metadata = content["cells"], content["metadata"]

    @classmethod
    def read(cls, file: Path) -> Notebook:
        """The notebook in a file."""
        return cls(file.name, file.read_text(encoding="utf-8"))

    def code(self) -> list[dict]:
        """The code cells."""
        return [cell for cell in self.cells if cell["cell_type"] == "code"]

    def prose(self) -> str:
        """The text of all Markdown cells."""
        cells = [source(cell) for cell in self.cells if cell["cell_type"] == "markdown"]
        return "\n\n".join(cells)

    def number(self) -> int | None:
        """Of the chapter; None for the appendix."""
        found = re.match(r"(\d\d)-", self.name)
        return int(found[1]) if found else None

    def teaches(self) -> bool:
        """Whether it is one of the chapters 1 to 8, which derive and prove a method."""
        return (self.number() or 99) <= 8


def source(cell: dict) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


def tags(cell: dict) -> list[str]:
    """The tags of a cell."""
    return cell["metadata"].get("tags", [])


def outputs(notebook: Notebook):
    """Every output with its cell."""
    return [(cell, output) for cell in notebook.code() for output in cell["outputs"]]


def text_of(output: dict) -> str:
    """What an output says in letters."""
    data = output.get("data", {})
    parts = [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
    return "\n".join("".join(part) for part in parts)


def first_line(cell: dict) -> str:
    """The first line of a cell, to name it by."""
    return source(cell).strip().split("\n", 1)[0][:70]


# execution


def executed_in_order(notebook: Notebook) -> list[str]:
    """Every code cell was run once, from top to bottom in a fresh kernel."""
    counts = [cell["execution_count"] for cell in notebook.code()]
    if counts != list(range(1, len(counts) + 1)):
        return [f"the cells were executed as {counts}"]
    return [] if counts else ["no code"]


def no_errors(notebook: Notebook) -> list[str]:
    """No cell ended with an exception, and none wrote to stderr."""
    wrong = []
    for cell, output in outputs(notebook):
        if output["output_type"] == "error":
            wrong.append(f"{first_line(cell)}: {output['ename']}")
        if output.get("name") == "stderr":
            wrong.append(f"{first_line(cell)}: writes to stderr: {text_of(output)[:80]}")
    return wrong


def no_cell_is_skipped(notebook: Notebook) -> list[str]:
    """The tags are known ones, and none of them keeps a cell from being run in the tests."""
    wrong = []
    for cell in notebook.cells:
        unknown = set(tags(cell)) - TAGS
        wrong += [f"{first_line(cell)}: tag {tag}" for tag in sorted(unknown)]
        if re.search(r"#\s*NBVAL_\w*(SKIP|RAISES)", source(cell)):
            wrong.append(f"{first_line(cell)}: is skipped")
    return wrong


def widgets_have_their_state(notebook: Notebook) -> list[str]:
    """What shows a widget in the page is in the notebook; a cell with one is tagged."""
    state = notebook.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    wrong = []
    for cell, output in outputs(notebook):
        if VIEW not in output.get("data", {}):
            continue
        if output["data"][VIEW]["model_id"] not in state:
            wrong.append(f"{first_line(cell)}: the state of its widget is missing")
        if not {"explorer", "nbval-ignore-output"} <= set(tags(cell)):
            wrong.append(f"{first_line(cell)}: needs the tags explorer and nbval-ignore-output")
    return wrong


def small(notebook: Notebook) -> list[str]:
    """Under a megabyte."""
    size = len(notebook.text.encode())
    return [f"{size} bytes"] if size >= SIZE else []


def of_no_machine(notebook: Notebook) -> list[str]:
    """No path of somebody's machine, in code, text or output."""
    texts = [source(cell) for cell in notebook.cells]
    texts += [text_of(output) for _, output in outputs(notebook)]
    return [match[0] for text in texts for match in ABSOLUTE.finditer(text)]


def readable_cells(notebook: Notebook) -> list[str]:
    """Cells that one can take in at a glance."""
    cells = [cell for cell in notebook.code() if not {"hide-input", "hide-cell"} & set(tags(cell))]
    lengths = {first_line(cell): source(cell).count("\n") + 1 for cell in cells}
    return [f"{line}: {length} lines" for line, length in lengths.items() if length > LINES]


# pictures


def alt_texts(notebook: Notebook) -> list[str]:
    """Every picture says in words what it shows."""
    wrong = []
    for cell, output in outputs(notebook):
        alt = cell["metadata"].get("mystnb", {}).get("image", {}).get("alt", "")
        if set(IMAGES) & set(output.get("data", {})) and len(alt.strip()) < 10:
            wrong.append(f"{first_line(cell)}: a picture without alt text")
        for tag in re.findall(r"<img\b[^>]*>", text_of(output)):
            if not re.search(r'\balt="[^"]+"', tag):
                wrong.append(f"{first_line(cell)}: an <img> without alt text")
    prose = without_code(notebook.prose())
    wrong += [f"{match[0]}: no alt text" for match in re.finditer(r"!\[\s*\]\([^)]*\)", prose)]
    return wrong


def figures(notebook: Notebook) -> list[str]:
    """A numbered figure is one picture with a name and a caption."""
    wrong = []
    for cell in notebook.code():
        figure = cell["metadata"].get("mystnb", {}).get("figure")
        if figure is None:
            continue
        count = sum(bool(set(IMAGES) & set(each.get("data", {}))) for each in cell["outputs"])
        if count != 1:
            wrong.append(f"{first_line(cell)}: a figure of {count} pictures")
        if not figure.get("caption", "").strip() or not figure.get("name", "").startswith("fig-"):
            wrong.append(f"{first_line(cell)}: a figure needs a caption, and a name fig-...")
    return wrong


def figure_names(notebook: Notebook) -> list[str]:
    """The names of the numbered figures."""
    figures = [cell["metadata"].get("mystnb", {}).get("figure") for cell in notebook.code()]
    return [figure["name"] for figure in figures if figure and "name" in figure]


# the shape of a chapter


def titled(notebook: Notebook) -> list[str]:
    """One title, which the table of contents numbers."""
    titles = re.findall(r"(?m)^# (.+)", without_code(notebook.prose()))
    if len(titles) != 1:
        return [f"{len(titles)} titles: {titles}"]
    return ["the title has a number of its own"] if re.match(r"(chapter )?\d", titles[0]) else []


def sections(notebook: Notebook) -> list[str]:
    """What a chapter that teaches a method consists of, in its order."""
    if not notebook.teaches():
        return []
    heads = [head.strip() for head in re.findall(r"(?m)^## (.+)", without_code(notebook.prose()))]
    wrong = [f"no section {name!r}" for name in SECTIONS if name not in heads]
    there = [head for head in heads if head in SECTIONS]
    if there != [name for name in SECTIONS if name in there]:
        wrong.append(f"sections in the order {there}")
    if "{admonition} What you will learn" not in notebook.prose():
        wrong.append("no box 'What you will learn'")
    code = [source(cell) for cell in notebook.code()]
    if not any("assert" in cell and re.search(r"allclose|equal|close\(", cell) for cell in code):
        wrong.append("nothing is asserted equal to the library")
    if not any("explorer" in tags(cell) for cell in notebook.code()):
        wrong.append("no explorer")
    return wrong


def exercises(notebook: Notebook) -> list[str]:
    """Four to six, numbered, each with a folded solution; two or more call a check."""
    if notebook.number() is None:
        return []
    parts = exercise_parts(notebook)
    heads = [head for head, _ in parts]
    wrong = [f"malformed heading: {head}" for head in heads if not EXERCISE.match(head)]
    numbers = [match.groups()[:2] for head in heads if (match := EXERCISE.match(head))]
    expected = [(str(notebook.number()), str(each)) for each in range(1, len(heads) + 1)]
    if numbers != expected:
        wrong.append(f"numbered {['.'.join(number) for number in numbers]}")
    if not 4 <= len(heads) <= 6:
        wrong.append(f"{len(heads)} exercises")
    checks = set()
    for head, cells in parts:
        solved = [cell for cell in cells if source(cell).startswith(SOLUTION)]
        texts, open_ended = [source(cell) for cell in cells], "(research)" in head
        checks |= {
            name for cell in solved for name in re.findall(r"\bcheck_\w+(?=\()", source(cell))
        }
        folded = any(
            open_ended or found[1] == "Solution" for found in map(FOLDED.search, texts) if found
        )
        if not solved and not folded:
            wrong.append(f"{head}: no folded solution")
        if any("hide-cell" not in tags(cell) for cell in solved):
            wrong.append(f"{head}: the solution is not folded")
    if len(checks) < 2:
        wrong.append(f"calls {len(checks)} checks")
    return wrong


def exercise_parts(notebook: Notebook) -> list[tuple[str, list[dict]]]:
    """The heading of each exercise and the cells that belong to it, its own among them."""
    parts = []
    for cell in notebook.cells:
        text = source(cell)
        heads = ANY_EXERCISE.findall(text) if cell["cell_type"] == "markdown" else []
        if heads:
            pieces = re.split(r"(?m)(?=^#+ *Exercise\b)", text)[-len(heads) :]
            parts += [(head, [{**cell, "source": [piece]}]) for head, piece in zip(heads, pieces)]
        elif parts:
            if cell["cell_type"] == "markdown" and re.search(r"(?m)^## ", text):
                break
            parts[-1][1].append(cell)
    return parts


# text


def without_code(text: str) -> str:
    """Markdown without its blocks and spans of code."""
    text = re.sub(r"(?ms)^(`{3,})(?!\{).*?^\1\s*$", "", text)
    return re.sub(r"(?<![}`])(`+)(?!`)[^`\n]+?\1", "", text)


def cited(text: str) -> set[str]:
    """The keys that a text cites."""
    roles = re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
    return {key.strip() for role in roles for key in role.split(",")}


def bibliography() -> set[str]:
    """The keys of the bibliography."""
    return set(re.findall(r"(?m)^@\w+\{([^,\s]+),", (BOOK / "references.bib").read_text("utf-8")))


def labels(text: str) -> set[str]:
    """What can be referred to in a text: its equations and its places."""
    equations = re.findall(r"\$\$[ \t]*\(([\w-]+)\)", text)
    places = re.findall(r"(?m)^\(([\w-]+)\)=\s*$", text)
    named = re.findall(r"(?m)^:(?:name|label):\s*([\w-]+)", text)
    return {*equations, *places, *named}


def referred(text: str) -> set[str]:
    """The names that a text refers to."""
    found = re.findall(r"\{(?:eq|numref|ref|math:numref)\}`(?:[^`<]*<)?([\w-]+)>?`", text)
    return set(found)


def linked(text: str) -> set[str]:
    """The files that a text links to."""
    found = re.findall(r"\]\((?!https?:|mailto:|#)([^)\s#]+)", without_code(text))
    return {link for link in found if not link.startswith("attachment:")}


RULES = (
    executed_in_order,
    no_errors,
    no_cell_is_skipped,
    widgets_have_their_state,
    small,
    of_no_machine,
    readable_cells,
    alt_texts,
    figures,
    titled,
    sections,
    exercises,
)
