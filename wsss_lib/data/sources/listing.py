"""What lies in a folder: photos, and files that may say what they show; found again by the names that tables give them."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from wsss_lib.data.layout import InputError
from wsss_lib.data.photo_files import PASSED_OVER, photo_endings

PARTS = {
    "train": "train",
    "training": "train",
    "valid": "val",
    "val": "val",
    "validation": "val",
} | {name: "test" for name in ("test", "testing")}
MASKS = {"segmentationclass", "segmentationobject", "segmentationclassaug", "masks", "mask"}
TECHNICAL = {
    "images", "imgs", "image", "img", "photos", "jpegimages", "annotations", "annotation", "labels", "imagesets", "default",
    "dataset", "data", "obj_train_data", "train2014", "val2014", "train2017", "val2017",
} | MASKS  # fmt: skip
OTHER_PHOTOS = {
    ".heic",
    ".heif",
    ".avif",
    ".jxl",
    ".jp2",
    ".svg",
    ".raw",
    ".dng",
    ".cr2",
    ".nef",
    ".arw",
    ".psd",
    ".ico",
}
SYSTEM = {"thumbs.db", "desktop.ini", "ehthumbs.db"}


@dataclass
class Listing:
    """What lies in a folder and below it.

    Attributes:
        root: the folder.
        photos: files with the ending of a photo, but for those in folders of masks.
        others: all other files, by their ending.
        left_out: files that are or may be photos and are not taken, and why.
        passed_over: what systems add by themselves, and how often it was met.
    """

    root: Path
    photos: list[Path] = field(default_factory=list)
    others: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    left_out: list[tuple[str, str]] = field(default_factory=list)
    passed_over: Counter = field(default_factory=Counter)

    def folders(self, file: Path) -> tuple[str, ...]:
        """The folders between the root and a file."""
        return file.relative_to(self.root).parts[:-1]

    def mask_folder(self) -> Path | None:
        """The folder of masks, if there is one: VOC's, or else one that is named so."""
        found = [
            Path(where) for where, folders, _ in walk(self.root) for where in below(where, folders)
        ]
        named = [folder for folder in found if folder.name.lower() in MASKS]
        return min(
            named,
            key=lambda folder: (folder.name != "SegmentationClass", len(folder.parts)),
            default=None,
        )


def below(where: str, folders: Iterable[str]) -> list[str]:
    """The folders in a folder."""
    return [os.path.join(where, name) for name in folders]


def walk(root: Path) -> Iterable[tuple[str, list[str], list[str]]]:
    """As `os.walk`, in order, also through links to folders, each once; what is hidden is passed over."""
    seen: set[str] = set()
    for where, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith(PASSED_OVER))
        yield where, folders, sorted(files)


def listed(root: Path) -> Listing:
    """Lists a folder.

    Raises:
        InputError: it is not there, or holds no photo.
    """
    if not root.is_dir():
        raise InputError(
            f"{root} is not a folder, and no table, json or archive that is known; give a folder of photos."
        )
    found, endings = Listing(root), photo_endings()
    for where, _, files in walk(root):
        hidden = [name for name in os.listdir(where) if name.startswith(PASSED_OVER)]
        found.passed_over.update(hidden_kind(name) for name in hidden)
        in_masks = any(part.lower() in MASKS for part in Path(where).relative_to(root).parts)
        for name in files:
            if not (name.startswith(".") or name.lower() in SYSTEM):
                add(found, Path(where, name), endings, in_masks)
    if not found.photos:
        ending = Counter(Path(file).suffix.lower() for file, _ in found.left_out).most_common(1)
        more = (
            f"; {ending[0][1]} files end in {ending[0][0]}: convert them to JPEG" if ending else ""
        )
        raise InputError(f"{root} holds no photos ({', '.join(sorted(endings))}){more}.")
    return found


def hidden_kind(name: str) -> str:
    """What a thing is that systems add: its name, where that is always the same."""
    return (
        name
        if name.startswith(("@", "__")) or name in (".ipynb_checkpoints", ".DS_Store")
        else "hidden"
    )


def add(found: Listing, file: Path, endings: set[str], in_masks: bool) -> None:
    """Puts a file where it belongs."""
    ending = file.suffix.lower()
    if ending in endings and in_masks:
        found.left_out.append((str(file), "lies in a folder of masks"))
    elif ending in endings and not file.exists():
        found.left_out.append((str(file), "is a link to a file that is gone"))
    elif ending in endings:
        found.photos.append(file)
    elif ending in OTHER_PHOTOS:
        found.left_out.append(
            (str(file), f"ends in {file.suffix}, which is not read: convert it to JPEG")
        )
    else:
        found.others[ending].append(file)


class Names:
    """Photos by the names that others give them: with or without folders in front, with or without an ending."""

    def __init__(self, listing: Listing) -> None:
        self.root = listing.root
        self.by_name: dict[str, list[Path]] = defaultdict(list)
        for photo in listing.photos:
            self.by_name[photo.name.lower()].append(photo)
            self.by_name[photo.stem.lower()].append(photo)

    def knows(self, name: str) -> bool:
        """Whether a photo is called so."""
        return name.lower() in self.by_name

    def find(self, name: str, near: Path) -> Path | None:
        """The photo that a name means, or None.

        Args:
            name: as it stands in a table.
            near: the folder of the table: of several photos of that name the nearest is meant.

        Raises:
            InputError: two photos are as near.
        """
        path = PurePosixPath(re.sub(r"[?#].*$", "", name.strip().replace("\\", "/")))
        alike = self.by_name.get(path.name.lower()) or self.by_name.get(path.stem.lower(), [])
        if len(alike) < 2:
            return alike[0] if alike else None
        wanted = [part.lower() for part in path.parts if part not in ("/", ".", "..")]

        def fits(photo: Path) -> tuple[int, int, bool]:
            parts = [part.lower() for part in photo.parts]
            same = next(
                (i for i, (a, b) in enumerate(zip(reversed(wanted), reversed(parts))) if a != b),
                len(wanted),
            )
            return same, len(os.path.commonpath([photo.parent, near])), photo.parent == near

        best, *rest = sorted(alike, key=fits, reverse=True)
        if rest and fits(rest[0]) == fits(best):
            raise InputError(
                f"{name} can be {best} or {rest[0]}; write the folder in front of the name."
            )
        return best
