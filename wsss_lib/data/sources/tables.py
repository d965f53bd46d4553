"""Tables of tags: one or several tags a photo, several rows a photo, a column for each tag, or a row for each box."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from wsss_lib.data.annotations import Box
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.cells import cutter, listed_tags
from wsss_lib.data.sources.collection import Asked, Collection, Item, boxed
from wsss_lib.data.sources.listing import Listing, part_named
from wsss_lib.data.sources.names import Names
from wsss_lib.data.sources.table_files import (
    CORNERS,
    DELIMITERS,
    Table,
    columns_of,
    decoded,
    is_number,
    read_table,
)
from wsss_lib.data.sources.tags import several
from wsss_lib.data.sources.via_csv import is_via, via_objects

ENDINGS = (".csv", ".tsv", ".txt")
NO_TABLES = {"labels.txt", "classes.txt", "labelmap.txt", "predefined_classes.txt", "originals.csv"}
MOST_TABLES = 20  # of a folder; more are a file for each photo
OUR_INDEX = b"id,height,width,digest,"
TAG_HEADS = {"tag", "label", "class", "category", "class_name", "object", "choice"}
PART_HEADS = {"split", "set", "subset", "part", "fold"}
MEASURES = {"", "width", "height", "size", "file_size", "filesize", "area", "id", "index"} | set(
    CORNERS
)
YES, NO = {"1", "1.0", "true", "yes", "x", "y"}, {"0", "0.0", "false", "no", "n", ""}
UNKNOWN = {"-1", "-1.0", "?"}

Objects = list[tuple[str, Box | None]]
Meaning = Callable[[list[str]], Objects]


def find_tables(listing: Listing, asked: Asked) -> list[Path]:
    """The tables of a folder: the one that is asked for, ``tags.csv``, or all that name photos."""
    if asked.table is not None:
        return [asked.table]
    files = tables_in(listing)
    named = [
        file for file in files if file.name.lower() == "tags.csv" and file.parent == listing.root
    ]
    names = Names(listing)
    return named or [file for file in files if is_table(file, names, asked.encoding)]


def tables_in(listing: Listing) -> list[Path]:
    """The files that may be tables, by their endings; they lie at the top or one folder below."""
    there = [file for ending in ENDINGS for file in listing.others.get(ending, ())]
    near = [file for file in there if len(listing.folders(file)) < 2]
    alike = Counter((file.parent, file.suffix) for file in near)
    return [
        file
        for file in near
        if file.name.lower() not in NO_TABLES and alike[file.parent, file.suffix] <= MOST_TABLES
    ]


def is_table(file: Path, names: Names, encoding: str | None) -> bool:
    """Whether a file names photos, with something beside each; a table that cannot be read is one as well."""
    with file.open("rb") as stream:
        if stream.read(len(OUR_INDEX)) == OUR_INDEX:
            return False
    try:
        _, rows = columns_of(decoded(file, encoding), names)
    except InputError:
        return file.suffix.lower() != ".txt"
    return bool(rows) and len(rows[0]) > 1


def read_tables(listing: Listing, files: Sequence[Path], asked: Asked) -> Collection:
    """The photos that tables name, with their tags.

    Raises:
        InputError: there are several tables that are not one a part; a table cannot be read, or in two ways; photos that are
            named are missing.
    """
    parts = [part_of(file) for file in files]
    if len(set(parts)) < len(files):
        raise InputError(
            f"there are several tables: {several(list(map(str, files)))}; say which one with --table FILE."
        )
    names, found = Names(listing), Collection(kind="table", about="", items=[])
    missing: list[tuple[Path, str]] = []
    known: dict[Path, Item] = {}
    abouts, order, moved = [], [], []
    for file, part in zip(files, parts):
        table = read_table(file, names, asked.encoding)
        meaning, about, tags = meaning_of(table, asked.separator, found.said)
        abouts.append(f"{file.name}: {about}")
        order += [tag for tag in tags if tag not in order]
        column = part_column(table, found.said)
        for row in table.rows:
            photo = names.claim(row[table.photo], file.parent)
            if photo is None:
                missing.append((file, row[table.photo]))
                continue
            told = part_named(row[column]) if column is not None else part
            before = known.get(photo, Item(file=photo, part=told))
            if told != before.part:
                moved.append(f"{photo.name} ({before.part}, {told})")
            objects = dict.fromkeys((*before.objects, *meaning(row)))
            known[photo] = Item(file=photo, objects=tuple(objects), part=before.part)
    refuse_missing(missing, asked.skip_missing)
    if moved:
        found.said.append(f"photos that are in two lists stay in the first: {several(moved)}")
    found.about = f"a table of tags ({'; '.join(dict.fromkeys(abouts))})"
    found.items, found.names = list(known.values()), order or None
    found.left_out += unused(listing, known, "is named nowhere", missing)
    return found


def part_of(file: Path) -> str | None:
    """The part that a file is of, by its name (``train``, ``instances_val2017``) or its folder."""
    words = re.split(r"[^a-z]+", file.stem.lower())
    return next(filter(None, map(part_named, words)), None) or part_named(file.parent.name)


def part_column(table: Table, said: list[str] | None = None) -> int | None:
    """The column that says in which list a photo is, if all that stands in it is the name of one; else that is said."""
    column = table.column(PART_HEADS)
    values = table.values(column) - {""} if column is not None else set()
    other = next((value for value in sorted(values) if not part_named(value)), None)
    if other is not None and said is not None:
        said.append(
            f"the column {table.titles[column]} of {table.file.name} is not taken for lists, since it holds {other!r} and not "
            "only train, val and test"
        )
    return column if values and other is None else None


def refuse_missing(missing: Sequence[tuple[Path, str]], skip: bool) -> None:
    """Raises an InputError for photos that are named and not there, all at once."""
    if missing and not skip:
        file, name = missing[0]
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(
            f"{file} names {name!r}{more}, but there is no such photo: add what is missing, correct the names, or leave them "
            "out with --skip-broken."
        )


def unused(
    listing: Listing, known: dict[Path, Item], why: str, missing: Sequence[tuple[Path, str]]
) -> list[tuple[str, str]]:
    """What is left out: photos that are named and not there, and photos that are there and not named."""
    absent = [(f"{name} of {file}", "is named, but is not there") for file, name in missing]
    return absent + [(str(photo), why) for photo in listing.photos if photo not in known]


def meaning_of(
    table: Table, separator: str | None, said: list[str]
) -> tuple[Meaning, str, list[str]]:
    """How a row is read, in a function and in words, and the tags that are headings.

    Raises:
        InputError: there are two ways, or none.
    """
    if is_via(table):
        return *via_objects(table), []
    width = len(table.titles or table.rows[0])
    others = [i for i in range(width) if i not in (table.photo, part_column(table))]
    columns = tag_columns(table, others)
    marks = [i for i in others if table.titles and is_marks(table, i)]
    columns += untitled(table, others, columns)
    apart = f"columns apart by {DELIMITERS[table.delimiter]}"
    if not columns and any(table.values(i) - {""} for i in marks) and 2 * len(marks) > len(others):
        look_beside(table, marks, [i for i in others if i not in marks], said)
        tags = [table.titles[i] for i in marks]
        return (lambda row: marked(row, marks, table.titles)), f"{apart}, one for each tag", tags
    if not columns and (not table.titles or len(others) == 1):
        columns = others
    if not columns:
        raise InputError(
            f"it cannot be told which column of {table.file} holds the tags ({several(table.titles)}): name its heading tags."
        )
    numbers = [i for i in columns if not table.titles and all(map(is_number, table.values(i)))]
    if numbers and len(numbers) < len(columns):
        raise InputError(
            f"{table.file} has no headings, and numbers in column {numbers[0] + 1}: write file, tags or xmin above its columns."
        )
    cut, how = cutter(table, columns, separator)
    corners = [table.column({corner}) for corner in CORNERS]

    def objects(row: list[str]) -> Objects:
        box = boxed([row[i] for i in corners]) if None not in corners else None
        tags = (cut(row[i]) if (held := listed_tags(row[i])) is None else held for i in columns)
        return [(tag, box) for several in tags for tag in several]

    return objects, f"{apart}, {how}", []


def tag_columns(table: Table, others: Sequence[int]) -> list[int]:
    """The columns with a heading that says that tags stand below it: ``tags``; ``label_1``, ``label_2``.

    Numbers of classes beside names of classes are passed over.

    Raises:
        InputError: they have different headings.
    """
    columns = [i for i in others if table.titles and tag_head(table.heads[i])]
    if len({tag_head(table.heads[i]) for i in columns}) > 1:
        columns = [i for i in columns if not all(map(is_number, table.values(i)))]
    heads = [table.titles[i] for i in columns]
    if len({tag_head(table.heads[i]) for i in columns}) > 1:
        raise InputError(
            f"it cannot be told which of the columns {several(heads)} of {table.file} holds the tags: leave one of them."
        )
    return columns


def untitled(table: Table, others: Sequence[int], columns: Sequence[int]) -> list[int]:
    """The columns behind the last heading that are not blank: further tags, where this is the heading of the tags.

    Raises:
        InputError: it is another heading.
    """
    last = max((i for i, title in enumerate(table.titles) if title), default=len(others))
    further = [i for i in others if i > last and table.values(i) != {""}]
    if further and last not in columns:
        line = next(table.delimiter.join(row) for row in table.rows if row[further[0]])
        raise InputError(
            f"{table.file} has more cells in the line {line!r} than headings: correct the line, or write a heading above each."
        )
    return further


def tag_head(head: str) -> str | None:
    """The word of a heading, without number and plural, if it says that tags stand below it."""
    base = re.sub(r"[_ -]?\d+$", "", head)
    forms = (base, base.removesuffix("s"), base.removesuffix("es"), base.removesuffix("ies") + "y")
    return next((form for form in forms if form in TAG_HEADS), None)


def is_marks(table: Table, column: int) -> bool:
    """Whether a column has a heading, and says nothing else than yes or no of each photo."""
    return bool(table.titles[column]) and table.values(column) <= YES | NO | UNKNOWN


def look_beside(table: Table, marks: Sequence[int], others: Sequence[int], said: list[str]) -> None:
    """Says what a table with a column for each tag holds besides yes and no.

    Raises:
        InputError: a column has other numbers, so that it may be a tag.
    """
    for i in others:
        number = next(filter(is_number, sorted(table.values(i) - YES - NO - UNKNOWN)), None)
        if number is not None and table.heads[i] not in MEASURES:
            raise InputError(
                f"{table.file} holds {number} in the column {table.titles[i]}: write 1 where a photo has this tag and 0 where "
                "not, or take the column away."
            )
    if others:
        said.append(
            f"columns of {table.file.name} that are no tags: {several([table.titles[i] for i in others])}"
        )
    unsure = sum(row[i].lower() in UNKNOWN for row in table.rows for i in marks)
    if unsure:
        said.append(
            f"{unsure} cells of {table.file.name} hold -1 or ?, which is not taken for a tag"
        )


def marked(row: list[str], marks: Sequence[int], titles: Sequence[str]) -> Objects:
    """The tags that have a yes."""
    return [(titles[i], None) for i in marks if row[i].lower() in YES]
