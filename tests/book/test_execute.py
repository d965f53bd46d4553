"""The runner of the chapters: the same bytes on every run, and nothing written after an error."""

import importlib.util
import json
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

ROOT = Path(__file__).parents[2]
BOOK = ROOT / "book"
WIDGET = """
import numpy as np
from wsss_lib.book.explorers import explorer
explorer(lambda t: np.full((8, 8, 3), 40 * t, np.uint8), {"t": [0.1, 0.2, 0.3]})
"""
PIECES = """
import sys, time
for number in range(3):
    print(number, flush=True)
    time.sleep(0.3)
"""


def script():
    spec = importlib.util.spec_from_file_location("book_execute", BOOK / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


execute = script()


def written(file, *cells):
    cells = [new_markdown_cell("# Title"), *(new_code_cell(cell) for cell in cells)]
    nbformat.write(new_notebook(cells=cells), file)
    return file


@pytest.fixture(scope="module", autouse=True)
def this_checkout():
    """Kernels import the package of this checkout, whatever is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook and its text after each of two runs."""
    file = written(tmp_path_factory.mktemp("book") / "01-a.ipynb", PIECES, WIDGET)
    texts = []
    for _ in range(2):
        execute.execute(file)
        texts.append(file.read_text(encoding="utf-8"))
    return texts


def test_a_second_run_changes_no_byte(executed):
    assert executed[0] == executed[1]


def test_the_widgets_have_names_in_order_and_their_state(executed):
    notebook = json.loads(executed[0])
    state = notebook["metadata"]["widgets"][execute.WIDGETS]["state"]
    assert list(state) == [f"widget-{number:04}" for number in range(1, len(state) + 1)]
    (output,) = notebook["cells"][2]["outputs"]
    shown = output["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
    assert state[shown]["model_name"] == "VBoxModel"
    links = [each for each in state.values() if each["model_name"] == "LinkModel"]
    sources = {each["state"]["source"][0].removeprefix("IPY_MODEL_") for each in links}
    assert links and sources <= set(state)


def test_what_is_printed_in_pieces_is_one_output(executed):
    (output,) = json.loads(executed[0])["cells"][1]["outputs"]
    assert "".join(output["text"]) == "0\n1\n2\n"


def test_nothing_of_the_machine_is_kept(executed):
    notebook = json.loads(executed[0])
    assert set(notebook["metadata"]) == {"kernelspec", "language_info", "widgets"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    assert [cell["id"] for cell in notebook["cells"]] == ["cell-1", "cell-2", "cell-3"]
    assert all(cell["metadata"] == {} for cell in notebook["cells"])


def test_writing_again_without_running_changes_nothing(executed):
    assert execute.stable(nbformat.reads(executed[0], as_version=4)) == executed[0]


def test_after_an_error_the_file_is_as_it_was(tmp_path):
    file = written(tmp_path / "01-a.ipynb", "1", "1 / 0")
    before = file.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute.execute(file)
    assert file.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_it_runs_in_the_folder_of_the_notebook(tmp_path):
    file = written(tmp_path / "01-a.ipynb", "from pathlib import Path\nPath('here').touch()")
    execute.execute(file)
    assert (tmp_path / "here").exists()


def test_chapters_are_chosen_by_their_first_letters(monkeypatch, tmp_path):
    for name in ("01-a.ipynb", "02-b.ipynb", "A-c.ipynb"):
        (tmp_path / name).touch()
    monkeypatch.setattr(execute, "BOOK", tmp_path)
    assert [file.stem for file in execute.chapters([])] == ["01-a", "02-b", "A-c"]
    assert [file.stem for file in execute.chapters(["02", "A"])] == ["02-b", "A-c"]
    monkeypatch.setattr("sys.argv", ["execute.py", "07"])
    with pytest.raises(SystemExit, match="no chapter begins with 07"):
        execute.main()
