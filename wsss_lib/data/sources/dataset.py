"""A dataset on its way from what people bring to the one layout."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from wsss_lib.data.layout import InputError
from wsss_lib.data.limits import refuse_outside
from wsss_lib.data.sources.collection import Collection, Item
from wsss_lib.data.sources.photos import Written


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How a dataset is to be written.

    Attributes:
        val: the part of the photos that is held out; None: as the source says, else a fifth.
        seed: which photos these are.
        max_side: longer side of a photo at most, in pixels; None: any.
        skip_broken: photos that cannot be read are left out, and named.
        names: the classes in the order of the masks' numbers.
        masks: a folder of true masks; None: that of the source, if it has one; ``none``: none.
        mask_values: what they say, see `wsss_lib.data.sources.masks.decide`.
    """

    val: float | None = None
    seed: int = 0
    max_side: int | None = 1000
    skip_broken: bool = False
    names: tuple[str, ...] = ()
    masks: Path | None = None
    mask_values: str | None = None

    def __post_init__(self) -> None:
        refuse_outside(self, "val", least=0, most=0.9)
        refuse_outside(self, "seed max_side", least=0, whole=True)


@dataclass(kw_only=True)
class Dataset:
    """What is written, or would be.

    Attributes:
        collection: what was brought.
        names: class names, background first.
        items: each photo by its id.
        lists: ids of each split.
        written: what is known of each photo.
        copies: files that hold the same photo as another one, and that other one.
        masks: the mask of each id that has one.
        said: what the user should read.
    """

    collection: Collection
    names: list[str] = field(default_factory=list)
    items: dict[str, Item] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    written: dict[str, Written] = field(default_factory=dict)
    copies: dict[Path, Path] = field(default_factory=dict)
    masks: dict[str, Path] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def tags(self, id: str) -> list[str]:
        """The tags of a photo, in the order of the classes."""
        own = {name for name, _ in self.items[id].objects}
        return [name for name in self.names if name in own]


def refuse_taken(root: Path) -> None:
    """Raises an InputError if something lies in the place of a new dataset."""
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(f"{root} is there already; give a new folder.")
