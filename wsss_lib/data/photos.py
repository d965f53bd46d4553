"""Reads photos, tags and masks in the one layout (see :mod:`wsss_lib.data.layout`).

:class:`Photos` is all that a weakly supervised stage gets: photos and their tags. Masks come only
with :class:`MaskedPhotos`, which only :meth:`Photos.with_masks` makes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import pil_to_tensor

from wsss_lib.data import layout
from wsss_lib.data.layout import VOID, InputError, class_names

# a split whose decoded photos take less is kept in memory: decoding a 128-pixel JPEG takes as long
# as augmenting it
KEEP_BYTES = 256 * 2**20


class Photos(Dataset):
    """The photos of one split and their tags; no mask can be reached through it.

    An item is a dict: ``id``, ``index``, ``image`` (uint8 ``(3, H, W)``, or what ``transform``
    makes of it) and ``tags`` (float32 ``(K,)``). Its randomness is torch's global generator's.

    Args:
        root: a dataset in the one layout.
        split: one of the lists in ``ImageSets/Segmentation``.
        transform: takes the dict with ``image`` and ``tags``, returns one; see
            :func:`wsss_lib.data.augmentation.paired_augmentation`.

    Attributes:
        ids: the photos' ids, in the order of the list.
        names: class names, background first.
        num_classes: K, the number of classes without background.
        tags_NK: bool ``(N, K)``; column k is class ``names[k + 1]``.
        untagged: how many photos :meth:`tagged` left out.

    Raises:
        InputError: a list, a photo or an annotation is missing or wrong. A photo is opened only
            when its item is asked for.
    """

    def __init__(
        self, root: str | Path, split: str, transform: Callable[[dict], dict] | None = None
    ) -> None:
        self.root, self.split, self.transform = Path(root), split, transform
        self.names = class_names(root)
        self.num_classes = len(self.names) - 1
        self.ids = layout.split_ids(root, split)
        self.tags_NK = torch.from_numpy(layout.tags(root, self.ids, self.names))
        self.untagged = 0
        self._photos: dict[Path, Tensor] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict:
        item = self._pixels(index) | {"tags": self.tags_NK[index].float()}
        if self.transform is not None:
            item = self.transform(item)
        return {"id": self.ids[index], "index": index, **item}

    def image(self, index: int) -> Tensor:
        """Photo ``index`` as uint8 ``(3, H, W)``; see :func:`wsss_lib.data.layout.read_photo`."""
        file = self.root / layout.PHOTOS / f"{self.ids[index]}.jpg"
        return self._keep(self._photos, file, lambda: pil_to_tensor(layout.read_photo(file)))

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of photo ``index``, without decoding it."""
        return layout.photo_size(self.root / layout.PHOTOS / f"{self.ids[index]}.jpg")

    def tagged(self) -> Photos:
        """The photos that have at least one tag; ``untagged`` counts the others."""
        photos = self.subset(self.tags_NK.any(dim=1).nonzero().flatten().tolist())
        photos.untagged = len(self) - len(photos)
        return photos

    def subset(self, indices: Sequence[int]) -> Photos:
        """The photos at ``indices``, in that order."""
        photos = copy.copy(self)
        photos.ids = [self.ids[i] for i in indices]
        photos.tags_NK = self.tags_NK[list(indices)]
        return photos

    def with_masks(self, folder: str | Path) -> MaskedPhotos:
        """The same photos, each with the mask ``<folder>/<id>.png``.

        Raises:
            InputError: a mask is missing.
        """
        return MaskedPhotos(self, folder)

    def _pixels(self, index: int) -> dict[str, Tensor]:
        return {"image": tv_tensors.Image(self.image(index))}

    def _keep(self, kept: dict[Path, Tensor], file: Path, read: Callable[[], Tensor]) -> Tensor:
        if file in kept:
            return kept[file].clone()  # a copy, so that nobody can write into the original
        pixels = read()
        if pixels.nbytes * len(self) <= KEEP_BYTES:
            kept[file] = pixels.clone()
        return pixels


class MaskedPhotos(Photos):
    """Photos with masks: for evaluation, the segmenter, and training on pseudo-masks.

    An item holds ``mask`` besides: uint8 ``(H, W)``, or what the transform makes of it (int64).
    Made by :meth:`Photos.with_masks`.
    """

    def __init__(self, photos: Photos, folder: str | Path) -> None:
        self.__dict__.update(photos.__dict__)
        self.folder = Path(folder)
        self._masks: dict[Path, Tensor] = {}  # not shared: pseudo-masks may be written anew
        layout.refuse_absent(
            self.folder, self.ids, ".png", "give the folder that holds the masks or make them first"
        )

    def mask(self, index: int) -> Tensor:
        """The mask of photo ``index``, uint8 ``(H, W)``; see :func:`read_mask`."""
        file = self.folder / f"{self.ids[index]}.png"
        return self._keep(self._masks, file, lambda: read_mask(file, classes=self.num_classes))

    def _pixels(self, index: int) -> dict[str, Tensor]:
        image, mask = self.image(index), self.mask(index)
        _refuse_other_size(self.folder / f"{self.ids[index]}.png", mask, image.shape[-2:])
        return {"image": tv_tensors.Image(image), "mask": tv_tensors.Mask(mask)}


def read_mask(
    path: str | Path, *, classes: int | None = None, size: tuple[int, int] | None = None
) -> Tensor:
    """A mask as uint8 ``(H, W)``: 0 background, 1 ... K the classes, 255 void.

    Args:
        path: a palette or greyscale PNG.
        classes: K; if given, other values are refused.
        size: height and width of the photo in pixels; if given, another size is refused.

    Raises:
        InputError: missing, unreadable, in colours instead of indices, of another size, or with
            a value beyond the classes.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("P", "L"):
                raise InputError(
                    f"{path} holds colours ({image.mode}) instead of class indices; "
                    "save the mask as a palette or 8-bit greyscale PNG."
                )
            # a palette's indices are the labels; its colours mean nothing
            mask = pil_to_tensor(image)[0]
    except FileNotFoundError:
        raise InputError(f"{path} is missing; add the mask or make it first.") from None
    except layout.UNREADABLE as error:
        raise InputError(
            f"{path} cannot be read as a mask ({error}); make or copy it anew."
        ) from error
    if size is not None:
        _refuse_other_size(path, mask, size)
    if classes is not None:
        highest = int(mask[mask != VOID].max()) if (mask != VOID).any() else 0
        if highest > classes:
            raise InputError(
                f"{path} holds the label {highest}, but there are {classes} classes; "
                f"correct the mask or labels.txt ({VOID} is void)."
            )
    return mask


def _refuse_other_size(path: str | Path, mask_HW: Tensor, size: Sequence[int]) -> None:
    if tuple(mask_HW.shape) != tuple(size):
        (h, w), (H, W) = mask_HW.shape, size
        raise InputError(
            f"{path} is {w} x {h} pixels, but its photo is {W} x {H}; make the mask "
            "at the size of the photo."
        )
