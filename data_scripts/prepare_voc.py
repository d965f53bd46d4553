"""Bring PASCAL VOC 2012 into the one layout, and check it.

    python data_scripts/prepare_voc.py data/voc12 --tar VOCtrainval_11-May-2012.tar
    python data_scripts/prepare_voc.py VOCdevkit/VOC2012
    python data_scripts/prepare_voc.py data/voc12 --aug SegmentationClassAug

The first form unpacks the official archive (2 GB; http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ or a mirror of it)
after comparing its checksum. The second takes a folder that is unpacked already, and adds labels.txt to it. The third
adds the split train_aug, on which the papers train: give it the folder of masks that were made from the Semantic
Boundaries Dataset (Hariharan et al., ICCV 2011), usually called SegmentationClassAug. Photos of val stay out of it.
"""

import hashlib
import shutil
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm.auto import tqdm

from wsss_lib.data import layout
from wsss_lib.data.layout import InputError
from wsss_lib.data.photos import Photos, read_mask

NAMES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse "
    "motorbike person pottedplant sheep sofa train tvmonitor"
).split()
MD5 = "6cd6e144f989b92b3379bac3b3de84fd"  # of VOCtrainval_11-May-2012.tar; torchvision's, too
INSIDE = "VOCdevkit/VOC2012"
WANTED = (layout.PHOTOS, layout.ANNOTATIONS, layout.MASKS, layout.SPLITS)


@dataclass(frozen=True, kw_only=True)
class Voc:
    """What to prepare."""

    root: tyro.conf.Positional[Path]
    """The unpacked VOC2012; with --tar, the new folder to unpack into."""
    tar: Path | None = None
    """VOCtrainval_11-May-2012.tar."""
    aug: Path | None = None
    """A folder of masks for more training photos (SegmentationClassAug): makes the split train_aug."""


def unpack(tar: Path, root: Path, md5: str = MD5) -> None:
    """Unpack what the layout needs of VOC's archive as ``root``, which is there afterwards or not at all.

    Raises:
        InputError: the archive is missing or damaged, or ``root`` is there already.
    """
    if root.exists():
        raise InputError(f"{root} is there already; give a new folder, or leave out --tar.")
    if not tar.is_file():
        raise InputError(f"{tar} is missing; download it or correct the path.")
    if checksum(tar) != md5:
        raise InputError(
            f"{tar} is not the official archive (its md5 is not {md5}); download it again."
        )
    aside = root.with_name(f".{root.name}.part")
    shutil.rmtree(aside, ignore_errors=True)  # of an earlier try
    aside.mkdir(parents=True)
    try:
        with tarfile.open(tar) as archive:
            # the filter refuses paths that lead out of the folder, links and devices
            archive.extractall(aside, members=wanted(archive), filter="data")
        (aside / INSIDE).rename(root)
    except (tarfile.TarError, FileNotFoundError, EOFError) as error:
        raise InputError(f"{tar} cannot be unpacked ({error}); download it again.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def wanted(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The members that belong to the layout."""
    folders = tuple(f"{INSIDE}/{folder}/" for folder in WANTED)
    for member in tqdm(archive, desc="unpacking", unit=" files"):
        if member.name.startswith(folders):
            yield member


def checksum(file: Path) -> str:
    """The md5 of a large file."""
    digest = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(2**22):
            digest.update(block)
    return digest.hexdigest()


def add_train_aug(root: Path, masks: Path) -> None:
    """Write the split train_aug: every photo with a mask in ``masks`` that is not in val, and its mask.

    VOC's own masks stay as they are: they are finer.

    Raises:
        InputError: there are no masks, or one is broken.
    """
    val = set(layout.split_ids(root, "val"))
    ids = sorted({file.stem for file in masks.glob("*.png")} - val)
    if not ids:
        raise InputError(
            f"{masks} holds no masks (.png) of training photos; give the folder SegmentationClassAug."
        )
    layout.refuse_absent(
        root / layout.PHOTOS, ids, ".jpg", f"{masks} belongs to other photos than {root}"
    )
    for id in tqdm(ids, desc="masks of train_aug", unit=" masks"):
        file = root / layout.MASKS / f"{id}.png"
        if not file.exists():
            layout.write_mask(file, read_mask(masks / file.name, classes=len(NAMES) - 1))
    layout.write_lines(root / layout.SPLITS / "train_aug.txt", ids)


def check(root: Path, split: str) -> None:
    """Open every photo, annotation and mask of a split, and print what there is.

    Raises:
        InputError: something is missing or broken.
    """
    photos = Photos(root, split).with_masks(root / layout.MASKS)
    for index in tqdm(range(len(photos)), desc=f"checking {split}", unit=" photos"):
        photos[index]
    tags = int(photos.tags_NK.sum())
    print(f"{split}: {len(photos)} photos, {tags} tags, {tags / len(photos):.3f} a photo")


def prepare(options: Voc, md5: str = MD5) -> None:
    """Do what the options say.

    Raises:
        InputError: something that was given cannot be used.
    """
    if options.tar:
        unpack(options.tar, options.root, md5)
    for folder in WANTED:
        if not (options.root / folder).is_dir():
            raise InputError(
                f"{options.root / folder} is missing; give the folder VOC2012, or unpack it with --tar."
            )
    layout.write_lines(options.root / layout.LABELS, NAMES)
    if options.aug:
        add_train_aug(options.root, options.aug)
    for split in ("train", "val", *(["train_aug"] if options.aug else [])):
        check(options.root, split)
    print(f"{options.root} is ready")


def main(options: Voc) -> None:
    """Prepare VOC 2012, or say why not."""
    try:
        prepare(options)
    except InputError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main(tyro.cli(Voc, description=__doc__))
