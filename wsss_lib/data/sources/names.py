"""Photos, found by the names that tables, lists and annotations give them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.listing import Listing, part_in

ENDING = re.compile(r"\.(jpe?g|jpe|jfif|png|webp|bmp|tiff?|gif|avif|hei[cf])$", re.IGNORECASE)


class Names:
    """Photos by their names: with or without folders in front, with or without an ending, as a file or as an address."""

    def __init__(self, listing: Listing) -> None:
        self.root = listing.root
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        self.by_stem: dict[str, list[Path]] = defaultdict(list)
        for photo in listing.photos:
            self.by_name[key(photo.name)].append(photo)
            self.by_stem[key(photo.stem)].append(photo)
        self.claimed: dict[Path, PurePosixPath] = {}
        self.parts: dict[Path, str | None] = {}

    def called(self, path: PurePosixPath) -> list[Path]:
        """The photos that are called so, wherever they lie."""
        stem = path.stem if ENDING.search(path.name) else path.name
        return self.by_name.get(key(path.name)) or self.by_stem.get(key(stem), [])

    def knows(self, name: str) -> bool:
        """Whether a photo is called so."""
        return any(self.called(path) for path in paths_of(name))

    def find(self, name: str, near: Path) -> Path | None:
        """The photo that a name means, or None.

        Args:
            name: as it stands in a table.
            near: the folder of the table: of several photos of that name the nearest is meant. A photo in the folder of
                another part (``val`` where the name or the table is in ``train``) is not meant.

        Raises:
            InputError: two photos are as near.
        """
        return self.found(name, near)[0]

    def claim(self, name: str, near: Path) -> Path | None:
        """As `find`, for names of which each means a photo of its own.

        Raises:
            InputError: two names that differ mean the same photo.
        """
        photo, path = self.found(name, near)
        if photo is not None:
            before = self.claimed.setdefault(photo, path)
            if before != path and differ(before, path):
                raise InputError(
                    f"{before} and {path} are two names, but {photo} is the only photo that is called so: add what is missing, "
                    "or correct the names."
                )
        return photo

    def found(self, name: str, near: Path) -> tuple[Path | None, PurePosixPath]:
        """The photo that a name means, or None; and the name as a path."""
        around = self.part(near)
        for path in paths_of(name):
            part = part_in(path.parts[:-1]) or around
            alike = [
                photo
                for photo in self.called(path)
                if part is None or self.part(photo.parent) in (part, None)
            ]
            if alike:
                return nearest(name, path, alike, near), path
        return None, path

    def part(self, folder: Path) -> str | None:
        """The part that a folder is of."""
        if folder not in self.parts:
            self.parts[folder] = part_in(Path(os.path.relpath(folder, self.root)).parts)
        return self.parts[folder]


def key(name: str) -> str:
    """What is the same for names that mean the same file; some systems store an umlaut as two signs."""
    return unicodedata.normalize("NFC", name).lower()


def paths_of(name: str) -> Iterator[PurePosixPath]:
    """What a name can mean as a path: what it says, and, if it is an address, what that says."""
    plain = name.strip().replace("\\", "/")
    yield PurePosixPath(plain)
    if re.search(r"://|%[0-9a-fA-F]{2}|[?&]d=", plain):
        local = re.sub(r"^.*[?&]d=", "", plain)  # Label Studio's own files
        yield PurePosixPath(unquote(re.sub(r"[?#].*$", "", local)))


def differ(one: PurePosixPath, other: PurePosixPath) -> bool:
    """Whether two paths cannot be of one file: they have other folders, or other endings."""
    folders = [path.parent.parts for path in (one, other)]
    if any(key(a) != key(b) for a, b in zip(*map(reversed, folders))):
        return True
    return len({path.suffix.lower() for path in (one, other) if ENDING.search(path.name)}) > 1


def nearest(name: str, path: PurePosixPath, alike: Sequence[Path], near: Path) -> Path:
    """Of photos that are called alike the one whose folders a name says, or else the nearest."""

    def fits(photo: Path) -> tuple[int, bool, int, bool]:
        same = common_end(path.parent.parts, photo.parent.parts)
        return (
            same,
            photo.name == path.name,
            len(os.path.commonpath([photo.parent, near])),
            photo.parent == near,
        )

    best, *rest = sorted(alike, key=fits, reverse=True) if len(alike) > 1 else alike
    if rest and fits(rest[0]) == fits(best):
        what = "ending behind" if rest[0].parent == best.parent else "folder in front of"
        raise InputError(f"{name} can be {best} or {rest[0]}; write the {what} the name.")
    return best


def common_end(one: Iterable[str], other: Sequence[str]) -> int:
    """How many folders, from the last one on, are called the same."""
    wanted = [key(part) for part in one if part not in ("/", ".", "..")]
    pairs = zip(reversed(wanted), reversed(other))
    return next((i for i, (a, b) in enumerate(pairs) if a != key(b)), min(len(wanted), len(other)))
