"""Runs the chapters and writes them with their outputs, so that running them again changes no byte.

    make execute                                 # every chapter
    .venv/bin/python book/execute.py 02 05       # those whose names begin so

A notebook as Jupyter saves it differs from run to run: its widgets get random names, its cells the
time of day, and what is printed comes in pieces. All that is taken out here. Each chapter runs in a
fresh kernel, in this folder, two at a time. A chapter that stops with an error is not written.
"""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from wsss_lib.book.chapters import QUIET
from wsss_lib.data.files import atomic

BOOK = Path(__file__).parent
WIDGETS = "application/vnd.jupyter.widget-state+json"
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
AT_ONCE = 2


def execute(file: Path) -> None:
    """Runs a notebook from top to bottom in a fresh kernel and writes it.

    Raises:
        CellExecutionError: a cell stopped with an error; the file is as it was.
    """
    notebook = nbformat.read(file, as_version=4)
    notebook.metadata = {"kernelspec": KERNEL}
    client = NotebookClient(
        notebook,
        timeout=None,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=40"],
        resources={"metadata": {"path": str(file.parent)}},
    )
    client.execute()
    with atomic(file) as aside:
        aside.write_text(stable(notebook), encoding="utf-8")


def stable(notebook: nbformat.NotebookNode) -> str:
    """The text of an executed notebook, without what differs from run to run."""
    notebook.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{number}"
    text = nbformat.writes(notebook)
    names = {name: f"widget-{number:04}" for number, name in enumerate(widgets(notebook), start=1)}
    if names:
        text = re.sub("|".join(names), lambda found: names[found[0]], text)
    ordered = json.loads(text)  # the names are keys too, and keys are sorted
    return json.dumps(ordered, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def widgets(notebook: nbformat.NotebookNode) -> list[str]:
    """The random names of the widgets, in the order in which they were made."""
    return list(notebook.metadata.get("widgets", {}).get(WIDGETS, {}).get("state", {}))


def chapters(prefixes: list[str]) -> list[Path]:
    """The notebooks of the book whose names begin with one of the prefixes; all, without any."""
    files = sorted(BOOK.glob("*.ipynb"))
    return [file for file in files if file.name.startswith(tuple(prefixes or [""]))]


def in_process(file: Path) -> bool:
    """Runs one chapter in a process of its own and says how it went."""
    start = time.monotonic()
    done = subprocess.run([sys.executable, __file__, file.name], stdout=subprocess.DEVNULL)
    result = f"{time.monotonic() - start:.0f} s" if done.returncode == 0 else "stopped, see above"
    print(f"{file.name}: {result}", flush=True)
    return done.returncode == 0


def main() -> None:
    """Runs the chapters named on the command line, or all."""
    files = chapters(sys.argv[1:])
    if not files:
        sys.exit(f"no chapter begins with {' or '.join(sys.argv[1:])}: see book/*.ipynb")
    os.environ[QUIET] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # more threads add up in another order
    if len(files) > 1:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            sys.exit(not all(list(pool.map(in_process, files))))
    start = time.monotonic()
    try:
        execute(files[0])
    except CellExecutionError as error:
        sys.exit(f"{files[0].name} stopped in the cell\n{error}")
    print(f"{files[0].name}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
