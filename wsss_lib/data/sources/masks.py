"""True masks as they are brought: found by their names, and written as palette PNGs at the size of their photos."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from wsss_lib.data import layout
from wsss_lib.data.layout import VOID, InputError
from wsss_lib.data.sources.dataset import Dataset, Wanted
from wsss_lib.data.sources.mask_values import decide, labels_of, read_pixels
from wsss_lib.data.sources.photos import Written

ENDINGS = (".png", ".bmp", ".tif", ".tiff", ".gif")
ADDED = re.compile(  # what tools add to the name of the photo
    r"^(mask|label|seg|gt)[_-]|[_ .-]?(mask|masks|label|labels|labelids|seg|segmentation|gt|groundtruth)$",
    re.IGNORECASE,
)
MOST_WRONG = 0.2  # share of the masks that may show a class which is no tag of their photo


def find_masks(folder: Path, photos: Mapping[str, Path]) -> dict[str, Path]:
    """The mask of each photo that has one, by its name: ``a.png``, ``a_mask.png`` or ``mask_a.png`` of ``a.jpg``.

    Args:
        folder: of the masks, with folders below.
        photos: the file of each id.

    Raises:
        InputError: no mask is called like a photo; two masks, or two photos, have the same name.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder of the masks.")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in ENDINGS)
    files = [file for file in files if not file.name.startswith(".")]
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        stem = file.stem
        stem = Path(stem).stem if Path(stem).suffix.lower() in (".jpg", ".jpeg", ".png") else stem
        by_name[ADDED.sub("", stem).lower()].append(file)
    found: dict[str, Path] = {}
    for id, photo in photos.items():
        names = dict.fromkeys([id.lower(), photo.stem.lower(), ADDED.sub("", photo.stem).lower()])
        alike = next((by_name[name] for name in names if name in by_name), [])
        if alike:
            found[id] = the_one(alike, photo)
    refuse_shared(found)
    if not files:
        raise InputError(f"{folder} holds no masks ({', '.join(ENDINGS)}).")
    if not found:
        first = f"the first is {files[0].name}, a photo is {next(iter(photos.values())).name}"
        raise InputError(
            f"{len(files)} masks lie in {folder}, but none is called like a photo ({first}); rename them."
        )
    return found


def the_one(masks: Sequence[Path], photo: Path) -> Path:
    """The mask that lies in a folder of the same name as the photo's, if there are several."""
    if len(masks) == 1:
        return masks[0]
    near = [mask for mask in masks if mask.parent.name == photo.parent.name]
    if len(near) != 1:
        raise InputError(
            f"{masks[0]} and {masks[1]} are both called like {photo}; give each photo one mask."
        )
    return near[0]


def refuse_shared(found: Mapping[str, Path]) -> None:
    """Raises an InputError if two photos would have the same mask."""
    taken: dict[Path, str] = {}
    for id, mask in found.items():
        if taken.setdefault(mask, id) != id:
            raise InputError(
                f"{mask} is called like two photos ({taken[mask]} and {id}); put photos and masks into folders of the same "
                "names, or rename them."
            )


def look_at_masks(
    dataset: Dataset,
    root: Path | None,
    folder: Path,
    wanted: Wanted,
    order: list[str],
    progress: bool,
) -> None:
    """Reads the masks that belong to the photos, and writes them if there is a folder for it.

    Raises:
        InputError: see `wsss_lib.data.sources.masks`; a mask has another size than its photo, or many show other classes
            than the tags.
    """
    found = find_masks(folder, {id: item.file for id, item in dataset.items.items()})
    pixels = (
        read_pixels(file) for file in tqdm(found.values(), desc="masks", disable=not progress)
    )
    told = wanted.mask_values or dataset.collection.mask_values
    code = decide(pixels, told and str(told), order)
    dataset.said.append(
        f"{len(found)} of {len(dataset.items)} photos have a mask; read as {code.about}"
    )
    new_label = {name: label for label, name in enumerate(dataset.names)}
    label_of = [0, *(new_label.get(name, VOID) for name in order)]
    label_of += [VOID] * (256 - len(label_of))
    other = []
    for id, file in tqdm(found.items(), desc="writing masks", disable=not progress):
        own = [order.index(name) + 1 for name in dataset.tags(id)]
        label_HW = labels_of(read_pixels(file), code, own)
        label_HW = upright(label_HW, file, dataset.written[id])
        shown = set(np.unique(label_HW).tolist()) - {0, VOID}
        if not shown <= set(own):
            other.append((file, order[min(shown - set(own)) - 1], dataset.tags(id)))
        if root is not None:
            (root / layout.MASKS).mkdir(exist_ok=True)
            label_HW = np.array(label_of, np.uint8)[
                resized_labels(label_HW, dataset.written[id].size_HW)
            ]
            layout.write_mask(root / layout.MASKS / f"{id}.png", label_HW)
    dataset.masks = found
    taken = set(map(str, found.values()))
    dataset.collection.left_out = [
        each for each in dataset.collection.left_out if each[0] not in taken
    ]
    if said := refuse_other_classes(other, len(found)):
        dataset.said.append(said)


def upright(label_HW: np.ndarray, file: Path, photo: Written) -> np.ndarray:
    """A mask as its photo is seen; one that lies as the photo is stored is turned with it.

    Raises:
        InputError: it is neither.
    """
    seen_HW = photo.upright_HW
    if label_HW.shape == photo.stored_HW and seen_HW != photo.stored_HW:
        return np.asarray(Image.fromarray(label_HW).transpose(photo.turn))
    layout.refuse_other_size(file, label_HW.shape, seen_HW)
    return label_HW


def refuse_other_classes(other: Sequence[tuple[Path, str, list[str]]], masks: int) -> str:
    """What is to be said of masks that show a class which is no tag of their photo.

    Args:
        other: the file, the first such class, and the tags.
        masks: how many there are altogether.

    Raises:
        InputError: there are so many that the numbers seem to mean other classes.
    """
    if not other:
        return ""
    file, name, tags = other[0]
    words = (
        f"{len(other)} of {masks} masks show a class that is no tag of their photo; the first is {file}: '{name}', where the "
        f"tags are {', '.join(tags) or 'none'}"
    )
    if len(other) > MOST_WRONG * masks:
        raise InputError(
            f"{words}. If the masks count the classes in another order, say it (--names {' '.join(tags or [name])} ...); "
            "--masks none leaves them out."
        )
    return words


def resized_labels(label_HW: np.ndarray, size_HW: tuple[int, int]) -> np.ndarray:
    """Labels at another size: each pixel has that of the nearest one."""
    if label_HW.shape == tuple(size_HW):
        return label_HW
    image = Image.fromarray(label_HW).resize(size_HW[::-1], Image.Resampling.NEAREST)
    return np.asarray(image)
