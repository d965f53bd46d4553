"""Tables of tags: one or several tags a photo, several rows a photo, a column for each tag, or a row for each box."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from wsss_lib.data.annotations import Box
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.collection import Asked, Collection, Item
from wsss_lib.data.sources.listing import PARTS, Listing, Names
from wsss_lib.data.sources.table_files import DELIMITERS, Table, read_table
from wsss_lib.data.sources.tags import several, tidy

ENDINGS = (".csv", ".tsv", ".txt")
NO_TABLES = {"labels.txt", "classes.txt", "labelmap.txt", "predefined_classes.txt", "originals.csv"}
OUR_INDEX = b"id,height,width,digest,"
TAG_HEADS = {"tag", "label", "class", "category", "class_name", "object", "choice"}
PART_HEADS = {"split", "set", "subset", "part", "fold"}
CORNERS = ("xmin", "ymin", "xmax", "ymax")
YES, NO = {"1", "1.0", "true", "yes", "x", "y"}, {"0", "0.0", "false", "no", "n", ""}
UNKNOWN = {"-1", "-1.0", "?"}

Objects = list[tuple[str, Box | None]]


def find_tables(listing: Listing, asked: Asked) -> list[Path]:
    """The tables of a folder: the one that is asked for, ``tags.csv``, or all that name photos."""
    if asked.table is not None:
        return [asked.table]
    there = (file for ending in ENDINGS for file in listing.others.get(ending, ()))
    files = [
        file
        for file in there
        if file.name.lower() not in NO_TABLES and len(listing.folders(file)) < 2
    ]
    named = [
        file for file in files if file.name.lower() == "tags.csv" and file.parent == listing.root
    ]
    names = Names(listing)
    return named or [file for file in files if is_table(file, names, asked.encoding)]


def is_table(file: Path, names: Names, encoding: str | None) -> bool:
    """Whether a file names photos, with something beside each."""
    with file.open("rb") as stream:
        if stream.read(len(OUR_INDEX)) == OUR_INDEX:
            return False
    try:
        table = read_table(file, names, encoding)
    except InputError:
        return False
    return bool(table.rows) and len(table.rows[0]) > 1


def read_tables(listing: Listing, files: Sequence[Path], asked: Asked) -> Collection:
    """The photos that tables name, with their tags.

    Raises:
        InputError: there are several tables that are not one a part; a table cannot be read, or in two ways; photos that are
            named are missing.
    """
    parts = [PARTS.get(file.parent.name.lower()) for file in files]
    if len(set(parts)) < len(files):
        raise InputError(
            f"there are several tables: {several(list(map(str, files)))}; say which one with --table FILE."
        )
    names, found = Names(listing), Collection(kind="table", about="", items=[])
    missing: list[tuple[Path, str]] = []
    known: dict[Path, Item] = {}
    abouts, order = [], []
    for file, part in zip(files, parts):
        table = read_table(file, names, asked.encoding)
        meaning, about, tags = meaning_of(table, asked.separator, found.said)
        abouts.append(f"{file.name}: {about}")
        order += [tag for tag in tags if tag not in order]
        column = table.column(PART_HEADS)
        for row in table.rows:
            photo = names.find(row[table.photo], file.parent)
            if photo is None:
                missing.append((file, row[table.photo]))
                continue
            told = (
                PARTS.get(row[column].lower(), row[column].lower() or None)
                if column is not None
                else part
            )
            before = known.get(photo, Item(file=photo, part=told))
            objects = dict.fromkeys((*before.objects, *meaning(row)))
            known[photo] = Item(file=photo, objects=tuple(objects), part=before.part)
    refuse_missing(missing, asked.skip_missing)
    found.about = f"a table of tags ({'; '.join(dict.fromkeys(abouts))})"
    found.items, found.names = list(known.values()), order or None
    found.left_out += [
        (f"{name} of {file}", "is named, but is not there") for file, name in missing
    ]
    found.left_out += [
        (str(photo), "is named nowhere") for photo in listing.photos if photo not in known
    ]
    return found


def refuse_missing(missing: Sequence[tuple[Path, str]], skip: bool) -> None:
    """Raises an InputError for photos that are named and not there, all at once."""
    if missing and not skip:
        file, name = missing[0]
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{file} names {name!r}{more}, but there is no such photo: add what is missing, correct the names, or leave them "
            "out with --skip-broken."
        )


def meaning_of(
    table: Table, separator: str | None, said: list[str]
) -> tuple[Callable[[list[str]], Objects], str, list[str]]:
    """How a row is read, in a function and in words, and the tags that are headings.

    Raises:
        InputError: there are two ways, or none.
    """
    via, shape = table.column({"region_attributes"}), table.column({"region_shape_attributes"})
    if via is not None:
        return (lambda row: regions(row, via, shape, table.file)), "regions of VIA", []
    others = [
        i for i in range(len(table.rows[0])) if i not in (table.photo, table.column(PART_HEADS))
    ]
    columns = [i for i in others if table.titles and is_tag_head(table.heads[i])]
    marks = [i for i in others if table.titles and is_marks(table, i)]
    apart = f"columns apart by {DELIMITERS[table.delimiter]}"
    if not columns and marks and len(marks) > len(others) / 2:
        unsure = sum(row[i].lower() in UNKNOWN for row in table.rows for i in marks)
        if unsure:
            said.append(
                f"{unsure} cells of {table.file.name} say that it is not known whether a photo has a tag: taken as no"
            )
        return (
            (lambda row: marked(row, marks, table.titles)),
            f"{apart}, one for each tag",
            [table.titles[i] for i in marks],
        )
    if not columns and (not table.titles or len(others) == 1):
        columns = others
    if not columns:
        raise InputError(
            f"it cannot be told which column of {table.file} holds the tags ({several(table.titles)}): name its heading tags."
        )
    cut, how = cutter(table, columns, separator)
    corners = [table.column({corner}) for corner in CORNERS]

    def objects(row: list[str]) -> Objects:
        tags = [tag for i in columns for tag in choices(row[i]) or cut(row[i])]
        box = boxed([row[i] for i in corners]) if None not in corners else None
        return [(tag, box) for tag in tags]

    return objects, f"{apart}, {how}", []


def is_tag_head(head: str) -> bool:
    """Whether a heading says that tags stand below it: ``tags``, ``label_2``."""
    base = re.sub(r"[_ -]?\d+$", "", head)
    return bool(
        {base, base.removesuffix("s"), base.removesuffix("es"), base.removesuffix("ies") + "y"}
        & TAG_HEADS
    )


def is_marks(table: Table, column: int) -> bool:
    """Whether a column says yes or no of each photo."""
    values = {row[column].lower() for row in table.rows}
    return (
        bool(table.titles[column])
        and values <= YES | NO | UNKNOWN
        and bool(values & (YES | NO - {""}))
    )


def marked(row: list[str], marks: Sequence[int], titles: Sequence[str]) -> Objects:
    """The tags that have a yes."""
    return [(titles[i], None) for i in marks if row[i].lower() in YES]


def cutter(
    table: Table, columns: Sequence[int], separator: str | None
) -> tuple[Callable[[str], list[str]], str]:
    """What cuts a cell into tags, and that in words.

    Semicolons and bars do. A comma or a blank may be part of a tag: a comma does where each piece stands alone elsewhere.

    Raises:
        InputError: it cannot be told whether a cell holds one tag or several.
    """
    if separator is not None:
        return splitter(re.escape(separator)), f"tags apart by {separator!r}"
    cells = Counter(row[i] for row in table.rows for i in columns if not choices(row[i]))
    plain = splitter(r"[;|]")
    lone = {
        tidy(cell).casefold()
        for cell in cells
        if len(plain(cell)) == 1 and not re.search(r"[, ]", tidy(cell))
    }
    for sign in ", ":
        mixed = [tag for cell in cells for tag in plain(cell) if sign in tag]
        pieces = {piece.casefold() for tag in mixed for piece in splitter(re.escape(sign))(tag)}
        if mixed and sign == "," and pieces <= lone:
            plain = splitter(r"[;|,]")
        elif mixed and (sign == "," or pieces & lone):
            raise InputError(
                f"{table.file} holds {mixed[0]!r}: say whether this is several tags (--separator {sign!r}) or one "
                "(--separator ';')."
            )
    several_in = [cell for cell in cells if len(plain(cell)) > 1]
    return (
        plain,
        f"several tags in a cell, as in {several_in[0]!r}" if several_in else "one tag in a cell",
    )


def choices(cell: str) -> list[str]:
    """The tags of a cell of Label Studio that holds several: ``{"choices": ["cat", "dog"]}``."""
    if not cell.startswith('{"choices"'):
        return []
    try:
        return [tidy(str(each)) for each in json.loads(cell)["choices"]]
    except (ValueError, TypeError):
        return []


def splitter(pattern: str) -> Callable[[str], list[str]]:
    """Cuts a text where a pattern matches, and leaves out what is blank."""
    return lambda text: [tidy(piece) for piece in re.split(pattern, text) if piece.strip()]


def boxed(cells: Sequence[str]) -> Box | None:
    """A box of four cells; None where they are no numbers."""
    try:
        return tuple(max(1, round(float(cell))) for cell in cells)
    except (ValueError, OverflowError):
        return None


def regions(row: list[str], attributes: int, shape: int | None, file: Path) -> Objects:
    """The regions of a row of VIA's CSV: a tag for each attribute, with its box if it is a rectangle."""
    try:
        named, form = (
            json.loads(row[attributes] or "{}"),
            json.loads(row[shape] or "{}") if shape is not None else {},
        )
        values = [
            v
            for value in named.values()
            for v in ([k for k, on in value.items() if on] if isinstance(value, dict) else [value])
        ]
    except (ValueError, AttributeError):
        raise InputError(f"{file} holds {row[attributes]!r}, which is no region of VIA.") from None
    box = None
    if form.get("name") == "rect":
        left, top, width, height = (float(form[key]) for key in ("x", "y", "width", "height"))
        box = (round(left) + 1, round(top) + 1, round(left + width), round(top + height))
    return [(str(value), box) for value in values if str(value).strip()]
