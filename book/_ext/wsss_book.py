"""What the book needs of Sphinx and does not find there."""

import re
import sys

from docutils import nodes
from pybtex.plugin import register_plugin
from pybtex.style.formatting.alpha import Style as AlphaStyle
from pybtex.style.labels import BaseLabelStyle

BADGE = "https://colab.research.google.com/assets/"
FOLDS = {"# @title Solution": "Solution", "# On Colab": "Set-up"}  # by the first line of a cell
FORMULA = re.compile(r" {4}\S")


class Names(BaseLabelStyle):
    """Labels of the bibliography: up to three names, and the year, as in the text."""

    def format_labels(self, sorted_entries):
        """Yields the label of each entry."""
        for entry in sorted_entries:
            names = ["".join(person.last_names) for person in entry.persons["author"]]
            names = [names[0] + " et al."] if len(names) > 3 else names
            yield f"{', '.join(names)}, {entry.fields['year']}"


class NamesStyle(AlphaStyle):
    """Entries sorted by author, under these labels."""

    default_label_style = Names


def scripts_once(app, page, template, context, doctree):
    """Drops scripts that a page would load twice.

    The theme and Jupyter Book both declare the same constants for live code; a second `const` of one name is an error that
    shows in the console of every page.
    """
    seen, kept = set(), []
    for script in context.get("script_files", []):
        source = (script.filename or "", str(script.attributes))  # inline scripts: None or ""
        if source not in seen:
            seen.add(source)
            kept.append(script)
    context["script_files"] = kept


def no_badge(app, doctree):
    """Takes the Colab badge out of a page: there its button is at the top, and a page loads no picture from elsewhere."""
    for image in list(doctree.findall(nodes.image)):
        if image.get("uri", "").startswith(BADGE):
            paragraph = next(up for up in ancestors(image) if isinstance(up, nodes.paragraph))
            paragraph.parent.remove(paragraph)


def name_folds(app, doctree):
    """Says on a folded cell what is inside: a solution, or the set-up."""
    for node in doctree.findall(lambda node: "prompt_show" in getattr(node, "attributes", {})):
        first = node.astext().split("\n", 1)[0]
        for start, name in FOLDS.items():
            if first.startswith(start):
                node["prompt_show"] = node["prompt_hide"] = name


def ancestors(node):
    """The nodes around a node, from the inside out."""
    while node.parent is not None:
        node = node.parent
        yield node


def docstring_as_meant(app, what, name, obj, options, lines):
    """Makes an indented formula a block of code, and the text below an attribute a text.

    In a docstring a formula is only indented, which Sphinx takes for a quotation in which every ``*`` begins an emphasis; and
    of ``T: the steps`` below an attribute it thinks that T is a type.
    """
    if what == "attribute" and lines and lines[0]:
        lines[:0] = ["..", ""]  # an empty comment; napoleon looks for the type in the first line
    for number in reversed(range(2, len(lines))):
        before, blank, line = lines[number - 2 : number + 1]
        starts = FORMULA.match(line) and not blank.strip() and before[:1].strip()
        if starts and not before.startswith("- ") and not before.endswith("::"):
            lines[number:number] = [".. code-block:: none", ""]


def setup(app):
    """Lets autodoc import `wsss_lib` from this checkout, installed or not."""
    sys.path.insert(0, str(app.confdir))
    register_plugin("pybtex.style.formatting", "names", NamesStyle)
    app.connect("doctree-read", no_badge, priority=100)  # before the pictures are collected
    app.connect("autodoc-process-docstring", docstring_as_meant, priority=100)  # before napoleon
    app.connect("doctree-read", name_folds)
    app.connect("html-page-context", scripts_once, priority=990)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
