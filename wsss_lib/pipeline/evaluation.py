"""Compares what a run has made with the true masks: nothing else of a run sees them.

Photos without a true mask are left out, so that the maps of a large split are measured on the part
of it that is annotated. (The papers measure on the 1,464 photos of VOC's train split: evaluate that
split where masks of all 10,582 photos are there.)
"""

from collections.abc import Collection
from pathlib import Path

import torch
from torch import Tensor

from wsss_lib.data.layout import MASKS, VOID
from wsss_lib.data.maps import whole_map
from wsss_lib.data.photos import MaskedPhotos, Photos, read_mask
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
from wsss_lib.pipeline.work import Work


def evaluate_run(work: Work, stages: Collection[str]) -> None:
    """Measures the files of finished stages and records the figures in ``metrics.json``."""
    run, recipe = work.run, work.recipe
    train, val = with_truth(work.photos("train").tagged()), with_truth(work.photos("val"))
    sweeps = {}
    for source in ("cam", "advcam", "amn"):
        if train and source in stages:
            sweeps[source] = sweep_maps(run.maps(source), train, work.bar)
            figures = describe_sweep(
                sweeps[source], getattr(recipe.thresholds, source), train.names
            )
            figures["band"] = (
                sweeps[source].band(sweeps["cam"].best()[1]) if "cam" in sweeps else None
            )
            run.record(source, figures)
    if "amn" in stages:
        run.record("amn", measure_absent_foreground(work))
    if train and "seeds" in stages:
        run.record("seeds", measure_masks(run.seeds, train, work.bar))
    for source in recipe.pseudo_masks.sources if train and "pseudo_masks" in stages else ():
        figures = measure_masks(run.pseudo_masks(source), train, work.bar)
        run.record("pseudo_masks", {source: figures})
        if source == recipe.segmenter.source:
            run.record("pseudo_masks", {"miou": figures["miou"]})
    for name, prefix in (("segmenter", ""), ("supervised", "supervised_")):
        if val and name in stages:
            figures = measure_masks(run.predictions / name, val, work.bar)
            run.record("segmenter", {f"{prefix}val_{key}": figures[key] for key in ("miou", "iou")})


def with_truth(photos: Photos) -> MaskedPhotos | None:
    """The photos that have a true mask; ``None`` if none has."""
    folder = photos.root / MASKS
    known = {file.stem for file in folder.glob("*.png")}
    annotated = [i for i, id in enumerate(photos.ids) if id in known]
    return photos.subset(annotated).with_masks(folder) if annotated else None


def sweep_maps(maps: Path, photos: MaskedPhotos, bar=lambda items, title: items) -> ThresholdSweep:
    """The quality of a folder of maps at every threshold.

    Args:
        maps: holds ``<id>.npz`` for each photo.
        photos: with their true masks.
        bar: shows the progress over (items, title).
    """
    sweep = ThresholdSweep(len(photos.names))
    for i in bar(range(len(photos)), f"evaluate {maps.name}"):
        map_kHW, classes_k = whole_map(maps, photos.ids[i])
        sweep.add(map_kHW, classes_k, photos.mask(i))
    return sweep


def describe_sweep(sweep: ThresholdSweep, threshold: float, names: list[str]) -> dict:
    """What is worth knowing of a sweep: at a fixed threshold, at the best one, at each photo's own."""
    best, miou_best = sweep.best()
    at = sweep.confusion(round(threshold * sweep.levels))
    return {
        "threshold": threshold,
        "miou": mean_iou(at),
        "threshold_best": best,
        "miou_best": miou_best,
        "miou_best_per_image": sweep.miou_best_per_image,
        "best_threshold_sd": torch.tensor(sweep.best_thresholds).std().item(),
        "false_positives": float(false_positive_rate(at).nanmean()),
        "false_negatives": float(false_negative_rate(at).nanmean()),
        "precision": float(precision(at).nanmean()),
        "recall": float(recall(at).nanmean()),
        "iou": by_name(iou_per_class(at), names),
        "curve": [list(point) for point in zip(sweep.thresholds.tolist(), sweep.miou().tolist())],
    }


def measure_masks(masks: Path, photos: MaskedPhotos, bar=lambda items, title: items) -> dict:
    """MIoU of a folder of masks, over the pixels on which they have an opinion.

    Args:
        masks: holds ``<id>.png`` for each photo; ``VOID`` where it is unsure.
        photos: with their true masks.
        bar: shows the progress over (items, title).
    """
    total, unsure, pixels = 0, 0, 0
    for i in bar(range(len(photos)), f"evaluate {masks.name}"):
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
    return {
        "miou": mean_iou(total),
        "unsure": unsure / pixels,
        "iou": by_name(iou_per_class(total), photos.names),
    }


def measure_absent_foreground(work: Work) -> dict:
    """How often AMN sees classes without a tag, before it is held to the tags.

    Returns:
        ``absent_foreground``, the share of all its foreground, and ``absent_of_all``, that of all cells.
    """
    photos = work.photos("train").tagged()
    absent, foreground, cells = 0, 0, 0
    for id, tag_K in zip(photos.ids, photos.tags_NK):
        label_hw = read_mask(work.run.amn_labels / f"{id}.png")
        counts = absent_foreground(label_hw, tag_K)
        absent, foreground = absent + counts[0], foreground + counts[1]
        cells += label_hw.numel()
    return {
        "absent_foreground": absent / max(foreground, 1),
        "absent_of_all": absent / max(cells, 1),
    }


def by_name(value_L: Tensor, names: list[str]) -> dict[str, float]:
    """One value for each class name."""
    return dict(zip(names, value_L.tolist()))
