"""Bring PASCAL VOC 2012 into the one layout, and check it.

    python data_scripts/prepare_voc.py data/voc12 --tar VOCtrainval_11-May-2012.tar
    python data_scripts/prepare_voc.py VOCdevkit/VOC2012
    python data_scripts/prepare_voc.py data/voc12 --aug SegmentationClassAug

The first form unpacks the official archive (2 GB; http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ or a mirror of it)
after comparing its checksum. The second takes a folder that is unpacked already, and adds labels.txt to it. The third
adds the split train_aug, on which the papers train: give it the folder of masks that were made from the Semantic
Boundaries Dataset (Hariharan et al., ICCV 2011), usually called SegmentationClassAug. Photos of val stay out of it.
"""

import contextlib
import hashlib
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from tqdm.auto import tqdm

from wsss_lib.data import layout
from wsss_lib.data.files import atomic, atomic_folder
from wsss_lib.data.layout import InputError
from wsss_lib.data.photos import Photos, read_mask
from wsss_lib.exits import in_one_sentence

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
            width, height = layout.read_photo(root / layout.PHOTOS / f"{id}.jpg").size
            mask = read_mask(masks / file.name, classes=len(NAMES) - 1, size=(height, width))
            with atomic(file) as aside:
                layout.write_mask(aside, mask)
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
    with named(options.root):
        if options.aug:
            add_train_aug(options.root, options.aug)
        for split in ("train", "val", *(["train_aug"] if options.aug else [])):
            check(options.root, split)
    print(f"{options.root} is ready")


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line says, or say in one sentence why not."""
    with in_one_sentence("prepare_voc"):
        prepare(tyro.cli(Voc, args=arguments, description=__doc__))


if __name__ == "__main__":
    main()
