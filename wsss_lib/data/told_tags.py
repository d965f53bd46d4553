"""Tags of photos that lie in no dataset, as a table or in one line."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wsss_lib.data.layout import InputError, lines_of
from wsss_lib.data.limits import known


def read_tags(given: str, photos: Sequence[Path], names: Sequence[str]) -> np.ndarray:
    """The tags of photos, bool ``(N, K)``.

    Args:
        given: a table with a line ``file,tag;tag`` for each photo, with or without a heading and folders in front of
            ``file``; or the tags of all photos, ``tag;tag``.
        photos: the files.
        names: class names, background first.

    Raises:
        InputError: a tag is no class, a photo has no line, or a line is that of two photos.
    """
    if given.lower().endswith((".csv", ".txt")) or Path(given).is_file():
        return of_table(Path(given), photos, names)
    row = tags_of(given, names, "--tags")
    return np.tile(row, (len(photos), 1))


def of_table(table: Path, photos: Sequence[Path], names: Sequence[str]) -> np.ndarray:
    """The tags that a table has for each photo; see `read_tags`."""
    rows = dict(read_rows(table))
    asked_by: dict[str, Path] = {}
    tags_NK = np.zeros((len(photos), len(names) - 1), dtype=bool)
    missing = []
    for number, photo in enumerate(photos):
        parts = photo.resolve().parts
        keys = ["/".join(parts[start:]) for start in range(len(parts))] + [photo.stem]
        key = next((key for key in keys if key in rows), None)
        if key is None:
            missing.append(photo)
            continue
        if key in asked_by:
            raise InputError(
                f"{table} has one line {key} for two photos, {asked_by[key]} and {photo}: write the "
                "folder in front of the name, as in b/a.jpg."
            )
        asked_by[key] = photo
        tags_NK[number] = tags_of(rows[key], names, f"{table}, {key}")
    if missing:
        more = f" and {len(missing) - 1} more photos" if len(missing) > 1 else ""
        raise InputError(f"{table} has no line for {missing[0]}{more}; add a line file,tag;tag.")
    return tags_NK


def read_rows(table: Path) -> list[tuple[str, str]]:
    """File, with slashes, and tags of each line.

    Raises:
        InputError: the table cannot be read, has lines of another form, or two for a file.
    """
    found: dict[str, str] = {}
    lines = lines_of(table, "give the file of a table, or the tags themselves")
    for file, *tags in csv.reader(lines):
        name = file.strip().replace("\\", "/").removeprefix("./")
        if len(tags) != 1:
            raise InputError(f"{table} holds {','.join([file, *tags])!r}; write file,tag;tag.")
        if name in found:
            raise InputError(f"{table} holds {name} more than once; leave one of the lines.")
        found[name] = tags[0]
    return list(found.items())


def tags_of(text: str, names: Sequence[str], where: str) -> np.ndarray:
    """Tags, apart by semicolons, as bool ``(K,)``.

    Raises:
        InputError: one of them is no class.
    """
    classes = list(names[1:])
    row_K = np.zeros(len(classes), dtype=bool)
    for tag in filter(None, map(str.strip, text.split(";"))):
        try:
            row_K[classes.index(known(tag, classes, "class"))] = True
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    return row_K
