"""A folder for each tag: ``cat/a.jpg``, also ``cat/2023/a.jpg`` and ``train/cat/a.jpg``."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from wsss_lib.data.layout import BACKGROUND, InputError
from wsss_lib.data.sources.collection import Collection, Item
from wsss_lib.data.sources.listing import TECHNICAL, Listing, part_named
from wsss_lib.data.sources.tags import several

Tops = dict[str, set[bool]]


def looks_like(listing: Listing) -> bool:
    """Whether photos lie in folders that may be tags."""
    split = has_parts(tops_of(listing))
    return any(place(listing.folders(photo), split)[0] for photo in listing.photos)


def read_folders(listing: Listing, asked: bool = False) -> Collection:
    """The photos, each with the tag of its folder.

    Args:
        listing: of the source.
        asked: it is said to be of this kind.

    Raises:
        InputError: no folder can be a tag, one folder holds all others, or some folders are tags and some are parts.
    """
    tops = tops_of(listing)
    split = has_parts(tops)
    if split and asked and not any(True in deep for deep in tops.values()):
        split = False  # it is said that these are tags
    places = [(photo, *place(listing.folders(photo), split)) for photo in listing.photos]
    tagged = [(photo, tag, part) for photo, tag, part in places if tag is not None]
    refuse_without_tags(listing, tagged)
    if not asked:
        refuse_parts_among_tags(listing, tops)
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
    found.said += [
        f"the folder {n} is taken for a tag" for n in tops if part_named(n) and not split
    ]
    deep = sum(len(named(listing.folders(photo))) > (2 if part else 1) for photo, _, part in tagged)
    if deep:
        found.said.append(f"{deep} photos lie deeper: they have the tag of the outermost folder")
    found.said += vanished(listing, {tag for _, tag, _ in tagged}, split)
    return found


def named(folders: Iterable[str]) -> list[str]:
    """Folders without those that technical reasons have named."""
    return [name for name in folders if name.lower() not in TECHNICAL]


def tops_of(listing: Listing) -> Tops:
    """The outermost folders that may be tags or parts, and whether photos lie deeper in them, and not."""
    tops: Tops = defaultdict(set)
    for photo in listing.photos:
        names = named(listing.folders(photo))
        if names:
            tops[names[0]].add(len(names) > 1)
    return tops


def has_parts(tops: Tops) -> bool:
    """Whether the outermost folders are parts (``train`` and ``val``), and no tags: all of them are called so."""
    return bool(tops) and all(map(part_named, tops))


def place(folders: Sequence[str], split: bool) -> tuple[str | None, str | None]:
    """The tag and the part of what lies in some folders, as far as these say so."""
    names = named(folders)
    part = part_named(names[0]) if names and split else None
    names = names[1:] if part else names
    return (names[0] if names else None), part


def refuse_without_tags(listing: Listing, tagged: Sequence) -> None:
    """Raises an InputError if no folder can be a tag."""
    if not tagged:
        folders = Counter("/".join(listing.folders(photo)) or "." for photo in listing.photos)
        raise InputError(
            f"{listing.root} holds photos in {several(sorted(folders))}, and no folder that could be a tag: make a folder for "
            "each tag, or a table tags.csv with lines file,tag;tag. (Folders such as images, train and val are no tags.)"
        )


def refuse_parts_among_tags(listing: Listing, tops: Tops) -> None:
    """Raises an InputError if some folders are parts and others tags; a lone ``train`` can be what its photos show."""
    parts = [name for name in tops if part_named(name)]
    if not parts or len(parts) == len(tops):
        return
    if [name.lower() for name in parts] != ["train"] or True in tops[parts[0]]:
        others = [name for name in tops if name not in parts]
        raise InputError(
            f"{listing.root} holds {several(parts)} beside {several(others)}, and folders called so are usually lists: "
            "take the others away, or say --as folders if all of them are tags."
        )


def refuse_lone(listing: Listing, tagged: list[tuple[Path, str, str | None]]) -> None:
    """Raises an InputError if all photos lie below one folder that holds several: which of them are the tags?"""
    chains = [named(listing.folders(photo))[bool(part) :] for photo, _, part in tagged]
    common = os.path.commonprefix(chains)
    if not common or any(chain == common for chain in chains):
        return
    inner = sorted({chain[len(common)] for chain in chains})
    folders = listing.folders(tagged[0][0])
    where = listing.root.joinpath(*folders[: folders.index(chains[0][len(common)], len(common))])
    raise InputError(
        f"all photos lie in folders below {common[0]}: give {where} if these are tags ({several(inner)}), or say --as folders "
        f"if all show '{common[0]}'."
    )


def vanished(listing: Listing, tags: set[str], split: bool) -> list[str]:
    """Says which folders give no tag, since no photo in them can be read, and what else was not read."""
    others = [file for files in listing.others.values() for file in files]
    lost: dict[str, Counter] = defaultdict(Counter)
    for file in (*map(Path, (file for file, _ in listing.left_out)), *others):
        lost[place(listing.folders(file), split)[0]][
            file.suffix.lower() or "without an ending"
        ] += 1
    for folder in listing.empty:
        lost[place(folder.relative_to(listing.root).parts, split)[0]].update()
    said = [
        f"the folder {tag} gives no tag: {f'it holds no photo that is read ({counted(kinds)})' if kinds else 'it is empty'}"
        for tag, kinds in sorted((tag or "", kinds) for tag, kinds in lost.items())
        if tag and tag not in tags
    ]
    rest = Counter(file.suffix.lower() or "without an ending" for file in others)
    return said + ([f"files that are no photos: {counted(rest)}"] if rest else [])


def counted(kinds: Counter) -> str:
    """How many there are of each kind, in words."""
    order = sorted(kinds.items(), key=lambda kind: (-kind[1], kind[0]))
    return several([f"{count} {kind}" for kind, count in order])
