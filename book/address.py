"""Writes the public address of the repository into the settings of the book, its notebooks and the README.

    make address URL=https://github.com/OWNER/NAME REF=v0.1.0
    make address URL=                          # takes it out again
    make address                               # stamps again what `_config.yml` says

The address stands in `_config.yml`; everything else is made from there. REF is the tag that the
commit with the stamped notebooks will get (left out: ``v`` and the version of the package), so that
a notebook on Colab fetches the package it was written for. Colab opens notebooks from GitHub only:
other addresses get no badge.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import yaml

from wsss_lib import __version__

ROOT = Path(__file__).parents[1]
CONFIG, README = ROOT / "_config.yml", ROOT / "README.md"
COLAB = "https://colab.research.google.com"
GITHUB = "https://github.com/"
BEGIN, END = "<!-- address: begin -->", "<!-- address: end -->"
BADGE = re.compile(r"\[!\[Open in Colab\][^\n]*\n\n")

SETUP = """\
# On Colab this fetches the package from the commit of this notebook.
import importlib.util
import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # a thread that waits leaves the CPU to others
if importlib.util.find_spec("wsss_lib") is None:
"""
# What the package needs and a machine with PyTorch may lack; torch and numpy stay as they are there.
NEEDED = ("accelerate", "filelock", "jinja2", "safetensors", "tqdm", "tyro")
UNKNOWN = """\
    raise ImportError("wsss_lib is not installed here: the README of the book says how")"""
FETCH = """\
    import subprocess
    import sys

    url = "{url}"
    if not os.path.isdir("wsss-{ref}"):
        git = ["git", "-c", "advice.detachedHead=false", "clone", "-q", "--depth", "1"]
        subprocess.run([*git, "--branch", "{ref}", url, "wsss-{ref}"], check=True)
    os.chdir("wsss-{ref}/book")
    sys.path.insert(0, os.path.abspath(".."))
    missing = [name for name in {needed} if importlib.util.find_spec(name) is None]
    if missing:
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", *missing], check=True)"""


def known(config: str) -> tuple[str, str]:
    """The address and the tag that the settings hold; two empty texts if there is none yet."""
    repository = yaml.safe_load(config)["repository"]
    return repository["url"], repository["branch"]


def checked(url: str, ref: str) -> tuple[str, str]:
    """An address and a tag that can be written into code.

    Raises:
        ValueError: they cannot.
    """
    url = url.strip().rstrip("/").removesuffix(".git")
    if not url:
        return "", ""
    if not re.fullmatch(r"https://[\w.-]+(/[\w.~-]+)+", url):
        raise ValueError(f"not the address of a repository: {url!r}; it begins with https://")
    if not re.fullmatch(r"\w[\w.-]*", ref):
        raise ValueError(f"not a tag: {ref!r}; letters, digits, dots and hyphens only")
    return url, ref


def configured(config: str, url: str, ref: str) -> str:
    """The settings with another address."""
    values = {"url": url, "branch": ref, "colab_url": COLAB if url.startswith(GITHUB) else ""}
    for key, value in values.items():
        config, count = re.subn(rf'(?m)^  {key}: ".*"$', f'  {key}: "{value}"', config)
        if count != 1:
            raise ValueError(f'_config.yml has {count} lines of the form `  {key}: "..."`, not one')
    return config


def on_colab(name: str, url: str, ref: str) -> str:
    """The address at which Colab opens a notebook of the book."""
    return f"{COLAB}/github/{url.removeprefix(GITHUB)}/blob/{ref}/book/{name}"


def setup_cell(url: str, ref: str) -> str:
    """The first code cell of every notebook."""
    needed = "({})".format(", ".join(f'"{name}"' for name in NEEDED))
    return SETUP + (FETCH.format(url=url, ref=ref, needed=needed) if url else UNKNOWN)


def title_cell(text: str, name: str, url: str, ref: str) -> str:
    """The first text of a notebook with its badge below the title, or without one."""
    text = BADGE.sub("", text)
    if not url.startswith(GITHUB):
        return text
    badge = f"[![Open in Colab]({COLAB}/assets/colab-badge.svg)]({on_colab(name, url, ref)})"
    title, _, rest = text.partition("\n\n")
    return f"{title}\n\n{badge}\n\n{rest}"


def stamped(text: str, name: str, url: str, ref: str) -> str:
    """A notebook, as the text of its file, with the address.

    Raises:
        ValueError: its first code cell is not the one that fetches the package.
    """
    notebook = json.loads(text)
    first = {kind: cell for cell in reversed(notebook["cells"]) for kind in [cell["cell_type"]]}
    if not {"markdown", "code"} <= first.keys() or not source(first["code"]).startswith(SETUP):
        raise ValueError(f"{name}: the first code cell is not the one that fetches the package")
    write(first["markdown"], title_cell(source(first["markdown"]), name, url, ref))
    write(first["code"], setup_cell(url, ref))
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def source(cell: dict) -> str:
    """The text of a cell."""
    return "".join(cell["source"])


def write(cell: dict, text: str) -> None:
    """Gives a cell another text."""
    cell["source"] = text.splitlines(keepends=True)


def readme(text: str, url: str, ref: str) -> str:
    """The README with what it says of the address between its two marks."""
    lines = [BEGIN]
    if url:
        lines.append(f"Get it: `git clone --branch {ref} {url}`")
    if url.startswith(GITHUB):
        lines.append(
            f"or [open the first chapter on Colab]({on_colab('01-problem.ipynb', url, ref)})."
        )
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (found and closed):
        raise ValueError(f"README.md has no place for the address, between {BEGIN} and {END}")
    return before + "\n".join([*lines, END]) + after


def files(url: str, ref: str) -> dict[Path, str]:
    """What every file with the address in it has to say."""
    made = {CONFIG: configured(CONFIG.read_text(encoding="utf-8"), url, ref)}
    made[README] = readme(README.read_text(encoding="utf-8"), url, ref)
    for file in sorted((ROOT / "book").glob("*.ipynb")):
        made[file] = stamped(file.read_text(encoding="utf-8"), file.name, url, ref)
    return made


def main() -> None:
    """Writes the address given on the command line, or that of the settings."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--url", help="empty: the address is not known")
    parser.add_argument("--ref", default="", help="the tag of this commit")
    given = parser.parse_args()
    try:
        if given.url is None:
            url, ref = known(CONFIG.read_text(encoding="utf-8"))
        else:
            url, ref = checked(given.url, given.ref or f"v{__version__}")
        made = files(url, ref)
    except ValueError as error:
        sys.exit(str(error))
    for file, text in made.items():
        if file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
            print(f"{file.relative_to(ROOT)}: written")
    print(f"The address is {url}, the tag of this commit will be {ref}." if url else "No address.")


if __name__ == "__main__":
    main()
