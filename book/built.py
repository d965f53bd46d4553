"""Looks whether the book was built: every page is there, and none holds an error message of Python.

    .venv/bin/python book/built.py      # `make book` does it after the build

Jupyter Book of another version than ours may build nothing and end well.
"""

import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
ERROR = re.compile(r'Traceback \(most recent call last\)|class="[^"]*output traceback')


def pages(toc: Path) -> list[str]:
    """The pages that a table of contents lists."""
    table = yaml.safe_load(toc.read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in table["parts"] for chapter in part["chapters"]]
    return [table["root"], *chapters]


def complaints(site: Path, names: list[str]) -> list[str]:
    """What is wrong with the built pages."""
    wrong = []
    for name in names:
        page = site / f"{name}.html"
        if not page.is_file() or not page.stat().st_size:
            wrong.append(f"{page} is missing")
        elif ERROR.search(page.read_text(encoding="utf-8")):
            wrong.append(f"{page} holds an error message of Python")
    return wrong


def main() -> None:
    """Says where the book is, or what is wrong with it."""
    site = ROOT / "_build" / "html"
    names = pages(ROOT / "_toc.yml")
    wrong = complaints(site, names)
    if wrong:
        sys.exit("The build ended well, but\n" + "\n".join(wrong))
    print(f"The book is built, {len(names)} pages. Open in a browser:\n{site / 'index.html'}")


if __name__ == "__main__":
    main()
