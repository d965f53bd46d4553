"""Reads photos, tags and masks in the one layout (see :mod:`wsss_lib.data.layout`).

:class:`Photos` is all that a weakly supervised stage gets: photos and their tags. Masks come only
with :class:`MaskedPhotos`, which only :meth:`Photos.with_masks` makes.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import pil_to_tensor

from wsss_lib.data import annotations, layout
from wsss_lib.data.index import read_index
from wsss_lib.data.layout import VOID, class_names

# a list whose decoded photos take less is kept in memory: decoding a 128-pixel JPEG takes as long
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
        progress: show a bar while photos are looked at for the first time.

    Attributes:
        ids: the photos' ids, in the order of the list.
        names: class names, background first.
        num_classes: K, the number of classes without background.
        tags_NK: bool ``(N, K)``; column k is class ``names[k + 1]``.
        sizes: height and width of each photo in pixels.

    Raises:
        InputError: a list, a photo or an annotation is missing, broken or wrong.
    """

    def __init__(
        self,
        root: str | Path,
        split: str,
        transform: Callable[[dict], dict] | None = None,
        progress: bool = False,
    ) -> None:
        self.root, self.split, self.transform = Path(root), split, transform
        self.names = class_names(root)
        self.num_classes = len(self.names) - 1
        index = read_index(root, split, progress)
        self.ids, self.sizes, self._digests = index.ids, index.sizes, index.digests
        self.tags_NK = torch.from_numpy(
            annotations.tags(self.root, index.ids, index.objects, self.names)
        )
        self._fingerprint: str | None = None
        self._kept: dict[Path, Tensor] | None = None
        if sum(3 * height * width for height, width in self.sizes) <= KEEP_BYTES:
            self._kept = {}

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
        return _kept(self._kept, file, lambda: pil_to_tensor(layout.read_photo(file)))

    def size(self, index: int) -> tuple[int, int]:
        """Height and width of photo ``index``, without opening it."""
        return self.sizes[index]

    def fingerprint(self) -> str:
        """Stands for class names, ids, tags and what is in the photos, wherever they lie."""
        if self._fingerprint is None:  # every stage asks for it, and a long list takes a second
            tags: list[list[int]] = [[] for _ in self.ids]
            for photo, tag in self.tags_NK.nonzero().tolist():
                tags[photo].append(tag)
            text = json.dumps([self.names, list(zip(self.ids, self._digests, tags))])
            self._fingerprint = hashlib.sha256(text.encode()).hexdigest()
        return self._fingerprint

    def tagged(self) -> Photos:
        """The photos that have at least one tag."""
        return self.subset(self.tags_NK.any(dim=1).nonzero().flatten().tolist())

    def subset(self, indices: Sequence[int]) -> Photos:
        """The photos at ``indices``, in that order."""
        photos = copy.copy(self)
        photos.ids = [self.ids[i] for i in indices]
        photos.sizes = [self.sizes[i] for i in indices]
        photos._digests = [self._digests[i] for i in indices]
        photos.tags_NK = self.tags_NK[list(indices)]
        photos._fingerprint = None
        return photos

    def with_transform(self, transform: Callable[[dict], dict] | None) -> Photos:
        """The same photos, changed by another transform."""
        photos = copy.copy(self)
        photos.transform = transform
        return photos

    def with_masks(self, folder: str | Path) -> MaskedPhotos:
        """The same photos, each with the mask ``<folder>/<id>.png``.

        Raises:
            InputError: a mask is missing.
        """
        return MaskedPhotos(self, folder)

    def _pixels(self, index: int) -> dict[str, Tensor]:
        return {"image": tv_tensors.Image(self.image(index))}


class MaskedPhotos(Photos):
    """Photos with masks: for evaluation, the segmenter, and training on pseudo-masks.

    An item holds ``mask`` besides: uint8 ``(H, W)``, or what the transform makes of it (int64).
    Made by :meth:`Photos.with_masks`.
    """

    def __init__(self, photos: Photos, folder: str | Path) -> None:
        self.__dict__.update(photos.__dict__)
        self.folder = Path(folder)
        # not shared: pseudo-masks may be written anew
        self._kept_masks: dict[Path, Tensor] | None = None if self._kept is None else {}
        layout.refuse_absent(
            self.folder, self.ids, ".png", "give the folder that holds the masks or make them first"
        )

    def mask(self, index: int) -> Tensor:
        """The mask of photo ``index``, uint8 ``(H, W)``; see :func:`read_mask`."""
        file = self.folder / f"{self.ids[index]}.png"
        return _kept(self._kept_masks, file, lambda: read_mask(file, classes=self.num_classes))

    def _pixels(self, index: int) -> dict[str, Tensor]:
        image, mask = self.image(index), self.mask(index)
        layout.refuse_other_size(
            self.folder / f"{self.ids[index]}.png", mask.shape, image.shape[-2:]
        )
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
        InputError: missing, unreadable (both with the attribute ``file``), in colours instead of indices, of another
            size, with a value beyond the classes, or of more classes than a mask can hold.
    """
    mask = torch.from_numpy(layout.read_labels(path))
    if size is not None:
        layout.refuse_other_size(path, mask.shape, size)
    if classes is not None:
        highest = int(mask.masked_fill(mask == VOID, 0).max())
        layout.refuse_other_labels(path, highest, classes)
    return mask


def _kept(kept: dict[Path, Tensor] | None, file: Path, read: Callable[[], Tensor]) -> Tensor:
    """Reads a file once, if there is a place to keep it; gives copies, so that nobody writes into the original."""
    if kept is None:
        return read()
    if file not in kept:
        kept[file] = read()
    return kept[file].clone()
