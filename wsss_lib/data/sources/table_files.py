"""Tables as files: their encoding, what stands between columns, headings, and the column of the photos."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from wsss_lib.data import layout
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.listing import Names
from wsss_lib.data.sources.tags import tidy

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
PHOTO_HEADS = {
    "file", "filename", "file_name", "image", "image_name", "imagename", "image_path", "path", "filepath", "photo", "id",
    "image_id", "img", "name", "#filename",
}  # fmt: skip
ENDING = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|bmp|tiff?|gif|avif|heic)$", re.IGNORECASE)
ENOUGH = 500  # rows that are looked at to find out how a table is made


@dataclass(frozen=True)
class Table:
    """A table of text; all rows have the same number of cells.

    Attributes:
        file: where it stands.
        rows: its cells, without blanks around them.
        titles: the headings; empty if it has none.
        photo: the column of the photos.
        delimiter: what stands between columns.
    """

    file: Path
    rows: list[list[str]]
    titles: list[str]
    photo: int
    delimiter: str

    @property
    def heads(self) -> list[str]:
        """The headings in small letters."""
        return [title.lower() for title in self.titles]

    def column(self, names: set[str]) -> int | None:
        """The first column with one of these headings."""
        return next((i for i, head in enumerate(self.heads) if head in names), None)


def read_table(file: Path, names: Names, encoding: str | None = None) -> Table:
    """Reads a table; columns stand apart by what makes most rows begin with, or hold, a photo.

    Args:
        file: of the table.
        names: of the photos that there are.
        encoding: None: UTF-8, or UTF-16 with its mark.

    Raises:
        InputError: it is missing, is no text in this encoding, or names no photo.
    """
    text = decoded(file, encoding)
    tried = {delimiter: cells_of(text, delimiter) for delimiter in DELIMITERS}

    def fits(delimiter: str) -> tuple[int, int]:
        rows = tried[delimiter][:ENOUGH]
        photos = sum(any(is_photo(cell, names) for cell in row) for row in rows)
        return photos, sum(len(row) > 1 for row in rows)

    delimiter = max(DELIMITERS, key=fits)
    rows = tried[delimiter]
    if not rows or not fits(delimiter)[0]:
        raise InputError(
            f"{file} names no photo of {names.root}: a line should be a photo and its tags, as in holiday/a.jpg,cat;dog"
        )
    width = max(map(len, rows))
    rows = [row + [""] * (width - len(row)) for row in rows]
    titles = (
        [] if any(is_photo(cell, names) for cell in rows[0]) else [tidy(cell) for cell in rows[0]]
    )
    rows = rows[1:] if titles else rows
    hits = [sum(is_photo(row[i], names) for row in rows[:ENOUGH]) for i in range(width)]
    headed = [i for i, title in enumerate(titles) if title.lower() in PHOTO_HEADS and hits[i]]
    return Table(file, rows, titles, max(headed or range(width), key=lambda i: hits[i]), delimiter)


def is_photo(cell: str, names: Names) -> bool:
    """Whether a cell is, or looks like, the name of a photo."""
    return bool(ENDING.search(cell)) or names.knows(cell)


def decoded(file: Path, encoding: str | None) -> str:
    """The text of a file."""
    try:
        data = Path(layout.regular(file)).read_bytes()
    except FileNotFoundError:
        raise InputError(f"the table {file} is not there.") from None
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror or error}).") from error
    wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = data.decode(encoding or ("utf-16" if wide else "utf-8-sig"))
    except LookupError:
        raise InputError(
            f"there is no encoding {encoding}; give cp1252 or latin-1, for example."
        ) from None
    except UnicodeError as error:
        raise InputError(
            f"{file} is not in {encoding or 'UTF-8'} ({error}); say its encoding, as in --encoding cp1252, or save it as UTF-8."
        ) from error
    if "\0" in text:
        raise InputError(f"{file} holds bytes that are no text; save it as CSV in UTF-8.")
    return text


def cells_of(text: str, delimiter: str) -> list[list[str]]:
    """The rows that are not blank, each cell without blanks around it; none if it is no such table."""
    try:
        rows = list(
            csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        )
    except csv.Error:
        return []
    stripped = ([cell.strip() for cell in row] for row in rows)
    return [row for row in stripped if any(row)]
