"""The guard after the build of the book."""

import importlib.util
from pathlib import Path

import pytest

BOOK = Path(__file__).parents[2] / "book"
TOC = "format: jb-book\nroot: book/a\nparts:\n- caption: P\n  chapters:\n  - file: book/b\n"


def script():
    spec = importlib.util.spec_from_file_location("book_built", BOOK / "built.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def built(tmp_path, monkeypatch):
    """The guard, and a small book that it finds in order."""
    guard = script()
    site = tmp_path / "_build" / "html" / "book"
    site.mkdir(parents=True)
    (tmp_path / "_toc.yml").write_text(TOC)
    for name in "ab":
        (site / f"{name}.html").write_text("<p>All is well. See the traceback of chapter 3.</p>")
    monkeypatch.setattr(guard, "ROOT", tmp_path)
    return guard, site


def test_a_book_in_order(built, capsys):
    guard, site = built
    guard.main()
    said = capsys.readouterr().out
    assert "2 pages" in said and str(site.parent / "index.html") in said


def test_a_missing_page(built):
    guard, site = built
    (site / "b.html").unlink()
    with pytest.raises(SystemExit, match="b.html is missing"):
        guard.main()


def test_an_empty_page(built):
    guard, site = built
    (site / "a.html").write_text("")
    with pytest.raises(SystemExit, match="a.html is missing"):
        guard.main()


@pytest.mark.parametrize(
    "error",
    ["<pre>Traceback (most recent call last)</pre>", '<div class="cell output traceback">x</div>'],
)
def test_an_error_in_a_page(built, error):
    guard, site = built
    (site / "b.html").write_text(error)
    with pytest.raises(SystemExit, match="b.html holds an error"):
        guard.main()
