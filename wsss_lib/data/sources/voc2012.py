"""PASCAL VOC 2012 (Everingham et al., IJCV 2015), from its archive or unpacked; its layout is the one layout.

Photos and masks stay as they are. On the list ``train_aug`` the papers train: the photos of VOC and of the Semantic
Boundaries Dataset (Hariharan et al., ICCV 2011) that are not in val, 10,582 of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from tqdm.auto import tqdm

from wsss_lib.data import layout
from wsss_lib.data.files import atomic, atomic_folder
from wsss_lib.data.index import read_index
from wsss_lib.data.layout import InputError
from wsss_lib.data.sources.dataset import refuse_taken
from wsss_lib.data.truth import refuse_bad_masks

NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
).split()
MD5 = "6cd6e144f989b92b3379bac3b3de84fd"  # of VOCtrainval_11-May-2012.tar; torchvision's, too
INSIDE = "VOCdevkit/VOC2012"
WANTED = (layout.PHOTOS, layout.ANNOTATIONS, layout.MASKS, layout.SPLITS)
PHOTOS_IN = {"train": 1464, "val": 1449}


def meant(source: Path, kind: str | None) -> bool:
    """Whether a source is VOC 2012: it is said to be, is a tar archive, or holds its lists."""
    if kind is not None:
        return kind == "voc2012"
    return source.suffix == ".tar" or all(
        lines_in(inside(source) / layout.SPLITS / f"{split}.txt") == count
        for split, count in PHOTOS_IN.items()
    )


def inside(source: Path) -> Path:
    """The folder VOC2012, if a folder above it was given."""
    places = (source, source / "VOC2012", source / INSIDE)
    return next((place for place in places if (place / layout.PHOTOS).is_dir()), source)


def lines_in(file: Path) -> int:
    """How many lines a list has; 0 if there is none."""
    return len(file.read_bytes().split()) if file.is_file() else 0


def prepare(source: Path, root: Path, aug: Path | None = None, md5: str = MD5) -> None:
    """Brings VOC 2012 into the one layout, checks it, and says what there is.

    Args:
        source: the archive, or the unpacked folder.
        root: the new folder; or the unpacked one itself, which then gets labels.txt.
        aug: makes the list ``train_aug``: a folder of masks of its photos, or a list of their ids.
        md5: of the archive.

    Raises:
        InputError: something that was given cannot be used.
    """
    if source.is_dir():
        source = inside(source)
        if root.resolve() != source.resolve():
            copy(source, root)
    else:
        unpack(source, root, md5)
    refuse_incomplete(root)
    with named(root):
        if aug:
            add_train_aug(root, aug)
        for split in ("train", "val", *(["train_aug"] if aug else [])):
            check(root, split, masks=split != "train_aug" or aug.is_dir())
    print(f"{root} is ready")


def refuse_incomplete(root: Path) -> None:
    """Raises an InputError if a folder of VOC 2012 is missing."""
    for folder in WANTED:
        if not (root / folder).is_dir():
            raise InputError(
                f"{root / folder} is missing; give the folder VOC2012, or the archive VOCtrainval_11-May-2012.tar."
            )


def copy(source: Path, root: Path) -> None:
    """Copies what the layout needs; ``root`` is there afterwards or not at all."""
    refuse_taken(root)
    refuse_incomplete(source)
    with atomic_folder(root) as aside:
        for folder in tqdm(WANTED, desc="copying", unit=" folders"):
            shutil.copytree(source / folder, aside / folder, copy_function=shutil.copyfile)


def unpack(tar: Path, root: Path, md5: str = MD5) -> None:
    """Unpacks what the layout needs of VOC's archive as ``root``, which is there afterwards or not at all.

    Raises:
        InputError: the archive is missing or damaged, or ``root`` is there already.
    """
    if root.exists():
        raise InputError(f"{root} is there already; give a new folder, or the unpacked one alone.")
    if not tar.is_file():
        raise InputError(f"{tar} is missing; download it or correct the path.")
    if checksum(tar) != md5:
        raise InputError(
            f"{tar} is not the official archive (its md5 is not {md5}); download it again."
        )
    try:
        with atomic_folder(root) as aside, tarfile.open(tar) as archive:
            # the filter refuses paths that lead out of the folder, links and devices
            archive.extractall(aside, members=wanted(archive), filter="data")
            if not any(aside.iterdir()):
                raise InputError(
                    f"{tar} cannot be unpacked: it holds no {INSIDE}; give VOC 2012's."
                )
    except (
        tarfile.TarError,
        zlib.error,
        EOFError,
        KeyError,
    ) as error:  # KeyError: a link to nothing
        reason = (str(error).splitlines() or ["empty"])[0].strip("\"':(")
        raise InputError(f"{tar} cannot be unpacked ({reason}); download it again.") from error


def wanted(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members that belong to the layout, with their places in it."""
    folders = tuple(f"{INSIDE}/{folder}/" for folder in WANTED)
    for member in tqdm(archive, desc="unpacking", unit=" files"):
        if member.name.startswith(folders):
            yield member.replace(name=member.name.removeprefix(f"{INSIDE}/"), deep=False)


def checksum(file: Path) -> str:
    """The md5 of a large file."""
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(2**22):
            digest.update(block)
    return digest.hexdigest()


def add_train_aug(root: Path, given: Path) -> None:
    """Writes the list ``train_aug``: every photo that is named and is not in val, and its mask if there is one.

    VOC's own masks stay as they are: they are finer.

    Args:
        root: the dataset.
        given: a folder of masks, or a list of ids, one a line (also with folders and endings, as DeepLab's).

    Raises:
        InputError: it names no photo of training, or one that is not there; a mask is broken.
    """
    if given.is_dir():
        named = {file.stem for file in given.glob("*.png")}
    else:
        named = {
            Path(line.split()[0]).stem for line in layout.lines_of(given, "write the ids into it")
        }
    ids = sorted(named - set(layout.split_ids(root, "val")))
    if not ids:
        raise InputError(
            f"{given} names no training photos; give the folder SegmentationClassAug, or a list of ids."
        )
    layout.refuse_absent(
        root / layout.PHOTOS, ids, ".jpg", f"{given} belongs to other photos than {root}"
    )
    if given.is_dir():
        copy_masks(root, ids, given)
    layout.write_lines(root / layout.SPLITS / "train_aug.txt", ids)


def copy_masks(root: Path, ids: list[str], masks: Path) -> None:
    """Writes the masks that VOC itself does not have."""
    for id in tqdm(ids, desc="masks of train_aug", unit=" masks"):
        file = root / layout.MASKS / f"{id}.png"
        if not file.exists():
            label_HW = layout.read_labels(masks / file.name)
            width, height = layout.read_photo(root / layout.PHOTOS / f"{id}.jpg").size
            layout.refuse_other_size(masks / file.name, label_HW.shape, (height, width))
            known = label_HW[label_HW != layout.VOID]
            layout.refuse_other_labels(masks / file.name, known.max(initial=0), len(NAMES) - 1)
            with atomic(file) as aside:
                layout.write_mask(aside, label_HW)


def check(root: Path, split: str, masks: bool) -> None:
    """Looks at every photo, annotation and mask of a list, and prints what there is.

    Raises:
        InputError: something is missing or broken.
    """
    photos = read_index(root, split, progress=True)
    if masks:
        layout.refuse_absent(root / layout.MASKS, photos.ids, ".png", "copy it from the archive")
        refuse_bad_masks(root, split, progress=True)
    tags = sum(len({name for name, _ in objects}) for objects in photos.objects)
    print(f"{split}: {len(photos.ids)} photos, {tags} tags, {tags / len(photos.ids):.3f} a photo")


@contextlib.contextmanager
def named(root: Path) -> Iterator[None]:
    """Gives VOC's class names to a folder; they are taken back if the block does not end well.

    Raises:
        InputError: it has others.
    """
    file = root / layout.LABELS
    if file.exists():
        if layout.class_names(root) != NAMES:
            raise InputError(f"{file} holds other classes than VOC's; this is another dataset.")
        yield
        return
    layout.write_lines(file, NAMES)
    try:
        yield
    except BaseException:
        file.unlink()
        raise
