"""Tables as files: their encoding, what stands between columns, headings, and the column of the photos."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wsss_lib.data import layout
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.names import ENDING, Names
from wsss_lib.data.sources.tags import tidy

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
PHOTO_HEADS = {
    "file", "filename", "file_name", "image", "image_name", "imagename", "image_path", "path", "filepath", "photo", "id",
    "image_id", "img", "name", "#filename",
}  # fmt: skip
CORNERS = ("xmin", "ymin", "xmax", "ymax")
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

    def values(self, column: int) -> set[str]:
        """What stands in a column, in small letters."""
        return {row[column].lower() for row in self.rows}


def read_table(file: Path, names: Names, encoding: str | None = None) -> Table:
    """Reads a table; columns stand apart by what makes most rows begin with, or hold, a photo.

    Args:
        file: of the table.
        names: of the photos that there are.
        encoding: None: UTF-8, or UTF-16 with its mark.

    Raises:
        InputError: it is missing, is no text in this encoding, names no photo, or does not say whether it has headings.
    """
    delimiter, rows = columns_of(decoded(file, encoding), names)
    if not rows:
        raise InputError(
            f"{file} names no photo of {names.root}: a line should be a photo and its tags, as in holiday/a.jpg,cat;dog"
        )
    photo = photo_column(rows, names)
    titles = [] if is_photo(rows[0][photo], names) else [tidy(cell) for cell in rows[0]]
    rows = rows[1:] if titles else rows
    if not titles and all(map(is_box, rows)):  # as RetinaNet has it
        titles = ["file", *CORNERS, "class"]
    table = Table(file, rows, titles, photo, delimiter)
    refuse_unclear(table)
    return table


def columns_of(text: str, names: Names) -> tuple[str, list[list[str]]]:
    """What stands between columns, and the rows, of the same number of cells; no rows if none of them names a photo."""
    tried = {delimiter: cells_of(text, delimiter) for delimiter in DELIMITERS}

    def fits(delimiter: str) -> tuple[int, int]:
        rows = tried[delimiter][:ENOUGH]
        photos = sum(any(is_photo(cell, names) for cell in row) for row in rows)
        return photos, sum(len(row) > 1 for row in rows)

    delimiter = max(DELIMITERS, key=fits)
    rows = tried[delimiter] if fits(delimiter)[0] else []
    width = max(map(len, rows), default=0)
    return delimiter, [row + [""] * (width - len(row)) for row in rows]


def photo_column(rows: Sequence[list[str]], names: Names) -> int:
    """The column of the photos: one that is called so, or else the one that holds most of them."""
    below = rows[1 : ENOUGH + 1] or rows
    hits = [sum(is_photo(row[i], names) for row in below) for i in range(len(rows[0]))]
    headed = [i for i, cell in enumerate(rows[0]) if cell.lower() in PHOTO_HEADS and hits[i]]
    return max(headed or range(len(hits)), key=lambda i: hits[i])


def is_photo(cell: str, names: Names) -> bool:
    """Whether a cell is, or looks like, the name of a photo."""
    return bool(ENDING.search(cell)) or names.knows(cell)


def is_box(row: Sequence[str]) -> bool:
    """Whether a row is a photo, the corners of a box and a tag; or a photo alone, with room for these."""
    return len(row) == 6 and (
        not any(row[1:]) or (all(map(is_number, row[1:5])) and not is_number(row[5]))
    )


def is_number(cell: str) -> bool:
    """Whether a cell holds a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def refuse_unclear(table: Table) -> None:
    """Raises an InputError if the first line may be a photo that is missing, or a line names no photo."""
    if table.titles and table.heads[table.photo] not in PHOTO_HEADS:
        first = table.titles[table.photo]
        if not any(ENDING.search(row[table.photo]) for row in table.rows):
            raise InputError(
                f"it cannot be told whether the first line of {table.file} names a photo that is missing ({first!r}) or is a "
                "heading: write file,tags above it, or call the column of the photos file."
            )
    for row in table.rows:
        if not row[table.photo]:
            line = table.delimiter.join(row)
            raise InputError(
                f"the line {line!r} of {table.file} names no photo: complete or delete it."
            )


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
    """The rows that are not blank, each cell without blanks around it; none if it is no such table.

    Remarks above a table are left out, as Excel's ``sep=;``.
    """
    try:
        rows = list(
            csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
        )
    except csv.Error:
        return []
    stripped = ([cell.strip() for cell in row] for row in rows)
    filled = [row for row in stripped if any(row)]
    return list(itertools.dropwhile(is_remark, filled))


def is_remark(row: list[str]) -> bool:
    """Whether a line above a table is a remark: text in its first cell alone, which is no photo."""
    return row[0].startswith(("sep=", "#")) and not any(row[1:]) and not ENDING.search(row[0])
