"""Compares what a run has made with the true masks: nothing else of a run sees them.

Photos without a true mask are left out, so that the maps of a large split are measured on the part
of it that is annotated. (The papers measure on the 1,464 photos of VOC's train split: evaluate that
split where masks of all 10,582 photos are there.) Each process takes its share of the photos; what
they have counted is added up.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from wsss_lib.data.index import listing
from wsss_lib.data.layout import MASKS, VOID, InputError, class_names, split_ids
from wsss_lib.data.maps import whole_map
from wsss_lib.data.photos import MaskedPhotos, Photos, read_mask
from wsss_lib.data.truth import no_class_shown, refuse_other_names
from wsss_lib.learning.metrics import (
    ThresholdSweep,
    confusion_matrix,
    false_negative_rate,
    false_positive_rate,
    iou_per_class,
    mean_iou,
    precision,
    recall,
)
from wsss_lib.methods.amn import absent_foreground
from wsss_lib.pipeline import ranks

if TYPE_CHECKING:
    from wsss_lib.pipeline.work import Work


def measure_maps(work: Work) -> dict:
    """The figures of the maps of a stage, at its threshold and at all others; none without truth."""
    photos = work.truth("maps")
    if photos is None:
        return {}
    sweep = sweep_maps(work.folder("maps"), photos, work.bar)
    return describe_sweep(sweep, work.stage.threshold, photos.names)


def measure_training_masks(work: Work) -> dict:
    """The figures of the masks that a stage has made of the training photos; none without truth."""
    photos = work.truth("maps")
    return {} if photos is None else measure_masks(work.folder("masks"), photos, work.bar)


def measure_predictions(work: Work) -> dict:
    """The figures of what a network says of the ``val`` photos; none without truth."""
    photos = work.truth("val")
    if photos is None:
        return {}
    figures = measure_masks(work.folder("predictions"), photos, work.bar)
    return {"val_miou": figures["miou"], "val_iou": figures["iou"]}


def measure_absent_foreground(work: Work) -> dict:
    """How often a network sees classes without a tag, before it is held to the tags."""
    return absent_share(work.folder("labels"), work.tagged())


def with_truth(photos: Photos) -> MaskedPhotos | None:
    """The photos that have a true mask; ``None`` if none has."""
    folder = photos.root / MASKS
    known = {file.stem for file in folder.glob("*.png")}
    annotated = [i for i, id in enumerate(photos.ids) if id in known]
    return photos.subset(annotated).with_masks(folder) if annotated else None


@dataclass(frozen=True)
class Truth:
    """The true masks of some photos, of which nothing else has to be known: no tags either.

    Attributes:
        ids: of the photos.
        names: of the classes, background first.
        folder: of the masks.
    """

    ids: list[str]
    names: list[str]
    folder: Path

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def num_classes(self) -> int:
        """K, the number of classes without background."""
        return len(self.names) - 1

    def mask(self, index: int) -> Tensor:
        """The mask of photo ``index``, uint8 ``(H, W)``."""
        return read_mask(self.folder / f"{self.ids[index]}.png", classes=self.num_classes)

    def having(self, folder: Path, ending: str) -> Truth:
        """That of the photos with a file in another folder."""
        there = listing(folder)
        return replace(self, ids=[id for id in self.ids if id + ending in there])


def truth_of(root: Path, split: str) -> Truth:
    """The true masks of a list of photos.

    Raises:
        InputError: there are none; or they show no class, but void, where a class may be meant.
    """
    names = class_names(root)  # first, since it says what is no dataset at all
    listed = Truth(split_ids(root, split), names, root / MASKS)
    refuse_other_names(root)
    truth = listed.having(listed.folder, ".png")
    if not truth.ids:
        raise InputError(f"{root} has no true masks for the split {split}")
    void = False
    for i in range(len(truth)):
        mask_HW = truth.mask(i)
        if ((mask_HW > 0) & (mask_HW < VOID)).any():
            return truth
        void = void or bool((mask_HW == VOID).any())
    if void:
        raise no_class_shown(root, split, len(truth))
    return truth


def sweep_maps(
    maps: Path, photos: MaskedPhotos | Truth, bar=lambda items, title: items
) -> ThresholdSweep:
    """The quality of a folder of maps at every threshold.

    Args:
        maps: holds ``<id>.npz`` for each photo.
        photos: with their true masks.
        bar: shows the progress over (items, title).
    """
    sweep = ThresholdSweep(len(photos.names))
    for i in bar(ranks.share(range(len(photos))), f"evaluate {maps.name}"):
        truth_HW = photos.mask(i)
        map_kHW, classes_k = whole_map(maps, photos.ids[i], truth_HW.shape, photos.num_classes)
        sweep.add(map_kHW, classes_k, truth_HW)
    parts = ranks.gathered(sweep)
    total = sum(parts[1:], start=parts[0])
    total.best_thresholds = in_turns([part.best_thresholds for part in parts])
    return total


def in_turns(parts: list[list]) -> list:
    """Puts what `ranks.share` has dealt out back into its order."""
    rounds = itertools.zip_longest(*parts, fillvalue=None)
    return [each for turn in rounds for each in turn if each is not None]


def describe_sweep(sweep: ThresholdSweep, threshold: float, names: list[str]) -> dict:
    """What is worth knowing of a sweep: at a fixed threshold, at the best one, at each photo's own."""
    best, miou_best = sweep.best()
    at = sweep.confusion(round(threshold * sweep.levels))
    own = torch.tensor(sweep.best_thresholds)
    own = own[~own.isnan()]  # a photo that is void everywhere has none
    return {
        "threshold": threshold,
        "miou": mean_iou(at),
        "threshold_best": best,
        "miou_best": miou_best,
        "miou_best_per_image": sweep.miou_best_per_image,
        "best_threshold_sd": own.std().item() if len(own) > 1 else None,
        "false_positives": float(false_positive_rate(at).nanmean()),
        "false_negatives": float(false_negative_rate(at).nanmean()),
        "precision": float(precision(at).nanmean()),
        "recall": float(recall(at).nanmean()),
        "iou": by_name(iou_per_class(at), names),
        "curve": [list(point) for point in zip(sweep.thresholds.tolist(), sweep.miou().tolist())],
    }


def band(curve: list[list], bar: float) -> float:
    """Of a recorded curve, what `wsss_lib.learning.metrics.ThresholdSweep.band` is of a sweep."""
    above = [miou is not None and miou >= bar for _, miou in curve]
    return sum(map(all, itertools.pairwise(above))) / (len(curve) - 1)


def with_bands(metrics: dict[str, dict], reference: str) -> dict[str, dict]:
    """Adds to each stage with a curve how wide it is above the best of the reference, plain CAM."""
    bar = metrics.get(reference, {}).get("miou_best")
    curves = {name: each["curve"] for name, each in metrics.items() if each.get("curve")}
    bands = {name: None if bar is None else band(curve, bar) for name, curve in curves.items()}
    return {
        name: each | ({"band": bands[name]} if name in bands else {})
        for name, each in metrics.items()
    }


def measure_masks(
    masks: Path, photos: MaskedPhotos | Truth, bar=lambda items, title: items
) -> dict:
    """MIoU of a folder of masks, over the pixels on which they have an opinion.

    Args:
        masks: holds ``<id>.png`` for each photo; ``VOID`` where it is unsure.
        photos: with their true masks.
        bar: shows the progress over (items, title).
    """
    total, unsure, pixels = torch.zeros(len(photos.names), len(photos.names)).long(), 0, 0
    for i in bar(ranks.share(range(len(photos))), f"evaluate {masks.name}"):
        truth_HW = photos.mask(i)
        size = tuple(truth_HW.shape)
        mask_HW = read_mask(masks / f"{photos.ids[i]}.png", classes=photos.num_classes, size=size)
        sure = mask_HW != VOID
        total = total + confusion_matrix(
            truth_HW.where(sure, torch.tensor(VOID, dtype=truth_HW.dtype)),
            mask_HW,
            len(photos.names),
        )
        unsure += int((~sure).sum())
        pixels += sure.numel()
    total, unsure, pixels = map(sum, zip(*ranks.gathered((total, unsure, pixels))))
    return {
        "miou": mean_iou(total),
        "unsure": unsure / pixels,
        "iou": by_name(iou_per_class(total), photos.names),
    }


def absent_share(labels: Path, photos: Photos) -> dict:
    """How much of a folder of labels falls on classes that the photo is not tagged with.

    Returns:
        ``absent_foreground``, the share of all its foreground, and ``absent_of_all``, that of all cells.
    """
    absent, foreground, cells = 0, 0, 0
    for i in ranks.share(range(len(photos))):
        label_hw = read_mask(labels / f"{photos.ids[i]}.png")
        counts = absent_foreground(label_hw, photos.tags_NK[i])
        absent, foreground = absent + counts[0], foreground + counts[1]
        cells += label_hw.numel()
    absent, foreground, cells = map(sum, zip(*ranks.gathered((absent, foreground, cells))))
    return {
        "absent_foreground": absent / max(foreground, 1),
        "absent_of_all": absent / max(cells, 1),
    }


def by_name(value_L: Tensor, names: list[str]) -> dict[str, float]:
    """One value for each class name."""
    return dict(zip(names, value_L.tolist()))
