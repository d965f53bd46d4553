"""What the book needs of Sphinx and does not find there."""

import sys


def once(app, page, template, context, doctree):
    """Drops scripts that a page would load twice.

    The theme and Jupyter Book both declare the same constants for live code; a second `const` of one name is an error that
    shows in the console of every page.
    """
    seen, kept = set(), []
    for script in context.get("script_files", []):
        source = (getattr(script, "filename", script), str(getattr(script, "attributes", "")))
        if source not in seen:
            seen.add(source)
            kept.append(script)
    context["script_files"] = kept


def setup(app):
    """Lets autodoc import `wsss_lib` from this checkout, installed or not."""
    sys.path.insert(0, str(app.confdir))
    app.connect("html-page-context", once, priority=990)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
