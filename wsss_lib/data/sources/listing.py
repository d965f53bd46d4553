"""What lies in a folder: photos, and files that may say what they show."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsss_lib.data.layout import InputError
from wsss_lib.data.photo_files import PASSED_OVER, photo_endings

PARTS = {
    "train": "train", "training": "train", "valid": "val", "val": "val", "validation": "val", "dev": "val", "test": "test",
    "testing": "test",
}  # fmt: skip
MASKS = {"segmentationclass", "segmentationobject", "segmentationclassaug", "masks", "mask"}
TECHNICAL = {
    "images", "imgs", "image", "img", "photos", "jpegimages", "annotations", "annotation", "labels", "imagesets", "default",
    "dataset", "data", "obj_train_data",
} | MASKS  # fmt: skip
OTHER_PHOTOS = {
    ".heic", ".heif", ".avif", ".jxl", ".jp2", ".svg", ".raw", ".dng", ".cr2", ".nef", ".arw", ".psd", ".ico",
}  # fmt: skip
SYSTEM = {"thumbs.db", "desktop.ini", "ehthumbs.db"}


@dataclass
class Listing:
    """What lies in a folder and below it.

    Attributes:
        root: the folder.
        photos: files with the ending of a photo, but for those in folders of masks.
        others: all other files, by their ending.
        below: all folders below the root.
        empty: those of them that hold nothing.
        left_out: files that are or may be photos and are not taken, and why.
        passed_over: what systems add by themselves, and how often it was met.
    """

    root: Path
    photos: list[Path] = field(default_factory=list)
    others: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    below: list[Path] = field(default_factory=list)
    empty: list[Path] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    passed_over: Counter = field(default_factory=Counter)

    def folders(self, file: Path) -> tuple[str, ...]:
        """The folders between the root and a file."""
        return file.relative_to(self.root).parts[:-1]

    def mask_folder(self) -> Path | None:
        """The folder of masks, if there is one: VOC's, or else one that is named so."""
        named = [folder for folder in self.below if folder.name.lower() in MASKS]
        order = [(folder.name != "SegmentationClass", len(folder.parts)) for folder in named]
        return named[order.index(min(order))] if named else None


def part_named(name: str) -> str | None:
    """The part that a folder is of, by its name, as in ``valid`` and ``train2017``."""
    return PARTS.get(name.lower().rstrip("0123456789_- "))


def part_in(folders: Sequence[str]) -> str | None:
    """The part that a path is in: that of the innermost folder that is called so."""
    return next(filter(None, map(part_named, reversed(folders))), None)


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str], list[str]]]:
    """As `os.walk`, in order, through links to folders too: a folder, its folders, its files, and what is passed over."""
    for where, folders, files in os.walk(root, followlinks=True):
        if os.path.islink(where) and Path(where).resolve() in around(Path(where), root):
            folders.clear()  # a link to a folder that it lies in
            continue
        hidden = [name for name in folders if name.startswith(PASSED_OVER)]
        hidden += [name for name in files if name.startswith(".") or name.lower() in SYSTEM]
        folders[:] = sorted(set(folders) - set(hidden))
        yield Path(where), folders, sorted(set(files) - set(hidden)), hidden


def around(folder: Path, root: Path) -> set[Path]:
    """The folders that a folder lies in, up to the root."""
    parents = folder.parents[: len(folder.relative_to(root).parts)]
    return {parent.resolve() for parent in parents}


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
    for where, folders, files, hidden in walk(root):
        found.passed_over.update(map(hidden_kind, hidden))
        found.below += [where / name for name in folders]
        if not (folders or files or where == root):
            found.empty.append(where)
        in_masks = any(part.lower() in MASKS for part in where.relative_to(root).parts)
        for name in files:
            add(found, where / name, endings, in_masks)
    if not found.photos:
        ending = Counter(Path(file).suffix.lower() for file, _ in found.left_out).most_common(1)
        more = (
            f"; {ending[0][1]} files end in {ending[0][0]}: convert them to JPEG" if ending else ""
        )
        raise InputError(f"{root} holds no photos ({', '.join(sorted(endings))}){more}.")
    return found


def hidden_kind(name: str) -> str:
    """What a thing is that systems add: its name, where that is always the same."""
    known = name.startswith(("@", "__")) or name.lower() in SYSTEM
    return name if known or name in (".ipynb_checkpoints", ".DS_Store") else "hidden"


def add(found: Listing, file: Path, endings: set[str], in_masks: bool) -> None:
    """Puts a file where it belongs."""
    ending = file.suffix.lower()
    why = None
    if not file.is_file():
        why = "is no file" if file.exists() else "is a link to a file that is gone"
    elif ending in endings and in_masks:
        why = "lies in a folder of masks; give the folder another name if these are photos"
    elif ending not in endings and ending in OTHER_PHOTOS:
        why = f"ends in {file.suffix}, which is not read: convert it to JPEG"
    if why:
        found.left_out.append((str(file), why))
    elif ending in endings:
        found.photos.append(file)
    else:
        found.others[ending].append(file)
