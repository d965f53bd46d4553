"""Finds out what lies in a source, and reads it as that."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.coco_json import jsons_in, read_coco
from wsss_lib.data.sources.collection import Asked, Collection
from wsss_lib.data.sources.folders import looks_like, read_folders
from wsss_lib.data.sources.listing import Listing, listed
from wsss_lib.data.sources.names import Names
from wsss_lib.data.sources.table_files import read_table
from wsss_lib.data.sources.tables import ENDINGS, find_tables, read_tables, tables_in
from wsss_lib.data.sources.tags import several, unified
from wsss_lib.data.sources.voc_xml import annotations_in, read_voc

WORDS = {
    "coco": "COCO json", "voc": "annotations in VOC's format", "table": "a table of tags", "folders": "a folder for each tag",
}  # fmt: skip
NUMBERS = re.compile(
    rb"\s*\d+([ \t]+-?\d+(\.\d+)?(e-?\d+)?){4,}\s*(\n|$)", re.IGNORECASE
)  # of a box in YOLO's form
KEYS = (b'"annotations"', b'"regions"', b'"shapes"', b'"objects"', b'"_via_settings"', b'"boxes"')
LOOKED_AT = 20  # files of a kind


def read(source: Path, asked: Asked) -> Collection:
    """The photos of a source, with their tags.

    Args:
        source: a folder, a table or a json.
        asked: what the source does not say of itself.

    Raises:
        InputError: nothing is found, or it can be read in two ways.
    """
    alone = source.resolve() if source.is_file() else None
    if alone:
        asked = asked_of(alone, asked)
        source = alone.parent
    listing = listed(source)
    files = {
        "coco": [alone] if alone and asked.kind == "coco" else jsons_in(listing),
        "voc": annotations_in(listing),
        "table": find_tables(listing, asked),
        "folders": listing.photos if looks_like(listing) else [],
    }
    collection = read_as(asked.kind or the_kind(listing, files, asked), listing, files, asked)
    collection.left_out = [*listing.left_out, *collection.left_out]
    if listing.passed_over:
        passed = several([f"{name} ({count})" for name, count in listing.passed_over.most_common()])
        collection.said.append(f"passed over, since systems make them: {passed}")
    collection = unified(collection)
    if not any(item.objects for item in collection.items):
        raise InputError(f"{source} was taken for {collection.about}, but no photo has a tag.")
    return with_parts(collection)


def asked_of(alone: Path, asked: Asked) -> Asked:
    """What a single file asks to be read as.

    Raises:
        InputError: it is neither a table nor a json.
    """
    ending = alone.suffix.lower()
    if ending in ENDINGS:
        return replace(asked, kind="table", table=alone)
    if ending == ".json":
        return replace(asked, kind="coco")
    raise InputError(
        f"{alone} is neither a folder, nor a table (.csv, .tsv, .txt), nor COCO's json: give the folder of the photos; unpack "
        "an archive first."
    )


def with_parts(collection: Collection) -> Collection:
    """The same photos; where all are of one part, they are to be divided."""
    parts = {item.part for item in collection.items}
    if len(parts) == 1:
        collection.items = [replace(item, part=None) for item in collection.items]
    return collection


def the_kind(listing: Listing, files: dict[str, list[Path]], asked: Asked) -> str:
    """What a source is.

    Raises:
        InputError: several kinds, or none.
    """
    found = [kind for kind, there in files.items() if there]
    if asked.table or [file.name.lower() for file in files["table"]] == ["tags.csv"]:
        return "table"
    if files["coco"] or files["voc"]:  # they name the photos, so folders are only where these lie
        found = [kind for kind in found if kind != "folders"]
    if len(found) > 1:
        words = " and as ".join(f"{WORDS[kind]} (--as {kind})" for kind in found)
        raise InputError(f"{listing.root} can be read as {words}: say which.")
    if found in ([], ["folders"]):
        refuse_others(listing, bool(found))
    if not found:
        for file in tables_in(listing):
            if file.suffix.lower() != ".txt":
                read_table(file, Names(listing), asked.encoding)  # which says what is wrong with it
    return found[0] if found else "folders"  # which says what is missing


def read_as(kind: str, listing: Listing, files: dict[str, list[Path]], asked: Asked) -> Collection:
    """Reads a source as one kind.

    Raises:
        InputError: it has nothing of the kind.
    """
    if kind == "folders":
        return read_folders(listing, asked.kind == "folders")
    if not files[kind]:
        raise InputError(f"{listing.root} holds no {WORDS[kind].removeprefix('a ')}.")
    return {"coco": read_coco, "voc": read_voc, "table": read_tables}[kind](
        listing, files[kind], asked
    )


def refuse_others(listing: Listing, tags: bool) -> None:
    """Raises an InputError if files in a format that is not read say what the photos show.

    Args:
        listing: of the source.
        tags: its folders may be tags, too.
    """
    for words, holds in OTHERS.items():
        if holds(listing):
            folders = " If the folders are the tags, say --as folders." if tags else ""
            raise InputError(
                f"{listing.root} looks like {words}, which is not read: export it as COCO or as Pascal VOC.{folders}"
            )


def is_yolo(listing: Listing) -> bool:
    """Whether text files hold a line of numbers for each object, or a file of YOLO's names the classes."""
    labels = [
        file for file in listing.others.get(".txt", ()) if {"labels"} & set(file.parts[-3:-1])
    ]
    texts = [*sidecars(listing, ".txt"), *labels][:LOOKED_AT]
    settings = [file for ending in (".yaml", ".yml") for file in listing.others.get(ending, ())]
    return any(NUMBERS.match(start(file)) for file in texts) or any(
        file.stem.lower() == "data" for file in settings
    )


def is_json(listing: Listing) -> bool:
    """Whether json files say what photos show: each lies beside a photo of its name, or they hold annotations."""
    files = listing.others.get(".json", [])[:LOOKED_AT]
    return bool(sidecars(listing, ".json")) or any(
        key in start(file) for file in files for key in KEYS
    )


def is_cvat(listing: Listing) -> bool:
    """Whether one XML holds the annotations of all photos."""
    return any(
        b"<annotations>" in start(file) for file in listing.others.get(".xml", [])[:LOOKED_AT]
    )


OTHERS: dict[str, Callable[[Listing], bool]] = {
    "a YOLO export (a text file of numbers for each photo)": is_yolo,
    "a json of annotations that is not COCO's": is_json,
    "an export of CVAT for images": is_cvat,
}


def sidecars(listing: Listing, ending: str) -> list[Path]:
    """The files of an ending that lie beside a photo of the same name, as ``a.txt`` or ``a.jpg.txt`` beside ``a.jpg``."""
    files = listing.others.get(ending, [])
    known = (
        {each for photo in listing.photos for each in (photo, photo.with_suffix(""))}
        if files
        else ()
    )
    return [file for file in files if file.with_suffix("") in known]


def start(file: Path) -> bytes:
    """How a file begins."""
    with file.open("rb") as stream:
        return stream.read(2**14)
