"""Finds out what lies in a source, and reads it as that."""

from __future__ import annotations

from pathlib import Path

from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.coco_json import jsons_in, read_coco
from wsss_lib.data.sources.collection import Asked, Collection
from wsss_lib.data.sources.folders import looks_like, read_folders
from wsss_lib.data.sources.listing import Listing, listed
from wsss_lib.data.sources.tables import ENDINGS, find_tables, read_tables
from wsss_lib.data.sources.tags import several, unified
from wsss_lib.data.sources.voc_xml import annotations_in, read_voc

WORDS = {
    "coco": "COCO json", "voc": "annotations in VOC's format", "table": "a table of tags", "folders": "a folder for each tag",
}  # fmt: skip
OTHERS = {
    "a YOLO export (a text file of numbers for each photo)": lambda listing: any(
        file.parent.name.lower() in ("labels", "obj_train_data") or file.with_suffix(".jpg").exists()
        for file in listing.others.get(".txt", ())
        if file.name.lower() not in ("readme.txt",)
    ) or any(file.name.lower() in ("data.yaml", "data.yml") for e in (".yaml", ".yml") for file in listing.others.get(e, ())),
    "a json that is not COCO's": lambda listing: bool(listing.others.get(".json")),
}  # fmt: skip


def read(source: Path, asked: Asked) -> Collection:
    """The photos of a source, with their tags.

    Args:
        source: a folder, a table or a json.
        asked: what the source does not say of itself.

    Raises:
        InputError: nothing is found, or it can be read in two ways.
    """
    alone = None
    if source.is_file():
        source, alone = source.resolve().parent, source.resolve()
        if alone.suffix.lower() in ENDINGS:
            asked = Asked(**{**vars(asked), "kind": "table", "table": alone})
    listing = listed(source)
    files = {
        "coco": [alone] if alone and alone.suffix == ".json" else jsons_in(listing),
        "voc": annotations_in(listing),
        "table": find_tables(listing, asked),
        "folders": listing.photos if looks_like(listing) else [],
    }
    kind = (
        "coco"
        if alone and alone.suffix == ".json"
        else asked.kind or the_kind(listing, files, asked)
    )
    collection = read_as(kind, listing, files, asked)
    collection.left_out = [*listing.left_out, *collection.left_out]
    if listing.passed_over:
        passed = several([f"{name} ({count})" for name, count in listing.passed_over.most_common()])
        collection.said.append(f"passed over, since systems make them: {passed}")
    collection = unified(collection)
    if not any(item.objects for item in collection.items):
        raise InputError(f"{source} was taken for {collection.about}, but no photo has a tag.")
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
    if found:
        return found[0]
    for words, holds in OTHERS.items():
        if holds(listing):
            raise InputError(
                f"{listing.root} looks like {words}, which is not read: export it as COCO or as Pascal VOC."
            )
    return "folders"  # which says what is missing


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
