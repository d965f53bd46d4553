"""The rules of the house: what may import what, what may lie where."""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "wsss_lib"

# Each floor imports from itself and from those before it.
FLOORS = [
    ["data"],
    ["learning"],
    ["methods", "toy"],
    ["pipeline"],
    ["recipes", "commands", "cli", "exits", "__main__"],
    ["book"],
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
FILES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts): file
    for file in PACKAGE.rglob("*.py")
    if file.parent != PACKAGE or file.stem != "__init__"
}
MODULES = sorted(FILES)
METHODS = [name for name in MODULES if name.startswith("methods.")]

MEGABYTES = 2
TEXT = {
    ".py",
    ".md",
    ".toml",
    ".yml",
    ".yaml",
    ".txt",
    ".cfg",
    ".json",
    ".ipynb",
    ".bib",
    ".css",
    ".js",
    ".svg",
    "",
}


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"), str(file))


def imports(file: Path) -> set[str]:
    """The dotted names that a file imports, ``from a import b`` as ``a.b``."""
    found = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def floors(file: Path) -> set[str]:
    """The parts of the package that a file imports: folders, and modules beside them."""
    parts = [name.split(".") for name in imports(file)]
    return {part[1] for part in parts if part[0] == "wsss_lib" and len(part) > 1} & set(FLOOR)


def calls(file: Path) -> set[str]:
    """The last names of everything that a file calls."""
    functions = [node.func for node in ast.walk(tree(file)) if isinstance(node, ast.Call)]
    return {getattr(function, "attr", getattr(function, "id", "")) for function in functions}


def committed() -> list[Path]:
    """The files of the repository: those that git tracks or would."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in names.split("\0") if name and (ROOT / name).is_file()]


# imports


def test_the_reader_of_imports_reads_every_form(tmp_path):
    file = tmp_path / "a.py"
    file.write_text(
        "import wsss_lib.methods.cam\nfrom wsss_lib import toy\n"
        "from wsss_lib.data.maps import load_map as r\ndef f():\n    from wsss_lib import book\n"
    )
    assert floors(file) == {"methods", "toy", "data", "book"}


def test_every_part_of_the_package_has_a_floor():
    assert {name.partition(".")[0] for name in MODULES} == set(FLOOR)


def test_nothing_is_imported_by_a_relative_name():
    found = [
        (name, node.lineno)
        for name in MODULES
        for node in ast.walk(tree(FILES[name]))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not found


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_downwards(module):
    own = FLOOR[module.partition(".")[0]]
    above = {other for other in floors(FILES[module]) if FLOOR[other] > own}
    assert not above, f"{module} imports {sorted(above)} from above"


@pytest.mark.parametrize("module", MODULES)
def test_the_package_stands_alone(module):
    outside = {name.split(".")[0] for name in imports(FILES[module])}
    assert not outside & {"book", "data_scripts", "tests", "pytest", "nbval"}


def test_the_package_imports_nothing_of_its_own_at_its_door():
    assert not floors(PACKAGE / "__init__.py")


@pytest.mark.parametrize("module", METHODS)
def test_a_method_takes_and_gives_tensors(module):
    """No disk, no printing, no argument parsing."""
    file = FILES[module]
    assert not calls(file) & {"print", "open", "read_text", "write_text", "save", "load"}
    libraries = {name.split(".")[0] for name in imports(file)}
    assert not libraries & {"argparse", "tyro", "tqdm", "pathlib", "os", "matplotlib"}


def test_there_is_one_training_loop():
    loops = [module for module in MODULES if "backward" in calls(FILES[module])]
    assert loops == ["learning.training"], f"{loops} call backward()"


def test_no_class_variable_is_without_a_type():
    """Python 3.10 cannot read ``ClassVar`` alone where annotations are text, and no command would start."""
    bare = [
        (name, node.lineno)
        for name in MODULES
        for node in ast.walk(tree(FILES[name]))
        if isinstance(node, ast.AnnAssign) and getattr(node.annotation, "id", "") == "ClassVar"
    ]
    assert not bare


# names and files


def test_no_file_is_named_after_nothing():
    forbidden = re.compile(r"(^|_)(utils?|misc|helpers?|common|stuff|tools)(_|$)")
    assert not [file for file in committed() if forbidden.search(file.stem.lower())]


def test_the_top_level_holds_what_was_agreed():
    agreed = {"book", "wsss_lib", "data_scripts", "tests", ".ci", ".github", ".gitignore"}
    agreed |= {"_config.yml", "_toc.yml", "requirements.txt", "README.md", "pyproject.toml"}
    agreed |= {"Makefile", "LICENSE", "MANIFEST.in", "CITATION.cff"}
    assert {file.relative_to(ROOT).parts[0] for file in committed()} <= agreed


def test_no_file_is_large():
    large = [file for file in committed() if file.stat().st_size > MEGABYTES * 2**20]
    assert not large, f"over {MEGABYTES} MB: {large}"


def test_no_absolute_paths():
    pattern = re.compile(
        r"(?<![\w.:/~}>-])/(home|root|work|tmp|Users|mnt|media|scratch)/\w|[A-Z]:\\\w"
    )
    here = Path(__file__).resolve()
    found = []
    for file in committed():
        chapter = file.suffix == ".ipynb"  # has this as a rule of its own
        if file.suffix in TEXT and not chapter and file.resolve() != here:
            text = file.read_text(encoding="utf-8")
            found += [f"{file.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert not found


# the commands that are promised


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def promised(file: Path) -> set[str]:
    """The ``make`` targets that a page tells its readers to use: in code, alone or at the start of a line."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        text = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    return set(re.findall(r"(?:^|`)\s*\$?\s*make ([a-z]+)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("page", ["README.md", "book/intro.md"])
def test_the_first_pages_name_commands(page):
    assert promised(ROOT / page)


def test_every_promised_command_exists():
    pages = [ROOT / "README.md", *ROOT.glob("book/*.md"), *ROOT.glob("book/*.ipynb")]
    wrong = {page.name: promised(page) - targets() for page in pages}
    assert not {name: commands for name, commands in wrong.items() if commands}


def test_ci_runs_the_command_of_the_readme():
    assert "test" in promised(ROOT / "README.md")
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[-1] == "make test"
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "tests.yml").read_text()


# what is installed: more in test_packaging.py


def test_no_registry_has_an_address_here():
    """Every machine has its own registries; a file that names one breaks the others."""
    pattern = re.compile(r"(index-url|extra-index|find-links|pypi\.org|download\.pytorch)")
    names = (
        "requirements.txt",
        "pyproject.toml",
        "Makefile",
        ".ci/run",
        ".github/workflows/tests.yml",
    )
    files = [ROOT / name for name in names]
    assert not [file for file in files if pattern.search(file.read_text())]
