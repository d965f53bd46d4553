"""Photos that lie anywhere, in no dataset: they are found, their sizes read, and what is made of them gets names."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import ExifTags, Image

from wsss_lib.data import layout
from wsss_lib.data.layout import InputError

PASSED_OVER = (".", "@", "__MACOSX")  # how folders and files begin that systems add by themselves


def photo_endings() -> set[str]:
    """The endings of files, with the dot and in small letters, that `wsss_lib.data.layout.read_photo` reads."""
    known = Image.registered_extensions()
    return {ending for ending, format in known.items() if format in layout.FORMATS}


def find_photos(places: Iterable[str | Path]) -> tuple[list[Path], list[Path]]:
    """The photos that are meant by files and folders, each once.

    Args:
        places: a file is taken as it is; of a folder, and of the folders in it, the files with the ending of a photo.

    Returns:
        The photos, and the files in the folders that have other endings; what is hidden is in neither.

    Raises:
        InputError: a place is not there, or there is no photo.
    """
    endings, photos, others = photo_endings(), {}, []
    for place in map(Path, places):
        if not place.exists():
            raise InputError(f"{place} does not exist; give photos, or folders of photos.")
        for file in files_below(place) if place.is_dir() else [place]:
            if file is place or file.suffix.lower() in endings:
                photos.setdefault(os.path.realpath(file), file)
            else:
                others.append(file)
    if not photos:
        where = ", ".join(map(str, places))
        raise InputError(f"{where}: there is no photo ({', '.join(sorted(endings))}).")
    return list(photos.values()), others


def files_below(folder: Path) -> Iterable[Path]:
    """The files of a folder and of those in it, in order, but for what is hidden."""
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(PASSED_OVER))
        yield from (Path(parent, name) for name in sorted(files) if name[0] != ".")


def refuse_inside(to: str | Path, places: Iterable[str | Path]) -> None:
    """Raises an InputError if what is written to a folder would lie among the photos that are read."""
    target = Path(to).resolve()
    for place in map(Path, places):
        folder = place.resolve() if place.is_dir() else None
        if target == place.resolve().parent or folder in (target, *target.parents):
            raise InputError(
                f"{to} is among the photos ({place}): what is written there would be taken for photos "
                "the next time; give --to another folder."
            )


def upright_size(file: str | Path) -> tuple[int, int]:
    """Height and width of a photo turned as its EXIF says, from the head of its file.

    Raises:
        InputError: the photo is missing, or no picture.
    """
    try:
        with Image.open(layout.regular(file), formats=layout.FORMATS) as image:
            turn = layout.TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
            sideways = turn in layout.SIDEWAYS
            if sideways and image.format == "TIFF":  # which Pillow itself turns
                image.load()
                sideways = False
            return (image.width, image.height) if sideways else (image.height, image.width)
    except layout.UNREADABLE as error:
        raise InputError(f"{file} cannot be read as a photo ({error}).", Path(file)) from error


def names_of(files: Sequence[Path]) -> dict[Path, str]:
    """A name for each photo: that of its file without the ending.

    Files of one folder that differ in the ending alone keep it; of several folders they get the folder in front, and so many
    more above it as it takes. Names that differ in capitals only count as one, since some disks take them for one.

    Raises:
        InputError: that does not make them different.
    """
    ends = {file: file.stem for file in files}
    for alike in clashing({file: str(file.with_suffix("")) for file in files}):
        ends |= {file: f"{file.stem}_{file.suffix[1:]}" for file in alike}
    names, above = dict(ends), dict.fromkeys(files, 0)
    while clashes := clashing(names):
        for file in (file for alike in clashes for file in alike):
            folders = [part.strip("/\\:") for part in file.resolve().parent.parts]
            above[file] += 1
            if above[file] > len(folders):
                raise InputError(f"{file} has the name of another photo; rename one of them.")
            names[file] = "_".join(filter(None, [*folders[-above[file] :], ends[file]]))
    return names


def clashing(names: dict[Path, str]) -> list[list[Path]]:
    """The files that share a name, group by group."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for file, name in names.items():
        groups[name.casefold()].append(file)
    return [group for group in groups.values() if len(group) > 1]
