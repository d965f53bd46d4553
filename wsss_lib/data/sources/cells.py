"""Cells of a table that hold tags: one, several with something between them, or a list as programs write it."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence

from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.table_files import Table
from wsss_lib.data.sources.tags import tidy

Cut = Callable[[str], list[str]]


def cutter(table: Table, columns: Sequence[int], separator: str | None) -> tuple[Cut, str]:
    """What cuts a cell into tags, and that in words.

    Semicolons and bars do. A comma or a blank may be part of a tag: a comma cuts where each piece stands alone elsewhere.

    Raises:
        InputError: it cannot be told whether a cell holds one tag or several.
    """
    if separator is not None:
        return splitter(re.escape(separator)), f"tags apart by {separator!r}"
    cells = Counter(row[i] for row in table.rows for i in columns if listed_tags(row[i]) is None)
    plain = splitter(r"[;|]")
    lone = {tidy(cell).casefold() for cell in cells if len(plain(cell)) == 1 and "," not in cell}
    for sign in ", ":
        mixed = [tag for cell in cells for tag in plain(cell) if sign in tag]
        pieces = {piece.casefold() for tag in mixed for piece in splitter(re.escape(sign))(tag)}
        if mixed and sign == "," and pieces <= lone:
            plain = splitter(r"[;|,]")
        elif mixed and (sign == "," or pieces & lone):
            example = next(
                tag for tag in mixed if sign == "," or {*tag.casefold().split(" ")} & lone
            )
            raise InputError(
                f"{table.file} holds {example!r}: say whether this is several tags (--separator {sign!r}) or one "
                "(--separator ';')."
            )
    several_in = [cell for cell in cells if len(plain(cell)) > 1]
    return (
        plain,
        f"several tags in a cell, as in {several_in[0]!r}" if several_in else "one tag in a cell",
    )


def splitter(pattern: str) -> Cut:
    """Cuts a text where a pattern matches, and leaves out what is blank."""
    return lambda text: [tidy(piece) for piece in re.split(pattern, text) if piece.strip()]


def listed_tags(cell: str) -> list[str] | None:
    """The tags of a cell that holds a list of json or Python, as Label Studio and pandas write it; None if it holds none.

    Examples are ``["cat", "dog"]``, ``['cat', 'dog']``, ``{"choices": ["cat", "dog"]}`` and regions
    ``[{"x": 1, ..., "rectanglelabels": ["cat"]}]``.
    """
    if not re.match(r"\[.*\]$|\{.*\}$", cell, re.DOTALL):
        return None
    for reader in (json.loads, ast.literal_eval):  # neither executes anything
        try:
            return tags_in(reader(cell))
        except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
            continue
    return None


def tags_in(value: object) -> list[str]:
    """The tags in what a cell holds.

    Raises:
        TypeError: it holds something else.
    """
    if isinstance(value, str):
        return [tidy(value)]
    if isinstance(value, list):
        return [tag for each in value for tag in tags_in(each)]
    if isinstance(value, dict):
        held = [value[key] for key in value if key == "choices" or key.endswith("labels")]
        return [tag for each in held for tag in tags_in(each)]
    raise TypeError(f"{value!r} is no tag")
