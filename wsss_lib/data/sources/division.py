"""Names the classes of a dataset and divides its photos into lists."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from wsss_lib.data import layout
from wsss_lib.data.layout import BACKGROUND, InputError
from wsss_lib.data.sources.dataset import Dataset, Wanted

HELD_OUT = 0.2


def class_order(dataset: Dataset, wanted: Wanted) -> list[str]:
    """Names the classes, and returns them in the order of the numbers in masks, without the background.

    Raises:
        InputError: names that labels.txt cannot hold, too many, or others than the tags.
    """
    counts = Counter(
        name for item in dataset.items.values() for name in {n for n, _ in item.objects}
    )
    order = list(wanted.names) or dataset.collection.names or sorted(counts)
    unknown = sorted(set(counts) - set(order))
    if unknown:
        given = "--names" if wanted.names else "the list of classes"
        raise InputError(
            f"{given} lacks the tag '{unknown[0]}' ({counts[unknown[0]]} photos); the tags are: {', '.join(sorted(counts))}"
        )
    for name in order:
        if not name.isprintable():
            raise InputError(
                f"the tag {name!r} has a line break or a control character in it; rename it."
            )
    idle = [name for name in order if name not in counts]
    if idle:
        dataset.said.append(
            f"{len(idle)} classes have no photo and are left out: {', '.join(idle[:8])}"
        )
    dataset.names = [BACKGROUND, *(name for name in order if name in counts)]
    if len(counts) > layout.MAX_CLASSES:
        raise InputError(
            f"there are {len(counts)} tags, but masks hold {layout.MAX_CLASSES} at most; merge or drop some."
        )
    return order


def divide(dataset: Dataset, wanted: Wanted) -> None:
    """Puts every photo into a list: as the source says, or every combination of tags in about the same proportion.

    A tag that has a single photo is learned from.

    Raises:
        InputError: one of the lists would be empty.
    """
    told = {id: item.part for id, item in dataset.items.items()}
    lists: dict[str, list[str]] = {"train": []}
    left = [id for id, part in told.items() if part in (None, "train")]
    if wanted.val is None or not set(told.values()) - {None, "train"}:
        for id, part in told.items():
            if part not in (None, "train"):
                lists.setdefault(part, []).append(id)
    else:
        left = list(told)
    share = (0 if "val" in lists else HELD_OUT) if wanted.val is None else wanted.val
    held_out = chosen(dataset, left, share, wanted.seed)
    lists["train"] = [id for id in left if id not in held_out]
    if held_out:
        lists["val"] = [id for id in left if id in held_out]
    if not lists["train"] or (share and "val" not in lists):
        raise InputError(
            f"{len(left)} photos cannot be divided with --val {share}; add photos, or give --val 0: no photo is held out then."
        )
    dataset.lists = lists
    learned = {name for id in lists["train"] for name, _ in dataset.items[id].objects}
    lost = [name for name in dataset.names[1:] if name not in learned]
    if lost:
        raise InputError(
            f"no photo in train has the tag '{lost[0]}'; add one, or divide anew with --val {HELD_OUT}."
        )


def chosen(dataset: Dataset, ids: Sequence[str], share: float, seed: int) -> set[str]:
    """The photos that are held out; of each tag at least one is not."""
    chance = random.Random(seed)
    order = sorted(ids, key=lambda id: (sorted(dataset.tags(id)), chance.random()))
    out = {id for i, id in enumerate(order) if int((i + 1) * share) > int(i * share)}
    for name in dataset.names[1:]:
        having = [id for id in order if name in dataset.tags(id)]
        if having and all(id in out for id in having):
            out.remove(having[0])
    return out
