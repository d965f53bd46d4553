"""What was found in what people bring: in lines for the console, and on one page."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from wsss_lib.data import layout
from wsss_lib.data.files import atomic
from wsss_lib.data.layout import InputError
from wsss_lib.data.pages import as_jpeg, hex_of, page
from wsss_lib.data.sources.dataset import Dataset

TEMPLATE = Path(__file__).with_name("look.html")
MOST_TAGS, MOST_EXAMPLES, MOST_FILES = 24, 5, 200
BACKGROUND_ADVICE = (
    "every photo shows the only class, so a classifier cannot learn what it is not: add photos without it, in a folder named "
    "background"
)


def lines(dataset: Dataset) -> Iterator[str]:
    """What a user should know, a line each."""
    yield f"taken for {dataset.collection.about}"
    yield from dataset.said
    yield from advice(dataset)
    for reason, files in left_out(dataset).items():
        yield f"left out: {len(files)} ({reason}), for example {files[0]}"
    if dataset.copies:
        one, other = next(iter(dataset.copies.items()))
        told = "they count once, with the tags of all"
        yield f"{len(dataset.copies)} files are copies of another one: {told}, for example {one} and {other}"
    counts = photos_of_tags(dataset)
    known = ", ".join(f"{name} {counts[name]}" for name in dataset.names[1 : MOST_TAGS + 1])
    more = f" and {len(counts) - MOST_TAGS} more" if len(counts) > MOST_TAGS else ""
    untagged = sum(not item.objects for item in dataset.items.values())
    without = f"; {untagged} photos without a tag" if untagged else ""
    yield f"{len(counts)} tags: {known}{more}{without}"
    yield ", ".join(f"{len(ids)} photos in {split}" for split, ids in dataset.lists.items())


def advice(dataset: Dataset) -> Iterator[str]:
    """What will be hard to learn from these photos."""
    if len(dataset.names) == 2 and all(item.objects for item in dataset.items.values()):
        yield BACKGROUND_ADVICE
    if "val" not in dataset.lists:
        yield "no photo is held out: give a run --data.val train, and its figures are of photos that it has learned from"


def photos_of_tags(dataset: Dataset) -> Counter:
    """How many photos have each tag."""
    return Counter(name for id in dataset.items for name in dataset.tags(id))


def left_out(dataset: Dataset) -> dict[str, list[str]]:
    """The files that were left out, by the reason."""
    files: dict[str, list[str]] = defaultdict(list)
    for file, reason in dataset.collection.left_out:
        files[reason].append(file)
    return files


def write_page(dataset: Dataset, root: Path, name: str) -> Path:
    """Writes ``report.html`` beside a prepared dataset.

    Args:
        dataset: as it was written.
        root: its folder.
        name: of the page.

    Returns:
        The file.
    """
    counts = photos_of_tags(dataset)
    page_of = page(
        TEMPLATE,
        name=name,
        about=dataset.collection.about,
        said=[*dataset.said, *advice(dataset)],
        tiles=tiles(dataset),
        tags=list(tag_rows(dataset, counts)),
        splits=list(dataset.lists),
        tags_a_photo=tags_a_photo(dataset),
        sizes=sizes(dataset),
        examples=list(examples(dataset, root)),
        copies=[(str(one), str(other)) for one, other in dataset.copies.items()][:MOST_FILES],
        left_out={reason: files[:MOST_FILES] for reason, files in left_out(dataset).items()},
    )
    file = root / "report.html"
    with atomic(file) as aside:
        aside.write_text(page_of, encoding="utf-8")
    return file


def tiles(dataset: Dataset) -> list[tuple[str, int, str]]:
    """The numbers that say most: title, value, meaning."""
    found = [("Photos", len(dataset.items), "that are read")]
    found.append(("Tags", len(dataset.names) - 1, "different ones"))
    found += [(split, len(ids), "photos in this list") for split, ids in dataset.lists.items()]
    if dataset.masks:
        found.append(("Masks", len(dataset.masks), "to compare with"))
    return found


def tag_rows(dataset: Dataset, counts: Counter) -> Iterator[dict]:
    """Of each tag: its colour, and how many photos have it, altogether and in each list."""
    most = max(counts.values())
    colours = layout.voc_palette()
    for label, name in enumerate(dataset.names[1:], start=1):
        cells = [sum(name in dataset.tags(id) for id in ids) for ids in dataset.lists.values()]
        yield {
            "name": name,
            "colour": hex_of(colours[label % 256]),
            "photos": counts[name],
            "share": round(100 * counts[name] / most),
            "cells": cells,
        }


def tags_a_photo(dataset: Dataset) -> list[tuple[int, int]]:
    """How many photos have no tag, one, two and so on."""
    return sorted(Counter(len(dataset.tags(id)) for id in dataset.items).items())


def sizes(dataset: Dataset) -> list[tuple[str, str]]:
    """Width and height of the smallest photo, the middle one and the largest, as stored and as written."""
    rows = []
    for title, of in (("as they were", "upright_HW"), ("as they are written", "size_HW")):
        found = sorted(
            (getattr(known, of) for known in dataset.written.values() if not known.error),
            key=np.prod,
        )
        shown = [found[0], found[len(found) // 2], found[-1]]
        rows.append((title, [f"{width} x {height}" for height, width in shown]))
    return rows


def examples(dataset: Dataset, root: Path) -> Iterator[dict]:
    """Some photos of each tag, and some without one."""
    groups = {
        name: [id for id in dataset.items if name in dataset.tags(id)]
        for name in dataset.names[1 : MOST_TAGS + 1]
    }
    groups["no tag"] = [id for id in dataset.items if not dataset.tags(id)]
    for name, ids in groups.items():
        pictures = [(id, thumbnail(root, id)) for id in ids[:: max(1, len(ids) // MOST_EXAMPLES)]]
        if pictures:
            yield {"name": name, "pictures": pictures[:MOST_EXAMPLES]}


def thumbnail(root: Path, id: str) -> dict | None:
    """A photo as it was written, small."""
    try:
        return as_jpeg(np.asarray(layout.read_photo(root / layout.PHOTOS / f"{id}.jpg")))
    except InputError:
        return None
