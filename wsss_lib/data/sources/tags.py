"""Tags as people write them, made one where they are the same."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from wsss_lib.data.layout import BACKGROUND
from wsss_lib.data.sources.collection import Collection, Item


def tidy(tag: str) -> str:
    """A tag without blanks around and repeated inside, in composed Unicode."""
    return unicodedata.normalize("NFC", re.sub(r"[ \t\u00a0]+", " ", tag)).strip()


def unified(collection: Collection) -> Collection:
    """The same photos with tidy tags: spellings that differ in capitals are one tag, and the background is none.

    Of several spellings the most frequent one is taken, and that is said.
    """
    tidied = [
        replace(item, objects=tuple((tidy(n), box) for n, box in item.objects))
        for item in collection.items
    ]
    counts = Counter(name for item in tidied for name, _ in item.objects)
    order = [tidy(name) for name in collection.names or ()]
    chosen: dict[str, str] = {}
    for name in sorted(counts, key=lambda name: (name not in order, -counts[name], name)):
        known = chosen.setdefault(name.casefold(), name)
        if known != name:
            collection.said.append(
                f"'{name}' ({counts[name]}) and '{known}' ({counts[known]}) are taken for one tag, '{known}'"
            )
    collection.items = [renamed(item, chosen) for item in tidied]
    if collection.names is not None:
        named = [
            chosen.get(name.casefold(), name) for name in order if name.casefold() != BACKGROUND
        ]
        collection.names = list(dict.fromkeys(named))
    return collection


def renamed(item: Item, chosen: dict[str, str]) -> Item:
    """A photo with the spelling that was chosen of each tag."""
    named = [
        (chosen[n.casefold()], box) for n, box in item.objects if n and n.casefold() != BACKGROUND
    ]
    return replace(item, objects=tuple(named))


def several(names: Sequence[str], most: int = 5) -> str:
    """Some of many names, in words."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
