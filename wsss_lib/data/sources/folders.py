"""A folder for each tag: ``cat/a.jpg``, also ``cat/2023/a.jpg`` and ``train/cat/a.jpg``."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

from wsss_lib.data.layout import BACKGROUND, InputError
from wsss_lib.data.sources.collection import Collection, Item
from wsss_lib.data.sources.listing import PARTS, TECHNICAL, Listing
from wsss_lib.data.sources.tags import several


def looks_like(listing: Listing) -> bool:
    """Whether photos lie in folders that may be tags."""
    return any(tag is not None for _, tag, _ in placed(listing))


def read_folders(listing: Listing, asked: bool = False) -> Collection:
    """The photos, each with the tag of its folder.

    Args:
        listing: of the source.
        asked: it is said to be of this kind.

    Raises:
        InputError: no folder can be a tag, or one folder holds all others.
    """
    places = list(placed(listing, flat_parts=asked))
    tagged = [(photo, tag, part) for photo, tag, part in places if tag is not None]
    if not tagged:
        folders = Counter("/".join(listing.folders(photo)) or "." for photo in listing.photos)
        raise InputError(
            f"{listing.root} holds photos in {several(sorted(folders))}, and no folder that could be a tag: make a folder for "
            "each tag, or a table tags.csv with lines file,tag;tag. (Folders such as images, train and val are no tags.)"
        )
    if not asked:
        refuse_lone(listing, tagged)
    found = Collection(kind="folders", about="a folder for each tag", items=[])
    for photo, tag, part in tagged:
        objects = () if tag.casefold() == BACKGROUND else ((tag, None),)
        found.items.append(Item(file=photo, objects=objects, part=part))
    found.left_out += [
        (str(photo), "lies in no folder of a tag") for photo, tag, _ in places if tag is None
    ]
    parts = sorted({part for _, _, part in tagged if part})
    if parts:
        found.about = f"a folder for each tag in {' and '.join(parts)}"
    deep = sum(
        len(listing.folders(photo)) > (2 if part else 1) + stripped(listing, photo)
        for photo, _, part in tagged
    )
    if deep:
        found.said.append(f"{deep} photos lie deeper: they have the tag of the outermost folder")
    found.said += vanished(listing, {tag for _, tag, _ in tagged})
    return found


def stripped(listing: Listing, photo: Path) -> int:
    """How many technical folders stand before the tag."""
    return sum(name.lower() in TECHNICAL for name in listing.folders(photo)[:2])


def placed(listing: Listing, flat_parts: bool = False) -> list[tuple[Path, str | None, str | None]]:
    """Each photo, its tag and its part, as far as folders say so.

    ``train`` and ``val`` are parts, and no tags, where all folders at the top are named so and hold folders.
    """
    tops: dict[str, set[bool]] = defaultdict(set)
    for photo in listing.photos:
        names = [name for name in listing.folders(photo) if name.lower() not in TECHNICAL]
        if names:
            tops[names[0]].add(len(names) > 1)
    split = bool(tops) and all(name.lower() in PARTS for name in tops)
    if split and flat_parts and not any(True in deep for deep in tops.values()):
        split = False  # it is said that these are tags
    found = []
    for photo in listing.photos:
        names = [name for name in listing.folders(photo) if name.lower() not in TECHNICAL]
        part = PARTS[names[0].lower()] if names and split else None
        names = names[1:] if part else names
        found.append((photo, names[0] if names else None, part))
    return found


def refuse_lone(listing: Listing, tagged: list[tuple[Path, str, str | None]]) -> None:
    """Raises an InputError if all photos lie below one folder that holds several: which of them are the tags?"""
    if len({tag for _, tag, _ in tagged}) > 1:
        return
    top = tagged[0][1]
    inner = {
        names[names.index(top) + 1]
        for photo, _, _ in tagged
        if (names := listing.folders(photo))[-1] != top
    }
    direct = any(listing.folders(photo)[-1] == top for photo, _, _ in tagged)
    if len(inner) > 1 and not direct:
        raise InputError(
            f"all photos lie in folders below {top}: give {listing.root / top} if these are tags ({several(sorted(inner))}), "
            f"or say --as folders if all show '{top}'."
        )


def vanished(listing: Listing, tags: set[str]) -> list[str]:
    """Says which folders give no tag, since no photo in them can be read."""
    lost = {
        listing.folders(Path(file))[0]
        for file, _ in listing.left_out
        if listing.folders(Path(file))
    }
    return [
        f"the folder {name} gives no tag: none of its files is a photo that is read"
        for name in sorted(lost - tags)
        if name.lower() not in TECHNICAL and name.lower() not in PARTS
    ]
