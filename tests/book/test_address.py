"""The public address: it stands in `_config.yml`, and everything else agrees with it."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

try:
    import tomllib
except ImportError:  # Python 3.10, where pytest brings it
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
URL, REF = "https://github.com/somebody/wsss-book", "v0.1.0"
ELSEWHERE = "https://codes.example.org/group/wsss-book"


def book_script(name):
    spec = importlib.util.spec_from_file_location(f"book_{name}", ROOT / "book" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


address = book_script("address")


def notebook(first=None, text="# Title\n\nOne sentence."):
    code = address.setup_cell("", "") if first is None else first
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": text.splitlines(True)},
        {"cell_type": "code", "id": "b", "metadata": {}, "source": code.splitlines(True)},
        {"cell_type": "code", "id": "c", "metadata": {}, "source": ["1"]},
    ]
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def cells(text):
    return ["".join(cell["source"]) for cell in json.loads(text)["cells"]]


def test_every_file_agrees_with_the_settings():
    url, ref = address.known((ROOT / "_config.yml").read_text())
    for file, text in address.files(url, ref).items():
        assert file.read_text(encoding="utf-8") == text, f"{file.name}: make address"


def test_a_stamp_can_be_taken_out_again():
    plain = notebook()
    once = address.stamped(plain, "02-cam.ipynb", URL, REF)
    assert address.stamped(once, "02-cam.ipynb", URL, REF) == once
    assert address.stamped(once, "02-cam.ipynb", ELSEWHERE, REF) != once
    assert address.stamped(once, "02-cam.ipynb", "", "") == plain


def test_the_badge_leads_to_the_notebook_of_the_tag():
    title, setup, _ = cells(address.stamped(notebook(), "02-cam.ipynb", URL, REF))
    target = f"{address.COLAB}/github/somebody/wsss-book/blob/{REF}/book/02-cam.ipynb"
    assert title.startswith("# Title\n\n[![Open in Colab](") and title.endswith("\n\nOne sentence.")
    assert f"({target})" in title
    assert URL in setup and f'"{REF}"' in setup


def test_colab_opens_github_only():
    title, setup, _ = cells(address.stamped(notebook(), "a.ipynb", ELSEWHERE, REF))
    assert "Colab" not in title
    assert ELSEWHERE in setup
    config = (ROOT / "_config.yml").read_text()
    buttons = yaml.safe_load(address.configured(config, ELSEWHERE, REF))["launch_buttons"]
    assert buttons["colab_url"] == ""


def test_the_settings_are_written_and_nothing_else_of_them():
    config = (ROOT / "_config.yml").read_text()
    changed = address.configured(config, URL, REF)
    assert address.known(changed) == (URL, REF)
    before, after = yaml.safe_load(config), yaml.safe_load(changed)
    assert after["launch_buttons"]["colab_url"] == address.COLAB
    for part in ("repository", "launch_buttons"):
        del before[part], after[part]
    assert before == after
    assert address.configured(changed, *address.known(config)) == config


def test_the_readme_says_it_between_its_marks():
    text = f"Before\n{address.BEGIN}\nold\n{address.END}\nafter\n"
    stamped = address.readme(text, URL, REF)
    assert f"git clone --branch {REF} {URL}" in stamped and "old" not in stamped
    assert stamped.startswith("Before\n") and stamped.endswith("\nafter\n")
    assert address.readme(stamped, "", "") == f"Before\n{address.BEGIN}\n{address.END}\nafter\n"
    with pytest.raises(ValueError, match="no place"):
        address.readme("nothing", URL, REF)


@pytest.mark.parametrize(
    "url",
    [
        "http://github.com/a/b",
        "github.com/a/b",
        'https://github.com/a/b"',
        "https://a b/c",
        "git@x:a",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(ValueError, match="https://"):
        address.checked(url, REF)


@pytest.mark.parametrize("ref", ["", "-x", 'v1"', "a b", "$(x)"])
def test_what_is_no_tag_is_refused(ref):
    with pytest.raises(ValueError, match="tag"):
        address.checked(URL, ref)


def test_an_address_is_tidied():
    assert address.checked(f" {URL}.git/ ".replace(".git/", "/"), REF) == (URL, REF)
    assert address.checked(f"{URL}.git", REF) == (URL, REF)
    assert address.checked("", "anything") == ("", "")


def test_a_notebook_without_the_cell_is_refused():
    with pytest.raises(ValueError, match="x.ipynb"):
        address.stamped(notebook(first="import wsss_lib"), "x.ipynb", URL, REF)


def run(code, folder):
    """Runs code without any installed package."""
    command = [sys.executable, "-S", "-E", "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def lacking():
    """What the machine of a test does not have."""


@pytest.fixture
def published(tmp_path, lacking):
    """A repository with a package and a tag, all that the package needs, and a pip that writes down its errand."""
    origin = tmp_path / "origin"
    for name, text in {
        "wsss_lib/__init__.py": "number = 7",
        "book/01.ipynb": "{}",
        "book/pip.py": "import sys\nopen('installed', 'a').write(' '.join(sys.argv[1:]))",
        "_toc.yml": "",
        **{f"{name}.py": "" for name in address.NEEDED if name != lacking},
    }.items():
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        (origin / name).write_text(text)
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "a"], ["tag", REF]):
        subprocess.run(["git", *command], cwd=origin, check=True)
    return origin.as_uri()


def test_the_set_up_fetches_the_package_and_says_nothing(published, tmp_path):
    cell = address.setup_cell(published, REF)
    after = "\nimport os, wsss_lib\nassert wsss_lib.number == 7 and os.path.exists('../_toc.yml')"
    for _ in range(2):  # a runtime that was started again finds the folder
        done = run(cell + after, tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = run(f"{cell}\nexec({cell!r}){after}", tmp_path)  # the cell may be run again
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("lacking", ["tyro"])
def test_the_set_up_installs_what_is_missing_and_nothing_else(published, tmp_path):
    """Colab has no tyro; its own torch and numpy are left as they are."""
    done = run(address.setup_cell(published, REF), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / f"wsss-{REF}/book/installed").read_text() == "install -q tyro"


def test_the_set_up_knows_all_that_the_package_needs():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split(r"[<>=;\s]", line, maxsplit=1)[0] for line in project["dependencies"]}
    on_colab = {"torch", "torchvision", "numpy", "matplotlib", "pillow"}
    assert names == on_colab | set(address.NEEDED)


def test_the_set_up_does_nothing_where_the_package_is(tmp_path):
    (tmp_path / "wsss_lib.py").write_text("")
    done = run("import sys; sys.path.insert(0, '')\n" + address.setup_cell(URL, REF), tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(file.name for file in tmp_path.iterdir() if file.suffix) == ["wsss_lib.py"]


def test_without_an_address_the_set_up_says_what_is_missing(tmp_path):
    done = run(address.setup_cell("", ""), tmp_path)
    assert done.returncode == 1 and "README" in done.stderr


def test_the_set_up_can_be_read_by_the_python_of_colab():
    import ast

    for url in ("", URL):
        ast.parse(address.setup_cell(url, REF), feature_version=(3, 10))
